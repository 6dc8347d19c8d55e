//! Draws a plan from a scenario and a seed.

use std::time::Duration;

use super::{Aim, Control, Distances, Edge, Nat, Nature, Place, Plan, User, Visit};
use crate::dice::{Dice, Zipf};
use crate::scenario::{Arrivals, Line, Scenario, Size, Stay};
use crate::trace::{Entry, Trace};

/// The purposes of the streams: each aspect has its own, so that a change of one (more uploaders,
/// other lines) leaves the others as they were.
mod purpose {
    pub(super) const OBJECTS: u64 = 1;
    pub(super) const ARRIVALS: u64 = 2;
    pub(super) const LINES: u64 = 3;
    pub(super) const SHARING: u64 = 4;
    pub(super) const PLACES: u64 = 5;
    pub(super) const NATS: u64 = 6;
    pub(super) const ENDINGS: u64 = 7;
    pub(super) const CHOICES: u64 = 8;
}

/// The plan of a scenario that was found to be in bounds.
pub(crate) fn draw(scenario: &Scenario, goal: Aim, seed: u64, trace: Option<&Trace>) -> Plan {
    let objects = match trace {
        Some(trace) => trace.objects.clone(),
        None => sizes(scenario, seed),
    };
    let mut visits = match trace {
        Some(trace) => traced(scenario, trace, seed),
        None => processed(scenario, objects.len(), seed),
    };
    let named = visits.iter().map(|visit| visit.user + 1).max();
    let mut users = users(scenario, named.unwrap_or_default() as usize, seed);
    if let Some(trace) = trace {
        trace
            .entries
            .iter()
            .for_each(|entry| told(entry, &mut users[entry.user as usize]));
    }
    let standing = standing(scenario, objects.len(), &mut users);
    visits.splice(..0, standing);
    Plan {
        name: scenario.name.clone(),
        seed,
        objects,
        users,
        visits,
        goal,
        edge: edge(scenario),
        control: control(scenario),
        distances: distances(scenario),
        model: scenario.model,
        chunk_groups: scenario.chunk_groups,
        patience: seconds(scenario.patience_s),
        peers: true,
    }
}

fn sizes(scenario: &Scenario, seed: u64) -> Vec<u64> {
    let mut dice = Dice::new(seed, purpose::OBJECTS);
    let mib = |dice: &mut Dice| match scenario.objects.size {
        Size::Fixed { mib } => mib,
        Size::LogNormal {
            median_mib,
            sigma,
            min_mib,
            max_mib,
        } => dice.log_normal(median_mib, sigma).clamp(min_mib, max_mib),
    };
    let bytes = |mib: f64| rounded(mib * 1_048_576.0).max(1);
    (0..scenario.objects.count)
        .map(|_| bytes(mib(&mut dice)))
        .collect()
}

fn processed(scenario: &Scenario, objects: usize, seed: u64) -> Vec<Visit> {
    let mut dice = Dice::new(seed, purpose::CHOICES);
    let zipf = Zipf::new(objects, scenario.objects.popularity_zipf);
    let mut endings = Dice::new(seed, purpose::ENDINGS);
    let crowd = scenario.users.count;
    let times = arrivals(&scenario.arrivals, seed);
    let visit = |(at, time): (usize, f64)| Visit {
        user: match crowd {
            0 => number(at),
            crowd => number(dice.below(crowd as usize)),
        },
        object: number(zipf.draw(&mut dice)),
        ..end(&scenario.stay, time, &mut endings)
    };
    times.into_iter().enumerate().map(visit).collect()
}

fn traced(scenario: &Scenario, trace: &Trace, seed: u64) -> Vec<Visit> {
    let mut endings = Dice::new(seed, purpose::ENDINGS);
    let visit = |entry: &Entry| {
        let visit = Visit {
            user: entry.user,
            object: entry.object,
            ..end(&scenario.stay, entry.at_s, &mut endings)
        };
        let killed_after = entry.killed_after_s.map(seconds).or(visit.killed_after);
        let stays = entry.leaves_after_s.map(seconds).or(visit.stays);
        Visit {
            killed_after,
            stays,
            ..visit
        }
    };
    trace.entries.iter().map(visit).collect()
}

fn arrivals(arrivals: &Arrivals, seed: u64) -> Vec<f64> {
    let mut dice = Dice::new(seed, purpose::ARRIVALS);
    let count = arrivals.count() as usize;
    let mut times: Vec<f64> = match *arrivals {
        Arrivals::Flash { within_s, .. } => {
            let times = (0..count).map(|_| dice.between(0.0, within_s));
            let mut times: Vec<f64> = times.collect();
            times.sort_by(f64::total_cmp);
            times
        }
        Arrivals::Steady { every_s, .. } => (0..count).map(|at| at as f64 * every_s).collect(),
        Arrivals::Poisson { per_s, .. } => {
            let mut now = 0.0;
            let next = || {
                now += dice.exponential(1.0 / per_s);
                Some(now)
            };
            std::iter::from_fn(next).take(count).collect()
        }
        Arrivals::Diurnal {
            per_s,
            swing,
            day_s,
            ..
        } => diurnal(&mut dice, count, per_s, swing, day_s),
    };
    let first = times.first().copied().unwrap_or_default();
    times.iter_mut().for_each(|time| *time -= first);
    times
}

/// Lewis and Shedler's thinning (1979) of a process at the highest rate.
fn diurnal(dice: &mut Dice, count: usize, per_s: f64, swing: f64, day_s: f64) -> Vec<f64> {
    let (mut times, mut now) = (Vec::with_capacity(count), 0.0);
    while times.len() < count {
        now += dice.exponential(1.0 / (per_s * (1.0 + swing)));
        let phase = std::f64::consts::TAU * (now / day_s - 0.25);
        if dice.chance((1.0 + swing * phase.sin()) / (1.0 + swing)) {
            times.push(now);
        }
    }
    times
}

/// A visit that begins at `time` and ends as the dice say. Always the same number of throws.
fn end(stay: &Stay, time: f64, dice: &mut Dice) -> Visit {
    let (killed, middle) = (dice.chance(stay.killed), dice.between(0.3, 0.7));
    let patience = dice.exponential(stay.patience_mean_s);
    let leaving = dice.unit();
    let killed_after = if killed {
        Some(seconds(middle * stay.killed_of_s))
    } else {
        (stay.patience_mean_s > 0.0).then(|| seconds(patience))
    };
    let stays = if stay.mean_s > 0.0 {
        Some(seconds(-stay.mean_s * (1.0 - leaving).ln()))
    } else {
        (stay.within_s > 0.0).then(|| seconds(leaving * stay.within_s))
    };
    Visit {
        killed_after,
        stays,
        ..Visit::at(seconds(time))
    }
}

fn users(scenario: &Scenario, named: usize, seed: u64) -> Vec<User> {
    let mut lines = Dice::new(seed, purpose::LINES);
    let mut sharing = Dice::new(seed, purpose::SHARING);
    let mut places = Dice::new(seed, purpose::PLACES);
    let mut nats = Dice::new(seed, purpose::NATS);
    let (networks, zipf) = (
        usize::from(scenario.users.networks),
        scenario.users.networks_zipf,
    );
    let sizes = (zipf > 0.0).then(|| Zipf::new(networks, zipf));
    let network = |places: &mut Dice| match &sizes {
        Some(sizes) => sizes.draw(places),
        None => places.below(networks),
    };
    let weights: Vec<f64> = scenario.lines.iter().map(|line| line.share).collect();
    let count = named.max(scenario.users.count as usize);
    let user = |_| User {
        shares: sharing.chance(scenario.users.uploaders),
        nat: nat(scenario, &mut nats),
        place: Place {
            country: small(places.below(usize::from(scenario.users.countries))),
            network: small(network(&mut places)),
        },
        ..on_line(scenario, &scenario.lines[lines.weighted(&weights)])
    };
    (0..count).map(user).collect()
}

fn on_line(scenario: &Scenario, line: &Line) -> User {
    let ratio = scenario.users.upload_ratio;
    User {
        down_bytes_per_s: per_s(line.down_mbit),
        up_bytes_per_s: per_s(line.up_mbit),
        loss: line.loss,
        shares: true,
        ratio_max: (ratio > 0.0).then_some(ratio),
        nat: Nat::Open,
        place: Place::default(),
        nature: Nature::Honest,
    }
}

fn nat(scenario: &Scenario, dice: &mut Dice) -> Nat {
    let nats = &scenario.nats;
    let weights = [
        nats.open,
        nats.port_restricted,
        nats.symmetric,
        nats.blocked,
    ];
    match dice.weighted(&weights) {
        0 => Nat::Open,
        1 => Nat::PortRestricted,
        2 => Nat::Symmetric,
        _ => Nat::Blocked,
    }
}

fn told(entry: &Entry, user: &mut User) {
    if let Some(mbit) = entry.down_mbit {
        user.down_bytes_per_s = per_s(mbit);
    }
    if let Some(mbit) = entry.up_mbit {
        user.up_bytes_per_s = per_s(mbit);
    }
    if let Some(shares) = entry.shares {
        user.shares = shares;
    }
}

/// Seeds and liars: there from the start, on lines of the first class, with every object.
fn standing(scenario: &Scenario, objects: usize, users: &mut Vec<User>) -> Vec<Visit> {
    let liars = &scenario.liars;
    let kinds = [
        (scenario.users.seeds, Nature::Honest),
        (liars.corrupt, Nature::Liar),
        (liars.late, Nature::LateLiar),
        (liars.last, Nature::LastLiar),
        (liars.stall, Nature::Staller),
        (liars.drip, Nature::Dripper),
    ];
    let mut visits = Vec::new();
    for (count, nature) in kinds {
        for _ in 0..count {
            let user = number(users.len());
            users.push(User {
                nature,
                ..on_line(scenario, &scenario.lines[0])
            });
            visits.extend((0..objects).map(|object| Visit {
                user,
                object: number(object),
                seed: true,
                ..Visit::at(Duration::ZERO)
            }));
        }
    }
    visits
}

fn edge(scenario: &Scenario) -> Edge {
    let edge = &scenario.edge;
    Edge {
        up_bytes_per_s: per_s(edge.up_mbit),
        lanes: edge.lanes,
        connect_rtts: edge.connect_rtts,
        dies_at: (edge.dies_at_s > 0.0).then(|| seconds(edge.dies_at_s)),
        price_per_gib: edge.price_per_gib,
    }
}

fn control(scenario: &Scenario) -> Control {
    let control = &scenario.control;
    let outages = control.outages_s.iter();
    Control {
        login: seconds(control.login_ms / 1000.0),
        peers_max: control.peers_max,
        places: control.places,
        outages: outages
            .map(|(from, to)| (seconds(*from), seconds(*to)))
            .collect(),
    }
}

fn distances(scenario: &Scenario) -> Distances {
    let far = &scenario.distances;
    Distances {
        same_network: seconds(far.same_network_ms / 1000.0),
        same_country: seconds(far.same_country_ms / 1000.0),
        abroad: seconds(far.abroad_ms / 1000.0),
        edge: seconds(far.edge_ms / 1000.0),
    }
}

fn per_s(mbit: f64) -> f64 {
    mbit * 1e6 / 8.0
}

/// A time; more than a century is a century.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 4e9))
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("the scenario was found to be in bounds")
}

fn small(index: usize) -> u16 {
    u16::try_from(index).expect("the scenario was found to be in bounds")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are positive and below 2^40"
)]
fn rounded(bytes: f64) -> u64 {
    bytes as u64
}
