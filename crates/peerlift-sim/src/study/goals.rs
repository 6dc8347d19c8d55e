//! What each goal buys: completion time against edge bytes.

use std::time::Duration;

use peerlift_model::Rate;
use serde::Serialize;

use super::{Page, Study, fixed, plan, play, with_goal};
use crate::plan::Aim;
use crate::svg::{Chart, Series};

pub(super) const STUDY: Study = Study {
    name: "goals",
    question: "What does each goal cost the edge, and when is everybody done?",
    answer,
};

const SEEDS: [u64; 3] = [1, 2, 3];

#[derive(Serialize)]
struct Point {
    scenario: &'static str,
    goal: &'static str,
    copies: f64,
    last_by_limit: f64,
    median_by_limit: f64,
    slowest_by_twin: f64,
}

fn aims() -> [(&'static str, Aim); 8] {
    let floor = |mbit: u64| Aim::Floor(Rate::from_bytes_per_s(mbit * 125_000));
    let deadline = |seconds| Aim::Deadline(Duration::from_secs(seconds));
    [
        ("fastest", Aim::Fastest),
        ("in-order", Aim::InOrder),
        ("floor=16", floor(16)),
        ("floor=12", floor(12)),
        ("floor=8", floor(8)),
        ("deadline=50", deadline(50)),
        ("deadline=80", deadline(80)),
        ("thrifty", Aim::Thrifty),
    ]
}

fn answer(page: &mut Page) {
    page.say(
        "Means over the seeds 1 to 3. A copy is the size of the object; the limit is the fluid",
    );
    page.say("bound, headers not deducted, so that 1.05 is perfect. `peerlift sim run flash12`.");
    let mut points = Vec::new();
    for scenario in ["flash12", "trickle"] {
        page.say(format!("\n## {scenario}\n"));
        page.head(&[
            "goal",
            "copies from the edge",
            "last ÷ limit",
            "median ÷ limit",
            "slowest ÷ alone",
        ]);
        let start = points.len();
        let measured = crate::on_all_cores(&aims(), |(goal, aim)| measure(scenario, goal, *aim));
        for point in measured {
            let cells = [
                point.copies,
                point.last_by_limit,
                point.median_by_limit,
                point.slowest_by_twin,
            ];
            let mut row = vec![point.goal.to_owned()];
            row.extend(cells.map(fixed));
            page.row(&row);
            points.push(point);
        }
        page.plot(&format!("-{scenario}"), &chart(scenario, &points[start..]));
    }
    page.json(&points);
}

fn measure(scenario: &'static str, goal: &'static str, aim: Aim) -> Point {
    let mut point = Point {
        scenario,
        goal,
        copies: 0.0,
        last_by_limit: 0.0,
        median_by_limit: 0.0,
        slowest_by_twin: 0.0,
    };
    let part = 1.0 / SEEDS.len() as f64;
    for seed in SEEDS {
        let plan = with_goal(plan(scenario, seed), aim);
        let (outcome, summary) = play(&plan);
        let limit = summary.limit_s.unwrap_or(1.0);
        point.copies += part * outcome.edge_bytes as f64 / plan.objects[0] as f64;
        point.last_by_limit += part * summary.last_s / limit;
        point.median_by_limit += part * summary.own_s.p50 / limit;
        point.slowest_by_twin = point.slowest_by_twin.max(summary.twin.max);
    }
    point
}

fn chart(scenario: &str, points: &[Point]) -> Chart {
    let series = Series {
        name: "one goal each".to_owned(),
        points: points.iter().map(|p| (p.last_by_limit, p.copies)).collect(),
        joined: false,
        labels: points.iter().map(|p| p.goal.to_owned()).collect(),
    };
    Chart {
        title: format!("{scenario}: copies from the edge against completion"),
        x_label: "last completion ÷ fluid limit".to_owned(),
        y_label: "copies that left the edge".to_owned(),
        x_log: false,
        series: vec![series],
        marks: Vec::new(),
    }
}
