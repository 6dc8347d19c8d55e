//! Keeps uploads within what the user, the administrator and the machine's condition allow.
//!
//! One for each program that shares. It owns the switch of the client's [`Uploads`]: it looks at
//! the machine's condition now and then, at the budget and the uplink every second, and hears the
//! user at once.
//!
//! ```text
//!   user ──► pause ──┐
//!   policy, power,   ├──► rules ──► Uploads: open or closed, so fast      (peerlift-client)
//!   network ─────────┤                 ▲
//!   Budget, Uplink ──┘                 └── every 32 KiB are taken from the Budget
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peerlift_client::Uploads;
use peerlift_model::{Rate, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::home::Home;
use crate::limits::{Budget, Limits, Uplink};
use crate::machine::{Conditions, DiskGuard, DiskRules, Hours, MachinePolicy, Pause, PauseRules};

/// How often the machine's condition is looked at: a cable that is pulled out costs half a minute on
/// battery at most, and looking costs next to nothing.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How often the budget and the uplink are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How the user wants to share: the part of the settings that the steward keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShareRules {
    /// How much in all.
    pub limits: Limits,
    /// How much of the measured uplink, in percent. Default: 50.
    pub uplink_percent: u8,
    /// When to rest.
    pub pause: PauseRules,
    /// The hours in which to share. Default: always.
    pub hours: Hours,
    /// How much of the disks may be used.
    pub disk: DiskRules,
}

impl Default for ShareRules {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            uplink_percent: 50,
            pause: PauseRules::default(),
            hours: Hours::Always,
            disk: DiskRules::default(),
        }
    }
}

/// Whether uploads may go, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SharingState {
    /// Why uploads rest; none: they may go.
    pub pauses: Vec<Pause>,
    /// Bytes a second that were measured to be possible.
    pub uplink: Option<u64>,
    /// Bytes a second that are allowed of them.
    pub cap: Option<u64>,
}

/// The keeper of one client's uploads. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Steward {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    uploads: Uploads,
    budget: Budget,
    conditions: Conditions,
    policy_file: PathBuf,
    /// Where records and cache lie.
    folders: [PathBuf; 2],
    mind: Mutex<Mind>,
    state: watch::Sender<SharingState>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Mind {
    rules: ShareRules,
    paused_by_user: bool,
    policy: Option<Pause>,
    machine: Option<Pause>,
    disks: DiskGuard,
    policy_now: MachinePolicy,
    uplink: Uplink,
    sent: u64,
}

impl Steward {
    /// A steward that keeps to these rules, to the policy in a file, and to what the machine says.
    /// Until it has looked for the first time nothing goes out.
    #[must_use]
    pub fn new(home: &Home, rules: ShareRules, policy_file: &Path, conditions: Conditions) -> Self {
        let budget = Budget::at(home.counts(), rules.limits);
        let uploads = Uploads::within(Arc::new(budget.clone()));
        uploads.set_open(false);
        Self {
            inner: Arc::new(Inner {
                uploads,
                budget,
                conditions,
                policy_file: policy_file.to_owned(),
                folders: [home.data.clone(), home.cache.clone()],
                mind: Mutex::new(Mind {
                    rules,
                    ..Mind::default()
                }),
                state: watch::Sender::default(),
                started: Instant::now(),
            }),
        }
    }

    /// The switch, for the client's configuration.
    #[must_use]
    pub fn uploads(&self) -> Uploads {
        self.inner.uploads.clone()
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// The administrator's policy as it was last read.
    #[must_use]
    pub fn policy(&self) -> MachinePolicy {
        self.mind().policy_now.clone()
    }

    /// The state and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<SharingState> {
        self.inner.state.subscribe()
    }

    /// Stops all uploads, or lets them go on, at once.
    pub fn set_paused(&self, paused: bool) {
        self.mind().paused_by_user = paused;
        self.decide();
    }

    /// Whether the user has paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.mind().paused_by_user
    }

    /// How the user wants to share.
    #[must_use]
    pub fn rules(&self) -> ShareRules {
        self.mind().rules
    }

    /// How much of the disks may be used, as far as the administrator allows it.
    #[must_use]
    pub fn disk_rules(&self) -> DiskRules {
        let mind = self.mind();
        mind.policy_now.disk(mind.rules.disk)
    }

    /// Changes how the user wants to share, from now on. The administrator's policy still holds.
    pub fn set_rules(&self, rules: ShareRules) {
        let limits = {
            let mut mind = self.mind();
            mind.rules = rules;
            mind.policy_now.limits(rules.limits)
        };
        self.inner.budget.set_limits(limits);
        self.decide();
    }

    /// Looks at policy and machine once.
    pub async fn look(&self) {
        let policy = MachinePolicy::load(&self.inner.policy_file);
        let rules = self.rules();
        let pauses = match &policy {
            Ok(policy) => policy.pauses(rules.pause),
            Err(_) => rules.pause,
        };
        let machine = self.inner.conditions.pause(pauses).await;
        {
            let mut mind = self.mind();
            mind.machine = machine;
            mind.policy = match policy {
                Ok(policy) => {
                    self.inner.budget.set_limits(policy.limits(rules.limits));
                    let forbids = !policy.allowed || !policy.share;
                    let why = || {
                        format!("sharing is switched off {}", policy.contact)
                            .trim()
                            .to_owned()
                    };
                    let pause = forbids.then(|| Pause::Policy { why: why() });
                    mind.policy_now = policy;
                    pause
                }
                Err(error) => Some(Pause::Policy {
                    why: error.to_string(),
                }),
            };
        }
        self.look_at_disks();
        self.decide();
    }

    fn look_at_disks(&self) {
        let Inner {
            folders,
            conditions,
            ..
        } = &*self.inner;
        let kept_free = self.disk_rules().free_bytes;
        // A disk that does not answer must not keep others from the mind.
        let mut disks = self.mind().disks.clone();
        disks.look(folders.iter().map(PathBuf::as_path), kept_free, |folder| {
            conditions.free(folder)
        });
        self.mind().disks = disks;
    }

    /// Keeps uploads within the rules for as long as it is polled.
    pub async fn run(self) {
        let mut looked: Option<Instant> = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                self.look().await;
            }
            self.measure();
            self.decide();
        }
    }

    fn measure(&self) {
        let sent = self.inner.budget.sent();
        let micros = u64::try_from(self.inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut mind = self.mind();
        let bytes = sent - std::mem::replace(&mut mind.sent, sent);
        mind.uplink
            .sent_in_a_second(bytes, Timestamp::from_micros(micros));
    }

    fn decide(&self) {
        let budget = &self.inner.budget;
        let (pauses, uplink, cap) = {
            let mind = self.mind();
            let user = mind.paused_by_user.then_some(Pause::User);
            let hours = mind.rules.hours;
            let early = !hours.contain(self.inner.conditions.minute());
            let uncounted = budget.fault().map(|why| Pause::Uncounted { why });
            let limit = budget.denied_to_all().map(|limit| Pause::Limit {
                why: limit.to_string(),
            });
            let pauses = [
                user,
                mind.policy.clone(),
                mind.machine.clone(),
                early.then_some(Pause::Hours { hours }),
                mind.disks.any().map(|low| Pause::Disk {
                    why: low.to_string(),
                }),
                uncounted.or(limit),
            ];
            let percent = mind.policy_now.uplink_percent(mind.rules.uplink_percent);
            let pauses: Vec<Pause> = pauses.into_iter().flatten().collect();
            (pauses, mind.uplink.measured(), mind.uplink.cap(percent))
        };
        self.inner.uploads.set_limit(cap);
        // A limit that is reached closes nothing: the budget refuses each byte by itself, and hears
        // of the next month by being asked.
        let may_ask =
            |pause: &Pause| matches!(pause, Pause::Limit { .. } | Pause::Uncounted { .. });
        self.inner.uploads.set_open(pauses.iter().all(may_ask));
        let state = SharingState {
            pauses,
            uplink: uplink.map(Rate::bytes_per_s),
            cap: cap.map(Rate::bytes_per_s),
        };
        self.inner.state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        // A panic while the lock is held leaves values that are whole.
        self.inner
            .mind
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::machine::MinuteOfDay;

    fn steward(root: &Path) -> Steward {
        let home = Home::below(root);
        let rules = ShareRules {
            // The tester's own bus is nobody's business.
            pause: PauseRules {
                metered: false,
                ..PauseRules::default()
            },
            ..ShareRules::default()
        };
        Steward::new(
            &home,
            rules,
            &root.join("policy.toml"),
            Conditions::below(root),
        )
    }

    fn pauses(steward: &Steward) -> Vec<Pause> {
        steward.state().borrow().pauses.clone()
    }

    #[tokio::test]
    async fn nothing_goes_before_the_first_look() {
        let folder = tempfile::tempdir().unwrap();
        let steward = steward(folder.path());
        assert!(!steward.uploads().is_open());
        steward.look().await;
        assert!(steward.uploads().is_open());
    }

    #[tokio::test]
    async fn the_users_pause_is_heard_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let steward = steward(folder.path());
        steward.look().await;
        steward.set_paused(true);
        assert!(!steward.uploads().is_open());
        assert_eq!(pauses(&steward), [Pause::User]);
        steward.set_paused(false);
        assert!(steward.uploads().is_open());
    }

    #[tokio::test]
    async fn outside_its_hours_it_rests_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let noon = Conditions::below(folder.path()).with_clock(|| MinuteOfDay::at(12, 0).unwrap());
        let mut rules = steward(folder.path()).rules();
        rules.hours = "22:00-06:00".parse().unwrap();
        let policy = folder.path().join("policy.toml");
        let steward = Steward::new(&Home::below(folder.path()), rules, &policy, noon);
        steward.look().await;
        assert!(!steward.uploads().is_open());
        let hours = rules.hours;
        assert_eq!(pauses(&steward), [Pause::Hours { hours }]);
        rules.hours = "11:00-13:00".parse().unwrap();
        steward.set_rules(rules);
        assert!(steward.uploads().is_open());
    }

    #[tokio::test]
    async fn a_disk_that_is_nearly_full_lets_uploads_rest() {
        static FREE: AtomicU64 = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let disks = |_: &Path| Some(FREE.load(Ordering::Relaxed));
        let conditions = Conditions::below(folder.path()).with_disks(disks);
        let mut rules = steward(folder.path()).rules();
        rules.disk.free_bytes = 1000;
        let policy = folder.path().join("policy.toml");
        let steward = Steward::new(&Home::below(folder.path()), rules, &policy, conditions);
        steward.look().await;
        assert!(matches!(&pauses(&steward)[..], [Pause::Disk { .. }]));
        assert!(!steward.uploads().is_open());
        FREE.store(1250, Ordering::Relaxed);
        steward.look().await;
        assert!(steward.uploads().is_open());
        // The administrator wants more of it.
        fs::write(policy, "free-bytes = 2000\n").unwrap();
        steward.look().await;
        assert!(!steward.uploads().is_open());
    }

    #[tokio::test]
    async fn a_network_that_becomes_metered_while_it_runs_is_heard_of() {
        static METERED: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let network = || METERED.load(Ordering::Relaxed);
        let conditions = Conditions::below(folder.path()).with_network(network);
        let policy = folder.path().join("policy.toml");
        let rules = ShareRules::default();
        let steward = Steward::new(&Home::below(folder.path()), rules, &policy, conditions);
        let mut changes = steward.state();
        steward.look().await;
        assert!(steward.uploads().is_open());
        for metered in [true, false, true] {
            changes.mark_unchanged();
            METERED.store(metered, Ordering::Relaxed);
            steward.look().await;
            assert!(changes.has_changed().unwrap());
            let expected: &[Pause] = if metered { &[Pause::Metered] } else { &[] };
            assert_eq!(pauses(&steward), expected);
            assert_eq!(steward.uploads().is_open(), !metered);
        }
    }

    #[tokio::test]
    async fn battery_and_vpn_let_uploads_rest_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let steward = steward(folder.path());
        let battery = folder.path().join("sys/class/power_supply/BAT0");
        fs::create_dir_all(&battery).unwrap();
        fs::write(battery.join("type"), "Battery\n").unwrap();
        fs::write(battery.join("status"), "Discharging\n").unwrap();
        steward.look().await;
        assert_eq!(pauses(&steward), [Pause::Battery]);
        assert!(!steward.uploads().is_open());
        fs::write(battery.join("status"), "Charging\n").unwrap();
        let net = folder.path().join("proc/net");
        fs::create_dir_all(&net).unwrap();
        let row = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                   tun0 00000000 0 1 0 0 0 00000000 0 0 0\n";
        fs::write(net.join("route"), row).unwrap();
        steward.look().await;
        assert_eq!(
            pauses(&steward),
            [Pause::Vpn {
                interface: "tun0".to_owned()
            }]
        );
    }

    #[tokio::test]
    async fn an_administrator_who_says_no_or_nothing_readable_is_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let steward = steward(folder.path());
        for text in ["share = false\ncontact = \"ask Kim\"\n", "shaer = true\n"] {
            fs::write(folder.path().join("policy.toml"), text).unwrap();
            steward.look().await;
            assert!(
                matches!(&pauses(&steward)[..], [Pause::Policy { .. }]),
                "{text}"
            );
            assert!(!steward.uploads().is_open());
        }
        fs::write(folder.path().join("policy.toml"), "month-bytes = 5\n").unwrap();
        steward.look().await;
        assert!(steward.uploads().is_open());
        assert_eq!(steward.budget().limits().month_bytes, 5);
    }
}
