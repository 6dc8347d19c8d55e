//! `peerlift status`: what runs in the background, and what it does now.

use std::fmt::Write as _;

use peerlift_daemon::report::Live;
use serde_json::{Value, json};

use super::User;
use crate::args::ShowArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::{Bytes, Percent, Speed};

/// Shows it.
pub(crate) fn run(args: &ShowArgs, user: &User) -> Result<Exit, Failure> {
    let Some(status) = user.ask("GET", "/v1/status", None)? else {
        return if args.json {
            print_json(&json!({"running": false})).map(|()| Exit::Fine)
        } else {
            print("Nothing runs in the background.\n").map(|()| Exit::Fine)
        };
    };
    let downloads = user.demand("GET", "/v1/downloads", None)?;
    if args.json {
        let all = json!({"running": true, "service": status, "downloads": downloads});
        return print_json(&all).map(|()| Exit::Fine);
    }
    print(text(&status, &downloads)).map(|()| Exit::Fine)
}

/// What only the running service knows; `None`: it does not run.
pub(super) fn live(user: &User) -> Result<Option<Live>, Failure> {
    let Some(status) = user.ask("GET", "/v1/status", None)? else {
        return Ok(None);
    };
    let live = serde_json::from_value(status);
    live.map(Some).map_err(|error| {
        Failure::caused(Exit::NotUnderstood, "the background service", &error)
            .hint("it may be of another version: `peerlift daemon --stop` ends it")
    })
}

fn text(status: &Value, downloads: &Value) -> String {
    let live: Option<Live> = serde_json::from_value(status.clone()).ok();
    let mut text = super::service_lines(live.as_ref());
    let number = |name: &str| status[name].as_u64().unwrap_or(0);
    let _ = writeln!(
        text,
        "{} running, {} waiting, {} shared · ↓ {} · ↑ {}",
        number("running"),
        number("waiting"),
        number("sharing"),
        Speed(number("rate_down")),
        Speed(number("rate_up")),
    );
    if status["downloads_paused"] == true {
        text.push_str("Downloads rest until `peerlift resume`.\n");
    }
    if let Some(hours) = status["downloads_wait_for"].as_str() {
        let _ = writeln!(text, "Downloads wait for {}.", printable(hours));
    }
    for problem in status["problems"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "Problem: {}",
            printable(problem.as_str().unwrap_or_default())
        );
    }
    for download in downloads.as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}", line(download));
    }
    text
}

fn line(download: &Value) -> String {
    let words = |value: &Value| printable(value.as_str().unwrap_or_default());
    let name = match words(&download["name"]) {
        name if name.is_empty() => words(&download["wanted"]["urls"][0]),
        name => name,
    };
    let mut line = format!(
        "{:>4}  {:<8}  {name}",
        download["id"],
        words(&download["state"])
    );
    let progress = &download["progress"];
    let number = |name: &str| progress[name].as_u64();
    if let (Some(done), Some(size)) = (number("done"), number("size")) {
        let percent = Percent {
            part: done,
            whole: size,
        };
        let _ = write!(line, " · {percent} of {}", Bytes(size));
    }
    let (edge, peers) = (
        number("from_edge").unwrap_or(0),
        number("from_peers").unwrap_or(0),
    );
    if edge + peers > 0 {
        let from_peers = Percent {
            part: peers,
            whole: edge + peers,
        };
        let _ = write!(line, " · {from_peers} from peers");
    }
    if let Some(sent) = number("uploaded").filter(|sent| *sent > 0) {
        let _ = write!(line, " · {} shared", Bytes(sent));
    }
    let not_before = words(&download["wanted"]["not_before"]);
    if download["state"] == "waiting" && !not_before.is_empty() {
        let _ = write!(line, " · not before {not_before}");
    }
    for why in ["why", "waits_for"].map(|name| words(&download[name])) {
        if !why.is_empty() {
            let _ = write!(line, " · {why}");
        }
    }
    line
}
