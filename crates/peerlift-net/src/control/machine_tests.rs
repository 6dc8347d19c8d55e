use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

const OBJECT: ObjectId = ObjectId::new([3; 32]);

fn machine() -> Machine {
    let identity = Identity {
        key_seed: [1; 32],
        agent: "test/1".to_owned(),
        share: true,
    };
    Machine::new(identity, at(0))
}

fn acts(machine: &mut Machine) -> Vec<Act> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

fn sent(machine: &mut Machine) -> Vec<ClientMessage> {
    let sent = acts(machine).into_iter().filter_map(|act| match act {
        Act::Send(message) => Some(message),
        Act::Connect | Act::Disconnect | Act::Tell(_) => None,
    });
    sent.collect()
}

/// Logs in; says what the login told, and what was said behind it and after the welcome.
fn go_up(machine: &mut Machine, now: Timestamp, resumed: bool) -> (Login, Vec<ClientMessage>) {
    go_up_with(machine, now, resumed, Vec::new())
}

/// The same, with commands that come between the login and the welcome.
fn go_up_with(
    machine: &mut Machine,
    now: Timestamp,
    resumed: bool,
    meanwhile: Vec<Command>,
) -> (Login, Vec<ClientMessage>) {
    machine.handle_timeout(now, 0.0);
    assert!(matches!(acts(machine)[..], [Act::Connect]));
    let challenge = ServerMessage::Challenge(Challenge {
        nonce: [1; 32],
        node: [2; 32],
        time: 1000,
    });
    machine.handle_message(challenge, now, 0.0);
    let mut said = sent(machine);
    let ClientMessage::Login(login) = said.remove(0) else {
        panic!("no login")
    };
    for command in meanwhile {
        machine.handle_command(command, now);
    }
    assert_eq!(sent(machine), [], "no more is said before the welcome");
    let welcome = ServerMessage::Welcome(Welcome {
        observed: None,
        ticket_keys: Vec::new(),
        keep_alive_s: 600,
        session: 1,
        resumed,
    });
    machine.handle_message(welcome, now, 0.0);
    said.append(&mut sent(machine));
    (login, said)
}

fn announce(complete: bool) -> Command {
    let object = OBJECT;
    Command::Announce { object, complete }
}

fn lost(machine: &mut Machine, now: Timestamp) -> u32 {
    machine.handle_lost(ControlError::Closed, now, 0.0);
    let [Act::Disconnect, Act::Tell(ControlEvent::Lost { tries, .. })] = acts(machine)[..] else {
        panic!("not lost")
    };
    tries
}

#[test]
fn what_was_announced_is_said_again_unless_the_node_remembers() {
    let mut machine = machine();
    machine.handle_command(announce(true), at(0));
    let (login, said) = go_up(&mut machine, at(0), false);
    assert_eq!(login.resume, None, "nothing to go on from");
    let again = ClientMessage::Announce {
        object: OBJECT,
        complete: true,
    };
    assert_eq!(said, std::slice::from_ref(&again));

    lost(&mut machine, at(100));
    let (login, said) = go_up(&mut machine, at(101), true);
    let digest = u64::from_be_bytes([3; 8]).rotate_left(1);
    assert_eq!((login.resume, said), (Some(digest), Vec::new()));

    lost(&mut machine, at(200));
    let (_, said) = go_up(&mut machine, at(201), false);
    assert_eq!(said, [again]);
}

#[test]
fn what_changes_while_it_logs_in_is_said_after_the_welcome() {
    let address = PeerAddress {
        tcp_port: Some(4433),
        ..PeerAddress::default()
    };
    let moved = |nat| ClientMessage::Address {
        address: address.clone(),
        nat,
    };
    let announced = |object, complete| ClientMessage::Announce { object, complete };
    let mut machine = machine();
    let late = vec![Command::Address(address.clone()), announce(false)];
    let (login, said) = go_up_with(&mut machine, at(0), false, late);
    assert_eq!(login.address, PeerAddress::default());
    assert_eq!(said, [moved(NatClass::Unknown), announced(OBJECT, false)]);

    lost(&mut machine, at(1));
    let other = ObjectId::new([4; 32]);
    let late = vec![
        Command::Nat(NatClass::Easy),
        Command::Withdraw { object: OBJECT },
        Command::Announce {
            object: other,
            complete: true,
        },
    ];
    let (_, said) = go_up_with(&mut machine, at(101), true, late);
    let withdrawn = ClientMessage::Withdraw { object: OBJECT };
    assert_eq!(
        said,
        [moved(NatClass::Easy), announced(other, true), withdrawn]
    );

    lost(&mut machine, at(102));
    let (login, said) = go_up(&mut machine, at(203), true);
    assert_eq!((login.address, login.nat), (address, NatClass::Easy));
    assert_eq!(said, [], "it was in the login");
}

#[test]
fn who_is_new_to_a_node_says_everything_behind_the_login() {
    let mut machine = machine();
    let query = |max| Query {
        object: OBJECT,
        max,
        known: Vec::new(),
    };
    machine.handle_command(announce(false), at(0));
    machine.handle_command(Command::Query(query(40)), at(0));
    let announced = ClientMessage::Announce {
        object: OBJECT,
        complete: false,
    };
    let asked = |max| ClientMessage::Query(query(max));
    let (_, said) = go_up(&mut machine, at(0), false);
    assert_eq!(said, [announced.clone(), asked(40)], "and not twice");

    // A connection that broke before the welcome has said nothing.
    let mut machine = self::machine();
    machine.handle_command(announce(false), at(0));
    machine.handle_command(Command::Query(query(40)), at(0));
    machine.handle_timeout(at(0), 0.0);
    let challenge = Challenge {
        nonce: [1; 32],
        node: [2; 32],
        time: 1000,
    };
    machine.handle_message(ServerMessage::Challenge(challenge), at(0), 0.0);
    assert_eq!(sent(&mut machine).len(), 3);
    lost(&mut machine, at(1));
    let late = vec![Command::Query(query(8))];
    let (_, said) = go_up_with(&mut machine, at(101), false, late);
    assert_eq!(said, [announced, asked(40), asked(8)]);
}

#[test]
fn a_recall_is_answered_with_everything() {
    let mut machine = machine();
    go_up(&mut machine, at(0), false);
    machine.handle_command(announce(false), at(1));
    sent(&mut machine);
    machine.handle_message(ServerMessage::Recall, at(2), 0.0);
    let complete = false;
    let object = OBJECT;
    assert_eq!(
        sent(&mut machine),
        [ClientMessage::Announce { object, complete }]
    );
}

#[test]
fn a_forbidden_object_is_withdrawn_and_not_announced_again() {
    let mut machine = machine();
    machine.handle_command(announce(true), at(0));
    go_up(&mut machine, at(0), false);
    let object = OBJECT;
    machine.handle_message(ServerMessage::Block { object }, at(1), 0.0);
    let acts = acts(&mut machine);
    assert!(
        matches!(
            acts[..],
            [
                Act::Tell(ControlEvent::Blocked { .. }),
                Act::Send(ClientMessage::Withdraw { .. })
            ]
        ),
        "{acts:?}"
    );
    lost(&mut machine, at(100));
    assert_eq!(go_up(&mut machine, at(200), false).1, []);
}

#[test]
fn waits_grow_while_sessions_do_not_last() {
    let mut machine = machine();
    let mut now = at(0);
    for tries in 1..=5 {
        go_up(&mut machine, now, false);
        assert_eq!(lost(&mut machine, now), tries);
        now = machine.poll_timeout();
    }
    go_up(&mut machine, now, false);
    let later = now + STABLE_AFTER;
    assert_eq!(lost(&mut machine, later), 1, "one that lasted begins anew");
    assert_eq!(
        machine.poll_timeout().since(later),
        Duration::from_millis(500)
    );
}

#[test]
fn a_node_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let mut machine = machine();
    machine.handle_timeout(at(0), 0.0);
    acts(&mut machine);
    let challenge = Challenge {
        nonce: [0; 32],
        node: [0; 32],
        time: 0,
    };
    machine.handle_message(ServerMessage::Challenge(challenge), at(0), 0.0);
    let busy = ServerMessage::Error {
        code: ErrorCode::Busy,
        text: "later".to_owned(),
        retry_after_s: 60,
    };
    machine.handle_message(busy, at(1), 0.0);
    assert_eq!(machine.poll_timeout(), at(61));
    acts(&mut machine);
    machine.handle_timeout(at(60), 0.0);
    assert!(acts(&mut machine).is_empty());
    machine.handle_timeout(at(61), 0.0);
    assert!(matches!(acts(&mut machine)[..], [Act::Connect]));
}

#[test]
fn a_node_that_does_not_answer_is_given_up() {
    let mut machine = machine();
    machine.handle_timeout(at(0), 0.0);
    acts(&mut machine);
    assert_eq!(machine.poll_timeout(), Timestamp::ZERO + LOGIN_MAX);
    machine.handle_timeout(machine.poll_timeout(), 0.0);
    let acts = acts(&mut machine);
    let timed_out = matches!(
        acts[..],
        [
            Act::Disconnect,
            Act::Tell(ControlEvent::Lost {
                error: ControlError::Timeout,
                ..
            })
        ]
    );
    assert!(timed_out, "{acts:?}");
}

#[test]
fn an_idle_session_says_something_every_ten_minutes_and_wants_an_answer() {
    let mut machine = machine();
    go_up(&mut machine, at(0), false);
    let mut pings = Vec::new();
    while machine.poll_timeout() < at(3600) {
        let now = machine.poll_timeout();
        machine.handle_timeout(now, 0.0);
        for message in sent(&mut machine) {
            assert_eq!(message, ClientMessage::Ping);
            pings.push(now);
            machine.handle_message(ServerMessage::Pong, now, 0.0);
        }
    }
    assert_eq!(pings, [600, 1200, 1800, 2400, 3000].map(at));

    machine.handle_timeout(at(3600), 0.0);
    assert_eq!(sent(&mut machine), [ClientMessage::Ping]);
    machine.handle_timeout(at(3620), 0.0);
    let acts = acts(&mut machine);
    assert!(
        matches!(acts[..], [Act::Disconnect, Act::Tell(_)]),
        "{acts:?}"
    );
}

#[test]
fn after_a_sleep_the_node_is_asked_at_once() {
    let unix = |seconds: u64| Duration::from_secs(1_800_000_000 + seconds);
    let mut machine = machine();
    machine.handle_clocks(at(0), unix(0));
    go_up(&mut machine, at(0), false);
    machine.handle_clocks(at(10), unix(10));
    assert!(sent(&mut machine).is_empty());
    machine.handle_clocks(at(11), unix(8 * 3600));
    assert_eq!(sent(&mut machine), [ClientMessage::Ping]);
    assert_eq!(machine.poll_timeout(), at(31), "and has to answer soon");

    lost(&mut machine, at(12));
    machine.handle_clocks(at(12), unix(9 * 3600));
    machine.handle_timeout(at(12), 0.0);
    assert!(
        matches!(acts(&mut machine)[..], [Act::Connect]),
        "no waiting after a sleep"
    );
}

#[test]
fn questions_wait_for_a_session_and_are_asked_once() {
    let mut machine = machine();
    let query = Query {
        object: OBJECT,
        max: 7,
        known: Vec::new(),
    };
    machine.handle_command(Command::Query(query.clone()), at(0));
    machine.handle_command(Command::Query(query.clone()), at(0));
    let (_, said) = go_up(&mut machine, at(1), false);
    assert_eq!(said, [ClientMessage::Query(query)]);
    lost(&mut machine, at(100));
    assert_eq!(go_up(&mut machine, at(200), false).1, []);
}

#[test]
fn an_idle_hour_is_six_pings_and_nothing_else() {
    let mut machine = machine();
    machine.handle_command(announce(true), at(0));
    go_up(&mut machine, at(0), false);
    let mut said = Vec::new();
    let mut now = at(0);
    while now < at(3600) {
        machine.handle_timeout(now, 0.5);
        let unix = Duration::from_micros(now.as_micros());
        machine.handle_clocks(now, unix);
        let new = sent(&mut machine);
        if new.contains(&ClientMessage::Ping) {
            machine.handle_message(ServerMessage::Pong, now, 0.5);
        }
        said.extend(new);
        now = machine.poll_timeout().max(now + Duration::from_millis(1));
    }
    assert!(said.len() <= 6, "{said:?}");
    assert!(said.iter().all(|message| *message == ClientMessage::Ping));
}
