//! `peerlift publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{AccessWord, GoalWord};
use crate::units::{parse_duration, parse_size};

/// Sign files, so that downloads can be verified and shared
///
/// Writes two small files beside each file: NAME.peerlift, its signed description, and NAME.obao,
/// its hash tree. Put all three on any web server. Files that did not change are not read again.
/// The key that signs is made on first use and kept in $XDG_DATA_HOME/peerlift/publisher.key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift publish os.iso
  peerlift publish releases/ --name 'Example OS'
  peerlift publish os.iso --control https://control.example.org --relay https://relay.example.org

Hidden files, symbolic links and the sidecars themselves are skipped in folders.")]
pub(crate) struct PublishArgs {
    /// Files, and folders with everything in them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The publisher's name, shown to people
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Sign with the key in FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Where the file can be downloaded; may be relative to the manifest, and repeated
    #[arg(long, value_name = "URL")]
    pub(crate) edge: Vec<String>,
    /// A control node, which introduces downloaders to each other; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) control: Vec<String>,
    /// A relay, over which downloaders reach each other; URL,quic=PORT names its UDP port
    #[arg(long, value_name = "URL")]
    pub(crate) relay: Vec<String>,
    /// Write the sidecars into DIR instead of beside the files
    #[arg(long, value_name = "DIR")]
    pub(crate) sidecar_dir: Option<PathBuf>,
    /// Leave out the SHA-256, which is there for people only
    #[arg(long)]
    pub(crate) no_sha256: bool,
    /// Tell what happens as JSON, one event a line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,

    /// Downloaders may not share the file among themselves
    #[arg(long, help_heading = "Policy")]
    pub(crate) no_peers: bool,
    /// Who may fetch: public, or token: whoever shows a token of yours (`peerlift token`)
    /// [default: public]
    #[arg(long, value_name = "WHO", help_heading = "Policy")]
    pub(crate) access: Option<AccessWord>,
    /// Take tokens that are bound to no key, so that any HTTP client can show them
    #[arg(long, help_heading = "Policy")]
    pub(crate) allow_unbound_tokens: bool,
    /// The goal of downloads whose user names none
    #[arg(long, value_name = "GOAL", help_heading = "Policy")]
    pub(crate) goal: Option<GoalWord>,
    /// One downloader may upload at most SIZE of a file
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Policy")]
    pub(crate) upload_cap: Option<u64>,
    /// The file may be fetched and shared for so long from now
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Policy")]
    pub(crate) expires: Option<Duration>,
}
