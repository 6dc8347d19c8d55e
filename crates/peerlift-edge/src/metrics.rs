//! What an edge counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The edge's counters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: Counter,
    pub(crate) errors: Counter,
    pub(crate) server_errors: Counter,
    pub(crate) denied: Counter,
    pub(crate) sent: Counter,
    pub(crate) connections: Gauge,
    pub(crate) published: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("peerlift_edge");
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "errors",
            "Requests answered with 4xx or 5xx",
            metrics.errors.clone(),
        );
        registry.register(
            "server_errors",
            "Requests answered with 5xx: the edge's fault",
            metrics.server_errors.clone(),
        );
        registry.register(
            "denied",
            "Requests refused for want of a token or for a block: 401, 403, 410",
            metrics.denied.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes of bodies handed to the network",
            Unit::Bytes,
            metrics.sent.clone(),
        );
        registry.register(
            "connections",
            "Connections open at present",
            metrics.connections.clone(),
        );
        registry.register(
            "published_files",
            "Files published",
            metrics.published.clone(),
        );
        metrics
    }
}
