//! Scenario files: TOML, described in `docs/simulation.md`.
//!
//! A scenario says how users, objects and arrivals are drawn; with a seed it becomes a
//! [`Plan`]. Everything has a default but the name, the line classes and the
//! arrivals. Numbers are checked when the file is read, so that drawing cannot fail.

mod parts;
mod range;

use serde::{Deserialize, Serialize};

pub use parts::{
    Arrivals, Control, Distances, Edge, Line, Nats, Natures, Objects, Size, Stay, Users,
};

use crate::model::Model;
use crate::plan::{Aim, Plan, draw};
use crate::trace::Trace;

/// The description of a simulated internet and what happens on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One word.
    pub name: String,
    /// A line for people.
    #[serde(default)]
    pub about: String,
    /// What everybody wants: see [`Aim`]. Default `thrifty`.
    #[serde(default = "thrifty")]
    pub goal: String,
    /// How closely it is looked at. Default `groups`.
    #[serde(default)]
    pub model: Model,
    /// Groups of 16 KiB that move together. Default 1; more spares events in large runs.
    #[serde(default = "one")]
    pub chunk_groups: u32,
    /// Seconds after the last arrival in which everybody must have ended. Default 3600.
    #[serde(default = "an_hour")]
    pub patience_s: f64,
    /// The objects.
    #[serde(default)]
    pub objects: Objects,
    /// The people.
    #[serde(default)]
    pub users: Users,
    /// Their lines; each is drawn in proportion to its `share`.
    pub lines: Vec<Line>,
    /// When they come.
    pub arrivals: Arrivals,
    /// What they do then.
    #[serde(default)]
    pub stay: Stay,
    /// The server.
    #[serde(default)]
    pub edge: Edge,
    /// The control node.
    #[serde(default)]
    pub control: Control,
    /// Round trips.
    #[serde(default)]
    pub distances: Distances,
    /// Shares of NAT classes.
    #[serde(default)]
    pub nats: Nats,
    /// Clients that do not run the core, beside the honest ones.
    #[serde(default)]
    pub liars: Natures,
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It is no TOML, or has unknown or missing keys. Says line and column.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong, in one line.
        message: String,
    },
    /// A value is out of its bounds.
    #[error("{key}: {message}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What it must be.
        message: String,
    },
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`], with the place of the mistake.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            ScenarioError::Syntax {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message: error.message().replace('\n', " "),
            }
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The goal of everybody.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Value`] when it is none.
    pub fn aim(&self) -> Result<Aim, ScenarioError> {
        self.goal.parse().map_err(|message| ScenarioError::Value {
            key: "goal".to_owned(),
            message,
        })
    }

    /// Draws who comes when with what, by the arrival process or, if given, after a trace.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Value`] for values that are out of bounds.
    pub fn plan(&self, seed: u64, trace: Option<&Trace>) -> Result<Plan, ScenarioError> {
        self.check()?;
        Ok(draw(self, self.aim()?, seed, trace))
    }
}

/// Any bytes as a scenario file.
///
/// # Panics
///
/// When a scenario that was read cannot be written and read again.
pub fn fuzz_scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(scenario) = Scenario::parse(text) {
        let written = toml::to_string(&scenario).expect("what was read can be written");
        let again = Scenario::parse(&written).expect("what was written can be read");
        assert_eq!(again, scenario);
    }
}

fn thrifty() -> String {
    "thrifty".to_owned()
}

fn one() -> u32 {
    1
}

fn an_hour() -> f64 {
    3600.0
}
