//! How long a run a peer that has everything is asked for.
//!
//! Every answer has a head, and whatever is asked for at once beneath one parent of the hash tree comes
//! with that parent each time. A thin line with many peers would be asked for two groups of each, and its
//! content would weigh 2 % more than the edge's.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Rate};

/// The least run of a request, in proportion to the time that is left.
///
/// Only of peers that have everything: among those that are still fetching themselves, long runs keep
/// what is rare from spreading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch(u32);

impl Stretch {
    /// A request may take one such part of the time until all is here: nobody waits for it at the end,
    /// and a peer that becomes slower meanwhile is found out in time.
    const PARTS: u32 = 8;
    /// And so long at most, however long the download: whoever becomes slower meanwhile holds it up. Forty
    /// peers of a line of 5 Mbit/s bring 256 KiB each in that.
    const LONGEST: Duration = Duration::from_secs(20);
    /// No longer a run than that: 256 KiB, whose head is 1/1300 of it and whose proof brings 18 parents or so
    /// for 16 groups.
    const MOST: u64 = 16;

    /// Of a peer that delivers `rate`, when everything will be here in `left`.
    pub(crate) fn new(rate: Rate, left: Duration) -> Self {
        let groups = rate.bytes_in((left / Self::PARTS).min(Self::LONGEST)) / GROUP_BYTES;
        Self(u32::try_from(groups.min(Self::MOST)).expect("bounded"))
    }

    /// A request in place of one of so many groups.
    pub(crate) fn over(self, groups: u32) -> u32 {
        groups.max(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Rate = Rate::from_bytes_per_s(64 * 1024);

    fn over(rate: Rate, left_s: u64, groups: u32) -> u32 {
        Stretch::new(rate, Duration::from_secs(left_s)).over(groups)
    }

    #[test]
    fn the_more_time_is_left_the_longer_a_run_up_to_a_bound() {
        let runs = [0, 4, 8, 16, 32, 3600].map(|left| over(SLOW, left, 2));
        assert_eq!(runs, [2, 2, 4, 8, 16, 16]);
        let thin = Rate::from_bytes_per_s(8 * 1024);
        assert_eq!(over(thin, 3600, 2), 10, "not longer than twenty seconds");
    }

    #[test]
    fn what_the_window_asks_for_is_never_made_less() {
        assert_eq!(over(SLOW, 3600, 100), 100);
        assert_eq!(over(Rate::default(), 3600, 2), 2, "a stranger");
        assert_eq!(over(Rate::from_bytes_per_s(u64::MAX), u64::MAX, 2), 16);
    }
}
