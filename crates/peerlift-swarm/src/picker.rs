//! Chooses the run of groups that one source is asked for next.
//!
//! Peers are asked for the rarest piece they have, and for what follows it while that is not much
//! more common: long runs cost less proof and fewer messages. The edge is asked for what no peer
//! has, from a place of its own for every client, so that a crowd pulls about one copy together
//! ([`EdgeCursor`]). Streams take the first missing groups of a bounded window instead
//! ([`stream_run`]).

use peerlift_model::{GroupIndex, GroupRange, GroupSet, Layout};
use rand::RngExt;

use crate::claims::Claims;
use crate::holdings::Holdings;
use crate::rarity::Rarity;

/// A source's next run of open groups, rarest piece first, at most `groups_max` long.
pub(crate) fn rarest_run(
    claims: &Claims,
    rarity: &Rarity,
    layout: Layout,
    holdings: &Holdings,
    groups_max: u32,
) -> Option<GroupRange> {
    let first = rarest_start(claims, rarity, layout, holdings)?;
    let piece = layout.piece_of(GroupIndex(first.start()));
    let copies_max = rarity.copies(piece) + 1;
    let mut end = first.end().min(first.start() + groups_max);
    while end < first.start() + groups_max
        && end == layout.groups_of(layout.piece_of(GroupIndex(end - 1))).end()
    {
        let next = layout.groups_of(layout.piece_of(GroupIndex(end)));
        let Some(run) = holdings.first_run(claims.open(), next) else {
            break;
        };
        let fits = run.start() == end && run.end() <= first.start() + groups_max;
        if !fits || rarity.copies(layout.piece_of(GroupIndex(end))) > copies_max {
            break;
        }
        end = run.end();
    }
    Some(GroupRange::new(first.start(), end))
}

/// Rarer pieces that a source has not are stepped over so many times; then samples decide.
const STEPS: usize = 64;
/// So many samples: the best of eight is among the rarest quarter nine times in ten.
const SAMPLES: u32 = 8;

/// Where a source's next run begins: in the rarest piece it has. When many others are rarer, in
/// the rarest of some: looking through a hundred thousand pieces for every request would cost more
/// than the order is worth.
fn rarest_start(
    claims: &Claims,
    rarity: &Rarity,
    layout: Layout,
    holdings: &Holdings,
) -> Option<GroupRange> {
    let open_run = |piece| holdings.first_run(claims.open(), layout.groups_of(piece));
    if let Holdings::All = holdings {
        return rarity.rarest_first().find_map(open_run);
    }
    let seen = rarity.rarest_first_held().take(STEPS).find_map(open_run);
    seen.or_else(|| rarest_sample(claims, rarity, layout, holdings))
}

/// The rarest of the open runs that a source has at some places. The places change with every
/// request.
fn rarest_sample(
    claims: &Claims,
    rarity: &Rarity,
    layout: Layout,
    holdings: &Holdings,
) -> Option<GroupRange> {
    let (open, all) = (claims.open(), layout.all_groups());
    let any = holdings.first_run(open, all)?;
    let turn = u32::try_from(claims.open_groups()).unwrap_or(u32::MAX);
    let sample = |n| {
        let place = golden_place(turn.wrapping_add(n), all.len());
        let start = layout.groups_of(layout.piece_of(GroupIndex(place))).start();
        let from = GroupRange::new(start, all.end());
        holdings.first_run(open, from).unwrap_or(any)
    };
    let copies = |run: &GroupRange| rarity.copies(layout.piece_of(GroupIndex(run.start())));
    (0..SAMPLES).map(sample).min_by_key(copies)
}

/// A source's run of open groups that is wanted last: what a source on parole may try.
pub(crate) fn commonest_run(
    claims: &Claims,
    rarity: &Rarity,
    layout: Layout,
    holdings: &Holdings,
    groups_max: u32,
) -> Option<GroupRange> {
    let run = rarity
        .commonest_first()
        .find_map(|piece| holdings.first_run(claims.open(), layout.groups_of(piece)))?;
    Some(cut(run, groups_max))
}

/// The shortest of the open runs that a source has some of: the edge takes the long ones meanwhile, and needs a
/// round trip for each.
pub(crate) fn shortest_run(
    claims: &Claims,
    holdings: &Holdings,
    groups_max: u32,
) -> Option<GroupRange> {
    let runs = claims.open().runs().iter().take(RUNS_SEEN);
    let held = runs.flat_map(|run| {
        let parts = holdings.runs_in(*run).into_iter();
        parts.map(|part| (run.len(), part))
    });
    let (_, shortest) = held.min_by_key(|(len, part)| (*len, part.start()))?;
    Some(cut(shortest, groups_max))
}

/// Of the runs that could be taken so many are looked at: what is wanted is one that will do.
const RUNS_SEEN: usize = 64;

/// A stream's next run from a source: the first open groups within the window.
pub(crate) fn stream_run(
    claims: &Claims,
    holdings: &Holdings,
    window: GroupRange,
    groups_max: u32,
) -> Option<GroupRange> {
    let run = holdings.first_run(claims.open(), window)?;
    Some(cut(run, groups_max))
}

/// The window of a stream: `groups` long from the first missing group on.
pub(crate) fn stream_window(have: &GroupSet, all: GroupRange, groups: u32) -> GroupRange {
    let at = have
        .gaps_in(all)
        .next()
        .map_or(all.end(), |gap| gap.start());
    GroupRange::new(at, at.saturating_add(groups).min(all.end()))
}

/// Where this client takes from an edge.
///
/// Starts at the client's place in the golden-ratio sequence, whose first N members cut the object
/// into N nearly equal parts for every N, and goes forward. Where somebody else was already it
/// jumps to a random place ([`scattered_run`]).
#[derive(Debug)]
pub(crate) struct EdgeCursor {
    at: u32,
}

impl EdgeCursor {
    /// At the place of the `spread`-th client in an object of `groups` groups.
    pub(crate) fn new(spread: u32, groups: u32) -> Self {
        Self {
            at: golden_place(spread, groups),
        }
    }

    /// The next run of at most `groups_max` wanted groups; moves behind it.
    pub(crate) fn next_run(
        &mut self,
        wanted: Wanted<'_>,
        all: GroupRange,
        groups_max: u32,
        jump: Option<&mut impl rand::Rng>,
    ) -> Option<GroupRange> {
        if self.at >= all.end() {
            self.at = 0;
        }
        let own = wanted.first(all, self.at)?;
        let run = match jump {
            Some(rng) if own.start() != self.at => scattered_run(wanted, all, groups_max, rng)?,
            Some(_) | None => cut(own, groups_max),
        };
        self.at = run.end();
        Some(run)
    }

    /// The first of the next wanted runs that is no shorter than `groups_max`, cut to it, or the longest of them,
    /// when it is longer than `least`; moves behind it.
    pub(crate) fn long_run(
        &mut self,
        wanted: Wanted<'_>,
        all: GroupRange,
        (least, groups_max): (u32, u32),
    ) -> Option<GroupRange> {
        let at = self.at.min(all.end());
        let ahead = wanted.runs_in(GroupRange::new(at, all.end()));
        let behind = wanted.runs_in(GroupRange::new(all.start(), at));
        let mut longest: Option<GroupRange> = None;
        for run in ahead.chain(behind).take(RUNS_SEEN) {
            if longest.is_none_or(|longest| run.len() > longest.len()) {
                longest = Some(run);
            }
            if run.len() >= groups_max {
                break;
            }
        }
        let run = longest.map(|run| cut(run, groups_max))?;
        if run.len() <= least {
            return None;
        }
        self.at = run.end();
        Some(run)
    }
}

/// A wanted run from a random place of the window, in whole portions from the beginning of its gap: who comes
/// to the same gap meanwhile takes another portion of it, or the same, but never half of two.
pub(crate) fn scattered_run(
    wanted: Wanted<'_>,
    window: GroupRange,
    groups_max: u32,
    rng: &mut impl rand::Rng,
) -> Option<GroupRange> {
    let portions = |run: GroupRange| run.len().div_ceil(groups_max.max(1));
    let count = wanted.runs_in(window).map(portions).sum::<u32>();
    if count == 0 {
        return None;
    }
    let mut place = rng.random_range(0..count);
    for run in wanted.runs_in(window) {
        if place < portions(run) {
            let start = run.start() + place * groups_max;
            return Some(cut(GroupRange::new(start, run.end()), groups_max));
        }
        place -= portions(run);
    }
    None
}

/// What is wanted of an edge: open groups that no peer has, nor is about to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What nobody is asked for.
    pub(crate) open: &'a GroupSet,
    /// What no peer has.
    pub(crate) orphans: &'a GroupSet,
    /// What peers are fetching from an edge.
    pub(crate) pledged: &'a GroupSet,
}

impl<'a> Wanted<'a> {
    /// How many groups are wanted, counted up to about `enough`.
    pub(crate) fn count(self, window: GroupRange, enough: u32) -> u32 {
        let mut runs = self.runs_in(window);
        let mut count = 0;
        while count < enough
            && let Some(run) = runs.next()
        {
            count += run.len();
        }
        count
    }

    /// The first wanted run from `at` on, then from the window's beginning.
    fn first(self, window: GroupRange, at: u32) -> Option<GroupRange> {
        let run_from = |start| self.runs_in(GroupRange::new(start, window.end())).next();
        run_from(at).or_else(|| run_from(window.start()))
    }

    /// The wanted runs of a window, in order.
    fn runs_in(self, window: GroupRange) -> impl Iterator<Item = GroupRange> + 'a {
        let orphans = self.orphans.runs_in(window);
        let open = orphans.flat_map(move |run| self.open.runs_in(run));
        open.flat_map(move |run| self.pledged.gaps_in(run))
    }
}

/// `groups × frac(spread × 0.618…)`, in integers.
fn golden_place(spread: u32, groups: u32) -> u32 {
    /// 2³² ÷ the golden ratio.
    const GOLDEN: u32 = 0x9E37_79B9;
    let place = u64::from(spread.wrapping_mul(GOLDEN)) * u64::from(groups);
    u32::try_from(place >> 32).expect("less than `groups`")
}

fn cut(run: GroupRange, groups_max: u32) -> GroupRange {
    GroupRange::new(
        run.start(),
        run.end().min(run.start().saturating_add(groups_max)),
    )
}

#[cfg(test)]
mod tests {
    use peerlift_model::PieceIndex;
    use rand::SeedableRng;
    use rand_pcg::Pcg32;

    use super::*;

    fn range(start: u32, end: u32) -> GroupRange {
        GroupRange::new(start, end)
    }

    fn world() -> (Claims, Rarity, Layout) {
        let layout = Layout::new(10 * 64 * 1024).unwrap();
        let mut rarity = Rarity::new(layout, &mut Pcg32::seed_from_u64(1));
        (0..10).for_each(|piece| rarity.set_open(PieceIndex(piece), true));
        (
            Claims::new(layout.all_groups(), GroupSet::new()),
            rarity,
            layout,
        )
    }

    #[test]
    fn the_rarest_piece_goes_first_with_what_follows_it() {
        let (mut claims, mut rarity, layout) = world();
        rarity.add(range(0, 40));
        rarity.add(range(0, 12));
        rarity.add(range(20, 40));
        let pick = |claims: &Claims, max| {
            rarest_run(
                claims,
                &rarity,
                layout,
                &Holdings::Some(range(0, 18).into()),
                max,
            )
        };
        let run = pick(&claims, 4).unwrap();
        assert!([12, 16].contains(&run.start()), "{run:?}");
        claims.claim(range(16, 20));
        assert_eq!(pick(&claims, 4), Some(range(12, 16)));
        assert_eq!(pick(&claims, 2), Some(range(12, 14)));
        claims.claim(range(12, 16));
        // All that is left has two copies: runs grow over whole pieces as far as they fit.
        let run = pick(&claims, 9).unwrap();
        assert!(run.len() == 8 || run.end() == 12, "{run:?}");
        claims.claim(range(0, 12));
        assert_eq!(pick(&claims, 9), None);
    }

    /// A thousand pieces, of which a peer has the last ten; another has all before, which are rarer.
    #[test]
    fn what_is_rare_elsewhere_hides_nothing() {
        let layout = Layout::new(1000 * 64 * 1024).unwrap();
        let mut rarity = Rarity::new(layout, &mut Pcg32::seed_from_u64(1));
        let all = layout.all_groups();
        let pieces = rarity.pieces_of(all);
        pieces.for_each(|piece| rarity.set_open(piece, true));
        let last = range(all.end() - 40, all.end());
        rarity.add(range(0, all.end() - 40));
        (0..3).for_each(|_| rarity.add(last));
        let mut claims = Claims::new(all, GroupSet::new());
        let mut got = GroupSet::new();
        for _ in 0..10 {
            let run = rarest_run(&claims, &rarity, layout, &Holdings::Some(last.into()), 4);
            let run = run.expect("ten pieces are open");
            claims.claim(run);
            got.insert(run);
        }
        assert_eq!(got, last.into());
        let none = rarest_run(&claims, &rarity, layout, &Holdings::Some(last.into()), 4);
        assert_eq!(none, None);
    }

    #[test]
    fn golden_places_cut_the_object_evenly() {
        for clients in [2u32, 5, 12, 40] {
            let mut places: Vec<u32> = (0..clients).map(|n| golden_place(n, 100_000)).collect();
            places.sort_unstable();
            places.push(100_000 + places[0]);
            let widest = places.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            assert!(widest < 100_000 * 2 / clients, "{clients}: {widest}");
        }
    }

    fn wanted<'a>(open: &'a GroupSet, orphans: &'a GroupSet) -> Wanted<'a> {
        static NOTHING: GroupSet = GroupSet::new();
        Wanted {
            open,
            orphans,
            pledged: &NOTHING,
        }
    }

    #[test]
    fn what_others_have_pledged_is_left_to_them() {
        let all = GroupSet::from(range(0, 40));
        let pledged = GroupSet::from_iter([range(0, 10), range(12, 20)]);
        let wanted = Wanted {
            pledged: &pledged,
            ..wanted(&all, &all)
        };
        assert_eq!(wanted.first(range(0, 40), 0), Some(range(10, 12)));
        assert_eq!(wanted.first(range(0, 40), 12), Some(range(20, 40)));
        assert_eq!(wanted.first(range(0, 18), 12), Some(range(10, 12)));
        assert_eq!(wanted.first(range(12, 20), 12), None);
    }

    #[test]
    fn a_jump_goes_to_any_whole_portion_of_any_gap() {
        let all = range(0, 100);
        let open: GroupSet = [range(3, 13), range(40, 44), range(90, 92)]
            .into_iter()
            .collect();
        let mut rng = Pcg32::seed_from_u64(1);
        let mut jump = || scattered_run(wanted(&open, &open), all, 4, &mut rng).unwrap();
        let seen: std::collections::BTreeSet<(u32, u32)> = (0..200)
            .map(|_| jump())
            .map(|run| (run.start(), run.end()))
            .collect();
        let portions = [(3, 7), (7, 11), (11, 13), (40, 44), (90, 92)];
        assert_eq!(seen, portions.into());
        let none = GroupSet::new();
        assert_eq!(scattered_run(wanted(&none, &open), all, 4, &mut rng), None);
    }

    #[test]
    fn the_cursor_walks_wraps_and_jumps() {
        let all = range(0, 100);
        let mut cursor = EdgeCursor { at: 90 };
        let mut open = GroupSet::from(all);
        let orphans = GroupSet::from(all);
        let none = None::<&mut Pcg32>;
        let first = cursor
            .next_run(wanted(&open, &orphans), all, 8, none)
            .unwrap();
        open.remove(first);
        let second = cursor
            .next_run(wanted(&open, &orphans), all, 8, None::<&mut Pcg32>)
            .unwrap();
        open.remove(second);
        let third = cursor
            .next_run(wanted(&open, &orphans), all, 8, None::<&mut Pcg32>)
            .unwrap();
        assert_eq!(
            (first, second, third),
            (range(90, 98), range(98, 100), range(0, 8))
        );
        // Another client holds 8..40: jump instead of following it.
        let orphans = GroupSet::from(range(40, 100));
        let jumps: GroupSet = (0..40)
            .map(|seed| {
                let mut cursor = EdgeCursor { at: 8 };
                let rng = &mut Pcg32::seed_from_u64(seed);
                cursor
                    .next_run(wanted(&open, &orphans), all, 1, Some(rng))
                    .unwrap()
            })
            .collect();
        assert!(jumps.len() > 10, "{jumps:?}");
        assert!(
            !jumps.contains(GroupIndex(40)),
            "the edge of somebody's work"
        );
        assert_eq!(
            cursor.next_run(
                wanted(&GroupSet::new(), &orphans),
                all,
                1,
                None::<&mut Pcg32>
            ),
            None
        );
    }

    #[test]
    fn a_long_run_is_the_next_that_will_do_or_the_longest() {
        let all = range(0, 100);
        let open: GroupSet = [range(2, 5), range(20, 30), range(40, 60), range(70, 71)]
            .into_iter()
            .collect();
        let everything = GroupSet::from(all);
        let from = |at, groups_max| {
            let mut cursor = EdgeCursor { at };
            let run = cursor.long_run(wanted(&open, &everything), all, (0, groups_max));
            (run, cursor.at)
        };
        assert_eq!(
            from(0, 8),
            (Some(range(20, 28)), 28),
            "a scrap is stepped over"
        );
        assert_eq!(from(25, 8), (Some(range(40, 48)), 48));
        assert_eq!(
            from(65, 8),
            (Some(range(20, 28)), 28),
            "from the beginning again"
        );
        assert_eq!(from(0, 50), (Some(range(40, 60)), 60), "no run is so long");
        assert_eq!(from(100, 3), (Some(range(2, 5)), 5));
        let nothing = GroupSet::new();
        let mut cursor = EdgeCursor { at: 0 };
        assert_eq!(
            cursor.long_run(wanted(&nothing, &everything), all, (0, 8)),
            None
        );
        let longest = cursor.long_run(wanted(&open, &everything), all, (20, 50));
        assert_eq!((longest, cursor.at), (None, 0), "not longer than that");
    }

    #[test]
    fn the_shortest_run_is_that_of_which_least_is_open() {
        let (mut claims, _, _) = world();
        claims.claim(range(3, 20));
        claims.claim(range(22, 39));
        let shortest = |holdings: &Holdings, max| shortest_run(&claims, holdings, max);
        assert_eq!(shortest(&Holdings::All, 4), Some(range(39, 40)));
        let some = |from, to| Holdings::Some(range(from, to).into());
        assert_eq!(shortest(&some(0, 30), 4), Some(range(20, 22)));
        assert_eq!(shortest(&some(0, 30), 1), Some(range(20, 21)));
        assert_eq!(shortest(&some(1, 20), 4), Some(range(1, 3)));
        assert_eq!(shortest(&some(5, 9), 4), None);
    }

    #[test]
    fn a_stream_sees_only_its_window() {
        let mut claims = Claims::new(range(0, 40), GroupSet::from(range(0, 5)));
        let window = |claims: &Claims| stream_window(claims.have(), range(0, 40), 8);
        assert_eq!(window(&claims), range(5, 13));
        let next = |claims: &Claims| stream_run(claims, &Holdings::All, window(claims), 5);
        assert_eq!(next(&claims), Some(range(5, 10)));
        claims.claim(range(5, 10));
        assert_eq!(next(&claims), Some(range(10, 13)));
        claims.claim(range(10, 13));
        assert_eq!(next(&claims), None);
        claims.arrive(range(5, 7));
        assert_eq!(next(&claims), Some(range(13, 15)));
        assert!(window(&Claims::new(range(0, 40), range(0, 40).into())).is_empty());
    }
}
