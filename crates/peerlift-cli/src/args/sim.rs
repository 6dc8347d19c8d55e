//! `peerlift sim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use peerlift_sim::Model;

/// Play a simulated internet
///
/// The programs that plan downloads and introduce users are those of `peerlift get` and `peerlift
/// serve`; lines, distances, users and time are simulated. One seed is one history.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift sim list                         the scenarios that come with the program
  peerlift sim run flash12                  play one, beside the same without peers
  peerlift sim run mine.toml --seed 7 --json
  peerlift sim show flash12 > mine.toml     begin a scenario of one's own

Scenario files and traces: docs/simulation.md.")]
pub(crate) struct SimArgs {
    #[command(subcommand)]
    pub(crate) command: SimCommand,
}

/// What to do with the simulator.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// List the scenarios that come with the program
    List,
    /// Print one of them
    Show {
        /// Its name
        name: String,
    },
    /// Play a scenario and its edge-only twin, and print the figures
    Run(SimRunArgs),
    /// Play all studies again and write them into a folder
    Report {
        /// Where to
        #[arg(value_name = "DIR", default_value = "docs/results")]
        dir: PathBuf,
        /// Only the studies with WORD in their name
        #[arg(short = 'k', long = "only", value_name = "WORD")]
        only: Option<String>,
    },
}

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct SimRunArgs {
    /// A scenario's name, or a file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: String,
    /// The seed
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Play the seeds from SEED on, so many
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// How closely to look: `groups`, with the programs themselves, or `flow`, for a million people;
    /// the scenario says which by default
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<Model>,
    /// Take users and arrivals from a trace (CSV or JSON lines)
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print every download as a line of JSON instead
    #[arg(long, conflicts_with = "json")]
    pub(crate) downloads: bool,
    /// Draw how many downloads have finished after which time
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Fail when a download is slower than 1.02 of its time alone
    #[arg(long)]
    pub(crate) strict: bool,
}
