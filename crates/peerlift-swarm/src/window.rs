//! How much is asked of one peer at a time.
//!
//! The window follows the bandwidth-delay product by the delay: as long as requests come back
//! sooner than the round trip plus a little queueing, the peer could do more and the window grows,
//! doubling every round at first (slow start), by one request a round later. When they take longer
//! it shrinks in proportion. No rate needs to be known, and a peer that shares its uplink among
//! many gives every one of them the same small queue. (The idea of TCP Vegas, Brakmo and Peterson
//! 1995, applied to whole requests.)

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Timestamp};

/// The window of one peer, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    bytes: u64,
    bytes_max: u64,
    slow_start: bool,
    rtt: Duration,
    shrunk: Timestamp,
}

impl Window {
    /// The queue that a peer should hold for us beyond the round trip: long enough to survive
    /// the gaps between its turns for us, short enough that the last requests of a download do
    /// not wait for it.
    pub(crate) const QUEUE: Duration = Duration::from_millis(1000);
    /// Two requests of a small piece: something to answer while the next request travels.
    const START: u64 = 8 * GROUP_BYTES;
    /// The least request: the heads of request and answer are then 0.6 % of it. Forty slow peers
    /// of a thin line would be asked for a group each otherwise.
    const REQUEST_MIN: u64 = 2 * GROUP_BYTES;
    /// Two of them.
    const FLOOR: u64 = 2 * Self::REQUEST_MIN;
    /// The largest request to a peer. It bounds what a reset stream loses, and keeps one
    /// downloader from sitting on an upload slot for long.
    const REQUEST_MAX: u64 = 4 << 20;

    /// A first small window for a peer at a distance of `rtt`.
    pub(crate) fn new(rtt: Duration, bytes_max: u64, now: Timestamp) -> Self {
        Self {
            bytes: Self::START,
            bytes_max: bytes_max.max(Self::FLOOR),
            slow_start: true,
            rtt,
            shrunk: now,
        }
    }

    /// How much may be asked and not yet arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How large one request should be: half the window, so that one is always on its way.
    pub(crate) fn request_groups(&self) -> u32 {
        let bytes = (self.bytes / 2).min(Self::REQUEST_MAX);
        u32::try_from(bytes / GROUP_BYTES).expect("bounded")
    }

    /// Learns from a request that came back whole `took` after it was made. `limited` says that
    /// the window was full meanwhile; otherwise it has no reason to grow.
    pub(crate) fn on_done(
        &mut self,
        request_bytes: u64,
        took: Duration,
        limited: bool,
        now: Timestamp,
    ) {
        let aim = self.rtt + Self::QUEUE;
        if took > aim * 3 / 2 {
            self.slow_start = false;
            self.shrink(aim, took, now);
        } else if took > aim {
            self.slow_start = false;
        } else if limited && self.slow_start {
            self.grow(request_bytes);
        } else if limited {
            self.grow(request_bytes * request_bytes / self.bytes.max(1));
        }
    }

    /// Learns that the peer has too much to do.
    pub(crate) fn on_busy(&mut self, now: Timestamp) {
        self.slow_start = false;
        self.shrink(Duration::from_secs(1), Duration::from_secs(2), now);
    }

    /// Begins anew after a stall.
    pub(crate) fn restart(&mut self) {
        self.bytes = Self::FLOOR;
        self.slow_start = true;
    }

    fn grow(&mut self, by: u64) {
        self.bytes = self.bytes.saturating_add(by).min(self.bytes_max);
    }

    /// Once per round only: the requests of one round all tell the same story.
    fn shrink(&mut self, aim: Duration, took: Duration, now: Timestamp) {
        if now.since(self.shrunk) < took {
            return;
        }
        self.shrunk = now;
        let scaled = u128::from(self.bytes) * aim.as_micros() / took.as_micros().max(1);
        let scaled = u64::try_from(scaled).unwrap_or(self.bytes);
        self.bytes = scaled.max(self.bytes / 2).max(Self::FLOOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn an_idle_peer_is_asked_for_twice_as_much_every_round() {
        let mut window = Window::new(RTT, 8 << 20, at(0));
        for round in 1..4 {
            let (before, size) = (window.bytes(), window.bytes() / 2);
            window.on_done(size, RTT * 2, true, at(100 * round));
            window.on_done(size, RTT * 2, true, at(100 * round));
            assert_eq!(window.bytes(), before * 2);
        }
        (0..40).for_each(|_| window.on_done(1 << 20, RTT, true, at(1000)));
        assert_eq!(window.bytes(), 8 << 20, "bounded");
        assert_eq!(
            u64::from(window.request_groups()) * GROUP_BYTES,
            Window::REQUEST_MAX
        );
    }

    #[test]
    fn a_window_that_is_not_full_does_not_grow() {
        let mut window = Window::new(RTT, 8 << 20, at(0));
        window.on_done(GROUP_BYTES, RTT, false, at(100));
        assert_eq!(window.bytes(), Window::START);
    }

    #[test]
    fn a_queue_shrinks_it_once_a_round_to_the_floor() {
        let mut window = Window::new(RTT, 8 << 20, at(0));
        (0..6).for_each(|_| window.on_done(window.bytes(), RTT, true, at(100)));
        let wide = window.bytes();
        window.on_done(GROUP_BYTES, Duration::from_secs(4), true, at(5000));
        window.on_done(GROUP_BYTES, Duration::from_secs(4), true, at(5001));
        assert_eq!(window.bytes(), wide / 2);
        for round in 2..20 {
            window.on_done(GROUP_BYTES, Duration::from_secs(4), true, at(round * 5000));
        }
        assert_eq!(window.bytes(), Window::FLOOR);
        assert_eq!(window.request_groups(), 2);
    }

    #[test]
    fn it_settles_where_the_queue_is_as_long_as_wanted() {
        // A peer that gives us 200 kB/s: requests take window ÷ rate.
        let mut window = Window::new(RTT, 8 << 20, at(0));
        let mut now = at(0);
        for _ in 0..400 {
            let took = RTT + Duration::from_micros(window.bytes() * 5);
            now = now + took / 2;
            window.on_done(window.bytes() / 2, took, true, now);
        }
        let aim = peerlift_model::Rate::from_bytes_per_s(200_000).bytes_in(Window::QUEUE);
        assert!(
            (aim / 2..aim * 2).contains(&window.bytes()),
            "{}",
            window.bytes()
        );
    }
}
