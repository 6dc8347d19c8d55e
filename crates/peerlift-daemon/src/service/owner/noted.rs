//! What the service notes in the activity log, also while its disk is full.

use std::collections::VecDeque;

use super::Service;
use crate::activity::Happening;
use crate::time::UnixTime;

/// Entries that wait for room: hours of an ordinary user's. The oldest is given up first.
const WAITING_MAX: usize = 64;

/// Entries that could not be written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    waiting: VecDeque<(Happening, UnixTime)>,
    /// How many were given up.
    given_up: u64,
    /// What the user was told.
    problem: Option<String>,
}

impl Unwritten {
    fn push(&mut self, what: Happening, at: UnixTime) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.given_up += 1;
        }
        self.waiting.push_back((what, at));
    }
}

impl Service {
    /// Notes something in the activity log; where that cannot be written now, as soon as it can.
    pub(in crate::service) fn note(&mut self, what: Happening) {
        self.unwritten.push(what, UnixTime::now());
        self.write_notes();
    }

    /// Writes what waits, in its order, with the times at which it happened.
    pub(super) fn write_notes(&mut self) {
        if self.unwritten.given_up > 0 {
            let what = format!("{} entries had no room", self.unwritten.given_up);
            let gap = Happening::Repaired { what };
            if self.write_note(gap, UnixTime::now()) {
                self.unwritten.given_up = 0;
            }
        }
        while let Some((what, at)) = self.unwritten.waiting.front().cloned() {
            if !self.write_note(what, at) {
                return;
            }
            self.unwritten.waiting.pop_front();
        }
        if let Some(solved) = self.unwritten.problem.take() {
            self.problems.retain(|known| *known != solved);
        }
    }

    fn write_note(&mut self, what: Happening, at: UnixTime) -> bool {
        let Err(error) = self.log.note(what, at) else {
            return true;
        };
        let text = error.to_string();
        self.problem(text.clone());
        self.unwritten.problem = Some(text);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_told() {
        let mut unwritten = Unwritten::default();
        let at = UnixTime::from_secs(1);
        for number in 0..WAITING_MAX + 3 {
            let why = number.to_string();
            unwritten.push(Happening::Paused { why }, at);
        }
        assert_eq!(unwritten.waiting.len(), WAITING_MAX);
        assert_eq!(unwritten.given_up, 3);
        let first = Happening::Paused {
            why: "3".to_owned(),
        };
        assert_eq!(unwritten.waiting.front(), Some(&(first, at)));
    }
}
