//! Hours of the day, in the machine's own time, between which something may happen. Pure, but for
//! [`MinuteOfDay::now`].

use std::fmt;
use std::str::FromStr;

use chrono::Timelike as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A minute of the day, by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// What the machine's clock says, in the machine's time zone.
    #[must_use]
    pub fn now() -> Self {
        let time = chrono::Local::now().time();
        // A leap second is written as the minute's last one; a day has 1440 minutes.
        Self(u16::try_from(time.hour() * 60 + time.minute()).unwrap_or(0) % DAY)
    }

    /// So many hours and minutes after midnight; `None` if no clock shows that.
    #[must_use]
    pub fn at(hour: u16, minute: u16) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(Self(hour * 60 + minute))
    }
}

impl MinuteOfDay {
    /// How many minutes pass from this one until the clock shows another; a whole day until it shows
    /// the same again.
    #[must_use]
    pub fn minutes_until(self, other: Self) -> u16 {
        match (other.0 + DAY - self.0) % DAY {
            0 => DAY,
            minutes => minutes,
        }
    }
}

/// No minute of a day.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no time of day; they look like 22:00")]
pub struct NoMinute(String);

impl FromStr for MinuteOfDay {
    type Err = NoMinute;

    fn from_str(text: &str) -> Result<Self, NoMinute> {
        minute(text).ok_or_else(|| NoMinute(text.to_owned()))
    }
}

impl fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// When something may happen. Default: always.
///
/// Written as `always` or as `22:00-06:00`. The hours may go over midnight. When clocks are put
/// forward or back, the clock on the wall counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hours {
    /// At any time.
    #[default]
    Always,
    /// From one minute of the day on, until before another.
    Between {
        /// The first minute.
        from: MinuteOfDay,
        /// The first minute that is too late.
        until: MinuteOfDay,
    },
}

impl Hours {
    /// Whether it may happen in this minute.
    #[must_use]
    pub fn contain(self, minute: MinuteOfDay) -> bool {
        match self {
            Self::Always => true,
            Self::Between { from, until } if from < until => (from..until).contains(&minute),
            Self::Between { from, until } => minute >= from || minute < until,
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Between { from, until } => write!(f, "{from}-{until}"),
        }
    }
}

/// No hours of a day.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} are no hours: \"always\", or as \"22:00-06:00\"")]
pub struct NoHours(String);

impl FromStr for Hours {
    type Err = NoHours;

    fn from_str(text: &str) -> Result<Self, NoHours> {
        if text == "always" {
            return Ok(Self::Always);
        }
        let ends = text.split_once('-');
        let ends = ends.and_then(|(from, until)| Some((minute(from)?, minute(until)?)));
        match ends {
            // Nobody can tell whether that is a whole day or nothing.
            Some((from, until)) if from != until => Ok(Self::Between { from, until }),
            Some(_) | None => Err(NoHours(text.to_owned())),
        }
    }
}

fn minute(text: &str) -> Option<MinuteOfDay> {
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':')?;
    MinuteOfDay::at(number(hour)?, number(minute)?)
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> MinuteOfDay {
        minute(text).unwrap()
    }

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_minute_counts_and_the_last_does_not() {
        let lunch = hours("12:00-13:30");
        for (minute, inside) in [
            ("11:59", false),
            ("12:00", true),
            ("13:29", true),
            ("13:30", false),
        ] {
            assert_eq!(lunch.contain(at(minute)), inside, "{minute}");
        }
    }

    #[test]
    fn a_night_goes_over_midnight() {
        let night = hours("22:00-06:00");
        for (minute, inside) in [
            ("21:59", false),
            ("22:00", true),
            ("23:59", true),
            ("00:00", true),
            ("05:59", true),
            ("06:00", false),
        ] {
            assert_eq!(night.contain(at(minute)), inside, "{minute}");
        }
        assert!(hours("always").contain(at("12:00")));
    }

    #[test]
    fn a_minute_comes_again_within_a_day() {
        for (now, then, minutes) in [
            ("12:00", "22:00", 600),
            ("22:30", "22:00", 1410),
            ("22:00", "22:00", 1440),
            ("23:59", "00:00", 1),
        ] {
            assert_eq!(at(now).minutes_until(at(then)), minutes, "{now} {then}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["always", "22:00-06:00", "00:00-23:59"] {
            assert_eq!(hours(text).to_string(), text);
        }
        for text in [
            "",
            "22-6",
            "24:00-06:00",
            "22:60-06:00",
            "22:00-22:00",
            "+1:00-06:00",
            "22:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text:?}");
        }
    }
}
