//! Connections of this process, by their addresses: an HTTP client hands out no socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use socket2::SockRef;

/// Our address and the other side's.
type Ends = (SocketAddr, SocketAddr);

/// Where connections were found, to look there first: a look at all descriptors of a process with
/// fifty of them takes 200 system calls. As the table of descriptors itself, it is the process's.
static FOUND: Mutex<BTreeMap<Ends, RawFd>> = Mutex::new(BTreeMap::new());

/// Connections that are remembered; most of them are gone by then.
const FOUND_MAX: usize = 256;

/// The connection of this process between our address and the other side's, as a descriptor of its
/// own.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] when there is none, and what the kernel says.
pub(crate) fn find(ours: SocketAddr, theirs: SocketAddr) -> io::Result<OwnedFd> {
    let ends = (ours, theirs);
    let before = found().get(&ends).copied();
    if let Some(socket) = before.and_then(|number| duplicate_between(number, ends)) {
        return Ok(socket);
    }
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_socket = fs::read_link(entry.path()).is_ok_and(|target| {
            target
                .as_os_str()
                .as_encoded_bytes()
                .starts_with(b"socket:")
        });
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| is_socket) else {
            continue;
        };
        if let Some(socket) = duplicate_between(number, ends) {
            remember(ends, number);
            return Ok(socket);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn remember(ends: Ends, number: RawFd) {
    let mut found = found();
    if found.len() >= FOUND_MAX {
        found.clear();
    }
    found.insert(ends, number);
}

fn found() -> MutexGuard<'static, BTreeMap<Ends, RawFd>> {
    // What is in it is checked by whoever uses it.
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the number names, when it is a connection between these ends. It may have been closed in the
/// meantime, or name something else: the addresses tell.
fn duplicate_between(number: RawFd, (ours, theirs): Ends) -> Option<OwnedFd> {
    let socket = duplicate(number).ok()?;
    let socket_ref = SockRef::from(&socket);
    let is_at = |address: io::Result<socket2::SockAddr>, wanted| {
        address.is_ok_and(|address| address.as_socket() == Some(wanted))
    };
    let is_between = is_at(socket_ref.local_addr(), ours) && is_at(socket_ref.peer_addr(), theirs);
    is_between.then_some(socket)
}

#[expect(
    unsafe_code,
    reason = "the number may name nothing, which no safe wrapper allows"
)]
fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers and no pointer; what the number names is not changed.
    let result = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_for_as_long_as_it_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, there) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
        for _ in 0..2 {
            let socket = find(here, there).unwrap();
            let address = SockRef::from(&socket).peer_addr().unwrap();
            assert_eq!(address.as_socket(), Some(there));
        }
        drop(ours);
        let error = find(here, there).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let error = find(here, here).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
