//! The `peerlift` command from outside: real processes, real sockets, real disks, and servers that
//! misbehave in every way we could think of. `docs/cli.md` is what it is held to.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

mod access;
mod changed;
mod commands;
mod common;
mod control;
mod http_errors;
mod killed;
mod names;
mod peers;
mod plain;
mod policy;
mod publish;
mod resume;
mod serving;
mod shared_again;
mod slept;
mod storage;
mod stream;
mod trust;
mod user;
