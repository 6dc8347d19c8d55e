//! `peerlift verify`.

use std::path::PathBuf;

use clap::Args;
use peerlift_model::PublisherId;

/// Check files against their signed descriptions
///
/// Reads each FILE and compares it with FILE.peerlift. Ends with 5 when one differs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift verify os.iso
  peerlift verify os.iso --publisher 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29")]
pub(crate) struct VerifyArgs {
    /// What to check
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Accept only signatures of KEY (64 hexadecimal digits)
    #[arg(long, value_name = "KEY")]
    pub(crate) publisher: Option<PublisherId>,
    /// Use this manifest instead of FILE.peerlift
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Print the result as JSON, one object a file
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}
