//! What QUIC knows of a path's packets, for the scavenger.
//!
//! A [`Watched`] controller is `noq`'s CUBIC that also tells what it hears. CUBIC keeps a single
//! path in order: a peer whose own line is full, losses on the air. How much of our line all paths
//! together may use is decided where bytes are handed to links, see [`Uplink::pass`].

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::CubicConfig;

use super::scavenger::Delivery;
use super::uplink::{LinkSensor, Uplink};

/// Makes a [`Watched`] controller for each path.
#[derive(Debug)]
pub(crate) struct WatchedFactory(pub(crate) Uplink);

impl ControllerFactory for WatchedFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Watched {
            inner: Arc::new(CubicConfig::default()).build(now, current_mtu),
            sensor: self.0.sensor(),
            heard: None,
        })
    }
}

#[derive(Debug)]
struct Watched {
    inner: Box<dyn Controller>,
    sensor: LinkSensor,
    /// Of one acknowledgement: bytes, and the shortest round trip.
    heard: Option<(u64, Duration)>,
}

impl Controller for Watched {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.sensor.sent(bytes.into());
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        // The last packet of an acknowledgement waited least for it.
        let took = now.saturating_duration_since(sent);
        let (before, shortest) = self.heard.unwrap_or((0, took));
        self.heard = Some((before + bytes, shortest.min(took)));
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        if let Some((bytes, rtt)) = self.heard.take() {
            self.sensor.delivered(Delivery {
                bytes,
                rtt,
                rtt_least: None,
                in_flight,
            });
        }
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.sensor.lost();
        self.inner.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.sensor.abandoned(lost_bytes.into());
        self.inner.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(
        &mut self,
        ack_eliciting_threshold: u64,
        requested_max_ack_delay: Duration,
    ) {
        self.inner
            .on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            sensor: self.sensor.clone(),
            heard: self.heard,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
