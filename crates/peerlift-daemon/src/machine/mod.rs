//! The machine and its administrator: when uploads should rest, and what users may not loosen.

mod conditions;
mod disk;
mod hours;
mod metered;
mod policy;
mod power;
mod route;
#[cfg(target_os = "linux")]
mod way_out;
/// Elsewhere nobody is asked.
#[cfg(not(target_os = "linux"))]
mod way_out {
    pub(super) fn way_out() -> Option<String> {
        None
    }

    pub(super) fn interface(_: &[u8]) -> Option<u32> {
        None
    }
}

pub use conditions::{Conditions, Pause, PauseRules};
pub use disk::{DiskGuard, DiskRules, LowDisk};
pub use hours::{Hours, MinuteOfDay, NoHours, NoMinute};
pub use policy::{MachinePolicy, POLICY_PATH, PolicyError};

/// Parses any text as a machine policy, a routing table and the kernel's answer about a route: the entry of
/// the fuzz target, and of the test that replays its corpus.
#[doc(hidden)]
pub fn fuzz_machine(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // Whatever it says, it is understood or refused.
    let _ = policy::parse(&text);
    let _ = route::default_interfaces(&text);
    let _ = way_out::interface(bytes);
}
