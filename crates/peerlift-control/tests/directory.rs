//! Several control nodes that share a directory on a real Redis or Valkey: what each learns of the
//! others' clients, and what is left when the server is gone, slow, full or read-only.
//!
//! `scripts/test.py directory` installs the server and runs these.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Client, OBJECT, Served, peer, within};
use peerlift_control::{ControlConfig, DirectoryUrl};
use peerlift_model::ObjectId;
use peerlift_net::control::ControlEvent;
use peerlift_rendezvous::policy::Pace;
use peerlift_wire::control::Introductions;
use servers::{Cluster, Server, cli, until};
use tokio::time::{Instant, sleep};

const WORKS: &str = "peerlift_control_directory_up 1";
const FAILS: &str = "peerlift_control_directory_up 0";

async fn node(seed: u8, url: &str) -> Served {
    node_with(seed, url.parse().unwrap()).await
}

async fn node_with(seed: u8, directory: DirectoryUrl) -> Served {
    let mut config = ControlConfig::new([seed; 32]);
    config.directory = Some(directory);
    let often = Pace::new(1000, Duration::from_millis(1));
    config.core.policy.limits.queries = often;
    config.core.policy.limits.prefix_queries = often;
    config.core.policy.limits.announces = often;
    Served::start_with(config).await
}

/// The peers that a client is answered with, and nothing else it is told.
async fn ask(client: &mut Client, object: ObjectId) -> Introductions {
    client.session.query(object, 10, Vec::new()).await;
    loop {
        if let ControlEvent::Introductions(answer) = client.event().await
            && answer.spread.is_some()
        {
            return answer;
        }
    }
}

/// Asks until the answer names just these.
async fn until_named(client: &mut Client, object: ObjectId, seeds: &[u8]) {
    let wanted: BTreeSet<_> = seeds.iter().map(|seed| peer(*seed)).collect();
    let deadline = Instant::now() + common::TOO_LONG;
    loop {
        let answer = ask(client, object).await;
        let named: BTreeSet<_> = answer.peers.iter().map(|one| one.peer).collect();
        if named == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{named:?} instead of {wanted:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn clients_of_two_nodes_find_each_other() {
    let server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let mut leecher = a.client(1, true).await;
    leecher.session.announce(OBJECT, false).await;
    assert_eq!(ask(&mut leecher, OBJECT).await.peers.len(), 0);
    let mut other = b.client(2, true).await;
    until_named(&mut other, OBJECT, &[1]).await;
    // The one that was named hears of it, from its own node, with a ticket of that node's.
    loop {
        if let ControlEvent::Introductions(news) = leecher.event().await {
            assert_eq!((news.peers[0].peer, news.spread), (peer(2), None));
            assert!(!news.peers[0].dial);
            break;
        }
    }
    // And who was there before a node came takes that node's tickets.
    let c = node(11, &server.url()).await;
    loop {
        if let ControlEvent::TicketKeys { keys } = leecher.event().await
            && keys.contains(&c.node.key())
        {
            break;
        }
    }
    // Gone from one node, gone from all.
    leecher.session.withdraw(OBJECT).await;
    until_named(&mut other, OBJECT, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn a_directory_over_tls_is_believed_by_its_certificate_only() {
    let (server, certificate) = Server::start_with_tls();
    let url = format!("rediss://localhost:{}", server.port);
    let vouched = || {
        let url: DirectoryUrl = url.parse().unwrap();
        url.with_ca(certificate.clone().into_bytes()).unwrap()
    };
    let (a, b) = (
        node_with(9, vouched()).await,
        node_with(10, vouched()).await,
    );
    a.until(WORKS).await;
    b.until(WORKS).await;
    let seeder = a.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    let mut asker = b.client(2, true).await;
    until_named(&mut asker, OBJECT, &[1]).await;

    // Nobody whom the system believes vouches for it.
    let doubting = node(11, &url).await;
    let troubles = "peerlift_control_directory_troubles_total";
    let counted = |line: &str| line.starts_with(&format!("{troubles}{{"));
    doubting.until_some(troubles, counted).await;
    doubting.until(FAILS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn a_client_that_moves_is_found_where_it_went() {
    let server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let seeder = a.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    let mut asker = b.client(2, true).await;
    until_named(&mut asker, OBJECT, &[1]).await;
    let moved = b.client(1, true).await;
    moved.session.announce(OBJECT, true).await;
    until_named(&mut asker, OBJECT, &[1]).await;
    // What the old node takes back is not what the new one said.
    drop(seeder);
    a.until("peerlift_control_sessions 0").await;
    let mut elsewhere = a.client(3, true).await;
    until_named(&mut elsewhere, OBJECT, &[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn without_the_server_each_node_answers_from_its_own_and_tells_all_again_later() {
    let mut server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let (far, near) = (a.client(1, true).await, b.client(2, true).await);
    far.session.announce(OBJECT, true).await;
    near.session.announce(OBJECT, true).await;
    let mut asker = b.client(3, true).await;
    until_named(&mut asker, OBJECT, &[1, 2]).await;
    server.kill();
    a.until(FAILS).await;
    b.until(FAILS).await;
    until_named(&mut asker, OBJECT, &[2]).await;
    // Announced while nobody could be told.
    let late = a.client(4, true).await;
    late.session.announce(OBJECT, true).await;
    server.start_again();
    assert_eq!(server.ask(&["DBSIZE"]), "0");
    until_named(&mut asker, OBJECT, &[1, 2, 4]).await;
    b.until(WORKS).await;
    // Nobody was hung up on.
    b.until("peerlift_control_logins_total 2").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn a_server_that_is_full_read_only_or_stuck_is_said_to_be_and_gets_over_it() {
    let server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let near = b.client(2, true).await;
    near.session.announce(OBJECT, true).await;
    let mut asker = b.client(3, true).await;
    let steps: [(&str, &[&str], &[&str]); 2] = [
        (
            "full",
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
        ),
        (
            "read-only",
            &["REPLICAOF", "127.0.0.1", "1"],
            &["REPLICAOF", "NO", "ONE"],
        ),
    ];
    for (seed, (trouble, begin, end)) in (4..).zip(steps) {
        assert_eq!(server.ask(begin), "OK");
        b.until(FAILS).await;
        let late = a.client(seed, true).await;
        late.session.announce(OBJECT, true).await;
        b.until_counted("peerlift_control_directory_troubles_total", trouble)
            .await;
        until_named(&mut asker, OBJECT, &[2]).await;
        assert_eq!(server.ask(end), "OK");
        until_named(&mut asker, OBJECT, &[2, seed]).await;
        a.until(WORKS).await;
        b.until(WORKS).await;
    }
    server.signal("-STOP");
    until_named(&mut asker, OBJECT, &[2]).await;
    b.until_counted("peerlift_control_directory_troubles_total", "slow")
        .await;
    server.signal("-CONT");
    b.until(WORKS).await;
}

/// Ends the lease of every holder of an object.
const END_LEASES: &str = r"
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('ZADD', KEYS[1], 0, string.sub(member, 1, -5) .. '\0\0\0\1')
end";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn whose_lease_is_over_is_not_named_and_goes_with_the_next_question() {
    let server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let (seeder, mut asker) = (a.client(1, true).await, b.client(2, true).await);
    seeder.session.announce(OBJECT, true).await;
    until_named(&mut asker, OBJECT, &[1]).await;
    let (members, said) = (key_of(OBJECT), key_of(OBJECT).replace(":z", ":h"));
    assert_eq!(server.ask(&["HLEN", &said]), "1");
    server.ask(&["EVAL", END_LEASES, "1", &members]);
    assert_eq!(server.ask(&["ZCARD", &members]), "1");
    until_named(&mut asker, OBJECT, &[]).await;
    until("it is removed", || {
        server.ask(&["EXISTS", &members, &said]) == "0"
    });
    // Said again, it is there again.
    seeder.session.announce(OBJECT, false).await;
    until_named(&mut asker, OBJECT, &[1]).await;
}

/// Holders whose share in answers is counted.
const HOLDERS: u8 = 120;

/// Questions of forty peers each.
const QUESTIONS: u32 = 2000;

/// Every holder is named about equally often: a fifth off the mean is six times the deviation that
/// pure chance has (2,000 questions, one in three of which names a holder), which none of so many
/// exceeds but once in 10⁷ runs.
async fn answers_are_fair(a: &Served, b: &Served, object: ObjectId) {
    let mut holders = Vec::new();
    for seed in 100..100 + HOLDERS {
        let holder = a.client(seed, true).await;
        holder.session.announce(object, true).await;
        holders.push(holder);
    }
    let mut asker = b.stranger().await;
    asker.log_in(99).await;
    let all_are_known = async {
        let mut seen = BTreeSet::new();
        while seen.len() < holders.len() {
            let named = asker.ask_for(object).await.peers;
            seen.extend(named.into_iter().map(|one| one.peer));
        }
    };
    within(all_are_known).await;
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    let mut answers = 0;
    while answers < QUESTIONS {
        let named = asker.ask_for(object).await.peers;
        // A node whose directory is late answers from its own clients, and this one has none.
        answers += u32::from(!named.is_empty());
        for introduction in named {
            *counts.entry(introduction.peer).or_default() += 1;
        }
    }
    let mean = 40 * QUESTIONS / u32::from(HOLDERS);
    let all_alike = counts.values().all(|count| count.abs_diff(mean) < mean / 5);
    assert!(
        all_alike && counts.len() == holders.len(),
        "{mean}: {counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn all_holders_are_named_equally_often() {
    let server = Server::start(&["--save", ""]);
    let (a, b) = (node(9, &server.url()).await, node(10, &server.url()).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    answers_are_fair(&a, &b, OBJECT).await;
}

/// The key by which a cluster places an object.
fn key_of(object: ObjectId) -> String {
    format!("peerlift:2:{{{object}}}:z")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn a_cluster_loses_a_master_and_moves_slots_while_clients_ask() {
    let mut cluster = Cluster::start();
    let (a, b) = (
        node(9, &cluster.url()).await,
        node(10, &cluster.url()).await,
    );
    a.until(WORKS).await;
    b.until(WORKS).await;
    let seeder = a.client(1, true).await;
    let mut asker = b.client(2, true).await;
    let objects: Vec<ObjectId> = (1..=24).map(|byte| ObjectId::new([byte; 32])).collect();
    for object in &objects {
        seeder.session.announce(*object, true).await;
    }
    for object in &objects {
        until_named(&mut asker, *object, &[1]).await;
    }
    answers_are_fair(&a, &b, ObjectId::new([99; 32])).await;

    // Slots move from one master to another while clients ask.
    let (_, from) = cluster.master_of(&key_of(objects[0]), 0).unwrap();
    let others = objects
        .iter()
        .map(|one| cluster.master_of(&key_of(*one), 0).unwrap().1);
    let to = others.into_iter().find(|id| *id != from).unwrap();
    let address = format!("127.0.0.1:{}", cluster.servers[0].port);
    let moving = tokio::task::spawn_blocking(move || {
        let command = ["--cluster", "reshard", &address, "--cluster-from", &from];
        let more = [
            "--cluster-to",
            &to,
            "--cluster-slots",
            "3000",
            "--cluster-yes",
        ];
        cli(&[&command[..], &more].concat())
    });
    while !moving.is_finished() {
        for object in &objects {
            // Every question is answered, by the directory or without it.
            ask(&mut asker, *object).await;
        }
    }
    let moved = within(moving).await.unwrap();
    assert!(moved.status.success(), "{moved:?}");
    for object in &objects {
        until_named(&mut asker, *object, &[1]).await;
    }

    // A master dies; its replica takes over.
    cluster.until_whole();
    let (dead, id) = cluster.master_of(&key_of(objects[1]), 0).unwrap();
    let witness = (dead + 1) % 3;
    cluster.servers[dead].kill();
    for object in &objects {
        ask(&mut asker, *object).await;
    }
    until("a replica took over", || {
        let master = cluster.master_of(&key_of(objects[1]), witness);
        master.is_some_and(|(_, new)| new != id)
    });
    let late = a.client(3, true).await;
    for object in &objects {
        late.session.announce(*object, true).await;
    }
    for object in &objects {
        until_named(&mut asker, *object, &[1, 3]).await;
    }
    cluster.servers[dead].start_again();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server or valkey-server"]
async fn the_master_that_sentinels_name_is_followed() {
    let at_once = ["--save", "", "--repl-diskless-sync-delay", "0"];
    let mut master = Server::start(&at_once);
    let replica = Server::start(&at_once);
    let port = master.port.to_string();
    assert_eq!(replica.ask(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    // One that never had its master's data is not made master.
    until("the replica follows its master", || {
        let link = replica.ask(&["INFO", "replication"]);
        link.contains("master_link_status:up")
    });
    let sentinel = Server::start(&["--sentinel"]);
    assert_eq!(
        sentinel.ask(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]),
        "OK"
    );
    for (name, value) in [
        ("down-after-milliseconds", "500"),
        ("failover-timeout", "3000"),
    ] {
        assert_eq!(
            sentinel.ask(&["SENTINEL", "SET", "main", name, value]),
            "OK"
        );
    }
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port);
    let (a, b) = (node(9, &url).await, node(10, &url).await);
    a.until(WORKS).await;
    b.until(WORKS).await;
    let seeder = a.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    let mut asker = b.client(2, true).await;
    until_named(&mut asker, OBJECT, &[1]).await;
    until("the sentinel knows the replica", || {
        let replicas = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]);
        replicas.contains("master-link-status\nok")
    });
    master.kill();
    until("the replica is the master", || {
        replica.ask(&["ROLE"]).starts_with("master")
    });
    let late = a.client(3, true).await;
    late.session.announce(OBJECT, true).await;
    until_named(&mut asker, OBJECT, &[1, 3]).await;
}
