//! A finished file with its outboard, to be served.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use peerlift_content::Tree;
use peerlift_model::{GroupRange, GroupSet, Height, Layout, ObjectId};

use crate::error::StoreError;
use crate::mark::FileMark;
use crate::serve::{encode, read};

/// An object that lies finished on the disk. Methods may be called from many threads.
#[derive(Debug)]
pub struct CompleteObject {
    root: ObjectId,
    layout: Layout,
    path: PathBuf,
    data: File,
    outboard: File,
    mark: FileMark,
}

impl CompleteObject {
    /// Opens the file at `path` and its outboard. Their sizes are checked here, their content
    /// whenever it is sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSize`], or what the system says.
    pub fn open(
        path: &Path,
        outboard: &Path,
        root: ObjectId,
        layout: Layout,
    ) -> Result<Self, StoreError> {
        let data = open_sized(path, layout.size())?;
        Ok(Self {
            root,
            layout,
            path: path.to_owned(),
            mark: FileMark::of(&data, path)?,
            data,
            outboard: open_sized(outboard, Tree::new(layout).outboard_len())?,
        })
    }

    /// The object.
    #[must_use]
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// How the object is cut.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All groups.
    #[must_use]
    pub fn have(&self) -> GroupSet {
        self.layout.all_groups().into()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells the file from another one.
    #[must_use]
    pub fn mark(&self) -> FileMark {
        self.mark
    }

    /// Whether the file still lies under its name as it was opened.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`], [`StoreError::Gone`]; what the system says.
    pub fn check(&self) -> Result<(), StoreError> {
        self.mark.check(&self.path)
    }

    /// The encoding of `groups` without the parents above `from`, verified as it is read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when the file is not the object any more; as [`Self::check`].
    pub fn encode(&self, groups: GroupRange, from: Height) -> Result<Bytes, StoreError> {
        self.check()?;
        let stored = (&self.data, &self.outboard);
        encode(self.root, self.layout, (groups, from), stored, &self.path)
    }

    /// The bytes of `groups`, as they are in the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read(&self, groups: GroupRange) -> Result<Bytes, StoreError> {
        read(self.layout, groups, &self.data).map_err(|error| StoreError::sort(&self.path, error))
    }
}

fn open_sized(path: &Path, expected: u64) -> Result<File, StoreError> {
    let sort = |error| StoreError::sort(path, error);
    let file = File::open(path).map_err(sort)?;
    let actual = file.metadata().map_err(sort)?.len();
    if actual == expected {
        Ok(file)
    } else {
        Err(StoreError::WrongSize {
            path: path.to_owned(),
            expected,
            actual,
        })
    }
}
