//! `peerlift doctor` and `peerlift verify-install`: looks for what is not as it should be, and says
//! what to do.

mod network;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use peerlift_daemon::applications::Applications;
use peerlift_daemon::consent::Consents;
use peerlift_daemon::limits::Counts;
use peerlift_daemon::machine::{MachinePolicy, POLICY_PATH};
use peerlift_daemon::removal;
use peerlift_daemon::report;
use peerlift_daemon::state::StateFile;
use serde::Serialize;

use super::User;
use crate::args::{DoctorArgs, ShowArgs};
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::{Bytes, Count};

/// Room below which downloads are likely to fail.
const ROOM_LOW_BYTES: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    what: &'static str,
    verdict: Verdict,
    /// One line for a person.
    text: String,
}

/// How it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Good,
    /// It works, with a limitation that the user should know of.
    Note,
    Bad,
}

impl Finding {
    fn of<T, E: std::fmt::Display>(
        what: &'static str,
        result: Result<T, E>,
        good: impl FnOnce(T) -> (Verdict, String),
    ) -> Self {
        let (verdict, text) = match result {
            Ok(value) => good(value),
            Err(error) => (Verdict::Bad, error.to_string()),
        };
        Self {
            what,
            verdict,
            text,
        }
    }

    fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Good,
            text: text.into(),
        }
    }

    fn bad(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Bad,
            text: text.into(),
        }
    }

    fn note(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Note,
            text: text.into(),
        }
    }
}

/// Looks at everything that downloads and sharing need, the network included.
pub(crate) fn doctor(args: &DoctorArgs, user: &User) -> Result<Exit, Failure> {
    let mut findings = diagnose(user);
    findings.extend(network::findings(args.url.as_ref(), user));
    tell(args.json, &findings)
}

/// Looks at the program and its records only.
pub(crate) fn verify_install(args: &ShowArgs, user: &User) -> Result<Exit, Failure> {
    let mut findings = vec![program()];
    findings.extend(records(user));
    tell(args.json, &findings)
}

/// All findings that need no network.
pub(super) fn diagnose(user: &User) -> Vec<Finding> {
    let mut findings = vec![program()];
    findings.extend(records(user));
    findings.extend([
        service(user),
        firewall(user),
        disk(user),
        udp(),
        proxy(),
        policy(),
    ]);
    findings
}

fn tell(as_json: bool, findings: &[Finding]) -> Result<Exit, Failure> {
    if as_json {
        print_json(&findings)?;
    } else {
        for finding in findings {
            let mark = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Note => "note",
                Verdict::Bad => "BAD ",
            };
            print(format_args!(
                "{mark}  {}: {}\n",
                finding.what,
                printable(&finding.text)
            ))?;
        }
    }
    let bad = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Bad);
    Ok(if bad { Exit::Other } else { Exit::Fine })
}

fn program() -> Finding {
    let found = std::env::current_exe().and_then(|path| Ok((fs::metadata(&path)?, path)));
    Finding::of("program", found, |(metadata, path)| {
        let mode = metadata.permissions().mode();
        let own = rustix::process::getuid().as_raw();
        let trusted = [0, own].contains(&metadata.uid()) && mode & 0o022 == 0;
        let path = path.display();
        if trusted {
            (
                Verdict::Good,
                format!("{path}, version {}", env!("CARGO_PKG_VERSION")),
            )
        } else {
            (
                Verdict::Bad,
                format!("{path} can be changed by others; take away their right to write it"),
            )
        }
    })
}

fn records(user: &User) -> Vec<Finding> {
    let home = &user.home;
    let log = Finding::of("activity log", user.log().check(), |checked| {
        if let Some(fault) = checked.faults.first() {
            return (
                Verdict::Bad,
                format!("it was tampered with or damaged: {fault}"),
            );
        }
        (
            Verdict::Good,
            format!(
                "{}, as written",
                Count(checked.entries.len(), "entry", "entries")
            ),
        )
    });
    let consents = Finding::of(
        "consent",
        Consents::at(home.consent()).answers(),
        |answers| {
            (
                Verdict::Good,
                Count(answers.len(), "answer", "answers").to_string(),
            )
        },
    );
    let applications = Finding::of("applications", Applications::of(home).list(), |list| {
        (Verdict::Good, format!("{} registered", list.len()))
    });
    let file: StateFile<Counts> = StateFile::at(home.counts());
    let counts = Finding::of("counts", file.peek(), |counts| {
        (Verdict::Good, format!("{} sent in all", Bytes(counts.sent)))
    });
    let mut findings = vec![log, consents, applications, counts];
    findings.extend(damaged(user));
    findings.extend([privacy(&home.data), removed(user)]);
    findings
}

/// Records that were found damaged and moved out of the way.
fn damaged(user: &User) -> Option<Finding> {
    let aside = report::moved_aside(&user.home);
    let names: Vec<String> = aside
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        let text =
            format!("some were damaged and began anew: delete {names} when you are done with it");
        Finding::note("damaged records", text)
    })
}

fn privacy(data: &Path) -> Finding {
    match fs::metadata(data) {
        Ok(metadata) if metadata.permissions().mode() & 0o022 != 0 => Finding {
            what: "records",
            verdict: Verdict::Bad,
            text: format!("{} can be changed by others: chmod go-w it", data.display()),
        },
        Ok(_) => Finding::good(
            "records",
            format!("{} is yours alone to change", data.display()),
        ),
        Err(_) => Finding::note("records", "there are none yet"),
    }
}

fn removed(user: &User) -> Finding {
    if removal::is_removed(&user.home) {
        Finding::note(
            "removal",
            "Peerlift was removed; `peerlift daemon --allow-again` lifts that",
        )
    } else {
        Finding::good("removal", "nobody has removed Peerlift")
    }
}

fn service(user: &User) -> Finding {
    match user.ask("GET", "/v1/status", None) {
        Ok(Some(status)) => {
            Finding::good("service", format!("runs as process {}", status["process"]))
        }
        Ok(None) => Finding::note(
            "service",
            "does not run; nothing is shared in the background",
        ),
        Err(failure) => Finding {
            what: "service",
            verdict: Verdict::Bad,
            text: failure.to_string(),
        },
    }
}

/// Why a firewall may ask about Peerlift, and what the answers mean.
fn firewall(user: &User) -> Finding {
    let status = user.ask("GET", "/v1/status", None);
    let status = status.ok().flatten().unwrap_or_default();
    let open: Vec<&str> = status["listening"]
        .as_array()
        .map(|sockets| {
            sockets
                .iter()
                .filter_map(|socket| socket.as_str())
                .collect()
        })
        .unwrap_or_default();
    if open.is_empty() {
        return Finding::good(
            "firewall",
            "no port is open, so no firewall has a reason to ask; Peerlift makes no rules",
        );
    }
    Finding::note(
        "firewall",
        format!(
            "open because you agreed to share: {}. A firewall may ask whether peerlift may accept \
             connections: yes lets other downloaders reach you directly, no costs you nothing. \
             Peerlift makes no rules",
            open.join(", ")
        ),
    )
}

fn disk(user: &User) -> Finding {
    let mut folder = user.home.data.as_path();
    while !folder.exists() {
        let Some(above) = folder.parent() else { break };
        folder = above;
    }
    Finding::of("disk", rustix::fs::statvfs(folder), |system| {
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let verdict = if free < ROOM_LOW_BYTES {
            Verdict::Bad
        } else {
            Verdict::Good
        };
        (
            verdict,
            format!("{} free at {}", Bytes(free), folder.display()),
        )
    })
}

fn udp() -> Finding {
    let bound = std::net::UdpSocket::bind(("0.0.0.0", 0));
    Finding::of("UDP", bound, |_| {
        (
            Verdict::Good,
            "a socket can be opened; whether the network lets it through shows with peers"
                .to_owned(),
        )
    })
}

fn proxy() -> Finding {
    let set = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ];
    let found: Vec<&str> = set
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
        .collect();
    if found.is_empty() {
        Finding::good("proxy", "none is set")
    } else {
        let names = found.join(", ");
        Finding::note(
            "proxy",
            format!("{names} set: downloads go through it, peers are reached around it"),
        )
    }
}

fn policy() -> Finding {
    Finding::of(
        "policy",
        MachinePolicy::load(POLICY_PATH.as_ref()),
        |policy| {
            if policy == MachinePolicy::default() {
                return (Verdict::Good, "the administrator sets no limits".to_owned());
            }
            let sharing = if policy.allowed && policy.share {
                "is limited"
            } else {
                "is switched off"
            };
            (
                Verdict::Note,
                format!(
                    "by the administrator's policy, sharing {sharing} {}",
                    policy.contact
                ),
            )
        },
    )
}
