//! Reading an object from its files, for peers and for the reader of a stream.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use peerlift_content::{EncodeError, ReadAt, encode_range};
use peerlift_model::{GroupRange, Height, Layout, ObjectId};

use crate::error::StoreError;

/// Encodes `groups` from the files without the parents above a height, verifying all.
pub(crate) fn encode(
    root: ObjectId,
    layout: Layout,
    asked: (GroupRange, Height),
    (data, outboard): (&File, &File),
    path: &Path,
) -> Result<Bytes, StoreError> {
    let mut encoded = Vec::new();
    match encode_range(root, layout, asked, data, outboard, &mut encoded) {
        Ok(()) => Ok(encoded.into()),
        Err(EncodeError::Corrupt(source)) => Err(StoreError::Damaged {
            path: path.to_owned(),
            source,
        }),
        Err(EncodeError::Io(error)) => Err(StoreError::sort(path, error)),
    }
}

/// Reads the bytes of `groups`.
pub(crate) fn read(layout: Layout, groups: GroupRange, data: &File) -> io::Result<Bytes> {
    let range = layout.bytes_of(groups);
    let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or(usize::MAX)];
    data.fill_at(&mut bytes, range.start())?;
    Ok(bytes.into())
}
