//! Chooses the holders that an answer names.
//!
//! The surroundings of the asker are rings: its site, then the rest of its prefix, of its AS, of
//! its country, and of the world. Each ring is at most two ranges of ranks in [`Holders`], and a
//! ring is walked in a random order that needs no memory, so that an answer costs as many looks
//! as it is long, whether a hundred holders exist or a million.
//!
//! First all rings but the world are walked from near to far, up to what [`Diversity`] leaves them;
//! then the world; and what it cannot give is taken from the others again. A preference, never a
//! wall. Within a ring [`Rotation`] draws more candidates than needed and names the least loaded.
//!
//! [`Diversity`]: crate::policy::Diversity
//! [`Rotation`]: crate::policy::Rotation

use std::ops::Range;

use peerlift_model::Timestamp;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::holders::{Holder, Holders};
use crate::policy::Policy;
use crate::{Level, Locality};

/// Looks beyond those that an answer needs, for small swarms in which most holders are known.
const LOOKS_SPARE: usize = 64;

/// One holder that an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) holder: Holder,
    pub(crate) level: Level,
}

/// What is asked of the sessions: may this holder be named, and how loaded is it?
pub(crate) trait Judge {
    /// `None`: not to be named. Otherwise until when it is busy with those sent to it.
    fn look(&self, holder: Holder) -> Option<Timestamp>;
}

/// The answer, and what it cost.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) choices: Vec<Choice>,
    pub(crate) looks: usize,
}

/// Chooses up to `max` of the holders, near ones first.
pub(crate) fn select(
    holders: &Holders,
    places: &[Locality],
    asker: Locality,
    max: usize,
    policy: &Policy,
    rng: &mut Pcg64Mcg,
    judge: &impl Judge,
) -> Selected {
    let mut selection = Selection {
        holders,
        judge,
        choices_per_peer: policy.rotation.choices.clamp(1, 4),
        looks_left: 4 * max + LOOKS_SPARE,
        selected: Selected::default(),
    };
    let mut rings = rings(holders, places, asker, policy, rng);
    let reserve = policy.diversity.reserve(max);
    if let Some((world, near)) = rings.split_last_mut() {
        // A quarter of the looks is kept for the world, wherever the others went.
        let kept = selection.looks_left / 4;
        selection.looks_left -= kept;
        for ring in near.iter_mut() {
            selection.walk(ring, max - reserve);
        }
        selection.looks_left += kept;
        selection.walk(world, max);
        for ring in near {
            selection.walk(ring, max);
        }
    }
    selection.selected
}

struct Selection<'a, J> {
    holders: &'a Holders,
    judge: &'a J,
    choices_per_peer: usize,
    looks_left: usize,
    selected: Selected,
}

impl<J: Judge> Selection<'_, J> {
    /// Goes on in a ring until the answer has `until` peers.
    fn walk(&mut self, ring: &mut Ring, until: usize) {
        let wanted = until.saturating_sub(self.selected.choices.len());
        if wanted == 0 {
            return;
        }
        // Who was passed over the last time is a candidate still.
        let mut candidates = std::mem::take(&mut ring.passed_over);
        let drawn = wanted * self.choices_per_peer;
        while candidates.len() < drawn && self.looks_left > 0 {
            let holders = self.draw(ring, drawn - candidates.len());
            if holders.is_empty() {
                break;
            }
            let looked = |holder| Some((self.judge.look(holder)?, holder));
            candidates.extend(holders.into_iter().filter_map(looked));
        }
        if candidates.len() > wanted {
            let least = |one: &(Timestamp, Holder)| one.0;
            candidates.select_nth_unstable_by_key(wanted - 1, least);
            ring.passed_over = candidates.split_off(wanted);
        }
        let level = ring.level;
        let chosen = candidates
            .into_iter()
            .map(|(_, holder)| Choice { holder, level });
        self.selected.choices.extend(chosen);
    }

    /// The next of a ring, all at once: they are far apart in memory, and a processor fetches
    /// many of them together if it need not judge one before it knows the next.
    fn draw(&mut self, ring: &mut Ring, count: usize) -> Vec<Holder> {
        let ranks = std::iter::from_fn(|| ring.next()).take(count.min(self.looks_left));
        let holders: Vec<_> = ranks.filter_map(|rank| self.holders.at(rank)).collect();
        self.looks_left -= holders.len();
        self.selected.looks += holders.len();
        holders
    }
}

/// The rings around an asker, the world last.
fn rings(
    holders: &Holders,
    places: &[Locality],
    asker: Locality,
    policy: &Policy,
    rng: &mut Pcg64Mcg,
) -> Vec<Ring> {
    let mut inner: Option<Range<u32>> = None;
    let mut rings = Vec::with_capacity(Level::ALL.len());
    for level in policy.preference.levels() {
        let Some(range) = asker.surroundings(level) else {
            continue;
        };
        let outer = holders.ranks(&range, places);
        let hole = inner.unwrap_or(outer.start..outer.start);
        rings.push(Ring::new(level, outer.clone(), hole, rng));
        inner = Some(outer);
    }
    rings
}

/// The ranks of one range without those of another within it, in a random order: a random start
/// and a random step without a divisor in common with the count visit each once.
#[derive(Debug)]
struct Ring {
    level: Level,
    outer: Range<u32>,
    hole: Range<u32>,
    count: u32,
    at: u32,
    step: u32,
    left: u32,
    /// Candidates that others were preferred to.
    passed_over: Vec<(Timestamp, Holder)>,
}

impl Ring {
    fn new(level: Level, outer: Range<u32>, hole: Range<u32>, rng: &mut Pcg64Mcg) -> Self {
        let count = (outer.end - outer.start) - (hole.end - hole.start);
        let (at, step) = if count > 1 {
            (rng.random_range(0..count), coprime_step(count, rng))
        } else {
            (0, 0)
        };
        Self {
            level,
            outer,
            hole,
            count,
            at,
            step,
            left: count,
            passed_over: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let before_hole = self.hole.start - self.outer.start;
        let rank = if self.at < before_hole {
            self.outer.start + self.at
        } else {
            self.hole.end + (self.at - before_hole)
        };
        let until_end = self.count - self.at;
        self.at = match self.step.checked_sub(until_end) {
            Some(beyond) => beyond,
            None => self.at + self.step,
        };
        Some(rank)
    }
}

/// A random step below `count` that shares no divisor with it. Six in ten numbers do not (6/π²);
/// should sixteen in a row do, 1 never does.
fn coprime_step(count: u32, rng: &mut Pcg64Mcg) -> u32 {
    for _ in 0..16 {
        let step = rng.random_range(1..count);
        if greatest_common_divisor(step, count) == 1 {
            return step;
        }
    }
    1
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::Network;
    use crate::holders::Seat;
    use crate::policy::{Diversity, Preference};

    fn rng() -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(7)
    }

    /// Takes everybody but those it is told not to; counts the looks.
    #[derive(Default)]
    struct Anybody {
        refused: BTreeSet<Seat>,
        busy: BTreeSet<Seat>,
        looks: Cell<usize>,
    }

    impl Judge for Anybody {
        fn look(&self, holder: Holder) -> Option<Timestamp> {
            self.looks.set(self.looks.get() + 1);
            let busy = u64::from(self.busy.contains(&holder.seat()));
            let welcome = !self.refused.contains(&holder.seat());
            welcome.then_some(Timestamp::from_micros(busy))
        }
    }

    fn place(asn: u32, country: [u8; 2], address: [u8; 4]) -> Locality {
        Locality::of(Some(address.into()), Network { asn, country })
    }

    fn swarm(places: &[Locality]) -> Holders {
        let mut holders = Holders::default();
        for seat in 0..u32::try_from(places.len()).unwrap() {
            holders.add(Holder::new(Seat(seat), true), places);
        }
        holders
    }

    fn chosen(selected: &Selected) -> BTreeSet<Seat> {
        let seats: BTreeSet<Seat> = { &selected.choices }
            .iter()
            .map(|choice| choice.holder.seat())
            .collect();
        assert_eq!(seats.len(), selected.choices.len(), "nobody twice");
        seats
    }

    /// Five in each ring around 10.0.0.1, and a hundred far away.
    fn five_rings() -> Vec<Locality> {
        let ring = |count: u8, place: &dyn Fn(u8) -> Locality| (0..count).map(place).collect();
        let rings: [Vec<Locality>; 5] = [
            ring(5, &|_| place(1, *b"DE", [10, 0, 0, 1])),
            ring(5, &|n| place(1, *b"DE", [10, 0, 0, 10 + n])),
            ring(5, &|n| place(1, *b"DE", [10, 0, 1 + n, 1])),
            ring(5, &|n| place(2, *b"DE", [10, 1, n, 1])),
            ring(100, &|n| place(1, *b"FR", [10, 0, 0, n])),
        ];
        rings.concat()
    }

    fn levels(selected: &Selected) -> Vec<usize> {
        let count = |level| {
            { &selected.choices }
                .iter()
                .filter(|it| it.level == level)
                .count()
        };
        Level::ALL.map(count).to_vec()
    }

    #[test]
    fn near_ones_come_first_and_a_share_comes_from_elsewhere() {
        let places = five_rings();
        let holders = swarm(&places);
        let policy = Policy::default();
        let select = |max| {
            let judge = Anybody::default();
            let selected = select(
                &holders,
                &places,
                places[0],
                max,
                &policy,
                &mut rng(),
                &judge,
            );
            chosen(&selected);
            levels(&selected)
        };
        assert_eq!(select(4), [3, 0, 0, 0, 1]);
        assert_eq!(select(12), [5, 4, 0, 0, 3]);
        assert_eq!(select(40), [5, 5, 5, 5, 20], "the world fills what is near");
    }

    #[test]
    fn where_nobody_is_elsewhere_the_near_fill_the_answer() {
        let places = vec![place(1, *b"DE", [10, 0, 0, 1]); 30];
        let holders = swarm(&places);
        let (policy, judge) = (Policy::default(), Anybody::default());
        let selected = select(
            &holders,
            &places,
            places[0],
            20,
            &policy,
            &mut rng(),
            &judge,
        );
        assert_eq!(levels(&selected), [20, 0, 0, 0, 0]);
    }

    #[test]
    fn without_preference_everybody_is_equally_far() {
        let places = five_rings();
        let holders = swarm(&places);
        let policy = Policy {
            preference: Preference::of([]),
            ..Policy::default()
        };
        let judge = Anybody::default();
        let selected = select(
            &holders,
            &places,
            places[0],
            40,
            &policy,
            &mut rng(),
            &judge,
        );
        assert_eq!(levels(&selected), [0, 0, 0, 0, 40]);
    }

    #[test]
    fn the_least_loaded_of_a_ring_are_named() {
        let places = vec![place(1, *b"DE", [10, 0, 0, 1]); 40];
        let holders = swarm(&places);
        let policy = Policy {
            diversity: Diversity { share: 0.0 },
            ..Policy::default()
        };
        let judge = Anybody {
            busy: (0..20).map(Seat).collect(),
            ..Anybody::default()
        };
        let selected = select(
            &holders,
            &places,
            places[0],
            20,
            &policy,
            &mut rng(),
            &judge,
        );
        assert_eq!(chosen(&selected), (20..40).map(Seat).collect());
    }

    #[test]
    fn a_million_holders_cost_as_many_looks_as_a_hundred() {
        let spread = |seat: u32| {
            let [a, b, c, d] = seat.wrapping_mul(2_654_435_761).to_be_bytes();
            place(u32::from(b), [b'A' + a % 26, b'A'], [a, b, c, d])
        };
        let looks = |count: u32, welcome: bool| {
            let places: Vec<Locality> = (0..count).map(spread).collect();
            let holders = swarm(&places);
            let mut judge = Anybody::default();
            if !welcome {
                judge.refused = (0..count).map(Seat).collect();
            }
            let policy = Policy::default();
            let selected = select(
                &holders,
                &places,
                places[0],
                40,
                &policy,
                &mut rng(),
                &judge,
            );
            assert_eq!(selected.looks, judge.looks.get());
            selected.looks
        };
        assert!(looks(1_000_000, true) <= 2 * 40 + 4);
        assert!(looks(100, true) <= 2 * 40 + 4);
        assert_eq!(looks(1000, false), 4 * 40 + LOOKS_SPARE, "nobody fits");
    }

    #[test]
    fn answers_are_spread_over_all_holders() {
        let places = vec![Locality::default(); 1000];
        let holders = swarm(&places);
        let (policy, mut rng) = (Policy::default(), rng());
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let judge = Anybody::default();
            seen.extend(chosen(&select(
                &holders, &places, places[0], 40, &policy, &mut rng, &judge,
            )));
        }
        assert!(seen.len() > 990, "8000 of 1000 miss nobody: {}", seen.len());
    }

    proptest! {
        #[test]
        fn a_ring_visits_each_rank_once(
            start in 0u32..50, before in 0u32..50, hole in 0u32..50, after in 0u32..50, seed: u64,
        ) {
            let outer = start..start + before + hole + after;
            let hole = start + before..start + before + hole;
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let mut ring = Ring::new(Level::As, outer.clone(), hole.clone(), &mut rng);
            let mut seen: Vec<u32> = std::iter::from_fn(|| ring.next()).collect();
            seen.sort_unstable();
            let wanted: Vec<u32> = outer.filter(|rank| !hole.contains(rank)).collect();
            prop_assert_eq!(seen, wanted);
        }
    }
}
