//! A folder over HTTP, as an edge that Peerlift clients and everybody else can fetch from.
//!
//! ```text
//!  socket ─► server ─► handler ─┬─► path: a file below the folder, or nothing
//!            (TLS, limits)      ├─► access: whether this request may have it
//!                               ├─► conditions, range: what of it (RFC 9110 §13, §14)
//!                               └─► file_body: its bytes, read in large steps
//!            watcher ─► catalogue: which files are published, and as which object
//! ```
//!
//! Any static server is an edge; this one adds what makes downloads certain and cheap: a strong
//! `ETag` that is the object's BLAKE3 root, `Repr-Digest`, a `Link` to the manifest, ranges of every
//! kind. It also publishes what is put into the folder, by a function that the caller gives:
//! keys are not known here. Further routes (a control node's) are mounted on the same port.

mod access;
mod access_log;
mod catalogue;
mod conditions;
mod config;
mod file_body;
mod handler;
mod listing;
mod metrics;
mod path;
mod range;
mod server;
mod tls;
mod watcher;

pub use access::EdgeAccess;
pub use access_log::AccessLog;
pub use config::{EdgeConfig, EdgeError, PublishFn, TlsFiles};
pub use path::fuzz_path;
pub use range::fuzz_range;
pub use server::Edge;
