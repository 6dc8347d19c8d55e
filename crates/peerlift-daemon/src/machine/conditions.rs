//! When uploads rest, and the words for it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hours::{Hours, MinuteOfDay};
use super::{disk, metered, power, route, way_out};

/// Which conditions let uploads rest. Default: all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PauseRules {
    /// A network that is paid by the byte.
    pub metered: bool,
    /// A battery without mains.
    pub battery: bool,
    /// A VPN that carries everything: its owner may not want it to carry this.
    pub vpn: bool,
}

impl Default for PauseRules {
    fn default() -> Self {
        Self {
            metered: true,
            battery: true,
            vpn: true,
        }
    }
}

/// Why uploads rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pause {
    /// The user said so.
    User,
    /// The administrator's policy forbids it, or cannot be read.
    Policy {
        /// What it says.
        why: String,
    },
    /// It is not the hour for it.
    Hours {
        /// The hours.
        hours: Hours,
    },
    /// The network is paid by the byte.
    Metered,
    /// The machine runs on its battery.
    Battery,
    /// Everything goes through a VPN.
    Vpn {
        /// The interface.
        interface: String,
    },
    /// The disk that has our records is nearly full.
    Disk {
        /// Which one, and how full.
        why: String,
    },
    /// A limit is reached.
    Limit {
        /// Which one.
        why: String,
    },
    /// What is sent cannot be counted.
    Uncounted {
        /// Why not.
        why: String,
    },
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("you paused them"),
            Self::Policy { why } => {
                write!(f, "this machine's administrator does not allow it: {why}")
            }
            Self::Hours { hours } => write!(f, "it is not {hours}, when you share"),
            Self::Metered => f.write_str("the network is metered"),
            Self::Battery => f.write_str("the machine runs on its battery"),
            Self::Vpn { interface } => write!(f, "everything goes through a VPN ({interface})"),
            Self::Disk { why } | Self::Limit { why } => f.write_str(why),
            Self::Uncounted { why } => write!(f, "what is sent cannot be counted: {why}"),
        }
    }
}

/// Where the machine tells of its condition.
#[derive(Clone, Debug)]
pub struct Conditions {
    supplies: PathBuf,
    routes: PathBuf,
    interfaces: PathBuf,
    way_out: fn() -> Option<String>,
    clock: fn() -> MinuteOfDay,
    free: fn(&Path) -> Option<u64>,
    /// Says whether the network is metered, in NetworkManager's place.
    metered: Option<fn() -> bool>,
}

impl Conditions {
    /// This machine's files.
    #[must_use]
    pub fn of_machine() -> Self {
        Self {
            supplies: "/sys/class/power_supply".into(),
            routes: "/proc/net/route".into(),
            interfaces: "/sys/class/net".into(),
            way_out: way_out::way_out,
            clock: MinuteOfDay::now,
            free: disk::free_on_disk,
            metered: None,
        }
    }

    /// The files below a folder, named as the machine's own.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            supplies: root.join("sys/class/power_supply"),
            routes: root.join("proc/net/route"),
            interfaces: root.join("sys/class/net"),
            way_out: || None,
            clock: MinuteOfDay::now,
            free: disk::free_on_disk,
            metered: None,
        }
    }

    /// The same, with another clock on the wall.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> MinuteOfDay) -> Self {
        Self { clock, ..self }
    }

    /// The same, with other disks.
    #[must_use]
    pub fn with_disks(self, free: fn(&Path) -> Option<u64>) -> Self {
        Self { free, ..self }
    }

    /// The same, on another network.
    #[must_use]
    pub fn with_network(self, metered: fn() -> bool) -> Self {
        let metered = Some(metered);
        Self { metered, ..self }
    }

    async fn is_metered(&self) -> bool {
        match self.metered {
            Some(says) => says(),
            None => metered::is_metered().await,
        }
    }

    /// How many bytes are free on the disk of a folder; `None` when it does not say.
    #[must_use]
    pub fn free(&self, folder: &Path) -> Option<u64> {
        (self.free)(folder)
    }

    /// What the clock on the wall says.
    #[must_use]
    pub fn minute(&self) -> MinuteOfDay {
        (self.clock)()
    }

    /// Why uploads should rest now, by these rules.
    pub async fn pause(&self, rules: PauseRules) -> Option<Pause> {
        if rules.battery && power::on_battery(&self.supplies) {
            return Some(Pause::Battery);
        }
        if rules.vpn
            && let Some(interface) =
                route::vpn((self.way_out)().as_deref(), &self.routes, &self.interfaces)
        {
            return Some(Pause::Vpn { interface });
        }
        if rules.metered && self.is_metered().await {
            return Some(Pause::Metered);
        }
        None
    }
}
