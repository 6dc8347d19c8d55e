//! Cuts a stream of arbitrary chunks into whole chunk groups, copying as little as possible.

use bytes::{Buf, Bytes};
use peerlift_model::{GROUP_BYTES, GroupIndex, GroupRange, Layout};

/// Turns the bytes of a group range, as a connection delivers them, into runs of whole groups.
///
/// A run lies in the connection's own buffer; only a group that straddles two chunks is copied.
#[derive(Debug)]
pub(crate) struct GroupCutter {
    layout: Layout,
    next: u32,
    end: u32,
    straddling: Vec<u8>,
    chunk: Bytes,
}

impl GroupCutter {
    pub(crate) fn new(layout: Layout, groups: GroupRange) -> Self {
        Self {
            layout,
            next: groups.start(),
            end: groups.end(),
            straddling: Vec::new(),
            chunk: Bytes::new(),
        }
    }

    /// Takes the next bytes of the stream. [`Self::next_run`] must have returned `None` before.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "runs left unread");
        self.chunk = chunk;
    }

    /// Whether every group has come out.
    pub(crate) fn is_done(&self) -> bool {
        self.next == self.end
    }

    /// The next run of whole groups: its first group and its bytes.
    pub(crate) fn next_run(&mut self) -> Option<(GroupIndex, Bytes)> {
        if self.is_done() {
            return None;
        }
        if self.straddling.is_empty() {
            self.whole_groups()
        } else {
            self.straddling_group()
        }
    }

    fn whole_groups(&mut self) -> Option<(GroupIndex, Bytes)> {
        let first = self.next;
        let here = self.layout.bytes_of(GroupRange::new(first, self.end));
        let complete = if self.chunk.len() as u64 >= here.len() {
            here.len()
        } else {
            self.chunk.len() as u64 / GROUP_BYTES * GROUP_BYTES
        };
        if complete == 0 {
            let group = here.len().min(GROUP_BYTES);
            let room = usize::try_from(group).unwrap_or(usize::MAX);
            self.straddling.reserve_exact(room);
            self.straddling.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return None;
        }
        self.next += u32::try_from(complete.div_ceil(GROUP_BYTES)).unwrap_or(u32::MAX);
        let bytes = usize::try_from(complete).unwrap_or(usize::MAX);
        Some((GroupIndex(first), self.chunk.split_to(bytes)))
    }

    fn straddling_group(&mut self) -> Option<(GroupIndex, Bytes)> {
        let group = GroupIndex(self.next);
        let length = self.layout.bytes_of(GroupRange::one(group)).len();
        let missing = usize::try_from(length).unwrap_or(usize::MAX) - self.straddling.len();
        let taken = missing.min(self.chunk.len());
        self.straddling.extend_from_slice(&self.chunk[..taken]);
        self.chunk.advance(taken);
        if taken < missing {
            return None;
        }
        self.next += 1;
        Some((group, std::mem::take(&mut self.straddling).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in chunks of the given lengths, repeated; returns all runs put together.
    fn cut(size: usize, groups: GroupRange, chunks: &[usize]) -> (Vec<u32>, Vec<u8>) {
        let layout = Layout::new(size as u64).unwrap();
        let range = layout.bytes_of(groups);
        let bytes: Bytes = (range.start()..range.end())
            .map(|at| (at % 251) as u8)
            .collect();
        let mut cutter = GroupCutter::new(layout, groups);
        let (mut firsts, mut all, mut at) = (Vec::new(), Vec::new(), 0);
        for length in chunks.iter().cycle() {
            let end = (at + length).min(bytes.len());
            cutter.push(bytes.slice(at..end));
            while let Some((first, run)) = cutter.next_run() {
                firsts.push(first.0);
                all.extend_from_slice(&run);
            }
            at = end;
            if at == bytes.len() {
                break;
            }
        }
        assert!(cutter.is_done());
        assert_eq!(all, bytes);
        (firsts, all)
    }

    #[test]
    fn every_byte_comes_out_once_whatever_the_chunks() {
        for size in [1, 16_383, 16_384, 16_385, 100_000] {
            let all = Layout::new(size as u64).unwrap().all_groups();
            for chunks in [&[1][..], &[16_384], &[16_383], &[7, 40_000], &[200_000]] {
                cut(size, all, chunks);
            }
        }
        cut(100_000, GroupRange::new(2, 5), &[9_000]);
    }

    #[test]
    fn groups_within_one_chunk_come_as_one_run() {
        assert_eq!(cut(100_000, GroupRange::new(0, 7), &[200_000]).0, [0]);
        assert_eq!(
            cut(100_000, GroupRange::new(0, 7), &[40_000]).0,
            [0, 2, 3, 4, 5]
        );
    }
}
