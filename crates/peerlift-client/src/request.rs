//! What a caller asks for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use peerlift_model::{PublisherId, Rate};
use peerlift_net::token::Wallet;
use tokio::io::AsyncWrite;
use url::Url;

/// One object to download.
#[derive(Debug)]
pub struct DownloadRequest {
    /// Where it is. Several URLs are mirrors of one object. At least one.
    pub urls: Vec<Url>,
    /// Where it goes.
    pub output: Output,
    /// What matters most. `None`, the default: what the publisher recommends, else
    /// [`Goal::Thrifty`].
    pub goal: Option<Goal>,
    /// Whether others may fetch it from here. Default: [`Share::Off`]; anything else is the
    /// caller's word that the user has agreed.
    pub share: Share,
    /// Whether nobody waits for it: then it gives way to everything else. Default: false.
    pub background: bool,
    /// Whether to look for peers at all. Default: true.
    pub peers: bool,
    /// Cap on all that comes in. Default: none.
    pub limit_down: Option<Rate>,
    /// Cap on all that goes out to peers. Default: none.
    pub limit_up: Option<Rate>,
    /// Request headers for the origins of `urls`, and no others. Default: none.
    pub headers: HeaderMap,
    /// The token for restricted objects: shown to the origins of `urls`, to the edges and control
    /// nodes of a manifest that the token's publisher signed, and to nobody else. Default: none.
    pub wallet: Option<Arc<Wallet>>,
    /// The only key whose signature is accepted. Default: trust on first use.
    pub publisher: Option<PublisherId>,
    /// Whether an existing file of the same name may be replaced. Default: false.
    pub overwrite: bool,
    /// Whether an existing file that is the object, byte for byte, counts as downloaded; it is hashed
    /// to know. Default: false.
    pub take_existing: bool,
    /// Parallel connections to one edge, 1..=16. Default: 4.
    pub connections: u8,
    /// Where to keep what it takes to share the complete file in a later process, see
    /// [`Report::kept`](crate::Report::kept): a path to which endings are added. Only with
    /// [`Share::For`]. Default: nowhere.
    pub keep: Option<PathBuf>,
    /// How long nothing may arrive before the download gives up. Default: 60 s, as aria2 has it;
    /// a restarted server or a changed network is back by then.
    pub patience: Duration,
}

impl DownloadRequest {
    /// A request with all defaults.
    #[must_use]
    pub fn new(urls: Vec<Url>, output: Output) -> Self {
        Self {
            urls,
            output,
            goal: None,
            share: Share::Off,
            background: false,
            peers: true,
            limit_down: None,
            limit_up: None,
            headers: HeaderMap::new(),
            wallet: None,
            publisher: None,
            overwrite: false,
            take_existing: false,
            connections: 4,
            keep: None,
            patience: Duration::from_secs(60),
        }
    }
}

/// Whoever reads a download along.
pub(crate) type Reader = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// Where a download goes.
pub enum Output {
    /// A file of this name.
    File(PathBuf),
    /// A file in this folder, named by the manifest, else by the server, else by the URL.
    Folder(PathBuf),
    /// In order and verified before it is written.
    Stream(Reader),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What matters most in a download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// The earliest end, whatever it costs the publisher.
    Fastest,
    /// The fewest edge bytes with which it ends no later than from the edge alone.
    #[default]
    Thrifty,
    /// The fewest edge bytes with which the rate stays above this.
    Floor(Rate),
    /// The fewest edge bytes with which it ends within this time.
    Deadline(Duration),
    /// Beginning to end, for whoever reads along.
    InOrder,
}

impl Goal {
    /// Reads what a manifest recommends: `fastest`, `thrifty`, `in-order`, `floor=` bytes a second,
    /// `deadline=` seconds with an `s`. `None`: a later version's word.
    pub(crate) fn recommended(text: &str) -> Option<Self> {
        let goal = match text.split_once('=') {
            None if text == "fastest" => Self::Fastest,
            None if text == "thrifty" => Self::Thrifty,
            None if text == "in-order" => Self::InOrder,
            Some(("floor", rate)) => Self::Floor(Rate::from_bytes_per_s(rate.parse().ok()?)),
            Some(("deadline", time)) => {
                let seconds = time.strip_suffix('s')?.parse().ok()?;
                Self::Deadline(Duration::try_from_secs_f64(seconds).ok()?)
            }
            None | Some(_) => return None,
        };
        Some(goal)
    }
}

/// Whether others may fetch from this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Never. Nothing listens and nothing is announced.
    #[default]
    Off,
    /// Until the download is complete.
    WhileDownloading,
    /// And for so long after it is complete.
    For(Duration),
}

impl Share {
    /// Whether anything is shared at all.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_recommend_goals() {
        assert_eq!(Goal::recommended("fastest"), Some(Goal::Fastest));
        let floor = Goal::Floor(Rate::from_bytes_per_s(5));
        assert_eq!(Goal::recommended("floor=5"), Some(floor));
        let deadline = Goal::Deadline(Duration::from_millis(1500));
        assert_eq!(Goal::recommended("deadline=1.5s"), Some(deadline));
        for unknown in [
            "",
            "cheapest",
            "floor=",
            "floor=x",
            "deadline=5",
            "deadline=-1s",
        ] {
            assert_eq!(Goal::recommended(unknown), None, "{unknown}");
        }
    }
}
