//! Access lines and the connections over them.
//!
//! An uplink serves the connections that have something to send in turns, a chunk each. A chunk
//! crosses the distance and joins the queue of the downlink, which is first come, first served. A
//! connection has a window of unacknowledged chunks: it doubles a round at first, grows by one a
//! round later, and is halved when a chunk finds the downlink's queue longer than its buffer, at
//! most once a round. That is a congestion-controlled transport in chunks instead of packets:
//! uplinks are shared evenly, downlinks by windows, nothing is idle while somebody has to send, and
//! distance costs what it costs. Loss bounds the window as in Mathis et al. 1997 (eq. 3).

use std::collections::VecDeque;
use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Timestamp};

use crate::arena::Key;
use crate::wire::Carrier;

/// How much a line's buffer holds, in time: drop-tail, as in the lab.
const BUFFER: Duration = Duration::from_millis(100);
/// What waits on a busy uplink: seen on lines of 10 Mbit/s in the lab.
const QUEUE: Duration = Duration::from_millis(100);
/// Chunks that a new connection may have under way: about ten packets (RFC 6928).
const WINDOW_START: f64 = 1.0;
/// Bytes that a connection may have under way: what common kernels allow.
const WINDOW_BYTES_MAX: f64 = 6.0 * 1_048_576.0;
/// A segment.
const SEGMENT: f64 = 1448.0;

/// One access line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) up: f64,
    pub(crate) down: f64,
    pub(crate) loss: f64,
    /// Connections whose turn it is, in order.
    pub(crate) ready: VecDeque<Key>,
    /// Whether a chunk is leaving.
    pub(crate) sending: bool,
    /// When the downlink has delivered all that waits for it.
    pub(crate) down_free: Timestamp,
    /// Small things on the uplink that delay the next chunk, and since when they do.
    debt: f64,
    debt_at: Timestamp,
}

impl Line {
    pub(crate) fn new(up: f64, down: f64, loss: f64) -> Self {
        Self {
            up,
            down,
            loss,
            ready: VecDeque::new(),
            sending: false,
            down_free: Timestamp::ZERO,
            debt: 0.0,
            debt_at: Timestamp::ZERO,
        }
    }

    /// Acknowledgements and messages: sent in between, in idle time at no cost.
    pub(crate) fn burden(&mut self, bytes: f64, now: Timestamp) {
        if !self.sending {
            let idle = now.since(self.debt_at).as_secs_f64();
            self.debt = (self.debt - idle * self.up).max(0.0);
        }
        self.debt_at = now;
        self.debt += bytes;
    }

    /// What waits on the uplink before a message that is sent now.
    pub(crate) fn queue(&self) -> Duration {
        if self.sending { QUEUE } else { Duration::ZERO }
    }

    /// How long the next chunk takes to leave.
    pub(crate) fn send(&mut self, bytes: f64, now: Timestamp) -> Duration {
        self.burden(0.0, now);
        self.sending = true;
        let bytes = bytes + std::mem::take(&mut self.debt);
        span(bytes, self.up)
    }

    /// A chunk joins the downlink's queue: when it will be through, and whether the queue was
    /// longer than the buffer.
    pub(crate) fn receive(&mut self, bytes: f64, now: Timestamp) -> (Timestamp, bool) {
        let full = self.down_free.since(now) > BUFFER;
        self.down_free = self.down_free.max(now) + span(bytes, self.down);
        (self.down_free, full)
    }
}

fn span(bytes: f64, per_s: f64) -> Duration {
    Duration::from_secs_f64(bytes / per_s)
}

/// One direction of a connection, or one connection to the edge.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The line that sends, and the line that receives.
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) carrier: Carrier,
    pub(crate) rtt: Duration,
    /// Answers that are not sent yet, in order.
    pub(crate) flows: VecDeque<Key>,
    /// Whether it is among those whose turn it is.
    pub(crate) queued: bool,
    window: f64,
    window_max: f64,
    slow_start: bool,
    unacked: u32,
    cut_at: Timestamp,
}

impl Channel {
    pub(crate) fn new(
        (from, to): (u32, u32),
        carrier: Carrier,
        rtt: Duration,
        loss: f64,
        chunk_groups: u32,
    ) -> Self {
        let chunk = GROUP_BYTES as f64 * f64::from(chunk_groups);
        let by_loss = if loss > 0.0 {
            SEGMENT * 1.22 / loss.sqrt()
        } else {
            WINDOW_BYTES_MAX
        };
        Self {
            from,
            to,
            carrier,
            rtt,
            flows: VecDeque::new(),
            queued: false,
            window: WINDOW_START,
            window_max: (by_loss.min(WINDOW_BYTES_MAX) / chunk).max(1.0),
            slow_start: true,
            unacked: 0,
            cut_at: Timestamp::ZERO,
        }
    }

    /// Whether it has something to send and may.
    pub(crate) fn is_ready(&self) -> bool {
        !self.flows.is_empty() && f64::from(self.unacked) < self.window.floor()
    }

    pub(crate) fn sent(&mut self) {
        self.unacked += 1;
    }

    pub(crate) fn acknowledged(&mut self) {
        let under_way = f64::from(self.unacked);
        self.unacked = self.unacked.saturating_sub(1);
        // A window that is not used does not grow (RFC 9002 §7.8); half is used, as acknowledgements
        // come together.
        if self.slow_start && 2.0 * under_way >= self.window {
            self.window += 1.0;
        } else if !self.slow_start && under_way >= self.window.floor() {
            self.window += 1.0 / self.window;
        }
        self.window = self.window.min(self.window_max);
    }

    /// A chunk met a full buffer and will be through after `delay`.
    pub(crate) fn congested(&mut self, delay: Duration, now: Timestamp) {
        if now.since(self.cut_at) < self.rtt + delay {
            return;
        }
        self.cut_at = now;
        self.slow_start = false;
        self.window = (self.window / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn idle_time_pays_for_messages() {
        let mut line = Line::new(1000.0, 1000.0, 0.0);
        line.burden(100.0, at(0));
        assert_eq!(line.send(100.0, at(50)), Duration::from_millis(150));
        line.sending = false;
        line.burden(100.0, at(1000));
        assert_eq!(line.send(100.0, at(2000)), Duration::from_millis(100));
    }

    #[test]
    fn a_downlink_is_a_queue_with_a_buffer() {
        let mut line = Line::new(1000.0, 1000.0, 0.0);
        assert_eq!(line.receive(150.0, at(0)), (at(150), false));
        assert_eq!(line.receive(100.0, at(10)), (at(250), true));
        assert_eq!(line.receive(100.0, at(400)), (at(500), false));
    }

    #[test]
    fn a_window_doubles_a_round_until_it_is_cut() {
        let path = Duration::from_millis(50);
        let mut channel = Channel::new((0, 1), Carrier::Peer, path, 0.0, 1);
        let mut arena = crate::arena::Arena::default();
        channel.flows.push_back(arena.add(()));
        let round = |channel: &mut Channel| {
            let mut sent = 0;
            while channel.is_ready() {
                channel.sent();
                sent += 1;
            }
            (0..sent).for_each(|_| channel.acknowledged());
            sent
        };
        let rounds: Vec<u32> = (0..4).map(|_| round(&mut channel)).collect();
        assert!(rounds[3] >= 5, "{rounds:?}");
        let before = channel.window;
        channel.congested(path, at(1000));
        channel.congested(path, at(1001));
        assert_eq!(channel.window, before / 2.0, "once a round");
        round(&mut channel);
        assert!(channel.window <= before / 2.0 + 1.0);
    }

    #[test]
    fn loss_bounds_a_window() {
        let path = Duration::from_millis(50);
        let lossy = Channel::new((0, 1), Carrier::Edge, path, 0.01, 1);
        assert!(lossy.window_max < 1.1);
        let clean = Channel::new((0, 1), Carrier::Edge, path, 0.0, 1);
        assert_eq!(clean.window_max, 384.0);
    }
}
