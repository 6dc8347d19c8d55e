//! Opening a partial object: finding out what of it is there and can be trusted.

use std::fs::File;
use std::path::Path;

use peerlift_content::{Tree, check_groups};
use peerlift_model::{GroupRange, GroupSet, Layout, ObjectId};

use crate::boot::BootId;
use crate::error::{Found, StoreError};
use crate::part::{Beginning, Displaced, PartPaths, PartialOptions, check_room, inode_of};
use crate::partial::runs_of;
use crate::state::{Header, Journal, JournalWriter, Record, Subject};

/// The files of a partial object, locked, and what is there.
pub(crate) struct Opened {
    pub(crate) paths: PartPaths,
    pub(crate) data: File,
    pub(crate) outboard: File,
    pub(crate) have: GroupSet,
    pub(crate) journal: JournalWriter,
}

pub(crate) fn open(
    target: &Path,
    root: ObjectId,
    layout: Layout,
    options: PartialOptions,
) -> Result<Opened, StoreError> {
    let paths = PartPaths::new(target);
    loop {
        let data = paths.open_locked(options.overwrite)?;
        let beginning = Beginning::new(&paths, &data);
        let outboard = paths.open_outboard()?;
        let found = Parts {
            paths: &paths,
            data: &data,
            outboard: &outboard,
            root,
            layout,
        };
        let have = match found.survey()? {
            Survey::Ours(have) => have,
            Survey::Foreign(owner) => match paths.displace(options.foreign, owner)? {
                Displaced::MovedAside => continue,
                Displaced::Discarded => GroupSet::new(),
            },
        };
        let journal = found.prepare(&have)?;
        beginning.succeed();
        return Ok(Opened {
            paths: paths.clone(),
            data,
            outboard,
            have,
            journal,
        });
    }
}

/// What lies under the names of a partial object.
enum Survey {
    /// These groups of the object; none of a new download.
    Ours(GroupSet),
    /// Parts of something else; of what, when that can be told.
    Foreign(Option<Found>),
}

struct Parts<'a> {
    paths: &'a PartPaths,
    data: &'a File,
    outboard: &'a File,
    root: ObjectId,
    layout: Layout,
}

impl Parts<'_> {
    fn survey(&self) -> Result<Survey, StoreError> {
        let size = self
            .data
            .metadata()
            .map_err(|e| StoreError::sort(&self.paths.data, e))?
            .len();
        if size == 0 {
            return Ok(Survey::Ours(GroupSet::new()));
        }
        let journal = Journal::read(&self.paths.state)
            .map_err(|error| StoreError::sort(&self.paths.state, error))?;
        match journal {
            Some(journal) => self.survey_listed(journal),
            None => self.survey_unlisted(),
        }
    }

    fn survey_listed(&self, journal: Journal) -> Result<Survey, StoreError> {
        let Header {
            subject,
            boot,
            inode,
        } = journal.header;
        match subject {
            Subject::Object { root, size } if root == self.root && size == self.layout.size() => {
                let listed = fold(&journal.records, self.layout);
                let trusted = boot.vouches_under(BootId::current())
                    && inode == inode_of(self.data)
                    && self.have_full_length();
                if trusted {
                    Ok(Survey::Ours(listed))
                } else {
                    self.check(&listed).map(Survey::Ours)
                }
            }
            Subject::Object { root, .. } => Ok(Survey::Foreign(Some(Found::Object(root)))),
            Subject::Plain { validator, .. } => {
                Ok(Survey::Foreign(Some(Found::Version(validator))))
            }
        }
    }

    /// Without a journal the files themselves must prove that they are ours.
    fn survey_unlisted(&self) -> Result<Survey, StoreError> {
        let good = self.check(&self.layout.all_groups().into())?;
        Ok(if good.is_empty() {
            Survey::Foreign(None)
        } else {
            Survey::Ours(good)
        })
    }

    /// Brings all files into the state that `have` describes.
    fn prepare(&self, have: &GroupSet) -> Result<JournalWriter, StoreError> {
        let Self {
            paths,
            data,
            outboard,
            root,
            layout,
        } = *self;
        let data_error = |error| StoreError::sort(&paths.data, error);
        if have.is_empty() {
            data.set_len(0).map_err(data_error)?;
        }
        check_room(&paths.data, data, layout.size())?;
        let header = Header {
            subject: Subject::Object {
                root,
                size: layout.size(),
            },
            boot: BootId::current(),
            inode: inode_of(data),
        };
        let listed = (!have.is_empty()).then(|| Record::Added(runs_of(have)));
        let journal = JournalWriter::begin(&paths.state, &header, listed.as_slice())
            .map_err(|error| StoreError::sort(&paths.state, error))?;
        data.set_len(layout.size()).map_err(data_error)?;
        outboard
            .set_len(Tree::new(layout).outboard_len())
            .map_err(|error| StoreError::sort(&paths.outboard, error))?;
        Ok(journal)
    }

    fn check(&self, groups: &GroupSet) -> Result<GroupSet, StoreError> {
        tracing::debug!(
            groups = groups.len(),
            "verifying what an earlier download has left"
        );
        let stored = (self.data, self.outboard);
        check_groups(self.root, self.layout, stored, groups, None, &|_| ())
            .map(|check| check.good)
            .map_err(|error| StoreError::sort(&self.paths.data, error))
    }

    fn have_full_length(&self) -> bool {
        let has = |file: &File, len| file.metadata().is_ok_and(|metadata| metadata.len() == len);
        has(self.data, self.layout.size())
            && has(self.outboard, Tree::new(self.layout).outboard_len())
    }
}

/// The groups that a journal leaves, cut at the end of the object.
fn fold(records: &[Record], layout: Layout) -> GroupSet {
    let mut groups = GroupSet::new();
    let clip = |at: u64| {
        u32::try_from(at)
            .unwrap_or(u32::MAX)
            .min(layout.group_count())
    };
    for record in records {
        match record {
            Record::Added(runs) => {
                groups.extend(
                    runs.iter()
                        .map(|run| GroupRange::new(clip(run.0), clip(run.1))),
                );
            }
            Record::Removed(runs) => {
                for run in runs {
                    groups.remove(GroupRange::new(clip(run.0), clip(run.1)));
                }
            }
            Record::Durable => {}
        }
    }
    groups
}

#[cfg(test)]
mod tests;
