//! The region of few copies: one download and one to twenty seeds.

use std::time::Duration;

use serde::Serialize;

use super::{Page, Study, fixed, percent, plan, play, series, with_goal};
use crate::plan::{Aim, Nature, Visit};
use crate::svg::Chart;

pub(super) const STUDY: Study = Study {
    name: "few-copies",
    question: "What do one to twenty copies bring a single download?",
    answer,
};

const SEED: u64 = 1;
const DOWN_MBIT: f64 = 50.0;
const UP_MBIT: f64 = 5.0;

#[derive(Serialize)]
struct Point {
    copies: u32,
    possible: f64,
    efficiency: f64,
    by_twin: f64,
}

fn answer(page: &mut Page) {
    page.say("64 MiB over a line of 50 Mbit/s; each copy is a seed on an uplink of 5 Mbit/s. Goal thrifty,");
    page.say("seed 1. Possible is what the uplinks could give of the downlink.\n");
    page.head(&["copies", "possible", "peer efficiency", "time ÷ alone"]);
    let copies: Vec<u32> = (1..=20).collect();
    let points = crate::on_all_cores(&copies, |copies| measure(*copies));
    for point in &points {
        page.row(&[
            point.copies.to_string(),
            percent(point.possible),
            percent(point.efficiency),
            fixed(point.by_twin),
        ]);
    }
    let curve = |name: &str, of: &dyn Fn(&Point) -> f64| {
        let points = points
            .iter()
            .map(|point| (f64::from(point.copies), of(point)));
        series(name, points.collect())
    };
    let chart = Chart {
        title: "Peer efficiency with few copies".to_owned(),
        x_label: "copies".to_owned(),
        y_label: "peer efficiency".to_owned(),
        x_log: false,
        series: vec![
            curve("thrifty", &|point| point.efficiency),
            curve("possible", &|point| point.possible),
        ],
        marks: Vec::new(),
    };
    page.plot("", &chart);
    page.json(&points);
}

fn measure(copies: u32) -> Point {
    let mut plan = with_goal(plan("single", SEED), Aim::Thrifty);
    plan.edge.up_bytes_per_s = 1.25e8;
    for user in &mut plan.users {
        user.down_bytes_per_s = DOWN_MBIT * 125_000.0;
        user.up_bytes_per_s = UP_MBIT * 125_000.0;
    }
    let seed = Visit {
        seed: true,
        ..Visit::at(Duration::ZERO)
    };
    (0..copies).for_each(|_| plan.add(seed.clone(), Nature::Honest));
    let (_, summary) = play(&plan);
    Point {
        copies,
        possible: (f64::from(copies) * UP_MBIT / DOWN_MBIT).min(1.0),
        efficiency: summary.mean_efficiency,
        by_twin: summary.twin.max,
    }
}
