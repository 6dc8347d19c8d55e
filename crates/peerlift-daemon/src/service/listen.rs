//! Where the service listens: a Unix socket that only the user can open, given by systemd or made here.

use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;

use thiserror::Error;
use tokio::net::UnixListener;

use crate::home::Home;
use crate::state::{make_private_folder, private_file};

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST_DESCRIPTOR: i32 = 3;

/// The socket, and the lock that says that this is the user's only service.
#[derive(Debug)]
pub struct Listening {
    pub(super) listener: UnixListener,
    /// Deleted at the end; `None`: it is systemd's.
    path: Option<PathBuf>,
    _lock: File,
}

/// The service cannot listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another one runs.
    #[error("the background service of this user runs already (process {process})")]
    Running {
        /// Its process, as it says.
        process: String,
    },
    /// The system refused.
    #[error("cannot listen at {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Listening {
    /// Takes the user's lock and listens. Must be called within a tokio runtime, once.
    ///
    /// # Errors
    ///
    /// A [`ListenError`].
    pub fn start(home: &Home) -> Result<Self, ListenError> {
        let path = home.socket();
        let io = |source| ListenError::Io {
            path: home.socket(),
            source,
        };
        make_private_folder(&home.runtime).map_err(io)?;
        let lock = take_lock(home)?;
        if let Some(listener) = passed().map_err(io)? {
            return Ok(Self {
                listener,
                path: None,
                _lock: lock,
            });
        }
        // Who holds the lock is alone: a socket that is there belongs to nobody.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = StdListener::bind(&path).map_err(io)?;
        // The folder is closed to others already.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let listener = UnixListener::from_std(listener).map_err(io)?;
        Ok(Self {
            listener,
            path: Some(path),
            _lock: lock,
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be gone with the whole folder.
            let _ = fs::remove_file(path);
        }
    }
}

fn take_lock(home: &Home) -> Result<File, ListenError> {
    let path = home.service_lock();
    let io = |source| ListenError::Io {
        path: home.service_lock(),
        source,
    };
    let file = private_file()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).unwrap_or_default();
            return Err(ListenError::Running {
                process: process.trim().to_owned(),
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(io(error)),
    }
    let text = format!("{}\n", std::process::id());
    // Only shown to a second one.
    fs::write(&path, text).map_err(io)?;
    Ok(file)
}

/// The socket that systemd passed, if it did (`LISTEN_PID`, `LISTEN_FDS`).
fn passed() -> io::Result<Option<UnixListener>> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS") != Some(1) {
        return Ok(None);
    }
    #[expect(
        unsafe_code,
        reason = "a descriptor that was passed is only known by its number"
    )]
    // SAFETY: systemd opened this descriptor for this process, and nothing else has taken it: this
    // runs once, before anything else looks at passed descriptors.
    let descriptor = unsafe { OwnedFd::from_raw_fd(FIRST_DESCRIPTOR) };
    let listener = StdListener::from(descriptor);
    listener.set_nonblocking(true)?;
    // A TCP socket would let anybody in.
    listener.local_addr()?;
    UnixListener::from_std(listener).map(Some)
}
