//! Manifests: what is written can be read, and every kind of wrong has its own error.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use data_encoding::BASE64URL_NOPAD;
use peerlift_content::{
    Access, JwsError, Manifest, ManifestError, Policy, PublisherKey, RelayEntry, VerifiedManifest,
};
use peerlift_model::{Layout, ObjectId};
use serde_json::{Value, json};

fn key() -> PublisherKey {
    PublisherKey::from_seed(&[7; 32])
}

fn manifest() -> Manifest {
    Manifest {
        name: "os image.iso".to_owned(),
        layout: Layout::new(3_000_000_000).unwrap(),
        root: ObjectId::new([1; 32]),
        sha256: Some([2; 32]),
        media_type: "application/x-iso9660-image".to_owned(),
        publisher_name: "Example".to_owned(),
        edges: vec!["https://mirror.example/os%20image.iso".to_owned()],
        control: vec!["/.peerlift/control".to_owned()],
        relays: vec![RelayEntry {
            url: "/".to_owned(),
            quic_port: Some(7842),
        }],
        policy: Policy {
            access: Access::Token,
            goal: Some("thrifty".to_owned()),
            upload_cap_bytes: Some(5),
            expires: Some(2_000_000_000),
            ..Policy::default()
        },
        revision: 3,
        published: 1_800_000_000,
    }
}

/// Signs any payload under any header, as an attacker may.
fn seal(header: &Value, payload: &Value) -> Vec<u8> {
    // The key signs whatever a manifest's payload is; here it must sign anything: RFC 8032.
    use ed25519_dalek::Signer;
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    let payload = BASE64URL_NOPAD.encode(payload.to_string().as_bytes());
    let signature = signing
        .sign(format!("{protected}.{payload}").as_bytes())
        .to_bytes();
    let signature = BASE64URL_NOPAD.encode(&signature);
    json!({ "payload": payload, "protected": protected, "signature": signature })
        .to_string()
        .into_bytes()
}

fn header() -> Value {
    let x = BASE64URL_NOPAD.encode(key().id().as_bytes());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    json!({ "alg": "EdDSA", "typ": "peerlift-manifest+jws", "jwk": jwk })
}

fn payload() -> Value {
    serde_json::from_slice(&manifest().to_json()).unwrap()
}

/// Parses a well-signed manifest with one member changed.
fn parse_with(member: &str, value: Value) -> Result<VerifiedManifest, ManifestError> {
    let mut payload = payload();
    payload[member] = value;
    VerifiedManifest::parse(&seal(&header(), &payload))
}

/// Parses a manifest whose signed header has one member changed.
fn parse_under(member: &str, value: Value) -> ManifestError {
    let mut header = header();
    header[member] = value;
    VerifiedManifest::parse(&seal(&header, &payload())).unwrap_err()
}

#[test]
fn what_is_signed_can_be_read() {
    let bytes = manifest().sign(&key()).unwrap();
    let verified = VerifiedManifest::parse(&bytes).unwrap();
    assert_eq!(verified.manifest, manifest());
    assert_eq!(verified.publisher, key().id());
    assert_eq!(
        VerifiedManifest::parse(&seal(&header(), &payload())).unwrap(),
        verified
    );
}

#[test]
fn signing_is_deterministic() {
    assert_eq!(
        manifest().sign(&key()).unwrap(),
        manifest().sign(&key()).unwrap()
    );
}

#[test]
fn the_shortest_manifest_gets_defaults() {
    let payload = json!({ "version": 1, "name": "a", "size": 0, "root": "00".repeat(32),
        "revision": 1, "published": 0 });
    let verified = VerifiedManifest::parse(&seal(&header(), &payload)).unwrap();
    assert_eq!(verified.manifest.policy, Policy::default());
    assert_eq!(verified.manifest.media_type, "application/octet-stream");
    assert_eq!(verified.manifest.sha256, None);
}

#[test]
fn unknown_members_are_left_alone() {
    assert_eq!(
        parse_with("colour", json!("red")).unwrap().manifest,
        manifest()
    );
    let mut header = header();
    header["kid"] = json!("1");
    assert!(VerifiedManifest::parse(&seal(&header, &payload())).is_ok());
}

#[test]
fn any_changed_character_is_noticed() {
    let bytes = manifest().sign(&key()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        match VerifiedManifest::parse(&changed) {
            Err(_) => {}
            Ok(verified) => panic!("byte {at} changed unnoticed: {verified:?}"),
        }
    }
}

#[test]
fn a_wrong_signature_is_named() {
    let mut envelope: Value = serde_json::from_slice(&manifest().sign(&key()).unwrap()).unwrap();
    envelope["signature"] = json!(BASE64URL_NOPAD.encode(&[1; 64]));
    let error = VerifiedManifest::parse(envelope.to_string().as_bytes()).unwrap_err();
    assert!(
        matches!(error, ManifestError::Envelope(JwsError::Signature)),
        "{error:?}"
    );
}

#[test]
fn another_key_than_the_signers_is_a_wrong_signature() {
    let other = PublisherKey::from_seed(&[8; 32]).id();
    let x = BASE64URL_NOPAD.encode(other.as_bytes());
    let error = parse_under("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": x }));
    assert!(
        matches!(error, ManifestError::Envelope(JwsError::Signature)),
        "{error:?}"
    );
}

#[test]
fn headers_that_ask_for_something_else_are_refused_by_name() {
    let of = |member, value| {
        let error = parse_under(member, value);
        let ManifestError::Envelope(error) = error else {
            panic!("{error:?}")
        };
        error
    };
    assert!(matches!(of("alg", json!("none")), JwsError::Unsigned));
    assert!(matches!(
        of("alg", json!("HS256")),
        JwsError::Algorithm { .. }
    ));
    assert!(matches!(of("typ", json!("JWT")), JwsError::Type { .. }));
    assert!(matches!(of("crit", json!(["b64"])), JwsError::Critical(_)));
    assert!(matches!(of("jwk", Value::Null), JwsError::Key));
    assert!(matches!(
        of("jwk", json!({ "kty": "RSA" })),
        JwsError::Algorithm { .. }
    ));
    let key = |x: &[u8]| json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(x) });
    assert!(matches!(of("jwk", key(&[1; 31])), JwsError::Key));
    // The neutral point: a key under which one signature fits many messages.
    let neutral: Vec<u8> = [vec![1], vec![0; 31]].concat();
    assert!(matches!(of("jwk", key(&neutral)), JwsError::Key));
    assert!(matches!(of("alg", json!(7)), JwsError::Malformed(_)));
}

#[test]
fn an_unsigned_header_may_not_repeat_a_signed_one() {
    let mut envelope: Value = serde_json::from_slice(&seal(&header(), &payload())).unwrap();
    envelope["header"] = json!({ "note": 1 });
    assert!(VerifiedManifest::parse(envelope.to_string().as_bytes()).is_ok());
    envelope["header"] = json!({ "alg": "none" });
    let error = VerifiedManifest::parse(envelope.to_string().as_bytes()).unwrap_err();
    assert!(
        matches!(error, ManifestError::Envelope(JwsError::Repeated(_))),
        "{error:?}"
    );
}

#[test]
fn unknown_versions_are_named_before_anything_else_is_read() {
    let error = VerifiedManifest::parse(&seal(&header(), &json!({ "version": 2 }))).unwrap_err();
    assert!(
        matches!(error, ManifestError::UnknownVersion { version: 2 }),
        "{error:?}"
    );
}

#[test]
fn impossible_sizes_are_refused() {
    for size in [
        json!(-1),
        json!(1.0),
        json!(1e3),
        json!(Layout::SIZE_MAX + 1),
    ] {
        let error = parse_with("size", size.clone()).unwrap_err();
        assert!(
            matches!(error, ManifestError::Size { .. }),
            "{size}: {error:?}"
        );
    }
    let error = parse_with("size", json!("1")).unwrap_err();
    assert!(matches!(error, ManifestError::Json(_)), "{error:?}");
    assert!(parse_with("size", json!(Layout::SIZE_MAX)).is_ok());
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    let long = "a".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a\0",
        "a\nb",
        "\u{7f}",
        &long,
    ] {
        let error = parse_with("name", json!(name)).unwrap_err();
        assert!(
            matches!(error, ManifestError::Name { .. }),
            "{name:?}: {error:?}"
        );
    }
    for name in ["...", "Grüße 世界.iso", "%2F", "..a", " "] {
        assert_eq!(parse_with("name", json!(name)).unwrap().manifest.name, name);
    }
}

#[test]
fn every_list_and_text_has_a_limit() {
    let urls = |count: usize| json!(vec!["http://a/"; count]);
    let relays = |count: usize| json!(vec![json!({ "url": "http://a/" }); count]);
    let url = |len: usize| json!(["u".repeat(len)]);
    let text = |len: usize| json!("t".repeat(len));
    let cases = [
        ("edges", urls(64), urls(65)),
        ("control", urls(16), urls(17)),
        ("relays", relays(16), relays(17)),
        ("edges", url(2048), url(2049)),
        ("publisher_name", text(255), text(256)),
        ("media_type", text(255), text(256)),
        ("publisher_name", json!("a b"), json!("a\u{1b}[31mb")),
    ];
    for (member, fits, too_much) in cases {
        assert!(parse_with(member, fits).is_ok(), "{member}");
        let error = parse_with(member, too_much).unwrap_err();
        assert!(
            matches!(error, ManifestError::TooMany { .. }),
            "{member}: {error:?}"
        );
    }
}

#[test]
fn digests_are_64_hexadecimal_digits() {
    for member in ["root", "sha256"] {
        let error = parse_with(member, json!("xyz")).unwrap_err();
        assert!(
            matches!(error, ManifestError::Digest { .. }),
            "{member}: {error:?}"
        );
    }
}

#[test]
fn more_than_64_kib_are_not_even_looked_at() {
    let error = VerifiedManifest::parse(&vec![b' '; VerifiedManifest::BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, ManifestError::TooLong));
    let edges = vec!["u".repeat(2000); 40];
    let error = Manifest {
        edges,
        ..manifest()
    }
    .sign(&key())
    .unwrap_err();
    assert!(matches!(error, ManifestError::TooLong));
}

#[test]
fn what_nobody_could_read_is_not_signed() {
    let error = Manifest {
        name: "a/b".to_owned(),
        ..manifest()
    }
    .sign(&key())
    .unwrap_err();
    assert!(matches!(error, ManifestError::Name { .. }));
}

#[test]
fn things_that_are_no_manifest_say_so() {
    for text in ["", "<html>", "null", "[]", "{}", "{\"payload\":\"\"}"] {
        let error = VerifiedManifest::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ManifestError::Envelope(JwsError::Malformed(_))),
            "{text}"
        );
        assert_eq!(error.to_string(), "this is not a Peerlift manifest");
    }
}
