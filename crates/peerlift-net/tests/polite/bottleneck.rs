//! A line with a queue, in steps of a millisecond, and who sends over it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use peerlift_model::Timestamp;
use peerlift_net::polite::{Arrival, Delivery, Intake, LinkNumber, SEGMENT_BYTES, Scavenger};

const STEP: Duration = Duration::from_millis(1);
const SEGMENT: usize = 1460;

/// Who sends over the line.
pub(crate) enum Sender {
    /// Uploads that give way, over so many links.
    Polite {
        scavenger: Box<Scavenger>,
        links: u64,
    },
    /// Whoever sends what a background download asks for, from so many machines: as much as they are
    /// told may be on its way.
    Fetched {
        intake: Box<Intake<u64>>,
        machines: u64,
        in_flight: u64,
    },
    /// A flow that fills queues, as most on the internet do: CUBIC (RFC 9438), with HyStart if it
    /// is careful (RFC 9406).
    Greedy(Greedy),
}

impl Sender {
    pub(crate) fn polite(links: u64) -> Self {
        Self::Polite {
            scavenger: Box::default(),
            links,
        }
    }

    pub(crate) fn fetched(machines: u64) -> Self {
        Self::Fetched {
            intake: Box::default(),
            machines,
            in_flight: 0,
        }
    }

    pub(crate) fn greedy() -> Self {
        Self::Greedy(Greedy::default())
    }

    /// One that ends its slow start when the queue grows, as on Linux.
    pub(crate) fn careful() -> Self {
        Self::Greedy(Greedy {
            careful: true,
            ..Greedy::default()
        })
    }
}

pub(crate) struct Greedy {
    window: f64,
    threshold: f64,
    in_flight: u64,
    forgiving_until: Timestamp,
    careful: bool,
    rtt_least: Duration,
    /// Where growth is slowest, and since when it has been growing towards it.
    wanted: f64,
    since: Timestamp,
}

impl Default for Greedy {
    fn default() -> Self {
        Self {
            window: 10.0,
            threshold: f64::MAX,
            in_flight: 0,
            forgiving_until: Timestamp::ZERO,
            careful: false,
            rtt_least: Duration::MAX,
            wanted: 0.0,
            since: Timestamp::ZERO,
        }
    }
}

/// A sender, when it sends, how far its other end is, and what came of it.
pub(crate) struct Flow {
    pub(crate) sender: Sender,
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
    pub(crate) rtt: Duration,
    /// Bytes that arrived in each second.
    pub(crate) arrived: Vec<u64>,
    /// Whether only a smoothed round-trip time is told, as Linux does of TCP (RFC 6298 §2).
    pub(crate) smoothed: bool,
    smooth: BTreeMap<u64, Duration>,
    next_link: u64,
    in_flight: BTreeMap<u64, u64>,
}

impl Flow {
    pub(crate) fn new(sender: Sender, seconds: std::ops::Range<u64>, rtt_ms: u64) -> Self {
        Self {
            sender,
            begins: Duration::from_secs(seconds.start),
            ends: Duration::from_secs(seconds.end),
            rtt: Duration::from_millis(rtt_ms),
            arrived: Vec::new(),
            smoothed: false,
            smooth: BTreeMap::new(),
            next_link: 0,
            in_flight: BTreeMap::new(),
        }
    }

    /// Takes note of a packet and says over which link it went.
    fn packet_sent(&mut self) -> u64 {
        let (scavenger, links) = match &mut self.sender {
            Sender::Polite { scavenger, links } => (scavenger, links),
            Sender::Fetched { machines, .. } => {
                self.next_link = (self.next_link + 1) % *machines;
                return self.next_link;
            }
            Sender::Greedy(_) => return 0,
        };
        self.next_link = (self.next_link + 1) % *links;
        *self.in_flight.entry(self.next_link).or_default() += SEGMENT_BYTES;
        scavenger.sent(LinkNumber(self.next_link), SEGMENT_BYTES);
        self.next_link
    }

    /// The mean rate in these seconds.
    pub(crate) fn bytes_per_s(&self, seconds: std::ops::Range<usize>) -> f64 {
        let count = seconds.len() as f64;
        let bytes: u64 = seconds.filter_map(|second| self.arrived.get(second)).sum();
        bytes as f64 / count
    }
}

struct Packet {
    flow: usize,
    link: u64,
    sent_at: Timestamp,
}

/// The line.
pub(crate) struct Line {
    pub(crate) bytes_per_s: f64,
    pub(crate) queue_packets: f64,
    /// Every so many packets one is lost on its way.
    pub(crate) stray_loss_every: Option<u64>,
    /// How much longer the way is from a second on.
    pub(crate) longer: Option<(Duration, Duration)>,
    /// What part of its rate is left from a second on.
    pub(crate) slower: Option<(Duration, f64)>,
    queue: VecDeque<Packet>,
    credit: f64,
    passed: u64,
    /// Acknowledgements on their way.
    acks: Vec<(Timestamp, Packet, bool)>,
    /// How long a packet would wait, each millisecond.
    pub(crate) waits: Vec<Duration>,
}

impl Line {
    pub(crate) fn new(mbit: f64, queue_ms: u64) -> Self {
        let bytes_per_s = mbit * 1e6 / 8.0;
        let queue_packets = bytes_per_s * queue_ms as f64 / 1000.0 / SEGMENT_BYTES as f64;
        Self {
            bytes_per_s,
            queue_packets,
            stray_loss_every: None,
            longer: None,
            slower: None,
            queue: VecDeque::new(),
            credit: 0.0,
            passed: 0,
            acks: Vec::new(),
            waits: Vec::new(),
        }
    }

    /// The median time in the queue in these seconds.
    pub(crate) fn median_wait(&self, seconds: std::ops::Range<usize>) -> Duration {
        let mut waits = self.waits[seconds.start * 1000..seconds.end * 1000].to_vec();
        waits.sort();
        waits[waits.len() / 2]
    }

    /// Lets the flows send for so long.
    pub(crate) fn run(&mut self, flows: &mut [Flow], seconds: usize) {
        let mut now = Timestamp::ZERO;
        for flow in flows.iter_mut() {
            flow.arrived = vec![0; seconds + 1];
        }
        while now < Timestamp::ZERO + Duration::from_secs(seconds as u64) {
            self.send(flows, now);
            self.forward(flows, now);
            self.acknowledge(flows, now);
            let wait = self.queue.len() as f64 * SEGMENT_BYTES as f64 / self.bytes_per_s;
            self.waits.push(Duration::from_secs_f64(wait));
            now = now + STEP;
        }
    }

    fn send(&mut self, flows: &mut [Flow], now: Timestamp) {
        let since_start = now.since(Timestamp::ZERO);
        // Nobody is always first at the queue's last place.
        let first = (now.as_micros() / 1000) as usize % flows.len();
        let count = flows.len();
        for index in (0..count).map(|index| (index + first) % count) {
            let flow = &mut flows[index];
            while (flow.begins..flow.ends).contains(&since_start) && may_send(flow, now) {
                let packet = Packet {
                    flow: index,
                    link: flow.packet_sent(),
                    sent_at: now,
                };
                if (self.queue.len() + 1) as f64 <= self.queue_packets {
                    self.queue.push_back(packet);
                } else {
                    // It takes a round trip until the sender knows.
                    let known = now + flow.rtt + self.wait();
                    self.acks.push((known, packet, false));
                }
            }
        }
    }

    fn wait(&self) -> Duration {
        let bytes = self.queue.len() as f64 * SEGMENT_BYTES as f64;
        Duration::from_secs_f64(bytes / self.bytes_per_s)
    }

    fn forward(&mut self, flows: &[Flow], now: Timestamp) {
        let left = self
            .slower
            .filter(|(from, _)| now.since(Timestamp::ZERO) >= *from)
            .map_or(1.0, |(_, left)| left);
        self.credit += left * self.bytes_per_s * STEP.as_secs_f64();
        while self.credit >= SEGMENT_BYTES as f64 {
            let Some(packet) = self.queue.pop_front() else {
                self.credit = 0.0;
                return;
            };
            self.credit -= SEGMENT_BYTES as f64;
            self.passed += 1;
            let arrives = self
                .stray_loss_every
                .is_none_or(|every| !self.passed.is_multiple_of(every));
            let longer = self
                .longer
                .filter(|(from, _)| now.since(Timestamp::ZERO) >= *from)
                .map_or(Duration::ZERO, |(_, by)| by);
            self.acks
                .push((now + flows[packet.flow].rtt + longer, packet, arrives));
        }
    }

    fn acknowledge(&mut self, flows: &mut [Flow], now: Timestamp) {
        let due: Vec<_> = self.acks.extract_if(.., |(at, ..)| *at <= now).collect();
        for (at, packet, arrived) in due {
            let flow = &mut flows[packet.flow];
            let rtt = at.since(packet.sent_at);
            if arrived {
                flow.arrived[(at.as_micros() / 1_000_000) as usize] += SEGMENT_BYTES;
            }
            match &mut flow.sender {
                Sender::Polite { scavenger, .. } => {
                    let in_flight = flow.in_flight.entry(packet.link).or_default();
                    *in_flight -= SEGMENT_BYTES;
                    let smooth = flow.smooth.entry(packet.link).or_insert(rtt);
                    // Half of what the kernel has smoothed away is found again.
                    let told = (*smooth + rtt) / 2;
                    *smooth = (*smooth * 7 + rtt) / 8;
                    let rtt = if flow.smoothed { told } else { rtt };
                    let link = LinkNumber(packet.link);
                    if arrived {
                        let delivery = Delivery {
                            bytes: SEGMENT_BYTES,
                            rtt,
                            rtt_least: None,
                            in_flight: *in_flight,
                        };
                        scavenger.delivered(now, link, delivery);
                    } else {
                        scavenger.abandoned(link, SEGMENT_BYTES);
                        scavenger.lost(now, link);
                    }
                }
                Sender::Fetched {
                    intake, in_flight, ..
                } => {
                    *in_flight -= SEGMENT_BYTES;
                    let smooth = flow.smooth.entry(packet.link).or_insert(rtt);
                    // As the kernel has it: less is believed at once, more bit by bit.
                    *smooth = rtt.min((*smooth * 7 + rtt) / 8);
                    let rtt = if flow.smoothed { *smooth } else { rtt };
                    let arrival = Arrival {
                        bytes: SEGMENT_BYTES,
                        rtt,
                        rtt_least: None,
                    };
                    if arrived {
                        intake.arrived(now, packet.link, arrival);
                    } else {
                        intake.lost(now, packet.link);
                    }
                }
                Sender::Greedy(greedy) => greedy.hear(now, rtt, arrived),
            }
        }
    }
}

fn may_send(flow: &mut Flow, now: Timestamp) -> bool {
    match &mut flow.sender {
        Sender::Polite { scavenger, .. } => scavenger.admit(now, SEGMENT).is_ok(),
        Sender::Fetched {
            intake, in_flight, ..
        } => {
            let may =
                *in_flight + SEGMENT_BYTES <= intake.window() && intake.admit(now, SEGMENT).is_ok();
            *in_flight += SEGMENT_BYTES * u64::from(may);
            may
        }
        Sender::Greedy(greedy) => {
            let may = (greedy.in_flight as f64) < greedy.window;
            greedy.in_flight += u64::from(may);
            may
        }
    }
}

impl Greedy {
    fn hear(&mut self, now: Timestamp, rtt: Duration, arrived: bool) {
        self.in_flight -= 1;
        self.rtt_least = self.rtt_least.min(rtt);
        if !arrived {
            if now >= self.forgiving_until {
                self.wanted = self.window;
                self.window = (self.window * BETA).max(2.0);
                self.avoid(now);
                self.forgiving_until = now + rtt;
            }
            return;
        }
        if self.window < self.threshold {
            self.window += 1.0;
            // RFC 9406 §4.2.
            let late = (self.rtt_least / 8).clamp(RTT_MORE_MIN, RTT_MORE_MAX);
            if self.careful && rtt >= self.rtt_least + late {
                self.wanted = self.window;
                self.avoid(now);
            }
            return;
        }
        // RFC 9438 §4.2, and §4.3 where a packet a round trip is more.
        let until = (self.wanted - self.threshold).max(0.0) / C;
        let time = now.since(self.since).as_secs_f64() + rtt.as_secs_f64() - until.cbrt();
        let target = self.wanted + C * time.powi(3);
        let cubic = (target - self.window).clamp(0.0, self.window / 2.0) / self.window;
        let reno = 3.0 * (1.0 - BETA) / (1.0 + BETA) / self.window;
        self.window += cubic.max(reno);
    }

    fn avoid(&mut self, now: Timestamp) {
        self.threshold = self.window;
        self.since = now;
    }
}

/// RFC 9438 §4.1.
const C: f64 = 0.4;
const BETA: f64 = 0.7;

/// RFC 9406 §4.3.
const RTT_MORE_MIN: Duration = Duration::from_millis(4);
const RTT_MORE_MAX: Duration = Duration::from_millis(16);
