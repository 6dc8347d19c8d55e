//! The time of day, handed in by shells.
//!
//! Wall clocks jump: whoever decides by them says how. See [`crate::activity`], which only notes
//! them, for the simplest case.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01 00:00 UTC. Written as RFC 3339 text, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;

impl UnixTime {
    /// What the machine's clock says.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from_secs(since.unwrap_or(Duration::ZERO).as_secs())
    }

    /// So many seconds after the beginning of 1970; nothing is later than the year 9999.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(if seconds > LAST { LAST } else { seconds })
    }

    /// Seconds since the beginning of 1970.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time passed since `earlier`; zero when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The calendar in UTC.
    #[must_use]
    pub(crate) fn calendar(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.cast_signed())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.calendar().format(&Rfc3339).unwrap_or_default())
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        let seconds = u64::try_from(time.unix_timestamp());
        seconds
            .map(Self::from_secs)
            .map_err(|_| serde::de::Error::custom("a time before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for seconds in [0, 1_764_000_000, LAST] {
            let at = UnixTime::from_secs(seconds);
            let text = serde_json::to_string(&at).unwrap();
            assert_eq!(
                serde_json::from_str::<UnixTime>(&text).unwrap(),
                at,
                "{text}"
            );
        }
        assert_eq!(
            UnixTime::from_secs(u64::MAX).to_string(),
            "9999-12-31T23:59:59Z"
        );
    }

    #[test]
    fn times_before_1970_are_refused() {
        assert!(serde_json::from_str::<UnixTime>("\"1969-12-31T23:59:59Z\"").is_err());
    }
}
