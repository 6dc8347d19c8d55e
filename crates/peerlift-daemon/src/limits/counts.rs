//! What was sent and received, and what may still be sent. Pure: the time is an argument.
//!
//! # Clocks that jump
//!
//! A month's bytes are kept by the month's name. A clock that goes back to an earlier month carries the
//! later month's bytes along, as they may belong to it; a clock that goes forward begins a month that
//! it has not seen with nothing. A time before this program was made is no time: a machine without
//! a battery for its clock boots in 1970, and then the last month known goes on. However a clock
//! jumps, no month is ever sent more than its limit.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// Objects whose bytes are remembered; the least recently used goes first. An object that is
/// forgotten starts anew, which the limits over all objects bound.
const OBJECTS_MAX: usize = 256;

/// Months that are remembered: a year, for the user to look back.
const MONTHS_MAX: usize = 13;

/// 2026-01-01: no clock that is right says an earlier time.
const EARLIEST: UnixTime = UnixTime::from_secs(1_767_225_600);

/// How much may be sent to others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes sent for each byte received and verified, over the life of this installation.
    /// Default: 1.0, nobody gives more than they took.
    pub ratio: f64,
    /// Bytes sent in a calendar month (UTC). Default: 20 GB, a tenth of the smallest common
    /// data volume.
    pub month_bytes: u64,
    /// Bytes sent of one object. Default: 10 GB.
    pub object_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            month_bytes: 20_000_000_000,
            object_bytes: 10_000_000_000,
        }
    }
}

impl Limits {
    /// The stricter of both, limit by limit.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self {
            ratio: self.ratio.min(other.ratio).max(0.0),
            month_bytes: self.month_bytes.min(other.month_bytes),
            object_bytes: self.object_bytes.min(other.object_bytes),
        }
    }
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denied {
    /// As much was sent as was received.
    Ratio,
    /// The month's bytes are sent.
    Month,
    /// The object's bytes are sent.
    Object,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ratio => "you have given back what you downloaded",
            Self::Month => "this month's limit is reached",
            Self::Object => "the limit for this file is reached",
        })
    }
}

/// Everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Bytes sent to other users, ever.
    pub sent: u64,
    /// Bytes received and verified, ever.
    pub received: u64,
    /// The month that bytes are counted for, as `2026-11`.
    month: String,
    /// Bytes sent by month.
    months: BTreeMap<String, u64>,
    objects: BTreeMap<String, ObjectCounts>,
}

/// What is counted of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCounts {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// When it was counted last.
    pub last: UnixTime,
}

impl Counts {
    /// Takes up to `wanted` bytes of what may still be sent of an object and counts them as sent.
    ///
    /// # Errors
    ///
    /// [`Denied`] when not a byte is left; it names the limit that leaves the least.
    pub fn take(
        &mut self,
        object: &str,
        wanted: u64,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<u64, Denied> {
        let (left, limit) = self.left(object, limits, now);
        if left == 0 {
            return Err(limit);
        }
        let taken = wanted.min(left);
        self.sent = self.sent.saturating_add(taken);
        add(self.months.entry(self.month.clone()).or_default(), taken);
        add(&mut self.object(object, now).sent, taken);
        Ok(taken)
    }

    /// What may still be sent of an object, and the limit that leaves the least.
    pub fn left(&mut self, object: &str, limits: &Limits, now: UnixTime) -> (u64, Denied) {
        self.turn_to(now);
        let of_object = self.objects.get(object).map_or(0, |counts| counts.sent);
        let rests = [
            (
                allowance(self.received, limits.ratio).saturating_sub(self.sent),
                Denied::Ratio,
            ),
            (
                limits.month_bytes.saturating_sub(self.this_month()),
                Denied::Month,
            ),
            (
                limits.object_bytes.saturating_sub(of_object),
                Denied::Object,
            ),
        ];
        rests.into_iter().min().unwrap_or((0, Denied::Ratio))
    }

    /// Takes back bytes that were taken in this month, see [`Counts::month`], and not sent.
    pub fn give_back(&mut self, object: &str, bytes: u64, month: &str) {
        self.sent = self.sent.saturating_sub(bytes);
        if let Some(month) = self.months.get_mut(month) {
            *month = month.saturating_sub(bytes);
        }
        if let Some(counts) = self.objects.get_mut(object) {
            counts.sent = counts.sent.saturating_sub(bytes);
        }
    }

    /// Counts bytes that were received and verified.
    pub fn receive(&mut self, object: &str, bytes: u64, now: UnixTime) {
        self.turn_to(now);
        self.received = self.received.saturating_add(bytes);
        add(&mut self.object(object, now).received, bytes);
    }

    /// The month that bytes are counted for, as `2026-11`.
    #[must_use]
    pub fn month(&self) -> &str {
        &self.month
    }

    /// Whether bytes that are sent now belong to this month.
    #[must_use]
    pub fn is_month(month: &str, now: UnixTime) -> bool {
        now < EARLIEST || month_name(now) == month
    }

    /// Bytes sent in the month that is counted for.
    #[must_use]
    pub fn this_month(&self) -> u64 {
        self.months.get(&self.month).copied().unwrap_or(0)
    }

    /// Bytes sent by month, the earliest first.
    #[must_use]
    pub fn months(&self) -> &BTreeMap<String, u64> {
        &self.months
    }

    /// What is counted of each object.
    #[must_use]
    pub fn objects(&self) -> &BTreeMap<String, ObjectCounts> {
        &self.objects
    }

    /// Moves to the month of `now`; see the top of this file for clocks that jump.
    pub fn turn_to(&mut self, now: UnixTime) {
        let name = month_name(now);
        if now < EARLIEST || name == self.month {
            return;
        }
        if name < self.month {
            let carried = self.this_month();
            add(self.months.entry(name.clone()).or_default(), carried);
        } else {
            self.months.entry(name.clone()).or_default();
        }
        self.month = name;
        while self.months.len() > MONTHS_MAX {
            let oldest = self
                .months
                .keys()
                .find(|month| **month != self.month)
                .cloned();
            let Some(oldest) = oldest else { break };
            self.months.remove(&oldest);
        }
    }

    fn object(&mut self, object: &str, now: UnixTime) -> &mut ObjectCounts {
        if !self.objects.contains_key(object) && self.objects.len() >= OBJECTS_MAX {
            let stalest = self.objects.iter().min_by_key(|(_, counts)| counts.last);
            if let Some(name) = stalest.map(|(name, _)| name.clone()) {
                self.objects.remove(&name);
            }
        }
        let counts = self.objects.entry(object.to_owned()).or_default();
        counts.last = counts.last.max(now);
        counts
    }
}

fn add(count: &mut u64, bytes: u64) {
    *count = count.saturating_add(bytes);
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to an integer saturates, and a ratio is never exact"
)]
fn allowance(received: u64, ratio: f64) -> u64 {
    if ratio.is_infinite() {
        return u64::MAX;
    }
    if (ratio - 1.0).abs() < f64::EPSILON {
        // Exact, however much it is.
        return received;
    }
    (received as f64 * ratio.max(0.0)) as u64
}

fn month_name(at: UnixTime) -> String {
    let date = at.calendar();
    format!("{:04}-{:02}", date.year(), u8::from(date.month()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;
    /// 2026-11-15.
    const NOVEMBER: u64 = 1_794_700_800;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    fn generous() -> Limits {
        Limits {
            ratio: 1e9,
            month_bytes: 100,
            object_bytes: u64::MAX,
        }
    }

    fn rich() -> Counts {
        Counts {
            received: 1_000_000,
            ..Counts::default()
        }
    }

    #[test]
    fn nobody_gives_more_than_they_took() {
        let mut counts = Counts::default();
        let limits = Limits::default();
        assert_eq!(
            counts.take("a", 1, &limits, at(NOVEMBER)),
            Err(Denied::Ratio)
        );
        counts.receive("a", 100, at(NOVEMBER));
        assert_eq!(counts.take("b", 70, &limits, at(NOVEMBER)), Ok(70));
        assert_eq!(counts.take("a", 70, &limits, at(NOVEMBER)), Ok(30));
        assert_eq!(
            counts.take("a", 70, &limits, at(NOVEMBER)),
            Err(Denied::Ratio)
        );
        counts.give_back("a", 5, "2026-11");
        assert_eq!(counts.take("a", 70, &limits, at(NOVEMBER)), Ok(5));
    }

    #[test]
    fn an_object_has_a_limit_of_its_own() {
        let limits = Limits {
            object_bytes: 10,
            ..Limits::default()
        };
        let mut counts = rich();
        assert_eq!(counts.take("a", 50, &limits, at(NOVEMBER)), Ok(10));
        assert_eq!(
            counts.take("a", 50, &limits, at(NOVEMBER)),
            Err(Denied::Object)
        );
        assert_eq!(counts.take("b", 50, &limits, at(NOVEMBER)), Ok(10));
    }

    #[test]
    fn a_month_ends_with_the_calendar() {
        let mut counts = rich();
        assert_eq!(counts.take("a", 150, &generous(), at(NOVEMBER)), Ok(100));
        let last = 1_796_083_199; // 2026-11-30 23:59:59
        assert_eq!(
            counts.take("a", 1, &generous(), at(last)),
            Err(Denied::Month)
        );
        assert_eq!(counts.take("a", 150, &generous(), at(last + 1)), Ok(100));
        assert_eq!(counts.months().len(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut counts = rich();
        counts.take("a", 60, &generous(), at(NOVEMBER)).unwrap();
        counts
            .take("a", 60, &generous(), at(NOVEMBER + 400 * DAY))
            .unwrap();
        // It was the wrong year: both belong to this November.
        assert_eq!(
            counts.take("a", 1, &generous(), at(NOVEMBER)),
            Err(Denied::Month)
        );
        assert_eq!(counts.this_month(), 120);
        // And December begins as it should.
        assert_eq!(
            counts.take("a", 100, &generous(), at(NOVEMBER + 20 * DAY)),
            Ok(100)
        );
    }

    #[test]
    fn a_machine_that_boots_in_1970_goes_on_with_the_month_it_knew() {
        let mut counts = rich();
        counts.take("a", 60, &generous(), at(NOVEMBER)).unwrap();
        assert_eq!(counts.take("a", 60, &generous(), at(0)), Ok(40));
        assert_eq!(
            counts.take("a", 1, &generous(), at(NOVEMBER + DAY)),
            Err(Denied::Month)
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut counts = rich();
        for number in 0..1000 {
            counts.receive(&number.to_string(), 1, at(NOVEMBER + number * 40 * DAY));
        }
        assert_eq!(counts.objects().len(), OBJECTS_MAX);
        assert!(counts.objects().contains_key("999"));
        assert!(counts.months().len() <= MONTHS_MAX);
    }

    #[test]
    fn the_stricter_limits_win() {
        let loose = Limits {
            ratio: 5.0,
            month_bytes: 1,
            object_bytes: 9,
        };
        let strict = Limits {
            ratio: 0.5,
            month_bytes: 7,
            object_bytes: 3,
        };
        let both = Limits {
            ratio: 0.5,
            month_bytes: 1,
            object_bytes: 3,
        };
        assert_eq!(loose.stricter(strict), both);
    }

    proptest! {
        /// However the clock jumps: what was truly sent while it showed a month never exceeds the
        /// month's limit, nor does all of it exceed the ratio.
        #[test]
        fn no_limit_is_ever_exceeded(
            steps in proptest::collection::vec((0u64..800 * DAY, 1u64..80, 0u64..50), 1..60)
        ) {
            let mut counts = Counts::default();
            let limits = Limits { ratio: 1.0, month_bytes: 100, object_bytes: 150 };
            let (mut sent, mut received) = (0, 0);
            let mut by_month: BTreeMap<String, u64> = BTreeMap::new();
            for (ahead, wanted, got) in steps {
                let now = at(NOVEMBER + ahead);
                counts.receive("a", got, now);
                received += got;
                let taken = counts.take("a", wanted, &limits, now).unwrap_or(0);
                sent += taken;
                *by_month.entry(month_name(now)).or_default() += taken;
                prop_assert!(sent <= received);
                prop_assert!(sent <= limits.object_bytes);
                prop_assert!(by_month.values().all(|bytes| *bytes <= limits.month_bytes));
            }
        }
    }
}
