//! The scenarios that come with the program.

use crate::scenario::Scenario;

/// Name and text of each, in order of the name.
const TEXTS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// The names and texts of the scenarios that come with the program, in order of the name.
pub fn library() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXTS.iter().copied()
}

/// The scenario of that name.
///
/// # Panics
///
/// Never: a test reads all of them.
#[must_use]
pub fn named(name: &str) -> Option<Scenario> {
    let (_, text) = TEXTS.iter().find(|(known, _)| *known == name)?;
    Some(Scenario::parse(text).expect("a test reads all scenarios of the library"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_has_its_files_name() {
        assert!(library().count() > 20);
        for (name, text) in library() {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, name);
            assert!(!scenario.about.is_empty(), "{name}");
        }
    }
}
