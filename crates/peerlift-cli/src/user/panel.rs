//! `peerlift panel`: opens the control panel, a page that the background service shows to this user
//! alone.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use peerlift_daemon::removal;
use serde_json::{Value, json};

use super::User;
use crate::args::PanelArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};

/// What opens pages on a free desktop (xdg-utils).
const OPENER: &str = "xdg-open";

/// Draws a link, prints it, and hands it to the browser.
pub(crate) fn run(args: &PanelArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    let answer = match user.ask("POST", "/v1/port", None)? {
        Some(answer) => answer,
        None => {
            start_service(user)?;
            user.demand("POST", "/v1/port", None)?
        }
    };
    let link = answer["url"].as_str().unwrap_or_default();
    if link.is_empty() {
        return Err(
            Failure::new(Exit::NotUnderstood, "the background service has no panel")
                .hint("it is of another version: `peerlift daemon --stop` ends it"),
        );
    }
    let opened = !args.no_open && open(link);
    if args.json {
        print_json(&json!({"url": link, "opened": opened}))?;
        return Ok(Exit::Fine);
    }
    print(format_args!("{link}\n"))?;
    console.say(if opened {
        "opened in your browser; the link works once, within a minute"
    } else {
        "open this link in a browser on this machine; it works once, within a minute"
    });
    Ok(Exit::Fine)
}

/// Hands the link to the desktop's browser. False: there is no desktop, or it does not want it.
fn open(link: &str) -> bool {
    let opener = Command::new(OPENER)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    opener.is_ok_and(|status| status.success())
}

/// Starts the background service, which ends by itself when nobody needs it, and waits until it
/// answers.
fn start_service(user: &User) -> Result<(), Failure> {
    if removal::is_removed(&user.home) {
        return Err(
            Failure::new(Exit::Other, "Peerlift was removed from this account")
                .hint("`peerlift daemon --allow-again` lets it come back"),
        );
    }
    let cannot = |error: std::io::Error| {
        Failure::caused(Exit::Other, "cannot start the background service", &error)
    };
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command.args(["daemon", "--json"]);
    // A file that was named has to exist; the usual one need not.
    if user.settings != user.home.config.join("config.toml") {
        command.arg("--config").arg(&user.settings);
    }
    let mut service = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C in this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let output = service.stdout.take();
    let mut line = String::new();
    if let Some(output) = output {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(cannot)?;
    }
    let event: Value = serde_json::from_str(&line).unwrap_or_default();
    if event["event"] == "ready" {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Other, "the background service does not start")
            .hint("run `peerlift daemon` to see why"),
    )
}
