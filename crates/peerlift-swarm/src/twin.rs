//! The edge-only twin: the same download as it would go without peers.
//!
//! "Never slower than the edge alone" needs somebody to be compared with. The twin's rate is what
//! the edge delivers while nothing else could have slowed it; its progress is that rate summed
//! up since the edge was first asked. What peers take of a full downlink must not be mistaken for
//! a slow edge, and an edge that slows because a crowd has come must not be held to its best hour:
//!
//! * a faster edge is believed at once;
//! * no more is believed than a driven edge and the peers bring together for three seconds, for
//!   then either the edge gives all it can or the downlink is full;
//! * a slower edge is believed when the sum of all sources is clearly below the best sum seen, so that
//!   the downlink cannot be what holds the edge back; and when peers bring next to nothing, but no less
//!   than both together: the little that they bring may be what the edge has no room for;
//! * an edge that gives clearly less than it once gave, although the downlink has room, is shared
//!   among the [`Crowd`], and what it gives then is the twin's fair share. It goes on to count when
//!   the edge rests because peers do its work;
//! * where a peer has everything, the edge is not listened to alone: what it and the seeds bring
//!   together is no less than it would bring, and stands for it until the pace is lost while the
//!   edge gives way; only then is the edge heard;
//! * when the download has fallen behind by what peers may cost, the edge brings the rest, unless it turns
//!   out that it, or the line, has become slower itself;
//! * who comes late to such a crowd finds the edge at rest. It hears the fair share from peers that
//!   have measured it, and believes the upper quartile: liars would have to be many.

mod listening;

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use self::listening::Listening;
use crate::SourceId;
use crate::crowd::Crowd;

/// What the twin is told about the real download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Bytes that are here.
    pub(crate) done: u64,
    /// Bytes that edges have delivered.
    pub(crate) edge_bytes: u64,
    /// What the edges deliver together while they are asked.
    pub(crate) edge: Rate,
    /// What peers deliver together.
    pub(crate) peers: Rate,
    /// What arrives from anybody.
    pub(crate) sum: Rate,
    /// Whether every lane of every edge has been at work for as long as rates are measured over.
    pub(crate) edge_driven: bool,
    /// How many peers say that they fetch from an edge.
    pub(crate) drivers: usize,
    /// Whether a peer has everything.
    pub(crate) seeded: bool,
}

/// The imagined edge-only download.
#[derive(Debug)]
pub(crate) struct Twin {
    size: u64,
    knowledge: Knowledge,
    crowd: Crowd,
    /// What peers have measured as the fair share.
    words: BTreeMap<SourceId, Rate>,
    /// The fair share of a crowded edge.
    fair: Option<Rate>,
    progress: u64,
    best_sum: Rate,
    /// The most that has come from everybody together while the edge was driven.
    driven: Ceiling,
    /// At how many looks in a row a driven edge and the peers left the downlink room.
    roomy: u32,
    /// What arrived from everybody over the last second.
    sum: Rate,
    /// What the edge had delivered, and everybody, at the last looks, oldest first.
    looks: [(Timestamp, u64, u64); 4],
    /// Whether a peer had everything at the last look.
    seeded: bool,
    /// Whether what is believed of the edge is what it and seeds brought together, which is no less
    /// than it would bring alone.
    mixed: bool,
    /// Whether what is believed of the edge is what peers said of it: our downlink may be narrower.
    hearsay: bool,
    /// When the edge was first asked, and what was here.
    began: (Timestamp, u64),
    /// The edge is listened to once more.
    probing: Option<Listening>,
    /// The lag that peers may cost is spent, and the edge brings the rest.
    spent: Option<Listening>,
    /// How large the crowd was at the last probe.
    probed: usize,
    seen: Timestamp,
}

/// Rates over the last second.
#[derive(Clone, Copy, Debug)]
struct Heard {
    edge: Rate,
    /// Of everybody together.
    sum: Rate,
}

#[derive(Debug)]
enum Knowledge {
    /// There is no edge yet.
    Nothing,
    /// The edge is listened to, since its first byte.
    Young { first_byte: Option<Timestamp> },
    /// What the edge delivers when it is not crowded.
    Rate(Rate),
}

impl Twin {
    /// How long the edge is listened to after its first byte: the last second of it, after the
    /// slow start of its connections, is its rate. Half a second is too short: what a few lanes
    /// have of unfinished groups is 3 % of it at 25 Mbit/s.
    const LISTEN: Duration = Duration::from_millis(1250);
    /// How long its first byte is waited for.
    const FIRST_BYTE_MAX: Duration = Duration::from_secs(1);
    /// How long after the edge was first asked the first peers are being met: a control node names them
    /// after 150 ms, and then it takes three round trips, of 100 ms where uplinks are busy.
    const MEETING: Duration = Duration::from_millis(450);
    /// When those that were met have said what they have: some take half a second longer.
    const MET: Duration = Duration::from_secs(1);
    /// Peers that must have measured the fair share before their word is taken: one may be wrong.
    const WORDS_MIN: usize = 2;

    /// A twin without an edge, of an object of `size` bytes.
    pub(crate) fn new(size: u64, now: Timestamp) -> Self {
        Self {
            size,
            knowledge: Knowledge::Nothing,
            crowd: Crowd::new(size),
            words: BTreeMap::new(),
            fair: None,
            progress: 0,
            best_sum: Rate::default(),
            driven: Ceiling::default(),
            roomy: 0,
            sum: Rate::default(),
            looks: [(now, 0, 0); 4],
            seeded: false,
            mixed: false,
            hearsay: false,
            began: (now, 0),
            probing: None,
            spent: None,
            probed: 0,
            seen: now,
        }
    }

    /// There is an edge: begins at `now` with what is here, when it has not begun.
    pub(crate) fn begin(&mut self, done: u64, now: Timestamp) {
        if matches!(self.knowledge, Knowledge::Nothing) {
            self.progress = done;
            self.began = (now, done);
            self.knowledge = Knowledge::Young { first_byte: None };
            self.looks = [(now, 0, 0); 4];
        }
    }

    /// A peer is connected.
    pub(crate) fn on_joined(&mut self, source: SourceId, now: Timestamp) {
        self.crowd.join(source, now);
    }

    /// A peer is gone.
    pub(crate) fn on_left(&mut self, source: SourceId, now: Timestamp) {
        self.crowd.leave(source);
        self.words.remove(&source);
        self.judge(now);
    }

    /// A peer has so many bytes in all, when we have `ours`.
    pub(crate) fn on_held(&mut self, source: SourceId, held: u64, ours: u64, now: Timestamp) {
        self.crowd.grow(source, held, ours, now);
    }

    /// A peer says what it has measured as an equal client's share of the edge.
    pub(crate) fn on_fair_share(&mut self, source: SourceId, share: Rate, now: Timestamp) {
        self.words.insert(source, share);
        self.judge(now);
    }

    /// Moves the twin on to `now`.
    pub(crate) fn observe(&mut self, sight: Sight, now: Timestamp) {
        let passed = now.since(self.seen);
        self.seen = now;
        self.judge(now);
        let heard = self.look(sight.edge_bytes, sight.done, now);
        match self.knowledge {
            Knowledge::Nothing => {}
            Knowledge::Young { .. } => self.hear(sight, heard, passed, now),
            Knowledge::Rate(_) => {
                self.probe(sight, heard, passed, now);
                self.forgive(sight, heard.sum, now);
                self.raise(heard.sum);
                let mut refuted = false;
                if sight.edge_driven && !self.leaves_it_to_the_edge() {
                    self.learn(sight, now);
                    refuted = self.bound(heard) && std::mem::take(&mut self.hearsay);
                } else {
                    self.driven = Ceiling::default();
                }
                let rate = self.rate().unwrap_or_default();
                self.progress = self.progress.saturating_add(rate.bytes_in(passed));
                if refuted {
                    // A driven edge has kept the download level with its twin.
                    self.progress = self.progress.min(sight.done);
                }
                self.crowd.advance(rate, passed);
            }
        }
        self.sum = heard.sum;
        let faded = fade(self.best_sum.bytes_per_s(), passed);
        self.best_sum = Rate::from_bytes_per_s(faded).max(heard.sum);
    }

    /// The edge's rate without peers; `None` while it is listened to, which is for two seconds
    /// and a quarter at most. Peers would drown what is to be heard.
    pub(crate) fn rate(&self) -> Option<Rate> {
        match (&self.knowledge, self.fair) {
            (Knowledge::Nothing | Knowledge::Young { .. }, fair) => fair,
            (Knowledge::Rate(rate), None) => Some(*rate),
            (Knowledge::Rate(rate), Some(fair)) => Some(fair.min(*rate)),
        }
    }

    /// What arrived from everybody over the last second.
    pub(crate) fn sum(&self) -> Rate {
        self.sum
    }

    /// Whether only the edge is to be asked, so that it can be heard. Where somebody has
    /// everything, everybody is asked at once, and what all bring together is the pace until
    /// it turns out that the edge cannot give way.
    pub(crate) fn is_listening(&self, seeded: impl FnOnce() -> bool) -> bool {
        self.rate().is_none() && !seeded() || self.leaves_it_to_the_edge()
    }

    /// Whether the first peers are still being met.
    pub(crate) fn is_new(&self, now: Timestamp) -> bool {
        self.age(now) < Self::MEETING
    }

    /// Whether the first peers have had the time to say what they have.
    pub(crate) fn has_met(&self, now: Timestamp) -> bool {
        self.age(now) >= Self::MET
    }

    fn age(&self, now: Timestamp) -> Duration {
        let (began, _) = self.began;
        now.since(began)
    }

    /// Whether the edge, not the downlink, is what all wait for.
    pub(crate) fn is_crowded(&self) -> bool {
        self.fair.is_some()
    }

    /// Whether nobody but the edge is to be asked: it is listened to once more, or brings the rest.
    pub(crate) fn leaves_it_to_the_edge(&self) -> bool {
        self.probing.is_some() || self.is_spent()
    }

    /// Whether the edge brings the rest alone.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.is_some()
    }

    /// Whether the edge is asked alone because the pace was lost: it has no time to lose.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_spent() || self.mixed && self.probing.is_some()
    }

    /// The download is so many bytes behind, and so many peers fetch from an edge. Where they do, it has no
    /// time to give back; and what only peers said of it may never have been.
    pub(crate) fn on_lag(&mut self, lag: u64, drivers: usize, now: Timestamp) {
        let Some(pace) = self.rate() else {
            return;
        };
        let most = self.size / 1000 * LAG_PER_MILLE;
        let spent = lag > most.saturating_sub(pace.bytes_in(END));
        let ours = drivers == 0 && !self.is_crowded() && !self.hearsay;
        if spent && ours && !self.leaves_it_to_the_edge() {
            self.spent = Some(Listening::new(now));
        }
    }

    /// Whether the edge that brings the rest keeps the pace that was believed. If not, it was the line
    /// or the edge that became slower and not the peers, and nothing is owed.
    fn forgive(&mut self, sight: Sight, sum: Rate, now: Timestamp) {
        let shared = sight.drivers > 0 || self.is_crowded();
        self.spent.take_if(|_| shared);
        let believed = self.rate().map_or(0, |rate| percent(rate, KEPT_PERCENT));
        let heard = (self.spent.as_mut()).and_then(|listening| listening.hear(sum, now));
        let Some(alone) = heard else {
            return;
        };
        if alone.bytes_per_s() < believed {
            self.knowledge = Knowledge::Rate(alone);
            self.progress = self.progress.min(sight.done);
            self.spent = None;
        } else {
            self.spent = Some(Listening::new(now));
        }
    }

    /// The pace was lost when the edge gave way: what it brings alone has to be known now.
    pub(crate) fn on_needed(&mut self, done: u64, now: Timestamp) {
        let believed = self.rate().unwrap_or_default();
        let left = believed.time_for(self.size.saturating_sub(done));
        if self.mixed && !self.leaves_it_to_the_edge() && left > Listening::TIME * 3 {
            self.probing = Some(Listening::new(now));
        }
    }

    /// Bytes the twin would have now; it runs on past the end of the object.
    pub(crate) fn progress(&self) -> u64 {
        self.progress
    }

    /// Whether it may have so many bytes so soon after it was looked at.
    pub(crate) fn may_have(&self, bytes: u64, after: Duration) -> bool {
        let soon = |rate: Rate| self.progress.saturating_add(rate.bytes_in(after));
        self.rate().is_none_or(|rate| bytes <= soon(rate))
    }

    /// An equal client's share of the edge, as measured here.
    pub(crate) fn measured_share(&self, now: Timestamp) -> Option<Rate> {
        self.crowd.share(now)
    }

    /// Notes what has been delivered; gives the rates over the last looks.
    fn look(&mut self, edge: u64, all: u64, now: Timestamp) -> Heard {
        let (at, edge_before, all_before) = self.looks[0];
        self.looks.rotate_left(1);
        self.looks[3] = (now, edge, all);
        let passed = now.since(at);
        let rate = |now: u64, before| Rate::of(now.saturating_sub(before), passed);
        Heard {
            edge: rate(edge, edge_before),
            sum: rate(all, all_before),
        }
    }

    /// Listens to the edge for the first time.
    fn hear(&mut self, sight: Sight, heard: Heard, passed: Duration, now: Timestamp) {
        let Knowledge::Young { first_byte } = &mut self.knowledge else {
            return;
        };
        // Alone it would have no more than has come from all together; and no more than its
        // share, where that is told.
        let share = self.fair.map_or(u64::MAX, |fair| fair.bytes_in(passed));
        self.progress = self.progress.saturating_add(share).min(sight.done);
        if sight.edge_bytes > 0 {
            first_byte.get_or_insert(now);
        }
        if std::mem::replace(&mut self.seeded, sight.seeded) && !sight.seeded {
            // Who promised everything did not keep it: from here on the edge is alone.
            *first_byte = first_byte.map(|_| now);
        }
        let old = first_byte.is_some_and(|first| now.since(first) >= Self::LISTEN);
        let deaf = first_byte.is_none() && now.since(self.began.0) >= Self::FIRST_BYTE_MAX;
        if !old && !deaf {
            return;
        }
        // An edge that was asked for less than its share says nothing of what it can; but more
        // than several times what arrives at all is nobody's share.
        let (edge, sum) = (heard.edge.bytes_per_s(), heard.sum.bytes_per_s());
        let most = Rate::from_bytes_per_s(sum.saturating_mul(4));
        let least = self.fair.unwrap_or_default().min(most);
        let peers = sum.saturating_sub(edge);
        self.mixed = sight.seeded && peers > 0;
        let alone = if self.mixed {
            wrapped(sum, peers)
        } else {
            heard.edge
        };
        self.hearsay = least > alone;
        self.knowledge = Knowledge::Rate(alone.max(least));
    }

    /// What the edge and seeds brought together was not yet all they can, when they bring more.
    fn raise(&mut self, sum: Rate) {
        let Knowledge::Rate(alone) = &mut self.knowledge else {
            return;
        };
        if self.mixed {
            // A single look may fall between two bursts.
            *alone = sum.min(self.sum).max(*alone);
        }
    }

    /// The edge was heard alone for the first time, so long after it was first asked: nothing was
    /// owed to the mixture.
    fn unmix(&mut self, alone: Rate, until: Duration) {
        let (_, here) = self.began;
        self.mixed = false;
        self.knowledge = Knowledge::Rate(alone);
        let alone = here.saturating_add(alone.bytes_in(until));
        self.progress = self.progress.min(alone);
    }

    /// Listens to the edge once more when it gives much less than it did and others have come to
    /// it meanwhile. Nobody becomes slower by that: an edge that can do more takes the place of the
    /// peers at once, and one that cannot has not done more for the twin either.
    fn probe(&mut self, sight: Sight, heard: Heard, passed: Duration, now: Timestamp) {
        let Knowledge::Rate(alone) = self.knowledge else {
            return;
        };
        if let Some(listening) = &mut self.probing {
            let Some(most) = listening.hear(heard.sum, now) else {
                return;
            };
            self.probing = None;
            if self.mixed {
                let (began, _) = self.began;
                let until = now.since(began).saturating_sub(passed);
                self.unmix(most.min(alone), until);
            } else if heard.sum.bytes_per_s() < percent(alone, CROWDED_PERCENT) {
                // With what late peers bring, in doubt for a larger share.
                self.crowd.measure(heard.sum, now);
                self.judge(now);
            }
            return;
        }
        let believed = self.rate().unwrap_or_default();
        let left = believed.time_for(self.size.saturating_sub(sight.done));
        let slower = sight.edge.bytes_per_s() < percent(believed, PROBE_PERCENT);
        let grown = self.crowd.len() >= self.probed * 2 && self.crowd.len() > self.probed;
        if sight.edge_driven && slower && grown && sight.drivers > 0 && left > Listening::TIME * 3 {
            self.probing = Some(Listening::new(now));
            self.probed = self.crowd.len();
        }
    }

    /// Takes in what a driven edge delivers.
    fn learn(&mut self, sight: Sight, now: Timestamp) {
        let Knowledge::Rate(alone) = &mut self.knowledge else {
            return;
        };
        let believed = self.fair.map_or(*alone, |fair| fair.min(*alone));
        let (edge, peers) = (sight.edge.bytes_per_s(), sight.peers.bytes_per_s());
        let roomy = sight.sum.bytes_per_s() < percent(self.best_sum, ROOM_PERCENT);
        self.roomy = if roomy { self.roomy + 1 } else { 0 };
        let downlink_has_room = self.roomy >= ROOMY_LOOKS;
        if sight.edge > believed {
            *alone = sight.edge.max(*alone);
            if self.fair.is_some() && sight.drivers * 2 >= self.crowd.len() {
                self.crowd.measure(sight.edge, now);
            }
        } else if downlink_has_room
            && !self.crowd.is_empty()
            && edge < percent(*alone, ROOM_PERCENT)
        {
            self.crowd.measure(nearer(believed, edge), now);
        } else if downlink_has_room {
            *alone = nearer(*alone, edge);
        } else if peers < edge / 16 {
            let sum = wrapped(edge + peers, peers);
            *alone = nearer(*alone, sum.bytes_per_s());
        }
        self.judge(now);
    }

    /// What everybody brings together beside a driven edge is no less than the edge would bring
    /// alone: either the edge gives all it can, or the downlink is full, of which the wrapping of
    /// peers' bytes takes up to 1.5 % more. Says whether that is less than was believed.
    fn bound(&mut self, heard: Heard) -> bool {
        let (Knowledge::Rate(alone), Some(most)) =
            (&mut self.knowledge, self.driven.look(heard.sum))
        else {
            return false;
        };
        let (most, edge) = (most.bytes_per_s(), heard.edge.bytes_per_s());
        let most = wrapped(most, most.saturating_sub(edge));
        if most < *alone {
            *alone = most;
            return true;
        }
        false
    }

    /// Decides on the fair share: what was measured here, else what peers say.
    fn judge(&mut self, now: Timestamp) {
        self.fair = self.crowd.share(now).or_else(|| {
            let mut words: Vec<Rate> = self.words.values().copied().collect();
            words.sort_unstable_by(|a, b| b.cmp(a));
            let said = words.get(words.len() / 4).copied();
            said.filter(|_| words.len() >= Self::WORDS_MIN)
        });
    }
}

/// The most that arrived at any of so many looks in a row.
#[derive(Debug, Default)]
struct Ceiling {
    most: Rate,
    looks: u32,
}

impl Ceiling {
    /// Three seconds, so that there are three whole ones among them: one may fall short.
    const LOOKS: u32 = 12;

    fn look(&mut self, sum: Rate) -> Option<Rate> {
        self.most = self.most.max(sum);
        self.looks += 1;
        (self.looks >= Self::LOOKS).then(|| std::mem::take(self).most)
    }
}

/// Below this part of what was once seen, a rate is clearly lower.
const ROOM_PERCENT: u64 = 85;

/// Peers may cost so many thousandths of the time alone, less
const LAG_PER_MILLE: u64 = 17;

/// what the end still costs: the last answers of peers come when the edge would have been done.
const END: Duration = Duration::from_millis(25);

/// An edge alone that brings less than this part of what was believed is slower than was believed.
const KEPT_PERCENT: u64 = 98;

/// At so many looks in a row, a second in all: one may fall between two bursts.
const ROOMY_LOOKS: u32 = 4;

/// Below this part of what it is believed to deliver alone, a driven edge is listened to again.
const PROBE_PERCENT: u64 = 70;

/// Below this part of that, an edge that was listened to again is shared with others. Short requests behind an upload bring
/// up to a fifth less than it could, which must not become a share that others are told of.
const CROWDED_PERCENT: u64 = 75;

/// What a sum would be without the wrapping of what peers bring of it: up to 1.5 % of that.
pub(crate) fn wrapped(sum: u64, peers: u64) -> Rate {
    Rate::from_bytes_per_s(sum.saturating_add(peers / 64))
}

fn percent(rate: Rate, percent: u64) -> u64 {
    rate.bytes_per_s() / 100 * percent
}

/// A quarter of the way from `believed` to `seen`, if that is less.
fn nearer(believed: Rate, seen: u64) -> Rate {
    let believed = believed.bytes_per_s();
    Rate::from_bytes_per_s(believed - believed.saturating_sub(seen) / 4)
}

/// 2 % less every second: a downlink that got slower is believed within half a minute.
fn fade(rate: u64, passed: Duration) -> u64 {
    let lost = Rate::from_bytes_per_s(rate / 50).bytes_in(passed);
    rate.saturating_sub(lost)
}

#[cfg(test)]
mod tests;
