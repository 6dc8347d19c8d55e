//! Follows the chain through the bytes of the log and says where it breaks. Pure.

use std::fmt;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Origin};
use super::line::{Line, LineFault, NOTHING};

/// Faults that are told; a log with as many is beyond telling.
const FAULTS_MAX: usize = 100;

/// How far the log goes: the content of `activity.head`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The first entry that is kept.
    pub(super) first: u64,
    /// What the first one's line says is before it.
    pub(super) before_first: String,
    /// The last entry that was made durable; 0: none yet.
    pub(super) last: u64,
    /// The hash of its line.
    pub(super) last_hash: String,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its name, for people.
    pub(super) name: String,
    /// The entry it begins with, by its name.
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
}

/// Where the log is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// A line was changed.
    Edited {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// A line is not one of the log's.
    Unreadable {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// Entries are gone.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// An entry stands where it was not written.
    OutOfOrder {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The entry.
        seq: u64,
    },
    /// An entry does not follow from the one before it: one of them was written anew.
    Replaced {
        /// The entry.
        seq: u64,
    },
    /// The end of the log is gone.
    CutShort {
        /// The last entry there is.
        last: u64,
        /// The last entry that was written.
        written: u64,
    },
    /// The record of how far the log goes is gone or unreadable.
    NoHead,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { file, line } => write!(f, "{file}, line {line} was changed"),
            Self::Unreadable { file, line } => {
                write!(f, "{file}, line {line} is not an entry of the log")
            }
            Self::Missing { first, last } if first == last => write!(f, "entry {first} is missing"),
            Self::Missing { first, last } => write!(f, "entries {first} to {last} are missing"),
            Self::OutOfOrder { file, line, seq } => {
                write!(f, "{file}, line {line}: entry {seq} is not in its place")
            }
            Self::Replaced { seq } => write!(f, "entry {seq} or the one before it was replaced"),
            Self::CutShort { last, written } => {
                write!(
                    f,
                    "the log ends with entry {last}, but {written} were written"
                )
            }
            Self::NoHead => f.write_str("the record of how far the log goes is missing or damaged"),
        }
    }
}

/// The log as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// All entries that are as they were written, in the order of the files.
    pub entries: Vec<Entry>,
    /// Where the log was tampered with or damaged. Empty: it is whole.
    pub faults: Vec<Fault>,
    /// Whether the log ends in half a line, as a crash leaves it.
    pub torn: bool,
}

impl Checked {
    /// How Peerlift came here, if the log says.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.entries.iter().find_map(|entry| entry.what.origin())
    }
}

/// The end of the log: what the next entry follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// Bytes of the last file that are good.
    pub(super) good_bytes: usize,
}

/// Follows the chain through all files, in the order of their first entries.
pub(super) fn check(segments: &[Segment], head: Option<&Head>) -> (Checked, End) {
    let mut walk = Walk::new(head);
    for (number, segment) in segments.iter().enumerate() {
        walk.segment(segment, number + 1 == segments.len());
    }
    walk.finish(segments.is_empty())
}

struct Walk<'a> {
    head: Option<&'a Head>,
    checked: Checked,
    /// The entry that should come next; `None`: any may be the first.
    next: Option<u64>,
    end: End,
}

impl<'a> Walk<'a> {
    fn new(head: Option<&'a Head>) -> Self {
        let known = head.filter(|head| head.last > 0);
        let before = known.and_then(|head| Hash::from_hex(&head.before_first).ok());
        Self {
            head,
            checked: Checked::default(),
            next: known.map(|head| head.first),
            end: End {
                seq: 0,
                hash: before.unwrap_or(NOTHING),
                good_bytes: 0,
            },
        }
    }

    fn segment(&mut self, segment: &Segment, last: bool) {
        let mut start = 0;
        let mut number = 0;
        self.end.good_bytes = 0;
        while start < segment.bytes.len() {
            number += 1;
            let rest = &segment.bytes[start..];
            let length = rest.iter().position(|byte| *byte == b'\n');
            let is_end =
                last && length.is_none_or(|length| start + length + 1 == segment.bytes.len());
            let text = &rest[..length.unwrap_or(rest.len())];
            match Line::read(text) {
                Ok(line) if length.is_some() => {
                    self.entry(&segment.name, number, line);
                    self.end.good_bytes = start + text.len() + 1;
                }
                // What the head has not named was never promised: a crash.
                Ok(_) | Err(_) if is_end && self.is_beyond_head() => self.checked.torn = true,
                Ok(_) | Err(LineFault::Unreadable) => {
                    self.fault(Fault::Unreadable {
                        file: segment.name.clone(),
                        line: number,
                    });
                    self.end.good_bytes = start + text.len() + usize::from(length.is_some());
                }
                Err(LineFault::Edited) => {
                    self.fault(Fault::Edited {
                        file: segment.name.clone(),
                        line: number,
                    });
                    self.end.good_bytes = start + text.len() + usize::from(length.is_some());
                }
            }
            start += text.len() + 1;
        }
    }

    fn is_beyond_head(&self) -> bool {
        let promised = self.head.map_or(0, |head| head.last);
        self.end.seq >= promised
    }

    fn entry(&mut self, file: &str, line: usize, found: Line) {
        let seq = found.entry.seq;
        let expected = self.next.unwrap_or(seq);
        if seq > expected {
            self.missing(expected, seq - 1);
        } else if seq < expected {
            self.fault(Fault::OutOfOrder {
                file: file.to_owned(),
                line,
                seq,
            });
        } else if found.previous != self.end.hash && self.next.is_some() {
            self.replaced(seq);
        }
        self.next = Some(expected.max(seq).saturating_add(1));
        self.end.seq = self.end.seq.max(seq);
        self.end.hash = found.hash;
        if let Some(head) = self.head
            && head.last == seq
            && head.last_hash != found.hash.to_hex().as_str()
        {
            self.fault(Fault::Replaced { seq });
        }
        self.checked.entries.push(found.entry);
    }

    /// A line that was edited is told already; the entries it held are not missing besides.
    fn missing(&mut self, first: u64, last: u64) {
        let told = match self.checked.faults.last() {
            Some(Fault::Edited { .. } | Fault::Unreadable { .. }) => 1,
            _ => 0,
        };
        if last - first >= told {
            self.fault(Fault::Missing {
                first: first + told,
                last,
            });
        }
    }

    fn replaced(&mut self, seq: u64) {
        // What follows an entry that is out of place, or a changed line, cannot fit.
        if !matches!(
            self.checked.faults.last(),
            Some(Fault::OutOfOrder { .. } | Fault::Edited { .. } | Fault::Unreadable { .. })
        ) {
            self.fault(Fault::Replaced { seq });
        }
    }

    fn finish(mut self, empty: bool) -> (Checked, End) {
        match self.head {
            Some(head) if self.end.seq < head.last => {
                let edited_last = matches!(
                    self.checked.faults.last(),
                    Some(Fault::Edited { .. } | Fault::Unreadable { .. })
                ) && self.end.seq + 1 == head.last;
                if !edited_last {
                    self.fault(Fault::CutShort {
                        last: self.end.seq,
                        written: head.last,
                    });
                }
                // The gap stays visible: the next entry's number shows it for ever.
                self.end.seq = head.last;
            }
            // One entry without a head is what a crash leaves at the very first start.
            None if !empty && self.checked.entries.len() != 1 => self.fault(Fault::NoHead),
            Some(_) | None => {}
        }
        (self.checked, self.end)
    }

    fn fault(&mut self, fault: Fault) {
        if self.checked.faults.len() < FAULTS_MAX {
            self.checked.faults.push(fault);
        }
    }
}

/// Any bytes as the only file of a log.
pub(super) fn fuzz(bytes: &[u8]) {
    let segment = Segment {
        name: "fuzz".to_owned(),
        first: 1,
        bytes: bytes.to_vec(),
    };
    let (checked, end) = check(&[segment], None);
    assert!(end.good_bytes <= bytes.len());
    assert!(checked.faults.len() <= FAULTS_MAX);
    for entry in &checked.entries {
        // What was accepted can be written again and says the same.
        let (_, line) = Line::write(entry, NOTHING).expect("an entry can be written");
        let again = Line::read(&line[..line.len() - 1]);
        assert!(again.is_ok_and(|line| line.entry == *entry));
    }
}
