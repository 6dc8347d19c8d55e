//! The test vectors of the protocol pages on manifests and hash trees.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::hash_bytes;
use data_encoding::HEXLOWER;
use peerlift_content::{
    HashOptions, Manifest, Policy, PublisherKey, RangeDecoder, RelayEntry, Tree, VerifiedManifest,
    encode_range,
};
use peerlift_model::{GroupRange, Height, Layout};

/// What stands on a page between "```KIND NAME" and "```", by name.
fn blocks(page: &str, kind: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/protocol")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{kind} ");
    let blocks = text.split(&fence).skip(1).map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        (
            name.to_owned(),
            rest.split_once("```").unwrap().0.to_owned(),
        )
    });
    blocks.collect()
}

fn hex(page: &str, name: &str) -> String {
    let mut text = blocks(page, "hex").remove(name).unwrap();
    text.retain(|c| !c.is_whitespace());
    text
}

#[test]
fn manifest_page() {
    let (hashed, _) = hash_bytes(b"hello", HashOptions::default());
    let manifest = Manifest {
        name: "hello.txt".to_owned(),
        layout: hashed.layout,
        root: hashed.root,
        sha256: hashed.sha256,
        media_type: "text/plain".to_owned(),
        publisher_name: "Example".to_owned(),
        edges: vec!["https://mirror.example/hello.txt".to_owned()],
        control: vec!["/.peerlift/control".to_owned()],
        relays: vec![RelayEntry {
            url: "https://relay.example:3340/".to_owned(),
            quic_port: Some(7842),
        }],
        policy: Policy::default(),
        revision: 1,
        published: 1_800_000_000,
    };
    let key = PublisherKey::from_seed(&[7; 32]);
    let signed = String::from_utf8(manifest.sign(&key).unwrap()).unwrap();
    let page = blocks("manifest.md", "json");
    let payload = page["payload"].replace(['\n', ' '], "");
    assert_eq!(payload, String::from_utf8(manifest.to_json()).unwrap());
    assert_eq!(page["signed"], signed);
    let verified = VerifiedManifest::parse(page["signed"].as_bytes()).unwrap();
    assert_eq!(
        (verified.manifest, verified.publisher),
        (manifest, key.id())
    );
    assert_eq!(
        hex("manifest.md", "publisher"),
        HEXLOWER.encode(key.id().as_bytes())
    );
}

#[test]
fn outboard_page() {
    let data = vec![0; 32_773];
    let (hashed, outboard) = hash_bytes(&data, HashOptions::default());
    assert_eq!(hex("outboard.md", "root"), hashed.root.to_string());
    assert_eq!(hex("outboard.md", "outboard"), HEXLOWER.encode(&outboard));
    let (layout, last) = (Layout::new(32_773).unwrap(), GroupRange::new(2, 3));
    let mut encoded = Vec::new();
    encode_range(
        hashed.root,
        layout,
        (last, Height::MAX),
        &data[..],
        &outboard[..],
        &mut encoded,
    )
    .unwrap();
    assert_eq!(hex("outboard.md", "encoded-2"), HEXLOWER.encode(&encoded));
    for height in [0, 1] {
        let from = Height::new(height).unwrap();
        assert_eq!(Tree::new(layout).encoded_len(last, from), 5);
    }
    let mut decoder = RangeDecoder::new(hashed.root, layout, last);
    let mut rest = &encoded[..];
    while let Some(length) = decoder.next_len() {
        let (next, later) = rest.split_at(length);
        decoder.accept(next).unwrap();
        rest = later;
    }
    assert!(rest.is_empty());
}
