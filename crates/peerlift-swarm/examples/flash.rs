//! Prints how close simulated downloads come to the fluid limit, and what they cost the edge.
//!
//! `cargo run --release -p peerlift-swarm --example flash [SEED]`

use peerlift_swarm::Goal;

#[path = "../tests/sim/mod.rs"]
mod sim;

use sim::scenario::{Nature, Scenario};
use sim::world::World;

#[expect(clippy::print_stdout, reason = "printing is what this example is for")]
fn main() {
    let seed = std::env::args()
        .nth(1)
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    println!(
        "scenario     goal       last/limit  median/limit  edge copies  edge share  wasted  requests  announced"
    );
    for (goal, name) in [(Goal::Fastest, "fastest"), (Goal::Thrifty, "thrifty")] {
        let scenarios = [
            Scenario::flash12(goal, seed),
            Scenario::trickle(goal, seed),
            Scenario::leave(goal, seed),
            Scenario {
                name: "poison",
                ..Scenario::flash12(goal, seed).with(Nature::Liar)
            },
            Scenario {
                name: "stall",
                ..Scenario::flash12(goal, seed).with(Nature::Staller)
            },
            Scenario::single(goal, seed),
            Scenario::flash12(goal, seed).edge_only(),
        ];
        for scenario in scenarios {
            let limit = scenario.limit();
            let (size, title) = (scenario.size, scenario.name);
            let outcome = World::run(scenario);
            let mut own: Vec<f64> = outcome.own_s.iter().flatten().copied().collect();
            own.sort_by(f64::total_cmp);
            println!(
                "{title:<12} {name:<10} {:>10.3} {:>13.3} {:>12.2} {:>11.3} {:>6.2} % {:>9} {:>10}",
                outcome.last_s / limit,
                own[own.len() / 2] / limit,
                outcome.edge_bytes as f64 / size as f64,
                outcome.edge_share(),
                outcome.wasted_bytes as f64 * 100.0 / outcome.delivered_bytes as f64,
                outcome.requests,
                outcome.announcements,
            );
        }
    }
}
