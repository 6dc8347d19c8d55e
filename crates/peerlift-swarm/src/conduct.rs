//! How a source behaves: stalls, faults, rests and parole.
//!
//! A stall or a fault is an accident until it repeats: the source rests, for twice as long every
//! time, and comes back on parole, asked for a little that nobody waits for, until it has
//! delivered. Only bytes that do not verify are no accident: those ban it, and that is not
//! decided here.

use std::time::Duration;

use peerlift_model::Timestamp;

use crate::lateness::Ratio;

/// The record of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    /// Faults and stalls since the source last delivered a request.
    strikes: u32,
    rest_until: Option<Timestamp>,
    /// Requests to be delivered before it is trusted again; 0 when it is.
    parole: u32,
    /// When it last delivered anything, or was first asked after having nothing to do.
    progress: Timestamp,
}

impl Conduct {
    /// The least patience, and that with a source of which nothing can be expected: a lost radio
    /// link comes back in that time, and a peer that serves forty others comes to us.
    const PATIENCE_LEAST: Duration = Duration::from_secs(8);
    /// The most patience with anybody.
    const PATIENCE_MAX: Duration = Duration::from_secs(30);
    /// The first rest; doubled with every further strike.
    const REST_FIRST: Duration = Duration::from_millis(250);
    /// The longest rest. A server that restarts is noticed within that time.
    const REST_MAX: Duration = Duration::from_secs(16);
    /// Requests that end a parole.
    const PAROLE: u32 = 3;

    /// The source is asked for something and had nothing to do before.
    pub(crate) fn on_asked(&mut self, now: Timestamp) {
        self.progress = self.progress.max(now);
    }

    /// Something arrived.
    pub(crate) fn on_progress(&mut self, now: Timestamp) {
        self.progress = now;
    }

    /// A request was delivered in full.
    pub(crate) fn on_done(&mut self) {
        self.strikes = 0;
        self.parole = self.parole.saturating_sub(1);
    }

    /// A request failed.
    pub(crate) fn on_fault(&mut self, now: Timestamp) {
        self.strike(now);
    }

    /// It kept us waiting for too long.
    pub(crate) fn on_stall(&mut self, now: Timestamp) {
        self.strike(now);
        self.parole = Self::PAROLE;
    }

    /// How long to wait for a source whose requests were expected to take so long, and that is late
    /// from `late_from` on. What it delivers now is no measure: of who is silent that is nothing.
    pub(crate) fn patience(expected: Option<Duration>, late_from: Ratio) -> Duration {
        let late = expected.map(|expected| late_from.apply(expected));
        (late.unwrap_or_default()).clamp(Self::PATIENCE_LEAST, Self::PATIENCE_MAX)
    }

    /// Whether a source that owes us something has exhausted our patience.
    pub(crate) fn is_stalled(&self, patience: Duration, now: Timestamp) -> bool {
        now.since(self.progress) > patience
    }

    /// Whether it is left alone at `now`.
    pub(crate) fn is_resting(&self, now: Timestamp) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Whether it must prove itself.
    pub(crate) fn is_on_parole(&self) -> bool {
        self.parole > 0
    }

    fn strike(&mut self, now: Timestamp) {
        // Several requests that fail together are one accident.
        if self.is_resting(now) {
            return;
        }
        let rest = Self::REST_FIRST.saturating_mul(1 << self.strikes.min(16));
        self.rest_until = Some(now + rest.min(Self::REST_MAX));
        self.strikes = self.strikes.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn rests_double_and_end() {
        let mut conduct = Conduct::default();
        conduct.on_fault(at(0));
        conduct.on_fault(at(1));
        assert!(conduct.is_resting(at(249)) && !conduct.is_resting(at(250)));
        conduct.on_fault(at(250));
        assert!(conduct.is_resting(at(749)) && !conduct.is_resting(at(750)));
        (1..20).for_each(|n| conduct.on_fault(at(n * 20_000)));
        assert!(!conduct.is_resting(at(19 * 20_000 + 16_000)), "bounded");
        conduct.on_done();
        conduct.on_fault(at(1_000_000));
        assert!(!conduct.is_resting(at(1_000_250)), "forgiven");
    }

    #[test]
    fn a_stall_leads_to_parole_and_deliveries_out_of_it() {
        let mut conduct = Conduct::default();
        conduct.on_asked(at(0));
        assert!(!conduct.is_stalled(Conduct::PATIENCE_LEAST, at(8000)));
        assert!(conduct.is_stalled(Conduct::PATIENCE_LEAST, at(8001)));
        conduct.on_progress(at(8001));
        assert!(!conduct.is_stalled(Conduct::PATIENCE_LEAST, at(9000)));
        conduct.on_stall(at(20_000));
        assert!(conduct.is_on_parole() && conduct.is_resting(at(20_001)));
        (0..3).for_each(|_| conduct.on_done());
        assert!(!conduct.is_on_parole());
    }

    #[test]
    fn patience_follows_what_was_expected_within_bounds() {
        let patience = |expected: Option<u64>, late_from| {
            let expected = expected.map(Duration::from_millis);
            Conduct::patience(expected, Ratio::times(late_from)).as_secs()
        };
        assert_eq!(patience(None, 2), 8);
        assert_eq!(patience(Some(100), 2), 8);
        assert_eq!(patience(Some(5000), 2), 10, "who is always on time");
        assert_eq!(patience(Some(3000), 8), 24, "who never was");
        assert_eq!(patience(Some(3_000_000), 2), 30);
    }
}
