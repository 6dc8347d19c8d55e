//! Checks stored bytes against the hash tree: which groups are good, which are not, and which
//! cannot be told because the outboard is damaged above them.

use std::io;
use std::num::NonZeroUsize;

use peerlift_model::{GroupRange, GroupSet, Layout, ObjectId};

use crate::hash;
use crate::nodes::Nodes;
use crate::read_at::{ReadAt, buffer_len};
use crate::segments::Segments;
use crate::tree::Tree;

/// What a check of stored groups found. Together the sets are the groups that were asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Proven from the root.
    pub good: GroupSet,
    /// Refuted by the hash tree, or not readable to their end.
    pub bad: GroupSet,
    /// Below a damaged or missing part of the outboard.
    pub untold: GroupSet,
}

/// Checks `wanted` groups of `data` against `outboard`, on `threads` threads (`None`: one a core).
///
/// `progress` is told of bytes checked since it was told last, from any thread.
///
/// # Errors
///
/// What the system says when a file cannot be read; ends of files are findings, not errors.
pub fn check_groups(
    root: ObjectId,
    layout: Layout,
    (data, outboard): (&(impl ReadAt + Sync), &(impl ReadAt + Sync)),
    wanted: &GroupSet,
    threads: Option<NonZeroUsize>,
    progress: &(dyn Fn(u64) + Sync),
) -> io::Result<Check> {
    let segments = Segments::new(layout);
    let is_wanted = |segment| wanted.count_in(segments.groups(segment)) > 0;
    let found = segments.for_each(threads, is_wanted, |segment, buffer| {
        let mut check = Check::default();
        for run in wanted.runs_in(segments.groups(segment)) {
            check_run(root, layout, (data, outboard), run, buffer, &mut check)?;
            progress(layout.bytes_of(run).len());
        }
        io::Result::Ok(check)
    })?;
    let mut all = Check::default();
    for (_, check) in found {
        all.good.extend(check.good.runs().iter().copied());
        all.bad.extend(check.bad.runs().iter().copied());
        all.untold.extend(check.untold.runs().iter().copied());
    }
    Ok(all)
}

/// The groups that `outboard` cannot prove, because it is damaged or ends above them. The data are
/// not looked at.
///
/// # Errors
///
/// What the system says when the outboard cannot be read.
pub fn check_outboard(
    root: ObjectId,
    layout: Layout,
    outboard: &(impl ReadAt + Sync),
) -> io::Result<GroupSet> {
    struct NoData;
    impl ReadAt for NoData {
        fn fill_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let all = GroupSet::from(layout.all_groups());
    check_groups(root, layout, (&NoData, outboard), &all, None, &|_| ()).map(|check| check.untold)
}

fn check_run(
    root: ObjectId,
    layout: Layout,
    (data, outboard): (&impl ReadAt, &impl ReadAt),
    run: GroupRange,
    buffer: &mut Vec<u8>,
    check: &mut Check,
) -> io::Result<()> {
    let tree = Tree::new(layout);
    let nodes = match Nodes::read(tree.node_runs_for(run), outboard) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            check.untold.insert(run);
            return Ok(());
        }
        read => read?,
    };
    let mut stack: Vec<_> = tree
        .root()
        .map(|top| (top, *root.as_bytes()))
        .into_iter()
        .collect();
    while let Some((subtree, expected)) = stack.pop() {
        let here = subtree.groups().intersection(run);
        if here.is_empty() {
            continue;
        }
        let Some((left, right)) = subtree.children() else {
            let good = read_group(layout, here, data, buffer)?
                && hash::matches_group(subtree, buffer, &expected);
            if good {
                &mut check.good
            } else {
                &mut check.bad
            }
            .insert(here);
            continue;
        };
        let pair = nodes.pair(subtree.node());
        if hash::parent(pair, subtree.is_root()) == expected {
            let (left_hash, right_hash) = hash::split(pair);
            stack.extend([(right, right_hash), (left, left_hash)]);
        } else {
            check.untold.insert(here);
        }
    }
    Ok(())
}

/// Reads one group; false when the data end before it does.
fn read_group(
    layout: Layout,
    group: GroupRange,
    data: &impl ReadAt,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let bytes = layout.bytes_of(group);
    buffer.resize(buffer_len(bytes.len()), 0);
    match data.fill_at(buffer, bytes.start()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
