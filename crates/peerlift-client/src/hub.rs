//! What all downloads of a client share to meet peers: the endpoint, the sessions with control
//! nodes, and the door at which strangers say which object they come for.
//!
//! There are at most two hubs: one that only connects outward, and one that also accepts, made
//! when the first download comes that its user agreed to share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use peerlift_model::{NatClass, ObjectId, PeerId, PublisherId};
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_net::peer::{Accepting, PeerNode, PeerNodeConfig, RelayConfig};
use peerlift_net::polite::Uplink;
use peerlift_net::token::Wallet;
use peerlift_wire::control::{Blocked, Introductions};
use peerlift_wire::peer::Goodbye;
use peerlift_wire::ticket::Ticket;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::greeting::{self, Greeted};
use crate::porch::Porch;

/// News that wait for one download. When it is behind, its control sessions wait for it; strangers
/// at the door are turned away.
const NEWS_MAX: usize = 64;

/// The ticket keys remembered, over all control nodes.
const TICKET_KEYS_MAX: usize = 1024;

/// How long parting may take.
const PARTING_MAX: Duration = Duration::from_secs(3);

/// The hubs of a client, made when needed.
#[derive(Debug)]
pub(crate) struct Hubs {
    uplink: Uplink,
    outward: OnceCell<Arc<Hub>>,
    sharing: OnceCell<Arc<Hub>>,
}

impl Hubs {
    /// None yet; their links will share this line.
    pub(crate) fn new(uplink: Uplink) -> Self {
        Self {
            uplink,
            outward: OnceCell::new(),
            sharing: OnceCell::new(),
        }
    }

    /// The hub that accepts strangers or not, as `share` says; the text says why there is none.
    pub(crate) async fn get(
        &self,
        share: bool,
        relays: Vec<RelayConfig>,
    ) -> Result<Arc<Hub>, String> {
        let cell = if share { &self.sharing } else { &self.outward };
        cell.get_or_try_init(|| Hub::start(share, relays, self.uplink.clone()))
            .await
            .cloned()
    }

    /// Where strangers are let in; empty while nothing is shared.
    pub(crate) fn doors(&self) -> Vec<String> {
        let Some(hub) = self.sharing.get() else {
            return Vec::new();
        };
        let sockets = hub.node.sockets().into_iter();
        let udp = sockets.map(|socket| format!("UDP {socket}"));
        let tcp = hub.node.tcp_port().map(|port| format!("TCP port {port}"));
        udp.chain(tcp).collect()
    }

    /// Ends all sessions and connections.
    pub(crate) async fn close(&self) {
        for hub in [&self.outward, &self.sharing]
            .into_iter()
            .filter_map(OnceCell::get)
        {
            // A peer that does not answer our goodbye is not waited for.
            let _ = tokio::time::timeout(PARTING_MAX, hub.close()).await;
        }
    }
}

/// One endpoint with its sessions.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) node: PeerNode,
    identity: Identity,
    state: Mutex<State>,
    /// Says that relays have looked at this machine again.
    looks: watch::Sender<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<String, ControlSession>,
    members: BTreeMap<ObjectId, Member>,
    /// What each control node, by its URL, has called blocked.
    blocked: BTreeMap<String, Blocked>,
    ticket_keys: Vec<[u8; 32]>,
    /// How far the control nodes' clock is ahead of ours, in seconds.
    clock_ahead: i64,
}

/// A download at the door, and the control nodes that its publisher has named.
#[derive(Clone, Debug)]
struct Member {
    news: mpsc::Sender<News>,
    publisher: PublisherId,
    /// Whether its object needs a token.
    restricted: bool,
    controls: Vec<String>,
}

impl Member {
    /// Whether this node may tell the download something, and says that it is blocked.
    fn is_blocked(&self, object: ObjectId, control: &str, blocked: &Blocked) -> bool {
        self.controls.iter().any(|url| url == control)
            && (blocked.objects.contains(&object) || blocked.publishers.contains(&self.publisher))
    }
}

/// What a download is to its control nodes.
#[derive(Debug)]
pub(crate) struct Purpose {
    pub(crate) object: ObjectId,
    pub(crate) publisher: PublisherId,
    /// Whether the object needs a token.
    pub(crate) restricted: bool,
    /// The token to show, when there is one.
    pub(crate) wallet: Option<Arc<Wallet>>,
    pub(crate) controls: Vec<Url>,
}

/// Something a download should know.
#[derive(Debug)]
pub(crate) enum News {
    /// A control node names peers.
    Introductions(Introductions),
    /// A stranger came for this object.
    Visitor(Box<Greeted>),
    /// A control node cannot be reached, or refuses what was asked of it.
    Lost(String),
    /// The operator has blocked the object, or its publisher.
    Blocked,
}

impl Hub {
    async fn start(
        share: bool,
        relays: Vec<RelayConfig>,
        uplink: Uplink,
    ) -> Result<Arc<Self>, String> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
        let config = PeerNodeConfig {
            secret,
            relays,
            accept: share,
            uplink,
        };
        let node = PeerNode::bind(config)
            .await
            .map_err(|error| error.to_string())?;
        let agent = concat!("peerlift/", env!("CARGO_PKG_VERSION")).to_owned();
        let hub = Arc::new(Self {
            node,
            identity: Identity {
                key_seed: secret,
                agent,
                share,
            },
            state: Mutex::default(),
            looks: watch::Sender::new(()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        hub.spawn(Arc::clone(&hub).follow_address());
        hub.spawn(Arc::clone(&hub).follow_looks());
        if share {
            hub.spawn(Arc::clone(&hub).open_door());
        }
        Ok(hub)
    }

    /// Whether strangers are let in.
    pub(crate) fn shares(&self) -> bool {
        self.identity.share
    }

    /// Program and version.
    pub(crate) fn agent(&self) -> &str {
        &self.identity.agent
    }

    /// Makes a download known to the door and to its control nodes.
    pub(crate) async fn join(
        self: &Arc<Self>,
        purpose: Purpose,
    ) -> (Membership, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let object = purpose.object;
        let member = Member {
            news,
            publisher: purpose.publisher,
            restricted: purpose.restricted,
            controls: purpose.controls.iter().map(Url::to_string).collect(),
        };
        {
            let mut state = self.state();
            let mut lists = state.blocked.iter();
            if lists.any(|(control, blocked)| member.is_blocked(object, control, blocked)) {
                // The channel is new, so there is room.
                let _ = member.news.try_send(News::Blocked);
            }
            state.members.insert(object, member);
        }
        let sessions: Vec<ControlSession> = purpose
            .controls
            .into_iter()
            .map(|url| self.session(url))
            .collect();
        if let Some(wallet) = purpose.wallet {
            for session in &sessions {
                session.show(Arc::clone(&wallet)).await;
            }
        }
        let hub = Arc::clone(self);
        let membership = Membership {
            hub,
            object,
            sessions,
        };
        (membership, receiver)
    }

    /// Whether the ticket lets `from` ask us for the object.
    pub(crate) fn admits(&self, ticket: Bytes, from: PeerId, object: ObjectId) -> bool {
        let (keys, ahead) = {
            let state = self.state();
            (state.ticket_keys.clone(), state.clock_ahead)
        };
        let verdict = Ticket::verify(ticket, &keys, unix_now().saturating_add_signed(ahead))
            .and_then(|ticket| ticket.check(from, self.node.id(), object));
        if let Err(error) = &verdict {
            tracing::debug!(%from, %error, "ticket refused");
        }
        verdict.is_ok()
    }

    async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.node.close().await;
    }

    fn session(self: &Arc<Self>, url: Url) -> ControlSession {
        if let Some(session) = self.state().sessions.get(url.as_str()) {
            return session.clone();
        }
        let (session, events) = ControlSession::start(
            url.clone(),
            self.identity.clone(),
            &self.tasks,
            self.stop.clone(),
        );
        self.state()
            .sessions
            .insert(url.to_string(), session.clone());
        let control = url.to_string();
        self.spawn(Arc::clone(self).listen(control, session.clone(), events));
        session
    }

    /// Passes on what a control node says.
    async fn listen(
        self: Arc<Self>,
        control: String,
        session: ControlSession,
        mut events: mpsc::Receiver<ControlEvent>,
    ) {
        session.address(self.node.address()).await;
        let (sight, sighted) = watch::channel(None);
        self.spawn(Arc::clone(&self).follow_nat(session, sighted));
        while let Some(event) = events.recv().await {
            match event {
                ControlEvent::Connected {
                    observed,
                    ticket_keys,
                    time,
                } => {
                    self.trust(ticket_keys);
                    self.state().clock_ahead =
                        time.cast_signed().saturating_sub(unix_now().cast_signed());
                    sight.send_replace(observed);
                    self.note_public_address(observed).await;
                }
                ControlEvent::TicketKeys { keys } => self.trust(keys),
                ControlEvent::Introductions(introductions) => {
                    let member = self.state().members.get(&introductions.object).cloned();
                    if let Some(member) = member {
                        // Gone: the download is over, and nobody needs the peers.
                        let _ = member.news.send(News::Introductions(introductions)).await;
                    }
                }
                ControlEvent::Blocked { object } => self.block_one(&control, object).await,
                ControlEvent::BlockList(blocked) => self.block(&control, blocked).await,
                ControlEvent::Denied { text } => self.deny(&control, &text),
                ControlEvent::Lost { error, .. } => self.tell_all(&error.to_string()),
            }
        }
    }

    /// Most NATs keep the port where they can (RFC 4787 §4.2.1), so the address that a control
    /// node sees, with our own port, is worth a try by a peer that is to reach us.
    async fn note_public_address(&self, observed: Option<IpAddr>) {
        let Some(observed) = observed else { return };
        let sockets = self.node.sockets();
        let socket = sockets
            .iter()
            .find(|socket| socket.is_ipv4() == observed.is_ipv4());
        if let Some(socket) = socket {
            self.node
                .add_external_address(SocketAddr::new(observed, socket.port()))
                .await;
        }
    }

    fn trust(&self, keys: Vec<[u8; 32]>) {
        let mut state = self.state();
        for key in keys {
            if !state.ticket_keys.contains(&key) && state.ticket_keys.len() < TICKET_KEYS_MAX {
                state.ticket_keys.push(key);
            }
        }
    }

    fn tell_all(&self, text: &str) {
        for member in self.state().members.values() {
            // Full: it has news enough.
            let _ = member.news.try_send(News::Lost(text.to_owned()));
        }
    }

    /// Tells those downloads that their publisher sent to this control node and that it calls
    /// blocked.
    async fn block(&self, control: &str, blocked: Blocked) {
        let concerned: Vec<mpsc::Sender<News>> = {
            let mut state = self.state();
            let members = state.members.iter();
            let concerned = members
                .filter(|(object, member)| member.is_blocked(**object, control, &blocked))
                .map(|(_, member)| member.news.clone())
                .collect();
            state.blocked.insert(control.to_owned(), blocked);
            concerned
        };
        for news in concerned {
            // Gone: the download is over.
            let _ = news.send(News::Blocked).await;
        }
    }

    /// Tells the download of an object that a control node of its publisher's has forbidden it.
    async fn block_one(&self, control: &str, object: ObjectId) {
        let member = self.state().members.get(&object).cloned();
        if let Some(member) = member.filter(|it| it.controls.iter().any(|url| url == control)) {
            // Gone: the download is over.
            let _ = member.news.send(News::Blocked).await;
        }
    }

    /// Tells those downloads that need a token of this control node's refusal.
    fn deny(&self, control: &str, text: &str) {
        for member in self.state().members.values() {
            if member.restricted && member.controls.iter().any(|url| url == control) {
                // Full: it has news enough.
                let text = format!("no peers from the control node: {text}");
                let _ = member.news.try_send(News::Lost(text));
            }
        }
    }

    /// Tells the control nodes where we can be reached, whenever that changes.
    async fn follow_address(self: Arc<Self>) {
        loop {
            self.node.address_changed().await;
            let address = self.node.address();
            let sessions: Vec<ControlSession> = self.state().sessions.values().cloned().collect();
            for session in sessions {
                session.address(address.clone()).await;
            }
        }
    }

    async fn follow_looks(self: Arc<Self>) {
        loop {
            self.node.looked_at().await;
            self.looks.send_replace(());
        }
    }

    /// Tells a control node behind what NAT we are, whenever that changes by what it sees, or the
    /// relays. A task of its own, so that reading the session's events never waits for its commands.
    async fn follow_nat(
        self: Arc<Self>,
        session: ControlSession,
        mut sighted: watch::Receiver<Option<IpAddr>>,
    ) {
        let mut looks = self.looks.subscribe();
        let mut told = NatClass::Unknown;
        loop {
            let observed = *sighted.borrow_and_update();
            let class = self.node.nat(observed);
            if class != told {
                session.nat(class).await;
                told = class;
            }
            let changed = tokio::select! {
                changed = sighted.changed() => changed,
                changed = looks.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Lets strangers in, many at a time, and brings each to the download it comes for.
    async fn open_door(self: Arc<Self>) {
        let porch = Porch::default();
        while let Some(stranger) = self.node.accept().await {
            let Some(place) = porch.place(stranger.address()) else {
                stranger.refuse();
                continue;
            };
            let hub = Arc::clone(&self);
            self.spawn(async move {
                hub.receive(stranger).await;
                drop(place);
            });
        }
    }

    async fn receive(&self, stranger: Accepting) {
        let greeted = match greeting::hear(stranger).await {
            Ok(greeted) => greeted,
            Err(error) => {
                tracing::debug!(%error, "a stranger was turned away");
                return;
            }
        };
        let member = self.state().members.get(&greeted.hello.object).cloned();
        let unwanted = match member {
            Some(member) => match member.news.try_send(News::Visitor(Box::new(greeted))) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            },
            None => return greeting::decline(greeted).await,
        };
        if let News::Visitor(greeted) = unwanted {
            greeted.link.close(Goodbye::EnoughPeers);
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Stopped or finished: there is nothing to tell either way.
            let _ = stop.run_until_cancelled(future).await;
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves maps that are whole.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A download's place in its hub.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) hub: Arc<Hub>,
    pub(crate) object: ObjectId,
    sessions: Vec<ControlSession>,
}

impl Membership {
    /// Tells the control nodes that we serve (some of) the object.
    pub(crate) async fn announce(&self, complete: bool) {
        for session in &self.sessions {
            session.announce(self.object, complete).await;
        }
    }

    /// Asks the control nodes for peers.
    pub(crate) async fn query(&self, max: usize, known: &[PeerId]) {
        for session in &self.sessions {
            session.query(self.object, max, known.to_vec()).await;
        }
    }

    /// Tells the control nodes that the peer of this ticket has not what it announced.
    pub(crate) async fn complain(&self, ticket: &Bytes) {
        for session in &self.sessions {
            session.complain(ticket.clone()).await;
        }
    }

    /// Leaves the door and tells the control nodes.
    pub(crate) async fn leave(&self) {
        self.hub.state().members.remove(&self.object);
        for session in &self.sessions {
            session.withdraw(self.object).await;
        }
    }
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests;
