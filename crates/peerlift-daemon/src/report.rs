//! The answers to "what is this?", "what may it do?" and "what did it do?", as data. The words are
//! the business of whoever shows them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::activity::{ActivityLog, Entry, Fault, Origin};
use crate::applications::{Application, Applications};
use crate::consent::{Answer, Consents};
use crate::home::Home;
use crate::limits::{Counts, Limits};
use crate::machine::{DiskRules, MachinePolicy, Pause};
use crate::removal;
use crate::state::StateFile;
use crate::steward::ShareRules;
use crate::time::UnixTime;

/// What is only known while the background service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Its process.
    pub process: u32,
    /// What started it.
    pub started_by: String,
    /// When.
    pub since: UnixTime,
    /// Where other downloaders are let in.
    pub listening: Vec<String>,
    /// Why uploads rest; none: they may go.
    pub pauses: Vec<Pause>,
    /// Bytes a second that the uplink was measured to carry.
    pub uplink: Option<u64>,
    /// Bytes a second that may be used of it.
    pub cap: Option<u64>,
}

/// Everything about Peerlift on this machine, for somebody who has never heard of it.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// The program that answers, its full path.
    pub program: String,
    /// Its version.
    pub version: &'static str,
    /// How it came here; `None`: the log does not say.
    pub origin: Option<Origin>,
    /// The Debian package that the program belongs to, if any.
    pub package: Option<String>,
    /// Whether it runs in the background now, and how.
    pub service: Option<Live>,
    /// The applications that use it.
    pub applications: Vec<Application>,
    /// Whether anybody agreed to share anything.
    pub shares: bool,
    /// Bytes sent to other users, ever.
    pub sent: u64,
    /// Bytes received and verified, ever.
    pub received: u64,
    /// Firewall rules that it has made. It makes none.
    pub firewall_rules: Vec<String>,
    /// Whether the user has removed it.
    pub removed: bool,
    /// Where the activity log was tampered with. Empty: nowhere.
    pub tampering: Vec<String>,
    /// Everything that a removal would delete.
    pub files: Vec<PathBuf>,
    /// Records that cannot be read, and why.
    pub problems: Vec<String>,
}

/// What is shared, how much, and by whose leave.
#[derive(Clone, Debug, Serialize)]
pub struct Sharing {
    /// The last answer about each publisher.
    pub consents: Vec<Answer>,
    /// What was sent and received.
    pub sent: u64,
    /// Bytes received and verified, ever.
    pub received: u64,
    /// Bytes sent this month.
    pub sent_this_month: u64,
    /// The limits, after the administrator's.
    pub limits: Limits,
    /// The share of the uplink that may be used, in percent.
    pub uplink_percent: u8,
    /// How much of the disks may be used, after the administrator's.
    pub disk: DiskRules,
    /// Bytes of the cache that are used.
    pub cached: u64,
    /// The administrator's policy.
    pub policy: MachinePolicy,
    /// The service, when it runs.
    pub service: Option<Live>,
    /// Records that cannot be read, and why.
    pub problems: Vec<String>,
}

/// The activity log, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// Whether it is as it was written.
    pub intact: bool,
    /// Where it is not.
    pub faults: Vec<Fault>,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Gathers [`Why`].
#[must_use]
pub fn why(home: &Home, log: &ActivityLog, service: Option<Live>) -> Why {
    let mut problems = Vec::new();
    let checked = note(log.check(), &mut problems);
    let consents = note(Consents::at(home.consent()).standing(), &mut problems);
    let applications = note(Applications::of(home).list(), &mut problems);
    let counts = counts(home, &mut problems);
    let aside = moved_aside(home).into_iter();
    problems
        .extend(aside.map(|path| format!("{} is what was left of a damaged one", path.display())));
    let program = std::env::current_exe().unwrap_or_default();
    Why {
        package: package_of(&program),
        program: program.display().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        origin: checked.origin().cloned(),
        service,
        applications,
        shares: consents
            .iter()
            .any(|answer| answer.share != crate::consent::Agreed::Off),
        sent: counts.sent,
        received: counts.received,
        firewall_rules: Vec::new(),
        removed: removal::is_removed(home),
        tampering: checked.faults.iter().map(ToString::to_string).collect(),
        files: removal::traces(home),
        problems,
    }
}

/// Gathers [`Sharing`].
#[must_use]
pub fn sharing(
    home: &Home,
    rules: &ShareRules,
    policy_file: &std::path::Path,
    service: Option<Live>,
) -> Sharing {
    let mut problems = Vec::new();
    let consents = note(Consents::at(home.consent()).standing(), &mut problems);
    let policy = note(MachinePolicy::load(policy_file), &mut problems);
    let mut counts = counts(home, &mut problems);
    counts.turn_to(UnixTime::now());
    Sharing {
        consents,
        sent: counts.sent,
        received: counts.received,
        sent_this_month: counts.this_month(),
        limits: policy.limits(rules.limits),
        uplink_percent: policy.uplink_percent(rules.uplink_percent),
        disk: policy.disk(rules.disk),
        cached: bytes_in(&home.shared_sidecars()),
        policy,
        service,
        problems,
    }
}

/// Gathers [`Activity`].
///
/// # Errors
///
/// An [`ActivityError`](crate::activity::ActivityError) when the log cannot be read.
pub fn activity(log: &ActivityLog) -> Result<Activity, crate::activity::ActivityError> {
    let checked = log.check()?;
    Ok(Activity {
        intact: checked.faults.is_empty(),
        faults: checked.faults,
        entries: checked.entries,
    })
}

/// How this program came to the machine, as far as can be told.
#[must_use]
pub fn presence(now: UnixTime) -> Origin {
    let program = std::env::current_exe().unwrap_or_default();
    let installed_by = match package_of(&program) {
        Some(package) => format!("the Debian package {package}"),
        None => format!(
            "a copy of the program, first run by {}",
            crate::consent::account()
        ),
    };
    Origin {
        at: now,
        program: program.display().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installed_by,
    }
}

/// Damaged records that were moved out of the way, and are there still.
#[must_use]
pub fn moved_aside(home: &Home) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [&home.data, &home.activity()] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let is_damaged = |path: &PathBuf| {
            let end = path.extension().and_then(|end| end.to_str());
            end.is_some_and(|end| end.starts_with("damaged-"))
        };
        found.extend(paths.filter(is_damaged));
    }
    found.sort();
    found
}

/// The Debian package that owns a file, by dpkg's lists (deb-list: `/var/lib/dpkg/info/*.list`).
fn package_of(program: &std::path::Path) -> Option<String> {
    let list = std::fs::read_to_string("/var/lib/dpkg/info/peerlift.list").ok()?;
    let owns = list
        .lines()
        .any(|line| std::path::Path::new(line) == program);
    owns.then(|| "peerlift".to_owned())
}

/// Bytes of the files in a folder without folders.
fn bytes_in(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| entry.metadata().map_or(0, |metadata| metadata.len());
    entries.map(size).sum()
}

fn counts(home: &Home, problems: &mut Vec<String>) -> Counts {
    let file: StateFile<Counts> = StateFile::at(home.counts());
    note(file.peek(), problems)
}

fn note<T: Default, E: std::fmt::Display>(result: Result<T, E>, problems: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        problems.push(error.to_string());
        T::default()
    })
}
