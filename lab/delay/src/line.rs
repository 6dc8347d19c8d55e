//! Packets on their way: one first-in-first-out line for each length of path.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The most bytes under way. A fat 1 Gbit/s path of 100 ms holds 12 MiB; twenty times that says
/// that something is wrong, and memory is finite.
const HELD_BYTES_MAX: usize = 256 << 20;

/// All packets under way. Packets of one path never overtake one another.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<Duration, VecDeque<(Instant, Vec<u8>)>>,
    held_bytes: usize,
}

impl Lines {
    /// Puts a packet on the line of its path until `due`. Beyond [`HELD_BYTES_MAX`] it is lost.
    pub(crate) fn hold(&mut self, packet: &[u8], path: Duration, due: Instant) {
        if self.held_bytes + packet.len() > HELD_BYTES_MAX {
            return;
        }
        self.held_bytes += packet.len();
        let line = self.lines.entry(path).or_default();
        line.push_back((due, packet.to_vec()));
    }

    /// Takes a packet whose time has come.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Vec<u8>> {
        let line = self
            .lines
            .values_mut()
            .find(|line| line.front().is_some_and(|(due, _)| *due <= now))?;
        let (_, packet) = line.pop_front()?;
        self.held_bytes -= packet.len();
        Some(packet)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.held_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(1);
    const FAR: Duration = Duration::from_millis(9);

    #[test]
    fn a_packet_comes_out_when_it_is_due_and_not_before() {
        let start = Instant::now();
        let mut lines = Lines::default();
        lines.hold(b"far", FAR, start + FAR);
        lines.hold(b"near", NEAR, start + NEAR);
        assert_eq!(lines.release(start), None);
        assert_eq!(lines.release(start + NEAR), Some(b"near".to_vec()));
        assert_eq!(lines.release(start + NEAR), None);
        assert!(!lines.is_empty());
        assert_eq!(lines.release(start + FAR), Some(b"far".to_vec()));
        assert!(lines.is_empty());
    }

    #[test]
    fn packets_of_one_path_keep_their_order() {
        let start = Instant::now();
        let mut lines = Lines::default();
        lines.hold(b"first", FAR, start + FAR);
        lines.hold(b"second", FAR, start + FAR);
        assert_eq!(lines.release(start + FAR), Some(b"first".to_vec()));
        assert_eq!(lines.release(start + FAR), Some(b"second".to_vec()));
    }

    #[test]
    fn what_is_too_much_is_lost() {
        let start = Instant::now();
        let mut lines = Lines {
            held_bytes: HELD_BYTES_MAX,
            ..Lines::default()
        };
        lines.hold(b"one too many", NEAR, start);
        assert_eq!(lines.release(start + NEAR), None);
    }
}
