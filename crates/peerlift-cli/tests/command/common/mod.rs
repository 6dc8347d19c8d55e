//! What the tests of the command share: a home of its own for each, the real binary, and servers
//! that behave as they are told.

pub(crate) mod answer;
pub(crate) mod certificate;
pub(crate) mod disk;
pub(crate) mod edge;
pub(crate) mod forge;
pub(crate) mod noise;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod world;

pub(crate) use answer::File;
pub(crate) use certificate::Certificate;
pub(crate) use edge::Edge;
pub(crate) use noise::noise;
pub(crate) use process::{Ended, Running};
pub(crate) use server::Serving;
pub(crate) use world::World;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
