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
