//! What an edge is told at the start, and what can be wrong with it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use peerlift_content::{PublishError, Published};
use thiserror::Error;

use crate::access::EdgeAccess;
use crate::access_log::AccessLog;

/// Publishes one file, or finds that it is published already. Called on a thread that may block.
pub type PublishFn = Arc<dyn Fn(&Path) -> Result<Published, PublishError> + Send + Sync>;

/// How an edge behaves.
pub struct EdgeConfig {
    /// The folder whose files are served.
    pub folder: PathBuf,
    /// Where to listen. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key for HTTPS; `None`, the default, is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Where a line a request goes. Default: nowhere.
    pub access_log: AccessLog,
    /// Connections at once; more wait. Default 4096: a quarter of the usual limit on open files,
    /// as every connection may hold a file too.
    pub connections_max: usize,
    /// How long a client may take to send the head of a request, and may be idle before the next
    /// one on HTTP/1.1: no slow-loris. Default 15 s, ten round trips on the worst of networks.
    pub head_timeout: Duration,
    /// How long a client may take no byte of what is sent to it. Default 60 s: one that reads no
    /// more than some kilobytes a second still opens its window more often than that.
    pub send_timeout: Duration,
    /// Publishes files that appear or change; `None`, the default, serves only what is published
    /// already.
    pub publish: Option<PublishFn>,
    /// Who may fetch what. Default: everybody, what no manifest restricts.
    pub access: Arc<EdgeAccess>,
    /// What is asked for below `/.peerlift/`, WebSockets, and what is no file. Default: nothing.
    pub routes: Router,
}

/// The PEM files of an HTTPS server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then those that lead to its root.
    pub certificates: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl EdgeConfig {
    /// The defaults for this folder and these addresses.
    #[must_use]
    pub fn new(folder: PathBuf, listen: Vec<SocketAddr>) -> Self {
        Self {
            folder,
            listen,
            tls: None,
            access_log: AccessLog::Off,
            connections_max: 4096,
            head_timeout: Duration::from_secs(15),
            send_timeout: Duration::from_secs(60),
            publish: None,
            access: Arc::new(EdgeAccess::new(None)),
            routes: Router::new(),
        }
    }
}

impl fmt::Debug for EdgeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeConfig")
            .field("folder", &self.folder)
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Why an edge does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The folder is not there, is none, or may not be read.
    #[error("cannot serve {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("cannot use {} for TLS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The access log cannot be written.
    #[error("cannot write the access log {}: {source}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be watched.
    #[error("cannot watch {}: {source}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: notify::Error,
    },
}
