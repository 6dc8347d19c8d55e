//! A user's home that nobody else has, with a folder to work in.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::process::{Ended, Running};

/// A home, gone with the test.
pub(crate) struct World {
    root: TempDir,
    /// What lies at `/etc` for its commands, if it is not the machine's own.
    etc: Option<PathBuf>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            root: TempDir::with_prefix("peerlift-test-").unwrap(),
            etc: None,
        };
        fs::create_dir(world.path("")).unwrap();
        world
    }

    /// The folder of everything: homes and work.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path below the folder that commands run in.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join("work").join(below)
    }

    /// A file of peerlift's own, below `$XDG_DATA_HOME/peerlift`.
    pub(crate) fn data(&self, below: &str) -> PathBuf {
        self.root.path().join("data/peerlift").join(below)
    }

    /// The cache below `$XDG_CACHE_HOME/peerlift`.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.path().join("cache/peerlift")
    }

    /// Writes the settings.
    pub(crate) fn configure(&self, toml: &str) {
        let folder = self.root.path().join("config/peerlift");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), toml).unwrap();
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a file that seems to have been there for a day: nobody trusts the time stamp of one
    /// that may be written to this very moment.
    pub(crate) fn write_settled(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.write(below, bytes);
        let day = Duration::from_secs(86_400);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - day).unwrap();
        path
    }

    /// The bytes of a file in the work folder.
    #[track_caller]
    pub(crate) fn read(&self, below: &str) -> Vec<u8> {
        let path = self.path(below);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The names in a folder, sorted.
    pub(crate) fn list(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// The command, not yet started. It sees nothing of the tester's own settings.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let program = env!("CARGO_BIN_EXE_peerlift");
        let mut command = match &self.etc {
            None => Command::new(program),
            Some(etc) => {
                let mut command = elsewhere(etc);
                command.arg(program);
                command
            }
        };
        command.args(args).current_dir(self.path("")).env_clear();
        let homes = [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
        ];
        for (variable, below) in homes {
            command.env(variable, self.root.path().join(below));
        }
        command
    }

    /// From now on an administrator's policy holds for its commands: they see an `/etc` of their own.
    /// False, with the reason printed: this user may not mount anything.
    pub(crate) fn obey_policy(&mut self, toml: &str) -> bool {
        let etc = self.root.path().join("etc");
        fs::create_dir_all(etc.join("peerlift")).unwrap();
        fs::write(etc.join("peerlift/policy.toml"), toml).unwrap();
        for file in ["passwd", "nsswitch.conf", "hosts"] {
            // A machine without one does without it here, too.
            let _ = fs::copy(Path::new("/etc").join(file), etc.join(file));
        }
        match elsewhere(&etc).arg("true").output() {
            Ok(output) if output.status.success() => {
                self.etc = Some(etc);
                true
            }
            Ok(output) => {
                eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
                false
            }
            Err(error) => {
                eprintln!("skipped: unshare: {error}");
                false
            }
        }
    }

    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        Running::start(&mut self.command(args))
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.start(args).wait()
    }

    /// `peerlift get --quiet`, so that standard error has complaints only.
    pub(crate) fn get<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        let mut command = self.command(["get", "--quiet"]);
        Running::start(command.args(args)).wait()
    }

    /// `peerlift get --json`, under way.
    pub(crate) fn getting<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        let mut command = self.command(["get", "--json"]);
        Running::start(command.args(args))
    }

    /// Writes a file and publishes it.
    pub(crate) fn publish(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.write(below, bytes);
        self.publish_as(&path, &[]);
        path
    }

    /// Publishes a file with options.
    #[track_caller]
    pub(crate) fn publish_as(&self, path: &Path, options: &[&str]) {
        let mut command = self.command(["publish", "--quiet"]);
        Running::start(command.arg(path).args(options))
            .wait()
            .fine();
    }
}

/// A path beside another: its name with something appended.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Becomes the program named after it, in a mount namespace where this folder lies at `/etc`.
fn elsewhere(etc: &Path) -> Command {
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-c"]);
    command.arg("/usr/bin/mount --bind \"$0\" /etc && exec \"$@\"");
    command.arg(etc);
    command
}
