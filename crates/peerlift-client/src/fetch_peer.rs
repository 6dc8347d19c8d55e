//! Fetches one run of chunk groups from a peer; what is not known of the proof comes along, and each
//! group is verified before it is written.

use std::sync::Arc;

use peerlift_content::{Footing, Item, RangeDecoder};
use peerlift_model::{GroupRange, Height, ObjectId};
use peerlift_net::peer::{PeerLink, PeerLinkError, Transport};
use peerlift_store::StoreError;
use peerlift_swarm::RequestId;
use peerlift_wire::peer::{RangeRequest, RangeStatus};

use crate::context::{Context, Input};
use crate::storage::WriteFault;

/// Why a request to a peer ended early.
#[derive(Debug)]
pub(crate) enum PeerFault {
    /// The peer refuses.
    Status(RangeStatus),
    /// The link or the stream broke.
    Link(PeerLinkError),
    /// What it sent does not belong to the object.
    Corrupt,
    /// This machine cannot keep the bytes.
    Storage(StoreError),
}

impl From<PeerLinkError> for PeerFault {
    fn from(error: PeerLinkError) -> Self {
        Self::Link(error)
    }
}

/// Fetches `groups` for `request`, reporting each verified group as [`Input::Arrived`].
pub(crate) async fn fetch(
    context: Arc<Context>,
    link: PeerLink,
    object: ObjectId,
    request: RequestId,
    groups: GroupRange,
) -> Result<(), PeerFault> {
    let footing = context
        .storage
        .footing(groups)
        .map_err(PeerFault::Storage)?;
    let wanted = RangeRequest {
        groups,
        from_height: footing.as_ref().map_or(Height::MAX, Footing::height),
    };
    let mut answer = link.ask(wanted).await?;
    let footing = match answer.status() {
        RangeStatus::OkFromHeight => footing,
        RangeStatus::Ok => None,
        status @ (RangeStatus::NotHere | RangeStatus::Refused | RangeStatus::Busy) => {
            return Err(PeerFault::Status(status));
        }
    };
    let _receiving = link.receiving(&context.downlink);
    let whole = || Footing::root(object, context.layout, groups);
    let mut decoder = RangeDecoder::on(footing.unwrap_or_else(whole));
    let mut buffer = Vec::new();
    // Parents are too small to wait for their turn each.
    let mut unpaid = 0;
    while let Some(length) = decoder.next_len() {
        buffer.resize(length, 0);
        answer.read_exact(&mut buffer).await?;
        unpaid += length;
        let item = decoder.accept(&buffer);
        if !matches!(item, Ok(Item::Parent { .. })) {
            context.received(length);
            if link.transport() == Transport::Quic {
                let rtt = || link.rtt();
                context.downlink.heard(link.peer(), length as u64, rtt);
            }
            context.pass(std::mem::take(&mut unpaid)).await;
        }
        let item = item.map_err(|_| PeerFault::Corrupt)?;
        context
            .storage
            .accept(&item, &buffer)
            .map_err(|fault| match fault {
                WriteFault::Corrupt => PeerFault::Corrupt,
                WriteFault::Storage(error) => PeerFault::Storage(error),
            })?;
        if let Item::Group { group, .. } = item {
            context
                .tell(Input::Arrived {
                    request,
                    groups: GroupRange::one(group),
                })
                .await;
        }
    }
    answer.done();
    Ok(())
}

#[cfg(test)]
mod tests;
