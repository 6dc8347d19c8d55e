//! Numbers to text: always three significant digits, so that columns hold still.
//!
//! Units are powers of 1000, as in the control panel and in the limits that a user agrees to.

use std::fmt;
use std::time::Duration;

/// Bytes, such as `842 MB` or `1.46 GB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

/// Bytes a second, such as `5.00 MB/s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed(pub(crate) u64);

/// A share of a whole, such as `71 %`. Only all of it is `100 %` and only nothing is `0 %`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent {
    /// The part.
    pub(crate) part: u64,
    /// All of it.
    pub(crate) whole: u64,
}

/// How many there are, such as `1 answer` or `2 answers`: the number, and the words for one and for more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(
    pub(crate) usize,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// A length of time, such as `9.1 s`, `2 min 05 s` or `3 h 20 min`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let mut value = self.0 as f64;
        let mut unit = 0;
        // What would be shown as 1000 is shown in the next unit.
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1000.0;
            unit += 1;
        }
        let decimals = match value {
            _ if unit == 0 => 0,
            small if small < 9.995 => 2,
            middle if middle < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = match (self.part, self.whole) {
            (_, 0) | (0, _) => 0,
            (part, whole) if part >= whole => 100,
            (part, whole) => {
                let rounded = (u128::from(part) * 100 + u128::from(whole) / 2) / u128::from(whole);
                rounded.clamp(1, 99)
            }
        };
        write!(f, "{percent} %")
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, one, more) = *self;
        write!(f, "{count} {}", if count == 1 { one } else { more })
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 if self.0 < Duration::from_millis(100) => {
                write!(f, "{:.2} s", self.0.as_secs_f64())
            }
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64().min(59.9)),
            60..3600 => write!(f, "{} min {:02} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {:02} min", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (16 << 10, "16.4 kB"),
            (842_000_000, "842 MB"),
            (999_600_000, "1.00 GB"),
            (1_570_000_000, "1.57 GB"),
            (20_000_000_000, "20.0 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(Speed(5_000_000).to_string(), "5.00 MB/s");
    }

    #[test]
    fn percentages_round_but_never_to_the_ends() {
        for (part, whole, text) in [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (1, 1_000_000, "1 %"),
            (71, 100, "71 %"),
            (2, 3, "67 %"),
            (999_999, 1_000_000, "99 %"),
            (5, 5, "100 %"),
        ] {
            assert_eq!(Percent { part, whole }.to_string(), text);
        }
    }

    #[test]
    fn one_is_not_several() {
        let answers = |count| Count(count, "answer", "answers").to_string();
        assert_eq!(answers(0), "0 answers");
        assert_eq!(answers(1), "1 answer");
        assert_eq!(answers(2), "2 answers");
    }

    #[test]
    fn times_grow_coarser() {
        for (millis, text) in [
            (12, "0.01 s"),
            (9_100, "9.1 s"),
            (59_990, "59.9 s"),
            (125_000, "2 min 05 s"),
            (12_000_000, "3 h 20 min"),
            (90_000_000, "1 d 01 h"),
        ] {
            assert_eq!(Seconds(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
