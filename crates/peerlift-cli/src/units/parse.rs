//! Text to numbers.
//!
//! ```text
//! size      = number [ unit ]           500, 64k, 1.5M, 2GiB, 700MB
//! rate      = size [ "/s" ]             5M, 800k/s; and in bits: 40Mbit, 1Gbit/s
//! duration  = 1*( number unit )         90s, 10m, 1h30m, 2d; a bare number means seconds
//! ```
//!
//! `k M G T P`, alone or with `iB`, are powers of 1024, as in curl, aria2 and wget; with `B` alone
//! and for bits they are powers of 1000 (IEC 80000-13). Letters may be of any case.

use std::time::Duration;

use peerlift_model::Rate;

/// The longest duration that makes sense to type. Beyond it deadlines would overflow clocks.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; sizes look like 500k, 64M or 1.5GiB");
    let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
    let factor = byte_unit(unit).ok_or_else(wrong)?;
    whole(number * factor).ok_or_else(wrong)
}

/// Bytes a second, more than none.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("{text:?} is no rate; rates look like 500k, 5M or 40Mbit");
    let per_second = text.trim();
    let per_second = per_second.strip_suffix("/s").unwrap_or(per_second);
    let (number, unit) = split_number(per_second).ok_or_else(wrong)?;
    let factor = byte_unit(unit)
        .or_else(|| bit_unit(unit))
        .ok_or_else(wrong)?;
    match whole(number * factor) {
        Some(bytes) if bytes > 0 => Ok(Rate::from_bytes_per_s(bytes)),
        Some(_) | None => Err(wrong()),
    }
}

/// A cap: a rate, or `0`, `none` or `unlimited` for no cap.
pub(crate) fn parse_limit(text: &str) -> Result<Option<Rate>, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "0" | "none" | "unlimited" => Ok(None),
        _ => parse_rate(text).map(Some),
    }
}

/// A length of time.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; durations look like 90s, 10m or 1h30m");
    let mut rest = text.trim();
    let mut seconds = 0.0;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let bare = unit.is_empty() && parts == 0 && after.is_empty();
        let factor = if bare {
            1.0
        } else {
            time_unit(unit).ok_or_else(wrong)?
        };
        seconds += number * factor;
        parts += 1;
        rest = after.trim_start();
    }
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if parts == 0 || time > DURATION_MAX {
        Err(wrong())
    } else {
        Ok(time)
    }
}

/// Splits a decimal number off the front: digits with at most one point.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    // `f64` would take a lone point's neighbours, too: "." is not a number, "5." is a typing error.
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, rest.trim_start()))
}

fn byte_unit(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    let (prefix, base) = match unit.as_str() {
        "" | "b" => return Some(1.0),
        with_ib if with_ib.ends_with("ib") => (with_ib.strip_suffix("ib")?, 1024.0),
        with_b if with_b.ends_with('b') => (with_b.strip_suffix('b')?, 1000.0),
        bare => (bare, 1024.0),
    };
    power(prefix, base)
}

/// Bits, in bytes.
fn bit_unit(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    let prefix = unit
        .strip_suffix("bit")
        .or_else(|| unit.strip_suffix("bps"))?;
    match prefix {
        "" => Some(1.0 / 8.0),
        prefix => power(prefix, 1000.0).map(|bits| bits / 8.0),
    }
}

fn power(prefix: &str, base: f64) -> Option<f64> {
    let exponent = match prefix {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(base.powi(exponent))
}

fn time_unit(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" => 0.001,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

/// The nearest whole number, where 64 bits hold it exactly enough.
fn whole(value: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the guard keeps it within 0..2^63"
    )]
    (0.0..9.2e18).contains(&value).then(|| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Speed;

    #[test]
    fn sizes_as_curl_and_aria2_take_them() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("64k", 64 << 10),
            ("64K", 64 << 10),
            ("1.5M", 3 << 19),
            ("2GiB", 2 << 30),
            ("2 GiB", 2 << 30),
            ("700MB", 700_000_000),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1x",
            "1.2.3",
            ".5",
            "5.",
            "1e9",
            "inf",
            "NaN",
            "99999999T",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_in_bytes_and_in_bits() {
        for (text, rate) in [
            ("5M", 5 << 20),
            ("5MiB/s", 5 << 20),
            ("800k/s", 800 << 10),
            ("1", 1),
            ("40Mbit", 5_000_000),
            ("1Gbit/s", 125_000_000),
            ("16kbps", 2_000),
        ] {
            assert_eq!(parse_rate(text), Ok(Rate::from_bytes_per_s(rate)), "{text}");
        }
        for text in ["", "0", "fast", "5M/h", "/s", "0.1"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_limit_has_several_names() {
        for text in ["0", "none", "unlimited", "Unlimited"] {
            assert_eq!(parse_limit(text), Ok(None));
        }
        assert_eq!(parse_limit("1k"), Ok(Some(Rate::from_bytes_per_s(1024))));
        assert!(parse_limit("lots").is_err());
    }

    #[test]
    fn durations_with_units_and_bare_seconds() {
        for (text, seconds) in [
            ("0", 0.0),
            ("90", 90.0),
            ("90s", 90.0),
            ("10m", 600.0),
            ("1h30m", 5400.0),
            ("1h 30min", 5400.0),
            ("2d", 172_800.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in ["", "s", "1h30", "5 parsecs", "-1s", "1000000d", "1y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,24}") {
            let _ = (parse_size(&text), parse_limit(&text), parse_duration(&text));
        }

        #[test]
        fn what_is_shown_can_be_typed(bytes in 1u64..(1 << 50)) {
            let shown = Speed(bytes).to_string();
            let read = parse_rate(&shown).unwrap().bytes_per_s();
            prop_assert!(read.abs_diff(bytes) * 100 <= bytes, "{bytes} -> {shown} -> {read}");
        }
    }
}
