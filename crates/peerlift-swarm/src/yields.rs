//! Whether the edge brings bytes, or only takes the place of peers that could.
//!
//! What is wanted of the edge at all is not decided here (`edge`), nor what it would give alone
//! (`twin`).

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use crate::twin::wrapped;

/// Where a thrifty download stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// What is wanted of all sources together.
    pub(crate) pace: Rate,
    /// What arrived of all over the last second.
    pub(crate) sum: Rate,
    /// Bytes that it is behind its twin.
    pub(crate) lag: u64,
    /// Bytes of the object.
    pub(crate) size: u64,
    /// What peers deliver together.
    pub(crate) peers: Rate,
}

impl Look {
    /// Whether so many thousandths of the pace arrive, or would without the wrapping of what peers bring: a
    /// full line that all comes from peers is not one that lacks the edge.
    pub(crate) fn keeps(self, thousandths: u64) -> bool {
        let (sum, peers) = (self.sum.bytes_per_s(), self.peers.bytes_per_s());
        wrapped(sum, peers.min(sum)).bytes_per_s() >= self.pace.bytes_per_s() / 1000 * thousandths
    }

    /// What is left of the pace when peers bring half as much again as they do.
    fn left_by_peers(self) -> Rate {
        let peers = self.peers.bytes_per_s();
        let hoped = peers.saturating_add(peers / Yield::SPUR);
        Rate::from_bytes_per_s(self.pace.bytes_per_s().saturating_sub(hoped))
    }
}

/// Finds out what the edge only takes the place of.
///
/// On a full downlink every byte of the edge is one that a peer could not send: what peers are
/// seen to deliver is not what they can deliver. So as long as everything together arrives at the
/// pace that is wanted, the edge gives way a little at every look; when the pace drops, it was
/// needed, and is not reduced again for a while that doubles each time.
#[derive(Debug)]
pub(crate) struct Yield {
    cap: Option<Rate>,
    needed: u32,
    rests_until: Timestamp,
}

impl Yield {
    /// The pace is kept when so many thousandths of it arrive: looks are not exact.
    pub(crate) const KEPT: u64 = 980;
    /// It is lost below so many.
    pub(crate) const LOST: u64 = 960;
    /// The lag that may come of it in all, as a part of the object.
    const LAG: u64 = 100;
    /// The edge gives way by one such part at a time, and by no more than
    const STEP: u64 = 6;
    /// one such part of the object in a second: a look is over the last second, so that four steps may
    /// have been too many when the first of them is seen, and a short download has no time to lose;
    const STEP_OF_OBJECT: u64 = 400;
    /// and never by more than what peers bring and one such part of it: who could bring more shows
    /// it as soon as there is room, and who could not is not waited for.
    const SPUR: u64 = 2;
    /// How long it is left alone after it was needed, the first time.
    const REST: Duration = Duration::from_secs(2);
    /// How often that doubles.
    const DOUBLINGS: u32 = 5;

    /// Nothing is known at `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            cap: None,
            needed: 0,
            rests_until: now,
        }
    }

    /// What is to be asked of the edge in place of `want`, at this [`Look`]; and whether that is
    /// because the pace was lost without it.
    pub(crate) fn apply(&mut self, want: Rate, look: Look, now: Timestamp) -> (Rate, bool) {
        let lags = |most| look.lag > look.size / most;
        let Some(cap) = self.cap else {
            let kept = look.keeps(Self::KEPT) && !lags(Self::LAG * 2);
            if want > Rate::default() && kept && now >= self.rests_until {
                // What is under way from the edge makes little be wanted: it is not what it brings.
                self.cap = Some(want.max(look.left_by_peers()));
            }
            return (want, false);
        };
        if !look.keeps(Self::LOST) || lags(Self::LAG) {
            self.cap = None;
            self.rests_until = now + Self::REST * (1 << self.needed);
            self.needed = (self.needed + 1).min(Self::DOUBLINGS);
            return (want, true);
        }
        let mut cap = cap.bytes_per_s();
        if look.keeps(Self::KEPT) {
            let least = look.left_by_peers().bytes_per_s();
            let step = (cap / Self::STEP).min(look.size / Self::STEP_OF_OBJECT);
            cap = cap.min((cap - step).max(least));
        }
        let cap = Rate::from_bytes_per_s(cap);
        self.cap = Some(cap);
        (want.min(cap), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANT: Rate = Rate::from_bytes_per_s(600_000);
    const KEEPS: Look = look(1_000_000, 0);

    /// Everything together, the lag, and peers that could bring all.
    const fn look(sum: u64, lag: u64) -> Look {
        with_peers(sum, lag, 1_000_000)
    }

    const fn with_peers(sum: u64, lag: u64, peers: u64) -> Look {
        Look {
            pace: Rate::from_bytes_per_s(1_000_000),
            sum: Rate::from_bytes_per_s(sum),
            lag,
            size: 100_000_000,
            peers: Rate::from_bytes_per_s(peers),
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// What is asked for under these looks, a quarter of a second apart, from `from` on.
    fn asked(yields: &mut Yield, looks: &[Look], from: u64) -> Vec<u64> {
        let times = (0..).map(|n| at(from + n * 250));
        let looks = looks.iter().zip(times);
        looks
            .map(|(look, now)| yields.apply(WANT, *look, now).0.bytes_per_s())
            .collect()
    }

    #[test]
    fn the_edge_gives_way_while_the_pace_is_kept() {
        let mut yields = Yield::new(at(0));
        let given = asked(&mut yields, &[KEEPS; 4], 0);
        assert_eq!(given, [600_000, 500_000, 416_667, 347_223]);
        let given = asked(&mut yields, &[look(955_000, 0); 2], 1000);
        assert_eq!(given, [347_223; 2], "neither kept nor lost");
        assert!(asked(&mut yields, &[KEEPS; 40], 1500)[39] < 1000);
    }

    #[test]
    fn what_peers_bring_counts_without_its_wrapping() {
        assert!(with_peers(966_000, 0, 966_000).keeps(Yield::KEPT));
        assert!(!with_peers(964_000, 0, 964_000).keeps(Yield::KEPT));
        assert!(!with_peers(966_000, 0, 0).keeps(Yield::KEPT));
    }

    #[test]
    fn it_gives_way_by_what_peers_bring_and_half_of_that() {
        let mut yields = Yield::new(at(0));
        let slow = with_peers(1_000_000, 0, 400_000);
        let given = asked(&mut yields, &[slow; 20], 0);
        assert_eq!(given[..4], [600_000, 500_000, 416_667, 400_000]);
        assert_eq!(given[19], 400_000);
        let none = with_peers(1_000_000, 0, 0);
        assert_eq!(
            asked(&mut yields, &[none; 4], 5000),
            [400_000; 4],
            "nor does it come back"
        );
    }

    #[test]
    fn it_does_not_begin_below_what_peers_leave() {
        let mut yields = Yield::new(at(0));
        let few = with_peers(1_000_000, 0, 100_000);
        asked(&mut yields, &[few], 0);
        let more = Rate::from_bytes_per_s(990_000);
        let asked = yields.apply(more, few, at(250)).0;
        assert_eq!(
            asked.bytes_per_s(),
            850_000,
            "600,000 were wanted beside what was under way"
        );
    }

    #[test]
    fn a_short_download_tries_small_steps() {
        let mut yields = Yield::new(at(0));
        let short = Look {
            size: 4_000_000,
            ..KEEPS
        };
        let given = asked(&mut yields, &[short; 4], 0);
        assert_eq!(given, [600_000, 590_000, 580_000, 570_000]);
    }

    #[test]
    fn when_it_was_needed_it_is_left_alone_longer_every_time() {
        let mut yields = Yield::new(at(0));
        let mut now = 0;
        for rest in [2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000] {
            asked(&mut yields, &[KEEPS; 2], now);
            assert_eq!(
                asked(&mut yields, &[look(900_000, 0)], now + 500),
                [600_000]
            );
            let before = asked(&mut yields, &[KEEPS; 2], now + rest);
            assert_eq!(before, [600_000; 2], "it rests");
            now += rest + 500;
            assert_eq!(asked(&mut yields, &[KEEPS; 2], now), [600_000, 500_000]);
            yields.cap = None;
        }
    }

    #[test]
    fn the_lag_that_comes_of_it_is_bounded() {
        let mut yields = Yield::new(at(0));
        assert_eq!(
            asked(&mut yields, &[look(990_000, 600_000); 3], 0),
            [600_000; 3]
        );
        asked(&mut yields, &[KEEPS; 4], 1000);
        let lags = look(1_000_000, 1_000_001);
        assert_eq!(asked(&mut yields, &[lags; 2], 2000), [600_000; 2]);
    }

    #[test]
    fn nothing_wanted_is_nothing_to_give_way() {
        let mut yields = Yield::new(at(0));
        assert_eq!(
            yields.apply(Rate::default(), KEEPS, at(0)).0,
            Rate::default()
        );
        assert_eq!(yields.cap, None);
    }

    #[test]
    fn it_says_when_the_edge_was_missed() {
        let mut yields = Yield::new(at(0));
        let needed = |yields: &mut Yield, look, millis| yields.apply(WANT, look, at(millis)).1;
        let slow = look(900_000, 0);
        assert!(!needed(&mut yields, slow, 0), "it had not given way");
        assert!(!needed(&mut yields, KEEPS, 250));
        assert!(needed(&mut yields, slow, 500) && !needed(&mut yields, slow, 750));
    }
}
