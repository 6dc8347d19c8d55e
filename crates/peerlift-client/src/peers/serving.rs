//! What peers ask of us: each request waits for the core's word, and is then answered or refused.

use std::sync::Arc;

use peerlift_net::peer::{Asked, Reply};
use peerlift_swarm::{Event, Refusal, ServeId, SourceId};
use peerlift_wire::peer::{RangeRequest, RangeStatus};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Peers;
use crate::context::{Context, Input};
use crate::serve;

#[derive(Debug)]
pub(super) struct Serve {
    pub(super) source: SourceId,
    pub(super) request: RangeRequest,
    /// Taken when the core says how to answer.
    reply: Option<Reply>,
    pub(super) stop: CancellationToken,
}

impl Peers {
    /// Sends a range that was asked for.
    pub(crate) fn serve(&mut self, id: ServeId, context: &Arc<Context>, tasks: &mut JoinSet<()>) {
        let Some(serve) = self.serves.get_mut(&id) else {
            return;
        };
        let Some(reply) = serve.reply.take() else {
            return;
        };
        let (request, stop, context) = (serve.request, serve.stop.clone(), Arc::clone(context));
        let object = self.object;
        tasks.spawn(async move {
            // Stopped: dropping the reply resets its stream.
            let _ = stop
                .run_until_cancelled(serve::send(&context, object, id, request, reply))
                .await;
            context.tell(Input::ServeEnded { serve: id }).await;
        });
    }

    /// Refuses a range that was asked for.
    pub(crate) fn refuse(&mut self, id: ServeId, reason: Refusal, tasks: &mut JoinSet<()>) {
        let status = match reason {
            Refusal::NotHere => RangeStatus::NotHere,
            Refusal::Choked => RangeStatus::Refused,
            Refusal::Busy => RangeStatus::Busy,
        };
        if let Some(reply) = self.serves.remove(&id).and_then(|serve| serve.reply) {
            tasks.spawn(refuse(reply, status));
        }
    }

    /// Stops sending a range.
    pub(crate) fn stop_serve(&self, id: ServeId) {
        if let Some(serve) = self.serves.get(&id) {
            serve.stop.cancel();
        }
    }

    /// Forgets an upload that is over.
    pub(crate) fn serve_ended(&mut self, id: ServeId) {
        self.serves.remove(&id);
    }

    pub(super) fn asked(
        &mut self,
        source: SourceId,
        asked: Asked,
        context: &Arc<Context>,
        tasks: &mut JoinSet<()>,
    ) -> Vec<Event> {
        let admitted = self.links.get(&source).is_some_and(|link| link.admitted);
        let groups = asked.request.groups;
        let inside = groups.end() <= context.layout.group_count();
        if !admitted || !inside || groups.len() > SERVE_GROUPS_MAX {
            tasks.spawn(refuse(asked.reply, RangeStatus::Refused));
            return Vec::new();
        }
        let serve = ServeId(self.next_serve);
        self.next_serve += 1;
        let stop = CancellationToken::new();
        self.serves.insert(
            serve,
            Serve {
                source,
                request: asked.request,
                reply: Some(asked.reply),
                stop,
            },
        );
        vec![Event::Asked {
            source,
            serve,
            groups,
        }]
    }
}

/// The longest range that is served at once: 8 MiB, twice the largest piece.
const SERVE_GROUPS_MAX: u32 = 512;

async fn refuse(reply: Reply, status: RangeStatus) {
    // The asker may have gone.
    let _ = reply.refuse(status).await;
}
