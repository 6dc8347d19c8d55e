//! The counts in a file: reserved in blocks before a byte goes out.
//!
//! Several programs of one user share the file. Each holds blocks of its own in memory and changes
//! the file under a lock, so that all of them together stay within the limits.
//!
//! Who sends takes from the blocks in memory and never waits for a disk: when half of a block is gone
//! another is reserved on a thread that may wait. Two locks keep that apart: `writing` is held while
//! the file is changed, `held` never.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use peerlift_client::{Taking, UploadBudget};
use peerlift_model::ObjectId;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::counts::{Counts, Denied, Limits};
use crate::state::{Keep, StateError, StateFile};
use crate::time::UnixTime;

/// The bytes of a block: 8 MiB are a second of a fast home's uplink (64 Mbit/s), so that a disk is
/// asked about twice a second at most there, and every ten seconds by most.
const BLOCK_BYTES: u64 = 8 * 1024 * 1024;

/// With less than this left another block is reserved. So a crash wastes at most a block and a half
/// of the user's allowance for each object: 12 MiB of a month's 20 GB.
const LOW_BYTES: u64 = BLOCK_BYTES / 2;

/// Bytes received of an unfinished download that may wait in memory before they are counted; a crash
/// forgets them, which makes the ratio stricter, never looser.
const RECEIVED_WAITING: u64 = 16 * 1024 * 1024;

/// Bytes that are counted already and not yet sent.
#[derive(Clone, Debug)]
struct Block {
    left: u64,
    /// The month they are counted for.
    month: String,
    /// Nothing more may be reserved: the limits leave only this.
    last: bool,
}

/// What may be sent, on disk. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: StateFile<Counts>,
    /// Held while the file is changed. Taken before `held`, never after.
    writing: Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    limits: Limits,
    /// Bytes counted as sent already and not yet sent.
    blocks: BTreeMap<ObjectId, Block>,
    /// Objects for which a thread is about to reserve another block.
    reserving: BTreeSet<ObjectId>,
    received: BTreeMap<ObjectId, u64>,
    /// Whether a thread is about to write down what was received.
    writing_received: bool,
    /// The limits that were reached, by object.
    denied: BTreeMap<ObjectId, Denied>,
    /// What keeps the file from being written: then nothing goes out.
    fault: Option<String>,
    moved_aside: Vec<PathBuf>,
    /// Bytes sent since the program started.
    sent: u64,
}

impl Budget {
    /// The budget in this file, within these limits.
    #[must_use]
    pub fn at(path: PathBuf, limits: Limits) -> Self {
        let held = Mutex::new(Held {
            limits,
            ..Held::default()
        });
        Self {
            inner: Arc::new(Inner {
                file: StateFile::at(path),
                writing: Mutex::default(),
                held,
            }),
        }
    }

    /// Changes the limits from now on.
    pub fn set_limits(&self, limits: Limits) {
        let mut held = self.held();
        held.limits = limits;
        held.denied.clear();
        held.blocks
            .values_mut()
            .for_each(|block| block.last = false);
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.held().limits
    }

    /// What is counted, with what is still unsent of blocks taken off.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the file cannot be read.
    pub fn counts(&self) -> Result<Counts, StateError> {
        // What is reserved just now is in the file and not yet among the blocks.
        let _writing = self.writing();
        let held = self.held();
        let mut counts = self.inner.file.load()?.record;
        counts.turn_to(UnixTime::now());
        for (object, block) in &held.blocks {
            counts.give_back(&object.to_string(), block.left, &block.month);
        }
        Ok(counts)
    }

    /// Bytes sent since the program started.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.held().sent
    }

    /// The limit that keeps an object from being sent, if one was met.
    #[must_use]
    pub fn denied(&self, object: ObjectId) -> Option<Denied> {
        self.held().denied.get(&object).copied()
    }

    /// The limit that keeps everything from being sent, if one was met.
    #[must_use]
    pub fn denied_to_all(&self) -> Option<Denied> {
        let held = self.held();
        let all = |limit: &&Denied| matches!(limit, Denied::Month | Denied::Ratio);
        held.denied.values().find(all).copied()
    }

    /// Why the counts cannot be kept, if they cannot: nothing is sent then.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.held().fault.clone()
    }

    /// Damaged files that were moved aside since the last call.
    #[must_use]
    pub fn moved_aside(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.held().moved_aside)
    }

    /// Counts bytes that were received and verified. Within a runtime the disk is left to a thread.
    pub fn receive(&self, object: ObjectId, bytes: u64) {
        let waiting: u64 = {
            let mut held = self.held();
            add(&mut held.received, object, bytes);
            held.received.values().sum()
        };
        if waiting >= RECEIVED_WAITING {
            self.keep_received_soon();
        }
    }

    /// Writes down what was received, lest a crash forget it. It waits for the disk: whoever is told
    /// afterwards that a download is complete may count on what it earned.
    pub fn keep_received(&self) {
        let _writing = self.writing();
        let received = {
            let mut held = self.held();
            held.writing_received = false;
            std::mem::take(&mut held.received)
        };
        if received.is_empty() {
            return;
        }
        let written = self.inner.file.update(|loaded| {
            count_received(&mut loaded.record, &received);
            (loaded.moved_aside.clone(), Keep::Yes)
        });
        let mut held = self.held();
        if written.is_err() {
            held.take_back(received);
        }
        held.note(written);
    }

    /// The same, without waiting where a thread can.
    fn keep_received_soon(&self) {
        if std::mem::replace(&mut self.held().writing_received, true) {
            return;
        }
        let budget = self.clone();
        let write = move || budget.keep_received();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }

    /// Gives back what was not sent and counts what was received: a good end of the program.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the file cannot be written; then it stays counted.
    pub fn settle(&self) -> Result<(), StateError> {
        let _writing = self.writing();
        let (blocks, received) = {
            let mut held = self.held();
            let blocks = std::mem::take(&mut held.blocks);
            (blocks, std::mem::take(&mut held.received))
        };
        if blocks.is_empty() && received.is_empty() {
            return Ok(());
        }
        let written = self.inner.file.update(|loaded| {
            for (object, block) in &blocks {
                let name = object.to_string();
                loaded.record.give_back(&name, block.left, &block.month);
            }
            count_received(&mut loaded.record, &received);
            ((), Keep::Yes)
        });
        if written.is_err() {
            let mut held = self.held();
            held.blocks.extend(blocks);
            held.take_back(received);
        }
        written
    }

    /// Takes from what is in memory. False: there is not enough.
    fn take_at_once(&self, object: ObjectId, bytes: u64) -> bool {
        let mut held = self.held();
        let now = UnixTime::now();
        let block = held.blocks.get_mut(&object);
        let Some(block) = block.filter(|block| block.has(bytes, now)) else {
            return false;
        };
        block.left -= bytes;
        held.sent += bytes;
        true
    }

    /// The same, and reserves another block where that is needed. It waits for the disk.
    fn take_and_wait(&self, object: ObjectId, bytes: u64) -> bool {
        let _writing = self.writing();
        // Somebody else may have reserved one meanwhile.
        if self.take_at_once(object, bytes) {
            return true;
        }
        self.reserve(object, Held::deny);
        self.take_at_once(object, bytes)
    }

    /// Reserves another block of what is used up soon, without anybody who waits for it.
    fn look_ahead(&self, object: ObjectId) {
        {
            let mut held = self.held();
            let low = |block: &Block| block.left < LOW_BYTES && !block.last;
            if !held.blocks.get(&object).is_some_and(low) || !held.reserving.insert(object) {
                return;
            }
        }
        let budget = self.clone();
        drop(spawn_blocking(move || {
            let _writing = budget.writing();
            // What was settled since, or reserved by who could not wait, needs no more.
            let low = |block: &Block| block.left < LOW_BYTES;
            let wanted = budget.held().blocks.get(&object).is_some_and(low);
            if wanted {
                // What is left may still go, so nobody is denied yet.
                budget.reserve(object, |held, object, _| held.is_last(object));
            }
            budget.held().reserving.remove(&object);
        }));
    }

    /// Reserves another block; `denied` hears of a limit that is reached. Whoever calls it holds
    /// `writing`.
    fn reserve(&self, object: ObjectId, denied: impl FnOnce(&mut Held, ObjectId, Denied)) {
        let (limits, received) = {
            let mut held = self.held();
            (held.limits, std::mem::take(&mut held.received))
        };
        let name = object.to_string();
        let taken = self.inner.file.update(|loaded| {
            count_received(&mut loaded.record, &received);
            let now = UnixTime::now();
            let taken = loaded.record.take(&name, BLOCK_BYTES, &limits, now);
            let changed = taken.is_ok() || !received.is_empty() || loaded.moved_aside.is_some();
            let block = taken.map(|left| Block {
                left,
                month: loaded.record.month().to_owned(),
                last: left < BLOCK_BYTES,
            });
            let keep = if changed { Keep::Yes } else { Keep::No };
            ((block, loaded.moved_aside.clone()), keep)
        });
        let mut held = self.held();
        match taken {
            Ok((Ok(block), aside)) => {
                held.put(object, block);
                held.note(Ok(aside));
            }
            Ok((Err(limit), aside)) => {
                denied(&mut held, object, limit);
                held.note(Ok(aside));
            }
            Err(error) => {
                held.take_back(received);
                held.note(Err(error));
            }
        }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // It guards the file, which is replaced in one step.
        self.inner
            .writing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic while the lock is held leaves counts that are whole.
        self.inner
            .held
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Block {
    /// Whether so many bytes may go out of it now.
    fn has(&self, bytes: u64, now: UnixTime) -> bool {
        self.left >= bytes && Counts::is_month(&self.month, now)
    }
}

impl Held {
    fn note(&mut self, result: Result<Option<PathBuf>, StateError>) {
        match result {
            Ok(aside) => {
                self.fault = None;
                self.moved_aside.extend(aside);
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn put(&mut self, object: ObjectId, mut block: Block) {
        // What is left of another month's block stays counted there.
        let rest = self.blocks.remove(&object);
        let rest = rest.filter(|rest| rest.month == block.month);
        block.left += rest.map_or(0, |rest| rest.left);
        self.blocks.insert(object, block);
        self.denied.remove(&object);
    }

    fn deny(&mut self, object: ObjectId, limit: Denied) {
        self.denied.insert(object, limit);
    }

    fn is_last(&mut self, object: ObjectId) {
        if let Some(block) = self.blocks.get_mut(&object) {
            block.last = true;
        }
    }

    fn take_back(&mut self, received: BTreeMap<ObjectId, u64>) {
        for (object, bytes) in received {
            add(&mut self.received, object, bytes);
        }
    }
}

fn add(received: &mut BTreeMap<ObjectId, u64>, object: ObjectId, bytes: u64) {
    let count = received.entry(object).or_default();
    *count = count.saturating_add(bytes);
}

fn count_received(counts: &mut Counts, received: &BTreeMap<ObjectId, u64>) {
    for (object, bytes) in received {
        counts.receive(&object.to_string(), *bytes, UnixTime::now());
    }
}

impl UploadBudget for Budget {
    fn take(&self, object: ObjectId, bytes: u64) -> Taking<'_> {
        if self.take_at_once(object, bytes) {
            self.look_ahead(object);
            return Box::pin(std::future::ready(true));
        }
        let budget = self.clone();
        let waiting = spawn_blocking(move || budget.take_and_wait(object, bytes));
        // A thread that panicked has taken nothing that anybody knows of.
        Box::pin(async { waiting.await.unwrap_or(false) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(byte: u8) -> ObjectId {
        ObjectId::new([byte; 32])
    }

    fn at(folder: &tempfile::TempDir, month_bytes: u64) -> Budget {
        let limits = Limits {
            month_bytes,
            ..Limits::default()
        };
        Budget::at(folder.path().join("counts.json"), limits)
    }

    #[test]
    fn bytes_are_written_down_before_they_go_and_given_back_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, 1 << 40);
        budget.receive(object(1), 100 << 20);
        assert!(budget.take_and_wait(object(1), 1000));
        let on_disk = || at(&folder, 1 << 40).counts().unwrap().sent;
        assert_eq!(
            on_disk(),
            BLOCK_BYTES,
            "another program sees the whole block"
        );
        assert_eq!(budget.counts().unwrap().sent, 1000);
        budget.settle().unwrap();
        assert_eq!(on_disk(), 1000);
    }

    #[test]
    fn a_crash_loses_at_most_a_block_and_never_forgets_a_byte() {
        let folder = tempfile::tempdir().unwrap();
        let limit = 10 * BLOCK_BYTES;
        let mut sent = 0;
        loop {
            let budget = at(&folder, limit);
            budget.receive(object(1), 1 << 30);
            let before = sent;
            for _ in 0..5 {
                if budget.take_and_wait(object(1), BLOCK_BYTES / 4) {
                    sent += BLOCK_BYTES / 4;
                }
            }
            // Forgotten without settling, as kill -9 does.
            drop(budget);
            let counted = at(&folder, limit).counts().unwrap().sent;
            assert!(counted >= sent, "{counted} counted, {sent} sent");
            if sent == before {
                break;
            }
        }
        assert!(sent <= limit);
    }

    #[test]
    fn what_a_complete_download_earned_is_on_disk_before_anybody_hears_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, 1 << 40);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // Whatever is left to a thread waits, as on a busy machine.
            let (free, busy) = std::sync::mpsc::channel::<()>();
            let held_up = spawn_blocking(move || busy.recv());
            for bytes in [RECEIVED_WAITING, 1] {
                budget.receive(object(1), bytes);
            }
            budget.keep_received();
            let on_disk = at(&folder, 1 << 40).counts().unwrap().received;
            assert_eq!(on_disk, RECEIVED_WAITING + 1);
            drop(free);
            held_up.await.unwrap().unwrap_err();
        });
        drop(runtime);
        assert_eq!(budget.counts().unwrap().received, RECEIVED_WAITING + 1);
    }

    #[test]
    fn programs_share_one_allowance() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (at(&folder, BLOCK_BYTES), at(&folder, BLOCK_BYTES));
        first.receive(object(1), 1 << 30);
        assert!(first.take_and_wait(object(1), 1));
        assert!(!second.take_and_wait(object(2), 1));
        assert_eq!(second.denied_to_all(), Some(Denied::Month));
        first.settle().unwrap();
        assert!(second.take_and_wait(object(2), 1));
        assert_eq!(second.denied_to_all(), None);
    }

    #[test]
    fn a_disk_that_keeps_no_counts_keeps_bytes_from_going() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, 1 << 40);
        budget.receive(object(1), 1 << 30);
        std::fs::create_dir(folder.path().join("counts.new")).unwrap();
        assert!(!budget.take_and_wait(object(1), 1));
        assert!(budget.fault().is_some());
        std::fs::remove_dir(folder.path().join("counts.new")).unwrap();
        // What was received before is forgotten: stricter, never looser.
        budget.receive(object(1), 1 << 30);
        assert!(budget.take_and_wait(object(1), 1));
        assert_eq!(budget.fault(), None);
    }

    #[test]
    fn damaged_counts_are_moved_aside_and_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("counts.json"), "{").unwrap();
        let budget = at(&folder, 1 << 40);
        assert!(
            !budget.take_and_wait(object(1), 1),
            "nothing was received by what is known now"
        );
        assert_eq!(
            budget.moved_aside(),
            [folder.path().join("counts.damaged-1")]
        );
    }

    #[tokio::test]
    async fn half_a_block_before_the_end_another_is_reserved() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, 1 << 40);
        budget.receive(object(1), 100 << 20);
        assert!(budget.take(object(1), BLOCK_BYTES - LOW_BYTES).await);
        let reserving = || budget.held().reserving.contains(&object(1));
        assert!(!reserving(), "half of it is left");
        assert!(budget.take(object(1), 1).await);
        assert!(reserving());
        while reserving() {
            tokio::task::yield_now().await;
        }
        let on_disk = at(&folder, 1 << 40).counts().unwrap().sent;
        assert_eq!(on_disk, 2 * BLOCK_BYTES);
        assert_eq!(budget.counts().unwrap().sent, LOW_BYTES + 1);
    }

    #[tokio::test]
    async fn who_sends_from_memory_does_not_wait_while_the_file_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, 1 << 40);
        budget.receive(object(1), 100 << 20);
        assert!(budget.take(object(1), 1).await);
        // As while a disk takes its time.
        let slow = budget.writing();
        assert!(budget.take_at_once(object(1), 1));
        drop(slow);
        budget.settle().unwrap();
        assert_eq!(budget.counts().unwrap().sent, 2);
    }

    #[tokio::test]
    async fn what_is_left_of_an_allowance_goes_before_anybody_is_denied() {
        let folder = tempfile::tempdir().unwrap();
        let budget = at(&folder, BLOCK_BYTES);
        budget.receive(object(1), 100 << 20);
        for _ in 0..4 {
            assert!(budget.take(object(1), BLOCK_BYTES / 4).await);
            while budget.held().reserving.contains(&object(1)) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(budget.denied_to_all(), None);
        assert!(!budget.take(object(1), 1).await);
        assert_eq!(budget.denied_to_all(), Some(Denied::Month));
        assert_eq!(budget.counts().unwrap().sent, BLOCK_BYTES);
    }
}
