//! Writes an object in order to a reader, as far as it has been verified.

use std::sync::Arc;

use peerlift_model::GroupRange;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::context::Context;
use crate::error::DownloadError;
use crate::request::Reader;

/// Groups written at a time: 1 MiB, a pipe's largest usual size.
const STEP_GROUPS: u32 = 64;

/// Follows the frontier and writes until the last group is out.
///
/// # Errors
///
/// [`DownloadError::Output`] when the reader is gone, [`DownloadError::Store`] when the disk fails.
pub(crate) async fn write_in_order(
    context: Arc<Context>,
    mut frontier: watch::Receiver<u32>,
    mut output: Reader,
) -> Result<(), DownloadError> {
    let end = context.layout.group_count();
    let mut at = 0;
    while at < end {
        let ready = *frontier.borrow_and_update();
        if ready == at {
            // The sender lives as long as the transfer, which outlives this future.
            let _ = frontier.changed().await;
            continue;
        }
        let step = GroupRange::new(at, ready.min(at + STEP_GROUPS));
        let bytes = context.storage.read(step)?;
        output
            .write_all(&bytes)
            .await
            .map_err(DownloadError::Output)?;
        at = step.end();
    }
    output.flush().await.map_err(DownloadError::Output)
}
