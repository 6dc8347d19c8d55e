//! What a control node counts.

use peerlift_model::NatClass;
use peerlift_rendezvous::Rendezvous;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The node's counters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) logins: Counter,
    pub(crate) failed_logins: Counter,
    pub(crate) refused: Counter,
    pub(crate) hung_up_on: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) messages: Counter,
    pub(crate) queries: Counter,
    pub(crate) introductions: Counter,
    pub(crate) denied: Counter,
    pub(crate) directory_up: Gauge,
    pub(crate) directory_failures: Counter,
    pub(crate) directory_writes: Counter,
    pub(crate) directory_lost: Counter,
    pub(crate) directory_pushes: Counter,
    directory_troubles: Family<Trouble, Counter>,
    sessions: Gauge,
    away: Gauge,
    objects: Gauge,
    entries: Gauge,
    recalls: Gauge,
    looks: Gauge,
    refusals: Gauge,
    suspects: Gauge,
    resumed: Gauge,
    named: Family<Nearness, Gauge>,
    behind: Family<Behind, Gauge>,
}

/// How near a peer was to the one it was named to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Nearness {
    level: &'static str,
}

/// What NAT a client tells to be behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Behind {
    nat: String,
}

/// What went wrong with the shared directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trouble {
    trouble: &'static str,
}

impl Metrics {
    pub(crate) fn directory_trouble(&self, trouble: &'static str) {
        let labels = Trouble { trouble };
        self.directory_troubles.get_or_create(&labels).inc();
    }

    /// Only for a node that shares its directory: elsewhere a 0 would look like trouble.
    pub(crate) fn register_up(&self, registry: &mut Registry) {
        registry
            .sub_registry_with_prefix("peerlift_control_directory")
            .register(
                "up",
                "Whether the shared directory answered and took writes a second ago",
                self.directory_up.clone(),
            );
    }

    fn register_directory(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("directory");
        registry.register(
            "failures",
            "Times that the shared directory did not work when it was looked at, each second",
            self.directory_failures.clone(),
        );
        registry.register(
            "writes",
            "Entries written to the shared directory",
            self.directory_writes.clone(),
        );
        registry.register(
            "lost_writes",
            "Entries that the shared directory did not take; they are said again later",
            self.directory_lost.clone(),
        );
        registry.register(
            "pushes",
            "Introductions that other nodes sent for clients of this one",
            self.directory_pushes.clone(),
        );
        registry.register(
            "troubles",
            "What failed with the shared directory, by kind",
            self.directory_troubles.clone(),
        );
    }

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
            "Connections told to come back later, as too many were there or logging in",
            metrics.refused.clone(),
        );
        registry.register(
            "resets",
            "Connections refused before TLS, as many more came than can log in",
            metrics.hung_up_on.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be accepted, for want of descriptors mostly",
            metrics.accept_errors.clone(),
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
            "denied",
            "Tokens refused, and questions refused for want of one or for a block",
            metrics.denied.clone(),
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
        metrics.register_core(registry);
        metrics.register_directory(registry);
        metrics
    }

    fn register_core(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            (
                "away",
                "Clients whose connection broke and who may still resume",
                &self.away,
            ),
            (
                "directory_entries",
                "Pairs of an object and a client that serves it",
                &self.entries,
            ),
            (
                "recalls_waiting",
                "Sessions that have yet to be asked again what they have",
                &self.recalls,
            ),
            (
                "directory_looks",
                "Holders looked at for answers since the start",
                &self.looks,
            ),
            (
                "refusals",
                "Queries and announcements refused since the start",
                &self.refusals,
            ),
            (
                "suspects",
                "Peers that clients found not to have what they announce",
                &self.suspects,
            ),
            (
                "resumed_sessions",
                "Sessions that went on where they were, since the start",
                &self.resumed,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "named_peers",
            "Peers named in answers since the start, by nearness",
            self.named.clone(),
        );
        registry.register(
            "clients_by_nat",
            "Clients logged in at present, by the NAT that they tell to be behind",
            self.behind.clone(),
        );
    }

    pub(crate) fn measure(&self, core: &Rendezvous) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.sessions.set(count(core.sessions()));
        self.objects.set(count(core.objects()));
        self.away.set(count(core.away()));
        self.entries.set(count(core.entries()));
        self.recalls.set(count(core.recalls_waiting()));
        self.suspects.set(count(core.suspects()));
        for nat in NatClass::ALL {
            let labels = Behind {
                nat: nat.to_string(),
            };
            let gauge = self.behind.get_or_create(&labels);
            gauge.set(count(core.sessions_behind(nat)));
        }
        let stats = core.stats();
        let total = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.looks.set(total(stats.looks));
        self.refusals.set(total(stats.refusals));
        self.resumed.set(total(stats.resumed));
        let levels = ["site", "prefix", "as", "country", "world"];
        for (level, named) in levels.into_iter().zip(stats.named) {
            let gauge = self.named.get_or_create(&Nearness { level });
            gauge.set(total(named));
        }
    }
}
