//! The applications that use this client: they register, and leave. When the last one has left, and
//! the user has not asked for the client by themselves, it removes itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::home::Home;
use crate::state::{Keep, StateError, StateFile};
use crate::time::UnixTime;

/// Applications that can be registered: more than anybody installs.
const APPLICATIONS_MAX: usize = 256;

/// The longest identifier or name.
const TEXT_BYTES_MAX: usize = 128;

/// An application that uses this client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its identifier, as in `org.example.game`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// The program that registered it, if it is known.
    pub program: Option<PathBuf>,
    /// Since when.
    pub since: UnixTime,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    applications: Vec<Application>,
}

/// The list on disk.
#[derive(Debug)]
pub struct Applications {
    file: StateFile<Record>,
    marker: PathBuf,
}

/// An application cannot be registered or released.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The identifier or the name is none.
    #[error(
        "{0:?} is no application identifier or name; use up to {TEXT_BYTES_MAX} letters, as in org.example.game"
    )]
    Text(String),
    /// No such application is registered.
    #[error("no application {0:?} is registered")]
    Unknown(String),
    /// There are too many.
    #[error("{APPLICATIONS_MAX} applications are registered already")]
    TooMany,
    /// The user has removed Peerlift from this account.
    #[error("Peerlift was removed from this account, and its user has not let it come back")]
    Removed,
    /// The list cannot be read or kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Who is left after an application has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Others use it.
    Some,
    /// Nobody does: the client should remove itself.
    Nobody,
}

impl Applications {
    /// The list of a home.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            file: StateFile::at(home.applications()),
            marker: home.marker.clone(),
        }
    }

    /// All of them, in the order in which they came.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the list cannot be read.
    pub fn list(&self) -> Result<Vec<Application>, StateError> {
        Ok(self.file.load()?.record.applications)
    }

    /// Registers an application, or brings its name up to date. True: it was not there before.
    ///
    /// # Errors
    ///
    /// An [`ApplicationError`].
    pub fn register(&self, application: Application) -> Result<bool, ApplicationError> {
        let good_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if application.id.is_empty()
            || !application.id.chars().all(good_id)
            || application.id.len() > TEXT_BYTES_MAX
        {
            return Err(ApplicationError::Text(application.id));
        }
        if application.name.len() > TEXT_BYTES_MAX || application.name.chars().any(char::is_control)
        {
            return Err(ApplicationError::Text(application.name));
        }
        if self.marker.exists() {
            return Err(ApplicationError::Removed);
        }
        self.file.update(|loaded| {
            let all = &mut loaded.record.applications;
            let full = all.len() >= APPLICATIONS_MAX;
            match all.iter_mut().find(|known| known.id == application.id) {
                Some(known) => {
                    known.name = application.name;
                    known.program = application.program.or(known.program.take());
                    (Ok(false), Keep::Yes)
                }
                None if full => (Err(ApplicationError::TooMany), Keep::No),
                None => {
                    all.push(application);
                    (Ok(true), Keep::Yes)
                }
            }
        })?
    }

    /// Releases an application.
    ///
    /// # Errors
    ///
    /// An [`ApplicationError`].
    pub fn release(&self, id: &str) -> Result<Left, ApplicationError> {
        // Changing the list makes its folder, also where nothing of ours may lie any more.
        if self.list()?.iter().all(|known| known.id != id) {
            return Err(ApplicationError::Unknown(id.to_owned()));
        }
        self.file.update(|loaded| {
            let all = &mut loaded.record.applications;
            let before = all.len();
            all.retain(|known| known.id != id);
            match (all.len() < before, all.is_empty()) {
                (false, _) => (Err(ApplicationError::Unknown(id.to_owned())), Keep::No),
                (true, false) => (Ok(Left::Some), Keep::Yes),
                (true, true) => (Ok(Left::Nobody), Keep::Yes),
            }
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(id: &str) -> Application {
        Application {
            id: id.to_owned(),
            name: "A game".to_owned(),
            program: None,
            since: UnixTime::from_secs(1),
        }
    }

    #[test]
    fn applications_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let applications = Applications::of(&Home::below(folder.path()));
        assert!(applications.register(application("org.a")).unwrap());
        assert!(!applications.register(application("org.a")).unwrap());
        assert!(applications.register(application("org.b")).unwrap());
        assert_eq!(applications.list().unwrap().len(), 2);
        assert_eq!(applications.release("org.a").unwrap(), Left::Some);
        assert!(matches!(
            applications.release("org.a"),
            Err(ApplicationError::Unknown(_))
        ));
        assert_eq!(applications.release("org.b").unwrap(), Left::Nobody);
    }

    #[test]
    fn nonsense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let applications = Applications::of(&Home::below(folder.path()));
        for id in ["", "a b", "a\n", &"x".repeat(200)] {
            assert!(applications.register(application(id)).is_err(), "{id:?}");
        }
        let painted = Application {
            name: "\u{1b}[2J".to_owned(),
            ..application("org.a")
        };
        assert!(applications.register(painted).is_err());
    }

    #[test]
    fn a_removal_is_honoured() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        std::fs::create_dir_all(home.marker.parent().unwrap()).unwrap();
        std::fs::write(&home.marker, "").unwrap();
        let refused = Applications::of(&home).register(application("org.a"));
        assert!(matches!(refused, Err(ApplicationError::Removed)));
        let unknown = Applications::of(&home).release("org.a");
        assert!(matches!(unknown, Err(ApplicationError::Unknown(_))));
        assert!(!home.data.exists(), "nothing came back");
    }
}
