//! What happens when clients ask, serve and misuse the node.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Node, OBJECT, arrival, introduced, peer};
use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_rendezvous::policy::{Limits, Pace};
use peerlift_rendezvous::{Arrival, Config, Digest, Event, Output, Policy, Refusal, SessionId};

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
        peers[0].contact.direct[0], outside,
        "where a port-preserving NAT maps it"
    );
    assert_eq!(peers[0].contact.tcp_port, Some(5001));
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
fn who_cannot_connect_is_not_introduced_except_at_home() {
    let mut node = Node::new();
    for (id, nat) in [
        (1, NatClass::Hard),
        (2, NatClass::Blocked),
        (3, NatClass::Easy),
        (4, NatClass::Open),
    ] {
        let seed = node.client(id, true);
        node.place(seed, id, nat);
        node.announce(seed, true);
    }
    let named = |node: &mut Node, id: u8, nat, at: u8| -> Vec<PeerId> {
        let session = SessionId(u64::from(id));
        let observed = Some([198, 51, 100, at].into());
        node.join(session, Arrival::new(peer(id), false, observed));
        node.place(session, id, nat);
        let mut named: Vec<PeerId> = introduced(&node.query(session)[0])
            .1
            .iter()
            .map(|meeting| meeting.peer)
            .collect();
        named.sort();
        named
    };
    assert_eq!(named(&mut node, 10, NatClass::Hard, 99), [peer(4)]);
    assert_eq!(named(&mut node, 11, NatClass::Easy, 99), [peer(3), peer(4)]);
    assert_eq!(
        named(&mut node, 12, NatClass::Open, 99),
        [peer(1), peer(3), peer(4)]
    );
    assert_eq!(named(&mut node, 13, NatClass::Blocked, 99), [peer(4)]);
    assert_eq!(
        named(&mut node, 14, NatClass::Blocked, 2),
        [peer(2), peer(4)],
        "behind the same address no NAT is between"
    );
}

#[test]
fn a_neighbourhood_may_ask_so_much_and_no_more() {
    let limits = Limits {
        prefix_queries: Pace::new(5, Duration::from_secs(1)),
        ..Limits::default()
    };
    let policy = Policy {
        limits,
        ..Policy::default()
    };
    let mut node = Node::with(Config {
        policy,
        ..Config::default()
    });
    let clients: Vec<SessionId> = (1..=10).map(|id| node.client(id, false)).collect();
    let refused = clients.iter().filter(|client| {
        let outputs = node.query(**client);
        matches!(outputs[..], [Output::Refuse { .. }])
    });
    assert_eq!(refused.count(), 5);
    let session = SessionId(100);
    let elsewhere = Arrival::new(peer(100), false, Some([203, 0, 113, 1].into()));
    node.join(session, elsewhere);
    assert!(matches!(
        node.query(session)[..],
        [Output::Introduce { .. }]
    ));
}

#[test]
fn a_flood_of_announcements_is_refused() {
    let mut node = Node::new();
    let session = node.client(1, true);
    let mut refused = 0;
    for n in 0..3000 {
        for output in node.announce(session, n % 2 == 0) {
            let reason = Refusal::TooManyAnnounces {
                retry_after: Duration::from_millis(50),
            };
            assert_eq!(output, Output::Refuse { session, reason });
            refused += 1;
        }
    }
    assert_eq!(refused, 3000 - 2048);
    assert_eq!(node.core.holders(OBJECT), 1);
}

#[test]
fn who_is_complained_of_is_named_no_more_for_an_hour() {
    let mut node = Node::new();
    let liar = node.client(1, true);
    node.announce(liar, true);
    let far = |prefix: u8| Arrival {
        observed: Some([203, 0, prefix, 1].into()),
        ..arrival(100 + prefix, false)
    };
    let sessions: Vec<SessionId> = (101..=104).map(SessionId).collect();
    for (session, prefix) in sessions.iter().zip(1..) {
        node.join(*session, far(prefix));
    }
    let named = |node: &mut Node| introduced(&node.query(sessions[3])[0]).1.len();
    for session in &sessions[..3] {
        assert_eq!(named(&mut node), 1);
        let session = *session;
        let (object, peer) = (OBJECT, peer(1));
        node.tell(Event::Complain {
            session,
            object,
            peer,
        });
    }
    assert_eq!((named(&mut node), node.core.suspects()), (0, 1));
    node.announce(liar, true);
    assert_eq!(named(&mut node), 0, "it says so again");
    node.tell(Event::Lost { session: liar });
    let digest = {
        let mut digest = Digest::default();
        digest.add(OBJECT, true);
        digest
    };
    let resume = Some(digest);
    let back = Arrival {
        resume,
        ..arrival(1, true)
    };
    node.join(SessionId(200), back);
    assert_eq!(named(&mut node), 0, "it comes back");
    // All say that they are there, for an hour.
    for _ in 0..60 {
        node.pass(60);
        for session in sessions.iter().copied().chain([SessionId(200)]) {
            node.tell(Event::Ping { session });
        }
        node.wake();
    }
    assert_eq!((named(&mut node), node.core.suspects()), (1, 0));
}

#[test]
fn a_forbidden_object_is_taken_back_from_its_holders_and_named_to_nobody() {
    let mut node = Node::new();
    let seed = node.client(1, true);
    node.announce(seed, true);
    let asker = node.client(2, false);
    let block = |blocked| Event::Block {
        object: OBJECT,
        blocked,
    };
    assert_eq!(node.tell(block(true)), []);
    let object = OBJECT;
    let refused = |session| Output::Block { session, object };
    assert_eq!(node.wake(), [refused(seed)]);
    assert_eq!(node.query(asker), [refused(asker)]);
    assert_eq!(node.announce(seed, true), [refused(seed)]);
    node.tell(block(false));
    assert_eq!(introduced(&node.query(asker)[0]).1.len(), 1);
}

#[test]
fn a_lost_directory_is_told_again_at_a_steady_pace() {
    let mut node = Node::with(Config {
        recall_entries_per_s: 1000,
        ..Config::default()
    });
    let seeds: Vec<SessionId> = (1..=100).map(|id| node.client(id, true)).collect();
    for seed in &seeds {
        node.announce(*seed, true);
    }
    let asker = node.client(200, false);
    assert_eq!(node.tell(Event::Flush), []);
    assert_eq!((node.core.entries(), node.core.objects()), (0, 0));
    assert_eq!(introduced(&node.query(asker)[0]).1, [], "queries go on");
    let mut asked = Vec::new();
    let mut turns = 0;
    while node.core.recalls_waiting() > 0 {
        node.now = node.core.poll_timeout().unwrap();
        for output in node.wake() {
            let Output::Recall { session } = output else {
                panic!("{output:?}")
            };
            asked.push(session);
            node.announce(session, true);
        }
        turns += 1;
    }
    assert_eq!(asked, seeds, "everybody who shares, once");
    assert_eq!(turns, 5, "a thousand a second are twenty in 20 ms");
    assert_eq!(introduced(&node.query(asker)[0]).1.len(), 40);
}

#[test]
fn a_preview_changes_nothing_and_shows_what_would_change() {
    let mut node = Node::new();
    for id in 1..=60 {
        let seed = node.client(id, true);
        node.announce(seed, true);
    }
    let mut policy = Policy::default();
    policy.answer.peers_max = 10;
    let before = node.core.stats();
    let preview = node.core.preview(&policy, 100, 1);
    let named = |effect: peerlift_rendezvous::Effect| effect.named.iter().sum::<u64>();
    assert_eq!((preview.before.queries, named(preview.before)), (100, 4000));
    assert_eq!((preview.after.queries, named(preview.after)), (100, 1000));
    policy.blocked.insert(OBJECT);
    assert_eq!(node.core.preview(&policy, 100, 1).after.empty, 100);
    assert_eq!(node.core.stats(), before);
    assert_eq!(
        node.core.preview(&policy, 100, 1),
        node.core.preview(&policy, 100, 1)
    );
}

#[test]
fn one_seed_gives_one_history() {
    let history = || {
        let mut node = Node::new();
        let mut history = Vec::new();
        for id in 1..=200 {
            let client = node.client(id, id % 3 > 0);
            history.extend(node.announce(client, id % 2 == 0));
            history.extend(node.query(client));
            if id % 7 == 0 {
                history.extend(node.tell(Event::Left { session: client }));
            }
        }
        history
    };
    assert_eq!(history(), history());
}
