//! What can be typed: the commands, their options, and the words of `--help`.
//!
//! These types say what the user wrote, not what will happen: what was left out is `None` here,
//! comes from the configuration file next, and from the defaults of [`crate::config`] last.

mod bench;
mod control;
mod get;
mod inspect;
mod publish;
mod serve;
mod sim;
mod token;
mod user;
mod values;
mod verify;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub(crate) use bench::{Bench, BenchArgs, BenchControlArgs, BenchFailoverArgs};
pub(crate) use control::{BlockArgs, ControlAction, ControlArgs, DirectoryArgs, NodeAddress};
pub(crate) use get::{GetArgs, Source};
pub(crate) use inspect::InspectArgs;
pub(crate) use publish::PublishArgs;
pub(crate) use serve::ServeArgs;
pub(crate) use sim::{SimArgs, SimCommand, SimRunArgs};
pub(crate) use token::{
    InspectTokenArgs, IssueArgs, KeysArgs, RequestArgs, TokenAction, TokenArgs,
};
pub(crate) use user::{
    ActivityArgs, AppArgs, AppChange, ChangeArgs, DaemonArgs, DoctorArgs, ExplainArgs, PanelArgs,
    PauseArgs, ShareArgs, ShareChange, ShowArgs, SupportArgs, UninstallArgs,
};
pub(crate) use values::{
    AccessWord, GoalSetting, Header, Limit, ShareWord, Size, duration, from_text,
};
pub(crate) use verify::VerifyArgs;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "peerlift",
    version,
    about = "Downloads that come from the publisher's server and from other users at once, verified",
    after_help = "Examples:
  peerlift get https://example.org/os.iso        download a file
  peerlift publish os.iso                        sign a file, so that it can be verified and shared
  peerlift serve ~/public                        serve a folder: edge, control node and relay
  peerlift panel                                 see and change all of it in a browser
  peerlift why                                   what is this on my machine?

`peerlift COMMAND --help` says more; exit codes and files: docs/cli.md.",
    disable_help_subcommand = true,
    infer_subcommands = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Say nothing but errors
    #[arg(
        short,
        long,
        visible_alias = "silent",
        global = true,
        help_heading = "General"
    )]
    pub(crate) quiet: bool,
    /// Say more on standard error; -vv and -vvv say much more
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "General")]
    pub(crate) verbose: u8,
    /// How what goes to standard error looks: lines for people, or an object a line for machines
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "General"
    )]
    pub(crate) log_format: LogFormat,
    /// Read settings from FILE [default: $XDG_CONFIG_HOME/peerlift/config.toml]
    #[arg(long, value_name = "FILE", global = true, help_heading = "General")]
    pub(crate) config: Option<PathBuf>,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(Box<GetArgs>),
    Publish(Box<PublishArgs>),
    Serve(Box<ServeArgs>),
    Control(Box<ControlArgs>),
    Bench(BenchArgs),
    Verify(VerifyArgs),
    Inspect(InspectArgs),
    Sim(Box<SimArgs>),
    Token(TokenArgs),
    Daemon(DaemonArgs),
    /// Show what runs in the background, and what it does now
    Status(ShowArgs),
    Panel(PanelArgs),
    Share(ShareArgs),
    /// What is this on my machine? Who put it there, what does it do, how do I stop it?
    Why(ShowArgs),
    Activity(ActivityArgs),
    Explain(ExplainArgs),
    Pause(PauseArgs),
    /// Let go on what `peerlift pause` has stopped
    Resume(PauseArgs),
    Change(ChangeArgs),
    Doctor(DoctorArgs),
    /// Check that this program and its records are as they should be
    VerifyInstall(ShowArgs),
    SupportBundle(SupportArgs),
    Uninstall(UninstallArgs),
    App(AppArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  peerlift completions bash > ~/.local/share/bash-completion/completions/peerlift
  peerlift completions zsh  > ~/.zfunc/_peerlift
  peerlift completions fish > ~/.config/fish/completions/peerlift.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages into a folder
    Man {
        /// Write peerlift.1, peerlift-get.1 … into DIR
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Cli {
    /// Whether standard output is for JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match &self.command {
            Command::Get(args) => args.json,
            Command::Publish(args) => args.json,
            Command::Verify(args) => args.json,
            Command::Inspect(args) => args.json,
            Command::Serve(args) => args.json,
            Command::Sim(args) => {
                matches!(&args.command, SimCommand::Run(run) if run.json || run.downloads)
            }
            Command::Token(args) => match &args.action {
                TokenAction::Inspect(args) => args.json,
                TokenAction::Request(_) | TokenAction::Issue(_) | TokenAction::Keys(_) => false,
            },
            Command::Control(args) => args.json,
            Command::Bench(args) => match &args.what {
                Bench::Control(args) => args.json,
                Bench::Failover(args) => args.json,
            },
            Command::Daemon(args) => args.json,
            Command::Status(args) | Command::Why(args) | Command::VerifyInstall(args) => args.json,
            Command::Panel(args) => args.json,
            Command::Share(args) => args.json,
            Command::Activity(args) => args.json,
            Command::Doctor(args) => args.json,
            Command::Explain(args) => args.json,
            Command::SupportBundle(args) => args.json,
            Command::Uninstall(args) => args.json,
            Command::App(args) => args.json,
            Command::Pause(args) | Command::Resume(args) => args.json,
            Command::Change(args) => args.json,
            Command::Completions { .. } | Command::Man { .. } => false,
        }
    }

    /// Parses the command line. On a mistake, and for `--help` and `--version`, the error says
    /// what to print and how to exit.
    pub(crate) fn read(
        words: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let (Command::Get(get), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
            get.pair_mirrors(matches);
        }
        Ok(cli)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(Into::into))
    }

    fn get(line: &str) -> GetArgs {
        let Command::Get(get) = read(line).unwrap().command else {
            panic!("{line}")
        };
        *get
    }

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mirror_belongs_to_the_url_before_it() {
        let get = get("peerlift get http://a/1 -m http://b/1 --mirror http://c/1 http://a/2");
        let sources: Vec<Vec<&str>> = { &get.sources }
            .iter()
            .map(|source| source.urls.iter().map(url::Url::as_str).collect())
            .collect();
        assert_eq!(
            sources,
            [
                vec!["http://a/1", "http://b/1", "http://c/1"],
                vec!["http://a/2"]
            ]
        );
    }

    #[test]
    fn a_mirror_before_all_urls_belongs_to_the_first() {
        let get = get("peerlift get -m http://b/1 http://a/1 http://a/2");
        assert_eq!(get.sources[0].urls.len(), 2);
        assert_eq!(get.sources[0].urls[0].as_str(), "http://a/1");
        assert_eq!(get.sources[1].urls.len(), 1);
    }

    #[test]
    fn habits_from_curl_and_aria2_work() {
        let get = get("peerlift get -c -x 8 -H X-A:b --limit-rate 5M -o out http://a/1");
        assert_eq!(get.connections, Some(8));
        assert_eq!(get.headers.len(), 1);
        assert!(get.limit_down.is_some());
    }

    #[test]
    fn mistakes_are_refused_with_an_example() {
        for (line, want) in [
            ("peerlift get", "<URL>"),
            ("peerlift get notaurl", "http://"),
            ("peerlift get ftp://a/b", "http"),
            (
                "peerlift get http://a/1 --share sometimes",
                "while-downloading",
            ),
            ("peerlift get http://a/1 --goal cheap", "thrifty"),
            ("peerlift get http://a/1 --limit-down fast", "5M"),
            ("peerlift get http://a/1 --publisher abc", "64"),
            ("peerlift get http://a/1 -H nonsense", "NAME: VALUE"),
            ("peerlift get http://a/1 -x 99", "16"),
        ] {
            let error = read(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(want), "{line}: {error}");
        }
    }
}
