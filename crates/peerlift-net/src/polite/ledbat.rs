//! How many bytes may be on their way, by the time that packets wait in queues: LEDBAT++.

use std::time::Duration;

use peerlift_model::Timestamp;

/// A packet, as far as growth is counted in packets.
pub const SEGMENT_BYTES: u64 = 1460;

/// The queue that a scavenger may make: 60 ms (draft-irtf-iccrg-ledbat-plus-plus §4.2).
pub const TARGET_USUAL: Duration = Duration::from_millis(60);

/// The queue that may be there while the user waits for a download of ours: then most of it is
/// the download's own, on its way in, and a round-trip time does not tell which way a packet
/// waited. Twice what home routers commonly hold would be a sender that never gives way.
pub const TARGET_FOREGROUND: Duration = Duration::from_millis(150);

/// Packets on their way in the beginning.
const SEGMENTS_INITIAL: u64 = 4;

/// More than anything we serve needs: 10 Gbit/s at 100 ms.
const WINDOW_MAX: f64 = 128.0 * 1024.0 * 1024.0;

/// Growth in a round trip is divided by at most so much (§4.2).
const GAIN_DIVISOR_MAX: f64 = 16.0;

/// A slow start ends when the queue is this part of the target (§4.3).
const SLOW_START_END: f64 = 0.75;

/// Where the queue is below this part of the target the line is not full.
const QUEUE_OF_FREE_LINE: f64 = 0.25;

/// After so many round trips with a free line whoever filled it has gone: the window grows as
/// fast as in the beginning. A flow that goes by loss leaves a queue at all times.
const FREE_ROUND_TRIPS: u32 = 8;

/// Whoever stands aside believes sooner that the line is free: after two of its feelers. Its equals pause
/// for so long now and then, so that all get their turns; who goes by loss leaves a queue.
const FREE_ROUND_TRIPS_ASIDE: u32 = 3;

/// For so many round trips there is a queue, though not as long as the target, and
const CROWDED_ROUND_TRIPS: u32 = 6;

/// this part of what once got through is the most that does: then somebody else sends as well, and will
/// want more. Who begins carefully (HyStart, RFC 9406) leaves the queue so short for many seconds, and
/// has half of the line beside us until then.
const LEFT_IN_CROWD: f64 = 0.6;

/// What once got through counts less each time that the queue was gone while it stood aside, as the line may
/// have become slower, or whoever fills it makes room for an equal; and
const BEST_REMEMBERED: f64 = 0.75;

/// a little less each time that a short queue stays for long, which may be a way that became longer.
const BEST_REMEMBERED_AFTER_CALM: f64 = 0.9;

/// Rates are those of two round trips, but of no less than this.
const METER_MIN: Duration = Duration::from_millis(200);

/// With a queue below the target for so long whoever filled it gives way as we do, or the way became
/// longer. Flows that go by loss come back to a full queue sooner: CUBIC on a home's uplink in two to four
/// seconds (RFC 9438 §5.1), and once in eight where it began carefully.
const CALM: Duration = Duration::from_secs(10);

/// What was too much for the line is not gone back to at once, but nearly.
const BELOW_TOO_MUCH: f64 = 0.75;

/// A slowdown takes at most a tenth of the time (§4.4), and
const SLOWDOWN_SHARE: u32 = 9;

/// comes not more often than this. Ten to fifteen seconds are short beside the life of a base
/// delay, and with slow starts of half a second cost 4 % of an idle line.
const SLOWDOWN_INTERVAL_MIN: Duration = Duration::from_secs(12);

/// Every fifth slowdown is long: an equal that stands aside finds the line free, and fills it. So all get
/// their turns, for a fortieth of the time.
const SLOWDOWNS_A_TURN: u32 = 5;
const ROOM_FOR_EQUALS: Duration = Duration::from_millis(1500);

/// The queue may make up this part of the window that is taken back in one round trip.
const DECREASE_MAX: f64 = 0.5;

/// What is left of the window after a packet was lost from a queue that was ours to see.
const LEFT_AFTER_LOSS: f64 = 0.5;

/// What is left of it when nothing waited: noise on the air, or a queue too short to be seen. The
/// link's own transport halves in either case; a shared window that did so for each of many
/// links would not come up again.
const LEFT_AFTER_STRAY_LOSS: f64 = 0.875;

/// The window of a sender that gives way.
///
/// Fed with deliveries, it grows while the queue is short and shrinks the faster the longer it is.
/// Now and then it pauses for two round trips, to see how long an empty line takes.
#[derive(Clone, Debug)]
pub struct Ledbat {
    target: Duration,
    /// Whether it pauses to see how long an empty line takes.
    pauses: bool,
    window: f64,
    /// Up to here the window may grow as fast as in the beginning.
    threshold: f64,
    phase: Phase,
    /// Since when the line has been free.
    free_since: Option<Timestamp>,
    /// Whether the queue was longer than the target, and has not been much shorter since.
    is_over: bool,
    /// Since when there has been a queue, and little of what passed was ours.
    crowded_since: Option<Timestamp>,
    /// How often it has paused.
    slowdowns: u32,
    /// The most bytes a second that got through.
    rate_best: f64,
    meter: Meter,
    /// No second loss counts before: both were of one queue.
    forgiving_until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing is known yet.
    SlowStart,
    /// As much as the queue allows.
    Steady { slowdown_at: Timestamp },
    /// As little as possible.
    Slowdown { began: Timestamp, until: Timestamp },
    /// Back to where it was.
    Ramp { began: Timestamp },
    /// Somebody else fills the line: nothing but a feeler, until the queue has been shorter than
    /// the target for a while.
    Aside { calm_since: Option<Timestamp> },
}

/// Bytes a second that arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Meter {
    since: Timestamp,
    bytes: u64,
    rate: f64,
}

impl Meter {
    fn count(&mut self, now: Timestamp, bytes: u64, rtt: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        let passed = now.since(self.since);
        if passed >= METER_MIN.max(2 * rtt) {
            self.rate = self.bytes as f64 / passed.as_secs_f64();
            (self.since, self.bytes) = (now, 0);
        }
    }
}

impl Ledbat {
    /// A window of four packets.
    #[must_use]
    pub fn new(target: Duration) -> Self {
        Self {
            target,
            pauses: true,
            window: (SEGMENTS_INITIAL * SEGMENT_BYTES) as f64,
            threshold: WINDOW_MAX,
            phase: Phase::SlowStart,
            free_since: None,
            is_over: false,
            crowded_since: None,
            slowdowns: 0,
            rate_best: 0.0,
            meter: Meter::default(),
            forgiving_until: Timestamp::ZERO,
        }
    }

    /// Bytes that may be on their way: at least one packet.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between one packet and WINDOW_MAX"
    )]
    pub fn window(&self) -> u64 {
        self.window as u64
    }

    /// Changes the queue that it may make, and whether it pauses.
    pub fn aim(&mut self, target: Duration, pauses: bool) {
        self.target = target;
        self.pauses = pauses;
    }

    /// Whether it pauses, so that queues can drain.
    #[must_use]
    fn is_pausing(&self) -> bool {
        matches!(self.phase, Phase::Slowdown { .. })
    }

    /// Whether somebody else fills the line, so that even a packet each round trip is too much.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        matches!(self.phase, Phase::Aside { .. })
    }

    /// Begins anew after a time in which nothing was sent, and what was known is old.
    pub fn restart(&mut self) {
        self.threshold = self.window.max(floor());
        self.window = self.window.min((SEGMENTS_INITIAL * SEGMENT_BYTES) as f64);
        self.phase = Phase::SlowStart;
    }

    /// Takes a delivery of `bytes`. `queueing` is how long packets wait, `base` how long they would
    /// be on their way without; `limited` says whether more would have been sent if it might.
    pub fn delivered(
        &mut self,
        now: Timestamp,
        bytes: u64,
        queueing: Duration,
        base: Duration,
        limited: bool,
    ) {
        let load = queueing.as_secs_f64() / self.target.as_secs_f64();
        let rtt = base + queueing;
        let gain = gain(self.target, base);
        let growth = if limited { bytes as f64 } else { 0.0 };
        self.meter.count(now, bytes, rtt);
        let crowded = self.is_crowded(now, load, rtt, limited);
        match self.phase {
            Phase::SlowStart if load > SLOW_START_END || self.window >= self.threshold => {
                self.settle(now + 2 * rtt);
            }
            Phase::SlowStart => self.window += gain * growth,
            Phase::Steady { slowdown_at } if self.pauses && now >= slowdown_at => {
                self.slow_down(now, rtt);
            }
            Phase::Steady { .. } if crowded => {
                self.window = floor();
                self.crowded_since = None;
                self.phase = Phase::Aside { calm_since: None };
            }
            Phase::Steady { .. } => {
                let fast = self.may_grow_fast(now, load, rtt);
                self.adapt(bytes, load, gain, growth, fast);
            }
            Phase::Aside { calm_since } => self.wait_aside(now, load, rtt, calm_since),
            Phase::Slowdown { began, until } => {
                if now >= until {
                    self.phase = Phase::Ramp { began };
                }
            }
            Phase::Ramp { began } if load > SLOW_START_END || self.window >= self.threshold => {
                let interval = SLOWDOWN_SHARE * now.since(began);
                self.settle(now + interval.max(SLOWDOWN_INTERVAL_MIN));
            }
            Phase::Ramp { .. } => self.window = (self.window + growth).min(self.threshold),
        }
        self.window = self.window.clamp(floor(), WINDOW_MAX);
    }

    /// Takes the loss of a packet.
    pub fn lost(&mut self, now: Timestamp, queueing: Duration, base: Duration) {
        if now < self.forgiving_until || self.is_pausing() || self.is_aside() {
            return;
        }
        self.forgiving_until = now + base + queueing;
        let load = queueing.as_secs_f64() / self.target.as_secs_f64();
        if load > QUEUE_OF_FREE_LINE {
            self.window = (self.window * LEFT_AFTER_LOSS).max(floor());
            self.threshold = self.window;
        } else {
            self.window = (self.window * LEFT_AFTER_STRAY_LOSS).max(floor());
        }
        if self.phase == Phase::SlowStart {
            self.settle(now + 2 * (base + queueing));
        }
    }

    fn settle(&mut self, slowdown_at: Timestamp) {
        self.phase = Phase::Steady { slowdown_at };
    }

    /// Draft §4.4. Where the window is as small as can be there is nothing to drain.
    fn slow_down(&mut self, now: Timestamp, rtt: Duration) {
        if self.window <= floor() {
            return self.settle(now + SLOWDOWN_INTERVAL_MIN);
        }
        self.threshold = self.window;
        self.window = floor();
        // What gets through less for that is no sign of others.
        self.crowded_since = None;
        self.slowdowns = self.slowdowns.wrapping_add(1);
        let makes_room = self.slowdowns.is_multiple_of(SLOWDOWNS_A_TURN);
        let long = if makes_room {
            ROOM_FOR_EQUALS
        } else {
            Duration::ZERO
        };
        let until = now + long.max(2 * rtt);
        self.phase = Phase::Slowdown { began: now, until };
    }

    /// Whether there is a queue all the time, and little of what passes is ours: then it is somebody
    /// else's. What the user waits for may fill it as well, and has no other that it must give way to.
    fn is_crowded(&mut self, now: Timestamp, load: f64, rtt: Duration, limited: bool) -> bool {
        self.rate_best = self.rate_best.max(self.meter.rate);
        let is_little = self.meter.rate <= self.rate_best * LEFT_IN_CROWD;
        if load < QUEUE_OF_FREE_LINE || !limited || !is_little {
            self.crowded_since = None;
            return false;
        }
        let since = *self.crowded_since.get_or_insert(now);
        self.pauses && now.since(since) > CROWDED_ROUND_TRIPS * rtt
    }

    fn wait_aside(
        &mut self,
        now: Timestamp,
        load: f64,
        rtt: Duration,
        calm_since: Option<Timestamp>,
    ) {
        let calm_since = (load <= 1.0).then(|| calm_since.unwrap_or(now));
        let calm = calm_since.is_some_and(|since| now.since(since) >= CALM);
        if self.is_free(now, load, FREE_ROUND_TRIPS_ASIDE * rtt) {
            self.rate_best *= BEST_REMEMBERED;
            self.phase = Phase::SlowStart;
        } else if calm || !self.pauses {
            self.rate_best *= BEST_REMEMBERED_AFTER_CALM;
            self.settle(now + SLOWDOWN_INTERVAL_MIN);
        } else {
            self.phase = Phase::Aside { calm_since };
        }
    }

    /// Whether there is so much room that growth in packets would take too long.
    fn may_grow_fast(&mut self, now: Timestamp, load: f64, rtt: Duration) -> bool {
        let free = self.is_free(now, load, FREE_ROUND_TRIPS * rtt);
        free || (load < QUEUE_OF_FREE_LINE && self.window < self.threshold)
    }

    /// Whether the line has been free for a while.
    fn is_free(&mut self, now: Timestamp, load: f64, long: Duration) -> bool {
        if load >= QUEUE_OF_FREE_LINE {
            self.free_since = None;
            return false;
        }
        let since = *self.free_since.get_or_insert(now);
        now.since(since) > long
    }

    /// Draft §4.2: growth by the gain, decrease by the window. Growth ends softly at the target,
    /// as in RFC 6817 §2.4.2, so that little of it happens beside others whose queue comes and
    /// goes around it.
    fn adapt(&mut self, bytes: u64, load: f64, gain: f64, growth: f64, fast: bool) {
        self.is_over &= load >= SLOW_START_END && growth > 0.0;
        let round_trips = (bytes as f64 / self.window).min(1.0);
        let segment = gain * SEGMENT_BYTES as f64;
        if load > 1.0 {
            if !self.is_over {
                self.threshold = self.window * BELOW_TOO_MUCH;
            }
            self.is_over = true;
            let change = segment - self.window * (load - 1.0);
            self.window += round_trips * change.max(-DECREASE_MAX * self.window);
        } else if fast {
            self.window += gain * growth;
        } else if growth > 0.0 {
            self.window += round_trips * segment * (2.0 * (1.0 - load)).min(1.0);
        }
    }
}

/// One packet: less would tell nothing, and more is too much for a line that others want.
fn floor() -> f64 {
    SEGMENT_BYTES as f64
}

/// Short paths would grow faster than long ones: §4.2, `GAIN`.
fn gain(target: Duration, base: Duration) -> f64 {
    let ratio = 2.0 * target.as_secs_f64() / base.as_secs_f64().max(1e-3);
    1.0 / ratio.ceil().clamp(1.0, GAIN_DIVISOR_MAX)
}
