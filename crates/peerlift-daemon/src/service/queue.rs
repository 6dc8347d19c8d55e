//! The order of downloads: which run, which wait, which rest. Pure.
//!
//! [`Queue`] knows no file and no socket. Whoever owns it carries out what [`Queue::next_order`]
//! says, and tells it how that went.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// Downloads that may wait and run; more than a person can oversee.
const UNFINISHED_MAX: usize = 256;

/// Finished downloads that are remembered; the oldest is forgotten first.
const HISTORY_MAX: usize = 100;

/// Names a download. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DownloadId(pub u64);

/// Who goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// After all others.
    Low,
    /// In the order in which they came.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// Where a download stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Phase {
    /// It waits for its turn, or for its time.
    Waiting,
    /// It runs.
    Running,
    /// The user has paused it.
    Paused,
    /// It is complete and shared with others.
    Sharing,
    /// It is complete.
    Done,
    /// It ended without its file.
    Failed {
        /// Why.
        why: String,
    },
}

/// What is to be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The file and its mirrors.
    pub urls: Vec<String>,
    /// The folder it goes into.
    pub folder: PathBuf,
    /// Who goes first.
    #[serde(default)]
    pub priority: Priority,
    /// Whether its user waits for it. One that nobody waits for gives way to everything else on the
    /// machine's line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreground: bool,
    /// Not before this time.
    #[serde(default)]
    pub not_before: Option<UnixTime>,
    /// The application it is for.
    #[serde(default)]
    pub application: Option<String>,
}

/// One download, as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its number.
    pub id: DownloadId,
    /// What is wanted.
    pub wanted: Wanted,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// Since when it is in the queue.
    pub added: UnixTime,
    /// When it ended.
    pub ended: Option<UnixTime>,
    /// The file's name, once it is known.
    pub name: Option<String>,
    /// Where the file is, once it is there.
    pub path: Option<PathBuf>,
}

/// What the owner of the queue must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start it.
    Start(DownloadId),
    /// Stop it; what is there stays.
    Stop(DownloadId),
}

/// All downloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    next: u64,
    /// Whether all rest.
    paused: bool,
    /// Whether uploads rest. It is kept with the queue, which its user stops in the same breath.
    #[serde(default)]
    uploads_paused: bool,
    items: BTreeMap<DownloadId, Item>,
}

/// A request that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no such download.
    #[error("there is no download {}", .0.0)]
    Unknown(DownloadId),
    /// The queue is full.
    #[error("{UNFINISHED_MAX} downloads are waiting already")]
    Full,
    /// It is over.
    #[error("download {} is over", .0.0)]
    Over(DownloadId),
}

impl Queue {
    /// Puts a download at the end of those of its priority.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`].
    pub fn add(&mut self, wanted: Wanted, now: UnixTime) -> Result<DownloadId, QueueError> {
        if self
            .items
            .values()
            .filter(|item| !item.phase.is_over())
            .count()
            >= UNFINISHED_MAX
        {
            return Err(QueueError::Full);
        }
        self.next += 1;
        let id = DownloadId(self.next);
        let item = Item {
            id,
            wanted,
            phase: Phase::Waiting,
            added: now,
            ended: None,
            name: None,
            path: None,
        };
        self.items.insert(id, item);
        Ok(id)
    }

    /// The next thing to do, with at most `slots` running at a time, of those that `may` run. Ask
    /// until there is none.
    pub fn next_order(
        &mut self,
        slots: usize,
        now: UnixTime,
        may: impl Fn(&Item) -> bool,
    ) -> Option<Order> {
        if self.paused {
            return None;
        }
        let running = self
            .items
            .values()
            .filter(|item| item.phase == Phase::Running)
            .count();
        if running >= slots {
            return None;
        }
        let due = |item: &&mut Item| {
            item.phase == Phase::Waiting
                && item.wanted.not_before.is_none_or(|at| at <= now)
                && may(item)
        };
        let waiting = self.items.values_mut().filter(due);
        let first =
            waiting.min_by_key(|item| (std::cmp::Reverse(item.wanted.priority), item.id))?;
        first.phase = Phase::Running;
        Some(Order::Start(first.id))
    }

    /// When a waiting download becomes due, if one does.
    #[must_use]
    pub fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        let waiting = self
            .items
            .values()
            .filter(|item| item.phase == Phase::Waiting);
        waiting
            .filter_map(|item| item.wanted.not_before)
            .filter(|at| *at > now)
            .min()
    }

    /// Lets a download rest. What runs has to be stopped.
    ///
    /// # Errors
    ///
    /// A [`QueueError`] when there is none, or it is over.
    pub fn pause(&mut self, id: DownloadId) -> Result<Option<Order>, QueueError> {
        let item = self.unfinished(id)?;
        let was = std::mem::replace(&mut item.phase, Phase::Paused);
        Ok((was == Phase::Running).then_some(Order::Stop(id)))
    }

    /// Lets a download go on; one that failed is tried again.
    ///
    /// # Errors
    ///
    /// A [`QueueError`] when there is none, or it is complete.
    pub fn resume(&mut self, id: DownloadId) -> Result<(), QueueError> {
        let item = self.items.get_mut(&id).ok_or(QueueError::Unknown(id))?;
        match item.phase {
            Phase::Paused | Phase::Failed { .. } => item.phase = Phase::Waiting,
            Phase::Waiting | Phase::Running => {}
            Phase::Sharing | Phase::Done => return Err(QueueError::Over(id)),
        }
        item.ended = None;
        Ok(())
    }

    /// Lets all rest: what runs has to be stopped, and waits.
    pub fn pause_all(&mut self) -> Vec<Order> {
        self.paused = true;
        self.rest(|_| true)
    }

    /// Those that run, or would if it were their turn.
    pub fn pending(&self) -> impl Iterator<Item = &Item> {
        let pending = |item: &&Item| matches!(item.phase, Phase::Waiting | Phase::Running);
        self.items.values().filter(pending)
    }

    /// Lets those that run and `must` rest wait for their turn again: they have to be stopped.
    pub fn rest(&mut self, must: impl Fn(&Item) -> bool) -> Vec<Order> {
        let running = self
            .items
            .values_mut()
            .filter(|item| item.phase == Phase::Running && must(item));
        running
            .map(|item| {
                item.phase = Phase::Waiting;
                Order::Stop(item.id)
            })
            .collect()
    }

    /// Lets all go on that was not paused by itself.
    pub fn resume_all(&mut self) {
        self.paused = false;
    }

    /// Whether all rest.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Notes whether uploads rest.
    pub fn set_uploads_paused(&mut self, paused: bool) {
        self.uploads_paused = paused;
    }

    /// Whether uploads rest.
    #[must_use]
    pub fn are_uploads_paused(&self) -> bool {
        self.uploads_paused
    }

    /// Changes whether its user waits for it. True: it runs, and does so the other way so far.
    ///
    /// # Errors
    ///
    /// A [`QueueError`] when there is none, or it is over.
    pub fn set_foreground(&mut self, id: DownloadId, foreground: bool) -> Result<bool, QueueError> {
        let item = self.unfinished(id)?;
        let was = std::mem::replace(&mut item.wanted.foreground, foreground);
        Ok(was != foreground && item.phase == Phase::Running)
    }

    /// Changes who goes first.
    ///
    /// # Errors
    ///
    /// A [`QueueError`] when there is none, or it is over.
    pub fn set_priority(&mut self, id: DownloadId, priority: Priority) -> Result<(), QueueError> {
        self.unfinished(id)?.wanted.priority = priority;
        Ok(())
    }

    /// Forgets a download; what runs or is shared has to be stopped. The file stays.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unknown`].
    pub fn remove(&mut self, id: DownloadId) -> Result<Option<Order>, QueueError> {
        let item = self.items.remove(&id).ok_or(QueueError::Unknown(id))?;
        let active = matches!(item.phase, Phase::Running | Phase::Sharing);
        Ok(active.then_some(Order::Stop(id)))
    }

    /// Notes what a download is called.
    pub fn named(&mut self, id: DownloadId, name: String, path: Option<PathBuf>) {
        if let Some(item) = self.items.get_mut(&id) {
            (item.name, item.path) = (Some(name), path);
        }
    }

    /// Notes that a download is complete, and whether it is shared now.
    pub fn completed(&mut self, id: DownloadId, shared: bool, now: UnixTime) {
        self.end(id, if shared { Phase::Sharing } else { Phase::Done }, now);
    }

    /// Notes that a download is no longer shared.
    pub fn sharing_ended(&mut self, id: DownloadId) {
        if let Some(item) = self
            .items
            .get_mut(&id)
            .filter(|item| item.phase == Phase::Sharing)
        {
            item.phase = Phase::Done;
        }
    }

    /// Notes that a running download failed.
    pub fn failed(&mut self, id: DownloadId, why: String, now: UnixTime) {
        self.end(id, Phase::Failed { why }, now);
    }

    /// Makes of a queue that was read back one that can run: nothing does yet. What was shared is to
    /// be shared again, see [`Self::shared`].
    pub fn wake(&mut self) {
        for item in self.items.values_mut() {
            if item.phase == Phase::Running {
                item.phase = Phase::Waiting;
            }
        }
    }

    /// The downloads that are complete and shared.
    pub fn shared(&self) -> impl Iterator<Item = DownloadId> {
        let shared = |item: &&Item| item.phase == Phase::Sharing;
        self.items.values().filter(shared).map(|item| item.id)
    }

    /// Whether it is complete and shared.
    #[must_use]
    pub fn is_shared(&self, id: DownloadId) -> bool {
        self.item(id)
            .is_some_and(|item| item.phase == Phase::Sharing)
    }

    /// All downloads, the earliest first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// One of them.
    #[must_use]
    pub fn item(&self, id: DownloadId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// Whether anything runs, waits or is shared.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let busy =
            |phase: &Phase| matches!(phase, Phase::Waiting | Phase::Running | Phase::Sharing);
        self.items.values().any(|item| busy(&item.phase))
    }

    fn end(&mut self, id: DownloadId, phase: Phase, now: UnixTime) {
        // What was paused or forgotten in the meantime stays so.
        let running = self
            .items
            .get_mut(&id)
            .filter(|item| item.phase == Phase::Running);
        let Some(item) = running else { return };
        (item.phase, item.ended) = (phase, Some(now));
        let over: Vec<(Option<UnixTime>, DownloadId)> = { self.items.values() }
            .filter(|item| matches!(item.phase, Phase::Done | Phase::Failed { .. }))
            .map(|item| (item.ended, item.id))
            .collect();
        if over.len() > HISTORY_MAX
            && let Some((_, oldest)) = over.into_iter().min()
        {
            self.items.remove(&oldest);
        }
    }

    fn unfinished(&mut self, id: DownloadId) -> Result<&mut Item, QueueError> {
        let item = self.items.get_mut(&id).ok_or(QueueError::Unknown(id))?;
        if item.phase.is_over() {
            Err(QueueError::Over(id))
        } else {
            Ok(item)
        }
    }
}

impl Phase {
    fn is_over(&self) -> bool {
        matches!(self, Self::Sharing | Self::Done | Self::Failed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    fn wanted(priority: Priority) -> Wanted {
        Wanted {
            urls: vec!["http://h/a".to_owned()],
            folder: "/tmp".into(),
            priority,
            foreground: false,
            not_before: None,
            application: None,
        }
    }

    fn started(queue: &mut Queue, slots: usize) -> Vec<u64> {
        let orders = std::iter::from_fn(|| queue.next_order(slots, at(10), |_| true));
        orders
            .map(|order| match order {
                Order::Start(id) => id.0,
                Order::Stop(id) => panic!("{id:?} was to be stopped"),
            })
            .collect()
    }

    #[test]
    fn priorities_go_first_and_equals_in_order() {
        let mut queue = Queue::default();
        for priority in [
            Priority::Low,
            Priority::Normal,
            Priority::High,
            Priority::Normal,
        ] {
            queue.add(wanted(priority), at(1)).unwrap();
        }
        assert_eq!(started(&mut queue, 3), [3, 2, 4]);
        queue.completed(DownloadId(3), true, at(2));
        assert_eq!(started(&mut queue, 3), [1], "what only shares makes room");
    }

    #[test]
    fn a_paused_download_stops_and_goes_on_later() {
        let mut queue = Queue::default();
        let id = queue.add(wanted(Priority::Normal), at(1)).unwrap();
        started(&mut queue, 1);
        assert_eq!(queue.pause(id), Ok(Some(Order::Stop(id))));
        // The news that it was interrupted comes late, and changes nothing.
        queue.failed(id, "interrupted".to_owned(), at(2));
        assert_eq!(queue.item(id).unwrap().phase, Phase::Paused);
        assert!(started(&mut queue, 1).is_empty());
        queue.resume(id).unwrap();
        assert_eq!(started(&mut queue, 1), [1]);
    }

    #[test]
    fn all_rest_and_all_go_on() {
        let mut queue = Queue::default();
        (0..3).for_each(|_| drop(queue.add(wanted(Priority::Normal), at(1))));
        queue.pause(DownloadId(3)).unwrap();
        started(&mut queue, 1);
        assert_eq!(queue.pause_all(), [Order::Stop(DownloadId(1))]);
        assert!(started(&mut queue, 3).is_empty());
        queue.resume_all();
        assert_eq!(started(&mut queue, 3), [1, 2]);
    }

    #[test]
    fn what_may_not_run_rests_and_lets_others_pass() {
        let mut queue = Queue::default();
        (0..3).for_each(|_| drop(queue.add(wanted(Priority::Normal), at(1))));
        started(&mut queue, 2);
        let first = |item: &Item| item.id.0 == 1;
        assert_eq!(queue.rest(first), [Order::Stop(DownloadId(1))]);
        assert!(queue.rest(first).is_empty());
        let next = queue.next_order(2, at(1), |item| !first(item));
        assert_eq!(next, Some(Order::Start(DownloadId(3))));
        assert_eq!(queue.pending().count(), 3);
    }

    #[test]
    fn a_download_waits_for_its_time() {
        let mut queue = Queue::default();
        let later = Wanted {
            not_before: Some(at(11)),
            ..wanted(Priority::High)
        };
        queue.add(later, at(1)).unwrap();
        assert!(started(&mut queue, 1).is_empty());
        assert_eq!(queue.next_due(at(10)), Some(at(11)));
        assert_eq!(
            queue.next_order(1, at(11), |_| true),
            Some(Order::Start(DownloadId(1)))
        );
    }

    #[test]
    fn what_failed_can_be_tried_again_and_what_is_complete_cannot() {
        let mut queue = Queue::default();
        let id = queue.add(wanted(Priority::Normal), at(1)).unwrap();
        started(&mut queue, 1);
        queue.failed(id, "no network".to_owned(), at(2));
        queue.resume(id).unwrap();
        assert_eq!(started(&mut queue, 1), [1]);
        queue.completed(id, false, at(3));
        assert_eq!(queue.resume(id), Err(QueueError::Over(id)));
        assert_eq!(queue.pause(id), Err(QueueError::Over(id)));
    }

    #[test]
    fn history_is_bounded() {
        let mut queue = Queue::default();
        for number in 0..(HISTORY_MAX as u64 + 50) {
            let id = queue.add(wanted(Priority::Normal), at(number)).unwrap();
            started(&mut queue, 1);
            queue.completed(id, false, at(number));
        }
        assert_eq!(queue.items().count(), HISTORY_MAX);
        assert_eq!(queue.items().next().unwrap().id, DownloadId(51));
    }

    proptest! {
        /// Whatever is asked in whatever order: no more run than may, nothing runs while all rest,
        /// and what was read back runs nothing.
        #[test]
        fn slots_and_pauses_hold(steps in proptest::collection::vec((0u8..9, 1u64..6), 0..80)) {
            let mut queue = Queue::default();
            for (what, number) in steps {
                let id = DownloadId(number);
                match what {
                    0 | 1 => drop(queue.add(wanted(Priority::Normal), at(1))),
                    2 => drop(queue.pause(id)),
                    3 => drop(queue.resume(id)),
                    4 => drop(queue.pause_all()),
                    5 => queue.resume_all(),
                    6 => queue.completed(id, true, at(2)),
                    7 => queue.failed(id, String::new(), at(2)),
                    _ => drop(queue.remove(id)),
                }
                started(&mut queue, 2);
                let running = queue.items().filter(|item| item.phase == Phase::Running).count();
                prop_assert!(running <= 2);
                prop_assert!(!queue.is_paused() || running == 0);
            }
            let text = serde_json::to_string(&queue).unwrap();
            let mut again: Queue = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&again, &queue);
            again.wake();
            prop_assert!(again.items().all(|item| item.phase != Phase::Running));
            prop_assert!(again.shared().eq(queue.shared()));
        }
    }
}
