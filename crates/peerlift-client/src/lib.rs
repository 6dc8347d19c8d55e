//! The embeddable client: downloads from HTTP edges and from peers at once, verified.
//!
//! ```no_run
//! # async fn example() -> Result<(), peerlift_client::DownloadError> {
//! use peerlift_client::{Client, ClientConfig, DownloadRequest, Event, Output};
//!
//! let client = Client::new(ClientConfig::new("data".into(), "cache".into()));
//! let url = "https://edge.example/os.iso".parse().expect("a valid URL");
//! let mut download = client.start(DownloadRequest::new(vec![url], Output::Folder(".".into())));
//! while let Some(event) = download.next_event().await {
//!     if let Event::Progress(now) = event {
//!         eprintln!("{} bytes, {} of them from peers", now.done, now.from_peers);
//!     }
//! }
//! let report = download.wait().await?;
//! eprintln!("{:?} in {:?}", report.path, report.time);
//! # Ok(())
//! # }
//! ```
//!
//! One task a download. It makes contact (`manifest`), opens the storage (`storage`), and runs
//! a `transfer` until every group is in place:
//!
//! ```text
//!   Client ── start ──► download ──► transfer ──► swarm core        (one task, owns the plan)
//!                          │            ├──► fetch_edge ─┐
//!                          │            ├──► fetch_peer ─┼─► storage (one task a request)
//!                          │            └──► serve ◄─────┘
//!                          └──► hub: links to peers, sessions with control nodes (shared)
//! ```
//!
//! Nothing here decides what to ask of whom: that is `peerlift-swarm`. Nothing here hashes: that
//! is `peerlift-content`. Sharing is the caller's to ask the user about; without
//! [`Share`] in the request nothing is offered to anybody.

mod client;
mod context;
mod download;
mod error;
mod event;
mod examine;
mod fetch_edge;
mod fetch_peer;
mod greeting;
mod groups;
mod hub;
mod introducer;
mod kept;
mod known_publishers;
mod limiter;
mod manifest;
mod name;
mod peers;
mod porch;
mod progress;
mod provenance;
mod reach;
mod request;
mod serve;
mod single;
mod split;
mod storage;
mod stream;
mod transfer;
mod uploads;
mod whole;

pub use client::{Client, ClientConfig, Download, FoundManifest};
pub use error::DownloadError;
pub use event::{Event, Report, Snapshot, Started, Verified};
pub use examine::{ControlSight, Examination, Outside};
pub use kept::Kept;
pub use peerlift_net::token::{TokenSource, Wallet, WalletError};
pub use provenance::{Part, Provenance, SourceKind, Why};
pub use request::{DownloadRequest, Goal, Output, Share};
pub use uploads::{Taking, UploadBudget, Uploads};
