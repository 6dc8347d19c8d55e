//! The test vectors of docs/protocol/tokens.md.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;

use peerlift_access::{
    AccessKey, Asked, Audience, BlockList, Blocked, Claims, KeySet, Proof, SecretToken,
};
use peerlift_model::{ObjectId, PublisherId};

/// The block of the page called `name`, without line breaks.
fn vector(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/tokens.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once(&format!("```text {name}\n")).unwrap();
    let mut text = rest.split_once("```").unwrap().0.to_owned();
    text.retain(|c| !c.is_whitespace());
    text
}

const TIME: u64 = 1_800_000_000;

fn key(seed: u8) -> AccessKey {
    AccessKey::from_seed(&[seed; 32])
}

#[test]
fn the_token_of_the_page() {
    let publisher = PublisherId::new(key(7).public());
    let claims = Claims {
        publisher,
        audience: vec!["peerlift-edge".to_owned(), "peerlift-control".to_owned()],
        issued: TIME,
        not_before: None,
        expires: TIME + 900,
        id: "example-1".to_owned(),
        subject: Some("customer 42".to_owned()),
        holder: Some(key(8).thumbprint()),
        objects: vec![ObjectId::new([0x33; 32])],
    };
    assert_eq!(vector("holder"), key(8).thumbprint().to_string());
    assert_eq!(vector("kid"), key(7).thumbprint().to_string());
    let token = vector("token");
    assert_eq!(token, claims.sign(&key(7)).expose());
    let keys = KeySet::of_publisher(publisher);
    for audience in [Audience::Edge, Audience::Control] {
        let read = Claims::verify(&token, &keys, audience, TIME);
        assert_eq!(read.as_ref(), Ok(&claims));
    }
}

#[test]
fn the_proofs_of_the_page() {
    let token = SecretToken::new(&vector("token")).unwrap();
    let node = data_encoding::HEXLOWER.encode(&key(9).public());
    let edge = Proof {
        method: "GET".to_owned(),
        target: "https://edge.example/os.iso".to_owned(),
        issued: TIME,
        id: "0123456789abcdef".to_owned(),
        nonce: None,
    };
    let control = Proof {
        method: "LOGIN".to_owned(),
        target: format!("peerlift-control://{node}"),
        nonce: Some(data_encoding::BASE64URL_NOPAD.encode(&[0x11; 32])),
        ..edge.clone()
    };
    for (name, proof) in [("edge-proof", edge), ("control-proof", control)] {
        let text = vector(name);
        assert_eq!(text, proof.sign(&key(8), &token), "{name}");
        let targets = [proof.target.clone()];
        let asked = Asked {
            method: &proof.method,
            targets: &targets,
            nonce: proof.nonce.as_deref(),
        };
        let verified = Proof::verify(&text, token.expose(), &asked, TIME).unwrap();
        assert_eq!(verified.holder, key(8).thumbprint());
    }
}

#[test]
fn the_block_list_of_the_page() {
    let list = BlockList {
        blocked: Blocked {
            objects: [ObjectId::new([0x33; 32])].into(),
            publishers: [PublisherId::new(key(7).public())].into(),
        },
        serial: 1,
        issued: TIME,
    };
    let text = vector("blocks");
    assert_eq!(text, list.sign(&key(9)));
    assert_eq!(BlockList::verify(&text, &key(9).public()), Ok(list));
}
