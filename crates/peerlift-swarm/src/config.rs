//! What a download wants, and the bounds it keeps.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

/// What a download is to achieve, and at whose cost.
///
/// All goals start from the edge at once and keep going without peers. They differ in when the
/// edge is asked although peers could deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// Every source at full speed, whatever it costs.
    Fastest,
    /// Finish no later than the edge alone would have, with the fewest edge bytes.
    #[default]
    Thrifty,
    /// At least this rate, with the fewest edge bytes.
    Floor(Rate),
    /// Done by this time, with the fewest edge bytes.
    Deadline(Timestamp),
    /// The first missing group first, every source at full speed: for streams.
    InOrder,
}

/// How a [`Swarm`](crate::Swarm) behaves. The default is a download that does not share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The goal. Default [`Goal::Thrifty`].
    pub goal: Goal,
    /// The low-discrepancy number from the control plane; `None`, the default, draws a random one
    /// until [`Event::Spread`](crate::Event::Spread) tells it.
    pub spread: Option<u32>,
    /// Whether peers are served. Default `false`: uploads need the user's recorded yes.
    pub share: bool,
    /// The bounds.
    pub limits: Limits,
}

/// Every bound of the core that somebody may want to change.
///
/// The defaults suit home connections. An operator of seeds on fast links raises `serve_slots`; a
/// tiny device lowers the windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connected peers; more are dismissed. Default 64: the control plane introduces 40, and as
    /// many again may be introduced to us, most of whom leave.
    pub peers: usize,
    /// Peers below which more are asked for. Default 12: with fewer, one leaving is felt.
    pub peers_wanted: usize,
    /// Peers unchoked at once. Default 40, as many as the control plane introduces: everybody
    /// waits a little, nobody for ever.
    pub unchoked: usize,
    /// Uploads sent at once. Default 6: enough that their streams fill an uplink while one of them
    /// waits for its peer, few enough that each ends soon and its pieces can be passed on.
    pub serve_slots: usize,
    /// Requests of one peer that may wait with us; more are refused as busy. Default 64.
    pub serve_queue: usize,
    /// Bytes asked of one peer and not yet arrived. Default 8 MiB: 1 Gbit/s at 64 ms.
    pub window_bytes: u64,
    /// The largest request to an edge. Default 16 MiB: at 1 Gbit/s one lane is renewed eight times
    /// a second, and a lost connection costs no more than its unread rest.
    pub edge_request_bytes: u64,
    /// How long arrived groups wait to be announced together. Default 150 ms: a message to 40
    /// peers then costs less than 1 % of a 10 Mbit/s uplink, and a piece crosses ten peers in
    /// 1.5 s at worst.
    pub announce_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers: 64,
            peers_wanted: 12,
            unchoked: 40,
            serve_slots: 6,
            serve_queue: 64,
            window_bytes: 8 << 20,
            edge_request_bytes: 16 << 20,
            announce_interval: Duration::from_millis(150),
        }
    }
}
