//! How much of what nobody has yet a client fetches from an edge at a time.
//!
//! Whatever leaves an edge twice was fetched by two clients that did not know of each other: a
//! pledge (`pledges`) needs a round trip, and waits on busy uplinks. While much is missing they
//! seldom meet. At the end all of them go for the little that is left, so each takes little at a
//! time, and whether at all is drawn by lot.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Timestamp};
use rand::{Rng, RngExt};

use crate::edge::Portion;

/// What several clients that fetch from edges have left to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection {
    drivers: u32,
    groups_max: u32,
}

impl Injection {
    /// One request is at most such a part of what is left for one client: it has some lanes, and
    /// goes on before the others have heard. (Guided self-scheduling, Polychronopoulos and
    /// Kuck 1987.)
    const PARTS: u32 = 8;
    /// So many groups left for each client are few: what it asks for in the time that a pledge
    /// takes.
    const FEW: u32 = 32;

    /// `drivers` clients, this one among them, fetch from edges; a request is of `groups_max`
    /// groups when there is plenty.
    pub(crate) fn new(drivers: u32, groups_max: u32) -> Self {
        Self {
            drivers: drivers.max(1),
            groups_max,
        }
    }

    /// Groups of which more make no difference.
    pub(crate) fn plenty(self) -> u32 {
        let each = (Self::PARTS.saturating_mul(self.groups_max)).max(Self::FEW);
        self.drivers.saturating_mul(each)
    }

    fn portion(self, left: u32) -> u32 {
        let share = left / self.drivers / Self::PARTS;
        let least = u32::try_from(Portion::LEAST / GROUP_BYTES).unwrap_or(u32::MAX);
        share.max(least).min(self.groups_max)
    }
}

/// Who asks while few are left.
#[derive(Debug)]
pub(crate) struct Lot {
    rests_until: Timestamp,
}

impl Lot {
    /// How long a client rests that drew a blank: what was asked for meanwhile is then known.
    const REST: Duration = Duration::from_millis(250);

    /// Nothing is drawn at `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { rests_until: now }
    }

    /// Whether others are to ask: a blank was drawn lately.
    pub(crate) fn rests(&self, now: Timestamp) -> bool {
        now < self.rests_until
    }

    /// The groups of the next request when so many are `left`; `None` for a blank.
    pub(crate) fn portion(
        &mut self,
        injection: Injection,
        left: u32,
        rng: &mut impl Rng,
        now: Timestamp,
    ) -> Option<u32> {
        let few = injection.drivers.saturating_mul(Injection::FEW);
        // One client in a round, at least: who waits for the very last groups waits for all.
        let asked = left.max(Injection::FEW);
        if asked < few && rng.random_range(0..few) >= asked {
            self.rests_until = now + Self::REST;
            return None;
        }
        Some(injection.portion(left))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg32;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn requests_shrink_with_what_is_left() {
        let portions = |drivers| {
            let injection = Injection::new(drivers, 64);
            [100_000, 1000, 500, 100].map(|left| injection.portion(left))
        };
        assert_eq!(portions(1), [64, 64, 62, 12]);
        assert_eq!(portions(10), [64, 12, 6, 4]);
        assert_eq!(
            Injection::new(10, 2).portion(100),
            2,
            "never more than fits"
        );
    }

    #[test]
    fn more_than_plenty_makes_no_difference() {
        for (drivers, groups_max) in [(1, 1), (3, 7), (40, 1024), (u32::MAX, u32::MAX)] {
            let injection = Injection::new(drivers, groups_max);
            let plenty = injection.plenty();
            assert_eq!(injection.portion(plenty), injection.portion(u32::MAX));
            let mut lot = Lot::new(at(0));
            let mut rng = Pcg32::seed_from_u64(1);
            assert!(lot.portion(injection, plenty, &mut rng, at(0)).is_some());
        }
    }

    #[test]
    fn of_the_last_groups_each_client_takes_its_part() {
        let (injection, mut rng) = (Injection::new(10, 8), Pcg32::seed_from_u64(1));
        let mut asked = |left: u32| {
            let lots = (0..1000).map(|_| Lot::new(at(0)));
            lots.filter_map(|mut lot| lot.portion(injection, left, &mut rng, at(0)))
                .count()
        };
        assert_eq!(asked(320), 1000);
        assert!((400..600).contains(&asked(160)));
        assert!((60..150).contains(&asked(8)), "one in ten");
        assert!((60..150).contains(&asked(1)));
    }

    #[test]
    fn who_drew_a_blank_rests() {
        let (injection, mut rng) = (Injection::new(10, 8), Pcg32::seed_from_u64(1));
        let mut blank = |lot: &mut Lot| lot.portion(injection, 1, &mut rng, at(0)).is_none();
        let lot = (0..1000)
            .map(|_| Lot::new(at(0)))
            .find_map(|mut lot| blank(&mut lot).then_some(lot));
        let lot = lot.expect("nine of ten are blanks");
        assert!(lot.rests(at(249)) && !lot.rests(at(250)));
        assert!(!Lot::new(at(0)).rests(at(0)));
    }

    #[test]
    fn who_is_alone_draws_no_lots() {
        let (injection, mut rng) = (Injection::new(1, 8), Pcg32::seed_from_u64(1));
        for left in 0..40 {
            let portion = Lot::new(at(0)).portion(injection, left, &mut rng, at(0));
            assert_eq!(portion, Some(4), "{left}");
        }
    }
}
