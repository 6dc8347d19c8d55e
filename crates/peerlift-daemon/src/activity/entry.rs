//! One entry: who noted when what happened.

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// Something that happened, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts the entries of this machine's log, from 1.
    pub seq: u64,
    /// When, by the machine's clock.
    pub at: UnixTime,
    /// Which program noted it: its version and process number.
    pub by: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// How Peerlift came to this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// When it was first noted.
    pub at: UnixTime,
    /// The program, its full path.
    pub program: String,
    /// Its version then.
    pub version: String,
    /// By which package, application or person, as far as can be told.
    pub installed_by: String,
}

/// What can happen. Bytes are bytes; texts are for people.
///
/// What a kind has besides lies beside the words of [`Entry`], so none may be called `seq`, `at`, `by`
/// or `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Happening {
    /// Peerlift ran here for the first time.
    Installed {
        /// When, by whom, which program.
        origin: Origin,
    },
    /// Another version runs than the last time.
    Updated {
        /// The version before.
        from: String,
        /// The version now.
        to: String,
    },
    /// A question about sharing was answered.
    Consent {
        /// The publisher's key.
        publisher: String,
        /// What it calls itself.
        publisher_name: String,
        /// What was agreed to: `off`, `while-downloading`, `in-background`.
        agreed: String,
        /// Which program asked.
        asked_by: String,
        /// Which account answered.
        answered_by: String,
    },
    /// An application began to use Peerlift.
    AppRegistered {
        /// Its identifier.
        app: String,
        /// Its name.
        name: String,
    },
    /// An application uses Peerlift no more.
    AppReleased {
        /// Its identifier.
        app: String,
    },
    /// The background service started.
    Started {
        /// What started it.
        started_by: String,
    },
    /// The background service ended.
    Stopped {
        /// Why.
        why: String,
    },
    /// A port was opened for other downloaders.
    Listening {
        /// Which ones.
        sockets: Vec<String>,
    },
    /// A download began.
    DownloadStarted {
        /// The file's name.
        name: String,
        /// Where it comes from, without what follows the path.
        url: String,
    },
    /// A download ended well.
    Downloaded {
        /// The file's name.
        name: String,
        /// Its size.
        size: u64,
        /// Bytes that came from the publisher's servers.
        from_edge: u64,
        /// Bytes that came from other users.
        from_peers: u64,
    },
    /// A download ended badly.
    DownloadFailed {
        /// The file's name.
        name: String,
        /// Why.
        why: String,
    },
    /// Bytes were sent to other users.
    Shared {
        /// The file's name.
        name: String,
        /// How many bytes, since the last such entry.
        bytes: u64,
    },
    /// A complete file is no longer shared, though its user did not end that.
    SharingEnded {
        /// The file's name.
        name: String,
        /// Why.
        why: String,
    },
    /// Uploads stopped for a while.
    Paused {
        /// Why.
        why: String,
    },
    /// Uploads may go on.
    Resumed {
        /// Why.
        why: String,
    },
    /// The user changed settings.
    SettingsChanged {
        /// What holds now.
        what: String,
    },
    /// A record was damaged, by a crash or by somebody, and what was done about it.
    Repaired {
        /// What and how.
        what: String,
    },
    /// A file of this log was full; this entry is the first of the next one.
    Sealed {
        /// How Peerlift came here, lest it be forgotten.
        origin: Option<Origin>,
    },
    /// Peerlift was removed from this account.
    Removed {
        /// Who asked for it.
        asked_by: String,
    },
    /// The user let Peerlift come back after a removal.
    Allowed {
        /// Which account.
        allowed_by: String,
    },
    /// Something that only a later version knows.
    #[serde(other)]
    Unknown,
}

impl Happening {
    /// How Peerlift came here, where this is told.
    pub(super) fn origin(&self) -> Option<&Origin> {
        if let Self::Installed { origin }
        | Self::Sealed {
            origin: Some(origin),
        } = self
        {
            Some(origin)
        } else {
            None
        }
    }

    /// The version that runs from here on, where this is told.
    pub(super) fn updated_to(&self) -> Option<&str> {
        if let Self::Updated { to, .. } = self {
            Some(to)
        } else {
            None
        }
    }

    /// Whether the system's log must hear of it: what changes what Peerlift may do here.
    #[must_use]
    pub fn matters_to_the_system(&self) -> bool {
        match self {
            Self::Installed { .. }
            | Self::Updated { .. }
            | Self::Consent { .. }
            | Self::AppRegistered { .. }
            | Self::AppReleased { .. }
            | Self::Listening { .. }
            | Self::Repaired { .. }
            | Self::Removed { .. }
            | Self::Allowed { .. } => true,
            Self::Started { .. }
            | Self::Stopped { .. }
            | Self::DownloadStarted { .. }
            | Self::Downloaded { .. }
            | Self::DownloadFailed { .. }
            | Self::Shared { .. }
            | Self::SharingEnded { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Sealed { .. }
            | Self::SettingsChanged { .. }
            | Self::Unknown => false,
        }
    }
}
