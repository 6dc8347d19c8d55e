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
        Self(scaled(bytes, 1_000_000, micros))
    }

    /// Bytes per second.
    #[must_use]
    pub const fn bytes_per_s(self) -> u64 {
        self.0
    }

    /// The bytes that pass in `time`.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> u64 {
        scaled(self.0, time.as_micros(), 1_000_000)
    }

    /// The time that `bytes` take; [`Duration::MAX`] at rate zero.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        Duration::from_micros(scaled(bytes, 1_000_000, self.0.into()))
    }
}

/// `number × factor ÷ divisor`, rounded down; saturates. In 64 bits where that is enough: the
/// processor divides these itself, and 128 are a function of many steps.
fn scaled(number: u64, factor: u128, divisor: u128) -> u64 {
    let narrow = |wide: u128| u64::try_from(wide).ok();
    let product = narrow(factor).and_then(|factor| number.checked_mul(factor));
    match (product, narrow(divisor)) {
        (Some(product), Some(divisor)) => product / divisor,
        _ => narrow(u128::from(number).saturating_mul(factor) / divisor).unwrap_or(u64::MAX),
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number of any length.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(bits, shift)| bits >> shift)
    }

    proptest! {
        #[test]
        fn short_divisions_say_what_long_ones_do(bytes in number(), micros in number(), rate in number()) {
            let long = |a: u64, b: u64, by: u64| {
                let quotient = u128::from(a) * u128::from(b) / u128::from(by);
                u64::try_from(quotient).unwrap_or(u64::MAX)
            };
            let (time, of) = (Duration::from_micros(micros), Rate::from_bytes_per_s(rate));
            prop_assert_eq!(of.bytes_in(time), long(rate, micros, 1_000_000));
            if micros > 0 {
                prop_assert_eq!(Rate::of(bytes, time).bytes_per_s(), long(bytes, 1_000_000, micros));
            }
            if rate > 0 {
                let micros = long(bytes, 1_000_000, rate);
                prop_assert_eq!(of.time_for(bytes), Duration::from_micros(micros));
            }
        }
    }

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
