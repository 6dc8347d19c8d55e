//! How many others would be at the edge if there were no peers.
//!
//! In the edge-only world an edge that is too small for its clients is shared among all who have
//! not finished *there*, and that is later than they finish here. This module plays that world on:
//! every connected peer is a member whose edge-only progress grows at the fair share, and who
//! leaves when it has everything. What was measured of a crowded edge at one time ([`Crowd::measure`])
//! then says what an equal client would get at another.
//!
//! Everything uncertain is decided in favour of a larger share, since believing in too small a one
//! makes a download slower than the edge alone: a newcomer does not count before it has been seen
//! to download, a peer that downloads slowly counts by its rate, who met us with as much as we have
//! was there before, and a measurement is thinned to a quarter at most.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use crate::SourceId;

/// The connected peers as members of the edge's crowd.
#[derive(Debug)]
pub(crate) struct Crowd {
    size: u64,
    members: BTreeMap<SourceId, Member>,
    measured: Option<Measured>,
}

/// A fair share that was measured, and the weight of the crowd that it was measured in.
#[derive(Clone, Copy, Debug)]
struct Measured {
    share: Rate,
    /// Weight of members of that crowd who are not connected any more, and ours.
    gone: u64,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    joined: Timestamp,
    /// Bytes that it had when it met us.
    first: u64,
    held: u64,
    /// When it last got something.
    grew: Timestamp,
    /// What it would have without peers.
    progress: u64,
    /// It was there when the share was measured.
    elder: bool,
}

impl Crowd {
    /// A whole client's weight.
    const WHOLE: u64 = 256;
    /// How long a peer's first words are what it had before.
    const GREETING: Duration = Duration::from_secs(1);
    /// How long a newcomer is looked at before it counts.
    const LOOK: Duration = Duration::from_secs(2);
    /// To what part a measurement may be thinned by newcomers. Beyond that it says nothing.
    const THINNED_MAX: u64 = 4;
    /// How long a measurement counts. An edge has another crowd after that.
    const LIFE: Duration = Duration::from_secs(300);

    /// Nobody, for an object of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size,
            members: BTreeMap::new(),
            measured: None,
        }
    }

    /// A peer is connected.
    pub(crate) fn join(&mut self, source: SourceId, now: Timestamp) {
        let member = Member {
            joined: now,
            first: 0,
            held: 0,
            grew: now,
            progress: 0,
            elder: false,
        };
        self.members.insert(source, member);
    }

    /// A peer has `held` bytes in all, when we have `ours`.
    pub(crate) fn grow(&mut self, source: SourceId, held: u64, ours: u64, now: Timestamp) {
        let Some(member) = self.members.get_mut(&source) else {
            return;
        };
        member.held = held;
        member.grew = now;
        if now.since(member.joined) < Self::GREETING {
            member.first = held;
            member.progress = held;
            member.elder = held > 0 && held >= ours / 2 && held < self.size;
        }
    }

    /// A peer is gone. Who had everything would still be at the edge, but for how long is not worth
    /// remembering.
    pub(crate) fn leave(&mut self, source: SourceId) {
        let Some(member) = self.members.remove(&source) else {
            return;
        };
        if let Some(measured) = self.measured.as_mut().filter(|_| member.elder) {
            measured.gone += Self::WHOLE;
        }
    }

    /// An equal client's share of the edge is `share` with all who are there now. An edge that
    /// gives nothing is not crowded but silent, which says nothing about shares.
    pub(crate) fn measure(&mut self, share: Rate, now: Timestamp) {
        if share == Rate::default() {
            return;
        }
        self.measured = Some(Measured {
            share,
            gone: Self::WHOLE,
            at: now,
        });
        for member in self.members.values_mut() {
            member.elder = member.progress < self.size;
        }
    }

    /// Whether nobody is in it but us.
    pub(crate) fn is_empty(&self) -> bool {
        (self.members.values()).all(|member| member.progress >= self.size)
    }

    /// How many members have not finished, in the edge-only world.
    pub(crate) fn len(&self) -> usize {
        let there = |member: &&Member| member.progress < self.size;
        self.members.values().filter(there).count()
    }

    /// Lets the edge-only world go on for `passed` at `share`.
    pub(crate) fn advance(&mut self, share: Rate, passed: Duration) {
        let bytes = share.bytes_in(passed);
        for member in self.members.values_mut() {
            member.progress = member.progress.saturating_add(bytes).min(self.size);
        }
    }

    /// What an equal client gets of the edge at `now`; `None` when the edge was never seen crowded.
    pub(crate) fn share(&self, now: Timestamp) -> Option<Rate> {
        let measured = self.measured?;
        if now.since(measured.at) > Self::LIFE {
            return None;
        }
        let (mut then, mut today) = (measured.gone, Self::WHOLE);
        for member in self.members.values() {
            let weight = self.weight(member, measured.share, now);
            if member.elder {
                then += weight;
            }
            if member.progress < self.size {
                today += weight;
            }
        }
        let share = measured.share.bytes_per_s();
        let thinned = u128::from(share) * u128::from(then) / u128::from(today);
        let thinned = u64::try_from(thinned).unwrap_or(u64::MAX);
        let least = share.div_ceil(Self::THINNED_MAX);
        Some(Rate::from_bytes_per_s(thinned.max(least)))
    }

    /// How much of a whole client a member is to the edge.
    fn weight(&self, member: &Member, share: Rate, now: Timestamp) -> u64 {
        if member.elder {
            return Self::WHOLE;
        }
        if now.since(member.joined) < Self::LOOK {
            return 0;
        }
        let began = member.joined + Self::GREETING;
        let time = member.grew.since(began).max(Self::GREETING);
        let rate = Rate::of(member.held.saturating_sub(member.first), time);
        let part = u128::from(rate.bytes_per_s()) * u128::from(Self::WHOLE);
        let part = part / u128::from(share.bytes_per_s().max(1));
        u64::try_from(part).map_or(Self::WHOLE, |part| part.min(Self::WHOLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64_000_000;
    const SHARE: Rate = Rate::from_bytes_per_s(1_000_000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// A member that has `first` at once and gets `rate` from then on until 10 s.
    fn come(crowd: &mut Crowd, source: u32, joined: u64, first: u64, rate: u64) {
        crowd.join(SourceId(source), at(joined));
        crowd.grow(SourceId(source), first, SIZE / 8, at(joined + 100));
        let seconds = 10 - (joined + 1000) / 1000;
        let held = first + rate * seconds;
        crowd.grow(SourceId(source), held, SIZE / 8, at(10_000));
    }

    fn share(crowd: &Crowd, time: u64) -> u64 {
        crowd.share(at(time)).unwrap().bytes_per_s()
    }

    #[test]
    fn an_edge_never_seen_crowded_has_no_share() {
        assert_eq!(Crowd::new(SIZE).share(at(0)), None);
        let mut crowd = Crowd::new(SIZE);
        crowd.measure(Rate::default(), at(0));
        assert_eq!(crowd.share(at(0)), None, "a silent edge");
        crowd.measure(SHARE, at(0));
        assert_eq!(crowd.share(at(0)), Some(SHARE));
        assert_eq!(crowd.share(at(400_000)), None, "too long ago");
    }

    #[test]
    fn newcomers_thin_it_by_what_they_download() {
        let mut crowd = Crowd::new(SIZE);
        come(&mut crowd, 1, 0, 0, 1_000_000);
        crowd.measure(SHARE, at(2000));
        come(&mut crowd, 2, 3000, 0, 5_000_000);
        assert_eq!(share(&crowd, 10_000), 666_666);
        come(&mut crowd, 3, 3000, 0, 500_000);
        let half = share(&crowd, 10_000);
        assert!((570_000..572_000).contains(&half), "{half}");
        crowd.join(SourceId(4), at(9_000));
        assert_eq!(share(&crowd, 10_000), half, "not seen to download yet");
    }

    #[test]
    fn who_was_there_before_does_not_thin_it() {
        let mut crowd = Crowd::new(SIZE);
        crowd.measure(SHARE, at(2000));
        come(&mut crowd, 1, 3000, SIZE / 8, 1_000_000);
        assert_eq!(crowd.share(at(10_000)), Some(SHARE));
        crowd.leave(SourceId(1));
        assert_eq!(share(&crowd, 10_000), 2_000_000, "one of two has gone");
    }

    #[test]
    fn who_has_finished_only_here_is_still_in_the_crowd_there() {
        let mut crowd = Crowd::new(SIZE);
        come(&mut crowd, 1, 0, 0, 6_400_000);
        crowd.measure(SHARE, at(2000));
        crowd.advance(SHARE, Duration::from_secs(63));
        assert_eq!(crowd.share(at(70_000)), Some(SHARE));
        crowd.advance(SHARE, Duration::from_secs(1));
        assert_eq!(share(&crowd, 70_000), 2_000_000);
    }

    #[test]
    fn it_is_not_thinned_without_end() {
        let mut crowd = Crowd::new(SIZE);
        crowd.measure(SHARE, at(2000));
        (0..64).for_each(|n| come(&mut crowd, n, 3000, 0, 5_000_000));
        assert_eq!(share(&crowd, 10_000), 250_000);
    }
}
