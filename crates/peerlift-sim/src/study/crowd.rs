//! Flash crowds of growing size against the fluid limit.

use serde::Serialize;

use super::{Page, Study, fixed, play, series};
use crate::model::Model;
use crate::plan::Plan;
use crate::scenario::{Arrivals, Scenario, Size};
use crate::svg::Chart;

pub(super) const STUDY: Study = Study {
    name: "crowd",
    question: "How near does a flash crowd come to the fluid limit, from eight to ten thousand?",
    answer,
};

const SEED: u64 = 1;
const CROWDS: [u32; 6] = [8, 32, 128, 512, 2048, 10_000];
/// Larger crowds are played as a fluid only: ten thousand at once take the cores ten minutes a goal.
const GROUPS_MAX: u32 = 2048;

#[derive(Serialize)]
struct Point {
    goal: &'static str,
    clients: u32,
    limit_s: f64,
    groups: Option<Figures>,
    flow: Figures,
}

#[derive(Serialize)]
struct Figures {
    last_by_limit: f64,
    median_by_limit: f64,
    copies: f64,
    slower: usize,
}

impl Figures {
    /// A cell a figure; dashes of nothing.
    fn cells(figures: Option<&Self>) -> [String; 4] {
        let Some(figures) = figures else {
            return ["–"; 4].map(str::to_owned);
        };
        [
            fixed(figures.last_by_limit),
            fixed(figures.median_by_limit),
            format!("{:.1}", figures.copies),
            figures.slower.to_string(),
        ]
    }
}

fn answer(page: &mut Page) {
    page.say(
        "An object of 10 MiB, lines of 50/20 Mbit/s, an edge of 1 Gbit/s, everybody shares; all",
    );
    page.say(
        "come within 2 s. Seed 1. Both models of the simulator: group by group with the production",
    );
    page.say(
        "cores, and as a fluid. Slower are those that take more than 1.02 of their time alone.\n",
    );
    page.head(&[
        "goal",
        "clients",
        "limit, s",
        "last ÷ limit",
        "median ÷ limit",
        "copies",
        "slower",
        "fluid: last ÷ limit",
        "median ÷ limit",
        "copies",
        "slower",
    ]);
    let mut points: Vec<Point> = Vec::new();
    for goal in ["fastest", "thrifty"] {
        for clients in CROWDS {
            let point = measure(goal, clients);
            let mut row = vec![
                goal.to_owned(),
                clients.to_string(),
                format!("{:.1}", point.limit_s),
            ];
            row.extend(Figures::cells(point.groups.as_ref()));
            row.extend(Figures::cells(Some(&point.flow)));
            page.row(&row);
            points.push(point);
        }
    }
    let of = |goal: &str| {
        let points = points.iter().filter(|point| point.goal == goal);
        let last = |point: &Point| point.groups.as_ref().map(|groups| groups.last_by_limit);
        let points = points.filter_map(|point| Some((f64::from(point.clients), last(point)?)));
        series(goal, points.collect())
    };
    let chart = Chart {
        title: "Flash crowds against the fluid limit".to_owned(),
        x_label: "clients".to_owned(),
        y_label: "last completion ÷ fluid limit".to_owned(),
        x_log: true,
        series: vec![of("fastest"), of("thrifty")],
        marks: vec![("the limit".to_owned(), 1.0)],
    };
    page.plot("", &chart);
    page.json(&points);
}

fn measure(goal: &'static str, clients: u32) -> Point {
    let plan = crowd(goal, clients);
    let limit = crate::limit::of_plan(&plan);
    let figures = |model: Model| {
        let plan = Plan {
            model,
            ..plan.clone()
        };
        let (outcome, summary) = play(&plan);
        Figures {
            last_by_limit: summary.last_s / limit,
            median_by_limit: summary.own_s.p50 / limit,
            copies: outcome.edge_bytes as f64 / plan.objects[0] as f64,
            slower: summary.slower,
        }
    };
    Point {
        goal,
        clients,
        limit_s: limit,
        groups: (clients <= GROUPS_MAX).then(|| figures(Model::Groups)),
        flow: figures(Model::Flow),
    }
}

fn crowd(goal: &str, clients: u32) -> Plan {
    let base = crate::named("flash10k").expect("it is in the library");
    let mut scenario = Scenario {
        name: format!("crowd-{clients}"),
        goal: goal.to_owned(),
        arrivals: Arrivals::Flash {
            count: clients,
            within_s: 2.0,
        },
        ..base
    };
    scenario.objects.size = Size::Fixed { mib: 10.0 };
    scenario.plan(SEED, None).expect("it is in bounds")
}
