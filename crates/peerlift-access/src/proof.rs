//! Proofs of possession: that whoever shows a token holds the key it is bound to (DPoP, RFC 9449).
//!
//! A proof is made for one request: it names the method, the target, the moment and the token, and
//! is signed by the holder's key, which it brings along. At a control node it answers the login's
//! challenge as well.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::jws::{Envelope, Header, JwsError, seal};
use crate::keys::{AccessKey, Jwk, Thumbprint};
use crate::secret::SecretToken;
use crate::token::CLOCK_SKEW_S;

/// The longest proof: a URL of 2 KiB, and 700 bytes of everything else, in base64.
pub const PROOF_BYTES_MAX: usize = 4096;

/// The longest identifier, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The envelope's `typ` (RFC 9449 §4.2).
const TYPE: &str = "dpop+jwt";

/// What a proof says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The request's method (`htm`).
    pub method: String,
    /// The request's target without query and fragment (`htu`).
    pub target: String,
    /// When it was made, in Unix seconds (`iat`).
    pub issued: u64,
    /// Never used twice (`jti`).
    pub id: String,
    /// The challenge that it answers, where there is one (`nonce`).
    pub nonce: Option<String>,
}

/// What was asked for, by whoever checks the proof.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The targets that a proof may name: behind a proxy, a server does not know whether it was
    /// reached by `http` or `https`.
    pub targets: &'a [String],
    /// The challenge that must be answered; `None`: none was made.
    pub nonce: Option<&'a str>,
}

/// A proof that holds, to be used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProof {
    /// Whose key signed it.
    pub holder: Thumbprint,
    /// Tells it from every other proof: a hash of the key and the identifier.
    pub fingerprint: [u8; 16],
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Longer than [`PROOF_BYTES_MAX`].
    #[error("the proof is too long")]
    TooLong,
    /// The envelope is refused.
    #[error("the proof is refused: {0}")]
    Envelope(JwsError),
    /// A claim is malformed.
    #[error("the proof cannot be read")]
    Malformed,
    /// For another request.
    #[error("the proof is for another request")]
    OtherRequest,
    /// For another token.
    #[error("the proof is for another token")]
    OtherToken,
    /// Made too long ago, or in the future: perhaps a clock is wrong.
    #[error("the proof is not of this time: check the clock")]
    NotNow,
    /// Signed by another key than the one the token is bound to.
    #[error("the proof is by another key than the one the token is for")]
    OtherHolder,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    jti: String,
    htm: String,
    htu: String,
    iat: u64,
    ath: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

impl Proof {
    /// Signs the proof for a token.
    #[must_use]
    pub fn sign(&self, key: &AccessKey, token: &SecretToken) -> String {
        let mut header = Header::new(TYPE);
        header.jwk = Some(Jwk::of(&key.public()));
        let payload = Payload {
            jti: self.id.clone(),
            htm: self.method.clone(),
            htu: self.target.clone(),
            iat: self.issued,
            ath: token_hash(token.expose()),
            nonce: self.nonce.clone(),
        };
        seal(&header, &payload, key)
    }

    /// Checks that `proof` shows `token` for what was asked. Whether it was used before is for
    /// [`crate::ReplayGuard`].
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn verify(
        proof: &str,
        token: &str,
        asked: &Asked<'_>,
        unix_now: u64,
    ) -> Result<VerifiedProof, ProofError> {
        if proof.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLong);
        }
        let envelope = Envelope::parse(proof, TYPE, true).map_err(ProofError::Envelope)?;
        let public = holder_key(&envelope)?;
        let payload: Payload = envelope.verify(&public).map_err(ProofError::Envelope)?;
        if payload.jti.is_empty() || payload.jti.len() > ID_BYTES_MAX {
            return Err(ProofError::Malformed);
        }
        let target = normal(&payload.htu);
        let right_target = asked.targets.iter().any(|asked| normal(asked) == target);
        let right_nonce = match (asked.nonce, payload.nonce.as_deref()) {
            (None, _) => true,
            (Some(asked), Some(said)) => asked.as_bytes().ct_eq(said.as_bytes()).into(),
            (Some(_), None) => false,
        };
        if payload.htm != asked.method || !right_target || !right_nonce {
            return Err(ProofError::OtherRequest);
        }
        if !bool::from(payload.ath.as_bytes().ct_eq(token_hash(token).as_bytes())) {
            return Err(ProofError::OtherToken);
        }
        if unix_now.abs_diff(payload.iat) > CLOCK_SKEW_S {
            return Err(ProofError::NotNow);
        }
        Ok(VerifiedProof {
            holder: Thumbprint::of(&public),
            fingerprint: fingerprint(&public, &payload.jti),
        })
    }
}

fn holder_key(envelope: &Envelope<'_>) -> Result<[u8; 32], ProofError> {
    let jwk = envelope.header.jwk.as_ref();
    jwk.and_then(Jwk::public).ok_or(ProofError::Malformed)
}

/// `ath`: RFC 9449 §4.2.
fn token_hash(token: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(token.as_bytes()))
}

fn fingerprint(public: &[u8; 32], id: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(public);
    hash.update(id.as_bytes());
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    fingerprint
}

/// The target with scheme and authority in lower case, without a port that is the scheme's own
/// (RFC 3986 §6.2.2, §6.2.3), a query or a fragment.
fn normal(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = target.split_once("://") else {
        return target.to_owned();
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let own_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    format!("{scheme}://{authority}{path}")
}

/// Feeds arbitrary bytes to the proof's parser.
///
/// # Panics
///
/// When a proof holds for a token that it cannot know.
pub fn fuzz_proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let targets = ["https://edge.example/f".to_owned()];
    let asked = Asked {
        method: "GET",
        targets: &targets,
        nonce: Some("c2VjcmV0"),
    };
    assert!(Proof::verify(text, "no such token", &asked, 0).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_compared_in_one_form() {
        for (one, other) in [
            ("HTTPS://Edge.Example:443/a?b#c", "https://edge.example/a"),
            ("http://h:80/a", "http://h/a"),
            ("http://h", "http://h/"),
        ] {
            assert_eq!(normal(one), normal(other));
        }
        for (one, other) in [
            ("http://h/A", "http://h/a"),
            ("http://h:443/a", "http://h/a"),
            ("https://h/a", "http://h/a"),
        ] {
            assert_ne!(normal(one), normal(other));
        }
    }
}
