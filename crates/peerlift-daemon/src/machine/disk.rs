//! Room on disks, and when there is too little for things that can wait.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How much of the disks may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskRules {
    /// Bytes of the cache: what is kept to share files again after a restart, 0.4 % of each. The file
    /// that was not asked for longest makes room. Default: 500 MB.
    pub cache_bytes: u64,
    /// Bytes that stay free on a disk: with less, background downloads to it wait, and uploads rest
    /// when it has our records. Default: 250 MB.
    pub free_bytes: u64,
}

impl Default for DiskRules {
    fn default() -> Self {
        Self {
            cache_bytes: 500_000_000,
            free_bytes: 250_000_000,
        }
    }
}

/// A disk with too little room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowDisk {
    /// A folder on it.
    folder: PathBuf,
    /// Bytes that are free.
    free: u64,
    /// Bytes that should be.
    kept_free: u64,
}

impl fmt::Display for LowDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes / 1_000_000;
        write!(
            f,
            "the disk of {} is nearly full: {} MB are free, {} MB should stay so",
            self.folder.display(),
            megabytes(self.free),
            megabytes(self.kept_free)
        )
    }
}

/// Knows which folders lie on disks with too little room. Pure.
///
/// A quarter more than the bound must be free again before things go on: what waits would fill the
/// disk to the bound at once, and stop and start without end.
#[derive(Clone, Debug, Default)]
pub struct DiskGuard {
    low: BTreeMap<PathBuf, LowDisk>,
}

impl DiskGuard {
    /// Looks at these folders, and forgets all others. `free` tells how many bytes are free; a disk
    /// that does not say has room.
    pub fn look<'a>(
        &mut self,
        folders: impl IntoIterator<Item = &'a Path>,
        kept_free: u64,
        free: impl Fn(&Path) -> Option<u64>,
    ) {
        let mut low = BTreeMap::new();
        for folder in folders {
            if low.contains_key(folder) {
                continue;
            }
            let was_low = self.low.contains_key(folder);
            let more = if was_low { kept_free / 4 } else { 0 };
            if let Some(free) = free(folder).filter(|free| *free < kept_free.saturating_add(more)) {
                let folder = folder.to_owned();
                let found = LowDisk {
                    folder: folder.clone(),
                    free,
                    kept_free,
                };
                low.insert(folder, found);
            }
        }
        self.low = low;
    }

    /// What is wrong with a folder's disk, if anything.
    #[must_use]
    pub fn low(&self, folder: &Path) -> Option<&LowDisk> {
        self.low.get(folder)
    }

    /// What is wrong with any of them.
    #[must_use]
    pub fn any(&self) -> Option<&LowDisk> {
        self.low.values().next()
    }
}

/// Bytes that are free for this user on the disk of a folder, or of the nearest one above it that is
/// there.
pub(super) fn free_on_disk(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let system = rustix::fs::statvfs(there).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_low(guard: &mut DiskGuard, free: Option<u64>) -> bool {
        let folder = Path::new("/d");
        guard.look([folder, folder], 1000, |_| free);
        guard.low(folder).is_some()
    }

    #[test]
    fn it_goes_on_when_there_is_a_quarter_more_than_the_bound() {
        let mut guard = DiskGuard::default();
        assert!(!is_low(&mut guard, Some(1000)));
        assert!(is_low(&mut guard, Some(999)));
        assert!(is_low(&mut guard, Some(1249)));
        assert!(!is_low(&mut guard, Some(1250)));
        assert!(!is_low(&mut guard, Some(1000)));
        assert!(is_low(&mut guard, Some(0)));
        assert!(
            !is_low(&mut guard, None),
            "a disk that does not say has room"
        );
    }

    #[test]
    fn the_reason_names_the_disk_and_how_much_is_free() {
        let mut guard = DiskGuard::default();
        guard.look([Path::new("/d"), Path::new("/e")], 250_000_000, |folder| {
            folder.ends_with("d").then_some(12_500_000)
        });
        let why = guard.any().unwrap().to_string();
        assert_eq!(
            why,
            "the disk of /d is nearly full: 12 MB are free, 250 MB should stay so"
        );
        assert_eq!(guard.low(Path::new("/e")), None);
        // Nobody looks at it any more.
        guard.look([], 250_000_000, |_| Some(0));
        assert_eq!(guard.any(), None);
    }

    proptest! {
        /// Below the bound it is always low, above the bound and a quarter never; between them it
        /// stays as it was.
        #[test]
        fn between_the_bounds_nothing_changes(seen in proptest::collection::vec(0u64..2000, 1..50)) {
            let (mut guard, mut expected) = (DiskGuard::default(), false);
            for free in seen {
                expected = free < 1000 || (expected && free < 1250);
                prop_assert_eq!(is_low(&mut guard, Some(free)), expected);
            }
        }
    }
}
