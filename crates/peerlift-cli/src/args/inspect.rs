//! `peerlift inspect`.

use clap::Args;

use super::values::Header;

/// Show what a publisher says about a file
///
/// Takes the URL of a file, a file with a NAME.peerlift beside it, or a NAME.peerlift itself. The
/// signature is checked; the content is not (see `peerlift verify`).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift inspect https://example.org/os.iso
  peerlift inspect os.iso.peerlift --json")]
pub(crate) struct InspectArgs {
    /// What to look at
    #[arg(value_name = "URL|FILE")]
    pub(crate) target: String,
    /// Print the manifest as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Send a request header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<Header>,
}
