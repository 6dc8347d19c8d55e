//! `peerlift share`: what is shared, with whose leave and within which limits; and changing it.

use std::fmt::Write as _;
use std::io;

use peerlift_daemon::activity::Happening;
use peerlift_daemon::consent::{Agreed, Answer, Consents, Subject};
use peerlift_daemon::machine::POLICY_PATH;
use peerlift_daemon::report::{self, Sharing};
use peerlift_model::PublisherId;
use serde_json::json;

use super::User;
use crate::args::{ShareArgs, ShareChange};
use crate::consent::{self, ASKED_BY};
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::Bytes;

/// Shows or changes it.
pub(crate) fn run(args: &ShareArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    match &args.change {
        None => show(args.json, user),
        Some(ShareChange::Allow { publisher, yes }) => {
            allow(*publisher, *yes, args.json, user, console)
        }
        Some(ShareChange::Revoke { publisher }) => revoke(*publisher, args.json, user),
    }
}

fn show(as_json: bool, user: &User) -> Result<Exit, Failure> {
    let live = super::status::live(user)?;
    let rules = user.config.share.rules();
    let sharing = report::sharing(&user.home, &rules, POLICY_PATH.as_ref(), live);
    if as_json {
        print_json(&sharing)
    } else {
        print(text(&sharing))
    }
    .map(|()| Exit::Fine)
}

fn text(sharing: &Sharing) -> String {
    let mut text = String::new();
    match &sharing.consents[..] {
        [] => text
            .push_str("You have not been asked to share anything, so nothing is sent to others.\n"),
        answers => answers
            .iter()
            .for_each(|answer| text.push_str(&answer_line(answer))),
    }
    let limits = &sharing.limits;
    let _ = writeln!(
        text,
        "Sent {} this month of at most {}, {} in all; received {}.",
        Bytes(sharing.sent_this_month),
        Bytes(limits.month_bytes),
        Bytes(sharing.sent),
        Bytes(sharing.received),
    );
    let _ = writeln!(
        text,
        "Limits: at most {} times what was received, {} of one file, {} % of the uplink.",
        limits.ratio,
        Bytes(limits.object_bytes),
        sharing.uplink_percent,
    );
    let _ = writeln!(
        text,
        "Disks: {} are kept to share again after a restart, of at most {}; {} stay free.",
        Bytes(sharing.cached),
        Bytes(sharing.disk.cache_bytes),
        Bytes(sharing.disk.free_bytes),
    );
    if !sharing.policy.allowed || !sharing.policy.share {
        let contact = printable(&sharing.policy.contact);
        let _ = writeln!(
            text,
            "This machine's administrator does not allow sharing. {contact}"
        );
    }
    for problem in &sharing.problems {
        let _ = writeln!(text, "Problem: {}", printable(problem));
    }
    text.push_str(&super::service_lines(sharing.service.as_ref()));
    text
}

fn answer_line(answer: &Answer) -> String {
    let name = match printable(&answer.publisher_name) {
        empty if empty.is_empty() => "a publisher".to_owned(),
        name => format!("{name:?}"),
    };
    let agreed = match answer.share {
        Agreed::Off => "nothing is shared",
        Agreed::WhileDownloading => "shared while downloading",
        Agreed::InBackground => "shared in the background",
    };
    format!(
        "{name}: {agreed} (answered {} by {}; key {})\n",
        answer.at,
        printable(&answer.answered_by),
        answer.publisher
    )
}

fn allow(
    publisher: PublisherId,
    yes: bool,
    as_json: bool,
    user: &User,
    console: &Console,
) -> Result<Exit, Failure> {
    let consents = Consents::at(user.home.consent());
    let subject = subject(user, publisher)?;
    if yes {
        let text = consent::text(&consents, &subject, Agreed::InBackground);
        let answer = keep(user, &subject, Agreed::InBackground, &text)?;
        return told(&answer, as_json);
    }
    if !console.is_interactive() {
        return Err(
            Failure::new(Exit::Usage, "there is no terminal to ask the question in")
                .hint("read `peerlift share allow --help`, and say --yes if you agree"),
        );
    }
    let stdin = io::stdin();
    let (mut input, mut output) = (stdin.lock(), io::stderr());
    let asked = consent::ask(
        &consents,
        &subject,
        Agreed::InBackground,
        &mut input,
        &mut output,
    )?;
    match asked.answer {
        Some(answer) => {
            announce(user, &answer)?;
            told(&answer, as_json)
        }
        None => Ok(Exit::Fine),
    }
}

fn revoke(publisher: Option<PublisherId>, as_json: bool, user: &User) -> Result<Exit, Failure> {
    let consents = Consents::at(user.home.consent());
    let standing = consents.standing().map_err(consent::unusable)?;
    let publishers: Vec<PublisherId> = match publisher {
        Some(publisher) => vec![publisher],
        None => {
            let agreed = standing.iter().filter(|answer| answer.share != Agreed::Off);
            agreed
                .filter_map(|answer| answer.publisher.parse().ok())
                .collect()
        }
    };
    for publisher in publishers {
        let subject = subject(user, publisher)?;
        let answer = keep(user, &subject, Agreed::Off, "peerlift share revoke")?;
        told(&answer, as_json)?;
    }
    Ok(Exit::Fine)
}

/// What is known of a publisher: from earlier questions, or from downloads of the service that runs.
fn subject(user: &User, publisher: PublisherId) -> Result<Subject, Failure> {
    let consents = Consents::at(user.home.consent());
    let standing = consents.standing().map_err(consent::unusable)?;
    let known = standing
        .into_iter()
        .find(|answer| answer.publisher.parse() == Ok(publisher));
    let (publisher_name, origin) = match known {
        Some(answer) => (answer.publisher_name, answer.origin),
        None => met(user, publisher)?,
    };
    Ok(Subject {
        publisher,
        publisher_name,
        origin,
    })
}

/// The name and the origin of a publisher that a download of the service met.
fn met(user: &User, publisher: PublisherId) -> Result<(String, String), Failure> {
    let questions = user.ask("GET", "/v1/questions", None)?.unwrap_or_default();
    let key = publisher.to_string();
    let mut all = questions.as_array().into_iter().flatten();
    let found = all.find(|asking| asking["publisher"] == key.as_str());
    let text = |name: &str| {
        let value = found.and_then(|asking| asking[name].as_str());
        value.unwrap_or_default().to_owned()
    };
    Ok((text("publisher_name"), text("origin")))
}

/// Keeps an answer: through the service where it runs, so that it acts at once.
fn keep(user: &User, subject: &Subject, agreed: Agreed, text: &str) -> Result<Answer, Failure> {
    let content = json!({
        "agreed": agreed,
        "asked_by": ASKED_BY,
        "text": text,
        "publisher_name": subject.publisher_name,
        "origin": subject.origin,
    });
    let path = format!("/v1/consents/{}", subject.publisher);
    if let Some(value) = user.ask("PUT", &path, Some(content))? {
        return serde_json::from_value(value).map_err(|error| {
            Failure::caused(Exit::NotUnderstood, "the background service", &error)
        });
    }
    let consents = Consents::at(user.home.consent());
    let answer = consents
        .keep(subject, ASKED_BY, text, agreed)
        .map_err(consent::unusable)?;
    user.note(happening(&answer))?;
    Ok(answer)
}

/// Tells the log, and a service that runs, of an answer that is kept already.
fn announce(user: &User, answer: &Answer) -> Result<(), Failure> {
    user.note(happening(answer))
}

/// An answer as the activity log has it.
pub(crate) fn happening(answer: &Answer) -> Happening {
    Happening::Consent {
        publisher: answer.publisher.clone(),
        publisher_name: answer.publisher_name.clone(),
        agreed: answer.share.word().to_owned(),
        asked_by: answer.asked_by.clone(),
        answered_by: answer.answered_by.clone(),
    }
}

fn told(answer: &Answer, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        print_json(answer)
    } else {
        print(answer_line(answer))
    }
    .map(|()| Exit::Fine)
}
