//! What a node that shares its directory says to the others, and makes of what they say.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::shared::{Ask, Found, Neighbour, NodeId, Push, Share};
use peerlift_rendezvous::{
    Arrival, Config, Contact, Event, Locality, Network, Output, Rendezvous, SessionId,
};

const OBJECT: ObjectId = ObjectId::new([9; 32]);
const ELSEWHERE: NodeId = NodeId(7);

fn peer(id: u8) -> PeerId {
    PeerId::new([id; 32])
}

struct Node {
    core: Rendezvous,
    now: Timestamp,
}

impl Node {
    fn new() -> Self {
        let config = Config {
            shared: true,
            ..Config::default()
        };
        Self {
            core: Rendezvous::new(config, 1),
            now: Timestamp::ZERO,
        }
    }

    fn tell(&mut self, event: Event) -> (Vec<Output>, Vec<Share>) {
        self.core.handle(event, self.now);
        let outputs = std::iter::from_fn(|| self.core.poll_output()).collect();
        (outputs, self.shares())
    }

    fn shares(&mut self) -> Vec<Share> {
        std::iter::from_fn(|| self.core.poll_share()).collect()
    }

    fn client(&mut self, id: u8) -> SessionId {
        let session = SessionId(id.into());
        let observed = Some([192, 0, 2, id].into());
        let arrival = Arrival::new(peer(id), true, observed);
        self.tell(Event::Joined { session, arrival });
        self.tell(Event::Address {
            session,
            direct: vec![([192, 0, 2, id], 7).into()],
            relay: None,
            tcp_port: None,
            nat: NatClass::Easy,
        });
        session
    }

    fn announce(&mut self, session: SessionId, complete: bool) -> Vec<Share> {
        let object = OBJECT;
        let announce = Event::Announce {
            session,
            object,
            complete,
        };
        self.tell(announce).1
    }

    fn ask(&mut self, session: SessionId, max: usize) -> Ask {
        let (outputs, mut shares) = self.tell(Event::Query {
            session,
            object: OBJECT,
            max,
            known: Vec::new(),
        });
        assert_eq!(outputs, [], "not before the directory is asked");
        let Some(Share::Ask(ask)) = shares.pop() else {
            panic!("{shares:?}")
        };
        ask
    }
}

fn neighbour(id: u8, place: [u8; 4], nat: NatClass, complete: bool) -> (NodeId, Neighbour) {
    let contact = Contact {
        direct: vec![(place, 7).into()],
        ..Contact::default()
    };
    let neighbour = Neighbour {
        peer: peer(id),
        place: Locality::of(Some(place.into()), Network::default()),
        nat,
        complete,
        contact: Arc::new(contact),
    };
    (ELSEWHERE, neighbour)
}

fn named(outputs: &[Output]) -> Vec<PeerId> {
    let [Output::Introduce { peers, .. }] = outputs else {
        panic!("{outputs:?}")
    };
    peers.iter().map(|meeting| meeting.peer).collect()
}

#[test]
fn what_clients_have_is_offered_and_taken_back() {
    let mut node = Node::new();
    let session = node.client(1);
    let shares = node.announce(session, true);
    let [Share::Offer { object, neighbour }] = &shares[..] else {
        panic!("{shares:?}")
    };
    assert_eq!(
        (*object, neighbour.peer, neighbour.complete),
        (OBJECT, peer(1), true)
    );
    let back = Share::Retract {
        object: OBJECT,
        peer: peer(1),
    };
    let (_, shares) = node.tell(Event::Lost { session });
    assert_eq!(
        shares,
        std::slice::from_ref(&back),
        "away, it cannot be asked"
    );
    let again = node.client(1);
    node.announce(again, true);
    let (_, shares) = node.tell(Event::Left { session: again });
    assert_eq!(shares, [back]);
}

#[test]
fn everything_is_said_again_when_that_is_wanted() {
    let mut node = Node::new();
    for id in 1..=3 {
        let session = node.client(id);
        node.announce(session, true);
    }
    node.tell(Event::Republish);
    let mut offered = 0;
    while let Some(at) = node.core.poll_timeout() {
        node.now = at;
        node.core.handle_timeout(at);
        offered += node.shares().len();
        if offered >= 3 || at > Timestamp::ZERO + Duration::from_secs(60) {
            break;
        }
    }
    assert_eq!(offered, 3);
}

#[test]
fn an_answer_names_those_of_other_nodes_and_its_own_where_they_do_not_suffice() {
    let mut node = Node::new();
    let own = node.client(1);
    node.announce(own, true);
    let asker = node.client(2);
    let ask = node.ask(asker, 10);
    assert!(ask.wants_spread);
    let holders = vec![
        neighbour(3, [198, 51, 100, 1], NatClass::Easy, true),
        neighbour(4, [198, 51, 100, 2], NatClass::Easy, true),
        // Itself, as another node remembers it.
        neighbour(2, [192, 0, 2, 2], NatClass::Easy, true),
    ];
    let (outputs, _) = node.tell(Event::Found(Found {
        ask,
        holders,
        spread: Some(5),
    }));
    assert_eq!(named(&outputs), [peer(3), peer(4), peer(1)]);
    let [Output::Introduce { spread, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(spread, Some(5));
}

#[test]
fn without_the_directory_a_node_answers_from_its_own_clients() {
    let mut node = Node::new();
    let own = node.client(1);
    node.announce(own, true);
    let asker = node.client(2);
    let ask = node.ask(asker, 10);
    let (outputs, _) = node.tell(Event::Found(Found {
        ask,
        holders: Vec::new(),
        spread: None,
    }));
    assert_eq!(named(&outputs), [peer(1)]);
}

#[test]
fn far_ones_keep_their_share_and_those_no_nat_lets_through_are_left_out() {
    let mut node = Node::new();
    let asker = node.client(2);
    node.tell(Event::Address {
        session: asker,
        direct: vec![([192, 0, 2, 2], 7).into()],
        relay: None,
        tcp_port: None,
        nat: NatClass::Hard,
    });
    let ask = node.ask(asker, 4);
    assert!(ask.reserve > 0);
    let mut holders: Vec<_> = (10..20)
        .map(|id| neighbour(id, [192, 0, 2, id], NatClass::Open, true))
        .collect();
    holders.push(neighbour(30, [198, 51, 100, 1], NatClass::Hard, true));
    holders.push(neighbour(31, [198, 51, 100, 2], NatClass::Open, true));
    let (outputs, _) = node.tell(Event::Found(Found {
        ask,
        holders,
        spread: None,
    }));
    let named = named(&outputs);
    assert_eq!(named.len(), 4);
    assert!(
        named.contains(&peer(31)) && !named.contains(&peer(30)),
        "{named:?}"
    );
}

#[test]
fn those_who_look_themselves_hear_of_the_asker_wherever_they_are() {
    let mut node = Node::new();
    let asker = node.client(2);
    node.announce(asker, false);
    let ask = node.ask(asker, 10);
    let holders = vec![
        neighbour(3, [198, 51, 100, 1], NatClass::Easy, false),
        neighbour(4, [198, 51, 100, 2], NatClass::Easy, true),
    ];
    let (_, shares) = node.tell(Event::Found(Found {
        ask,
        holders,
        spread: None,
    }));
    let [Share::Push { node: to, push }] = &shares[..] else {
        panic!("{shares:?}")
    };
    assert_eq!((*to, &push.to[..]), (ELSEWHERE, &[peer(3)][..]));
    assert_eq!(push.neighbour.peer, peer(2));

    // The other end: only who looks, and only for that object.
    let mut other = Node::new();
    let (looks, idle) = (other.client(3), other.client(5));
    other.announce(looks, false);
    other.announce(idle, false);
    other.ask(looks, 10);
    let push = Push {
        to: vec![peer(3), peer(5), peer(6)],
        ..push.clone()
    };
    let (outputs, _) = other.tell(Event::Pushed(push));
    let [
        Output::Introduce {
            to, peers, spread, ..
        },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((*to, *spread), (looks, None));
    assert_eq!((peers[0].peer, peers[0].dial), (peer(2), false));
}

#[test]
fn an_answer_for_whom_is_gone_is_dropped() {
    let mut node = Node::new();
    let asker = node.client(2);
    let ask = node.ask(asker, 10);
    node.tell(Event::Left { session: asker });
    let found = Found {
        ask,
        holders: vec![neighbour(3, [198, 51, 100, 1], NatClass::Easy, true)],
        spread: None,
    };
    assert_eq!(node.tell(Event::Found(found)), (Vec::new(), Vec::new()));
}
