//! What an edge or a control node takes, and everything that it must not.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use data_encoding::BASE64URL_NOPAD;
use peerlift_access::{
    AccessKey, Asked, Audience, CLOCK_SKEW_S, Claims, Credential, Gate, Grant, JwsError, KeySet,
    Proof, ProofError, Refusal, SecretToken, TOKEN_BYTES_MAX, TOKEN_LIFE_MAX_S, TokenError,
};
use peerlift_model::{ObjectId, PublisherId};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const TARGET: &str = "https://edge.example/os.iso";

fn publisher_key() -> AccessKey {
    AccessKey::from_seed(&[7; 32])
}

fn holder_key() -> AccessKey {
    AccessKey::from_seed(&[8; 32])
}

fn publisher() -> PublisherId {
    PublisherId::new(publisher_key().public())
}

fn claims() -> Claims {
    Claims {
        publisher: publisher(),
        audience: vec!["peerlift-edge".to_owned()],
        issued: NOW,
        not_before: None,
        expires: NOW + 900,
        id: "one".to_owned(),
        subject: None,
        holder: Some(holder_key().thumbprint()),
        objects: Vec::new(),
    }
}

fn proof() -> Proof {
    Proof {
        method: "GET".to_owned(),
        target: TARGET.to_owned(),
        issued: NOW,
        id: "first".to_owned(),
        nonce: None,
    }
}

/// Shows a token with a proof made for it.
fn show(token: &SecretToken, proof: &Proof, now: u64) -> Result<Grant, Refusal> {
    let proof = proof.sign(&holder_key(), token);
    ask(token.expose(), Some(&proof), now)
}

fn ask(token: &str, proof: Option<&str>, now: u64) -> Result<Grant, Refusal> {
    let targets = [TARGET.to_owned()];
    let asked = Asked {
        method: "GET",
        targets: &targets,
        nonce: None,
    };
    Gate::new(Audience::Edge).check(Credential { token, proof }, &asked, now)
}

/// A token whose parts are as given, signed by the publisher's key all the same.
fn forged(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let input = format!("{}.{}", part(header), part(payload));
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let signature = ed25519_dalek::Signer::sign(&key, input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn header() -> Value {
    let kid = publisher_key().thumbprint().to_string();
    json!({"alg": "EdDSA", "typ": "peerlift-token+jwt", "kid": kid})
}

fn payload() -> Value {
    json!({
        "iss": publisher().to_string(), "aud": "peerlift-edge", "iat": NOW, "exp": NOW + 900,
        "jti": "one", "cnf": {"jkt": holder_key().thumbprint().to_string()},
    })
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

/// What becomes of a token of the publisher's with these parts, shown by its holder.
fn fate(header: &Value, payload: &Value) -> Result<Grant, Refusal> {
    let token = SecretToken::new(&forged(header, payload)).unwrap();
    show(&token, &proof(), NOW)
}

#[test]
fn a_token_with_its_proof_opens() {
    let grant = show(&claims().sign(&publisher_key()), &proof(), NOW).unwrap();
    assert_eq!(grant.publisher, publisher());
    let object = ObjectId::new([3; 32]);
    assert_eq!(grant.covers(publisher(), Some(object), false, NOW), Ok(()));
    assert!(fate(&header(), &payload()).is_ok(), "the forger is able");
}

#[test]
fn tokens_that_are_not_signed_as_they_must_be_are_refused() {
    let envelope = |error| Err(Refusal::Token(TokenError::Envelope(error)));
    for none in ["none", "None", "NONE", "nOnE"] {
        let header = with(header(), "alg", json!(none));
        assert_eq!(fate(&header, &payload()), envelope(JwsError::Unsigned));
    }
    for algorithm in ["HS256", "RS256", "ES256", "Ed25519", "eddsa", ""] {
        let header = with(header(), "alg", json!(algorithm));
        assert_eq!(fate(&header, &payload()), envelope(JwsError::Algorithm));
    }
    for typ in ["JWT", "dpop+jwt", "peerlift-manifest+jws", ""] {
        let header = with(header(), "typ", json!(typ));
        assert_eq!(fate(&header, &payload()), envelope(JwsError::Type));
    }
    for crit in [json!(["exp"]), json!([]), json!(null), json!(1)] {
        let header = with(header(), "crit", crit);
        assert_eq!(fate(&header, &payload()), envelope(JwsError::Critical));
    }
    for (name, member) in [
        ("jwk", json!({"kty": "OKP"})),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = with(header(), name, member);
        assert_eq!(
            fate(&header, &payload()),
            envelope(JwsError::OwnKey),
            "{name}"
        );
    }
    let unsigned = forged(&with(header(), "alg", json!("none")), &payload());
    let (input, _) = unsigned.rsplit_once('.').unwrap();
    let refused = ask(&format!("{input}."), None, NOW);
    assert_eq!(refused, envelope(JwsError::Unsigned));
}

#[test]
fn every_changed_character_is_noticed() {
    let token = claims().sign(&publisher_key());
    for at in 0..token.expose().len() {
        let mut changed = token.expose().as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(ask(&changed, None, NOW).is_err(), "{at}");
        let keys = KeySet::of_publisher(publisher());
        assert!(
            Claims::verify(&changed, &keys, Audience::Edge, NOW).is_err(),
            "{at}"
        );
    }
}

#[test]
fn claims_that_are_missing_or_make_no_sense_are_refused() {
    for name in ["iss", "aud", "iat", "exp", "jti"] {
        let refused = fate(&header(), &without(payload(), name));
        assert!(matches!(refused, Err(Refusal::Token(_))), "without {name}");
    }
    for (name, member) in [
        ("exp", json!("1800000900")),
        ("exp", json!(-1)),
        ("exp", json!(1.5)),
        ("iat", json!(null)),
        ("iss", json!("example.org")),
        ("jti", json!("x".repeat(256))),
        ("sub", json!("a\nb")),
        ("cnf", json!({})),
        ("cnf", json!({"jkt": "short"})),
        ("cnf", json!({"kid": "holder"})),
        (
            "cnf",
            json!({"jkt": holder_key().thumbprint().to_string(), "kid": "x"}),
        ),
        ("objects", json!(["not hexadecimal"])),
        ("objects", json!(vec!["00".repeat(32); 33])),
    ] {
        let refused = fate(&header(), &with(payload(), name, member.clone()));
        assert!(
            matches!(refused, Err(Refusal::Token(_))),
            "{name}: {member}"
        );
    }
    let twice = payload()
        .to_string()
        .replacen('{', "{\"exp\":9999999999,", 1);
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let token = format!("{}.{}.AAAA", part(&header().to_string()), part(&twice));
    assert!(Claims::unverified(&token).is_err(), "a claim said twice");
}

#[test]
fn a_token_has_its_time_with_a_bounded_allowance_for_clocks() {
    let token = claims().sign(&publisher_key());
    let at = |now| {
        show(
            &token,
            &Proof {
                issued: now,
                ..proof()
            },
            now,
        )
    };
    assert!(at(NOW - CLOCK_SKEW_S).is_ok());
    let refused = |error| Err(Refusal::Token(error));
    assert_eq!(at(NOW - CLOCK_SKEW_S - 1), refused(TokenError::NotYet));
    assert!(at(NOW + 900 + CLOCK_SKEW_S - 1).is_ok());
    assert_eq!(at(NOW + 900 + CLOCK_SKEW_S), refused(TokenError::Expired));

    let later = Claims {
        not_before: Some(NOW + 300),
        ..claims()
    };
    let refusal = show(&later.sign(&publisher_key()), &proof(), NOW);
    assert_eq!(refusal, refused(TokenError::NotYet));

    let long = |life| Claims {
        expires: NOW + life,
        ..claims()
    };
    let shown = |claims: Claims| show(&claims.sign(&publisher_key()), &proof(), NOW);
    assert!(shown(long(TOKEN_LIFE_MAX_S)).is_ok());
    assert_eq!(
        shown(long(TOKEN_LIFE_MAX_S + 1)),
        refused(TokenError::TooLongLived)
    );
}

#[test]
fn a_token_is_for_its_audience_its_publisher_and_its_objects() {
    let control = Claims {
        audience: vec!["peerlift-control".to_owned()],
        ..claims()
    };
    assert_eq!(
        show(&control.sign(&publisher_key()), &proof(), NOW),
        Err(Refusal::Token(TokenError::Audience))
    );
    let (one, other) = (ObjectId::new([1; 32]), ObjectId::new([2; 32]));
    let narrow = Claims {
        objects: vec![one],
        ..claims()
    };
    let grant = show(&narrow.sign(&publisher_key()), &proof(), NOW).unwrap();
    let covers = |publisher, object| grant.covers(publisher, object, false, NOW);
    assert_eq!(covers(publisher(), Some(one)), Ok(()));
    assert_eq!(covers(publisher(), Some(other)), Err(Refusal::NotCovered));
    assert_eq!(covers(publisher(), None), Err(Refusal::NotCovered));
    let foreign = PublisherId::new([9; 32]);
    assert_eq!(covers(foreign, Some(one)), Err(Refusal::NotCovered));
    assert_eq!(
        grant.covers(publisher(), Some(one), false, NOW + 900 + CLOCK_SKEW_S),
        Err(Refusal::Token(TokenError::Expired)),
        "a grant ends with its token"
    );
}

#[test]
fn keys_rotate_by_their_set() {
    let (old, new) = (
        AccessKey::from_seed(&[21; 32]),
        AccessKey::from_seed(&[22; 32]),
    );
    let targets = [TARGET.to_owned()];
    let try_with = |gate: &Gate, key: &AccessKey| {
        let token = claims().sign(key);
        let proof = proof().sign(&holder_key(), &token);
        let asked = Asked {
            method: "GET",
            targets: &targets,
            nonce: None,
        };
        let shown = Credential {
            token: token.expose(),
            proof: Some(&proof),
        };
        gate.check(shown, &asked, NOW).map(|_| ())
    };
    let unknown = Err(Refusal::Token(TokenError::UnknownKey));
    let mut gate = Gate::new(Audience::Edge);
    assert_eq!(try_with(&gate, &publisher_key()), Ok(()));
    assert_eq!(try_with(&gate, &old), unknown, "a stranger's key");

    gate.set_keys(publisher(), KeySet::of([old.public(), new.public()]));
    assert_eq!(try_with(&gate, &old), Ok(()));
    assert_eq!(try_with(&gate, &new), Ok(()));
    assert_eq!(try_with(&gate, &publisher_key()), unknown, "not in the set");

    gate.set_keys(publisher(), KeySet::of([new.public()]));
    assert_eq!(try_with(&gate, &old), unknown, "retired");
    assert_eq!(try_with(&gate, &new), Ok(()));

    // Another's key by the name of a good one.
    let kid = new.thumbprint().to_string();
    let token = claims().sign_named(&old, &kid);
    let keys = KeySet::of([new.public()]);
    assert_eq!(
        Claims::verify(token.expose(), &keys, Audience::Edge, NOW),
        Err(TokenError::Envelope(JwsError::Signature))
    );
}

#[test]
fn a_bound_token_is_worth_nothing_without_its_key() {
    let token = claims().sign(&publisher_key());
    assert_eq!(ask(token.expose(), None, NOW), Err(Refusal::NoProof));
    let thief = AccessKey::from_seed(&[66; 32]);
    let stolen = proof().sign(&thief, &token);
    assert_eq!(
        ask(token.expose(), Some(&stolen), NOW),
        Err(Refusal::Proof(ProofError::OtherHolder))
    );
    let unbound = Claims {
        holder: None,
        ..claims()
    };
    let grant = ask(unbound.sign(&publisher_key()).expose(), None, NOW).unwrap();
    let covers = |unbound| grant.covers(publisher(), None, unbound, NOW);
    assert_eq!(covers(false), Err(Refusal::Unbound));
    assert_eq!(covers(true), Ok(()), "where the publisher allows it");
}

#[test]
fn a_proof_is_for_one_request_one_token_and_one_moment() {
    let token = claims().sign(&publisher_key());
    let refused = |error| Err(Refusal::Proof(error));
    for other in [
        Proof {
            method: "HEAD".to_owned(),
            ..proof()
        },
        Proof {
            target: "https://edge.example/other".to_owned(),
            ..proof()
        },
        Proof {
            target: "https://evil.example/os.iso".to_owned(),
            ..proof()
        },
        Proof {
            target: "http://edge.example/os.iso".to_owned(),
            ..proof()
        },
    ] {
        assert_eq!(show(&token, &other, NOW), refused(ProofError::OtherRequest));
    }
    let at = |issued| show(&token, &Proof { issued, ..proof() }, NOW);
    assert!(at(NOW - CLOCK_SKEW_S).is_ok() && at(NOW + CLOCK_SKEW_S).is_ok());
    assert_eq!(at(NOW - CLOCK_SKEW_S - 1), refused(ProofError::NotNow));
    assert_eq!(at(NOW + CLOCK_SKEW_S + 1), refused(ProofError::NotNow));
    let another = Claims {
        id: "two".to_owned(),
        ..claims()
    }
    .sign(&publisher_key());
    let for_another = proof().sign(&holder_key(), &another);
    assert_eq!(
        ask(token.expose(), Some(&for_another), NOW),
        refused(ProofError::OtherToken)
    );
    // A token is no proof, and a proof no token.
    assert_eq!(
        ask(token.expose(), Some(token.expose()), NOW),
        refused(ProofError::Envelope(JwsError::Type))
    );
    let proof = proof().sign(&holder_key(), &token);
    assert_eq!(
        ask(&proof, None, NOW),
        Err(Refusal::Token(TokenError::Envelope(JwsError::Type)))
    );
}

#[test]
fn a_challenge_must_be_answered() {
    let token = claims().sign(&publisher_key());
    let targets = [TARGET.to_owned()];
    let verify = |nonce: Option<&str>| {
        let proof = Proof {
            nonce: nonce.map(str::to_owned),
            ..proof()
        };
        let asked = Asked {
            method: "GET",
            targets: &targets,
            nonce: Some("fresh"),
        };
        let proof = proof.sign(&holder_key(), &token);
        Proof::verify(&proof, token.expose(), &asked, NOW).map(|_| ())
    };
    assert_eq!(verify(Some("fresh")), Ok(()));
    assert_eq!(verify(Some("stale")), Err(ProofError::OtherRequest));
    assert_eq!(verify(None), Err(ProofError::OtherRequest));
}

#[test]
fn texts_that_are_too_long_are_not_even_read() {
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(
        ask(&long, None, NOW),
        Err(Refusal::Token(TokenError::TooLong))
    );
    assert!(matches!(SecretToken::new(&long), Err(TokenError::TooLong)));
    let token = claims().sign(&publisher_key());
    assert_eq!(
        ask(token.expose(), Some(&long), NOW),
        Err(Refusal::Proof(ProofError::TooLong))
    );
    for text in ["", " ", "a b", "a\nb", "ä", "a;b"] {
        assert!(SecretToken::new(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "[a-zA-Z0-9._-]{0,200}") {
        prop_assert!(ask(&text, Some(&text), NOW).is_err());
        peerlift_access::fuzz_token(text.as_bytes());
        peerlift_access::fuzz_proof(text.as_bytes());
        peerlift_access::fuzz_key_set(text.as_bytes());
        peerlift_access::fuzz_block_list(text.as_bytes());
    }
}
