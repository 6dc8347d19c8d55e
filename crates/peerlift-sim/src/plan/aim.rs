//! What downloads want, before it is known when they begin.

use std::str::FromStr;
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};
use peerlift_swarm::Goal;

/// A [`Goal`] whose deadline counts from the arrival.
///
/// In text: `fastest`, `thrifty`, `in-order`, `floor=MBIT_PER_S`, `deadline=SECONDS`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Aim {
    /// [`Goal::Fastest`].
    Fastest,
    /// [`Goal::Thrifty`].
    #[default]
    Thrifty,
    /// [`Goal::InOrder`].
    InOrder,
    /// [`Goal::Floor`].
    Floor(Rate),
    /// [`Goal::Deadline`], so long after the arrival.
    Deadline(Duration),
}

impl Aim {
    /// The goal of a download that begins at `arrival`.
    #[must_use]
    pub fn from_arrival(self, arrival: Timestamp) -> Goal {
        match self {
            Self::Fastest => Goal::Fastest,
            Self::Thrifty => Goal::Thrifty,
            Self::InOrder => Goal::InOrder,
            Self::Floor(rate) => Goal::Floor(rate),
            Self::Deadline(after) => Goal::Deadline(arrival + after),
        }
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no goal: fastest, thrifty, in-order, floor=MBIT_PER_S or \
                 deadline=SECONDS"
            )
        };
        let number = |text: &str| {
            let number = text.parse::<f64>().ok();
            number
                .filter(|number| *number > 0.0 && *number < 1e7)
                .ok_or_else(wrong)
        };
        match text.split_once('=') {
            None => match text {
                "fastest" => Ok(Self::Fastest),
                "thrifty" => Ok(Self::Thrifty),
                "in-order" => Ok(Self::InOrder),
                _ => Err(wrong()),
            },
            Some(("floor", mbit)) => {
                let per_s = Duration::from_secs_f64(number(mbit)? * 1e6 / 8.0).as_secs();
                Ok(Self::Floor(Rate::from_bytes_per_s(per_s)))
            }
            Some(("deadline", seconds)) => {
                Ok(Self::Deadline(Duration::from_secs_f64(number(seconds)?)))
            }
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_and_nonsense_is_not() {
        let read = |text: &str| text.parse::<Aim>();
        assert_eq!(
            read("floor=8"),
            Ok(Aim::Floor(Rate::from_bytes_per_s(1_000_000)))
        );
        assert_eq!(
            read("deadline=45"),
            Ok(Aim::Deadline(Duration::from_secs(45)))
        );
        for wrong in ["", "cheap", "floor=", "floor=-1", "floor=nan", "speed=3"] {
            assert!(read(wrong).unwrap_err().contains("is no goal"), "{wrong}");
        }
    }
}
