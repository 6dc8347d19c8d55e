//! Bytes per second.

use std::fmt;
use std::time::Duration;

/// A data rate in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// The rate of so many bytes per second.
    #[must_use]
    pub const fn from_bytes_per_s(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The mean rate of `bytes` over `time`; zero when `time` is zero.
    #[must_use]
    pub fn of(bytes: u64, time: Duration) -> Self {
        let micros = time.as_micros();
        if micros == 0 {
            return Self(0);
        }
        let per_s = u128::from(bytes) * 1_000_000 / micros;
        Self(u64::try_from(per_s).unwrap_or(u64::MAX))
    }

    /// Bytes per second.
    #[must_use]
    pub const fn bytes_per_s(self) -> u64 {
        self.0
    }

    /// The bytes that pass in `time`.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0) * time.as_micros() / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The time that `bytes` take; [`Duration::MAX`] at rate zero.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_time_and_rate_agree() {
        let rate = Rate::of(3_000_000, Duration::from_secs(2));
        assert_eq!(rate.bytes_per_s(), 1_500_000);
        assert_eq!(rate.bytes_in(Duration::from_millis(10)), 15_000);
        assert_eq!(rate.time_for(750_000), Duration::from_millis(500));
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(
            Rate::of(u64::MAX, Duration::from_micros(1)).bytes_per_s(),
            u64::MAX
        );
        assert_eq!(Rate::of(1, Duration::ZERO).bytes_per_s(), 0);
        assert_eq!(Rate::default().time_for(1), Duration::MAX);
    }
}
