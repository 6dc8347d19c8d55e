//! When a request is late, measured by how long others took against what was expected of them.
//!
//! Some sources take what they were expected to take to the tenth, others twice as long every other
//! time: a fixed factor suspects the latter for nothing and the former too late. So every source is
//! measured by its own last requests, and by those of all sources while it has had few. (Dean and
//! Barroso, The Tail at Scale, 2013, hedge what is slower than the 95th percentile.)
//!
//! What is done about a late request is decided elsewhere: [`crate::conduct`] and
//! [`crate::endgame`].

use std::collections::VecDeque;
use std::time::Duration;

/// How many times as long as expected something took, in 64ths; at most a thousand times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ratio(u16);

impl Ratio {
    const ONE: u16 = 64;

    /// So many times.
    pub(crate) const fn times(factor: u16) -> Self {
        Self(factor.saturating_mul(Self::ONE))
    }

    /// Of what something took and what it was expected to take.
    pub(crate) fn of(took: Duration, expected: Duration) -> Self {
        let parts = took.as_micros().saturating_mul(u128::from(Self::ONE));
        Self(u16::try_from(parts / expected.as_micros().max(1)).unwrap_or(u16::MAX))
    }

    /// So many times as long.
    pub(crate) fn apply(self, to: Duration) -> Duration {
        to.saturating_mul(u32::from(self.0)) / u32::from(Self::ONE)
    }
}

/// The ratios of the last requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lateness {
    recent: VecDeque<Ratio>,
    sorted: Vec<Ratio>,
}

impl Lateness {
    /// How many are remembered: some seconds of a busy source, so that what it was like when others
    /// did not ask it yet is forgotten.
    const MEMORY: usize = 64;
    /// The least number whose percentile is not the largest of them: one accident decides nothing.
    const ENOUGH: usize = 20;
    /// What is slower is late.
    const PERCENTILE: usize = 95;
    /// Nobody is late earlier: rates are taken over two seconds, and one that has just halved is no
    /// accident.
    const LEAST: Ratio = Ratio::times(2);
    /// What counts while nobody has had [`Lateness::ENOUGH`] requests.
    const UNKNOWN: Ratio = Ratio::times(4);
    /// Everybody is late then: a source as unsteady as that is not waited for.
    const MOST: Ratio = Ratio::times(8);

    /// A request came back whole.
    pub(crate) fn record(&mut self, ratio: Ratio) {
        if self.recent.len() == Self::MEMORY
            && let Some(oldest) = self.recent.pop_front()
        {
            let at = self.sorted.partition_point(|known| *known < oldest);
            self.sorted.remove(at);
        }
        let at = self.sorted.partition_point(|known| *known < ratio);
        self.sorted.insert(at, ratio);
        self.recent.push_back(ratio);
    }

    /// From which ratio on a request of a source is late, by its own requests or those of `all`.
    pub(crate) fn limit(&self, all: &Self) -> Ratio {
        let measured = self.percentile().or_else(|| all.percentile());
        measured
            .unwrap_or(Self::UNKNOWN)
            .clamp(Self::LEAST, Self::MOST)
    }

    /// By nearest rank.
    fn percentile(&self) -> Option<Ratio> {
        let count = self.sorted.len();
        let rank = (count * Self::PERCENTILE).div_ceil(100);
        (count >= Self::ENOUGH).then(|| self.sorted[rank - 1])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(ratios: &[u16]) -> Lateness {
        let mut lateness = Lateness::default();
        ratios
            .iter()
            .for_each(|ratio| lateness.record(Ratio(*ratio)));
        lateness
    }

    #[test]
    fn a_ratio_stretches_what_was_expected() {
        assert_eq!(Ratio::of(SECOND * 3, SECOND).apply(SECOND), SECOND * 3);
        assert_eq!(Ratio::of(SECOND, SECOND * 4).apply(SECOND), SECOND / 4);
        assert_eq!(Ratio::of(Duration::MAX, Duration::ZERO), Ratio(u16::MAX));
        assert!(Ratio(u16::MAX).apply(Duration::MAX) > SECOND);
    }

    #[test]
    fn a_source_is_measured_by_itself_when_it_is_known_and_by_all_before() {
        let (steady, unsteady) = (of(&[200; 20]), of(&[300; 20]));
        assert_eq!(steady.limit(&unsteady), Ratio(200));
        assert_eq!(of(&[200; 19]).limit(&unsteady), Ratio(300));
        assert_eq!(of(&[200; 19]).limit(&of(&[300; 19])), Lateness::UNKNOWN);
    }

    #[test]
    fn one_accident_decides_nothing_and_bounds_hold() {
        let mut ratios = [200; 20];
        ratios[7] = 500;
        assert_eq!(of(&ratios).limit(&of(&[])), Ratio(200));
        assert_eq!(of(&[64; 64]).limit(&of(&[])), Lateness::LEAST);
        assert_eq!(of(&[9999; 64]).limit(&of(&[])), Lateness::MOST);
    }

    proptest! {
        #[test]
        fn equals_sorting_the_last_ones(ratios in proptest::collection::vec(0u16..2000, 0..200)) {
            let last = &ratios[ratios.len().saturating_sub(Lateness::MEMORY)..];
            let mut sorted = last.to_vec();
            sorted.sort_unstable();
            // Nineteen in twenty are not above it, and no smaller one is so.
            let slow = |ratio: &&u16| {
                sorted.iter().filter(|other| other <= ratio).count() * 100 >= sorted.len() * 95
            };
            let model = (last.len() >= 20).then(|| Ratio(*sorted.iter().find(slow).unwrap()));
            prop_assert_eq!(of(&ratios).percentile(), model);
        }
    }
}
