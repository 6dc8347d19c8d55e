//! `peerlift bench`.

use clap::{Args, Subcommand};
use peerlift_control::DirectoryUrl;

/// Measure what this machine can do
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift bench control
  peerlift bench control --sessions 5000 --json
  peerlift bench control --directory redis://127.0.0.1
  peerlift bench failover")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Bench,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// A control node and thousands of clients over loopback: memory of idle sessions, queries,
    /// visitors, a lost directory, logins, ten times too many logins
    Control(BenchControlArgs),
    /// Three control nodes, of which one is killed and started again: how soon its clients are
    /// back, and whether the others go on
    Failover(BenchFailoverArgs),
}

/// How to measure the loss of a node.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchFailoverArgs {
    /// Sessions at each node
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=20_000))]
    pub(crate) sessions: u32,
    /// Logins a second that each node lets in
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) logins_per_s: u32,
    /// How long the node is away
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=600))]
    pub(crate) down: u32,
    /// The directory that the nodes share [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) directory: Option<DirectoryUrl>,
    /// Tell the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to measure a control node.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchControlArgs {
    /// Sessions at once, each over TLS and from an address of its own
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) sessions: u32,
    /// Objects that each client announces for the lost directory
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) entries: u32,
    /// Share the directory on the Redis or Valkey at URL, which should be there for this alone
    /// [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) directory: Option<DirectoryUrl>,
    /// Queries a second that are asked whether answers come or not, for the waiting times of a node
    /// that is not at its limit
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) queries_per_s: u32,
    /// Visitors a second: each logs in, announces, asks, and leaves
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) visits_per_s: u32,
    /// How long each load lasts
    #[arg(long, default_value_t = 8, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Tell the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
