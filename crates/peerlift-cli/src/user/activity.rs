//! `peerlift activity`: what was done, from the log, which is checked.

use std::fmt::Write as _;

use peerlift_daemon::activity::{Entry, Happening};
use peerlift_daemon::report;

use super::User;
use crate::args::ActivityArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::{Bytes, Percent};

/// Shows it. A log that was tampered with ends in the exit code of failed verification.
pub(crate) fn run(args: &ActivityArgs, user: &User) -> Result<Exit, Failure> {
    let mut activity = report::activity(&user.log()).map_err(|error| {
        Failure::caused(Exit::Storage, "cannot read the activity log", &error)
            .hint("check the folder's permissions")
    })?;
    let exit = if activity.intact {
        Exit::Fine
    } else {
        Exit::Verification
    };
    let skipped = match args.last {
        0 => 0,
        last => activity.entries.len().saturating_sub(last),
    };
    activity.entries.drain(..skipped);
    if args.json {
        print_json(&activity)?;
        return Ok(exit);
    }
    let mut text = String::new();
    if activity.entries.is_empty() && activity.intact {
        text.push_str("Nothing was done for this account yet.\n");
    }
    for entry in &activity.entries {
        let _ = writeln!(text, "{}  {}", entry.at, printable(&words(entry)));
    }
    for fault in &activity.faults {
        let _ = writeln!(
            text,
            "CAUTION, this log was tampered with or damaged: {fault}."
        );
    }
    print(text)?;
    Ok(exit)
}

fn words(entry: &Entry) -> String {
    match &entry.what {
        Happening::Installed { origin } => {
            format!(
                "first seen here: {} {}, which came with {}",
                origin.program, origin.version, origin.installed_by
            )
        }
        Happening::Updated { from, to } => format!("updated from {from} to {to}"),
        Happening::Consent {
            publisher,
            publisher_name,
            agreed,
            asked_by,
            answered_by,
        } => {
            let short = publisher.get(..8).unwrap_or(publisher);
            let name = match &**publisher_name {
                "" => "a publisher".to_owned(),
                name => format!("{name:?}"),
            };
            let shared = match &**agreed {
                "off" => "not shared",
                "while-downloading" => "shared while downloading",
                "in-background" => "shared in the background",
                later => later,
            };
            format!(
                "{answered_by} answered: files of {name} (key {short}…) are {shared}; asked by {asked_by}"
            )
        }
        Happening::AppRegistered { app, name } => format!("application {name:?} ({app}) uses it"),
        Happening::AppReleased { app } => format!("application {app} uses it no more"),
        Happening::Started { started_by } => {
            format!("began to run in the background, started by {started_by}")
        }
        Happening::Stopped { why } => format!("stopped running in the background: {why}"),
        Happening::Listening { sockets } if sockets.is_empty() => "closed all ports".to_owned(),
        Happening::Listening { sockets } => format!("lets others in at {}", sockets.join(", ")),
        Happening::DownloadStarted { name, url } => format!("began to download {name} from {url}"),
        Happening::Downloaded {
            name,
            size,
            from_edge,
            from_peers,
        } => {
            let peers = Percent {
                part: *from_peers,
                whole: from_edge + from_peers,
            };
            format!(
                "downloaded {name}, {}, {peers} of it from peers",
                Bytes(*size)
            )
        }
        Happening::DownloadFailed { name, why } => format!("could not download {name}: {why}"),
        Happening::Shared { name, bytes } => format!("sent {} of {name} to others", Bytes(*bytes)),
        Happening::SharingEnded { name, why } => format!("no longer shares {name}: {why}"),
        Happening::Paused { why } => format!("uploads rest: {why}"),
        Happening::Resumed { why } => format!("uploads go on: {why}"),
        Happening::SettingsChanged { what } => format!("settings changed: {what}"),
        Happening::Repaired { what } => format!("repaired: {what}"),
        Happening::Sealed { .. } => "began a new file of this log".to_owned(),
        Happening::Removed { asked_by } => format!("removed, asked by {asked_by}"),
        Happening::Allowed { allowed_by } => format!("{allowed_by} let it come back"),
        Happening::Unknown | _ => "something that only a later version knows".to_owned(),
    }
}
