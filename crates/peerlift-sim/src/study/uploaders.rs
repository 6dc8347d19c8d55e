//! How much depends on how many upload.

use serde::Serialize;

use super::{Page, Study, fixed, percent, play, series};
use crate::scenario::{Arrivals, Scenario, Size};
use crate::summary::Summary;
use crate::svg::Chart;

pub(super) const STUDY: Study = Study {
    name: "uploaders",
    question: "How much do peers deliver when few or many of the users upload?",
    answer,
};

const SEED: u64 = 1;
const SHARES: [f64; 9] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];

#[derive(Serialize)]
struct Point {
    uploaders: f64,
    summary: Summary,
}

fn answer(page: &mut Page) {
    page.say(
        "200 downloads of one object of 64 MiB, one every 5 s on average, on the lines of `month`;",
    );
    page.say("users stay for an hour on average. Goal thrifty, seed 1.\n");
    page.head(&[
        "uploaders",
        "from peers",
        "peer efficiency",
        "edge share",
        "slowest ÷ alone",
        "slower",
    ]);
    let points = crate::on_all_cores(&SHARES, |share| measure(*share));
    for point in &points {
        let summary = &point.summary;
        page.row(&[
            percent(point.uploaders),
            percent(summary.peer_share),
            percent(summary.mean_efficiency),
            percent(summary.edge_share),
            fixed(summary.twin.max),
            summary.slower.to_string(),
        ]);
    }
    let curve = points
        .iter()
        .map(|p| (p.uploaders * 100.0, p.summary.peer_share));
    let chart = Chart {
        title: "Bytes from peers by the share of users who upload".to_owned(),
        x_label: "users who upload, %".to_owned(),
        y_label: "share of bytes from peers".to_owned(),
        x_log: false,
        series: vec![series("thrifty", curve.collect())],
        marks: Vec::new(),
    };
    page.plot("", &chart);
    page.json(&points);
}

fn measure(uploaders: f64) -> Point {
    let base = crate::named("month").expect("it is in the library");
    let mut scenario = Scenario {
        name: "uploaders".to_owned(),
        arrivals: Arrivals::Poisson {
            count: 200,
            per_s: 0.2,
        },
        ..base
    };
    scenario.objects.count = 1;
    scenario.objects.size = Size::Fixed { mib: 64.0 };
    scenario.users.count = 0;
    scenario.users.uploaders = uploaders;
    scenario.stay.mean_s = 3600.0;
    scenario.stay.patience_mean_s = 0.0;
    let plan = scenario.plan(SEED, None).expect("it is in bounds");
    let (_, summary) = play(&plan);
    Point { uploaders, summary }
}
