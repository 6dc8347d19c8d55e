//! Keys that sign, the sets in which they are published (RFC 7517), and their thumbprints.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// An Ed25519 key pair that signs tokens, proofs or block lists.
pub struct AccessKey(SigningKey);

impl AccessKey {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A holder's key for one publisher's tokens, made of the holder's secret seed: no two
    /// publishers see the same key, so that they cannot tell that it is the same holder.
    #[must_use]
    pub fn of_holder(seed: &[u8; 32], publisher: PublisherId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"peerlift token holder v1\0");
        hash.update(seed);
        hash.update(publisher.as_bytes());
        Self::from_seed(&hash.finalize().into())
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The thumbprint of the public key.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.public())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessKey")
            .field(&self.thumbprint())
            .finish()
    }
}

/// Names a public key: the SHA-256 of its JWK in canonical form (RFC 7638 §3).
#[derive(Clone, Copy, Eq)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of an Ed25519 public key (RFC 8037 §2, appendix A.3).
    #[must_use]
    pub fn of(public: &[u8; 32]) -> Self {
        let x = BASE64URL_NOPAD.encode(public);
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self(Sha256::digest(canonical.as_bytes()).into())
    }

    /// Reads 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for Thumbprint {
    /// In a time that does not depend on where they differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// A public key in JSON (RFC 8037 §2).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    /// The private half, which must not be there.
    #[serde(default, skip_serializing)]
    d: Option<Value>,
}

impl Jwk {
    pub(crate) fn of(public: &[u8; 32]) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64URL_NOPAD.encode(public),
            kid: None,
            usage: None,
            d: None,
        }
    }

    /// The key, when it is an Ed25519 key that is not weak.
    pub(crate) fn public(&self) -> Option<[u8; 32]> {
        if (self.kty.as_str(), self.crv.as_str()) != ("OKP", "Ed25519") || self.d.is_some() {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(self.x.as_bytes()).ok()?;
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak()).then_some(bytes)
    }
}

/// The longest key set that is read: [`KEYS_MAX`] keys with room for other members.
const KEY_SET_BYTES_MAX: usize = 64 * 1024;

/// The most keys in a set: some years of rotation.
const KEYS_MAX: usize = 64;

/// The longest name of a key.
const KID_BYTES_MAX: usize = 128;

/// The keys that may sign tokens for one publisher (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(String, [u8; 32])>,
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Not a JSON object with an array `keys` of keys.
    #[error("this is not a set of keys (JWKS)")]
    Malformed,
    /// Too long, or too many keys.
    #[error("the key set is too large")]
    TooLarge,
    /// A private key lies in it. It must be treated as known to everybody.
    #[error("the key set holds a private key")]
    Private,
    /// Two keys have one name, so that a token could mean either.
    #[error("the key set names two keys {kid:?}")]
    Ambiguous {
        /// The name.
        kid: String,
    },
    /// No key in it can sign tokens.
    #[error("the key set holds no Ed25519 key for signatures")]
    Empty,
}

impl KeySet {
    /// The set that a publisher without another one has: its own key, named by its thumbprint.
    #[must_use]
    pub fn of_publisher(publisher: PublisherId) -> Self {
        Self::of([*publisher.as_bytes()])
    }

    /// A set of these keys, each named by its thumbprint.
    #[must_use]
    pub fn of(keys: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let named = |key: [u8; 32]| (Thumbprint::of(&key).to_string(), key);
        Self {
            keys: keys.into_iter().map(named).collect(),
        }
    }

    /// Reads a set. Keys of other kinds, or for other uses, are left alone (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// [`KeySetError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if bytes.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|_| KeySetError::Malformed)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooLarge);
        }
        let mut keys: Vec<(String, [u8; 32])> = Vec::new();
        for value in set.keys {
            if value.get("d").is_some() {
                return Err(KeySetError::Private);
            }
            let jwk: Jwk = serde_json::from_value(value).map_err(|_| KeySetError::Malformed)?;
            let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
            let Some(public) = jwk.public().filter(|_| signs) else {
                continue;
            };
            let kid = jwk
                .kid
                .unwrap_or_else(|| Thumbprint::of(&public).to_string());
            if kid.len() > KID_BYTES_MAX {
                return Err(KeySetError::TooLarge);
            }
            if keys.iter().any(|(known, _)| *known == kid) {
                return Err(KeySetError::Ambiguous { kid });
            }
            keys.push((kid, public));
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self { keys })
    }

    /// The set as a file.
    ///
    /// # Panics
    ///
    /// Never: strings always serialise.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Set {
            keys: Vec<Jwk>,
        }
        let jwk = |(kid, key): &(String, [u8; 32])| Jwk {
            kid: Some(kid.clone()),
            usage: Some("sig".to_owned()),
            ..Jwk::of(key)
        };
        let set = Set {
            keys: self.keys.iter().map(jwk).collect(),
        };
        serde_json::to_string_pretty(&set).expect("strings always serialise")
    }

    /// The key of a name.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&[u8; 32]> {
        self.keys
            .iter()
            .find(|(known, _)| known == kid)
            .map(|(_, key)| key)
    }

    /// Whether a key is among them.
    #[must_use]
    pub fn contains(&self, key: &[u8; 32]) -> bool {
        self.keys.iter().any(|(_, known)| known == key)
    }

    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(kid, _)| kid.as_str())
    }
}

/// Feeds arbitrary bytes to the key set's parser.
///
/// # Panics
///
/// When a set that was read does not read the same once written.
pub fn fuzz_key_set(data: &[u8]) {
    if let Ok(set) = KeySet::parse(data) {
        assert_eq!(KeySet::parse(set.to_json().as_bytes()), Ok(set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.3.
    #[test]
    fn the_thumbprint_of_the_rfc() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let public: [u8; 32] = BASE64URL_NOPAD
            .decode(x.as_bytes())
            .unwrap()
            .try_into()
            .unwrap();
        let thumbprint = Thumbprint::of(&public);
        assert_eq!(
            thumbprint.to_string(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        assert_eq!(Thumbprint::parse(&thumbprint.to_string()), Some(thumbprint));
    }

    fn jwk(seed: u8) -> String {
        let x = BASE64URL_NOPAD.encode(&AccessKey::from_seed(&[seed; 32]).public());
        format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#)
    }

    #[test]
    fn keys_of_other_kinds_and_uses_are_left_alone() {
        let text = format!(
            r#"{{"keys":[{{"kty":"RSA","n":"x","e":"AQAB"}},{{{},"use":"enc"}},{{{},"kid":"now"}}]}}"#,
            jwk(1),
            jwk(2)
        );
        let set = KeySet::parse(text.as_bytes()).unwrap();
        assert_eq!(set.names().collect::<Vec<_>>(), ["now"]);
        assert_eq!(
            set.get("now"),
            Some(&AccessKey::from_seed(&[2; 32]).public())
        );
    }

    #[test]
    fn sets_that_would_deceive_are_refused() {
        let parse = |text: String| KeySet::parse(text.as_bytes());
        assert_eq!(parse("[]".to_owned()), Err(KeySetError::Malformed));
        assert_eq!(parse(r#"{"keys":[]}"#.to_owned()), Err(KeySetError::Empty));
        assert_eq!(
            parse(format!(r#"{{"keys":[{{{},"d":"x"}}]}}"#, jwk(1))),
            Err(KeySetError::Private)
        );
        let two = format!(
            r#"{{"keys":[{{{},"kid":"a"}},{{{},"kid":"a"}}]}}"#,
            jwk(1),
            jwk(2)
        );
        assert!(matches!(parse(two), Err(KeySetError::Ambiguous { .. })));
        assert_eq!(
            KeySet::parse(&vec![b' '; KEY_SET_BYTES_MAX + 1]),
            Err(KeySetError::TooLarge)
        );
        // The neutral element: every signature verifies under it.
        let weak = BASE64URL_NOPAD.encode(&{
            let mut one = [0; 32];
            one[0] = 1;
            one
        });
        let weak = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{weak}"}}]}}"#);
        assert_eq!(parse(weak), Err(KeySetError::Empty));
    }
}
