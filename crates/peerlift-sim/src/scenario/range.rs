//! What the numbers of a scenario may be. The bounds keep a typing error from filling the memory.

use super::{Arrivals, Scenario, ScenarioError, Size};

/// Downloads of one run: what the flow-level model holds in a few hundred megabytes.
const DOWNLOADS_MAX: u32 = 4_000_000;
/// Objects of one run.
const OBJECTS_MAX: u32 = 1_000_000;
/// MiB of one object: 1 TiB.
const MIB_MAX: f64 = 1_048_576.0;
/// Mbit/s of one line: 10 Tbit/s, more than any edge site has.
const MBIT_MAX: f64 = 1e7;
/// Seconds: three years.
const SECONDS_MAX: f64 = 1e8;
/// Clients of one nature.
const LIARS_MAX: u32 = 100_000;

impl Scenario {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.aim()?;
        let name_fits = !self.name.is_empty() && self.name.len() <= 40;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !name_fits || !self.name.chars().all(plain) {
            return Err(wrong("name", "1 to 40 of a-z, 0-9, - and _"));
        }
        whole("chunk_groups", self.chunk_groups, 1, 64)?;
        real("patience_s", self.patience_s, 1.0, SECONDS_MAX)?;
        self.check_objects()?;
        self.check_users()?;
        self.check_arrivals()?;
        self.check_servers()
    }

    fn check_objects(&self) -> Result<(), ScenarioError> {
        whole("objects.count", self.objects.count, 1, OBJECTS_MAX)?;
        real(
            "objects.popularity_zipf",
            self.objects.popularity_zipf,
            0.0,
            4.0,
        )?;
        match self.objects.size {
            Size::Fixed { mib } => real("objects.size.mib", mib, 0.001, MIB_MAX),
            Size::LogNormal {
                median_mib,
                sigma,
                min_mib,
                max_mib,
            } => {
                real("objects.size.sigma", sigma, 0.0, 6.0)?;
                real("objects.size.min_mib", min_mib, 0.001, MIB_MAX)?;
                real("objects.size.max_mib", max_mib, min_mib, MIB_MAX)?;
                real("objects.size.median_mib", median_mib, min_mib, max_mib)
            }
        }
    }

    fn check_users(&self) -> Result<(), ScenarioError> {
        whole("users.count", self.users.count, 0, DOWNLOADS_MAX)?;
        whole("users.seeds", self.users.seeds, 0, LIARS_MAX)?;
        real("users.uploaders", self.users.uploaders, 0.0, 1.0)?;
        real("users.upload_ratio", self.users.upload_ratio, 0.0, 1e6)?;
        whole("users.countries", u32::from(self.users.countries), 1, 1000)?;
        whole("users.networks", u32::from(self.users.networks), 1, 10_000)?;
        real("users.networks_zipf", self.users.networks_zipf, 0.0, 4.0)?;
        if self.lines.is_empty() || self.lines.len() > 100 {
            return Err(wrong("lines", "1 to 100 of them"));
        }
        for line in &self.lines {
            real("lines.share", line.share, 0.0, 1e6)?;
            real("lines.down_mbit", line.down_mbit, 0.01, MBIT_MAX)?;
            real("lines.up_mbit", line.up_mbit, 0.01, MBIT_MAX)?;
            real("lines.loss", line.loss, 0.0, 0.5)?;
        }
        positive("lines.share", self.lines.iter().map(|line| line.share))?;
        let nats = &self.nats;
        let weights = [
            nats.open,
            nats.port_restricted,
            nats.symmetric,
            nats.blocked,
        ];
        for weight in weights {
            real("nats", weight, 0.0, 1e6)?;
        }
        positive("nats", weights.into_iter())?;
        let liars = &self.liars;
        for count in [
            liars.corrupt,
            liars.late,
            liars.last,
            liars.stall,
            liars.drip,
        ] {
            whole("liars", count, 0, LIARS_MAX)?;
        }
        Ok(())
    }

    fn check_arrivals(&self) -> Result<(), ScenarioError> {
        whole("arrivals.count", self.arrivals.count(), 1, DOWNLOADS_MAX)?;
        match self.arrivals {
            Arrivals::Flash { within_s, .. } => {
                real("arrivals.within_s", within_s, 0.0, SECONDS_MAX)?;
            }
            Arrivals::Steady { every_s, .. } => {
                real("arrivals.every_s", every_s, 0.0, SECONDS_MAX)?;
            }
            Arrivals::Poisson { per_s, .. } => real("arrivals.per_s", per_s, 1e-6, 1e6)?,
            Arrivals::Diurnal {
                per_s,
                swing,
                day_s,
                ..
            } => {
                real("arrivals.per_s", per_s, 1e-6, 1e6)?;
                real("arrivals.swing", swing, 0.0, 1.0)?;
                real("arrivals.day_s", day_s, 1.0, SECONDS_MAX)?;
            }
        }
        let stay = &self.stay;
        real("stay.within_s", stay.within_s, 0.0, SECONDS_MAX)?;
        real("stay.mean_s", stay.mean_s, 0.0, SECONDS_MAX)?;
        real("stay.killed", stay.killed, 0.0, 1.0)?;
        real("stay.killed_of_s", stay.killed_of_s, 0.0, SECONDS_MAX)?;
        real(
            "stay.patience_mean_s",
            stay.patience_mean_s,
            0.0,
            SECONDS_MAX,
        )
    }

    fn check_servers(&self) -> Result<(), ScenarioError> {
        real("edge.up_mbit", self.edge.up_mbit, 0.01, MBIT_MAX)?;
        whole("edge.lanes", u32::from(self.edge.lanes), 1, 16)?;
        whole("edge.connect_rtts", self.edge.connect_rtts, 0, 10)?;
        real("edge.dies_at_s", self.edge.dies_at_s, 0.0, SECONDS_MAX)?;
        real("edge.price_per_gib", self.edge.price_per_gib, 0.0, 1e6)?;
        real("control.login_ms", self.control.login_ms, 0.0, 1e6)?;
        if self.control.peers_max > 64 {
            return Err(wrong("control.peers_max", "0 to 64"));
        }
        if self.control.outages_s.len() > 1000 {
            return Err(wrong("control.outages_s", "at most 1000 of them"));
        }
        for (from, to) in &self.control.outages_s {
            real("control.outages_s", *from, 0.0, SECONDS_MAX)?;
            real("control.outages_s", *to, *from, SECONDS_MAX)?;
        }
        let far = &self.distances;
        for (key, ms) in [
            ("distances.same_network_ms", far.same_network_ms),
            ("distances.same_country_ms", far.same_country_ms),
            ("distances.abroad_ms", far.abroad_ms),
            ("distances.edge_ms", far.edge_ms),
        ] {
            real(key, ms, 0.0, 10_000.0)?;
        }
        Ok(())
    }
}

fn real(key: &str, value: f64, low: f64, high: f64) -> Result<(), ScenarioError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(wrong(
        key,
        &format!("{value} is not between {low} and {high}"),
    ))
}

fn whole(key: &str, value: u32, low: u32, high: u32) -> Result<(), ScenarioError> {
    real(key, f64::from(value), f64::from(low), f64::from(high))
}

fn positive(key: &str, weights: impl Iterator<Item = f64>) -> Result<(), ScenarioError> {
    if weights.sum::<f64>() > 0.0 {
        return Ok(());
    }
    Err(wrong(key, "the weights are all 0"))
}

fn wrong(key: &str, message: &str) -> ScenarioError {
    ScenarioError::Value {
        key: key.to_owned(),
        message: message.to_owned(),
    }
}
