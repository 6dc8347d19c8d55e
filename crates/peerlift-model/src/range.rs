//! Half-open ranges of bytes and of chunk groups, and the indices they are made of.

use std::fmt;

/// The number of a chunk group, counted from 0. 32 bits reach 64 TiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub u32);

/// The number of a piece, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// Bytes `start..end` of an object. `start <= end` always.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range `start..end`; empty at `start` when `end` lies before it.
    #[must_use]
    pub fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The first byte.
    #[must_use]
    pub fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte.
    #[must_use]
    pub fn end(self) -> u64 {
        self.end
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}..{}", self.start, self.end)
    }
}

/// Chunk groups `start..end` of an object. `start <= end` always.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRange {
    start: u32,
    end: u32,
}

impl GroupRange {
    /// The range `start..end`; empty at `start` when `end` lies before it.
    #[must_use]
    pub fn new(start: u32, end: u32) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The range of one group.
    #[must_use]
    pub fn one(group: GroupIndex) -> Self {
        Self {
            start: group.0,
            end: group.0.saturating_add(1),
        }
    }

    /// The first group's number.
    #[must_use]
    pub fn start(self) -> u32 {
        self.start
    }

    /// One past the last group's number.
    #[must_use]
    pub fn end(self) -> u32 {
        self.end
    }

    /// The length in groups.
    #[must_use]
    pub fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether there is no group in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether the group lies in the range.
    #[must_use]
    pub fn contains(self, group: GroupIndex) -> bool {
        self.start <= group.0 && group.0 < self.end
    }

    /// The groups in both ranges.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The groups, in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = GroupIndex> + ExactSizeIterator {
        (self.start..self.end).map(GroupIndex)
    }
}

impl fmt::Debug for GroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "groups {}..{}", self.start, self.end)
    }
}
