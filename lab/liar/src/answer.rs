//! What a liar sends when it is asked for a range.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream};
use peerlift_content::{HashOptions, encode_range, hash_file};
use peerlift_model::{GROUP_BYTES, GroupRange, Height, Layout, ObjectId};
use peerlift_wire::frame::{FRAME_HEADER_BYTES, frame_length};
use peerlift_wire::peer::{RangeRequest, RangeStatus};
use tempfile::TempDir;

use crate::say;

/// What a proof and a group look like in garbage.
pub(crate) const GARBAGE: u8 = 0x5a;

/// What a sleeper sends before it wakes: enough to be trusted.
const TRUE_BYTES: u64 = 1 << 20;

/// How long a dripping peer takes for a group.
const DRIP: Duration = Duration::from_secs(2);

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Garbage,
    Foreign,
    Sleeper,
    Tail,
    Drip,
    Stall,
    Silent,
}

/// Answers requests in one way.
#[derive(Clone, Debug)]
pub(crate) struct Answerer {
    lie: Lie,
    book: Arc<Book>,
    /// Bytes of truth that a sleeper has sent.
    told: Arc<AtomicU64>,
}

impl Answerer {
    pub(crate) fn new(lie: Lie, truth: Book) -> Result<Self> {
        let book = match lie {
            Lie::Foreign => Book::of_garbage(truth.layout)?,
            Lie::Garbage | Lie::Sleeper | Lie::Tail | Lie::Drip | Lie::Stall | Lie::Silent => truth,
        };
        Ok(Self {
            lie,
            book: Arc::new(book),
            told: Arc::default(),
        })
    }

    /// Answers one request; returns when the answer is out, or at once when it never will be.
    pub(crate) async fn answer(
        &self,
        mut answer: SendStream,
        mut request: RecvStream,
    ) -> Result<()> {
        if self.lie == Lie::Silent {
            say("lied");
            keep(answer);
            return Ok(());
        }
        let asked = RangeRequest::decode(read_frame(&mut request).await?)?.groups;
        answer.write_all(&[RangeStatus::Ok.to_byte()]).await?;
        match self.lie {
            Lie::Stall => {
                say("lied");
                keep(answer);
                return Ok(());
            }
            Lie::Drip => {
                say("lied");
                tokio::spawn(drip(answer, self.book.encode(asked)?));
                return Ok(());
            }
            Lie::Garbage | Lie::Foreign | Lie::Sleeper | Lie::Tail | Lie::Silent => {}
        }
        let (bytes, is_lie) = self.bytes(asked)?;
        // Whoever has had enough resets it.
        let _ = answer.write_all(&bytes).await;
        if is_lie {
            say("lied");
        }
        Ok(())
    }

    /// What is sent at full speed, and whether it is not the truth.
    fn bytes(&self, asked: GroupRange) -> Result<(Vec<u8>, bool)> {
        match self.lie {
            Lie::Foreign => Ok((self.book.encode(asked)?, true)),
            Lie::Tail => {
                let mut bytes = self.book.encode(asked)?;
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                Ok((bytes, true))
            }
            Lie::Sleeper => {
                let bytes = self.book.encode(asked)?;
                let before = self.told.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if before < TRUE_BYTES {
                    return Ok((bytes, false));
                }
                Ok((garbage(asked), true))
            }
            Lie::Garbage | Lie::Drip | Lie::Stall | Lie::Silent => Ok((garbage(asked), true)),
        }
    }
}

/// An object from which answers can be made.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) root: ObjectId,
    pub(crate) layout: Layout,
    data: File,
    outboard: File,
    _folder: Option<TempDir>,
}

impl Book {
    /// The object in a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::hash(path.to_owned(), None)
    }

    /// An object of the same size that has nothing but [`GARBAGE`] in it.
    fn of_garbage(layout: Layout) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("other");
        std::fs::write(&path, vec![GARBAGE; usize::try_from(layout.size())?])?;
        Self::hash(path, Some(folder))
    }

    fn hash(path: PathBuf, folder: Option<TempDir>) -> Result<Self> {
        let outboard = tempfile::tempfile()?;
        let hashed = hash_file(&path, Some(&outboard), HashOptions::default(), &|_| ())?;
        Ok(Self {
            root: hashed.root,
            layout: hashed.layout,
            data: File::open(&path)?,
            outboard,
            _folder: folder,
        })
    }

    fn encode(&self, groups: GroupRange) -> Result<Vec<u8>> {
        let mut encoded = Vec::new();
        let (data, outboard) = (&self.data, &self.outboard);
        // With all of the proof: whoever knows some of it takes that, too.
        let whole = (groups, Height::MAX);
        encode_range(self.root, self.layout, whole, data, outboard, &mut encoded)?;
        Ok(encoded)
    }
}

/// As many bytes as the truth would have, or a few more.
fn garbage(asked: GroupRange) -> Vec<u8> {
    let group = usize::try_from(GROUP_BYTES).expect("16 KiB") + 64;
    vec![GARBAGE; group * asked.len() as usize]
}

async fn drip(mut answer: SendStream, bytes: Vec<u8>) {
    let mut pace = tokio::time::interval(DRIP);
    for drop in bytes.chunks(usize::try_from(GROUP_BYTES).expect("16 KiB")) {
        pace.tick().await;
        if answer.write_all(drop).await.is_err() {
            return;
        }
    }
}

/// Keeps the stream open for as long as the other side likes.
fn keep(answer: SendStream) {
    tokio::spawn(async move {
        // Whatever ends it, it was the other side.
        let _ = answer.stopped().await;
    });
}

/// The next frame's content.
pub(crate) async fn read_frame(stream: &mut RecvStream) -> Result<Bytes> {
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let mut frame = vec![0; frame_length(header)?];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}
