//! Removal: everything goes, at once and for good. One small file stays, so that no copy inside an
//! application brings Peerlift back until its user says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::activity::{ActivityLog, Happening};
use crate::consent::account;
use crate::home::Home;
use crate::state::replace;
use crate::system_log::SystemLog;
use crate::time::UnixTime;

/// What the marker says to whoever finds it.
const MARKER_TEXT: &str = "\
Peerlift was removed from this account. This file is all that is left of it.\n\
While it is here, no program can bring Peerlift back without being asked.\n\
To allow it again: delete this file, or run `peerlift daemon --allow-again`.\n";

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// What was deleted.
    pub deleted: Vec<PathBuf>,
    /// What could not be, and why.
    pub failed: Vec<(PathBuf, String)>,
    /// The file that stays.
    pub marker: PathBuf,
    /// The user's own downloads: they stay where they are, and are not looked for.
    pub kept: &'static str,
}

/// Whether the user has removed Peerlift.
#[must_use]
pub fn is_removed(home: &Home) -> bool {
    home.marker.exists()
}

/// Lets Peerlift come back. True: it had been removed.
///
/// # Errors
///
/// What the system says.
pub fn allow_again(home: &Home, log: &ActivityLog) -> io::Result<bool> {
    match fs::remove_file(&home.marker) {
        Ok(()) => {
            let allowed = Happening::Allowed {
                allowed_by: account(),
            };
            log.note(allowed, UnixTime::now())
                .map_err(io::Error::other)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Everything that would be deleted, as far as it is there.
#[must_use]
pub fn traces(home: &Home) -> Vec<PathBuf> {
    let folders = [&home.data, &home.cache, &home.runtime, &home.config];
    let mut traces: Vec<PathBuf> = folders.into_iter().cloned().collect();
    for unit in home.unit_files() {
        for target in ["default.target.wants", "sockets.target.wants"] {
            traces.push(
                home.units
                    .join(target)
                    .join(unit.file_name().unwrap_or_default()),
            );
        }
        traces.push(unit);
    }
    // A link to a unit that is gone is still a trace.
    traces.retain(|path| path.symlink_metadata().is_ok());
    traces
}

/// Deletes everything and leaves the marker. The service must have ended before; the publisher's key
/// lies among the data and goes, too, unless it was moved.
pub fn remove(home: &Home, system: &SystemLog, asked_by: &str) -> Removal {
    remove_all(home, system, asked_by, &["--now"])
}

/// As [`remove`], by the service itself: systemd is not waited for, as it waits for the service.
pub fn remove_from_within(home: &Home, system: &SystemLog, asked_by: &str) -> Removal {
    remove_all(home, system, asked_by, &["--now", "--no-block"])
}

fn remove_all(home: &Home, system: &SystemLog, asked_by: &str, how: &[&str]) -> Removal {
    let mut removal = Removal {
        marker: home.marker.clone(),
        kept: "files that you downloaded, and settings of programs that are not Peerlift's",
        ..Removal::default()
    };
    // The marker first: a crash from here on is a removal that is not finished, never one undone.
    if let Err(error) = replace(&home.marker, MARKER_TEXT.as_bytes()) {
        removal
            .failed
            .push((home.marker.clone(), error.to_string()));
    }
    let removed = Happening::Removed {
        asked_by: asked_by.to_owned(),
    };
    let found = traces(home);
    let log = ActivityLog::at(home.activity(), system.clone());
    // The log goes with the rest; this entry is for the system's.
    if let Err(error) = log.note(removed, UnixTime::now()) {
        removal.failed.push((home.activity(), error.to_string()));
    }
    forget_units(home, how);
    for path in traces(home) {
        match delete(&path) {
            // The entry above may have made a folder of its own.
            Ok(()) if found.contains(&path) => removal.deleted.push(path),
            Ok(()) => {}
            // It lay in a folder that went before it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => removal.failed.push((path, error.to_string())),
        }
    }
    for folder in [
        &home.data,
        &home.cache,
        &home.runtime,
        &home.config,
        &home.units.join("x"),
    ] {
        prune_above(folder);
    }
    removal
}

fn delete(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Lets systemd forget the units before their files go. Without systemd there is nothing to forget.
fn forget_units(home: &Home, how: &[&str]) {
    // A link may lead to units of a package's.
    let known = traces(home)
        .iter()
        .any(|path| path.starts_with(&home.units));
    if known {
        let names = ["peerlift.socket", "peerlift.service"];
        let mut disable = Command::new("systemctl");
        disable.args(["--user", "disable"]).args(how).args(names);
        drop(disable.output());
    }
}

/// Folders that others use as well were made for us alone where they are empty.
fn prune_above(path: &Path) {
    let Some(folder) = path.parent() else { return };
    let shared = [
        "systemd/user",
        "systemd",
        ".local/share",
        ".local",
        ".cache",
    ];
    let is_ours = |folder: &Path| shared.iter().any(|name| folder.ends_with(name));
    let mut folder = folder;
    while is_ours(folder) && fs::remove_dir(folder).is_ok() {
        let Some(above) = folder.parent() else { return };
        folder = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_but_the_marker_and_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        let nowhere = SystemLog::at("/nonexistent".into(), "/nonexistent".into());
        let theirs = folder.path().join("config/other/settings");
        let ours = [
            home.counts(),
            home.socket(),
            home.config.join("config.toml"),
            home.cache.join("x/y"),
        ];
        for file in ours.iter().chain([&theirs]) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let removal = remove(&home, &nowhere, "a test");
        assert_eq!(removal.failed, []);
        assert_eq!(traces(&home), Vec::<PathBuf>::new());
        assert!(is_removed(&home) && theirs.exists());

        let again = remove(&home, &nowhere, "a test");
        assert_eq!(again.deleted, Vec::<PathBuf>::new(), "nothing was there");
        assert_eq!(traces(&home), Vec::<PathBuf>::new());

        let log = ActivityLog::at(home.activity(), nowhere);
        assert!(allow_again(&home, &log).unwrap());
        assert!(!allow_again(&home, &log).unwrap());
        assert!(!is_removed(&home));
        assert_eq!(log.check().unwrap().faults, []);
    }
}
