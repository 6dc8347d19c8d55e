//! A NetSession-like month: how much peers deliver, by copies and by peers returned, and whether
//! anybody pays for it with time.

use serde::Serialize;

use super::{Page, Study, fixed, percent, plan, play, series};
use crate::outcome::{Outcome, Record};
use crate::summary::Summary;
use crate::svg::{Chart, Series};

pub(super) const SMALL: Study = Study {
    name: "month",
    question: "How much do peers deliver in a NetSession-like month, and is anybody slower?",
    answer: |page| {
        page.say("4,000 downloads in 30 days of forty files of 16 MiB in the median: on most lines they take a few seconds.");
        answer(page, "month");
    },
};
pub(super) const LARGE: Study = Study {
    name: "month-large",
    question: "And when the files are larger, and there are more copies of each?",
    answer: |page| {
        page.say("4,000 downloads in 30 days of ten files of 150 MiB in the median.");
        answer(page, "month-large");
    },
};
pub(super) const GAMES: Study = Study {
    name: "month-games",
    question: "And when they are as large as games, and many want each?",
    answer: |page| {
        page.say("4,000 downloads in 30 days of four files of a gibibyte in the median; who waits does so for an hour");
        page.say("on average, not for ten minutes. Lines carry 64 KiB at a time here, so that it takes minutes to play.");
        answer(page, "month-games");
    },
};

const SEED: u64 = 1;
/// NetSession's mean peer efficiency, and where its plateau is (Zhao et al., IMC 2013).
const NETSESSION_MEAN: f64 = 0.714;
const NETSESSION_PLATEAU: f64 = 0.80;
/// Upper ends of the classes of copies and peers.
const CLASSES: [u32; 12] = [0, 1, 2, 4, 7, 10, 15, 20, 25, 30, 40, u32::MAX];

#[derive(Serialize)]
struct Figures {
    summary: Summary,
    by_copies: Vec<Class>,
    by_returned: Vec<Class>,
}

#[derive(Clone, Copy, Serialize)]
struct Class {
    up_to: u32,
    downloads: usize,
    mean: f64,
    efficiency: f64,
}

fn answer(page: &mut Page, name: &str) {
    let plan = plan(name, SEED);
    let (outcome, summary) = play(&plan);
    page.say("30 % of the users upload. NetSession, from its papers: mean peer efficiency 71.4 %, a plateau near");
    page.say("80 % from 25-30 peers returned. What peers could have brought is the fluid bound of who was there:");
    page.say("see [simulation](../simulation.md).\n");
    page.say(format!(
        "`peerlift sim run {name} --seed {SEED}`:\n\n```text\n{summary}```"
    ));
    let by_copies = classes(&outcome, |record| record.copies);
    let by_returned = classes(&outcome, |record| record.returned);
    for (title, suffix, classes) in [
        (
            "copies in the swarm at the first question",
            "-copies",
            &by_copies,
        ),
        (
            "peers returned to the first question",
            "-returned",
            &by_returned,
        ),
    ] {
        page.say(format!("\n## By {title}\n"));
        page.head(&["up to", "downloads", "mean", "peer efficiency"]);
        for class in classes {
            let up_to = if class.up_to == u32::MAX {
                "more".into()
            } else {
                class.up_to.to_string()
            };
            let cells = [class.downloads.to_string(), format!("{:.1}", class.mean)];
            let [downloads, mean] = cells;
            page.row(&[up_to, downloads, mean, percent(class.efficiency)]);
        }
        page.plot(suffix, &chart(title, classes));
    }
    page.say(plateau(&by_returned));
    twin(page, &summary);
    page.json(&Figures {
        summary,
        by_copies,
        by_returned,
    });
}

/// Where the curve of efficiency by peers returned is level, and where it passes `NetSession`'s plateau.
fn plateau(by_returned: &[Class]) -> String {
    let level = by_returned.last().map_or(0.0, |class| class.efficiency);
    let passes = (by_returned.iter()).find(|class| class.efficiency >= NETSESSION_PLATEAU);
    let passes = match passes {
        Some(class) => format!("passes it at {:.0} peers returned", class.mean),
        None => "does not pass it".to_owned(),
    };
    format!(
        "\nNetSession's plateau is {} at 25-30 peers returned; this {passes}, and is at {} with the most.",
        percent(NETSESSION_PLATEAU),
        percent(level)
    )
}

fn twin(page: &mut Page, summary: &Summary) {
    let q = &summary.twin;
    page.say("\n## Time with peers by time alone\n");
    page.head(&["p1", "p10", "p50", "p90", "p99", "max", "slower than 1.02"]);
    let mut cells: Vec<String> = [q.p1, q.p10, q.p50, q.p90, q.p99, q.max].map(fixed).into();
    cells.push(summary.slower.to_string());
    page.row(&cells);
}

/// Finished downloads by a number, in classes that are not empty.
fn classes(outcome: &Outcome, number: impl Fn(&Record) -> u32) -> Vec<Class> {
    let mut from = 0;
    let mut classes = Vec::new();
    for up_to in CLASSES {
        let inside = |record: &&Record| (from..=up_to).contains(&number(record));
        let all: Vec<&Record> = outcome.finished().filter(inside).collect();
        from = up_to.saturating_add(1);
        if all.is_empty() {
            continue;
        }
        let mean = |of: &dyn Fn(&Record) -> f64| {
            all.iter().map(|record| of(record)).sum::<f64>() / all.len() as f64
        };
        classes.push(Class {
            up_to,
            downloads: all.len(),
            mean: mean(&|record| f64::from(number(record))),
            efficiency: mean(&Record::efficiency),
        });
    }
    classes
}

fn chart(title: &str, classes: &[Class]) -> Chart {
    let points = classes.iter().map(|class| (class.mean, class.efficiency));
    let points: Series = series("Peerlift, thrifty", points.collect());
    Chart {
        title: format!("Peer efficiency by {title}"),
        x_label: title.to_owned(),
        y_label: "mean peer efficiency".to_owned(),
        x_log: false,
        series: vec![points],
        marks: vec![
            ("NetSession's mean".to_owned(), NETSESSION_MEAN),
            ("NetSession's plateau".to_owned(), NETSESSION_PLATEAU),
        ],
    }
}
