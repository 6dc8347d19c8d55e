//! `peerlift explain`: which part of a file came from whom, and why it was asked there.

use std::fmt::Write as _;
use std::path::Path;

use peerlift_client::{Part, SourceKind, Why};
use peerlift_daemon::explanations::{Explanation, Explanations};

use super::User;
use crate::args::ExplainArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};
use crate::units::{Bytes, Percent};

/// Ranges that are shown of one part, unless all are wanted.
const RANGES_SHOWN: usize = 6;

/// Explains one download, or lists those that can be explained.
pub(crate) fn run(args: &ExplainArgs, user: &User) -> Result<Exit, Failure> {
    let all = Explanations::of(&user.home).all().map_err(|error| {
        Failure::caused(Exit::Storage, "cannot read what was noted", &error)
            .hint("check the folder's permissions")
    })?;
    let Some(wanted) = &args.download else {
        return list(&all, args.json);
    };
    let Some(found) = find(&all, wanted, user)? else {
        let name = printable(&wanted.display().to_string());
        return Err(
            Failure::new(Exit::Usage, format!("nothing is known about {name}"))
                .hint("`peerlift explain` lists what is; only the last downloads are remembered"),
        );
    };
    if args.json {
        print_json(found)
    } else {
        print(text(found, args.all))
    }
    .map(|()| Exit::Fine)
}

/// By path, by name, or by the number that `status` shows. The latest counts.
fn find<'a>(
    all: &'a [Explanation],
    wanted: &Path,
    user: &User,
) -> Result<Option<&'a Explanation>, Failure> {
    let absolute = std::path::absolute(wanted).unwrap_or_else(|_| wanted.to_owned());
    let called = |name: &Path| all.iter().rev().find(|known| known.is_called(name));
    if let Some(found) = called(&absolute).or_else(|| called(wanted)) {
        return Ok(Some(found));
    }
    let Some(number) = wanted.to_str().and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(None);
    };
    let downloads = user.ask("GET", "/v1/downloads", None)?.unwrap_or_default();
    let items = downloads.as_array().map_or(&[][..], Vec::as_slice);
    let path = items
        .iter()
        .find(|item| item["id"] == number)
        .and_then(|item| item["path"].as_str().or(item["name"].as_str()));
    Ok(path.and_then(|path| called(Path::new(path))))
}

fn list(all: &[Explanation], as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        return print_json(&all).map(|()| Exit::Fine);
    }
    if all.is_empty() {
        return print("Nothing was downloaded for this account yet.\n").map(|()| Exit::Fine);
    }
    let mut text = String::new();
    for known in all {
        let path = known.path.as_ref().map(|path| path.display().to_string());
        let name = printable(&path.unwrap_or_else(|| known.name.clone()));
        let _ = writeln!(text, "{}  {name}, {}", known.at, Bytes(known.bytes()));
    }
    text.push_str("`peerlift explain NAME` says where one of them came from.\n");
    print(text).map(|()| Exit::Fine)
}

fn text(known: &Explanation, all_ranges: bool) -> String {
    let whole = known.bytes();
    let mut text = format!(
        "{}, {} of {}, from {}\n",
        printable(&known.name),
        Bytes(whole),
        known.size.map_or_else(
            || "an unknown size".to_owned(),
            |size| Bytes(size).to_string()
        ),
        printable(&known.url),
    );
    for part in &known.provenance.parts {
        let _ = writeln!(
            text,
            "\n{} ({}) {}\n  {}",
            Bytes(part.bytes),
            Percent {
                part: part.bytes,
                whole
            },
            source(part),
            why(part.why),
        );
        text.push_str(&ranges(part, all_ranges));
    }
    text
}

fn source(part: &Part) -> String {
    let name = printable(&part.source);
    match part.kind {
        SourceKind::Edge => format!("from the server {name}"),
        SourceKind::Peer => format!("from another downloader (key {name}…)"),
        SourceKind::RelayedPeer => {
            format!("from another downloader (key {name}…), through the publisher's relay")
        }
        SourceKind::EarlierRun => "were here before".to_owned(),
        _ => format!("from {name}"),
    }
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Alone => "because nobody else was there to ask",
        Why::Injected => "because no other downloader had it: it came into the swarm this way",
        Why::Filled => "because the downloaders that had it were not fast enough alone",
        Why::InOrder => "because it was needed soon, in order",
        Why::Peer => "because it was there, and nothing had to be paid for it",
        Why::OnParole => "as a test, after this downloader had misbehaved",
        Why::Rescued => "because whoever was asked first was slow to bring it",
        Why::EarlierRun => "an earlier run had left it",
        _ => "for a reason that only a later version knows",
    }
}

fn ranges(part: &Part, all: bool) -> String {
    let shown = if all { usize::MAX } else { RANGES_SHOWN };
    let mut words: Vec<String> = part
        .ranges
        .iter()
        .take(shown)
        .map(|(start, end)| format!("{start}–{}", end - 1))
        .collect();
    let more = part.more_ranges + part.ranges.len().saturating_sub(shown) as u64;
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    format!("  bytes {}\n", words.join(", "))
}
