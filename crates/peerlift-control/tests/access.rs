//! Restricted objects, tokens shown in sessions, and what an operator blocks.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Client, OBJECT, Served, Stranger, within};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use peerlift_access::{AccessKey, BLOCKED_MAX, BlockList, Claims, KeySet, Proof, SecretToken};
use peerlift_control::{BLOCKS_PATH, BlockError, ControlConfig, NodeAccess, ObjectAccess};
use peerlift_model::{ObjectId, PublisherId};
use peerlift_net::control::ControlEvent;
use peerlift_net::token::{TokenSource, Wallet};
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Query, ServerMessage, ShownToken,
};

const NODE: [u8; 32] = [9; 32];
const HOLDER: [u8; 32] = [8; 32];

fn publisher_key() -> AccessKey {
    AccessKey::from_seed(&[7; 32])
}

fn publisher() -> PublisherId {
    PublisherId::new(publisher_key().public())
}

fn holder() -> AccessKey {
    AccessKey::of_holder(&HOLDER, publisher())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn claims() -> Claims {
    Claims {
        publisher: publisher(),
        audience: vec!["peerlift-control".to_owned()],
        issued: now(),
        not_before: None,
        expires: now() + 600,
        id: "x".to_owned(),
        subject: None,
        holder: Some(holder().thumbprint()),
        objects: Vec::new(),
    }
}

/// A node that knows [`OBJECT`] as restricted.
async fn node() -> (Served, Arc<NodeAccess>) {
    let mut config = ControlConfig::new(NODE);
    let access = Arc::new(NodeAccess::new(&NODE));
    let about = ObjectAccess {
        publisher: publisher(),
        token: true,
        unbound: false,
    };
    access.know(OBJECT, about);
    config.access = Arc::clone(&access);
    (Served::start_with(config).await, access)
}

fn wallet(claims: &Claims) -> Arc<Wallet> {
    let token = claims.sign(&publisher_key());
    Arc::new(Wallet::open(TokenSource::Fixed(token), Some(HOLDER)).unwrap())
}

impl Client {
    async fn denial(&mut self) -> String {
        let event = self.event().await;
        let ControlEvent::Denied { text } = event else {
            panic!("{event:?}")
        };
        text
    }
}

#[tokio::test]
async fn without_a_token_nobody_is_named_and_with_one_they_are() {
    let (served, _access) = node().await;
    let seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_directory_entries 1").await;
    let mut asker = served.client(2, true).await;
    asker.session.query(OBJECT, 10, Vec::new()).await;
    assert!(asker.denial().await.contains("token of the publisher"));
    // The session goes on, and so do open objects.
    asker
        .session
        .query(ObjectId::new([4; 32]), 10, Vec::new())
        .await;
    assert_eq!(asker.introductions().await.peers.len(), 0);

    asker.session.show(wallet(&claims())).await;
    assert_eq!(asker.ask().await.peers.len(), 1);
}

#[tokio::test]
async fn who_takes_a_key_back_takes_back_what_it_has_signed() {
    let (served, access) = node().await;
    let mut asker = served.client(2, true).await;
    asker.session.show(wallet(&claims())).await;
    asker.ask().await;
    let other = AccessKey::from_seed(&[77; 32]);
    access.set_keys(publisher(), KeySet::of([other.public()]));
    asker.session.query(OBJECT, 10, Vec::new()).await;
    assert!(asker.denial().await.contains("unknown key"));
    let both = KeySet::of([other.public(), publisher_key().public()]);
    access.set_keys(publisher(), both);
    asker.ask().await;
}

#[tokio::test]
async fn a_token_is_shown_again_after_a_restart() {
    let (served, access) = node().await;
    let mut asker = served.client(2, true).await;
    asker.session.show(wallet(&claims())).await;
    asker.ask().await;
    let address = served.stop().await;
    let event = asker.event().await;
    assert!(matches!(event, ControlEvent::Lost { .. }), "{event:?}");
    let mut config = ControlConfig::new(NODE);
    config.access = access;
    let _served = Served::start_at(address, config).await;
    asker.connected().await;
    asker.ask().await;
}

#[tokio::test]
async fn tokens_that_do_not_count_are_refused_with_a_reason() {
    let (served, _access) = node().await;
    for (claims, want) in [
        (
            Claims {
                audience: vec!["peerlift-edge".to_owned()],
                ..claims()
            },
            "another audience",
        ),
        (
            Claims {
                issued: now() - 2000,
                expires: now() - 1000,
                ..claims()
            },
            "expired",
        ),
        (
            Claims {
                expires: now() + 36_000,
                ..claims()
            },
            "too long",
        ),
    ] {
        let mut asker = served.client(2, true).await;
        asker.session.show(wallet(&claims)).await;
        let said = asker.denial().await;
        assert!(said.contains(want), "{said}");
    }
    // Good, and for another object: that shows when it is used.
    let mut asker = served.client(3, true).await;
    let other = Claims {
        objects: vec![ObjectId::new([4; 32])],
        ..claims()
    };
    asker.session.show(wallet(&other)).await;
    asker.session.query(OBJECT, 10, Vec::new()).await;
    assert!(asker.denial().await.contains("something else"));
}

/// What the node says to a token that a stranger shows, before its query for the object.
async fn show(served: &Served, shown: impl FnOnce(&Challenge) -> ShownToken) -> ErrorCode {
    let mut stranger = served.stranger().await;
    let challenge = stranger.challenge().await;
    let login = ClientMessage::Login(common::login(5, &challenge)).encode();
    stranger.send(login).await.unwrap();
    let welcome = stranger.receive().await;
    assert!(matches!(welcome, Some(ServerMessage::Welcome(_))));
    let shown = ClientMessage::Token(shown(&challenge)).encode();
    stranger.send(shown).await.unwrap();
    answer(&mut stranger).await
}

async fn answer(stranger: &mut Stranger) -> ErrorCode {
    let query = Query {
        object: OBJECT,
        max: 1,
        known: Vec::new(),
    };
    stranger
        .send(ClientMessage::Query(query).encode())
        .await
        .unwrap();
    match stranger.receive().await {
        Some(ServerMessage::Error { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// What answers a session's challenge, signed.
fn proof(challenge: &Challenge, key: &AccessKey, token: &SecretToken) -> String {
    let proof = Proof {
        method: "LOGIN".to_owned(),
        target: format!("peerlift-control://{}", HEXLOWER.encode(&challenge.node)),
        issued: now(),
        id: "once".to_owned(),
        nonce: Some(BASE64URL_NOPAD.encode(&challenge.nonce)),
    };
    proof.sign(key, token)
}

#[tokio::test]
async fn a_stolen_token_and_a_replayed_proof_are_worth_nothing() {
    let (served, _access) = node().await;
    let token = claims().sign(&publisher_key());
    let text = token.expose().to_owned();
    let shown = |proof: String| ShownToken {
        token: text.clone(),
        proof,
    };
    // Without any proof.
    let code = show(&served, |_| shown(String::new())).await;
    assert_eq!(code, ErrorCode::Denied);
    // With a thief's.
    let thief = AccessKey::from_seed(&[66; 32]);
    let code = show(&served, |challenge| shown(proof(challenge, &thief, &token))).await;
    assert_eq!(code, ErrorCode::Denied);
    // With one that another session was answered with.
    let mut old = served.stranger().await;
    let before = old.challenge().await;
    let replayed = proof(&before, &holder(), &token);
    let code = show(&served, |_| shown(replayed)).await;
    assert_eq!(code, ErrorCode::Denied);
    // With one made for another node.
    let code = show(&served, |challenge| {
        let elsewhere = Challenge {
            node: [1; 32],
            ..challenge.clone()
        };
        shown(proof(&elsewhere, &holder(), &token))
    })
    .await;
    assert_eq!(code, ErrorCode::Denied);
}

#[tokio::test]
async fn a_flood_of_tokens_is_put_off() {
    let (served, _access) = node().await;
    let mut stranger = served.stranger().await;
    stranger.log_in(5).await;
    let garbage = ClientMessage::Token(ShownToken {
        token: "a.b.c".to_owned(),
        proof: String::new(),
    });
    let mut codes = Vec::new();
    for _ in 0..17 {
        stranger.send(garbage.encode()).await.unwrap();
        match stranger.receive().await {
            Some(ServerMessage::Error { code, .. }) => codes.push(code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(codes[..16], [ErrorCode::Denied; 16]);
    assert_eq!(codes[16], ErrorCode::Busy);
}

#[tokio::test]
async fn every_session_hears_of_a_block_and_later_ones_too() {
    let (served, access) = node().await;
    let mut clients = [
        served.client(1, true).await,
        served.client(2, false).await,
        served.client(3, true).await,
    ];
    let object = ObjectId::new([4; 32]);
    access
        .change_blocked(
            |blocked| {
                blocked.objects.insert(object);
                blocked.publishers.insert(publisher());
            },
            now(),
        )
        .unwrap();
    for client in &mut clients {
        let event = client.event().await;
        let ControlEvent::BlockList(blocked) = event else {
            panic!("{event:?}")
        };
        assert_eq!(blocked.objects, [object]);
        assert_eq!(blocked.publishers, [publisher()]);
    }
    let mut late = served.client(4, true).await;
    let event = late.event().await;
    assert!(matches!(event, ControlEvent::BlockList(_)), "{event:?}");
    // Nobody is told who has it, and a token does not help.
    late.session.query(object, 10, Vec::new()).await;
    assert!(late.denial().await.contains("blocked"));
    late.session.show(wallet(&claims())).await;
    late.session.query(OBJECT, 10, Vec::new()).await;
    assert!(late.denial().await.contains("blocked"), "by its publisher");

    access
        .change_blocked(|blocked| *blocked = Default::default(), now())
        .unwrap();
    let event = late.event().await;
    let ControlEvent::BlockList(blocked) = event else {
        panic!("{event:?}")
    };
    assert_eq!(blocked, Default::default());
    late.session.query(object, 10, Vec::new()).await;
    late.introductions().await;
}

#[tokio::test]
async fn what_is_blocked_outlasts_the_node_and_a_damaged_list_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/blocked.jwt");
    let open = || NodeAccess::kept_in(&NODE, &file);
    let block = |access: &NodeAccess, number: u8| {
        access.change_blocked(
            |blocked| {
                blocked.objects.insert(ObjectId::new([number; 32]));
            },
            now(),
        )
    };
    block(&open().unwrap(), 1).unwrap();
    let again = open().unwrap();
    assert!(again.is_blocked(ObjectId::new([1; 32])));
    let list = BlockList::verify(
        &again.signed_list(now()),
        &AccessKey::from_seed(&NODE).public(),
    );
    assert_eq!(list.unwrap().serial, 1);
    block(&again, 1).unwrap();
    block(&again, 2).unwrap();
    let list = BlockList::verify(
        &again.signed_list(now()),
        &AccessKey::from_seed(&NODE).public(),
    );
    assert_eq!(
        list.unwrap().serial,
        2,
        "what changes nothing counts for nothing"
    );

    let other = NodeAccess::kept_in(&[1; 32], &file);
    assert!(matches!(other, Err(BlockError::Garbled { .. })));
    std::fs::write(&file, "garbage").unwrap();
    assert!(matches!(open(), Err(BlockError::Garbled { .. })));

    let memory = NodeAccess::new(&NODE);
    let too_many = memory.change_blocked(
        |blocked| {
            blocked.objects.extend((0..=BLOCKED_MAX).map(|number| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(number as u64).to_be_bytes());
                ObjectId::new(id)
            }));
        },
        now(),
    );
    assert!(matches!(too_many, Err(BlockError::Full)));
    assert!(memory.blocked().borrow().is_empty());
}

#[tokio::test]
async fn edges_fetch_the_signed_list() {
    let (served, access) = node().await;
    let object = ObjectId::new([4; 32]);
    access
        .change_blocked(
            |blocked| {
                blocked.objects.insert(object);
            },
            now(),
        )
        .unwrap();
    let http = peerlift_net::http::HttpClient::new(Default::default()).unwrap();
    let url = format!("http://{}{BLOCKS_PATH}", served.address);
    let (text, _) = within(http.small(&url.parse().unwrap(), 100_000))
        .await
        .unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let list = BlockList::verify(&text, &served.node.key()).unwrap();
    assert_eq!(list.blocked.objects, [object].into());
}
