//! The background service: one for each user. It downloads, shares what its user agreed to share,
//! and leaves when nobody needs it.
//!
//! ```text
//!   command, panel ── HTTP ──► api ── jobs ──► Service (one task, owns everything)
//!                                                │  queue: which download runs     (pure)
//!                                                │  steward: may uploads go, how fast
//!                                                └─ downloads: one task each ── news ──┐
//!                                                ▲─────────────────────────────────────┘
//! ```
//!
//! The task that owns the state is in `owner`, that of a download in `task`; others hand it jobs, which are closures. The HTTP API
//! is in `api` and `routes`, where it listens in `listen` and `port`, who may call it in `guard`. The
//! control panel is `pages`: files that know nothing but the API.

mod api;
mod guard;
mod http;
mod listen;
mod local;
mod owner;
mod pages;
mod port;
mod questions;
mod queue;
mod routes;
mod run;
mod settings;
mod shared_files;
mod task;

pub use listen::{ListenError, Listening};
pub use local::{Answer, Local, LocalError};
pub use owner::{Download, Status};
pub use queue::{DownloadId, Item, Order, Phase, Priority, Queue, QueueError, Wanted};
pub use routes::{ROUTES, Route};
pub use run::{Options, ServiceError, run};
