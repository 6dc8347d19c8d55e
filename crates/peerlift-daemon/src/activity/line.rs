//! One line of the log: `HASH PREVIOUS JSON`, both hashes in 64 hexadecimal digits.

use blake3::Hash;

use super::entry::Entry;

/// The domain of the chain's hashes, so that no other hash of ours can stand in for one.
const CONTEXT: &str = "peerlift 2026-11 activity log v1";

/// The longest line: names and texts in entries are cut long before.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// What precedes the first entry of all.
pub(super) const NOTHING: Hash = Hash::from_bytes([0; 32]);

/// A line, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) hash: Hash,
    pub(super) previous: Hash,
    pub(super) entry: Entry,
}

/// Why a line is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFault {
    /// It is not a line of the log at all.
    Unreadable,
    /// Its content is not what was hashed.
    Edited,
}

impl Line {
    /// The line of an entry, with its newline.
    pub(super) fn write(entry: &Entry, previous: Hash) -> serde_json::Result<(Hash, Vec<u8>)> {
        let json = serde_json::to_vec(entry)?;
        let hash = hash(previous, &json);
        let mut line = format!("{hash} {previous} ").into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        Ok((hash, line))
    }

    /// Reads a line without its newline.
    pub(super) fn read(line: &[u8]) -> Result<Self, LineFault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LineFault::Unreadable);
        }
        let (own, rest) = digits(line)?;
        let (previous, json) = digits(rest)?;
        if hash(previous, json) != own {
            return Err(LineFault::Edited);
        }
        let entry = serde_json::from_slice(json).map_err(|_| LineFault::Unreadable)?;
        Ok(Self {
            hash: own,
            previous,
            entry,
        })
    }
}

fn hash(previous: Hash, json: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(previous.as_bytes());
    hasher.update(json);
    hasher.finalize()
}

/// A hash and the space behind it.
fn digits(text: &[u8]) -> Result<(Hash, &[u8]), LineFault> {
    let (digits, rest) = text.split_at_checked(64).ok_or(LineFault::Unreadable)?;
    let rest = rest.strip_prefix(b" ").ok_or(LineFault::Unreadable)?;
    let is_ours = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if !digits.iter().all(is_ours) {
        return Err(LineFault::Unreadable);
    }
    let hash = Hash::from_hex(digits).map_err(|_| LineFault::Unreadable)?;
    Ok((hash, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Happening, Origin};
    use crate::time::UnixTime;

    /// One of each kind.
    fn happenings() -> Vec<Happening> {
        let text = |word: &str| word.to_owned();
        let (name, why) = (text("os.iso"), text("because"));
        vec![
            Happening::Installed {
                origin: Origin::default(),
            },
            Happening::Updated {
                from: text("1"),
                to: text("2"),
            },
            Happening::Consent {
                publisher: text("key"),
                publisher_name: text("somebody"),
                agreed: text("off"),
                asked_by: text("a program"),
                answered_by: text("an account"),
            },
            Happening::AppRegistered {
                app: text("org.game"),
                name: text("A game"),
            },
            Happening::AppReleased {
                app: text("org.game"),
            },
            Happening::Started {
                started_by: text("init"),
            },
            Happening::Stopped { why: why.clone() },
            Happening::Listening {
                sockets: vec![text("0.0.0.0:1")],
            },
            Happening::DownloadStarted {
                name: name.clone(),
                url: text("http://a/b"),
            },
            Happening::Downloaded {
                name: name.clone(),
                size: 3,
                from_edge: 2,
                from_peers: 1,
            },
            Happening::DownloadFailed {
                name: name.clone(),
                why: why.clone(),
            },
            Happening::Shared {
                name: name.clone(),
                bytes: 4,
            },
            Happening::SharingEnded {
                name,
                why: why.clone(),
            },
            Happening::Paused { why: why.clone() },
            Happening::Resumed { why: why.clone() },
            Happening::SettingsChanged { what: why.clone() },
            Happening::Repaired { what: why },
            Happening::Sealed {
                origin: Some(Origin::default()),
            },
            Happening::Removed {
                asked_by: text("an account"),
            },
            Happening::Allowed {
                allowed_by: text("an account"),
            },
        ]
    }

    #[test]
    fn whatever_is_written_can_be_read() {
        for what in happenings() {
            let entry = Entry {
                seq: 7,
                at: UnixTime::from_secs(1),
                by: "peerlift 1.0 (process 1)".to_owned(),
                what,
            };
            let (_, line) = Line::write(&entry, NOTHING).unwrap();
            let read = Line::read(line.trim_ascii_end());
            assert_eq!(read.map(|line| line.entry), Ok(entry));
        }
    }
}
