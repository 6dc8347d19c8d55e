//! Whether a request may have a file: restrictions, tokens, blocks.
//!
//! What a file needs is known from its publication, else read from the manifest beside it, so that
//! nothing restricted is open in the moment before it is published, nor after it has changed. Where
//! neither is there, the edge's own default decides.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use peerlift_access::{
    Asked, Audience, Blocked, Credential, Gate, Grant, KeySet, Refusal, Replay, ReplayGuard,
};
use peerlift_content::{
    Access, MANIFEST_SUFFIX, OUTBOARD_SUFFIX, Policy, VerifiedManifest, with_suffix,
};
use peerlift_model::{ObjectId, PublisherId};

use crate::handler::text;
use crate::path::Root;

/// Who may fetch what from an edge. Cheap to share; changes count from the next request on.
#[derive(Debug)]
pub struct EdgeAccess {
    gate: RwLock<Gate>,
    replay: Mutex<ReplayGuard>,
    blocked: RwLock<Arc<Blocked>>,
    /// Whose token is needed for what nothing is known of.
    default: Option<PublisherId>,
}

impl EdgeAccess {
    /// Everything is open that its manifest does not restrict. With a publisher in `default`,
    /// what has no manifest needs a token of that publisher.
    #[must_use]
    pub fn new(default: Option<PublisherId>) -> Self {
        Self {
            gate: RwLock::new(Gate::new(Audience::Edge)),
            replay: Mutex::default(),
            blocked: RwLock::default(),
            default,
        }
    }

    /// From now on these keys, and no others, sign a publisher's tokens.
    pub fn set_keys(&self, publisher: PublisherId, keys: KeySet) {
        let mut gate = self.gate.write().unwrap_or_else(|it| it.into_inner());
        gate.set_keys(publisher, keys);
    }

    /// From now on this is blocked, and nothing else.
    pub fn block(&self, blocked: Arc<Blocked>) {
        *self.blocked.write().unwrap_or_else(|it| it.into_inner()) = blocked;
    }

    /// How much is blocked at present.
    #[must_use]
    pub fn blocks(&self) -> usize {
        let blocked = self.blocked.read().unwrap_or_else(|it| it.into_inner());
        blocked.len()
    }

    /// Whether the request may have what lies at `path`.
    pub(crate) fn admit<B>(
        &self,
        request: &Request<B>,
        path: &Path,
        known: impl FnOnce(&Path) -> Option<About>,
        root: &Root,
    ) -> Admission {
        let (file, open) = subject(path);
        let about = known(&file).or_else(|| About::beside(root, &file));
        let about = match (about, self.default) {
            (Some(about), _) => about,
            (None, Some(publisher)) => About::unknown(publisher),
            (None, None) => return Admission::Open,
        };
        if self.is_blocked(&about) {
            let mut gone = text(StatusCode::GONE, "blocked by the operator\n");
            put(&mut gone, CACHE_CONTROL, "no-store");
            return Admission::Refused(gone);
        }
        if open || !about.token {
            return Admission::Open;
        }
        match self.check(request, &about) {
            Ok(()) => Admission::Holder,
            Err(refusal) => Admission::Refused(refused(&refusal)),
        }
    }

    fn is_blocked(&self, about: &About) -> bool {
        let blocked = self.blocked.read().unwrap_or_else(|it| it.into_inner());
        blocked.publishers.contains(&about.publisher)
            || about
                .object
                .is_some_and(|object| blocked.objects.contains(&object))
    }

    fn check<B>(&self, request: &Request<B>, about: &About) -> Result<(), Refusal> {
        let shown = credential(request).ok_or(Refusal::NoToken)?;
        let now = unix_now();
        let targets = targets(request);
        let asked = Asked {
            method: request.method().as_str(),
            targets: &targets,
            nonce: None,
        };
        let grant: Grant = {
            let gate = self.gate.read().unwrap_or_else(|it| it.into_inner());
            gate.check(shown, &asked, now)?
        };
        grant.covers(about.publisher, about.object, about.unbound, now)?;
        let Some(proof) = &grant.proof else {
            return Ok(());
        };
        let mut replay = self.replay.lock().unwrap_or_else(|it| it.into_inner());
        replay.admit(proof, now).map_err(|replay| match replay {
            Replay::Used => Refusal::Replayed,
            Replay::Full => Refusal::Busy,
        })
    }
}

/// Whether a request may have a file.
pub(crate) enum Admission {
    /// Everybody may.
    Open,
    /// Whoever asks holds a token for it.
    Holder,
    /// It may not, and this is the answer.
    Refused(Response<Body>),
}

/// What a file is, as far as access goes.
#[derive(Clone, Debug)]
pub(crate) struct About {
    publisher: PublisherId,
    object: Option<ObjectId>,
    token: bool,
    unbound: bool,
}

impl About {
    pub(crate) fn of(publisher: PublisherId, object: ObjectId, policy: &Policy) -> Self {
        Self {
            publisher,
            object: Some(object),
            token: policy.access == Access::Token,
            unbound: policy.unbound_tokens,
        }
    }

    fn unknown(publisher: PublisherId) -> Self {
        Self {
            publisher,
            object: None,
            token: true,
            unbound: false,
        }
    }

    /// From the manifest that lies beside the file.
    fn beside(root: &Root, file: &Path) -> Option<Self> {
        let manifest = root.open_file(&with_suffix(file, MANIFEST_SUFFIX)).ok()?;
        let bytes = read_small(manifest)?;
        let signed = VerifiedManifest::parse(&bytes).ok()?;
        let about = &signed.manifest;
        Some(Self::of(signed.publisher, about.root, &about.policy))
    }
}

fn read_small(file: File) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(VerifiedManifest::BYTES_MAX).unwrap_or(u64::MAX);
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The file that a path is about, and whether the path is open whatever that file needs: its
/// manifest says what is needed.
fn subject(path: &Path) -> (PathBuf, bool) {
    let name = path.to_string_lossy();
    if let Some(file) = name.strip_suffix(MANIFEST_SUFFIX) {
        return (file.into(), true);
    }
    let file = name.strip_suffix(OUTBOARD_SUFFIX).unwrap_or(&name);
    (file.into(), false)
}

/// `Authorization: DPoP TOKEN` with `DPoP: PROOF` (RFC 9449 §7.1), or `Bearer TOKEN` (RFC 6750).
fn credential<B>(request: &Request<B>) -> Option<Credential<'_>> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential { token, proof: None });
    }
    if !scheme.eq_ignore_ascii_case("dpop") {
        return None;
    }
    // More than one proof proves nothing (RFC 9449 §4.3).
    let mut proofs = request.headers().get_all("dpop").iter();
    let proof = proofs.next().filter(|_| proofs.next().is_none());
    let proof = proof.and_then(|proof| proof.to_str().ok());
    Some(Credential { token, proof })
}

/// The request's URL, by either scheme: a proxy in front of us may have taken the TLS off.
fn targets<B>(request: &Request<B>) -> [String; 2] {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|it| it.as_str());
    let authority = authority.or(host).unwrap_or_default();
    let path = request.uri().path();
    ["http", "https"].map(|scheme| format!("{scheme}://{authority}{path}"))
}

fn refused(refusal: &Refusal) -> Response<Body> {
    tracing::debug!(%refusal, "refused");
    let unauthorized = StatusCode::UNAUTHORIZED;
    let status = match refusal {
        Refusal::NotCovered => StatusCode::FORBIDDEN,
        Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::NoToken | Refusal::NoProof | Refusal::Unbound | Refusal::Replayed => unauthorized,
        Refusal::Token(_) | Refusal::Proof(_) | _ => unauthorized,
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let mut busy = text(status, "busy\n");
        put(&mut busy, RETRY_AFTER, "30");
        return busy;
    }
    let mut challenge = r#"DPoP algs="EdDSA""#.to_owned();
    if let Some(code) = refusal.code() {
        challenge += &format!(r#", error="{code}", error_description="{refusal}""#);
    }
    let mut answer = text(status, "a token of the publisher's is needed\n");
    put(&mut answer, WWW_AUTHENTICATE, &challenge);
    put(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

/// Tells caches that an answer is for whoever showed the token.
pub(crate) fn mark_private(answer: &mut Response<Body>) {
    put(answer, CACHE_CONTROL, "private, no-cache");
    put(answer, VARY, "Authorization, DPoP");
}

fn put(answer: &mut Response<Body>, name: http::HeaderName, value: &str) {
    // Every value here is printable ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_belong_to_their_file() {
        let of = |path: &str| subject(Path::new(path));
        assert_eq!(of("a/b"), ("a/b".into(), false));
        assert_eq!(of("a/b.peerlift"), ("a/b".into(), true));
        assert_eq!(of("a/b.obao"), ("a/b".into(), false));
    }
}
