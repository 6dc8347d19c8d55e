//! What a download tells while it runs and when it is over. All of it serialises to JSON.

use std::path::PathBuf;
use std::time::Duration;

use peerlift_model::{ObjectId, PublisherId};
use serde::{Serialize, Serializer};

use crate::kept::Kept;
use crate::provenance::Provenance;

/// Something happened. Tagged by `event` in JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The object is known and its file is open.
    Started(Started),
    /// Some time has passed. Sent a few times a second; late readers miss some.
    Progress(Snapshot),
    /// Something went wrong that the download survives.
    Warning {
        /// One line for a person.
        text: String,
    },
    /// A run is over, for better or worse: where what it brought came from.
    Explained(Provenance),
    /// The object is complete, verified and in place.
    Completed(Report),
    /// The complete object is no longer shared, though neither the caller nor the clock ended it.
    SharingEnded {
        /// One line for a person.
        why: String,
    },
}

/// What is downloaded.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// Where it goes; `None`: a stream.
    pub path: Option<PathBuf>,
    /// Its name, for people.
    pub name: String,
    /// Bytes; `None` when the server does not say.
    pub size: Option<u64>,
    /// Bytes that an earlier run has left.
    pub resumed: u64,
    /// Who signed for it; `None`: there is no manifest.
    #[serde(serialize_with = "opt_text")]
    pub publisher: Option<PublisherId>,
    /// The publisher's own name for itself.
    pub publisher_name: Option<String>,
    /// The BLAKE3 root.
    #[serde(serialize_with = "opt_text")]
    pub object: Option<ObjectId>,
}

/// How far a download is. Bytes are verified content unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Bytes of the object; `None` when unknown.
    pub size: Option<u64>,
    /// Bytes in place, resumed ones included.
    pub done: u64,
    /// Bytes that came from edges in this run.
    pub from_edge: u64,
    /// Bytes that came from peers in this run.
    pub from_peers: u64,
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes a second coming in, over the last seconds.
    pub rate_down: u64,
    /// Bytes a second going out, over the last seconds.
    pub rate_up: u64,
    /// Peers connected.
    pub peers: u32,
    /// Seconds until the end at the present rate.
    pub eta_s: Option<u64>,
    /// Whether it is complete and shared with others.
    pub seeding: bool,
}

/// How a download went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where it is; `None`: it was a stream.
    pub path: Option<PathBuf>,
    /// Bytes of the object.
    pub size: u64,
    /// Seconds from the request to the file in place.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub time: Duration,
    /// Bytes that came from edges in this run.
    pub from_edge: u64,
    /// Bytes that came from peers in this run, over a direct path or through a relay.
    pub from_peers: u64,
    /// The part of `from_peers` that came through a relay.
    pub from_peers_relayed: u64,
    /// Bytes that an earlier run had left.
    pub resumed: u64,
    /// Bytes received and thrown away: corrupt or already there.
    pub wasted: u64,
    /// Bytes sent to peers so far.
    pub uploaded: u64,
    /// Peers that sent something.
    pub peers: u32,
    /// What the content was checked against.
    pub verified: Verified,
    /// What it takes to share it in a later process, if that was asked for.
    #[serde(skip)]
    pub kept: Option<Kept>,
}

/// What content was checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Verified {
    /// Every 16 KiB against a signed manifest.
    Manifest {
        /// Who signed.
        #[serde(serialize_with = "text")]
        publisher: PublisherId,
        /// The BLAKE3 root.
        #[serde(serialize_with = "text")]
        object: ObjectId,
    },
    /// Nothing but its length: there is no manifest.
    Length,
}

fn text<T: ToString, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn opt_text<T: ToString, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value
        .as_ref()
        .map(ToString::to_string)
        .serialize(serializer)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}
