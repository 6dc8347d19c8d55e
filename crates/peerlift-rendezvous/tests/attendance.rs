//! What happens when clients come, fall silent, come back, and are sent away.

mod common;

use std::time::Duration;

use common::{Node, OBJECT, arrival, introduced};
use peerlift_model::Timestamp;
use peerlift_rendezvous::{Arrival, CloseReason, Digest, Event, Output, SessionId};

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
fn events_of_unknown_sessions_are_ignored() {
    let mut node = Node::new();
    let session = SessionId(404);
    assert_eq!(node.announce(session, true), []);
    assert_eq!(node.query(session), []);
    assert_eq!(node.tell(Event::Left { session }), []);
    assert_eq!(node.core.objects(), 0);
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
