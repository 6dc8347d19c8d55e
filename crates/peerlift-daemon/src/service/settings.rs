//! The part of the settings file that the panel changes: the section `[share]`, and the hours in
//! `[get]`. Everything else in the file, comments included, stays as its owner wrote it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::machine::Hours;
use crate::state::replace;
use crate::steward::ShareRules;

/// The highest ratio that can be set: who gives a hundred times what they took means it.
const RATIO_MAX: f64 = 100.0;

/// What can be changed while the service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    /// How the user wants to share.
    pub(super) share: ShareRules,
    /// The hours in which the service downloads.
    pub(super) download_hours: Hours,
}

/// Says what is wrong with rules that somebody typed.
pub(super) fn check(rules: &ShareRules) -> Result<(), &'static str> {
    if !(0.0..=RATIO_MAX).contains(&rules.limits.ratio) {
        return Err("ratio: a number from 0 to 100 is needed");
    }
    if !(1..=100).contains(&rules.uplink_percent) {
        return Err("uplink-percent: 1 to 100 are possible");
    }
    Ok(())
}

/// Writes the rules into the file, which is created where there is none.
pub(super) fn write(path: &Path, new: &Settings) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    replace(path, edited(&text, new)?.as_bytes())
}

fn edited(text: &str, new: &Settings) -> io::Result<String> {
    let rules = &new.share;
    let mut document: DocumentMut = text.parse().map_err(io::Error::other)?;
    let bytes = |bytes: u64| value(bytes.to_string());
    let settings = [
        ("ratio", value(rules.limits.ratio)),
        ("month", bytes(rules.limits.month_bytes)),
        ("file", bytes(rules.limits.object_bytes)),
        ("uplink-percent", value(i64::from(rules.uplink_percent))),
        ("pause-on-metered", value(rules.pause.metered)),
        ("pause-on-battery", value(rules.pause.battery)),
        ("pause-on-vpn", value(rules.pause.vpn)),
        ("hours", value(rules.hours.to_string())),
        ("cache", bytes(rules.disk.cache_bytes)),
        ("disk-free", bytes(rules.disk.free_bytes)),
    ];
    put(&mut document, "share", settings)?;
    let hours = value(new.download_hours.to_string());
    put(&mut document, "get", [("background-hours", hours)])?;
    Ok(document.to_string())
}

/// Sets keys of a section, which is made where there is none.
fn put<const N: usize>(
    document: &mut DocumentMut,
    section: &str,
    settings: [(&str, Item); N],
) -> io::Result<()> {
    let table = document
        .entry(section)
        .or_insert_with(|| Item::Table(Table::new()));
    let Some(table) = table.as_table_like_mut() else {
        let wrong = format!("{section}: a section was expected");
        return Err(io::Error::other(wrong));
    };
    for (key, new) in settings {
        table.insert(key, new);
    }
    Ok(())
}

/// The settings in words, for the activity log.
pub(super) fn words(new: &Settings) -> String {
    let rules = &new.share;
    let (limits, pause) = (&rules.limits, &rules.pause);
    let mut text = format!(
        "ratio {}, {} a month, {} a file, {} % of the uplink",
        limits.ratio,
        gigabytes(limits.month_bytes),
        gigabytes(limits.object_bytes),
        rules.uplink_percent
    );
    for (what, rests) in [
        ("on metered networks", pause.metered),
        ("on battery", pause.battery),
        ("through a VPN", pause.vpn),
    ] {
        let _ = write!(text, ", {what} {}", if rests { "rests" } else { "goes on" });
    }
    let _ = write!(
        text,
        ", hours {}, downloads {}, cache {}, {} free on disks",
        rules.hours,
        new.download_hours,
        gigabytes(rules.disk.cache_bytes),
        gigabytes(rules.disk.free_bytes)
    );
    text
}

fn gigabytes(bytes: u64) -> String {
    format!("{} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_the_file_stays() {
        let text = "# mine\n[get]\njobs = 5 # five\n\n[share]\nmonth = \"1GB\" # old\n";
        let rules = Settings {
            share: ShareRules {
                uplink_percent: 7,
                ..ShareRules::default()
            },
            download_hours: "22:00-06:00".parse().unwrap(),
        };
        let new = edited(text, &rules).unwrap();
        let get = "[get]\njobs = 5 # five\nbackground-hours = \"22:00-06:00\"\n";
        assert!(
            new.starts_with(&format!("# mine\n{get}\n[share]\n")),
            "{new}"
        );
        assert!(new.contains("uplink-percent = 7\n"), "{new}");
        assert!(new.contains("month = \"20000000000\""), "{new}");
        assert!(!new.contains("1GB"), "{new}");
        assert_eq!(edited(&new, &rules).unwrap(), new);
    }

    #[test]
    fn a_file_that_is_no_toml_is_left_alone() {
        for text in ["share = 1\n", "get = 1\n", "[share\n"] {
            assert!(edited(text, &Settings::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut rules = ShareRules::default();
        assert_eq!(check(&rules), Ok(()));
        rules.limits.ratio = f64::NAN;
        assert!(check(&rules).is_err());
        rules = ShareRules {
            uplink_percent: 0,
            ..ShareRules::default()
        };
        assert!(check(&rules).is_err());
    }
}
