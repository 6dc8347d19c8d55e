//! `peerlift publish`: signs files and says what had to be done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use peerlift_content::{
    HashError, KeyError, Outcome, Policy, PublishError, PublishSettings, Published, PublisherKey,
    RelayEntry, publish_file, publishable_files,
};
use serde::Serialize;

use crate::args::PublishArgs;
use crate::config::PublishConfig;
use crate::console::{Console, Style, print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::paths::Paths;
use crate::units::Bytes;

/// Publishes everything that was named.
pub(crate) fn run(
    args: &PublishArgs,
    config: &PublishConfig,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    let key = load_key(args.key.as_deref(), config, paths)?;
    let settings = settings(args, config)?;
    let files = list(&args.paths, &settings)?;
    let progress = Progress::new(console, &files);
    let mut tally = Tally::default();
    for File {
        path,
        size,
        settings,
    } in &files
    {
        progress.begin(path);
        match publish_file(path, &key, settings, &|bytes| progress.advance(bytes)) {
            Ok(published) => {
                progress.skip_to_end_of(*size, &published);
                tally.add(published.outcome);
                tell(&published, console)?;
            }
            Err(error) => tally.fail(failure(&error), console),
        }
    }
    progress.end();
    if console.style() != Style::Json && console.style() != Style::Quiet {
        print(format_args!(
            "{}\npublisher key {}\n",
            tally.summary(),
            key.id()
        ))?;
    }
    Ok(tally.exit)
}

/// The key named by an option, by a setting, or the one in the data folder, made on first use.
pub(crate) fn load_key(
    named: Option<&Path>,
    config: &PublishConfig,
    paths: &Paths,
) -> Result<PublisherKey, Failure> {
    let configured = Some(config.key.as_path()).filter(|path| !path.as_os_str().is_empty());
    let usual = paths.publisher_key();
    let path = named.or(configured).unwrap_or(&usual);
    PublisherKey::load_or_create(path).map_err(|error| {
        let failure = Failure::caused(Exit::Storage, "no key to sign with", &error);
        match error {
            KeyError::Malformed { .. } => {
                failure.hint("restore the key from a backup, or name another with --key")
            }
            KeyError::Io { .. } | KeyError::Exposed { .. } | KeyError::Random(_) | _ => failure,
        }
    })
}

fn settings(args: &PublishArgs, config: &PublishConfig) -> Result<PublishSettings, Failure> {
    let mut settings = base_settings(args.name.as_deref(), config)?;
    let or_configured = |named: &[String], configured: Vec<String>| {
        if named.is_empty() {
            configured
        } else {
            named.to_vec()
        }
    };
    settings.edges = or_configured(&args.edge, settings.edges);
    settings.control = or_configured(&args.control, settings.control);
    if !args.relay.is_empty() {
        settings.relays = relays(&args.relay)?;
    }
    settings.sha256 &= !args.no_sha256;
    settings.sidecar_dir.clone_from(&args.sidecar_dir);
    settings.policy = Policy {
        peers: !args.no_peers,
        access: args.access.unwrap_or(config.access).into(),
        unbound_tokens: args.allow_unbound_tokens || config.allow_unbound_tokens,
        goal: args.goal.map(|goal| goal.to_string()),
        upload_cap_bytes: args.upload_cap,
        expires: args.expires.map(in_unix_seconds),
    };
    Ok(settings)
}

/// What the configuration file says about all files.
pub(crate) fn base_settings(
    name: Option<&str>,
    config: &PublishConfig,
) -> Result<PublishSettings, Failure> {
    Ok(PublishSettings {
        publisher_name: name.unwrap_or(&config.name).to_owned(),
        edges: config.edges.clone(),
        control: config.control.clone(),
        relays: relays(&config.relays)?,
        sha256: config.sha256,
        policy: Policy {
            access: config.access.into(),
            unbound_tokens: config.allow_unbound_tokens,
            ..Policy::default()
        },
        ..PublishSettings::default()
    })
}

/// From `URL` or `URL,quic=PORT`.
fn relays(texts: &[String]) -> Result<Vec<RelayEntry>, Failure> {
    let relay = |text: &String| match text.split_once(",quic=") {
        None => Ok(RelayEntry {
            url: text.clone(),
            quic_port: None,
        }),
        Some((url, port)) => match port.parse() {
            Ok(port) => Ok(RelayEntry {
                url: url.to_owned(),
                quic_port: Some(port),
            }),
            Err(_) => Err(
                Failure::new(Exit::Usage, format!("{port:?} is no port: {text}"))
                    .hint("a relay looks like https://relay.example.org,quic=7842"),
            ),
        },
    };
    texts.iter().map(relay).collect()
}

fn in_unix_seconds(from_now: Duration) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now + from_now).as_secs()
}

/// A file to publish.
struct File {
    path: PathBuf,
    size: u64,
    settings: PublishSettings,
}

/// Everything below the paths; sidecars in another folder lie as the files below each path do.
fn list(paths: &[PathBuf], settings: &PublishSettings) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    for top in paths {
        for path in publishable_files(top).map_err(|error| failure(&error))? {
            let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let mut settings = settings.clone();
            let below = path
                .parent()
                .and_then(|folder| folder.strip_prefix(top).ok());
            if let (Some(folder), Some(below)) = (&mut settings.sidecar_dir, below) {
                folder.push(below);
            }
            files.push(File {
                path,
                size,
                settings,
            });
        }
    }
    Ok(files)
}

fn failure(error: &PublishError) -> Failure {
    let caused = |exit| Failure::caused(exit, "not published", error);
    match error {
        PublishError::Hash(HashError::Changed { .. }) => {
            caused(Exit::Storage).hint("publish it again when nobody writes to it")
        }
        PublishError::Name { .. } => caused(Exit::Usage).hint("rename the file"),
        PublishError::Manifest(_) => caused(Exit::Usage),
        PublishError::Hash(_) | PublishError::Io { .. } | _ => caused(Exit::Storage),
    }
}

/// A published file, for programs.
#[derive(Serialize)]
struct PublishedEvent<'a> {
    event: &'static str,
    path: &'a Path,
    outcome: &'static str,
    size: u64,
    object: String,
    revision: u64,
    publisher: String,
    manifest: &'a Path,
    outboard: &'a Path,
}

fn tell(published: &Published, console: &Console) -> Result<(), Failure> {
    let about = &published.manifest;
    let outcome = word(published.outcome);
    match console.style() {
        Style::Quiet => Ok(()),
        Style::Json => print_json(&PublishedEvent {
            event: "published",
            path: &published.path,
            outcome,
            size: about.size(),
            object: about.root.to_string(),
            revision: about.revision,
            publisher: published.publisher.to_string(),
            manifest: &published.sidecars.manifest,
            outboard: &published.sidecars.outboard,
        }),
        Style::Lines | Style::Bars => {
            let path = printable(&published.path.display().to_string());
            let size = Bytes(about.size());
            let line = format!(
                "{outcome:9}  {path}  {size}, revision {}, root {}\n",
                about.revision, about.root
            );
            console.around_bars(|| print(line))
        }
    }
}

/// What was done, in one word.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unchanged => "unchanged",
        Outcome::Resigned => "re-signed",
        Outcome::NewRevision => "changed",
        Outcome::New => "new",
    }
}

/// What became of all files.
struct Tally {
    outcomes: Vec<Outcome>,
    failed: usize,
    exit: Exit,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            outcomes: Vec::new(),
            failed: 0,
            exit: Exit::Fine,
        }
    }
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    fn fail(&mut self, failure: Failure, console: &Console) {
        if self.failed == 0 {
            self.exit = failure.exit;
        }
        self.failed += 1;
        console.complain(failure);
    }

    fn summary(&self) -> String {
        let files = self.outcomes.len() + self.failed;
        let kinds = [
            Outcome::New,
            Outcome::NewRevision,
            Outcome::Resigned,
            Outcome::Unchanged,
        ];
        let mut parts: Vec<String> = kinds
            .iter()
            .map(|kind| {
                (
                    self.outcomes
                        .iter()
                        .filter(|outcome| *outcome == kind)
                        .count(),
                    *kind,
                )
            })
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {}", word(kind)))
            .collect();
        if self.failed > 0 {
            parts.push(format!("{} failed", self.failed));
        }
        if parts.is_empty() {
            parts.push("nothing to publish".to_owned());
        }
        format!(
            "{files} file{}: {}",
            if files == 1 { "" } else { "s" },
            parts.join(", ")
        )
    }
}

/// One bar over all files.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(console: &Console, files: &[File]) -> Self {
        let bar = console.add_bar();
        bar.set_length(files.iter().map(|file| file.size).sum());
        bar.set_style(
            ProgressStyle::with_template(
                "{wide_bar:.cyan/black.bright} {binary_bytes} of {binary_total_bytes} · \
                 {binary_bytes_per_sec} · {eta} left · {msg}",
            )
            .expect("the template is right")
            .progress_chars("━━╌"),
        );
        Self { bar }
    }

    fn begin(&self, path: &Path) {
        let name = path.file_name().unwrap_or_default();
        self.bar.set_message(printable(&name.to_string_lossy()));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Counts a file that did not have to be read.
    fn skip_to_end_of(&self, size: u64, published: &Published) {
        match published.outcome {
            Outcome::Unchanged | Outcome::Resigned => self.bar.inc(size),
            Outcome::NewRevision | Outcome::New => {}
        }
    }

    fn end(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_may_name_their_port() {
        let read = relays(&["https://r.example".into(), "/,quic=7842".into()]).unwrap();
        assert_eq!(read[0].quic_port, None);
        assert_eq!((read[1].url.as_str(), read[1].quic_port), ("/", Some(7842)));
        assert_eq!(
            relays(&["x,quic=nine".into()]).unwrap_err().exit,
            Exit::Usage
        );
    }

    #[test]
    fn the_summary_counts() {
        let mut tally = Tally::default();
        assert_eq!(tally.summary(), "0 files: nothing to publish");
        tally.add(Outcome::New);
        assert_eq!(tally.summary(), "1 file: 1 new");
        tally.add(Outcome::Unchanged);
        tally.add(Outcome::Unchanged);
        assert_eq!(tally.summary(), "3 files: 1 new, 2 unchanged");
    }

    #[test]
    fn bars_have_a_style() {
        Progress::new(&Console::new(true, false), &[]);
    }
}
