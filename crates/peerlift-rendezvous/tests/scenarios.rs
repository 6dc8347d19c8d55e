//! What happens when clients come, ask, serve, fall silent and misuse the node.

use std::net::SocketAddr;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::policy::{Limits, Pace};
use peerlift_rendezvous::{
    Arrival, CloseReason, Config, Digest, Event, Meeting, Output, Policy, Refusal, Rendezvous,
    SessionId,
};

const OBJECT: ObjectId = ObjectId::new([9; 32]);

struct Node {
    core: Rendezvous,
    now: Timestamp,
}

impl Node {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self {
            core: Rendezvous::new(config, 1),
            now: Timestamp::ZERO,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn wake(&mut self) -> Vec<Output> {
        self.core.handle_timeout(self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    fn tell(&mut self, event: Event) -> Vec<Output> {
        self.core.handle(event, self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// A client that is online and can be reached.
    fn client(&mut self, id: u8, share: bool) -> SessionId {
        let session = SessionId(u64::from(id));
        let outputs = self.join(session, arrival(id, share));
        let resumed = false;
        assert_eq!(outputs, [Output::Joined { session, resumed }]);
        self.place(session, id, NatClass::Unknown);
        session
    }

    fn join(&mut self, session: SessionId, arrival: Arrival) -> Vec<Output> {
        self.tell(Event::Joined { session, arrival })
    }

    fn place(&mut self, session: SessionId, id: u8, nat: NatClass) {
        let direct = vec![SocketAddr::from(([192, 168, 0, id], 5000))];
        self.tell(Event::Address {
            session,
            direct,
            relay: None,
            tcp_port: Some(5001),
            nat,
        });
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

/// A client of its own site, in a prefix with all others.
fn arrival(id: u8, share: bool) -> Arrival {
    Arrival::new(peer(id), share, Some([198, 51, 100, id].into()))
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
fn the_newest_session_of_a_key_wins() {
    let mut node = Node::new();
    let old = node.client(1, true);
    node.announce(old, true);
    let session = SessionId(77);
    let outputs = node.join(session, arrival(1, true));
    let close = Output::Close {
        session: old,
        reason: CloseReason::Replaced,
    };
    let resumed = false;
    assert_eq!(outputs, [close, Output::Joined { session, resumed }]);
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
fn a_client_that_comes_back_soon_goes_on_where_it_was() {
    let mut node = Node::new();
    let seed = node.client(1, true);
    node.announce(seed, true);
    node.tell(Event::Lost { session: seed });
    let asker = node.client(2, false);
    assert_eq!(
        introduced(&node.query(asker)[0]).1,
        [],
        "nobody is sent to the lost"
    );
    assert_eq!((node.core.sessions(), node.core.away()), (1, 1));

    let mut digest = Digest::default();
    digest.add(OBJECT, true);
    let back = SessionId(100);
    let arrival = Arrival {
        resume: Some(digest),
        ..arrival(1, true)
    };
    let resumed = true;
    let joined = Output::Joined {
        session: back,
        resumed,
    };
    assert_eq!(node.join(back, arrival), [joined]);
    assert_eq!(introduced(&node.query(asker)[0]).1.len(), 1);
    assert_eq!(node.tell(Event::Left { session: seed }), []);
    assert_eq!(node.core.holders(OBJECT), 1, "the old number means nothing");
    node.tell(Event::Left { session: back });
    assert_eq!(node.core.holders(OBJECT), 0);
}

#[test]
fn who_means_something_else_by_it_begins_anew() {
    let mut other = Digest::default();
    other.add(OBJECT, false);
    let same = {
        let mut digest = Digest::default();
        digest.add(OBJECT, true);
        digest
    };
    let elsewhere = Arrival {
        observed: Some([203, 0, 113, 1].into()),
        resume: Some(same),
        ..arrival(1, true)
    };
    let differs = Arrival {
        resume: Some(other),
        ..arrival(1, true)
    };
    let shares_not = Arrival {
        resume: Some(same),
        ..arrival(1, false)
    };
    for arrival in [arrival(1, true), elsewhere, differs, shares_not] {
        let mut node = Node::new();
        let seed = node.client(1, true);
        node.announce(seed, true);
        node.tell(Event::Lost { session: seed });
        let session = SessionId(100);
        let resumed = false;
        let outputs = node.join(session, arrival.clone());
        assert_eq!(
            outputs,
            [Output::Joined { session, resumed }],
            "{arrival:?}"
        );
        assert_eq!(node.core.holders(OBJECT), 0);
    }
}

#[test]
fn who_stays_away_is_forgotten() {
    let mut node = Node::new();
    let seed = node.client(1, true);
    node.announce(seed, true);
    node.tell(Event::Lost { session: seed });
    node.pass(59);
    assert_eq!(node.wake(), []);
    assert_eq!(node.core.holders(OBJECT), 1);
    node.pass(1);
    assert_eq!(node.wake(), []);
    assert_eq!((node.core.holders(OBJECT), node.core.away()), (0, 0));
    node.pass(1000);
    assert_eq!(node.wake(), []);
    assert_eq!(node.core.poll_timeout(), None);
}

#[test]
fn two_machines_with_one_key_do_not_take_the_session_from_one_another_for_ever() {
    let mut node = Node::new();
    node.client(1, true);
    let replaced = (0..20).map(|n| node.join(SessionId(100 + n), arrival(1, true)));
    let refused: Vec<Vec<Output>> = replaced.filter(|outputs| outputs.len() == 1).collect();
    assert_eq!(refused.len(), 20 - 5, "six logins at once");
    let Output::Close { session, reason } = &refused[0][0] else {
        panic!("{refused:?}")
    };
    assert_eq!(
        *session,
        SessionId(105),
        "the one that comes, not the one that is"
    );
    let retry_after = Duration::from_secs(60);
    assert_eq!(*reason, CloseReason::TooManyLogins { retry_after });
    assert_eq!(node.core.sessions(), 1);
    node.pass(60);
    assert_eq!(node.join(SessionId(200), arrival(1, true)).len(), 2);
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

#[test]
fn a_node_that_goes_down_sends_its_clients_away_one_after_another() {
    let mut node = Node::new();
    let clients: Vec<SessionId> = (1..=100).map(|id| node.client(id, true)).collect();
    let within = Duration::from_secs(1);
    node.tell(Event::Drain { within });
    let mut closed = Vec::new();
    while node.core.sessions() > 0 {
        node.now = node.core.poll_timeout().unwrap();
        let before = closed.len();
        for output in node.wake() {
            let Output::Close { session, reason } = output else {
                panic!("{output:?}")
            };
            assert_eq!(reason, CloseReason::Draining);
            closed.push(session);
        }
        assert!(closed.len() <= before + 3, "a few at once");
    }
    assert_eq!(closed, clients);
    assert!(node.now <= Timestamp::ZERO + within);
}
