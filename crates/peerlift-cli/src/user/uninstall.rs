//! `peerlift uninstall`: everything goes, for good.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use peerlift_daemon::SystemLog;
use peerlift_daemon::consent::account;
use peerlift_daemon::removal;
use serde_json::json;

use super::User;
use crate::args::UninstallArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};

/// How long the service may take to end: its goodbyes take two seconds at most.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Asks, and removes.
pub(crate) fn run(args: &UninstallArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    let traces = removal::traces(&user.home);
    if args.dry_run {
        if args.json {
            return print_json(&json!({"would_delete": traces})).map(|()| Exit::Fine);
        }
        for trace in traces {
            print(format_args!("{}\n", trace.display()))?;
        }
        return Ok(Exit::Fine);
    }
    if !args.yes && !agreed(console)? {
        return Ok(Exit::Fine);
    }
    remove(user, &account(), args.json)
}

/// Ends the service and deletes everything.
pub(super) fn remove(user: &User, asked_by: &str, as_json: bool) -> Result<Exit, Failure> {
    stop_service(user)?;
    let removal = removal::remove(&user.home, &SystemLog::of_machine(), asked_by);
    if as_json {
        print_json(&removal)?;
    } else {
        for path in &removal.deleted {
            print(format_args!("deleted {}\n", path.display()))?;
        }
        let marker = removal.marker.display();
        print(format_args!(
            "Peerlift is gone from this account. {marker} keeps it from coming back;\n\
             the program itself is your package manager's to remove.\n"
        ))?;
    }
    match removal.failed.first() {
        None => Ok(Exit::Fine),
        Some((path, why)) => Err(Failure::new(
            Exit::Storage,
            format!("cannot delete {}: {why}", path.display()),
        )
        .hint("check its permissions and run `peerlift uninstall` again")),
    }
}

/// Ends the service, if it runs, and waits until it has.
pub(super) fn stop_service(user: &User) -> Result<bool, Failure> {
    if user.ask("POST", "/v1/stop", None)?.is_none() {
        return Ok(false);
    }
    let lock = user.home.service_lock();
    let asked = Instant::now();
    while is_held(&lock) {
        if asked.elapsed() > END_WITHIN {
            return Err(
                Failure::new(Exit::Other, "the background service does not end")
                    .hint("end its process; `peerlift status` shows its number"),
            );
        }
        // The lock tells nobody when it is let go.
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

fn is_held(lock: &std::path::Path) -> bool {
    let Ok(file) = std::fs::File::open(lock) else {
        return false;
    };
    file.try_lock().is_err()
}

fn agreed(console: &Console) -> Result<bool, Failure> {
    if !console.is_interactive() {
        return Err(Failure::new(Exit::Usage, "there is no terminal to ask in")
            .hint("say --yes, or --dry-run to see what would be deleted"));
    }
    let cannot_ask = |error: io::Error| Failure::caused(Exit::Other, "cannot ask", &error);
    let mut output = io::stderr();
    let question = "Remove Peerlift from this account, with its keys, settings and records? [y/N] ";
    write!(output, "{question}")
        .and_then(|()| output.flush())
        .map_err(cannot_ask)?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(cannot_ask)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
