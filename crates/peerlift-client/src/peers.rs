//! The links of one download: what they say becomes events of the core, and its orders go out on
//! them. What a link is made of is in `link`, what peers ask of us in `serving`.

mod link;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use peerlift_content::{Access, Manifest};
use peerlift_model::{GroupRange, GroupSet, Layout, ObjectId, PeerId, PublisherId, Rate};
use peerlift_net::peer::{Path, PeerLinkError, RelayConfig};
use peerlift_net::token::Wallet;
use peerlift_swarm::{Event, Fault, RequestId, ServeId, SourceId};
use peerlift_wire::peer::{Goodbye, PeerMessage, RangeStatus};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::Shared;
use crate::context::{Context, Input};
use crate::error::DownloadError;
use crate::fetch_peer::{self, PeerFault};
use crate::greeting::Greeted;
use crate::hub::{Hub, Purpose};
use crate::introducer::{Introducer, MEETINGS_MAX, Meeting, Order};
use link::{Link, spawn_link};
use serving::Serve;

pub(crate) use link::LinkEvent;

/// Frames that wait for one link. A peer that does not read as many is dropped: announcements are
/// batched, so it has not read for minutes.
const FRAMES_MAX: usize = 256;

/// Orders that wait for the introducer. One that does not fit is said again later by the core.
const ORDERS_MAX: usize = 256;

/// Control nodes that one object may name.
pub(crate) const CONTROLS_MAX: usize = 4;

/// The links of one download.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Known once the endpoint is up.
    hub: Arc<OnceLock<Arc<Hub>>>,
    object: ObjectId,
    layout: Option<Layout>,
    meetings: Option<mpsc::Receiver<Meeting>>,
    orders: Option<mpsc::Sender<Order>>,
    share: bool,
    links: BTreeMap<SourceId, Link>,
    serves: BTreeMap<ServeId, Serve>,
    next_serve: u64,
    news: GroupSet,
    delivered: BTreeSet<SourceId>,
    relayed: u64,
}

/// What the shell counts of peers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerCounts {
    /// Peers that sent something useful.
    pub(crate) peers: u32,
    /// Bytes of it that came through a relay.
    pub(crate) relayed: u64,
}

impl Peers {
    /// No peers, and none to come.
    pub(crate) fn none() -> Self {
        Self {
            hub: Arc::default(),
            object: ObjectId::new([0; 32]),
            layout: None,
            meetings: None,
            orders: None,
            share: false,
            links: BTreeMap::new(),
            serves: BTreeMap::new(),
            next_serve: 0,
            news: GroupSet::new(),
            delivered: BTreeSet::new(),
            relayed: 0,
        }
    }

    /// Starts looking for peers of an object, in the background: the edges are not kept waiting.
    pub(crate) fn start(
        shared: Arc<Shared>,
        (about, publisher): (&Manifest, PublisherId),
        found_at: &Url,
        wallet: Option<Arc<Wallet>>,
        share: bool,
        complete: bool,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let controls: Vec<Url> = about
            .control
            .iter()
            .filter_map(|reference| found_at.join(reference).ok())
            .take(CONTROLS_MAX)
            .collect();
        if controls.is_empty() || (complete && !share) {
            return Self::none();
        }
        let (orders, order_receiver) = mpsc::channel(ORDERS_MAX);
        let (meeting_sender, meetings) = mpsc::channel(MEETINGS_MAX);
        let peers = Self {
            object: about.root,
            layout: Some(about.layout),
            meetings: Some(meetings),
            orders: Some(orders),
            share,
            ..Self::none()
        };
        let (known, relays) = (Arc::clone(&peers.hub), relays(about, found_at));
        let purpose = Purpose {
            object: about.root,
            publisher,
            restricted: about.policy.access == Access::Token,
            wallet: wallet.filter(|wallet| wallet.publisher() == publisher),
            controls,
        };
        tasks.spawn(async move {
            match shared.hubs.get(share, relays).await {
                Ok(hub) => {
                    let hub = known.get_or_init(|| hub);
                    let (membership, news) = hub.join(purpose).await;
                    let introducer =
                        Introducer::new(membership, news, order_receiver, meeting_sender);
                    introducer.run(complete).await;
                }
                Err(text) => {
                    let text = format!("no peers: {text}");
                    // Gone: the download is over.
                    let _ = meeting_sender.send(Meeting::Warning(text)).await;
                }
            }
        });
        peers
    }

    /// The next news of the introducer; never, when there is none. Cancel-safe.
    pub(crate) async fn next_meeting(&mut self) -> Meeting {
        if let Some(meetings) = &mut self.meetings {
            if let Some(meeting) = meetings.recv().await {
                return meeting;
            }
            self.meetings = None;
        }
        std::future::pending().await
    }

    /// Peers connected.
    pub(crate) fn connected(&self) -> usize {
        self.links.len()
    }

    /// Whether peers are being looked for.
    pub(crate) fn may_come(&self) -> bool {
        self.meetings.is_some()
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> PeerCounts {
        PeerCounts {
            peers: u32::try_from(self.delivered.len()).unwrap_or(u32::MAX),
            relayed: self.relayed,
        }
    }

    /// Notes that a source delivered so many bytes.
    pub(crate) fn count(&mut self, source: SourceId, bytes: u64) {
        let Some(link) = self.links.get(&source) else {
            return;
        };
        self.delivered.insert(source);
        if link.link.path() != Path::Direct {
            self.relayed += bytes;
        }
    }

    /// Whether what a peer sends comes through a relay; `None`: it is no peer, or has left.
    pub(crate) fn is_relayed(&self, source: SourceId) -> Option<bool> {
        let link = self.links.get(&source)?;
        Some(link.link.path() != Path::Direct)
    }

    /// Takes a link in. Returns the source whose place it takes, if any.
    pub(crate) fn join(
        &mut self,
        source: SourceId,
        greeted: Greeted,
        admitted: bool,
        have: &GroupSet,
        context: &Arc<Context>,
        tasks: &mut JoinSet<()>,
    ) -> Option<SourceId> {
        let Greeted {
            link,
            sender,
            receiver,
            ..
        } = greeted;
        let replaced = self.source_of(link.peer());
        if let Some(old) = replaced.and_then(|source| self.remove(source)) {
            old.link.close(Goodbye::Duplicate);
        }
        let (frames, frame_receiver) = mpsc::channel(FRAMES_MAX);
        let stop = CancellationToken::new();
        spawn_link(
            source,
            &link,
            (sender, frame_receiver),
            receiver,
            &stop,
            context,
            tasks,
        );
        self.links.insert(
            source,
            Link {
                link,
                frames,
                admitted,
                stop,
            },
        );
        if self.share {
            for message in PeerMessage::have_map(have) {
                self.send(source, message);
            }
        }
        replaced
    }

    /// Shows a peer a ticket that came after its link.
    pub(crate) fn show_ticket(&mut self, peer: PeerId, ticket: Bytes) {
        if let Some(source) = self.source_of(peer) {
            self.send(source, PeerMessage::Ticket(ticket));
        }
    }

    /// Turns news of a link into events of the core.
    pub(crate) fn link_event(
        &mut self,
        source: SourceId,
        event: LinkEvent,
        context: &Arc<Context>,
        tasks: &mut JoinSet<()>,
    ) -> Vec<Event> {
        let Some(link) = self.links.get_mut(&source) else {
            return Vec::new();
        };
        match event {
            LinkEvent::Message(PeerMessage::HaveMap(groups)) => {
                let peer = link.link.peer();
                let all = self.layout.map(Layout::all_groups);
                if all.is_some_and(|all| !groups.contains_all(all)) {
                    self.order(Order::Partial(peer));
                }
                self.holds(source, &groups)
            }
            LinkEvent::Message(PeerMessage::HaveDelta(groups)) => self.holds(source, &groups),
            LinkEvent::Message(PeerMessage::Pledge(groups)) => (groups.runs().iter())
                .map(|run| Event::Pledged {
                    source,
                    groups: *run,
                })
                .collect(),
            LinkEvent::Message(PeerMessage::FairShare(share)) => {
                vec![Event::FairShare { source, share }]
            }
            LinkEvent::Message(PeerMessage::Choke) => vec![Event::Choked { source }],
            LinkEvent::Message(PeerMessage::Unchoke) => vec![Event::Unchoked { source }],
            LinkEvent::Message(PeerMessage::Ticket(ticket)) => {
                link.admitted |= self
                    .hub
                    .get()
                    .is_some_and(|hub| hub.admits(ticket, link.link.peer(), self.object));
                Vec::new()
            }
            LinkEvent::Message(PeerMessage::Hello(_)) => self.part(source, Goodbye::Misbehaved),
            LinkEvent::Message(PeerMessage::Goodbye(_)) => self.part(source, Goodbye::Leaving),
            LinkEvent::Down(error) => {
                tracing::debug!(source = source.0, ?error, "link down");
                self.part(source, Goodbye::Leaving)
            }
            LinkEvent::Asked(asked) => self.asked(source, asked, context, tasks),
        }
    }

    /// What the core should think of a failed request; a fault of our own disk goes to `local`.
    pub(crate) fn judge(fault: PeerFault, local: &mut Option<DownloadError>) -> Fault {
        match fault {
            PeerFault::Status(RangeStatus::Busy) => Fault::Busy,
            PeerFault::Status(
                RangeStatus::NotHere
                | RangeStatus::Refused
                | RangeStatus::Ok
                | RangeStatus::OkFromHeight,
            ) => Fault::Refused,
            PeerFault::Link(PeerLinkError::Timeout) => Fault::Timeout,
            PeerFault::Link(_) => Fault::Closed,
            PeerFault::Corrupt => Fault::Corrupt,
            PeerFault::Storage(error) => {
                *local = Some(error.into());
                Fault::Closed
            }
        }
    }

    /// Notes groups to be announced by the next [`Self::flush`].
    pub(crate) fn announce(&mut self, groups: GroupRange) {
        self.news.insert(groups);
    }

    /// Announces what was noted, in one message to each peer.
    pub(crate) fn flush(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let news = std::mem::take(&mut self.news);
        if self.share {
            let sources: Vec<SourceId> = self.links.keys().copied().collect();
            for source in sources {
                self.send(source, PeerMessage::HaveDelta(news.clone()));
            }
        }
    }

    /// Tells every peer what is being fetched from an edge.
    pub(crate) fn pledge(&mut self, groups: GroupRange) {
        let sources: Vec<SourceId> = self.links.keys().copied().collect();
        for source in sources {
            self.send(source, PeerMessage::Pledge(groups.into()));
        }
    }

    /// Tells a peer what an equal client's share of the edge is.
    pub(crate) fn tell_fair_share(&mut self, source: SourceId, share: Rate) {
        if share > Rate::default() {
            self.send(source, PeerMessage::FairShare(share));
        }
    }

    /// Tells a peer whether its requests will be answered.
    pub(crate) fn choke(&mut self, source: SourceId, choke: bool) {
        self.send(
            source,
            if choke {
                PeerMessage::Choke
            } else {
                PeerMessage::Unchoke
            },
        );
    }

    /// Puts a request to a peer.
    pub(crate) fn fetch(
        &self,
        source: SourceId,
        request: RequestId,
        groups: GroupRange,
        stop: CancellationToken,
        context: Arc<Context>,
        tasks: &mut JoinSet<()>,
    ) {
        let object = self.object;
        let link = self.links.get(&source).map(|link| link.link.clone());
        tasks.spawn(async move {
            let Some(link) = link else {
                let result = Err(PeerFault::Link(PeerLinkError::Closed));
                return context.tell(Input::PeerEnded { request, result }).await;
            };
            let fetch = fetch_peer::fetch(Arc::clone(&context), link, object, request, groups);
            let input = match stop.run_until_cancelled(fetch).await {
                Some(result) => Input::PeerEnded { request, result },
                None => Input::Cancelled { request },
            };
            context.tell(input).await;
        });
    }

    /// Ends the link to a liar for good.
    pub(crate) fn ban(&mut self, source: SourceId) {
        if let Some(link) = self.remove(source) {
            link.link.close(Goodbye::Misbehaved);
            self.order(Order::Ban(link.link.peer()));
        }
    }

    /// Ends a link politely.
    pub(crate) fn dismiss(&mut self, source: SourceId) {
        if let Some(link) = self.remove(source) {
            link.link.close(Goodbye::EnoughPeers);
            self.order(Order::Gone(link.link.peer()));
        }
    }

    /// Links whose path is no longer direct; they are ended.
    pub(crate) fn part_from_relayed(&mut self) -> Vec<Event> {
        let relayed = self
            .links
            .iter()
            .filter(|(_, link)| link.link.path() == Path::Relayed);
        let sources: Vec<SourceId> = relayed.map(|(source, _)| *source).collect();
        sources
            .into_iter()
            .flat_map(|source| self.part(source, Goodbye::Leaving))
            .collect()
    }

    /// Asks for more peers.
    pub(crate) fn want_more(&self) {
        self.order(Order::Want);
    }

    /// Tells the control nodes that the object is complete here.
    pub(crate) fn completed(&self) {
        self.order(Order::Complete);
    }

    /// Ends all links.
    pub(crate) fn goodbye(&mut self) {
        self.orders = None;
        self.meetings = None;
        let sources: Vec<SourceId> = self.links.keys().copied().collect();
        for source in sources {
            self.part(source, Goodbye::Leaving);
        }
    }

    fn holds(&mut self, source: SourceId, groups: &GroupSet) -> Vec<Event> {
        let all = self.layout.map(Layout::all_groups).unwrap_or_default();
        if groups
            .runs()
            .last()
            .is_some_and(|last| last.end() > all.end())
        {
            return self.part(source, Goodbye::Misbehaved);
        }
        if groups.contains_all(all) {
            return vec![Event::HaveAll { source }];
        }
        groups
            .runs()
            .iter()
            .map(|run| Event::Have {
                source,
                groups: *run,
            })
            .collect()
    }

    /// Ends a link from our side and tells the core.
    fn part(&mut self, source: SourceId, reason: Goodbye) -> Vec<Event> {
        let Some(link) = self.remove(source) else {
            return Vec::new();
        };
        link.link.close(reason);
        self.order(Order::Gone(link.link.peer()));
        vec![Event::Left { source }]
    }

    fn remove(&mut self, source: SourceId) -> Option<Link> {
        let link = self.links.remove(&source)?;
        link.stop.cancel();
        self.serves.retain(|_, serve| {
            if serve.source == source {
                serve.stop.cancel();
            }
            serve.source != source
        });
        Some(link)
    }

    fn send(&mut self, source: SourceId, message: PeerMessage) {
        let Some(link) = self.links.get(&source) else {
            return;
        };
        if link.frames.try_send(message).is_err() {
            // It has not read for long: its tasks end, and with them the link.
            link.stop.cancel();
            link.link.close(Goodbye::Misbehaved);
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Full: the introducer is behind by hundreds of orders; the core asks again.
            let _ = orders.try_send(order);
        }
    }

    fn source_of(&self, peer: PeerId) -> Option<SourceId> {
        self.links
            .iter()
            .find(|(_, link)| link.link.peer() == peer)
            .map(|(source, _)| *source)
    }
}

pub(crate) fn relays(about: &Manifest, found_at: &Url) -> Vec<RelayConfig> {
    let resolve = |relay: &peerlift_content::RelayEntry| {
        let url = found_at.join(&relay.url).ok()?.to_string();
        Some(RelayConfig {
            url,
            quic_port: relay.quic_port,
        })
    };
    about.relays.iter().filter_map(resolve).collect()
}
