//! Policies as operators write them: a TOML file, every setting optional.
//!
//! `docs/control-policy.toml` shows all of them with their defaults; a test reads it back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use peerlift_rendezvous::policy::{
    AnswerSize, Diversity, Limits, NatRule, Pace, Policy, Preference, Rotation, SiteRule, Sites,
};
use peerlift_rendezvous::{Level, Network};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// A policy file is wrong. The policy in force stays in force.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct PolicyError {
    /// Where, from 1; `None` when it is about the whole.
    pub line: Option<usize>,
    /// What.
    pub message: String,
}

/// Reads a policy.
///
/// # Errors
///
/// [`PolicyError`].
pub fn parse_policy(text: &str) -> Result<Policy, PolicyError> {
    let file: File = toml::from_str(text).map_err(|error| PolicyError {
        line: error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
        message: error.message().to_owned(),
    })?;
    Ok(file.into())
}

/// Any bytes as a policy: what is wrong is named, with a line that exists. For tests.
#[doc(hidden)]
pub fn exercise_policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = parse_policy(text) {
        let lines = text.matches('\n').count() + 1;
        assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)));
        assert!(!error.message.is_empty());
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    selection: Selection,
    limits: LimitsSection,
    site: Vec<Site>,
    blocked: Blocked,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Selection {
    #[serde(deserialize_with = "peers")]
    peers: usize,
    prefer: Vec<LevelName>,
    #[serde(deserialize_with = "share")]
    diversity: f64,
    #[serde(deserialize_with = "choices")]
    choices: usize,
    #[serde(deserialize_with = "duration")]
    introduction_counts: Duration,
    nat: bool,
}

impl Default for Selection {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            peers: policy.answer.peers_max,
            prefer: vec![
                LevelName::Site,
                LevelName::Prefix,
                LevelName::As,
                LevelName::Country,
            ],
            diversity: policy.diversity.share,
            choices: policy.rotation.choices,
            introduction_counts: policy.rotation.cost,
            nat: policy.nat.enabled,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LevelName {
    Site,
    Prefix,
    As,
    Country,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsSection {
    objects: usize,
    queries: PaceText,
    prefix_queries: PaceText,
    announces: PaceText,
    logins_per_key: PaceText,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            objects: limits.objects_max,
            queries: PaceText(limits.queries),
            prefix_queries: PaceText(limits.prefix_queries),
            announces: PaceText(limits.announces),
            logins_per_key: PaceText(limits.logins),
        }
    }
}

/// "16 at once, then every 500ms".
#[derive(Clone, Copy, Debug)]
struct PaceText(Pace);

impl<'de> Deserialize<'de> for PaceText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wanted = || {
            serde::de::Error::custom(format!(
                "{text:?} is no pace, such as \"16 at once, then every 500ms\""
            ))
        };
        let (burst, interval) = text
            .split_once(" at once, then every ")
            .ok_or_else(wanted)?;
        let burst = burst.trim().parse().map_err(|_| wanted())?;
        let interval = parse_duration(interval).ok_or_else(wanted)?;
        if burst == 0 || interval.is_zero() {
            return Err(wanted());
        }
        Ok(Self(Pace::new(burst, interval)))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Site {
    networks: Vec<NetworkText>,
    #[serde(default, rename = "as")]
    asn: u32,
    #[serde(default, deserialize_with = "country")]
    country: [u8; 2],
}

/// "192.0.2.0/24".
#[derive(Clone, Copy, Debug)]
struct NetworkText {
    address: IpAddr,
    bits: u8,
}

impl<'de> Deserialize<'de> for NetworkText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_network(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no network, such as \"192.0.2.0/24\""))
        })
    }
}

fn parse_network(text: &str) -> Option<NetworkText> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    (bits <= width).then_some(NetworkText { address, bits })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Blocked {
    objects: Vec<ObjectText>,
}

#[derive(Clone, Copy, Debug)]
struct ObjectText(peerlift_model::ObjectId);

impl<'de> Deserialize<'de> for ObjectText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn peers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    between(usize::deserialize(deserializer)?, 1, 40)
}

fn choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    between(usize::deserialize(deserializer)?, 1, 4)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    between(f64::deserialize(deserializer)?, 0.0, 1.0)
}

fn between<T: PartialOrd + std::fmt::Display, E: serde::de::Error>(
    value: T,
    least: T,
    most: T,
) -> Result<T, E> {
    if value >= least && value <= most {
        Ok(value)
    } else {
        let text = format!("{value} is not between {least} and {most}");
        Err(E::custom(text))
    }
}

fn country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 2], D::Error> {
    let text = String::deserialize(deserializer)?;
    match <[u8; 2]>::try_from(text.as_bytes()) {
        Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(letters),
        _ => Err(serde::de::Error::custom(format!(
            "{text:?} is no country, such as \"DE\""
        ))),
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration, such as \"5s\"")))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

impl From<File> for Policy {
    fn from(file: File) -> Self {
        let blocked = file.blocked.objects.iter().map(|object| object.0);
        Self {
            answer: AnswerSize {
                peers_max: file.selection.peers,
            },
            preference: Preference::of(file.selection.prefer.iter().map(|level| match level {
                LevelName::Site => Level::Site,
                LevelName::Prefix => Level::Prefix,
                LevelName::As => Level::As,
                LevelName::Country => Level::Country,
            })),
            diversity: Diversity {
                share: file.selection.diversity,
            },
            rotation: Rotation {
                choices: file.selection.choices,
                cost: file.selection.introduction_counts,
            },
            nat: NatRule {
                enabled: file.selection.nat,
            },
            limits: Limits {
                objects_max: file.limits.objects,
                queries: file.limits.queries.0,
                prefix_queries: file.limits.prefix_queries.0,
                announces: file.limits.announces.0,
                logins: file.limits.logins_per_key.0,
            },
            blocked: blocked.collect::<BTreeSet<_>>(),
            sites: sites(&file.site),
        }
    }
}

fn sites(sites: &[Site]) -> Sites {
    let rules = (1u32..).zip(sites).flat_map(|(tag, site)| {
        let known = Network {
            asn: site.asn,
            country: site.country,
        };
        site.networks.iter().map(move |network| SiteRule {
            network: network.address,
            bits: network.bits,
            tag,
            known,
        })
    });
    Sites::new(rules.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = include_str!("../../../docs/control-policy.toml");

    #[test]
    fn the_reference_holds_the_defaults() {
        assert_eq!(parse_policy(REFERENCE), Ok(Policy::default()));
        assert_eq!(parse_policy(""), Ok(Policy::default()));
    }

    #[test]
    fn settings_are_taken() {
        let text = "
[selection]
peers = 20
prefer = ['as']
diversity = 0.5
choices = 1
introduction-counts = '1min'
nat = false

[limits]
queries = '3 at once, then every 2s'

[[site]]
networks = ['192.0.2.0/24', '2001:db8::/32']
as = 64500
country = 'DE'

[blocked]
objects = ['0101010101010101010101010101010101010101010101010101010101010101']
";
        let policy = parse_policy(text).unwrap();
        assert_eq!(policy.answer.peers_max, 20);
        let levels: Vec<Level> = policy.preference.levels().collect();
        assert_eq!(levels, [Level::As, Level::World]);
        assert_eq!(policy.rotation.cost, Duration::from_secs(60));
        assert_eq!(policy.limits.queries, Pace::new(3, Duration::from_secs(2)));
        assert!(!policy.nat.enabled);
        assert_eq!(policy.blocked.len(), 1);
        let known = Network {
            asn: 64500,
            country: *b"DE",
        };
        let place = policy
            .sites
            .place(Some([192, 0, 2, 9].into()), Network::default());
        assert_eq!(place, peerlift_rendezvous::Locality::tagged(1, known));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, message) in [
            ("[selection]\npeers = 41\n", 2, "41 is not between 1 and 40"),
            (
                "[selection]\n\ndiversity = 1.5\n",
                3,
                "1.5 is not between 0 and 1",
            ),
            ("[selection]\nprefer = ['planet']\n", 2, "planet"),
            ("[limits]\nqueries = 'many'\n", 2, "is no pace"),
            (
                "[limits]\nqueries = '0 at once, then every 1s'\n",
                2,
                "is no pace",
            ),
            (
                "[[site]]\nnetworks = ['192.0.2.0/33']\n",
                2,
                "is no network",
            ),
            (
                "[[site]]\nnetworks = []\ncountry = 'de'\n",
                3,
                "is no country",
            ),
            ("[blocked]\nobjects = ['12']\n", 2, "64 hexadecimal"),
            ("peers = 4\n", 1, "unknown field"),
            ("[selection\n", 1, ""),
        ] {
            let error = parse_policy(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
            assert!(error.to_string().starts_with(&format!("line {line}: ")));
        }
    }
}
