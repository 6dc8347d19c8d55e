//! Fetches one run of chunk groups from an HTTP edge and verifies it on the way to the disk.
//!
//! The bytes come by one range request. The hash-tree nodes that prove them come from the
//! outboard beside the file, by ranges too, while the first bytes are already on their way.
//! Nodes that are known are never asked for again.

use std::sync::Arc;

use peerlift_model::{ByteRange, GroupRange};
use peerlift_net::http::{Body, HttpError, Validator};
use peerlift_swarm::RequestId;
use url::Url;

use crate::context::{Context, Input};
use crate::groups::GroupCutter;
use crate::storage::WriteFault;

/// Parts of the outboard closer together than this are fetched as one: a request costs some
/// 500 bytes of headers each way and a round trip, so a gap of a few KiB is cheaper to read over.
const NODE_GAP_BYTES: u64 = 4 * 1024;

/// The longest outboard that is fetched whole: that of 8 GiB. It is held in memory.
const WHOLE_OUTBOARD_BYTES_MAX: usize = 32 << 20;

/// An edge as the fetching tasks see it.
#[derive(Clone, Debug)]
pub(crate) struct EdgeUrls {
    /// The object.
    pub(crate) file: Url,
    /// Its hash tree; `None` where nothing is verified.
    pub(crate) outboard: Option<Url>,
    /// The version all parts must be of.
    pub(crate) validator: Option<Validator>,
}

impl EdgeUrls {
    /// Whose fault it is that bytes of this edge were not kept.
    pub(crate) fn blame(&self, fault: WriteFault) -> FetchFault {
        match fault {
            WriteFault::Corrupt => FetchFault::Corrupt(self.file.clone()),
            WriteFault::Storage(error) => FetchFault::Storage(error),
        }
    }
}

/// Why a fetch ended early.
#[derive(Debug)]
pub(crate) enum FetchFault {
    /// The edge failed as an HTTP server.
    Http(HttpError),
    /// The edge sent bytes that the hash tree refutes.
    Corrupt(Url),
    /// The edge sent a hash tree that the root refutes.
    CorruptOutboard(Url),
    /// This machine cannot keep the bytes.
    Storage(peerlift_store::StoreError),
}

impl From<HttpError> for FetchFault {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// Fetches `groups` for `request`, reporting each verified run as [`Input::Arrived`].
pub(crate) async fn fetch(
    context: Arc<Context>,
    edge: EdgeUrls,
    request: RequestId,
    groups: GroupRange,
) -> Result<(), FetchFault> {
    let bytes = context.layout.bytes_of(groups);
    let data = async {
        let body = context
            .http
            .range(&edge.file, bytes, edge.validator.as_ref())
            .await?;
        context.tell(Input::Answered { request }).await;
        Ok(body)
    };
    let (body, ()) = tokio::try_join!(data, fetch_nodes(&context, &edge, groups))?;
    receive(&context, &edge, request, groups, body).await
}

async fn receive(
    context: &Context,
    edge: &EdgeUrls,
    request: RequestId,
    groups: GroupRange,
    mut body: Body,
) -> Result<(), FetchFault> {
    let mut cutter = GroupCutter::new(context.layout, groups);
    while let Some(mut chunk) = body.chunk().await? {
        context.received(chunk.len());
        while !chunk.is_empty() {
            let turn = context.turn(chunk.len());
            context.pass(turn).await;
            cutter.push(chunk.split_to(turn));
            while let Some((first, run)) = cutter.next_run() {
                let groups = context
                    .storage
                    .write(first, &run)
                    .map_err(|fault| edge.blame(fault))?;
                context.tell(Input::Arrived { request, groups }).await;
            }
        }
    }
    if cutter.is_done() {
        Ok(())
    } else {
        Err(HttpError::Cut {
            url: edge.file.clone(),
        }
        .into())
    }
}

/// Makes sure that every node is known that `groups` are verified against.
pub(crate) async fn fetch_nodes(
    context: &Context,
    edge: &EdgeUrls,
    groups: GroupRange,
) -> Result<(), FetchFault> {
    let Some(outboard) = &edge.outboard else {
        return Ok(());
    };
    // Top-down: a node can be checked only once its parents are known.
    for range in coalesce(context.storage.missing_nodes(groups)) {
        let mut body = match context.http.range(outboard, range, None).await {
            Ok(body) => body,
            Err(HttpError::NoRanges { .. }) => return fetch_all_nodes(context, outboard).await,
            Err(error) => return Err(error.into()),
        };
        let mut nodes = Vec::with_capacity(usize::try_from(range.len()).unwrap_or(0));
        while let Some(chunk) = body.chunk().await? {
            nodes.extend_from_slice(&chunk);
        }
        accept(context, outboard, range, &nodes)?;
    }
    Ok(())
}

/// Fetches a whole outboard, from a server that does not give parts of it.
async fn fetch_all_nodes(context: &Context, outboard: &Url) -> Result<(), FetchFault> {
    let _once = context.outboard.lock().await;
    let missing = context.storage.missing_nodes(context.layout.all_groups());
    if missing.is_empty() {
        return Ok(());
    }
    let (nodes, _) = context
        .http
        .small(outboard, WHOLE_OUTBOARD_BYTES_MAX)
        .await?;
    for range in missing {
        let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let part = nodes.get(at(range.start())..at(range.end()));
        let part = part.ok_or_else(|| FetchFault::CorruptOutboard(outboard.clone()))?;
        accept(context, outboard, range, part)?;
    }
    Ok(())
}

fn accept(
    context: &Context,
    outboard: &Url,
    range: ByteRange,
    nodes: &[u8],
) -> Result<(), FetchFault> {
    context
        .storage
        .accept_nodes(range, nodes)
        .map_err(|fault| match fault {
            WriteFault::Corrupt => FetchFault::CorruptOutboard(outboard.clone()),
            WriteFault::Storage(error) => FetchFault::Storage(error),
        })
}

fn coalesce(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut merged: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start() <= last.end() + NODE_GAP_BYTES => {
                *last = ByteRange::new(last.start(), range.end().max(last.end()));
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_fetched_as_one() {
        let merge = |pairs: &[(u64, u64)]| {
            let ranges = pairs
                .iter()
                .map(|(start, end)| ByteRange::new(*start, *end))
                .collect();
            coalesce(ranges)
                .iter()
                .map(|r| (r.start(), r.end()))
                .collect::<Vec<_>>()
        };
        assert_eq!(merge(&[]), []);
        assert_eq!(merge(&[(0, 64), (128, 192), (4288, 5000)]), [(0, 5000)]);
        assert_eq!(merge(&[(0, 64), (4161, 5000)]), [(0, 64), (4161, 5000)]);
    }
}
