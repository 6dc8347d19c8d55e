//! Shares the work on a file among threads: fixed segments, each read once into a reused buffer.
//!
//! A segment is a subtree of the hash tree, so that threads need nothing from one another. Memory
//! is one buffer a thread, whatever the file's size.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use peerlift_model::{GroupRange, Layout};

/// Groups in every segment but perhaps the last: 8 groups are 128 KiB. The copy out of the page
/// cache then stays in the second-level cache until it is hashed; with 1 MiB the copy alone took
/// twice as long as the hash. Smaller segments cost more system calls than they save.
pub(crate) const SEGMENT_GROUPS: u32 = 8;

/// Threads beyond this many wait for the disk or for SHA-256, and each holds a segment.
const THREADS_MAX: usize = 32;

/// The segments of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segments {
    layout: Layout,
}

impl Segments {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }

    pub(crate) fn count(self) -> u32 {
        self.layout.group_count().div_ceil(SEGMENT_GROUPS)
    }

    pub(crate) fn groups(self, segment: u32) -> GroupRange {
        let start = segment.saturating_mul(SEGMENT_GROUPS);
        let end = start.saturating_add(SEGMENT_GROUPS);
        GroupRange::new(start, end).intersection(self.layout.all_groups())
    }

    /// Runs `work` on every segment that `wanted` says, each on one of `threads` threads, started
    /// in order. Returns what each thread made of its segments, or the first error.
    pub(crate) fn for_each<T: Send, E: Send>(
        self,
        threads: Option<NonZeroUsize>,
        wanted: impl Fn(u32) -> bool + Sync,
        work: impl Fn(u32, &mut Vec<u8>) -> Result<T, E> + Sync,
    ) -> Result<Vec<(u32, T)>, E> {
        let (next, failed) = (AtomicU32::new(0), AtomicBool::new(false));
        let run = || -> Result<Vec<(u32, T)>, E> {
            let (mut made, mut buffer) = (Vec::new(), Vec::new());
            while !failed.load(Ordering::Relaxed) {
                let segment = next.fetch_add(1, Ordering::Relaxed);
                if segment >= self.count() {
                    break;
                }
                if wanted(segment) {
                    let result = work(segment, &mut buffer);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    made.push((segment, result?));
                }
            }
            Ok(made)
        };
        thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.thread_count(threads))
                .map(|_| scope.spawn(run))
                .collect();
            let mut all = run();
            for helper in helpers {
                let made = helper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                all = all.and_then(|mut all| {
                    all.append(&mut made?);
                    Ok(all)
                });
            }
            all
        })
    }

    fn thread_count(self, wanted: Option<NonZeroUsize>) -> usize {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let useful = usize::try_from(self.count()).unwrap_or(usize::MAX).max(1);
        wanted
            .map_or_else(cores, NonZeroUsize::get)
            .min(THREADS_MAX)
            .min(useful)
    }
}
