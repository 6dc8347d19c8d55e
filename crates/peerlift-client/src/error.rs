//! Why a download ended without its file, with what to do about it.

use std::io;

use peerlift_content::ManifestError;
use peerlift_model::PublisherId;
use peerlift_net::http::{HttpError, TokenRefusal};
use peerlift_store::StoreError;
use thiserror::Error;
use url::Url;

/// A download that failed. What had been verified stays on disk and is used by the next run.
///
/// Every message is one line; [`DownloadError::hint`] says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The request itself cannot be carried out.
    #[error("{0}")]
    Usage(String),
    /// An HTTP server failed us, and no other source is left.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// There is a manifest, and it cannot be used.
    #[error("{url}: {source}")]
    Manifest {
        /// Where the manifest lies.
        url: Url,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// Another publisher signed than the one the user named.
    #[error("{url}: signed by {actual}, not by {wanted}")]
    WrongPublisher {
        /// Where the manifest lies.
        url: Url,
        /// The key of `--publisher`.
        wanted: PublisherId,
        /// The key that signed.
        actual: PublisherId,
    },
    /// A publisher was named, and there is no manifest to carry its signature.
    #[error("{url}: there is no manifest, so nothing is signed by the publisher you named")]
    Unsigned {
        /// What was asked for.
        url: Url,
    },
    /// The origin's files used to be signed by another key.
    #[error("{url}: the publisher's key changed from {known} to {offered}")]
    PublisherChanged {
        /// Where the manifest lies.
        url: Url,
        /// The key known so far.
        known: PublisherId,
        /// The key that signed now.
        offered: PublisherId,
    },
    /// The manifest has expired.
    #[error("{url}: the manifest has expired")]
    Expired {
        /// Where the manifest lies.
        url: Url,
    },
    /// The operator of a control node that the publisher named has blocked the object, or
    /// everything of the publisher's.
    #[error("the operator has blocked this file or its publisher")]
    Blocked,
    /// The server's file has another size than its manifest says.
    #[error("{url}: {actual} bytes on the server, {promised} in the manifest")]
    Size {
        /// The file.
        url: Url,
        /// Bytes by the manifest.
        promised: u64,
        /// Bytes by the server.
        actual: u64,
    },
    /// The bytes do not match the manifest, and no other source is left.
    #[error("{url}: sends bytes that do not match the manifest")]
    Corrupt {
        /// The source.
        url: Url,
    },
    /// The hash tree does not match the manifest, and no other source is left.
    #[error("{url}: the outboard does not match the manifest")]
    CorruptOutboard {
        /// The outboard.
        url: Url,
    },
    /// The file or its progress cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own records cannot be read or written.
    #[error("cannot use {what}: {source}")]
    Records {
        /// Which record.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The reader of the stream went away, or the stream cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// No verified byte came for so long that waiting on is pointless.
    #[error("no source has delivered anything for {seconds} seconds")]
    Stalled {
        /// How long we waited.
        seconds: u64,
    },
    /// The caller stopped it.
    #[error("interrupted")]
    Cancelled,
}

impl DownloadError {
    /// The exit code of a program that ends with this error: see `docs/cli.md`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Http(error) => http_exit_code(error),
            Self::Blocked => 3,
            Self::Stalled { .. } => 4,
            Self::Manifest {
                source: ManifestError::UnknownVersion { .. },
                ..
            } => 7,
            Self::Manifest { .. }
            | Self::WrongPublisher { .. }
            | Self::Unsigned { .. }
            | Self::PublisherChanged { .. }
            | Self::Expired { .. }
            | Self::Size { .. }
            | Self::Corrupt { .. }
            | Self::CorruptOutboard { .. } => 5,
            Self::Store(_) | Self::Records { .. } | Self::Output(_) => 6,
            Self::Cancelled => 130,
        }
    }

    /// What the user can do about it, in one line without a full stop.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Http(error) => http_hint(error),
            Self::Store(error) => store_hint(error),
            Self::PublisherChanged { offered, .. } => {
                return Some(format!(
                    "if the publisher told you of the new key, run again with --publisher {offered}"
                ));
            }
            Self::Manifest {
                source: ManifestError::UnknownVersion { .. },
                ..
            } => "a newer peerlift is needed to read it",
            Self::Manifest { .. } | Self::Size { .. } | Self::CorruptOutboard { .. } => {
                "tell the publisher: `peerlift publish` makes the sidecar files anew"
            }
            Self::WrongPublisher { .. } => "check the key with the publisher; nothing was kept",
            Self::Unsigned { .. } => "leave out --publisher to take the file unsigned",
            Self::Expired { .. } => "ask the publisher for a fresh manifest",
            Self::Blocked => "ask the publisher why; nothing of it is fetched or shared until then",
            Self::Corrupt { .. } => "the verified part is kept; try again or use another mirror",
            Self::Stalled { .. } | Self::Cancelled => "run the same command to go on from here",
            Self::Records { .. } => "check the folder's permissions and the room on its disk",
            Self::Output(_) => "run the same command again; a stream begins anew",
            Self::Usage(_) => "`peerlift get --help` shows how it is meant",
        };
        Some(text.to_owned())
    }
}

fn http_exit_code(error: &HttpError) -> u8 {
    match error {
        HttpError::Status { .. } | HttpError::Token { .. } => 3,
        HttpError::Changed { .. } => 5,
        HttpError::Nonsense { .. } | HttpError::TooLarge { .. } | HttpError::NoRanges { .. } => 7,
        HttpError::Setup(_)
        | HttpError::Resolve { .. }
        | HttpError::Connect { .. }
        | HttpError::Tls { .. }
        | HttpError::Redirects { .. }
        | HttpError::Silent { .. }
        | HttpError::Broken { .. }
        | HttpError::Cut { .. }
        | _ => 4,
    }
}

fn store_hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::TargetExists { .. } => {
            "move it away, choose another name with -o, or --overwrite"
        }
        StoreError::InUse { .. } => "wait for it to end, or choose another name with -o",
        StoreError::OtherObject { .. } | StoreError::NotOurs { .. } => {
            "move it away, or choose another name with -o"
        }
        StoreError::Full { .. } | StoreError::TooLittleRoom { .. } => {
            "make room and run the same command to go on from here"
        }
        StoreError::TooLarge { .. } => "choose another disk with -o",
        StoreError::ReadOnly { .. } | StoreError::NoFolder { .. } => {
            "choose a folder that exists and that you may write to with -o"
        }
        StoreError::NameTooLong { .. } => "choose a shorter name with -o",
        StoreError::Damaged { .. } => "check the disk, then run the same command again",
        StoreError::Io { .. }
        | StoreError::Absent { .. }
        | StoreError::AbsentBytes { .. }
        | StoreError::Incomplete { .. }
        | StoreError::NotEmpty { .. }
        | StoreError::WrongSize { .. }
        | _ => "check the disk, then run the same command to go on from here",
    }
}

fn http_hint(error: &HttpError) -> &'static str {
    match error {
        HttpError::Status { status, .. } => match status.as_u16() {
            401 | 407 => "log in: give the server's token with --header 'Authorization: …'",
            403 => "you may not fetch it; a token may be missing (--header)",
            404 => "check the spelling of the URL",
            410 => "the publisher has removed it, or the operator has blocked it",
            429 | 503 => "the server is busy; run the same command later",
            500..=599 => "the server is in trouble; run the same command later",
            _ => "check the URL, or ask the server's owner",
        },
        HttpError::Token { said, .. } => match said {
            TokenRefusal::Missing => "ask the publisher for a token and give it with --token FILE",
            TokenRefusal::Expired => "ask the publisher for a new token",
            TokenRefusal::Refused(_) => "`peerlift token inspect FILE` shows what the token says",
        },
        HttpError::Resolve { .. } => "check the spelling of the name, and your network",
        HttpError::Connect { .. } | HttpError::Silent { .. } | HttpError::Broken { .. } => {
            "check your network; run the same command to go on from here"
        }
        HttpError::Cut { .. } => "run the same command to go on from here",
        HttpError::Tls { .. } => "the server's certificate is not trusted by this machine",
        HttpError::Redirects { .. } => "the server sends us in circles; tell its owner",
        HttpError::Changed { .. } => "run the same command to fetch the new version",
        HttpError::NoRanges { .. } => "another mirror may give parts of files (--mirror)",
        HttpError::Nonsense { .. } | HttpError::TooLarge { .. } => {
            "check the URL: what answers there is no such server"
        }
        HttpError::Setup(_) | _ => "check the proxy settings and certificates of this machine",
    }
}
