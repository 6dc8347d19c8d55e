//! The compact signed envelope (RFC 7515 §7.1): one algorithm, Ed25519 (RFC 8037 §3.1).

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::keys::{AccessKey, Jwk};

/// Why a text is not a signed statement to act on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Not three parts of base64url, or not JSON where JSON belongs.
    #[error("it cannot be read")]
    Malformed,
    /// It says that it is not signed at all (`alg` `none`).
    #[error("it is not signed")]
    Unsigned,
    /// It is signed in a way that is not used here.
    #[error("it is signed with an algorithm that is not accepted")]
    Algorithm,
    /// It is a signed text of another kind (RFC 8725 §3.11).
    #[error("it is a signed text of another kind")]
    Type,
    /// It needs extensions (`crit`, RFC 7515 §4.1.11); none is known.
    #[error("it needs extensions that are not known")]
    Critical,
    /// It brings a key, or the address of one, where none may decide (RFC 8725 §3.10).
    #[error("it brings its own key")]
    OwnKey,
    /// The signature is not that key's over these bytes, or the key is weak.
    #[error("its signature is wrong")]
    Signature,
}

/// The protected header (RFC 7515 §4). Members that are not named here are of no consequence.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) typ: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwk: Option<Jwk>,
    #[serde(default, skip_serializing)]
    jku: Option<Value>,
    #[serde(default, skip_serializing)]
    x5u: Option<Value>,
    #[serde(default, skip_serializing)]
    x5c: Option<Value>,
    #[serde(default, skip_serializing, deserialize_with = "present")]
    crit: Option<Value>,
}

/// `crit` counts even when it is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Header {
    pub(crate) fn new(typ: &str) -> Self {
        Self {
            alg: "EdDSA".to_owned(),
            typ: typ.to_owned(),
            ..Self::default()
        }
    }
}

/// Signs `payload`.
pub(crate) fn seal(header: &Header, payload: &impl Serialize, key: &AccessKey) -> String {
    let encode = |json: Result<Vec<u8>, serde_json::Error>| {
        BASE64URL_NOPAD.encode(&json.expect("strings and numbers always serialise"))
    };
    let header = encode(serde_json::to_vec(header));
    let input = format!("{header}.{}", encode(serde_json::to_vec(payload)));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// An envelope whose signature is yet to be checked.
pub(crate) struct Envelope<'a> {
    pub(crate) header: Header,
    input: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Envelope<'a> {
    /// Reads a text of this `typ`. `own_key` says whether the header must bring a key; otherwise
    /// it must not.
    pub(crate) fn parse(text: &'a str, typ: &str, own_key: bool) -> Result<Self, JwsError> {
        let (input, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(JwsError::Malformed)?;
        let header: Header = json(header)?;
        if header.crit.is_some() {
            return Err(JwsError::Critical);
        }
        match header.alg.as_str() {
            "EdDSA" => {}
            none if none.eq_ignore_ascii_case("none") => return Err(JwsError::Unsigned),
            _ => return Err(JwsError::Algorithm),
        }
        if header.typ != typ {
            return Err(JwsError::Type);
        }
        let remote = header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some();
        if remote || header.jwk.is_some() != own_key {
            return Err(JwsError::OwnKey);
        }
        Ok(Self {
            header,
            input,
            payload,
            signature,
        })
    }

    /// Checks the signature and reads what was signed.
    pub(crate) fn verify<T: for<'de> Deserialize<'de>>(
        &self,
        key: &[u8; 32],
    ) -> Result<T, JwsError> {
        let wrong = |_| JwsError::Signature;
        let key = VerifyingKey::from_bytes(key).map_err(wrong)?;
        if key.is_weak() {
            return Err(JwsError::Signature);
        }
        let signature = decode(self.signature)?;
        let signature = Signature::from_slice(&signature).map_err(wrong)?;
        key.verify_strict(self.input.as_bytes(), &signature)
            .map_err(wrong)?;
        self.unverified()
    }

    /// What it says, whoever signed it: good for choosing a key and for showing to people.
    pub(crate) fn unverified<T: for<'de> Deserialize<'de>>(&self) -> Result<T, JwsError> {
        json(self.payload)
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, JwsError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| JwsError::Malformed)
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| JwsError::Malformed)
}
