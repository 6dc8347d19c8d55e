//! The two models of what happens to a plan.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::plan::Plan;

/// How closely a plan is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Group by group, with the production cores: ten thousand people.
    #[default]
    Groups,
    /// Bytes as a fluid, with the cores' rules as formulas: a million people.
    Flow,
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "groups" => Ok(Self::Groups),
            "flow" => Ok(Self::Flow),
            _ => Err(format!("`{text}` is no model: groups or flow")),
        }
    }
}

/// Plays a plan to its end, with the model that it names.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    match plan.model {
        Model::Groups => crate::world::run(plan),
        Model::Flow => crate::flow::run(plan),
    }
}
