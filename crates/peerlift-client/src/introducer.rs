//! Finds peers for one download: asks the control nodes, dials, lets visitors in, and hands every
//! link to the transfer once both sides have said hello.
//!
//! It keeps two peers from having two links: of two that cross, the one that the smaller key
//! dialled stays, on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use peerlift_model::PeerId;
use peerlift_wire::control::{Introduction, Introductions, PEERS_MAX};
use peerlift_wire::peer::{Goodbye, Hello};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::greeting::{self, Greeted, GreetingError};
use crate::hub::{Membership, News};
use crate::reach::Reach;

/// Links being made at once: hole punching takes seconds, and a swarm introduces forty at a time.
const DIALS_MAX: usize = 16;

/// Peers that wait to be dialled.
const WAITING_MAX: usize = 2 * PEERS_MAX;

/// Tickets kept for peers that may yet come.
const TICKETS_MAX: usize = 256;

/// Links that wait for the transfer to take them.
pub(crate) const MEETINGS_MAX: usize = 32;

/// What the transfer tells the introducer.
#[derive(Debug)]
pub(crate) enum Order {
    /// More peers would help.
    Want,
    /// The object is complete here.
    Complete,
    /// The link to a peer is over; it may be dialled again.
    Gone(PeerId),
    /// Never meet this peer again: it sends what is not the object's.
    Ban(PeerId),
    /// This peer tells that it has a part of the object.
    Partial(PeerId),
}

/// What the introducer tells the transfer.
#[derive(Debug)]
pub(crate) enum Meeting {
    /// A peer is connected; `admitted`: it may ask us.
    Linked {
        greeted: Box<Greeted>,
        admitted: bool,
    },
    /// Our right to ask a peer came after its link.
    Ticket { peer: PeerId, ticket: Bytes },
    /// Where in the object to begin to take from an edge.
    Spread(u32),
    /// Something a person may want to know.
    Warning(String),
    /// The operator has blocked the object, or its publisher.
    Blocked,
}

/// The task.
pub(crate) struct Introducer {
    membership: Membership,
    news: mpsc::Receiver<News>,
    orders: mpsc::Receiver<Order>,
    meetings: mpsc::Sender<Meeting>,
    complete: bool,
    waiting: BTreeMap<PeerId, Introduction>,
    /// Peers being dialled, connected, or us.
    busy: BTreeSet<PeerId>,
    /// Peers whose link is up, and whether we dialled it.
    linked: BTreeMap<PeerId, bool>,
    banned: BTreeSet<PeerId>,
    reach: Reach,
    /// Those that were introduced: our right to ask them, and whether they are said to have
    /// everything.
    introduced: BTreeMap<PeerId, (Bytes, bool)>,
    making: JoinSet<(PeerId, bool, Result<Greeted, GreetingError>)>,
}

impl Introducer {
    pub(crate) fn new(
        membership: Membership,
        news: mpsc::Receiver<News>,
        orders: mpsc::Receiver<Order>,
        meetings: mpsc::Sender<Meeting>,
    ) -> Self {
        let busy = [membership.hub.node.id()].into_iter().collect();
        Self {
            membership,
            news,
            orders,
            meetings,
            complete: false,
            waiting: BTreeMap::new(),
            busy,
            linked: BTreeMap::new(),
            banned: BTreeSet::new(),
            reach: Reach::default(),
            introduced: BTreeMap::new(),
            making: JoinSet::new(),
        }
    }

    /// Runs until the transfer drops its orders.
    pub(crate) async fn run(mut self, complete: bool) {
        self.complete = complete;
        if self.membership.hub.shares() {
            self.membership.announce(complete).await;
        }
        if !complete {
            self.query().await;
        }
        while self.step().await.is_some() {
            self.dial_waiting();
        }
        self.membership.leave().await;
    }

    async fn step(&mut self) -> Option<()> {
        tokio::select! {
            order = self.orders.recv() => self.obey(order?).await,
            news = self.news.recv() => self.hear(news?).await,
            Some(made) = self.making.join_next() => {
                // A task that panicked has been reported by its panic.
                if let Ok((peer, dialled, result)) = made {
                    self.made(peer, dialled, result).await;
                }
            }
        }
        Some(())
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Want => self.query().await,
            Order::Complete => {
                self.complete = true;
                self.waiting.clear();
                if self.membership.hub.shares() {
                    self.membership.announce(true).await;
                }
            }
            Order::Gone(peer) => {
                self.linked.remove(&peer);
                self.busy.remove(&peer);
            }
            Order::Ban(peer) => {
                self.linked.remove(&peer);
                self.banned.insert(peer);
                self.complain(peer).await;
            }
            Order::Partial(peer) => {
                if let Some((_, true)) = self.introduced.get(&peer) {
                    self.complain(peer).await;
                }
            }
        }
    }

    async fn query(&self) {
        let known = self.busy.iter().chain(&self.banned).copied();
        let known: Vec<PeerId> = known.chain(self.reach.out()).collect();
        self.membership.query(PEERS_MAX, &known).await;
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Introductions(introductions) => self.introduced(introductions).await,
            News::Visitor(greeted) => self.visited(*greeted),
            News::Lost(text) => self.tell(Meeting::Warning(text)).await,
            News::Blocked => self.tell(Meeting::Blocked).await,
        }
    }

    async fn introduced(&mut self, introductions: Introductions) {
        if let Some(spread) = introductions.spread {
            self.tell(Meeting::Spread(spread)).await;
        }
        for introduction in introductions.peers {
            let peer = introduction.peer;
            if self.linked.contains_key(&peer) {
                let ticket = introduction.ticket.clone();
                self.tell(Meeting::Ticket { peer, ticket }).await;
            }
            if self.introduced.len() < TICKETS_MAX {
                let introduced = (introduction.ticket.clone(), introduction.complete);
                self.introduced.insert(peer, introduced);
            }
            if introduction.dial && !self.complete && self.waiting.len() < WAITING_MAX {
                self.waiting.insert(peer, introduction);
            }
        }
    }

    fn dial_waiting(&mut self) {
        while self.making.len() < DIALS_MAX {
            let Some((peer, introduction)) = self.waiting.pop_first() else {
                return;
            };
            let shunned = self.banned.contains(&peer) || self.reach.is_out(peer);
            if shunned || !self.busy.insert(peer) {
                continue;
            }
            let hub = Arc::clone(&self.membership.hub);
            let hello = Hello {
                object: self.membership.object,
                ticket: Some(introduction.ticket),
                share: hub.shares(),
                agent: hub.agent().to_owned(),
            };
            self.making.spawn(async move {
                let made = greeting::dial(&hub.node, peer, &introduction.address, hello).await;
                (peer, true, made)
            });
        }
    }

    fn visited(&mut self, greeted: Greeted) {
        let peer = greeted.link.peer();
        if self.banned.contains(&peer) || self.making.len() >= 2 * DIALS_MAX {
            greeted.link.close(Goodbye::EnoughPeers);
            return;
        }
        if self
            .linked
            .get(&peer)
            .is_some_and(|dialled| self.ours_stays(peer, *dialled))
        {
            greeted.link.close(Goodbye::Duplicate);
            return;
        }
        let hub = Arc::clone(&self.membership.hub);
        let ticket = self.introduced.get(&peer);
        let ticket = ticket.map(|(ticket, _)| ticket.clone());
        let object = self.membership.object;
        self.making.spawn(async move {
            let made = greeting::answer(greeted, object, ticket, hub.agent()).await;
            (peer, false, made)
        });
    }

    /// Whether the link that is up outlives the one that a visitor brings.
    fn ours_stays(&self, peer: PeerId, dialled: bool) -> bool {
        !dialled || self.membership.hub.node.id() < peer
    }

    async fn made(&mut self, peer: PeerId, dialled: bool, made: Result<Greeted, GreetingError>) {
        let greeted = match made {
            Ok(greeted) => greeted,
            Err(error) => {
                tracing::debug!(%peer, dialled, %error, "no link");
                if error.is_nothing_there() {
                    self.complain(peer).await;
                }
                if dialled {
                    self.reach.missed(peer);
                }
                if !self.linked.contains_key(&peer) {
                    self.busy.remove(&peer);
                }
                return;
            }
        };
        let stays = self.linked.get(&peer).is_some_and(|ours| {
            if dialled {
                self.membership.hub.node.id() > peer
            } else {
                self.ours_stays(peer, *ours)
            }
        });
        if stays || self.banned.contains(&peer) {
            greeted.link.close(Goodbye::Duplicate);
            return;
        }
        self.busy.insert(peer);
        self.reach.met(peer);
        self.linked.insert(peer, dialled);
        let ticket = greeted.hello.ticket.clone();
        let object = self.membership.object;
        let admitted =
            ticket.is_some_and(|ticket| self.membership.hub.admits(ticket, peer, object));
        self.tell(Meeting::Linked {
            greeted: Box::new(greeted),
            admitted,
        })
        .await;
    }

    /// Tells the control nodes that a peer has not what it announced; once, as they have to agree.
    async fn complain(&mut self, peer: PeerId) {
        if let Some((ticket, _)) = self.introduced.remove(&peer) {
            tracing::debug!(%peer, "complained of");
            self.membership.complain(&ticket).await;
        }
    }

    async fn tell(&self, meeting: Meeting) {
        // The transfer is over: its orders end too, and with them this task.
        let _ = self.meetings.send(meeting).await;
    }
}
