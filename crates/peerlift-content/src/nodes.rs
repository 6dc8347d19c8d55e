//! The parents that a walk of the hash tree needs, read from an outboard.
//!
//! They are as the disk has them: whoever uses them verifies them.

use std::io;

use crate::read_at::{ReadAt, buffer_len};
use crate::tree::{NODE_LEN, node_bytes};

/// The parents that prove a range, read with few system calls.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// Runs of parents: the first's number, and their bytes.
    runs: Vec<(u32, Vec<u8>)>,
}

impl Nodes {
    /// Reads those of the given runs of numbers, which are sorted.
    pub(crate) fn read(
        runs: Vec<(u32, u32)>,
        outboard: &(impl ReadAt + ?Sized),
    ) -> io::Result<Self> {
        let read = |(start, end): (u32, u32)| {
            let bytes = node_bytes(start, end);
            let mut buf = vec![0; buffer_len(bytes.len())];
            outboard
                .fill_at(&mut buf, bytes.start())
                .map(|()| (start, buf))
        };
        let runs = runs.into_iter().map(read).collect::<io::Result<_>>()?;
        Ok(Self { runs })
    }

    pub(crate) fn pair(&self, node: u32) -> &[u8; 64] {
        let run = self.runs.partition_point(|(start, _)| *start <= node) - 1;
        let (start, bytes) = &self.runs[run];
        let at = (node - start) as usize * NODE_LEN;
        bytes[at..]
            .first_chunk()
            .expect("the runs cover every parent of the walk")
    }
}
