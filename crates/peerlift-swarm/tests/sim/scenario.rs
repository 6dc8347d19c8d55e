//! What happens to a simulated download: who comes when, with which link, and what goes wrong.

use std::time::Duration;

use peerlift_swarm::Goal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

/// One simulated download of one object by some clients.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) edge_up_mbit: f64,
    pub(crate) down_mbit: f64,
    pub(crate) up_mbit: f64,
    pub(crate) rtt_edge: Duration,
    pub(crate) rtt_peer: Duration,
    pub(crate) goal: Goal,
    pub(crate) seed: u64,
    pub(crate) lanes: u8,
    /// Between arrival and the first connections to peers: control plane and handshakes.
    pub(crate) meet: Duration,
    pub(crate) edge_dies_at: Option<f64>,
    pub(crate) clients: Vec<Client>,
}

/// One client of a scenario. Times in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) arrives: f64,
    /// Dies without a word; others notice much later.
    pub(crate) killed: Option<f64>,
    /// Leaves politely so long after it has finished.
    pub(crate) stays: Option<f64>,
    pub(crate) shares: bool,
    /// Has everything from the start.
    pub(crate) seed: bool,
    pub(crate) nature: Nature,
}

/// What kind of client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Runs the core.
    Honest,
    /// Claims everything, delivers bytes that do not verify.
    Liar,
    /// Delivers correctly at first, then bytes that do not verify.
    LateLiar,
    /// Claims everything, accepts requests, sends nothing.
    Staller,
    /// Claims everything, delivers a kilobyte a second.
    Dripper,
}

impl Scenario {
    /// 12 clients within 2 s, 64 MiB, edge 50 Mbit/s, clients 25/10.
    pub(crate) fn flash12(goal: Goal, seed: u64) -> Self {
        let mut rng = Pcg32::seed_from_u64(seed);
        let mut arrivals: Vec<f64> = (0..12).map(|_| rng.random_range(0.0..2.0)).collect();
        arrivals.sort_by(f64::total_cmp);
        let first = arrivals[0];
        Self {
            name: "flash12",
            size: 64 << 20,
            edge_up_mbit: 50.0,
            down_mbit: 25.0,
            up_mbit: 10.0,
            rtt_edge: Duration::from_millis(20),
            rtt_peer: Duration::from_millis(50),
            goal,
            seed,
            lanes: 4,
            meet: Duration::from_millis(500),
            edge_dies_at: None,
            clients: arrivals
                .into_iter()
                .map(|at| Client::honest(at - first))
                .collect(),
        }
    }

    /// One client every 3 s; they stay as seeds.
    pub(crate) fn trickle(goal: Goal, seed: u64) -> Self {
        Self {
            name: "trickle",
            clients: (0..12)
                .map(|n| Client::honest(3.0 * f64::from(n)))
                .collect(),
            ..Self::flash12(goal, seed)
        }
    }

    /// Clients leave 0-5 s after they finish; a quarter is killed mid-way.
    pub(crate) fn leave(goal: Goal, seed: u64) -> Self {
        let mut scenario = Self {
            name: "leave",
            ..Self::flash12(goal, seed)
        };
        let mut rng = Pcg32::seed_from_u64(seed ^ 0x1eaf);
        let limit = scenario.limit();
        for (n, client) in scenario.clients.iter_mut().enumerate() {
            client.stays = Some(rng.random_range(0.0..5.0));
            if n % 4 == 1 {
                client.killed = Some(client.arrives + rng.random_range(0.3..0.7) * limit);
            }
        }
        scenario
    }

    /// Nobody uploads: everybody is his own edge-only twin.
    pub(crate) fn edge_only(mut self) -> Self {
        self.clients
            .iter_mut()
            .for_each(|client| client.shares = false);
        Self {
            name: "edge only",
            ..self
        }
    }

    /// One more client of that nature, there from the start.
    pub(crate) fn with(mut self, nature: Nature) -> Self {
        self.clients.push(Client {
            nature,
            ..Client::honest(0.0)
        });
        self
    }

    /// So many seeds, there from the start.
    pub(crate) fn with_seeds(mut self, seeds: usize) -> Self {
        let seed = Client {
            seed: true,
            ..Client::honest(0.0)
        };
        self.clients.extend(std::iter::repeat_n(seed, seeds));
        self
    }

    /// One client, nobody else.
    pub(crate) fn single(goal: Goal, seed: u64) -> Self {
        let mut scenario = Self {
            name: "single",
            ..Self::flash12(goal, seed)
        };
        scenario.clients.truncate(1);
        scenario
    }

    /// The fluid lower bound of the last completion, in seconds.
    pub(crate) fn limit(&self) -> f64 {
        let clients: Vec<(f64, Option<f64>)> = (self.clients.iter())
            .filter(|client| client.nature == Nature::Honest)
            .map(|client| (client.arrives, client.killed))
            .collect();
        let per_s = |mbit: f64| mbit * 1e6 / 8.0;
        let access = (per_s(self.down_mbit), per_s(self.up_mbit));
        super::limit::last_completion(self.size as f64, per_s(self.edge_up_mbit), access, &clients)
    }
}

impl Client {
    /// Comes, downloads, shares, and stays.
    pub(crate) fn honest(arrives: f64) -> Self {
        Self {
            arrives,
            killed: None,
            stays: None,
            shares: true,
            seed: false,
            nature: Nature::Honest,
        }
    }
}
