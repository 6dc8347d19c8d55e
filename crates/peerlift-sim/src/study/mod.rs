//! The studies of `docs/results/`: questions, and the runs that answer them.
//!
//! Every study has fixed seeds and writes a page, its figures as JSON and its plots. What it writes
//! is a function of the code alone, so that a change of the planner shows as a change of the files.

mod crowd;
mod few;
mod goals;
mod locality;
mod month;
mod uploaders;

use std::fmt::Write as _;

use serde::Serialize;

use crate::outcome::Outcome;
use crate::plan::{Aim, Plan};
use crate::summary::Summary;
use crate::svg::{Chart, Series};

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// The name of its page.
    pub name: &'static str,
    /// What it asks.
    pub question: &'static str,
    answer: fn(&mut Page),
}

/// One file that a study writes.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// All studies.
pub fn all() -> impl Iterator<Item = Study> {
    [
        month::SMALL,
        month::LARGE,
        month::GAMES,
        goals::STUDY,
        crowd::STUDY,
        uploaders::STUDY,
        few::STUDY,
        locality::STUDY,
    ]
    .into_iter()
}

/// The page that leads to the others.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# What the simulator says\n\nWritten by `peerlift sim report`; seeds and scenarios are on the \
         pages. How to read them: [simulation](../simulation.md).\n\n| page | question |\n|---|---|\n",
    );
    for study in all() {
        let _ = writeln!(text, "| [{0}]({0}.md) | {1} |", study.name, study.question);
    }
    text
}

impl Study {
    /// Plays it.
    #[must_use]
    pub fn play(&self) -> Vec<File> {
        let mut page = Page {
            name: self.name,
            text: format!(
                "# {}\n\nWritten by `peerlift sim report`.\n\n",
                self.question
            ),
            files: Vec::new(),
        };
        (self.answer)(&mut page);
        let text = page.text.clone();
        page.file("md", text);
        page.files
    }
}

/// A page being written.
#[derive(Debug)]
struct Page {
    name: &'static str,
    text: String,
    files: Vec<File>,
}

impl Page {
    fn say(&mut self, line: impl AsRef<str>) {
        self.text += line.as_ref();
        self.text.push('\n');
    }

    fn row(&mut self, cells: &[String]) {
        let line = format!("| {} |", cells.join(" | "));
        self.say(line);
    }

    fn head(&mut self, cells: &[&str]) {
        let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        self.row(&cells);
        self.say(format!("|{}", "---|".repeat(cells.len())));
    }

    fn plot(&mut self, suffix: &str, chart: &Chart) {
        let name = format!("{}{suffix}.svg", self.name);
        self.say(format!("\n![{}]({name})\n", chart.title));
        self.files.push(File {
            name,
            text: chart.to_svg(),
        });
    }

    fn json(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("figures have no odd keys");
        self.file("json", text + "\n");
        self.say(format!("\nAll figures: [{0}.json]({0}.json).", self.name));
    }

    fn file(&mut self, extension: &str, text: String) {
        self.files.push(File {
            name: format!("{}.{extension}", self.name),
            text,
        });
    }
}

/// A scenario of the library, drawn.
fn plan(name: &str, seed: u64) -> Plan {
    let scenario = crate::named(name).expect("studies name scenarios of the library");
    let plan = scenario.plan(seed, None);
    plan.expect("a test reads all scenarios of the library")
}

/// A run beside its twin.
fn play(plan: &Plan) -> (Outcome, Summary) {
    let (outcome, twin) = crate::run_beside_twin(plan);
    let summary = Summary::of(plan, &outcome, &twin);
    (outcome, summary)
}

fn with_goal(plan: Plan, goal: Aim) -> Plan {
    Plan { goal, ..plan }
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        points,
        joined: true,
        labels: Vec::new(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn fixed(value: f64) -> String {
    format!("{value:.3}")
}
