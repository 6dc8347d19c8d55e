//! What it brings, and what it costs, to introduce users to those who are near.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Page, Study, fixed, percent};
use crate::scenario::{Arrivals, Scenario};
use crate::summary::Quantiles;

pub(super) const STUDY: Study = Study {
    name: "locality",
    question: "How much stays within a network when peers are chosen by place, and who waits for it?",
    answer,
};

const SEED: u64 = 1;
const GOALS: [&str; 2] = ["fastest", "thrifty"];
/// Downloads, of which the swarm consists in the end.
const CROWDS: [u32; 3] = [500, 1_500, 5_000];
/// All come within so long; the edge has so much for each.
const WITHIN_S: f64 = 600.0;
const EDGE_MBIT_EACH: f64 = 0.1;

#[derive(Clone, Copy, Serialize)]
struct Point {
    goal: &'static str,
    downloads: u32,
    by_place: bool,
    /// The largest network's share of all users.
    largest: f64,
    /// What chance would leave within a network.
    chance: f64,
    near_share: f64,
    peer_share: f64,
    own_s: Quantiles,
    last_s: f64,
}

fn answer(page: &mut Page) {
    page.say("`peerlift sim run locality` with 500, 1,500 and 5,000 downloads of 16 MiB in ten minutes, on the");
    page.say("lines of `month`; four in ten share and stay. Four countries with 30 networks each, of sizes like");
    page.say("those of real ones: a few have most of the users (Zipf's law, exponent 1). Round trips are 20 ms");
    page.say("within a network, 40 ms within a country, 120 ms abroad. At random: the same with a control node");
    page.say("that does not know where anybody is. Chance is what would stay within a network if peers were");
    page.say("drawn evenly. The edge has 0.1 Mbit/s for each download, less than half of what they ask. Seed 1.\n");
    page.head(&[
        "goal",
        "downloads",
        "largest network has",
        "chance",
        "within a network, random",
        "by place",
        "from peers, random",
        "by place",
        "median, by place ÷ random",
        "p90",
        "last",
    ]);
    let asked: Vec<(&'static str, u32, bool)> = (GOALS.into_iter())
        .flat_map(|goal| CROWDS.map(|crowd| (goal, crowd)))
        .flat_map(|(goal, crowd)| [false, true].map(|place| (goal, crowd, place)))
        .collect();
    let points = crate::on_all_cores(&asked, |(goal, crowd, place)| measure(goal, *crowd, *place));
    for pair in points.chunks_exact(2) {
        let (random, near) = (pair[0], pair[1]);
        page.row(&[
            near.goal.to_owned(),
            near.downloads.to_string(),
            percent(near.largest),
            percent(near.chance),
            percent(random.near_share),
            percent(near.near_share),
            percent(random.peer_share),
            percent(near.peer_share),
            fixed(near.own_s.p50 / random.own_s.p50),
            fixed(near.own_s.p90 / random.own_s.p90),
            fixed(near.last_s / random.last_s),
        ]);
    }
    page.json(&points);
}

fn measure(goal: &'static str, downloads: u32, by_place: bool) -> Point {
    let base = crate::named("locality").expect("it is in the library");
    let mut scenario = Scenario {
        goal: goal.to_owned(),
        arrivals: Arrivals::Poisson {
            count: downloads,
            per_s: f64::from(downloads) / WITHIN_S,
        },
        ..base
    };
    scenario.edge.up_mbit = f64::from(downloads) * EDGE_MBIT_EACH;
    scenario.control.places = by_place;
    let plan = scenario.plan(SEED, None).expect("it is in bounds");
    let mut sizes = BTreeMap::<(u16, u16), f64>::new();
    for user in &plan.users {
        let share = 1.0 / plan.users.len() as f64;
        *sizes
            .entry((user.place.country, user.place.network))
            .or_default() += share;
    }
    let outcome = crate::run(&plan);
    Point {
        goal,
        downloads,
        by_place,
        largest: sizes.values().copied().fold(0.0, f64::max),
        chance: sizes.values().map(|share| share * share).sum(),
        near_share: outcome.near_share(),
        peer_share: outcome.peer_share(),
        own_s: Quantiles::of(outcome.finished().map(|record| record.own_s).collect()),
        last_s: outcome.last_s,
    }
}
