//! The commands for whoever has Peerlift on their machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use peerlift_model::PublisherId;

use super::values::web_url;
use crate::units::parse_duration;

/// Run in the background: download, and share what you agreed to share
///
/// One for each user. It listens on a socket that only you can open, shares nothing without your
/// recorded yes, and ends when no application and no consent needs it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift daemon                     run until Ctrl-C, or until nobody needs it
  peerlift daemon --install           let systemd start it for you when it is needed
  peerlift daemon --stop              end it")]
pub(crate) struct DaemonArgs {
    /// End when nobody has needed it for so long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) idle: Duration,
    /// Write the units with which systemd starts it for this user, and end
    #[arg(long, conflicts_with_all = ["stop", "allow_again"])]
    pub(crate) install: bool,
    /// End the one that runs
    #[arg(long, conflicts_with = "allow_again")]
    pub(crate) stop: bool,
    /// Let Peerlift come back after `peerlift uninstall`, and end
    #[arg(long)]
    pub(crate) allow_again: bool,
    /// Tell when it is ready and why it ended as JSON, on standard output
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// Open the control panel: transfers, sharing, consent, settings and removal on one page
///
/// The page is served by the background service, which is started where it does not run, to this
/// machine alone. The link works once, within a minute, and opens the panel for nobody else.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift panel                      open it in the browser
  peerlift panel --no-open            only print the link")]
pub(crate) struct PanelArgs {
    /// Print the link, and leave opening it to you
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Print the link as JSON, and whether a browser was opened
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// Look for what keeps Peerlift from working well
///
/// Looks at the program, its records, the disk, and what a download would meet: the server, the
/// publisher's control nodes, the clock, the NAT. It asks only whom a download of the same URL
/// would ask, and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift doctor                             look at the server of the last download, too
  peerlift doctor https://example.org/os.iso  look at that one")]
pub(crate) struct DoctorArgs {
    /// What to look at in the network [default: what was downloaded last]
    #[arg(value_name = "URL", value_parser = web_url)]
    pub(crate) url: Option<url::Url>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command that shows something.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what was done on this machine, from a log in which nothing can be changed unseen
#[derive(Debug, Args)]
pub(crate) struct ActivityArgs {
    /// Show the last N entries; 0 shows all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) last: usize,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show which part of a download came from whom, and why it was asked there
///
/// The last downloads are remembered, those of `peerlift get` and of the background service. Other
/// downloaders are named by the beginning of their keys; their addresses are not kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift explain                    which downloads are remembered
  peerlift explain os.iso             where that file came from")]
pub(crate) struct ExplainArgs {
    /// A file, or the number of a download as `peerlift status` shows it
    #[arg(value_name = "DOWNLOAD")]
    pub(crate) download: Option<PathBuf>,
    /// Show all ranges that are remembered
    #[arg(long)]
    pub(crate) all: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what you share, with whom and how much; change it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift share                      what is shared, and the limits
  peerlift share allow KEY            share a publisher's files in the background, after a question
  peerlift share revoke KEY           take a yes back, at once")]
pub(crate) struct ShareArgs {
    #[command(subcommand)]
    pub(crate) change: Option<ShareChange>,
    /// Print it as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be changed about sharing.
#[derive(Debug, Subcommand)]
pub(crate) enum ShareChange {
    /// Share a publisher's files in the background; you are asked first
    Allow {
        /// The publisher's key, as `peerlift share` and `peerlift inspect` show it
        #[arg(value_name = "KEY")]
        publisher: PublisherId,
        /// You have read what sharing means (see `peerlift share allow --help`) and agree
        ///
        /// While the background service runs, this computer sends verified parts of the files of
        /// this publisher that you downloaded to other people who download them. They see your
        /// IP address. Your limits hold.
        #[arg(long)]
        yes: bool,
    },
    /// Take a yes back: nothing of this publisher is shared from now on
    Revoke {
        /// The publisher's key; without one, of all publishers
        #[arg(value_name = "KEY")]
        publisher: Option<PublisherId>,
    },
}

/// Stop downloads and uploads, or one download, until `peerlift resume`
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The number of one download, as `peerlift status` shows it
    #[arg(value_name = "DOWNLOAD", conflicts_with = "sharing")]
    pub(crate) download: Option<u64>,
    /// Uploads only: downloads go on
    #[arg(long)]
    pub(crate) sharing: bool,
    /// Print what holds from now on as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change a download in the background: who goes first, whether it gives way, or take it off the list
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift change 3 --foreground      somebody waits for it now: it takes its share of the line
  peerlift change 3 --background      it gives way to everything else again
  peerlift change 3 --priority high   it goes before the others that wait
  peerlift change 3 --remove          take it off the list; what is there of the file stays")]
pub(crate) struct ChangeArgs {
    /// Its number, as `peerlift status` shows it
    #[arg(value_name = "DOWNLOAD")]
    pub(crate) download: u64,
    /// Who goes first among those that wait
    #[arg(long, value_name = "PRIORITY")]
    pub(crate) priority: Option<Priority>,
    /// Somebody waits for it: take a share of the line, as everything else does
    #[arg(long, conflicts_with = "background")]
    pub(crate) foreground: bool,
    /// Nobody waits for it: give way to everything else on the line
    #[arg(long)]
    pub(crate) background: bool,
    /// Take it off the list, and stop it where it runs or is shared
    #[arg(long, conflicts_with_all = ["priority", "foreground", "background"])]
    pub(crate) remove: bool,
    /// Print the download as it is now as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who goes first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Priority {
    /// After all others
    Low,
    /// In the order in which they came
    Normal,
    /// Before all others
    High,
}

impl Priority {
    /// The API's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Gather what helps to find a fault, without secrets, into one file
#[derive(Debug, Args)]
pub(crate) struct SupportArgs {
    /// Write it to FILE; `-` is standard output
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "peerlift-support.json"
    )]
    pub(crate) output: PathBuf,
    /// Tell as JSON which file was written
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove everything of Peerlift from this account, for good
///
/// Your downloads stay. A small file stays, too: while it is there, no application can bring
/// Peerlift back. `peerlift daemon --allow-again` lifts it.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tell which applications use Peerlift; it leaves with the last one
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    pub(crate) change: AppChange,
    /// Print what was done as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What applications do.
#[derive(Debug, Subcommand)]
pub(crate) enum AppChange {
    /// Say that an application uses Peerlift
    Register {
        /// Its identifier, such as org.example.game
        id: String,
        /// Its name, for people [default: the identifier]
        #[arg(long)]
        name: Option<String>,
        /// Its program
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Say that it does so no more; with the last one, Peerlift removes itself
    Release {
        /// Its identifier
        id: String,
    },
    /// Show them
    List,
}
