//! What happens when clients come, ask, serve, fall silent and misuse the node.

use std::net::SocketAddr;
use std::time::Duration;

use peerlift_model::{ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::{
    CloseReason, Config, Event, Meeting, Output, Refusal, Rendezvous, SessionId,
};

const OBJECT: ObjectId = ObjectId::new([9; 32]);

struct Node {
    core: Rendezvous,
    now: Timestamp,
}

impl Node {
    fn new() -> Self {
        Self {
            core: Rendezvous::new(Config::default(), 1),
            now: Timestamp::ZERO,
        }
    }

    fn tell(&mut self, event: Event) -> Vec<Output> {
        self.core.handle(event, self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// A client that is online and can be reached.
    fn client(&mut self, id: u8, share: bool) -> SessionId {
        let session = SessionId(u64::from(id));
        let observed = Some([198, 51, 100, id].into());
        self.tell(Event::Joined {
            session,
            peer: peer(id),
            share,
            observed,
        });
        let direct = vec![SocketAddr::from(([192, 168, 0, id], 5000))];
        self.tell(Event::Address {
            session,
            direct,
            relay: None,
        });
        session
    }

    fn announce(&mut self, session: SessionId, complete: bool) -> Vec<Output> {
        self.tell(Event::Announce {
            session,
            object: OBJECT,
            complete,
        })
    }

    fn query(&mut self, session: SessionId) -> Vec<Output> {
        self.tell(Event::Query {
            session,
            object: OBJECT,
            max: 40,
            known: Vec::new(),
        })
    }
}

fn peer(id: u8) -> PeerId {
    PeerId::new([id; 32])
}

fn introduced(output: &Output) -> (SessionId, Vec<Meeting>) {
    let Output::Introduce { to, peers, .. } = output else {
        panic!("{output:?}")
    };
    (*to, peers.clone())
}

#[test]
fn a_seed_is_introduced_to_whoever_asks() {
    let mut node = Node::new();
    let seed = node.client(1, true);
    let asker = node.client(2, false);
    node.announce(seed, true);
    let outputs = node.query(asker);
    assert_eq!(outputs.len(), 1, "a seed looks for nobody: {outputs:?}");
    let (to, peers) = introduced(&outputs[0]);
    assert_eq!((to, peers.len()), (asker, 1));
    assert!(peers[0].dial && peers[0].complete && peers[0].peer == peer(1));
    let outside = SocketAddr::from(([198, 51, 100, 1], 5000));
    assert_eq!(
        peers[0].direct[0], outside,
        "where a port-preserving NAT maps it"
    );
}

#[test]
fn two_downloaders_who_share_hear_of_each_other_and_one_dials() {
    let mut node = Node::new();
    let (first, second) = (node.client(1, true), node.client(2, true));
    node.announce(first, false);
    assert_eq!(introduced(&node.query(first)[0]).1.len(), 0);
    node.announce(second, false);
    let outputs = node.query(second);
    let (to, peers) = introduced(&outputs[0]);
    assert_eq!((to, peers[0].peer, peers[0].dial), (second, peer(1), true));
    let (to, peers) = introduced(&outputs[1]);
    assert_eq!((to, peers[0].peer, peers[0].dial), (first, peer(2), false));
}

#[test]
fn who_does_not_share_is_never_handed_out() {
    let mut node = Node::new();
    let (leech, asker) = (node.client(1, false), node.client(2, true));
    node.announce(leech, true);
    assert_eq!(introduced(&node.query(asker)[0]).1, []);
    assert_eq!(node.core.holders(OBJECT), 0);
}

#[test]
fn nobody_is_introduced_to_itself_or_to_whom_it_knows() {
    let mut node = Node::new();
    let (a, b) = (node.client(1, true), node.client(2, true));
    node.announce(a, true);
    node.announce(b, false);
    let query = Event::Query {
        session: b,
        object: OBJECT,
        max: 40,
        known: vec![peer(1)],
    };
    assert_eq!(introduced(&node.tell(query)[0]).1, []);
}

#[test]
fn answers_are_at_most_forty() {
    let mut node = Node::new();
    for id in 1..=60 {
        let seed = node.client(id, true);
        node.announce(seed, true);
    }
    let asker = node.client(100, false);
    let event = Event::Query {
        session: asker,
        object: OBJECT,
        max: 1000,
        known: Vec::new(),
    };
    assert_eq!(introduced(&node.tell(event)[0]).1.len(), 40);
}

#[test]
fn the_newest_session_of_a_key_wins() {
    let mut node = Node::new();
    let old = node.client(1, true);
    node.announce(old, true);
    let session = SessionId(77);
    let outputs = node.tell(Event::Joined {
        session,
        peer: peer(1),
        share: true,
        observed: None,
    });
    assert_eq!(
        outputs,
        [Output::Close {
            session: old,
            reason: CloseReason::Replaced
        }]
    );
    assert_eq!(
        node.core.holders(OBJECT),
        0,
        "the new one has to say what it has"
    );
    node.tell(Event::Left { session: old });
    assert_eq!(
        node.core.sessions(),
        1,
        "the late end of the old one changes nothing"
    );
}

#[test]
fn the_silent_are_forgotten_and_the_others_are_not() {
    let mut node = Node::new();
    let (silent, alive) = (node.client(1, true), node.client(2, true));
    node.announce(silent, true);
    node.now = node.now + Duration::from_secs(90);
    node.tell(Event::Ping { session: alive });
    node.now = node.core.poll_timeout().unwrap();
    node.core.handle_timeout(node.now);
    let expected = Output::Close {
        session: silent,
        reason: CloseReason::Silent,
    };
    assert_eq!(node.core.poll_output(), Some(expected));
    assert_eq!(node.core.poll_output(), None);
    assert_eq!((node.core.sessions(), node.core.holders(OBJECT)), (1, 0));
}

#[test]
fn a_flood_of_queries_is_refused_and_says_when_to_come_back() {
    let mut node = Node::new();
    let asker = node.client(1, false);
    let outputs: Vec<Output> = (0..20).flat_map(|_| node.query(asker)).collect();
    let refused = outputs.iter().filter(|output| {
        matches!(
            output,
            Output::Refuse {
                reason: Refusal::TooManyQueries { .. },
                ..
            }
        )
    });
    assert_eq!(refused.count(), 4, "a burst of sixteen is fine");
}

#[test]
fn a_session_has_to_do_with_so_many_objects_and_no_more() {
    let mut node = Node::new();
    let session = node.client(1, true);
    let object = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        ObjectId::new(bytes)
    };
    for n in 0..1024 {
        let event = Event::Announce {
            session,
            object: object(n),
            complete: true,
        };
        assert_eq!(node.tell(event), []);
    }
    let refused = Output::Refuse {
        session,
        reason: Refusal::TooManyObjects,
    };
    let one_more = Event::Announce {
        session,
        object: object(1024),
        complete: true,
    };
    assert_eq!(node.tell(one_more), [refused]);
    node.tell(Event::Withdraw {
        session,
        object: object(0),
    });
    assert_eq!(node.core.objects(), 1023);
}

#[test]
fn every_client_of_an_object_gets_its_own_spread_number_and_keeps_it() {
    let mut node = Node::new();
    let clients: Vec<SessionId> = (1..=3).map(|id| node.client(id, true)).collect();
    let spread = |outputs: Vec<Output>| {
        let Output::Introduce { spread, .. } = &outputs[0] else {
            panic!("{outputs:?}")
        };
        spread.unwrap()
    };
    for client in &clients {
        node.announce(*client, false);
    }
    let numbers: Vec<u32> = clients
        .iter()
        .map(|client| spread(node.query(*client)))
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(spread(node.query(clients[1])), 1);
}

#[test]
fn events_of_unknown_sessions_are_ignored() {
    let mut node = Node::new();
    let session = SessionId(404);
    assert_eq!(node.announce(session, true), []);
    assert_eq!(node.query(session), []);
    assert_eq!(node.tell(Event::Left { session }), []);
    assert_eq!(node.core.objects(), 0);
}
