//! Manifests that no honest publisher would sign.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

/// What a manifest says, without looking at its signature.
pub(crate) fn payload(manifest: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(manifest).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// The manifest with other content under the old signature.
pub(crate) fn altered(manifest: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut envelope: Value = serde_json::from_slice(manifest).unwrap();
    let mut said = payload(manifest);
    change(&mut said);
    envelope["payload"] = encode(&said).into();
    serde_json::to_vec(&envelope).unwrap()
}

/// The manifest with other content, signed properly by a key made for it.
pub(crate) fn signed(manifest: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut said = payload(manifest);
    change(&mut said);
    let x = BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let header = json!({"alg": "EdDSA", "typ": "peerlift-manifest+jws", "jwk": jwk});
    let (protected, payload) = (encode(&header), encode(&said));
    let signature = key
        .sign(format!("{protected}.{payload}").as_bytes())
        .to_bytes();
    let signature = BASE64URL_NOPAD.encode(&signature);
    let envelope = json!({"payload": payload, "protected": protected, "signature": signature});
    serde_json::to_vec(&envelope).unwrap()
}

fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(value).unwrap())
}
