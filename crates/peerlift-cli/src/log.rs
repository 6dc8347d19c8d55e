//! The log on standard error: silent unless asked for with `-v` or `PEERLIFT_LOG`.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use serde_json::json;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::LogFormat;
use crate::failure::{Exit, Failure};

/// The variable that says in detail what is logged, in the syntax of `tracing`'s `EnvFilter`.
const VARIABLE: &str = "PEERLIFT_LOG";

/// Starts logging for the rest of the process, by way of what keeps lines of standard error apart.
pub(crate) fn start(
    verbose: u8,
    format: LogFormat,
    output: impl Write + Send + 'static,
) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            Failure::caused(Exit::Usage, VARIABLE, &error)
                .hint("it looks like peerlift_net=debug,info")
        })?,
        Err(_) => EnvFilter::new(filter(verbose)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Mutex::new(output))
        .with_ansi(std::io::stderr().is_terminal());
    let quiet = filter_fn(|about| !tells_content(about));
    match format {
        LogFormat::Text => log.finish().with(quiet).init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(quiet).init(),
    }
    Ok(())
}

/// What the command itself has to say, as a line of a log of objects.
pub(crate) fn object(level: Level, message: &str) -> String {
    let mut timestamp = String::new();
    // A string takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let level = level.as_str();
    let target = env!("CARGO_BIN_NAME");
    json!({ "timestamp": timestamp, "level": level, "message": message, "target": target })
        .to_string()
}

/// Whether a library writes down what is sent, which may be a secret: WebSockets print every frame.
/// No setting asks for that.
fn tells_content(about: &Metadata<'_>) -> bool {
    *about.level() == Level::TRACE && about.target().contains("tungstenite")
}

/// More `v`s show more of ours, and one step later the same of the libraries.
fn filter(verbose: u8) -> String {
    let (libraries, ours) = match verbose {
        0 => return "off".to_owned(),
        1 => ("warn", "info"),
        2 => ("info", "debug"),
        3 => ("debug", "trace"),
        _ => return "trace".to_owned(),
    };
    let rooms = OURS.map(|room| format!("{room}={ours}"));
    format!("{libraries},{}", rooms.join(","))
}

/// The crates of this workspace that log.
const OURS: [&str; 10] = [
    "peerlift",
    "peerlift_access",
    "peerlift_client",
    "peerlift_content",
    "peerlift_control",
    "peerlift_daemon",
    "peerlift_edge",
    "peerlift_net",
    "peerlift_store",
    "peerlift_swarm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_understood() {
        for verbose in 0..6 {
            assert!(EnvFilter::try_new(filter(verbose)).is_ok());
        }
    }
}
