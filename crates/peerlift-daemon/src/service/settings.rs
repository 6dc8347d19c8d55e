//! The part of the settings file that the panel changes: the section `[share]`. Everything else in
//! the file, comments included, stays as its owner wrote it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, value};

use crate::state::replace;
use crate::steward::ShareRules;

/// The highest ratio that can be set: who gives a hundred times what they took means it.
const RATIO_MAX: f64 = 100.0;

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
pub(super) fn write(path: &Path, rules: &ShareRules) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    replace(path, edited(&text, rules)?.as_bytes())
}

fn edited(text: &str, rules: &ShareRules) -> io::Result<String> {
    let mut document: DocumentMut = text.parse().map_err(io::Error::other)?;
    let share = document
        .entry("share")
        .or_insert_with(|| Item::Table(Table::new()));
    let Some(share) = share.as_table_like_mut() else {
        return Err(io::Error::other("share: a section was expected"));
    };
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
    ];
    for (key, new) in settings {
        share.insert(key, new);
    }
    Ok(document.to_string())
}

/// The rules in words, for the activity log.
pub(super) fn words(rules: &ShareRules) -> String {
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
    let _ = write!(text, ", hours {}", rules.hours);
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
        let rules = ShareRules {
            uplink_percent: 7,
            ..ShareRules::default()
        };
        let new = edited(text, &rules).unwrap();
        assert!(
            new.starts_with("# mine\n[get]\njobs = 5 # five\n\n[share]\n"),
            "{new}"
        );
        assert!(new.contains("uplink-percent = 7\n"), "{new}");
        assert!(new.contains("month = \"20000000000\""), "{new}");
        assert!(!new.contains("1GB"), "{new}");
        assert_eq!(edited(&new, &rules).unwrap(), new);
    }

    #[test]
    fn a_file_that_is_no_toml_is_left_alone() {
        assert!(edited("share = 1\n", &ShareRules::default()).is_err());
        assert!(edited("[share\n", &ShareRules::default()).is_err());
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
