//! Restricted files: who gets them, who does not, and what is said.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Answer, Running, content, serve_with};
use peerlift_access::{AccessKey, Blocked, Claims, KeySet, Proof, SecretToken};
use peerlift_content::{Access, Policy, PublishSettings, PublisherKey, publish_file};
use peerlift_edge::{EdgeAccess, PublishFn};
use peerlift_model::{ObjectId, PublisherId};

const SIZE: usize = 100_000;

fn publisher() -> PublisherId {
    PublisherKey::from_seed(&[7; 32]).id()
}

fn publishing(policy: Policy) -> PublishFn {
    let key = PublisherKey::from_seed(&[7; 32]);
    let settings = PublishSettings {
        policy,
        ..PublishSettings::default()
    };
    Arc::new(move |path| publish_file(path, &key, &settings, &|_| ()))
}

fn restricted() -> Policy {
    Policy {
        access: Access::Token,
        ..Policy::default()
    }
}

/// An edge with a restricted file `f`.
async fn edge(policy: Policy) -> Running {
    serve_with(
        |folder| fs::write(folder.join("f"), content(SIZE)).unwrap(),
        |config| config.publish = Some(publishing(policy)),
    )
    .await
}

fn root(running: &Running) -> ObjectId {
    let sidecars = peerlift_content::Sidecars::beside(&running.path("f"));
    sidecars.read_manifest().unwrap().manifest.root
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn holder() -> AccessKey {
    AccessKey::from_seed(&[8; 32])
}

fn claims() -> Claims {
    Claims {
        publisher: publisher(),
        audience: vec!["peerlift-edge".to_owned()],
        issued: now(),
        not_before: None,
        expires: now() + 600,
        id: "x".to_owned(),
        subject: None,
        holder: Some(holder().thumbprint()),
        objects: Vec::new(),
    }
}

fn token(claims: &Claims) -> SecretToken {
    claims.sign(&AccessKey::from_seed(&[7; 32]))
}

/// A fresh proof for a request.
fn proof(id: &str, method: &str, path: &str, token: &SecretToken) -> String {
    let proof = Proof {
        method: method.to_owned(),
        target: format!("http://edge{path}"),
        issued: now(),
        id: id.to_owned(),
        nonce: None,
    };
    proof.sign(&holder(), token)
}

async fn get(running: &Running, path: &str, token: &SecretToken, proof: &str) -> Answer {
    let authorization = format!("DPoP {}", token.expose());
    let headers = [("Authorization", authorization.as_str()), ("DPoP", proof)];
    running.get(path, &headers).await
}

fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_default()
}

#[tokio::test]
async fn the_manifest_is_open_and_the_rest_is_not() {
    let running = edge(restricted()).await;
    assert_eq!(running.get("/f.peerlift", &[]).await.status, 200);
    for path in ["/f", "/f.obao", "/%66"] {
        for method in ["GET", "HEAD"] {
            let answer = running.request(method, path, &[]).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(challenge(&answer), "DPoP algs=\"EdDSA\"");
            assert!(answer.body.len() < 100, "no content");
        }
        let range = running.get(path, &[("Range", "bytes=0-0")]).await;
        assert_eq!(range.status, 401, "{path}");
    }
    let token = token(&claims());
    for (id, path) in [("1", "/f"), ("2", "/f.obao")] {
        let answer = get(&running, path, &token, &proof(id, "GET", path, &token)).await;
        assert_eq!(answer.status, 200, "{path}: {}", challenge(&answer));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("vary"), Some("Authorization, DPoP"));
    }
}

#[tokio::test]
async fn a_proof_is_good_for_one_request() {
    let running = edge(restricted()).await;
    let token = token(&claims());
    let first = proof("1", "GET", "/f", &token);
    assert_eq!(get(&running, "/f", &token, &first).await.status, 200);
    let again = get(&running, "/f", &token, &first).await;
    assert_eq!(again.status, 401);
    assert!(challenge(&again).contains("used before"), "{again:?}");
    let elsewhere = proof("2", "GET", "/f.obao", &token);
    let other = get(&running, "/f", &token, &elsewhere).await;
    assert!(
        challenge(&other).contains("invalid_dpop_proof"),
        "{other:?}"
    );
    let alone = running
        .get(
            "/f",
            &[("Authorization", &format!("Bearer {}", token.expose()))],
        )
        .await;
    assert_eq!(alone.status, 401, "a bound token as a bearer's");
    // Two proofs prove nothing.
    let (one, two) = (
        proof("3", "GET", "/f", &token),
        proof("4", "GET", "/f", &token),
    );
    let authorization = format!("DPoP {}", token.expose());
    let both = running
        .get(
            "/f",
            &[
                ("Authorization", &authorization),
                ("DPoP", &one),
                ("DPoP", &two),
            ],
        )
        .await;
    assert_eq!(both.status, 401);
}

#[tokio::test]
async fn tokens_that_are_over_foreign_or_for_something_else_are_told_apart() {
    let running = edge(restricted()).await;
    let try_with = async |id: &str, token: SecretToken| {
        let proof = proof(id, "GET", "/f", &token);
        let answer = get(&running, "/f", &token, &proof).await;
        (answer.status, challenge(&answer).to_owned())
    };
    let expired = Claims {
        issued: now() - 2000,
        expires: now() - 1000,
        ..claims()
    };
    let (status, said) = try_with("1", token(&expired)).await;
    assert_eq!(status, 401);
    assert!(said.contains("error_description=\"the token has expired\""));

    let other = Claims {
        objects: vec![ObjectId::new([1; 32])],
        ..claims()
    };
    let (status, said) = try_with("2", token(&other)).await;
    assert_eq!(status, 403);
    assert!(said.contains("insufficient_scope"), "{said}");

    let stranger = AccessKey::from_seed(&[5; 32]);
    let theirs = Claims {
        publisher: PublisherId::new(stranger.public()),
        ..claims()
    };
    assert_eq!(try_with("3", theirs.sign(&stranger)).await.0, 403);
    assert_eq!(try_with("4", claims().sign(&stranger)).await.0, 401);

    let named = Claims {
        objects: vec![root(&running)],
        ..claims()
    };
    assert_eq!(try_with("5", token(&named)).await.0, 200);
}

#[tokio::test]
async fn a_bearer_will_do_where_the_publisher_says_so() {
    let policy = Policy {
        unbound_tokens: true,
        ..restricted()
    };
    let unbound = token(&Claims {
        holder: None,
        ..claims()
    });
    let authorization = format!("Bearer {}", unbound.expose());
    let headers = [("Authorization", authorization.as_str())];
    let running = edge(policy).await;
    assert_eq!(running.get("/f", &headers).await.status, 200);
    let strict = edge(restricted()).await;
    let refused = strict.get("/f", &headers).await;
    assert_eq!(refused.status, 401);
    assert!(
        challenge(&refused).contains("does not allow"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nothing_is_open_before_it_is_published_or_after_it_has_changed() {
    // Signed once, and served by an edge that publishes nothing: the sidecar is what it knows.
    let running = serve_with(
        |folder| {
            fs::write(folder.join("f"), content(SIZE)).unwrap();
            publishing(restricted())(&folder.join("f")).unwrap();
        },
        |_| (),
    )
    .await;
    assert_eq!(running.get("/f", &[]).await.status, 401);
    fs::write(running.path("f"), content(SIZE + 1)).unwrap();
    assert_eq!(running.get("/f", &[]).await.status, 401);

    let published = edge(restricted()).await;
    fs::write(published.path("f"), content(SIZE + 1)).unwrap();
    assert_eq!(published.get("/f", &[]).await.status, 401);

    // What nobody has signed is restricted where everything is.
    let all = serve_with(
        |folder| fs::write(folder.join("f"), content(SIZE)).unwrap(),
        |config| config.access = Arc::new(EdgeAccess::new(Some(publisher()))),
    )
    .await;
    assert_eq!(all.get("/f", &[]).await.status, 401);
    let token = token(&claims());
    let shown = proof("1", "GET", "/f", &token);
    assert_eq!(get(&all, "/f", &token, &shown).await.status, 200);
}

#[tokio::test]
async fn keys_are_changed_while_it_runs() {
    let access = Arc::new(EdgeAccess::new(None));
    let theirs = Arc::clone(&access);
    let running = serve_with(
        |folder| fs::write(folder.join("f"), content(SIZE)).unwrap(),
        |config| {
            config.publish = Some(publishing(restricted()));
            config.access = theirs;
        },
    )
    .await;
    let new = AccessKey::from_seed(&[22; 32]);
    let try_with = async |id: &str, token: SecretToken| {
        let proof = proof(id, "GET", "/f", &token);
        get(&running, "/f", &token, &proof).await.status
    };
    assert_eq!(try_with("1", token(&claims())).await, 200);
    assert_eq!(try_with("2", claims().sign(&new)).await, 401);
    access.set_keys(publisher(), KeySet::of([new.public()]));
    assert_eq!(try_with("3", token(&claims())).await, 401);
    assert_eq!(try_with("4", claims().sign(&new)).await, 200);
}

#[tokio::test]
async fn what_is_blocked_is_gone_with_everything_beside_it() {
    let access = Arc::new(EdgeAccess::new(None));
    let theirs = Arc::clone(&access);
    let running = serve_with(
        |folder| fs::write(folder.join("f"), content(SIZE)).unwrap(),
        |config| {
            config.publish = Some(publishing(Policy::default()));
            config.access = theirs;
        },
    )
    .await;
    assert_eq!(running.get("/f", &[]).await.status, 200);
    let by_object = Blocked {
        objects: [root(&running)].into(),
        ..Blocked::default()
    };
    let by_publisher = Blocked {
        publishers: [publisher()].into(),
        ..Blocked::default()
    };
    for blocked in [by_object, by_publisher] {
        access.block(Arc::new(blocked));
        for path in ["/f", "/f.obao", "/f.peerlift"] {
            let answer = running.get(path, &[]).await;
            assert_eq!(answer.status, 410, "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    access.block(Arc::default());
    assert_eq!(running.get("/f", &[]).await.status, 200);
}

#[tokio::test]
async fn garbage_for_a_token_is_refused() {
    let running = edge(restricted()).await;
    for value in [
        "",
        "DPoP",
        "DPoP ",
        "DPoP x",
        "Bearer ..",
        "Basic dXNlcjpwYXNz",
        &format!("Bearer {}", "a".repeat(10_000)),
    ] {
        let answer = running.get("/f", &[("Authorization", value)]).await;
        assert_eq!(answer.status, 401, "{value:.20}");
    }
    let token = token(&claims());
    for proof in ["", "x", "..", token.expose()] {
        let answer = get(&running, "/f", &token, proof).await;
        assert_eq!(answer.status, 401, "{proof:.20}");
    }
}
