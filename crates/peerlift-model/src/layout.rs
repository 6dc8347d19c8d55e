//! How an object of a given size is cut into chunk groups and pieces.

use crate::{ByteRange, GroupIndex, GroupRange, PieceIndex};

/// Bytes in a chunk group, the unit of verification: 16 KiB, as iroh's own trees have it.
pub const GROUP_BYTES: u64 = 16 * 1024;

/// The smallest piece. Below four groups a proof weighs more than 1 % of what it proves.
pub const PIECE_BYTES_MIN: u64 = 64 * 1024;

/// The largest piece. Above it a slow source sits on too much at once.
pub const PIECE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// About how many pieces an object should have: enough for rarity to mean something, few enough
/// that a plan over all pieces costs microseconds.
pub const PIECES_AIM: u64 = 1000;

/// The cut of one object into groups and pieces. A pure function of its size, so that every
/// client cuts alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    groups_per_piece: u32,
}

impl Layout {
    /// The largest object: 32-bit group numbers, one of them kept free for "one past the last".
    pub const SIZE_MAX: u64 = (u32::MAX as u64 - 1) * GROUP_BYTES;

    /// The cut of an object of `size` bytes; `None` above [`Layout::SIZE_MAX`].
    ///
    /// The piece is the smallest power of two in [`PIECE_BYTES_MIN`]..=[`PIECE_BYTES_MAX`] that
    /// gives at most [`PIECES_AIM`] pieces and a quarter.
    #[must_use]
    pub fn new(size: u64) -> Option<Self> {
        if size > Self::SIZE_MAX {
            return None;
        }
        let mut piece = PIECE_BYTES_MIN;
        while piece < PIECE_BYTES_MAX && size.div_ceil(piece) > PIECES_AIM * 5 / 4 {
            piece *= 2;
        }
        let groups_per_piece = u32::try_from(piece / GROUP_BYTES).ok()?;
        Some(Self {
            size,
            groups_per_piece,
        })
    }

    /// The object's size in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// Bytes in every piece but perhaps the last.
    #[must_use]
    pub fn piece_bytes(self) -> u64 {
        u64::from(self.groups_per_piece) * GROUP_BYTES
    }

    /// Groups in every piece but perhaps the last.
    #[must_use]
    pub fn groups_per_piece(self) -> u32 {
        self.groups_per_piece
    }

    /// How many groups the object has. An empty object has none.
    #[must_use]
    pub fn group_count(self) -> u32 {
        group_number(self.size.div_ceil(GROUP_BYTES))
    }

    /// How many pieces the object has. An empty object has none.
    #[must_use]
    pub fn piece_count(self) -> u32 {
        self.group_count().div_ceil(self.groups_per_piece)
    }

    /// All groups.
    #[must_use]
    pub fn all_groups(self) -> GroupRange {
        GroupRange::new(0, self.group_count())
    }

    /// The piece that holds the group.
    #[must_use]
    pub fn piece_of(self, group: GroupIndex) -> PieceIndex {
        PieceIndex(group.0 / self.groups_per_piece)
    }

    /// The groups of a piece; empty beyond the last piece.
    #[must_use]
    pub fn groups_of(self, piece: PieceIndex) -> GroupRange {
        let start = u64::from(piece.0) * u64::from(self.groups_per_piece);
        let end = start + u64::from(self.groups_per_piece);
        let clip = |at: u64| {
            u32::try_from(at)
                .unwrap_or(u32::MAX)
                .min(self.group_count())
        };
        GroupRange::new(clip(start), clip(end))
    }

    /// The bytes of a range of groups, cut at the end of the object.
    #[must_use]
    pub fn bytes_of(self, groups: GroupRange) -> ByteRange {
        let at = |group: u32| (u64::from(group) * GROUP_BYTES).min(self.size);
        ByteRange::new(at(groups.start()), at(groups.end()))
    }

    /// The smallest range of groups that covers a range of bytes.
    #[must_use]
    pub fn groups_covering(self, bytes: ByteRange) -> GroupRange {
        if bytes.is_empty() || bytes.start() >= self.size {
            return GroupRange::default();
        }
        let end = bytes.end().min(self.size);
        GroupRange::new(
            group_number(bytes.start() / GROUP_BYTES),
            group_number(end.div_ceil(GROUP_BYTES)),
        )
    }
}

/// Narrows a group number; [`Layout::SIZE_MAX`] keeps those of an object from saturating.
fn group_number(at: u64) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_the_object() {
        let pieces = |size| Layout::new(size).map(|l| (l.piece_bytes() >> 10, l.piece_count()));
        assert_eq!(pieces(0), Some((64, 0)));
        assert_eq!(pieces(1), Some((64, 1)));
        assert_eq!(pieces(64 << 20), Some((64, 1024)));
        assert_eq!(pieces(1 << 30), Some((1024, 1024)));
        assert_eq!(pieces(20 << 30), Some((4096, 5120)));
    }

    #[test]
    fn the_last_group_is_cut_at_the_end_of_the_object() {
        let layout = Layout::new(GROUP_BYTES * 4 + 1).unwrap();
        assert_eq!(layout.group_count(), 5);
        assert_eq!(layout.groups_of(PieceIndex(1)), GroupRange::new(4, 5));
        assert_eq!(layout.bytes_of(GroupRange::new(4, 5)).len(), 1);
        assert!(layout.groups_of(PieceIndex(2)).is_empty());
    }

    #[test]
    fn offsets_beyond_four_gibibytes_are_exact() {
        let layout = Layout::new(20 << 30).unwrap();
        let last = layout.groups_of(PieceIndex(layout.piece_count() - 1));
        assert_eq!(layout.bytes_of(last).end(), 20 << 30);
        assert_eq!(layout.groups_covering(layout.bytes_of(last)), last);
    }

    #[test]
    fn refuses_what_group_numbers_cannot_reach() {
        assert!(Layout::new(Layout::SIZE_MAX).is_some());
        assert!(Layout::new(Layout::SIZE_MAX + 1).is_none());
    }
}
