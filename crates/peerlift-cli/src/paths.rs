//! Where files of the user's live (XDG Base Directory Specification 0.8).

use std::env;
use std::path::{Path, PathBuf};

use peerlift_daemon::home::Home;

use crate::failure::{Exit, Failure};

/// The four folders, none of them created yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    config: PathBuf,
    data: PathBuf,
    cache: PathBuf,
    runtime: PathBuf,
    units: PathBuf,
    marker: PathBuf,
}

impl Paths {
    /// From the environment.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        Self::from_vars(|name| env::var_os(name).map(PathBuf::from))
    }

    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, Failure> {
        let absolute = |name| var(name).filter(|path: &PathBuf| path.is_absolute());
        let home = absolute("HOME");
        let base = |name, below_home: &str| {
            let base = absolute(name).or_else(|| home.as_ref().map(|home| home.join(below_home)));
            let base = base.ok_or_else(|| {
                Failure::new(Exit::Usage, "there is no home folder")
                    .hint(format!("set HOME or {name} to an absolute path"))
            })?;
            Ok::<_, Failure>(base)
        };
        let config = base("XDG_CONFIG_HOME", ".config")?;
        let data = base("XDG_DATA_HOME", ".local/share")?.join("peerlift");
        // Without a session there is no folder for sockets; the user's data are as private.
        let runtime = absolute("XDG_RUNTIME_DIR")
            .map_or_else(|| data.join("run"), |base| base.join("peerlift"));
        Ok(Self {
            cache: base("XDG_CACHE_HOME", ".cache")?.join("peerlift"),
            units: config.join("systemd/user"),
            marker: config.join("peerlift-removed"),
            config: config.join("peerlift"),
            data,
            runtime,
        })
    }

    /// The configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Lasting records: keys, known publishers, answers.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What may vanish.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The key that signs manifests.
    pub(crate) fn publisher_key(&self) -> PathBuf {
        self.data.join("publisher.key")
    }

    /// The key of the control node inside `peerlift serve`.
    pub(crate) fn control_key(&self) -> PathBuf {
        self.data.join("control-node.key")
    }

    /// The secret that the keys are made of which publishers bind tokens to.
    pub(crate) fn token_key(&self) -> PathBuf {
        self.data.join("token.key")
    }

    /// What the operator of the control node has blocked.
    pub(crate) fn blocked(&self) -> PathBuf {
        self.data.join("blocked.jwt")
    }

    /// All of it, for the background service.
    pub(crate) fn home(&self) -> Home {
        Home {
            config: self.config.clone(),
            data: self.data.clone(),
            cache: self.cache.clone(),
            runtime: self.runtime.clone(),
            units: self.units.clone(),
            marker: self.marker.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)]) -> Result<Paths, Failure> {
        Paths::from_vars(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn folders_lie_below_home_unless_named() {
        let paths = with(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]).unwrap();
        assert_eq!(
            paths.config_file(),
            Path::new("/h/.config/peerlift/config.toml")
        );
        assert_eq!(
            paths.publisher_key(),
            Path::new("/d/peerlift/publisher.key")
        );
        assert_eq!(paths.cache(), Path::new("/h/.cache/peerlift"));
    }

    #[test]
    fn relative_folders_are_ignored_as_the_specification_says() {
        let paths = with(&[("HOME", "/h"), ("XDG_DATA_HOME", "d")]).unwrap();
        assert_eq!(paths.data(), Path::new("/h/.local/share/peerlift"));
    }

    #[test]
    fn no_home_is_an_error_with_advice() {
        let failure = with(&[("XDG_CONFIG_HOME", "/c")]).unwrap_err();
        assert!(failure.to_string().contains("XDG_DATA_HOME"), "{failure}");
    }
}
