//! Values that options and the configuration file have in common, each with one text form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use peerlift_client::{Goal, Share};
use peerlift_content::Access;
use peerlift_model::Rate;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::units::{parse_duration, parse_limit, parse_rate, parse_size};

/// `--goal`: what matters most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GoalWord(pub(crate) Goal);

impl FromStr for GoalWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let goal = match text.split_once('=') {
            None => match text {
                "fastest" => Goal::Fastest,
                "thrifty" => Goal::Thrifty,
                "in-order" => Goal::InOrder,
                _ => return Err(unknown_goal(text)),
            },
            Some(("floor", rate)) => Goal::Floor(parse_rate(rate)?),
            Some(("deadline", time)) => Goal::Deadline(parse_duration(time)?),
            Some(_) => return Err(unknown_goal(text)),
        };
        Ok(Self(goal))
    }
}

impl fmt::Display for GoalWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Goal::Fastest => f.write_str("fastest"),
            Goal::Thrifty => f.write_str("thrifty"),
            Goal::Floor(rate) => write!(f, "floor={}", rate.bytes_per_s()),
            Goal::Deadline(time) => write!(f, "deadline={}s", time.as_secs_f64()),
            Goal::InOrder => f.write_str("in-order"),
        }
    }
}

/// The goal of the configuration file: one of [`GoalWord`], or the publisher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GoalSetting(pub(crate) Option<Goal>);

impl FromStr for GoalSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "publisher" {
            return Ok(Self(None));
        }
        text.parse::<GoalWord>().map(|goal| Self(Some(goal.0)))
    }
}

fn unknown_goal(text: &str) -> String {
    format!(
        "{text:?} is no goal; goals are fastest, thrifty, floor=RATE, deadline=DURATION, in-order"
    )
}

/// `--access`: who may fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AccessWord {
    /// Everybody.
    #[default]
    Public,
    /// Whoever shows a token of the publisher's.
    Token,
}

impl FromStr for AccessWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "public" => Ok(Self::Public),
            "token" => Ok(Self::Token),
            _ => Err(format!("{text:?} is no access; say public or token")),
        }
    }
}

impl From<AccessWord> for Access {
    fn from(word: AccessWord) -> Self {
        match word {
            AccessWord::Public => Self::Public,
            AccessWord::Token => Self::Token,
        }
    }
}

/// `--share`: whether others may fetch from this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ShareWord {
    /// The user is asked once for each publisher; without a terminal the answer is no.
    #[default]
    Ask,
    /// The user has said.
    Decided(Share),
}

impl FromStr for ShareWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('=') {
            None if text == "ask" => Self::Ask,
            None if text == "off" => Self::Decided(Share::Off),
            None if text == "while-downloading" => Self::Decided(Share::WhileDownloading),
            Some(("for", time)) => Self::Decided(Share::For(parse_duration(time)?)),
            _ => {
                return Err(format!(
                    "{text:?} is no way to share; say off, while-downloading, for=DURATION or ask"
                ));
            }
        })
    }
}

/// `--limit-down`, `--limit-up`: a cap, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Rate>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_limit(text).map(Self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_size(text).map(Self)
    }
}

/// `-H`: one request header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl fmt::Debug for Header {
    /// Shows the name only: values are often secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({}: …)", self.name)
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a header looks like \"NAME: VALUE\"".to_owned();
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Self {
            name: name.trim().parse().map_err(|_| wrong())?,
            value,
        })
    }
}

/// A URL that can be downloaded.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("{error}; a URL begins with https:// or http://"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!(
            "{other}: URLs cannot be fetched, only https: and http:"
        )),
    }
}

/// Reads a value of the configuration file with its `FromStr`.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Reads a duration of the configuration file.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_have_words() {
        let of = |text: &str| text.parse::<GoalWord>().map(|goal| goal.0);
        assert_eq!(of("fastest"), Ok(Goal::Fastest));
        assert_eq!(
            of("floor=1M"),
            Ok(Goal::Floor(Rate::from_bytes_per_s(1 << 20)))
        );
        assert_eq!(
            of("deadline=20m"),
            Ok(Goal::Deadline(Duration::from_secs(1200)))
        );
        for text in ["fastest", "thrifty", "floor=5", "deadline=1.5s", "in-order"] {
            assert_eq!(text.parse::<GoalWord>().unwrap().to_string(), text);
        }
        assert!(of("floor").is_err());
        assert!(of("fastest=1").is_err());
    }

    #[test]
    fn shares_have_words() {
        let of = |text: &str| text.parse::<ShareWord>();
        assert_eq!(of("ask"), Ok(ShareWord::Ask));
        assert_eq!(of("off"), Ok(ShareWord::Decided(Share::Off)));
        assert_eq!(
            of("for=1h"),
            Ok(ShareWord::Decided(Share::For(Duration::from_secs(3600))))
        );
        assert!(of("for").is_err());
        assert!(of("on").is_err());
    }

    #[test]
    fn headers_hide_their_value() {
        let header: Header = "Authorization: Bearer s3cret".parse().unwrap();
        assert_eq!(header.name, "authorization");
        assert_eq!(header.value, "Bearer s3cret");
        assert!(!format!("{header:?}").contains("s3cret"));
        for text in ["", "x", "a b: c", "a: b\nc: d"] {
            assert!(text.parse::<Header>().is_err(), "{text:?}");
        }
    }
}
