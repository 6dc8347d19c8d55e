//! The tables of a scenario file.

use serde::{Deserialize, Serialize};

/// The objects: how many, how large, how popular.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// How many there are. Default 1.
    pub count: u32,
    /// How large they are. Default 64 MiB each.
    pub size: Size,
    /// The exponent of Zipf's law by which downloads choose among them; 0, the default, chooses
    /// evenly. Video and software catalogues have 0.6 to 1.2.
    pub popularity_zipf: f64,
}

/// Sizes in MiB: `{ mib = 64 }`, or log-normal `{ median_mib = 40, sigma = 1.5, max_mib = 4096 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Size {
    /// All alike.
    Fixed {
        /// MiB.
        mib: f64,
    },
    /// Log-normal, cut at both ends.
    LogNormal {
        /// Half of the objects are smaller.
        median_mib: f64,
        /// The standard deviation of the natural logarithm.
        sigma: f64,
        /// The least, in MiB.
        min_mib: f64,
        /// The most, in MiB.
        max_mib: f64,
    },
}

/// The people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Users {
    /// How many there are; 0, the default, gives every download a user of its own.
    pub count: u32,
    /// The share of them that upload. Default 0.3.
    pub uploaders: f64,
    /// Most that an uploader sends of an object, in sizes of it; 0, the default, is no limit.
    pub upload_ratio: f64,
    /// Countries they live in. Default 1.
    pub countries: u16,
    /// Networks in each. Default 1.
    pub networks: u16,
    /// The exponent of Zipf's law by which users belong to them; 0, the default, makes all equal.
    /// In most countries a few providers have most of the users.
    pub networks_zipf: f64,
    /// Seeds that are there from the start and stay, one of each object. Default 0.
    pub seeds: u32,
}

/// One class of access lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its weight among the classes. Default 1.
    #[serde(default = "whole")]
    pub share: f64,
    /// Mbit/s towards the user.
    pub down_mbit: f64,
    /// Mbit/s from the user.
    pub up_mbit: f64,
    /// Share of lost packets. Default 0.
    #[serde(default)]
    pub loss: f64,
}

/// When downloads begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arrivals {
    /// So many within so many seconds, evenly spread; the first at 0.
    Flash {
        /// How many.
        count: u32,
        /// Within how long.
        within_s: f64,
    },
    /// One every so many seconds.
    Steady {
        /// How many.
        count: u32,
        /// How far apart.
        every_s: f64,
    },
    /// Independent of one another, so many a second on average.
    Poisson {
        /// How many.
        count: u32,
        /// The mean rate.
        per_s: f64,
    },
    /// Poisson with a rate that swings over the day as `1 + swing · sin`, lowest at the start.
    Diurnal {
        /// How many.
        count: u32,
        /// The mean rate.
        per_s: f64,
        /// 0 to 1.
        swing: f64,
        /// Seconds of a day. Default 86,400.
        #[serde(default = "day")]
        day_s: f64,
    },
}

/// How long users stay, and what takes them away. Everybody stays by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stay {
    /// Leaves so long after finishing, evenly drawn up to it; 0 stays.
    pub within_s: f64,
    /// Leaves after an exponential time with this mean instead; 0 does not.
    pub mean_s: f64,
    /// The share that is killed mid-way.
    pub killed: f64,
    /// … so long after the arrival: evenly drawn between 0.3 and 0.7 of this.
    pub killed_of_s: f64,
    /// The mean of the exponential patience after which a user gives up; 0 is patience without
    /// end.
    pub patience_mean_s: f64,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// Mbit/s. Default 10,000.
    pub up_mbit: f64,
    /// Connections a client opens. Default 4.
    pub lanes: u8,
    /// Round trips before the first request of a connection. Default 2: TCP and TLS 1.3.
    pub connect_rtts: u32,
    /// Seconds after which it is gone; 0, the default, is never.
    pub dies_at_s: f64,
    /// The price of a GiB. Default 0.05.
    pub price_per_gib: f64,
}

/// The control node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Milliseconds from the arrival to the first question. Default 300.
    pub login_ms: f64,
    /// Peers in one answer. Default 40.
    pub peers_max: usize,
    /// Whether it knows users' networks and countries, as databases tell them. Default yes; without,
    /// it introduces anybody to anybody.
    pub places: bool,
    /// Pairs of seconds between which it is gone.
    pub outages_s: Vec<(f64, f64)>,
}

/// Round trips in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distances {
    /// Within a network. Default 20.
    pub same_network_ms: f64,
    /// Within a country. Default 40.
    pub same_country_ms: f64,
    /// Between countries. Default 120.
    pub abroad_ms: f64,
    /// To the edge. Default 20.
    pub edge_ms: f64,
}

/// Weights of NAT classes. All are open by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// No NAT, or one that lets everything in.
    pub open: f64,
    /// Hole punching works.
    pub port_restricted: f64,
    /// Another port for every conversation.
    pub symmetric: f64,
    /// No UDP.
    pub blocked: f64,
}

/// How many clients of each kind are there from the start and stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Natures {
    /// Deliver bytes that do not verify.
    pub corrupt: u32,
    /// Deliver 4 MiB correctly first.
    pub late: u32,
    /// Corrupt the object's last group only.
    pub last: u32,
    /// Accept requests and send nothing.
    pub stall: u32,
    /// Deliver a kilobyte a second.
    pub drip: u32,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            count: 1,
            size: Size::Fixed { mib: 64.0 },
            popularity_zipf: 0.0,
        }
    }
}

impl Default for Users {
    fn default() -> Self {
        Self {
            count: 0,
            uploaders: 0.3,
            upload_ratio: 0.0,
            countries: 1,
            networks: 1,
            networks_zipf: 0.0,
            seeds: 0,
        }
    }
}

impl Default for Stay {
    fn default() -> Self {
        Self {
            within_s: 0.0,
            mean_s: 0.0,
            killed: 0.0,
            killed_of_s: 60.0,
            patience_mean_s: 0.0,
        }
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            up_mbit: 10_000.0,
            lanes: 4,
            connect_rtts: 2,
            dies_at_s: 0.0,
            price_per_gib: 0.05,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            login_ms: 300.0,
            peers_max: 40,
            places: true,
            outages_s: Vec::new(),
        }
    }
}

impl Default for Distances {
    fn default() -> Self {
        Self {
            same_network_ms: 20.0,
            same_country_ms: 40.0,
            abroad_ms: 120.0,
            edge_ms: 20.0,
        }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            open: 1.0,
            port_restricted: 0.0,
            symmetric: 0.0,
            blocked: 0.0,
        }
    }
}

fn whole() -> f64 {
    1.0
}

fn day() -> f64 {
    86_400.0
}

impl Arrivals {
    /// How many downloads there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Self::Flash { count, .. }
            | Self::Steady { count, .. }
            | Self::Poisson { count, .. }
            | Self::Diurnal { count, .. } => *count,
        }
    }
}
