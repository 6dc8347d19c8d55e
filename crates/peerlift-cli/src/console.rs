//! What the user sees: lines on standard error, results on standard output, bars in between.
//!
//! Everything that writes to standard error goes through [`Console`], so that a log line never
//! tears a progress bar apart.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use tracing::Level;

use crate::args::LogFormat;
use crate::failure::{Exit, Failure};
use crate::log;

/// Frames a second that bars are drawn with: smooth for the eye, nothing for the processor.
const FRAMES_PER_S: u8 = 10;

/// The user's terminal, or whatever stands in for it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bars: MultiProgress,
    style: Style,
    log: LogFormat,
}

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Quiet,
    /// JSON on standard output.
    Json,
    /// A line now and then: standard error is no terminal.
    Lines,
    /// Bars that move.
    Bars,
}

impl Console {
    /// A console for the options `--quiet` and `--json`.
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        let style = match (quiet, json) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Json,
            (false, false) if io::stderr().is_terminal() => Style::Bars,
            (false, false) => Style::Lines,
        };
        let target = match style {
            Style::Bars => ProgressDrawTarget::stderr_with_hz(FRAMES_PER_S),
            Style::Quiet | Style::Json | Style::Lines => ProgressDrawTarget::hidden(),
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            style,
            log: LogFormat::Text,
        }
    }

    /// The same, with lines that go well with such a log.
    pub(crate) fn with_log(self, log: LogFormat) -> Self {
        Self { log, ..self }
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Whether a person is there to be asked.
    pub(crate) fn is_interactive(&self) -> bool {
        self.style == Style::Bars && io::stdin().is_terminal()
    }

    /// Adds a bar below the others.
    pub(crate) fn add_bar(&self) -> ProgressBar {
        self.bars.add(ProgressBar::no_length())
    }

    /// Runs something that writes to the terminal by itself.
    pub(crate) fn around_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Says something that is news, not the result: nothing with `--quiet` and `--json`.
    pub(crate) fn say(&self, line: impl Display) {
        if matches!(self.style, Style::Lines | Style::Bars) {
            self.write_line(Level::INFO, "", line);
        }
    }

    /// Says something that must be seen even with `--quiet`.
    pub(crate) fn complain(&self, line: impl Display) {
        self.write_line(Level::ERROR, "peerlift: ", line);
    }

    fn write_line(&self, level: Level, start: &str, line: impl Display) {
        let line = match self.log {
            LogFormat::Text => format!("{start}{line}\n"),
            LogFormat::Json => log::object(level, &line.to_string()) + "\n",
        };
        // A standard error that is closed leaves nobody to tell.
        let _ = self.put(line.as_bytes());
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        self.bars.suspend(|| io::stderr().lock().write_all(bytes))
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a result to standard output.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| cannot_print(&error))
}

/// Writes a JSON value on a line of its own to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Failure::caused(Exit::Other, "cannot write JSON", &error))?;
    line.push('\n');
    print(line)
}

fn cannot_print(error: &io::Error) -> Failure {
    Failure::caused(Exit::Storage, "cannot write to standard output", error)
}
