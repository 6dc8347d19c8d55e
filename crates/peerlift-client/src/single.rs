//! Copies a file that can only be read from beginning to end: no ranges, no size, or no way to
//! tell one version from another. What an earlier run left is of no use then.

use std::path::{Path, PathBuf};

use peerlift_net::http::Body;
use peerlift_net::polite::Downlink;
use peerlift_store::PlainPartial;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant};

use crate::error::DownloadError;
use crate::event::{Event, Snapshot};
use crate::limiter::Limiter;
use crate::progress::Progress;
use crate::request::Reader;
use crate::storage;

/// How often a snapshot is sent.
const TICK: Duration = Duration::from_millis(250);

/// Where the bytes of a single stream go.
pub(crate) enum Sink {
    /// A file that gets its name when it is complete.
    File(Box<PlainPartial>),
    /// Whoever reads along.
    Stream(Reader),
}

impl Sink {
    /// A file of which nothing is there yet.
    pub(crate) fn file(
        path: &Path,
        size: Option<u64>,
        overwrite: bool,
    ) -> Result<Self, DownloadError> {
        Ok(Self::File(Box::new(PlainPartial::open(
            path,
            None,
            size,
            storage::options(overwrite),
        )?)))
    }

    async fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), DownloadError> {
        match self {
            Self::File(file) => Ok(file.write(at, bytes)?),
            Self::Stream(stream) => stream.write_all(bytes).await.map_err(DownloadError::Output),
        }
    }

    async fn finish(&mut self) -> Result<Option<PathBuf>, DownloadError> {
        match self {
            Self::File(file) => Ok(Some(file.commit()?)),
            Self::Stream(stream) => {
                stream.flush().await.map_err(DownloadError::Output)?;
                Ok(None)
            }
        }
    }
}

/// Copies `body` to its end and says how many bytes it had, and where they are.
pub(crate) async fn copy(
    mut body: Body,
    size: Option<u64>,
    sink: &mut Sink,
    (limit, downlink): (&Limiter, &Downlink),
    progress: &Progress,
) -> Result<(u64, Option<PathBuf>), DownloadError> {
    let started = Instant::now();
    let (mut bytes, mut ticked) = (0, started);
    while let Some(chunk) = body.chunk().await? {
        limit.pass(chunk.len()).await;
        downlink.pass(chunk.len()).await;
        sink.write(bytes, &chunk).await?;
        bytes += chunk.len() as u64;
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            progress.send(Event::Progress(snapshot(bytes, size, started.elapsed())));
        }
    }
    Ok((bytes, sink.finish().await?))
}

fn snapshot(done: u64, size: Option<u64>, elapsed: Duration) -> Snapshot {
    let rate = peerlift_model::Rate::of(done, elapsed);
    let left = size.map(|size| rate.time_for(size.saturating_sub(done)).as_secs());
    Snapshot {
        size,
        done,
        from_edge: done,
        rate_down: rate.bytes_per_s(),
        eta_s: left,
        ..Snapshot::default()
    }
}
