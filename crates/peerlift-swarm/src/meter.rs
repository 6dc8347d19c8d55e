//! Measures rates over a short sliding window, of wall time or of busy time only.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

/// Bytes per second over the last [`Meter::SPAN`].
///
/// Integer buckets instead of an exponential mean: the same on every machine, and what is older
/// than the span is forgotten entirely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    buckets: [u64; Self::BUCKETS],
    /// The number of the newest bucket since the first byte.
    newest: u64,
    first: Option<Timestamp>,
}

impl Meter {
    /// The length of the window: long enough to smooth the bursts of requests, short enough to
    /// notice within two seconds that a source got slower.
    pub(crate) const SPAN: Duration = Duration::from_secs(2);
    const BUCKETS: usize = 16;
    const BUCKET_MICROS: u64 = 125_000;
    const BUCKET: Duration = Duration::from_micros(Self::BUCKET_MICROS);
    /// The shortest time a rate is taken over, so that a first burst is not taken for infinity.
    const SHORTEST: Duration = Duration::from_millis(1);

    /// Starts the clock without a byte, so that the wait for the first one counts.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.first.get_or_insert(now);
    }

    /// Counts bytes that passed at `now`.
    pub(crate) fn add(&mut self, bytes: u64, now: Timestamp) {
        self.start(now);
        let bucket = self.bucket(now);
        self.forget_before(bucket);
        self.buckets[Self::slot(bucket)] += bytes;
    }

    /// The rate at `now`; `None` before the first byte or [`Meter::start`].
    pub(crate) fn rate(&self, now: Timestamp) -> Option<Rate> {
        let first = self.first?;
        let bucket = self.bucket(now);
        let oldest = (bucket + 1).saturating_sub(Self::BUCKETS as u64);
        let bytes = (oldest..=self.newest)
            .map(|at| self.buckets[Self::slot(at)])
            .sum();
        let covered = now.since(first + Self::BUCKET * u32::try_from(oldest).unwrap_or(u32::MAX));
        Some(Rate::of(bytes, covered.max(Self::SHORTEST)))
    }

    fn bucket(&self, now: Timestamp) -> u64 {
        let first = self.first.unwrap_or(now);
        now.as_micros().saturating_sub(first.as_micros()) / Self::BUCKET_MICROS
    }

    fn forget_before(&mut self, bucket: u64) {
        let stale = bucket.saturating_sub(self.newest).min(Self::BUCKETS as u64);
        for at in (bucket + 1 - stale)..=bucket {
            self.buckets[Self::slot(at)] = 0;
        }
        self.newest = self.newest.max(bucket);
    }

    fn slot(bucket: u64) -> usize {
        usize::try_from(bucket % Self::BUCKETS as u64).expect("less than BUCKETS")
    }
}

/// A [`Meter`] whose clock stands still while nothing is asked of its source: it tells what a
/// source can do, not what we let it do.
#[derive(Clone, Debug, Default)]
pub(crate) struct BusyMeter {
    meter: Meter,
    banked: Duration,
    busy_since: Option<Timestamp>,
}

impl BusyMeter {
    /// Starts or stops the clock.
    pub(crate) fn set_busy(&mut self, busy: bool, now: Timestamp) {
        match (busy, self.busy_since) {
            (true, None) => {
                let at = self.clock(now);
                self.meter.start(at);
                self.busy_since = Some(now);
            }
            (false, Some(since)) => {
                self.banked += now.since(since);
                self.busy_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Counts bytes.
    pub(crate) fn add(&mut self, bytes: u64, now: Timestamp) {
        self.meter.add(bytes, self.clock(now));
    }

    /// The rate over the last busy [`Meter::SPAN`]; `None` when it was never asked, zero when it
    /// was and gave nothing.
    pub(crate) fn rate(&self, now: Timestamp) -> Option<Rate> {
        self.meter.rate(self.clock(now))
    }

    fn clock(&self, now: Timestamp) -> Timestamp {
        let running = self
            .busy_since
            .map_or(Duration::ZERO, |since| now.since(since));
        Timestamp::ZERO + self.banked + running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn per_s(rate: Option<Rate>) -> u64 {
        rate.unwrap().bytes_per_s()
    }

    #[test]
    fn a_steady_flow_has_its_rate() {
        let mut meter = Meter::default();
        (0..100).for_each(|step| meter.add(1000, at(step * 50)));
        let rate = per_s(meter.rate(at(4950)));
        assert!((19_000..=22_000).contains(&rate), "{rate}");
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut meter = Meter::default();
        meter.add(1_000_000, at(0));
        assert_eq!(per_s(meter.rate(at(1000))), 1_000_000);
        assert_eq!(per_s(meter.rate(at(2200))), 0);
        assert_eq!(per_s(meter.rate(at(90_000))), 0);
        meter.add(500, at(90_000));
        assert!(per_s(meter.rate(at(90_000))) < 1000);
    }

    #[test]
    fn time_out_of_work_does_not_count() {
        let mut meter = BusyMeter::default();
        meter.set_busy(true, at(0));
        meter.add(1_000_000, at(1000));
        meter.set_busy(false, at(1000));
        assert_eq!(per_s(meter.rate(at(60_000))), 1_000_000);
        meter.set_busy(true, at(60_000));
        assert_eq!(per_s(meter.rate(at(60_500))), 666_666);
    }

    #[test]
    fn the_wait_for_the_first_byte_counts() {
        let mut meter = BusyMeter::default();
        assert_eq!(meter.rate(at(5)), None);
        meter.set_busy(true, at(5));
        assert_eq!(per_s(meter.rate(at(500))), 0);
        meter.add(1000, at(1005));
        assert_eq!(per_s(meter.rate(at(1005))), 1000);
    }
}
