//! The machine's own log: journald where it runs, else syslog, else nothing.
//!
//! Journald takes datagrams of `FIELD=value` lines (systemd: *Native Journal Protocol*); syslog takes
//! one line as RFC 3164 has it. Nobody waits for either: a log that is full or absent loses the message.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::activity::Entry;

/// Where the system's logs listen.
#[derive(Clone, Debug)]
pub struct SystemLog {
    journal: PathBuf,
    syslog: PathBuf,
}

/// `user.notice` (RFC 5424 §6.2.1): facility 1, severity 5.
const SYSLOG_PRIORITY: u8 = 13;

impl SystemLog {
    /// This machine's.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::at("/run/systemd/journal/socket".into(), "/dev/log".into())
    }

    /// A log that listens elsewhere.
    #[must_use]
    pub fn at(journal: PathBuf, syslog: PathBuf) -> Self {
        Self { journal, syslog }
    }

    /// Tells of an entry and the hash of its line.
    pub(crate) fn tell(&self, entry: &Entry, hash: &str) {
        let text = serde_json::to_string(&entry.what).unwrap_or_default();
        let fields = format!(
            "MESSAGE=peerlift: {text}\nPRIORITY=5\nSYSLOG_IDENTIFIER=peerlift\n\
             PEERLIFT_ENTRY={}\nPEERLIFT_HASH={hash}\n",
            entry.seq
        );
        let pid = std::process::id();
        let line = format!(
            "<{SYSLOG_PRIORITY}>peerlift[{pid}]: {text} entry={} hash={hash}",
            entry.seq
        );
        let told = send(&self.journal, &fields).or_else(|_| send(&self.syslog, &line));
        // Most containers have neither; the activity log has the entry all the same.
        drop(told);
    }
}

fn send(socket: &Path, text: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to(text.as_bytes(), socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Happening;
    use crate::time::UnixTime;

    fn entry() -> Entry {
        let what = Happening::Removed {
            asked_by: "somebody".to_owned(),
        };
        Entry {
            seq: 7,
            at: UnixTime::from_secs(1),
            by: "test".to_owned(),
            what,
        }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn journald_is_told_in_its_own_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        SystemLog::at(path, "/nonexistent".into()).tell(&entry(), "abc");
        let text = heard(&socket);
        for line in [
            "SYSLOG_IDENTIFIER=peerlift",
            "PEERLIFT_ENTRY=7",
            "PEERLIFT_HASH=abc",
        ] {
            assert!(text.lines().any(|have| have == line), "{text}");
        }
        assert!(
            text.starts_with("MESSAGE=peerlift: {\"kind\":\"removed\""),
            "{text}"
        );
    }

    #[test]
    fn syslog_is_told_where_there_is_no_journald() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        SystemLog::at("/nonexistent".into(), path).tell(&entry(), "abc");
        assert!(heard(&socket).starts_with("<13>peerlift["));
    }

    #[test]
    fn no_log_is_no_failure() {
        SystemLog::at("/nonexistent".into(), "/nonexistent".into()).tell(&entry(), "abc");
    }
}
