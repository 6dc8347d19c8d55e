//! `peerlift why`: everything about Peerlift on this machine, for somebody who has never heard of it.

use std::fmt::Write as _;

use peerlift_daemon::report::{self, Why};

use super::User;
use crate::args::ShowArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::Bytes;

/// Tells.
pub(crate) fn run(args: &ShowArgs, user: &User) -> Result<Exit, Failure> {
    if args.json {
        return match user.ask("GET", "/v1/why", None)? {
            Some(value) => print_json(&value),
            None => print_json(&report::why(&user.home, &user.log(), None)),
        }
        .map(|()| Exit::Fine);
    }
    let service = super::status::live(user)?;
    let why = report::why(&user.home, &user.log(), service);
    print(text(&why)).map(|()| Exit::Fine)
}

fn text(why: &Why) -> String {
    let mut text = format!(
        "Peerlift {} downloads large files: from the publisher's server and from other people who\n\
         download the same file, every piece checked. It is the program {}.\n\n",
        why.version, why.program
    );
    text.push_str(&whence(why));
    text.push('\n');
    text.push_str(&super::service_lines(why.service.as_ref()));
    text.push_str(&doing(why));
    text.push('\n');
    text.push_str(&ending(why));
    text
}

fn whence(why: &Why) -> String {
    if why.removed && why.origin.is_none() {
        return "It was removed from this account, and its records with it.\n".to_owned();
    }
    let mut text = String::new();
    match &why.origin {
        Some(origin) => {
            let _ = writeln!(
                text,
                "It has been here since {}. It came with {}.",
                origin.at,
                printable(&origin.installed_by)
            );
        }
        None => {
            text.push_str("Since when it is here was not noted: it has not run for this account.\n")
        }
    }
    if let Some(package) = &why.package {
        let _ = writeln!(text, "The program belongs to the Debian package {package}.");
    }
    match &why.applications[..] {
        [] => text.push_str("No application uses it; whoever uses this account does.\n"),
        applications => {
            text.push_str("These applications use it:\n");
            for application in applications {
                let name = printable(&application.name);
                let _ = writeln!(
                    text,
                    "  {name} ({}), since {}",
                    application.id, application.since
                );
            }
        }
    }
    text
}

fn doing(why: &Why) -> String {
    let mut text = String::new();
    if why.shares {
        text.push_str(
            "Somebody agreed to share: `peerlift share` shows what, and with which limits.\n",
        );
    } else {
        text.push_str(
            "Nobody has agreed to share anything, so it sends nothing to other people.\n",
        );
    }
    let _ = writeln!(
        text,
        "In all it received {} and sent {} to other people.",
        Bytes(why.received),
        Bytes(why.sent)
    );
    text.push_str("It made no firewall rule. `peerlift activity` shows all it did.\n");
    if why.removed {
        text.push_str("It was removed from this account: no application can bring it back.\n");
    }
    for fault in &why.tampering {
        let _ = writeln!(
            text,
            "CAUTION, its log was tampered with or damaged: {}.",
            printable(fault)
        );
    }
    for problem in &why.problems {
        let _ = writeln!(text, "Problem with a record: {}.", printable(problem));
    }
    text
}

fn ending(why: &Why) -> String {
    if why.removed && why.files.is_empty() {
        return "It has no files here, and nothing of it can run in the background.\n\
                To let it come back: `peerlift daemon --allow-again`.\n"
            .to_owned();
    }
    let mut text = "To see and change all of it on one page in your browser: `peerlift panel`.\n\
                    To stop all uploads and downloads: `peerlift pause`.\n\
                    To end it: `peerlift daemon --stop`.\n\
                    To remove it for good: `peerlift uninstall`"
        .to_owned();
    if why.files.is_empty() {
        text.push_str("; it has no files here.\n");
    } else {
        text.push_str(". That deletes:\n");
        for file in &why.files {
            let _ = writeln!(text, "  {}", file.display());
        }
    }
    text
}
