//! `peerlift get`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args};
use peerlift_daemon::machine::MinuteOfDay;
use peerlift_model::PublisherId;
use url::Url;

use super::values::{GoalWord, Header, Limit, ShareWord, web_url};
use crate::units::parse_duration;

/// Download files: from the publisher's servers and from other users at once, verified
///
/// A file that its publisher has signed (there is a NAME.peerlift beside it) is checked piece by
/// piece, whoever sent the piece. Any other URL is downloaded well, too: over several connections,
/// and resumed. An interrupted download goes on where it was when the same command is run again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift get https://example.org/os.iso
  peerlift get https://example.org/os.iso -o ~/Downloads/
  peerlift get https://example.org/os.iso -m https://mirror.example.net/os.iso
  peerlift get https://example.org/a.iso https://example.org/b.iso --limit-down 5M
  peerlift get https://example.org/os.iso --share for=1h --limit-up 500k
  peerlift get https://example.org/os.iso --queue --at 22:00
  peerlift get https://example.org/os.iso --token os.token
  peerlift get https://example.org/backup.tar.zst -o - | tar --zstd -x

Sharing is off unless you agree to it: with --share, in the configuration file, or when asked in a
terminal, once for each publisher. Proxies are taken from http_proxy, https_proxy, all_proxy and
no_proxy.")]
pub(crate) struct GetArgs {
    /// What to download; several URLs are several files (mirrors of one file: --mirror)
    #[arg(required = true, value_name = "URL", value_parser = web_url)]
    pub(super) urls: Vec<Url>,
    /// Another place to get the file of the URL before it from; may be repeated
    #[arg(short, long, value_name = "URL", value_parser = web_url)]
    pub(super) mirror: Vec<Url>,
    /// The URLs with their mirrors.
    #[arg(skip)]
    pub(crate) sources: Vec<Source>,
    /// Write to FILE, or into a folder; `-` is standard output, in order and verified
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that already exists
    #[arg(long, overrides_with = "no_clobber")]
    pub(crate) overwrite: bool,
    /// Never replace a file that already exists (the default)
    #[arg(long, overrides_with = "overwrite")]
    pub(crate) no_clobber: bool,
    /// Go on where an earlier download stopped: always done, accepted out of habit
    #[arg(short = 'c', long = "continue", hide = true)]
    pub(crate) resume: bool,
    /// Leave it to the background service, which has to run (see `peerlift daemon`)
    #[arg(long, conflicts_with_all = ["headers", "publisher", "limit_down", "limit_up", "goal"])]
    pub(crate) queue: bool,
    /// With --queue: begin when the clock shows TIME next, such as 22:00
    #[arg(long, value_name = "TIME", requires = "queue")]
    pub(crate) at: Option<MinuteOfDay>,
    /// Tell what happens as JSON, one event a line, on standard output
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,

    /// Download no faster than RATE, all files together: 500k, 5M, 40Mbit; 0 is no limit
    #[arg(long, visible_alias = "limit-rate", value_name = "RATE")]
    #[arg(help_heading = "Speed and sharing")]
    pub(crate) limit_down: Option<Limit>,
    /// Upload to others no faster than RATE, all files together
    #[arg(long, value_name = "RATE")]
    #[arg(help_heading = "Speed and sharing")]
    pub(crate) limit_up: Option<Limit>,
    /// Share with others: off, while-downloading, for=DURATION (and so long after), ask
    #[arg(long, value_name = "WHEN", help_heading = "Speed and sharing")]
    pub(crate) share: Option<ShareWord>,
    /// What matters most: fastest, thrifty, floor=RATE, deadline=DURATION, in-order
    /// [default: as the publisher recommends, else thrifty]
    #[arg(long, value_name = "GOAL", help_heading = "Speed and sharing")]
    pub(crate) goal: Option<GoalWord>,
    /// Nobody waits for it: give way to others on the line, the processor and disks (the default
    /// with --queue)
    #[arg(
        long,
        overrides_with = "foreground",
        help_heading = "Speed and sharing"
    )]
    pub(crate) background: bool,
    /// You wait for it: take an equal share of the line (the default without --queue)
    #[arg(
        long,
        overrides_with = "background",
        help_heading = "Speed and sharing"
    )]
    pub(crate) foreground: bool,
    /// Use the publisher's servers only
    #[arg(long, overrides_with = "peers", help_heading = "Speed and sharing")]
    pub(crate) no_peers: bool,
    /// Use other users' machines, too (the default)
    #[arg(long, overrides_with = "no_peers", hide = true)]
    pub(crate) peers: bool,
    /// Connections to one server, 1 to 16 [default: 4]
    #[arg(short = 'x', long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    #[arg(help_heading = "Speed and sharing")]
    pub(crate) connections: Option<u8>,
    /// Files to download at the same time, 1 to 16 [default: 3]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    #[arg(help_heading = "Speed and sharing")]
    pub(crate) jobs: Option<u8>,

    /// Accept only files signed with KEY (64 hexadecimal digits)
    #[arg(long, value_name = "KEY", help_heading = "Trust and network")]
    pub(crate) publisher: Option<PublisherId>,
    /// Show the publisher's token in FILE, which may be renewed there; `-` is standard input
    /// [default: $PEERLIFT_TOKEN]
    #[arg(long, value_name = "FILE|-", help_heading = "Trust and network")]
    pub(crate) token: Option<PathBuf>,
    /// Send a request header to the servers of the URLs; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    #[arg(help_heading = "Trust and network")]
    pub(crate) headers: Vec<Header>,
    /// Give up after so long without a byte [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(help_heading = "Trust and network")]
    pub(crate) timeout: Option<Duration>,
}

/// One file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is: the URL and its mirrors.
    pub(crate) urls: Vec<Url>,
}

impl GetArgs {
    /// Gives each mirror to the URL typed before it, or to the first one.
    pub(super) fn pair_mirrors(&mut self, matches: &ArgMatches) {
        let places = |id| matches.indices_of(id).into_iter().flatten();
        let urls: Vec<usize> = places("urls").collect();
        self.sources = self
            .urls
            .iter()
            .map(|url| Source {
                urls: vec![url.clone()],
            })
            .collect();
        for (mirror, place) in self.mirror.iter().zip(places("mirror")) {
            let before = urls.iter().filter(|url| **url < place).count();
            if let Some(source) = self.sources.get_mut(before.saturating_sub(1)) {
                source.urls.push(mirror.clone());
            }
        }
    }
}
