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

#[derive(Serialize)]
struct Point {
    goal: &'static str,
    clients: u32,
    limit_s: f64,
    last_by_limit: f64,
    median_by_limit: f64,
    copies: f64,
    slower: usize,
    fluid_last_by_limit: f64,
    fluid_copies: f64,
}

fn answer(page: &mut Page) {
    page.say(
        "An object of 10 MiB, lines of 50/20 Mbit/s, an edge of 1 Gbit/s, everybody shares; all",
    );
    page.say("come within 2 s. Seed 1. As a fluid: the same with the flow-level model.\n");
    page.head(&[
        "goal",
        "clients",
        "limit, s",
        "last ÷ limit",
        "median ÷ limit",
        "copies",
        "slower than alone",
        "last ÷ limit, as a fluid",
        "copies, as a fluid",
    ]);
    let mut points: Vec<Point> = Vec::new();
    for goal in ["fastest", "thrifty"] {
        for clients in CROWDS {
            let point = measure(goal, clients);
            page.row(&[
                goal.to_owned(),
                clients.to_string(),
                format!("{:.1}", point.limit_s),
                fixed(point.last_by_limit),
                fixed(point.median_by_limit),
                format!("{:.1}", point.copies),
                point.slower.to_string(),
                fixed(point.fluid_last_by_limit),
                format!("{:.1}", point.fluid_copies),
            ]);
            points.push(point);
        }
    }
    let of = |goal: &str| {
        let points = points.iter().filter(|point| point.goal == goal);
        let points = points.map(|point| (f64::from(point.clients), point.last_by_limit));
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
    let (outcome, summary) = play(&plan);
    let limit = summary.limit_s.unwrap_or(1.0);
    let fluid = crate::run(&Plan {
        model: Model::Flow,
        ..plan.clone()
    });
    Point {
        goal,
        clients,
        limit_s: limit,
        last_by_limit: summary.last_s / limit,
        median_by_limit: summary.own_s.p50 / limit,
        copies: outcome.edge_bytes as f64 / plan.objects[0] as f64,
        slower: summary.slower,
        fluid_last_by_limit: fluid.last_s / limit,
        fluid_copies: fluid.edge_bytes as f64 / plan.objects[0] as f64,
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
