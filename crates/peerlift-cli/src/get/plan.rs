//! Turns options and settings into download requests: what the user meant, worked out once.

use std::fs;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use peerlift_client::{DownloadRequest, Output, Share};
use peerlift_model::Rate;
use url::Url;

use crate::args::{GetArgs, Header, Limit, ShareWord, Source};
use crate::config::GetConfig;
use crate::failure::{Exit, Failure};

/// Everything to download.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    pub(super) jobs_at_once: usize,
    /// Whether the user is still to be asked about sharing.
    pub(super) share: ShareWord,
}

/// One object to download.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) url: Url,
    pub(super) request: DownloadRequest,
}

impl Plan {
    pub(super) fn new(args: &GetArgs, config: &GetConfig) -> Result<Self, Failure> {
        let place = Place::new(args)?;
        let options = Options::new(args, config);
        let files = args.sources.len();
        let jobs_at_once = usize::from(args.jobs.unwrap_or(config.jobs)).min(files);
        let share = args.share.unwrap_or(config.share);
        let Limit(down) = args.limit_down.unwrap_or(config.limit_down);
        let Limit(up) = args.limit_up.unwrap_or(config.limit_up);
        let shares = Shares {
            down: divided(down, jobs_at_once),
            // Complete files that are still shared add to those under way.
            up: divided(up, if lasts(share) { files } else { jobs_at_once }),
        };
        let jobs = args
            .sources
            .iter()
            .map(|source| options.job(source, &place, &shares))
            .collect();
        Ok(Self {
            jobs,
            jobs_at_once,
            share,
        })
    }
}

/// Where downloads go.
enum Place {
    Stdout,
    File(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn new(args: &GetArgs) -> Result<Self, Failure> {
        let several = args.sources.len() > 1;
        let usage = |text: &str| Failure::new(Exit::Usage, text);
        match &args.output {
            None => Ok(Self::Folder(PathBuf::from("."))),
            Some(path) if path == Path::new("-") && several => {
                Err(usage("-o - takes one file, not several").hint("run peerlift once for each"))
            }
            Some(path) if path == Path::new("-") && args.json => {
                Err(usage("--json and -o - both want standard output")
                    .hint("leave out one of them"))
            }
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) if several || path.is_dir() || ends_in_separator(path) => {
                fs::create_dir_all(path).map_err(|error| {
                    Failure::caused(
                        Exit::Storage,
                        format_args!("cannot use {} as a folder", path.display()),
                        &error,
                    )
                })?;
                Ok(Self::Folder(path.clone()))
            }
            Some(path) => Ok(Self::File(path.clone())),
        }
    }

    fn output(&self) -> Output {
        match self {
            Self::Stdout => Output::Stream(Box::new(tokio::io::stdout())),
            Self::File(path) => Output::File(path.clone()),
            Self::Folder(path) => Output::Folder(path.clone()),
        }
    }
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Options that all jobs have in common.
struct Options<'a> {
    args: &'a GetArgs,
    config: &'a GetConfig,
    headers: HeaderMap,
}

/// What each job gets of the caps.
struct Shares {
    down: Option<Rate>,
    up: Option<Rate>,
}

impl<'a> Options<'a> {
    fn new(args: &'a GetArgs, config: &'a GetConfig) -> Self {
        Self {
            args,
            config,
            headers: header_map(&args.headers),
        }
    }

    fn job(&self, source: &Source, place: &Place, shares: &Shares) -> Job {
        let Self {
            args,
            config,
            headers,
        } = self;
        let url = source.urls[0].clone();
        let share = match args.share.unwrap_or(config.share) {
            ShareWord::Decided(share) => share,
            ShareWord::Ask => Share::Off,
        };
        let mut request = DownloadRequest::new(source.urls.clone(), place.output());
        request.goal = args.goal.map(|goal| goal.0).or(config.goal.0);
        request.share = share;
        request.background = args.background;
        request.peers = if args.no_peers {
            false
        } else {
            args.peers || config.peers
        };
        request.limit_down = shares.down;
        request.limit_up = shares.up;
        request.headers = headers.clone();
        request.publisher = args.publisher;
        request.overwrite = if args.no_clobber {
            false
        } else {
            args.overwrite || config.overwrite
        };
        request.connections = args.connections.unwrap_or(config.connections);
        request.patience = args.timeout.unwrap_or(config.timeout);
        Job { url, request }
    }
}

/// Several headers of one name are all sent.
pub(crate) fn header_map(headers: &[Header]) -> HeaderMap {
    headers
        .iter()
        .map(|header| (header.name.clone(), header.value.clone()))
        .collect()
}

/// Whether sharing goes on after a download.
fn lasts(share: ShareWord) -> bool {
    match share {
        ShareWord::Decided(Share::For(_)) => true,
        ShareWord::Decided(Share::Off | Share::WhileDownloading) | ShareWord::Ask => false,
    }
}

/// An equal part of a cap for each, so that all together never exceed it.
fn divided(limit: Option<Rate>, parts: usize) -> Option<Rate> {
    let parts = u64::try_from(parts).unwrap_or(u64::MAX).max(1);
    limit.map(|rate| Rate::from_bytes_per_s((rate.bytes_per_s() / parts).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn plan(line: &str) -> Result<Plan, Failure> {
        let words = line.split(' ').map(Into::into);
        let Command::Get(args) = Cli::read(words).unwrap().command else {
            panic!("{line}")
        };
        Plan::new(&args, &GetConfig::default())
    }

    #[test]
    fn without_a_place_files_go_here() {
        let plan = plan("peerlift get http://h/a http://h/b").unwrap();
        assert_eq!(plan.jobs.len(), 2);
        assert!(
            { plan.jobs }
                .iter()
                .all(|job| matches!(&job.request.output, Output::Folder(p) if p == Path::new(".")))
        );
    }

    #[test]
    fn one_file_may_be_named_and_several_need_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();

        let one = plan(&format!("peerlift get http://h/a -o {}", at("name"))).unwrap();
        assert!(matches!(&one.jobs[0].request.output, Output::File(p) if p.ends_with("name")));

        let one = plan(&format!("peerlift get http://h/a -o {}/", at("folder"))).unwrap();
        assert!(matches!(&one.jobs[0].request.output, Output::Folder(p) if p.is_dir()));

        let two = plan(&format!(
            "peerlift get http://h/a http://h/b -o {}",
            at("two")
        ))
        .unwrap();
        assert!(matches!(&two.jobs[1].request.output, Output::Folder(p) if p.is_dir()));

        fs::write(at("file"), "").unwrap();
        let failure = plan(&format!(
            "peerlift get http://h/a http://h/b -o {}",
            at("file")
        ))
        .unwrap_err();
        assert_eq!(failure.exit, Exit::Storage);
    }

    #[test]
    fn standard_output_is_for_one_thing_only() {
        assert!(plan("peerlift get http://h/a -o -").is_ok());
        for line in [
            "peerlift get http://h/a http://h/b -o -",
            "peerlift get --json http://h/a -o -",
        ] {
            assert_eq!(plan(line).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }

    #[test]
    fn caps_hold_for_all_files_together() {
        let rates = |line| {
            let plan = plan(line).unwrap();
            let request = &plan.jobs[0].request;
            [request.limit_down, request.limit_up].map(|rate| rate.map(Rate::bytes_per_s))
        };
        assert_eq!(
            rates("peerlift get http://h/a --limit-down 4k"),
            [Some(4096), None]
        );
        assert_eq!(
            rates("peerlift get http://h/a http://h/b --limit-down 4k --limit-up 2k"),
            [Some(2048), Some(1024)]
        );
        assert_eq!(
            rates("peerlift get -j1 http://h/a http://h/b --limit-up 2k --share for=1h"),
            [None, Some(1024)]
        );
    }
}
