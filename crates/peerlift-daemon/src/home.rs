//! Where everything of one user's lies: four folders, and the files in them.

use std::path::{Path, PathBuf};

/// The folders, none of them created yet. All names of files are here, so that a removal knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Settings.
    pub config: PathBuf,
    /// Lasting records.
    pub data: PathBuf,
    /// What may vanish.
    pub cache: PathBuf,
    /// What lives as long as the user is logged in: sockets.
    pub runtime: PathBuf,
    /// systemd's folder for units of the user's.
    pub units: PathBuf,
    /// Where the word of a removal stays when all else is gone.
    pub marker: PathBuf,
}

impl Home {
    /// The activity log's folder.
    #[must_use]
    pub fn activity(&self) -> PathBuf {
        self.data.join("activity")
    }

    /// What was sent and received.
    #[must_use]
    pub fn counts(&self) -> PathBuf {
        self.data.join("counts.json")
    }

    /// Where the last downloads came from.
    #[must_use]
    pub fn explanations(&self) -> PathBuf {
        self.data.join("explanations.json")
    }

    /// Who was asked to share, and what they said.
    #[must_use]
    pub fn consent(&self) -> PathBuf {
        self.data.join("consent.json")
    }

    /// The applications that use this client.
    #[must_use]
    pub fn applications(&self) -> PathBuf {
        self.data.join("applications.json")
    }

    /// The downloads of the background service.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.data.join("downloads.json")
    }

    /// The complete files that the background service shares.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.data.join("shared.json")
    }

    /// The folder of their sidecars.
    #[must_use]
    pub fn shared_sidecars(&self) -> PathBuf {
        self.cache.join("shared")
    }

    /// The secret of the panel's port.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.data.join("panel.secret")
    }

    /// The background service's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// Held by the background service while it runs.
    #[must_use]
    pub fn service_lock(&self) -> PathBuf {
        self.runtime.join("daemon.lock")
    }

    /// The units that start the service.
    #[must_use]
    pub fn unit_files(&self) -> [PathBuf; 2] {
        ["peerlift.service", "peerlift.socket"].map(|name| self.units.join(name))
    }

    /// A home below one folder, for tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            config: root.join("config/peerlift"),
            data: root.join("data/peerlift"),
            cache: root.join("cache/peerlift"),
            runtime: root.join("run/peerlift"),
            units: root.join("config/systemd/user"),
            marker: root.join("config/peerlift-removed"),
        }
    }
}
