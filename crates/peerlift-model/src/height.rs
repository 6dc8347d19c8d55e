//! How high a subtree of a hash tree is.

/// The height of a subtree of a hash tree: the least *h* for which it covers at most 2^*h* groups.
///
/// A single group has height 0, a parent of two groups 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(u8);

impl Height {
    /// A single group's.
    pub const GROUP: Self = Self(0);

    /// No tree is higher: group numbers have 32 bits.
    pub const MAX: Self = Self(32);

    /// The height of that number; `None` above [`Self::MAX`].
    #[must_use]
    pub fn new(height: u32) -> Option<Self> {
        let height = u8::try_from(height).ok()?;
        (height <= Self::MAX.0).then_some(Self(height))
    }

    /// The height of a subtree over so many groups.
    #[must_use]
    pub fn of(groups: u32) -> Self {
        let bits = groups.saturating_sub(1).checked_ilog2();
        Self(bits.map_or(0, |bits| u8::try_from(bits + 1).unwrap_or(Self::MAX.0)))
    }

    /// As a number, from 0 to 32.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_those_of_the_power_of_two_that_covers_the_groups() {
        let heights = [0, 1, 2, 3, 4, 5, 8, 9, 1 << 31, (1 << 31) + 1, u32::MAX];
        let heights = heights.map(|groups| Height::of(groups).number());
        assert_eq!(heights, [0, 0, 1, 2, 2, 3, 3, 4, 31, 32, 32]);
    }

    #[test]
    fn no_tree_is_higher_than_group_numbers_reach() {
        assert_eq!(Height::new(0), Some(Height::GROUP));
        assert_eq!(Height::new(32), Some(Height::MAX));
        assert_eq!(Height::new(33), None);
        assert_eq!(Height::new(256), None);
    }
}
