//! Shows one download: as a bar, as lines, as JSON, or not at all.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use peerlift_client::{Event, Report, Snapshot, Started};
use serde::Serialize;
use url::Url;

use super::plan::Job;
use super::text;
use crate::console::{Console, Style, print_json};
use crate::failure::{Failure, printable};
use crate::units::Bytes;

/// How often progress is told where no bar can move.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The longest name beside a bar; the middle of a longer one is left out.
const NAME_MAX: usize = 30;

/// What a person or a program sees of one download.
pub(super) struct View {
    console: Console,
    url: Url,
    name: String,
    bar: Option<ProgressBar>,
    next_line: Instant,
    /// Bytes sent to others by the time the download was complete.
    uploaded_then: u64,
}

/// A line of `--json`: the event and which URL it is about.
#[derive(Serialize)]
struct JsonLine<'a, T> {
    #[serde(flatten)]
    event: T,
    url: &'a Url,
}

/// Events that only the command line has.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum End<'a> {
    /// The download failed.
    Failed {
        message: &'a str,
        hint: Option<&'a str>,
        exit_code: u8,
    },
    /// The download is complete and no longer shared.
    Ended(&'a Report),
}

impl View {
    pub(super) fn new(console: Console, job: &Job) -> Self {
        let name = job
            .url
            .path_segments()
            .and_then(|mut parts| parts.next_back());
        Self {
            console,
            url: job.url.clone(),
            name: name
                .filter(|name| !name.is_empty())
                .unwrap_or(job.url.as_str())
                .to_owned(),
            bar: None,
            next_line: Instant::now() + LINE_EVERY,
            uploaded_then: 0,
        }
    }

    /// Shows an event of the download.
    pub(super) fn show(&mut self, event: &Event) -> Result<(), Failure> {
        if self.console.style() == Style::Json {
            return print_json(&JsonLine {
                event,
                url: &self.url,
            });
        }
        match event {
            Event::Started(started) => self.started(started),
            Event::Progress(now) => self.progress(now),
            Event::Warning { text } => {
                self.console
                    .say(format_args!("{}: {}", self.name, printable(text)));
            }
            Event::Completed(report) => self.completed(report),
            Event::SharingEnded { why } => {
                self.console.say(format_args!(
                    "{}: no longer shared: {}",
                    self.name,
                    printable(why)
                ));
            }
            Event::Explained(_) | _ => {}
        }
        Ok(())
    }

    /// Shows that the download, and the sharing after it, is over.
    pub(super) fn ended(&mut self, report: &Report) -> Result<(), Failure> {
        self.clear();
        if self.console.style() == Style::Json {
            return print_json(&JsonLine {
                event: End::Ended(report),
                url: &self.url,
            });
        }
        if report.uploaded > self.uploaded_then {
            let shared = Bytes(report.uploaded);
            self.console
                .say(format_args!("{}: {shared} shared in all", self.name));
        }
        Ok(())
    }

    /// Makes room for the error's message, and tells it to programs.
    pub(super) fn failed(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.clear();
        if self.console.style() != Style::Json {
            return Ok(());
        }
        let end = End::Failed {
            message: &failure.message,
            hint: failure.hint.as_deref(),
            exit_code: failure.exit.code(),
        };
        print_json(&JsonLine {
            event: end,
            url: &self.url,
        })
    }

    fn started(&mut self, started: &Started) {
        self.name = printable(&started.name);
        if started.resumed > 0 {
            let there = Bytes(started.resumed);
            self.console
                .say(format_args!("{}: going on, {there} are there", self.name));
        }
        if self.console.style() == Style::Bars {
            let bar = self.console.add_bar();
            bar.set_style(bar_style());
            bar.set_prefix(shortened(&self.name));
            bar.set_position(started.resumed);
            if let Some(size) = started.size {
                bar.set_length(size);
            }
            self.bar = Some(bar);
        }
    }

    fn progress(&mut self, now: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_position(now.done);
            bar.set_message(text::progress(now));
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            self.console
                .say(format_args!("{}: {}", self.name, text::progress(now)));
        }
    }

    fn completed(&mut self, report: &Report) {
        self.uploaded_then = report.uploaded;
        self.console
            .say(format_args!("{}: {}", self.name, text::completed(report)));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {wide_bar:.cyan/black.bright} {msg}")
        .expect("the template is right")
        .progress_chars("━━╌")
}

/// The beginning and the end of a long name: both tell files apart.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= NAME_MAX {
        return name.to_owned();
    }
    let half = (NAME_MAX - 1) / 2;
    let (head, tail) = (&letters[..half], &letters[letters.len() - half..]);
    format!(
        "{}…{}",
        head.iter().collect::<String>(),
        tail.iter().collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("os.iso"), "os.iso");
        let long = shortened("a-very-long-name-of-a-very-long-file-2026-11.iso");
        assert!(
            long.starts_with("a-very-long-na") && long.ends_with("2026-11.iso"),
            "{long}"
        );
        assert!(long.chars().count() <= NAME_MAX);
    }

    #[test]
    fn bars_have_a_style() {
        bar_style();
    }

    #[test]
    fn json_lines_name_event_and_url() {
        let url: Url = "http://h/a".parse().unwrap();
        let event = Event::Progress(Snapshot {
            size: Some(2),
            done: 1,
            ..Snapshot::default()
        });
        let line = serde_json::to_value(JsonLine {
            event: &event,
            url: &url,
        })
        .unwrap();
        assert_eq!(line["event"], "progress");
        assert_eq!(line["done"], 1);
        assert_eq!(line["url"], "http://h/a");
        let end = End::Failed {
            message: "no",
            hint: None,
            exit_code: 4,
        };
        let line = serde_json::to_value(JsonLine {
            event: end,
            url: &url,
        })
        .unwrap();
        assert_eq!(
            (line["event"].as_str(), line["exit_code"].as_u64()),
            (Some("failed"), Some(4))
        );
    }
}
