//! `peerlift token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use peerlift_model::{ObjectId, PublisherId};

use crate::units::parse_duration;

/// Issue, look at and ask for tokens: who may fetch restricted files
///
/// Files that were published with --access token are for those who show a token of the publisher's. A
/// token lasts for minutes and is bound to a key of its holder's, so that a copy is of no use.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift token request PUBLISHER               the downloader: print what to send to the publisher
  peerlift token issue --for HOLDER > os.token   the publisher: issue a token for it
  peerlift get https://example.org/os.iso --token os.token")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    Request(RequestArgs),
    Issue(IssueArgs),
    Inspect(InspectTokenArgs),
    Keys(KeysArgs),
}

/// Print the name of your key, for which a publisher can issue a token
///
/// The key is made on first use and kept in $XDG_DATA_HOME/peerlift/token.key. Every publisher sees
/// another key, so that no two can tell that you are the same.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The publisher's key; `peerlift inspect URL` shows it
    #[arg(value_name = "PUBLISHER")]
    pub(crate) publisher: PublisherId,
}

/// Issue a token and print it
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The holder's key, as `peerlift token request` prints it there
    #[arg(
        long = "for",
        value_name = "HOLDER",
        allow_hyphen_values = true,
        required_unless_present = "unbound"
    )]
    pub(crate) holder: Option<String>,
    /// Bind it to no key: whoever has a copy may use it, where the file was published so
    #[arg(long, conflicts_with = "holder")]
    pub(crate) unbound: bool,
    /// How long it lasts, at most 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15m")]
    pub(crate) life: Duration,
    /// Only for this object (its root); may be repeated [default: all of the publisher's]
    #[arg(long, value_name = "ROOT")]
    pub(crate) object: Vec<ObjectId>,
    /// Your own word for the holder, such as a customer number
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// Only for these: edge, control [default: both]
    #[arg(long, value_name = "WHO", value_parser = ["edge", "control"])]
    pub(crate) audience: Vec<String>,
    /// Sign with the key in FILE [default: the publisher's key]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Whose files it is for, when --key is not the publisher's own key but one of its set
    #[arg(long, value_name = "PUBLISHER")]
    pub(crate) publisher: Option<PublisherId>,
}

/// Show what a token says, and whether it holds
#[derive(Debug, Args)]
pub(crate) struct InspectTokenArgs {
    /// The token; `-` is standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) token: PathBuf,
    /// The publisher's set of keys (JWKS) [default: the publisher's own key]
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the set of keys (JWKS) that may sign your tokens, for `serve --token-keys`
///
/// To change keys, print a set of the old and the new, sign with the new, and an hour later print one of
/// the new alone. A key that is not there yet is made.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// A key that may sign; may be repeated [default: the publisher's key]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
}
