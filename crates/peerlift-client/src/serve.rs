//! Sends one run of chunk groups to a peer, with its proof.

use std::sync::Arc;

use peerlift_model::ObjectId;
use peerlift_net::peer::{PeerLinkError, REPLY_BYTES_USUAL, Reply};
use peerlift_swarm::ServeId;
use peerlift_wire::peer::{RangeRequest, RangeStatus};

use crate::context::{Context, Input};

/// Bytes handed to the network at a time, at most: small enough that a rate cap is smooth and a pause is
/// prompt.
const STEP_BYTES: usize = REPLY_BYTES_USUAL;

/// Sends what `request` asks for and reports what has gone out.
pub(crate) async fn send(
    context: &Arc<Context>,
    object: ObjectId,
    serve: ServeId,
    request: RangeRequest,
    reply: Reply,
) {
    if let Err(error) = try_send(context, object, serve, request, reply).await {
        tracing::debug!(serve = serve.0, %error, "upload ended early");
    }
}

async fn try_send(
    context: &Arc<Context>,
    object: ObjectId,
    serve: ServeId,
    request: RangeRequest,
    mut reply: Reply,
) -> Result<(), PeerLinkError> {
    let RangeRequest {
        groups,
        from_height,
    } = request;
    let mut encoded = match context.storage.encode(groups, from_height) {
        Ok(encoded) => encoded,
        Err(error) => {
            tracing::debug!(%error, "cannot serve");
            context.tell(Input::Unreadable(error)).await;
            return reply.refuse(RangeStatus::NotHere).await;
        }
    };
    reply.accept(request).await?;
    while !encoded.is_empty() {
        let most = context.uploads.uplink().step_bytes(STEP_BYTES);
        let step = encoded.split_to(encoded.len().min(most));
        let bytes = step.len() as u64;
        context.limit_up.pass(step.len()).await;
        context.part.pass(step.len()).await;
        if !context.uploads.pass(object, step.len()).await {
            context.tell(Input::UploadsSpent).await;
            // Dropping the reply resets its stream.
            return Ok(());
        }
        reply.send(step).await?;
        context.tell(Input::Served { serve, bytes }).await;
    }
    reply.finish().await
}
