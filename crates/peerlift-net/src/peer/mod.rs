//! Links between peers: QUIC connections of `iroh`, with our relays only and no discovery service,
//! or TCP and TLS where a peer can be reached so.
//!
//! ```text
//!   PeerNode ── connect / accept ──► PeerLink ── control ──► FrameSender, FrameReceiver
//!                                        ├── ask ──► RangeAnswer     (we download)
//!                                        └── asked ► Reply           (we serve)
//! ```
//!
//! What is said on a link is `peerlift-wire`; whether to say it, and what to make of the answer, is
//! for the caller. The page of the protocol is `docs/protocol/peer-transport.md`.

mod error;
mod frames;
mod link;
mod nat;
mod node;
mod race;
mod request;
mod tcp;

pub use error::PeerLinkError;
pub use frames::{FrameReceiver, FrameSender};
pub use link::{Path, PeerLink, Transport};
pub use nat::is_own;
pub use node::{Accepting, PeerNode, PeerNodeConfig, RelayConfig};
pub use request::{Asked, REPLY_BYTES_USUAL, RangeAnswer, Reply};
