//! The administrator's word: `/etc/peerlift/policy.toml`. Users may be stricter, never looser.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::conditions::PauseRules;
use super::disk::DiskRules;
use crate::limits::Limits;

/// Where the administrator's policy lies.
pub const POLICY_PATH: &str = "/etc/peerlift/policy.toml";

/// The longest policy that is read; all settings take 1 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What an administrator allows. All of it is allowed where there is no policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachinePolicy {
    /// Whether Peerlift may run at all. Default: true.
    pub allowed: bool,
    /// Whether anything may be sent to other users. Default: true.
    pub share: bool,
    /// The publishers (keys) whose files may be shared; empty: all that the user agrees to.
    pub publishers: Vec<String>,
    /// Bytes sent for each byte received, at most.
    pub ratio: Option<f64>,
    /// Bytes sent in a month, at most.
    pub month_bytes: Option<u64>,
    /// Bytes sent of one object, at most.
    pub object_bytes: Option<u64>,
    /// The share of the measured uplink that may be used, at most, in percent.
    pub uplink_percent: Option<u8>,
    /// Bytes of the cache, at most.
    pub cache_bytes: Option<u64>,
    /// Bytes that stay free on a disk, at least.
    pub free_bytes: Option<u64>,
    /// Where uploads always rest, whatever the user says.
    pub pause_on_metered: bool,
    /// As above, on battery.
    pub pause_on_battery: bool,
    /// As above, through a VPN.
    pub pause_on_vpn: bool,
    /// Whom to ask about this policy, shown to users.
    pub contact: String,
}

impl Default for MachinePolicy {
    fn default() -> Self {
        Self {
            allowed: true,
            share: true,
            publishers: Vec::new(),
            ratio: None,
            month_bytes: None,
            object_bytes: None,
            uplink_percent: None,
            cache_bytes: None,
            free_bytes: None,
            pause_on_metered: false,
            pause_on_battery: false,
            pause_on_vpn: false,
            contact: String::new(),
        }
    }
}

/// The policy cannot be read. Nothing is shared then: an administrator's word that is not understood
/// is a no.
#[derive(Debug, Error)]
#[error("the administrator's policy {} cannot be used: {why}", path.display())]
pub struct PolicyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl MachinePolicy {
    /// Reads the policy in this file; no file allows all.
    ///
    /// # Errors
    ///
    /// A [`PolicyError`] when it is there and cannot be used.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let wrong = |why: String| PolicyError {
            path: path.to_owned(),
            why,
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        parse(&text).map_err(wrong)
    }

    /// The user's limits, made no looser than this.
    #[must_use]
    pub fn limits(&self, user: Limits) -> Limits {
        user.stricter(Limits {
            ratio: self.ratio.unwrap_or(f64::INFINITY),
            month_bytes: self.month_bytes.unwrap_or(u64::MAX),
            object_bytes: self.object_bytes.unwrap_or(u64::MAX),
        })
    }

    /// The user's share of the uplink, made no larger than this.
    #[must_use]
    pub fn uplink_percent(&self, user: u8) -> u8 {
        user.min(self.uplink_percent.unwrap_or(100))
    }

    /// The user's rules for disks, made no looser than this.
    #[must_use]
    pub fn disk(&self, user: DiskRules) -> DiskRules {
        DiskRules {
            cache_bytes: user.cache_bytes.min(self.cache_bytes.unwrap_or(u64::MAX)),
            free_bytes: user.free_bytes.max(self.free_bytes.unwrap_or(0)),
        }
    }

    /// When uploads rest: when the user or the administrator says so.
    #[must_use]
    pub fn pauses(&self, user: PauseRules) -> PauseRules {
        PauseRules {
            metered: user.metered || self.pause_on_metered,
            battery: user.battery || self.pause_on_battery,
            vpn: user.vpn || self.pause_on_vpn,
        }
    }

    /// Whether files of this publisher may be shared.
    #[must_use]
    pub fn allows(&self, publisher: &str) -> bool {
        let named = |known: &String| known.eq_ignore_ascii_case(publisher);
        self.allowed
            && self.share
            && (self.publishers.is_empty() || self.publishers.iter().any(named))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large"));
    }
    fs::read_to_string(path)
}

pub(super) fn parse(text: &str) -> Result<MachinePolicy, String> {
    let policy: MachinePolicy = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    match policy.ratio {
        Some(ratio) if !(0.0..=f64::MAX).contains(&ratio) => {
            Err(format!("ratio = {ratio} is no ratio"))
        }
        Some(_) | None => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_cannot_loosen_it() {
        let text = "ratio = 0.5\nmonth-bytes = 1000\nuplink-percent = 10\npause-on-vpn = true\n\
                    publishers = [\"AB\"]\n";
        let policy = parse(text).unwrap();
        let user = Limits {
            ratio: 9.0,
            month_bytes: u64::MAX,
            object_bytes: 7,
        };
        let want = Limits {
            ratio: 0.5,
            month_bytes: 1000,
            object_bytes: 7,
        };
        assert_eq!(policy.limits(user), want);
        assert_eq!(policy.limits(Limits { ratio: 0.1, ..user }).ratio, 0.1);
        assert_eq!(
            (policy.uplink_percent(90), policy.uplink_percent(5)),
            (10, 5)
        );
        assert!(policy.allows("ab") && !policy.allows("cd"));
        let policy = parse("cache-bytes = 5\nfree-bytes = 9\n").unwrap();
        let disk = |cache_bytes, free_bytes| {
            let rules = policy.disk(DiskRules {
                cache_bytes,
                free_bytes,
            });
            (rules.cache_bytes, rules.free_bytes)
        };
        assert_eq!((disk(7, 7), disk(3, 11)), ((5, 9), (3, 11)));
    }

    #[test]
    fn conditions_that_an_administrator_names_let_uploads_rest() {
        let policy = parse("pause-on-vpn = true\n").unwrap();
        let careless = PauseRules {
            metered: false,
            battery: false,
            vpn: false,
        };
        assert!(policy.pauses(careless).vpn && !policy.pauses(careless).battery);
    }

    #[test]
    fn a_no_is_a_no() {
        assert!(!parse("share = false").unwrap().allows("ab"));
        assert!(!parse("allowed = false").unwrap().allows("ab"));
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_no_file_is_not() {
        for text in [
            "shaer = false",
            "ratio = nan",
            "ratio = -1.0",
            "share = ",
            "month-bytes = -1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert_eq!(
            MachinePolicy::load(&path).unwrap(),
            MachinePolicy::default()
        );
        fs::write(&path, "shaer = false").unwrap();
        let error = MachinePolicy::load(&path).unwrap_err().to_string();
        assert!(error.contains("shaer"), "{error}");
    }
}
