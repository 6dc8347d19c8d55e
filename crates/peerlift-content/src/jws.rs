//! The signed envelope: a JWS in flattened JSON serialisation (RFC 7515 §7.2.2) with an Ed25519
//! signature (RFC 8037 §3.1) by the key it names itself (`jwk`).
//!
//! One algorithm, one key type: an envelope that asks for anything else is refused by name.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::PublisherKey;

/// The envelope's media type, in its `typ`.
const TYPE: &str = "peerlift-manifest+jws";

/// Why an envelope is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Not JSON, or a needed member is missing or of the wrong kind.
    #[error("this is not a Peerlift manifest")]
    Malformed(#[source] serde_json::Error),
    /// A member is not base64url without padding (RFC 4648 §5).
    #[error("the manifest is garbled in \"{member}\"")]
    Encoding {
        /// The member's name.
        member: &'static str,
    },
    /// It says that it is not signed at all (`alg` `none`).
    #[error("the manifest is not signed")]
    Unsigned,
    /// It is signed in a way that is not used here.
    #[error("the manifest is signed with an unknown algorithm, {algorithm:?}")]
    Algorithm {
        /// The `alg`, or the key's type and curve.
        algorithm: String,
    },
    /// It is a signed text of another kind.
    #[error("this is a signed {typ:?}, not a Peerlift manifest")]
    Type {
        /// The `typ`.
        typ: String,
    },
    /// It has parts that must be understood (`crit`, RFC 7515 §4.1.11); this version knows none.
    #[error("the manifest needs extensions that this Peerlift does not know: {0}")]
    Critical(String),
    /// The unsigned header repeats what only the signed one may say (RFC 7515 §4).
    #[error("the manifest's unsigned header repeats \"{0}\"")]
    Repeated(String),
    /// The key is not a point of the curve, or one that signs anything.
    #[error("the manifest's key is no key")]
    Key,
    /// The signature is not that key's over these bytes.
    #[error("the manifest's signature is wrong")]
    Signature,
}

/// What came out of an envelope whose signature is right.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) payload: Vec<u8>,
    pub(crate) signer: PublisherId,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    payload: String,
    protected: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<serde_json::Map<String, Value>>,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<Jwk>,
}

/// An Ed25519 public key (RFC 8037 §2).
#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
}

/// Signs `payload`. `note` is carried along unsigned.
pub(crate) fn seal(payload: &[u8], key: &PublisherKey, note: Option<Value>) -> Vec<u8> {
    let jwk = Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: BASE64URL_NOPAD.encode(key.id().as_bytes()),
    };
    let header = Header {
        alg: "EdDSA".to_owned(),
        typ: TYPE.to_owned(),
        crit: None,
        jwk: Some(jwk),
    };
    let header = serde_json::to_vec(&header).expect("strings always serialise");
    let payload = BASE64URL_NOPAD.encode(payload);
    let protected = BASE64URL_NOPAD.encode(&header);
    let signature = key.sign(signing_input(&protected, &payload).as_bytes());
    let envelope = Envelope {
        signature: BASE64URL_NOPAD.encode(&signature),
        header: note.map(|note| serde_json::Map::from_iter([(NOTE.to_owned(), note)])),
        payload,
        protected,
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope).expect("strings always serialise");
    bytes.push(b'\n');
    bytes
}

/// Checks an envelope and takes its payload out.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, JwsError> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(JwsError::Malformed)?;
    let protected = decode(&envelope.protected, "protected")?;
    let header: Header = serde_json::from_slice(&protected).map_err(JwsError::Malformed)?;
    check_header(&header, envelope.header.as_ref())?;
    let key = signer(header.jwk.ok_or(JwsError::Key)?)?;
    let signature = decode(&envelope.signature, "signature")?;
    let signature = Signature::from_slice(&signature).map_err(|_| JwsError::Signature)?;
    let input = signing_input(&envelope.protected, &envelope.payload);
    key.verify_strict(input.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature)?;
    let payload = decode(&envelope.payload, "payload")?;
    Ok(Opened {
        payload,
        signer: PublisherId::new(key.to_bytes()),
    })
}

/// The unsigned note in an envelope, unchecked.
pub(crate) fn note(bytes: &[u8]) -> Option<Value> {
    let envelope: Envelope = serde_json::from_slice(bytes).ok()?;
    envelope.header?.remove(NOTE)
}

/// The member of the unsigned header that holds what [`crate::publish`] notes for itself.
const NOTE: &str = "peerlift-source";

fn check_header(
    header: &Header,
    unsigned: Option<&serde_json::Map<String, Value>>,
) -> Result<(), JwsError> {
    if let Some(crit) = &header.crit {
        return Err(JwsError::Critical(crit.to_string()));
    }
    match header.alg.as_str() {
        "EdDSA" => {}
        "none" => return Err(JwsError::Unsigned),
        _ => {
            return Err(JwsError::Algorithm {
                algorithm: header.alg.clone(),
            });
        }
    }
    if header.typ != TYPE {
        return Err(JwsError::Type {
            typ: header.typ.clone(),
        });
    }
    let reserved = ["alg", "typ", "crit", "jwk"];
    match unsigned.and_then(|unsigned| reserved.iter().find(|name| unsigned.contains_key(**name))) {
        Some(name) => Err(JwsError::Repeated((*name).to_owned())),
        None => Ok(()),
    }
}

fn signer(jwk: Jwk) -> Result<VerifyingKey, JwsError> {
    if (jwk.kty.as_str(), jwk.crv.as_str()) != ("OKP", "Ed25519") {
        return Err(JwsError::Algorithm {
            algorithm: format!("{} {}", jwk.kty, jwk.crv),
        });
    }
    let bytes = decode(&jwk.x, "jwk")?;
    let bytes = bytes.try_into().map_err(|_| JwsError::Key)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| JwsError::Key)?;
    if key.is_weak() {
        Err(JwsError::Key)
    } else {
        Ok(key)
    }
}

fn signing_input(protected: &str, payload: &str) -> String {
    format!("{protected}.{payload}")
}

fn decode(text: &str, member: &'static str) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| JwsError::Encoding { member })
}
