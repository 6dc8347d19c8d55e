//! Gets a published object from a server that sends only whole files: one stream, every group
//! verified before it is written, as always.
//!
//! Such a server can be asked neither for a part nor by two at once, so there is nothing to plan.

use peerlift_net::http::Body;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant};

use crate::context::Context;
use crate::event::{Event, Snapshot};
use crate::fetch_edge::{EdgeUrls, FetchFault, fetch_nodes};
use crate::groups::GroupCutter;
use crate::progress::Progress;
use crate::request::Reader;

/// How often a snapshot is sent.
const TICK: Duration = Duration::from_millis(250);

/// Why the stream ended early.
pub(crate) enum WholeFault {
    /// The server, or our disk.
    Fetch(FetchFault),
    /// Whoever reads along.
    Output(std::io::Error),
}

impl<T: Into<FetchFault>> From<T> for WholeFault {
    fn from(fault: T) -> Self {
        Self::Fetch(fault.into())
    }
}

/// Copies `body`, the whole object, to the storage, and to `reader` in the same order.
pub(crate) async fn copy(
    context: &Context,
    edge: &EdgeUrls,
    mut body: Body,
    mut reader: Option<Reader>,
    progress: &Progress,
) -> Result<(), WholeFault> {
    let all = context.layout.all_groups();
    fetch_nodes(context, edge, all).await?;
    let mut cutter = GroupCutter::new(context.layout, all);
    let (started, mut ticked) = (Instant::now(), Instant::now());
    while let Some(chunk) = body.chunk().await? {
        context.received(chunk.len());
        context.pass(chunk.len()).await;
        cutter.push(chunk);
        while let Some((first, run)) = cutter.next_run() {
            context
                .storage
                .write(first, &run)
                .map_err(|fault| edge.blame(fault))?;
            if let Some(reader) = &mut reader {
                reader.write_all(&run).await.map_err(WholeFault::Output)?;
            }
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            progress.send(Event::Progress(snapshot(context, started)));
        }
    }
    if let Some(reader) = &mut reader {
        reader.flush().await.map_err(WholeFault::Output)?;
    }
    match cutter.is_done() {
        true => Ok(()),
        false => Err(peerlift_net::http::HttpError::Cut {
            url: edge.file.clone(),
        }
        .into()),
    }
}

fn snapshot(context: &Context, started: Instant) -> Snapshot {
    let (size, done) = (context.layout.size(), context.received_total());
    let rate = peerlift_model::Rate::of(done, started.elapsed());
    Snapshot {
        size: Some(size),
        done,
        from_edge: done,
        rate_down: rate.bytes_per_s(),
        eta_s: Some(rate.time_for(size.saturating_sub(done)).as_secs()),
        ..Snapshot::default()
    }
}
