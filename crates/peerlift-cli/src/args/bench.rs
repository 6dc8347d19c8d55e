//! `peerlift bench`.

use clap::{Args, Subcommand};

/// Measure what this machine can do
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift bench control
  peerlift bench control --sessions 5000 --json")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Bench,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// A control node and thousands of clients over loopback: memory of idle sessions, logins,
    /// queries, a lost directory, ten times too many logins
    Control(BenchControlArgs),
}

/// How to measure a control node.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BenchControlArgs {
    /// Sessions at once, each over TLS and from an address of its own
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) sessions: u32,
    /// Objects that each client announces for the lost directory
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) entries: u32,
    /// How long each load lasts
    #[arg(long, default_value_t = 8, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Tell the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
