//! What a control node counts.

use peerlift_rendezvous::Rendezvous;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The node's counters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) logins: Counter,
    pub(crate) failed_logins: Counter,
    pub(crate) refused: Counter,
    pub(crate) messages: Counter,
    pub(crate) queries: Counter,
    pub(crate) introductions: Counter,
    sessions: Gauge,
    objects: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("peerlift_control");
        registry.register("logins", "Clients that logged in", metrics.logins.clone());
        registry.register(
            "failed_logins",
            "Logins with a wrong signature, a wrong message, or none in time",
            metrics.failed_logins.clone(),
        );
        registry.register(
            "refused_sessions",
            "Connections refused because all sessions were taken",
            metrics.refused.clone(),
        );
        registry.register(
            "messages",
            "Messages from clients",
            metrics.messages.clone(),
        );
        registry.register("queries", "Questions for peers", metrics.queries.clone());
        registry.register(
            "introductions",
            "Peers named to clients",
            metrics.introductions.clone(),
        );
        registry.register(
            "sessions",
            "Clients logged in at present",
            metrics.sessions.clone(),
        );
        registry.register(
            "objects",
            "Objects that some client serves",
            metrics.objects.clone(),
        );
        metrics
    }

    pub(crate) fn measure(&self, core: &Rendezvous) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.sessions.set(count(core.sessions()));
        self.objects.set(count(core.objects()));
    }
}
