//! What must hold in every step. The books are kept beside the model's own.

/// Complaints of one kind that are kept.
const COMPLAINTS_MAX: usize = 5;
/// Parts of the sums by which floating point may be off.
const SLACK: f64 = 1e-6;

/// Bytes in are bytes out, nobody sends more than the line carries, every download ends.
#[derive(Debug, Default)]
pub(super) struct Checks {
    sent: f64,
    taken: f64,
    capped: usize,
    complaints: Vec<String>,
}

impl Checks {
    /// Somebody who may send `most` in this step sends `bytes`.
    pub(super) fn sends(&mut self, who: &str, bytes: f64, most: f64, now: f64) {
        self.sent += bytes;
        if bytes <= most * (1.0 + SLACK) + 1.0 {
            return;
        }
        self.capped += 1;
        if self.capped <= COMPLAINTS_MAX {
            let what = format!("caps at {now:.2}: {who} sent {bytes:.0} bytes of {most:.0}");
            self.complaints.push(what);
        }
    }

    /// A download takes in bytes.
    pub(super) fn takes(&mut self, bytes: f64) {
        self.taken += bytes;
    }

    /// The run is over, with so many downloads that have not ended.
    pub(super) fn close(mut self, open: usize, now: f64) -> Vec<String> {
        let off = (self.sent - self.taken).abs();
        if off > self.sent * SLACK + 1.0 {
            let (sent, taken) = (self.sent, self.taken);
            let what = format!("books: {sent:.0} bytes sent, {taken:.0} taken in");
            self.complaints.push(what);
        }
        if open > 0 {
            let what = format!("ends: {open} downloads have not ended at {now:.1}");
            self.complaints.push(what);
        }
        self.complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let mut checks = Checks::default();
        checks.sends("7", 10.0, 10.0, 0.0);
        checks.takes(10.0);
        assert_eq!(checks.close(0, 1.0), [""; 0]);
        let mut checks = Checks::default();
        (0..9).for_each(|_| checks.sends("7", 20.0, 10.0, 0.0));
        let complaints = checks.close(2, 1.0);
        assert_eq!(complaints.len(), COMPLAINTS_MAX + 2, "{complaints:?}");
    }
}
