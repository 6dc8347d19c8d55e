//! Publisher tokens: a publisher's signed word that their holder may fetch (JWT, RFC 7519).

use peerlift_model::{ObjectId, PublisherId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::jws::{Envelope, Header, JwsError, seal};
use crate::keys::{AccessKey, KeySet, Thumbprint};
use crate::secret::SecretToken;

/// The longest token: [`TOKEN_OBJECTS_MAX`] objects and the longest subject take some 3.5 KiB.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The longest life of a token, in seconds. A token cannot be called back, so it has to end soon;
/// an hour is what a slow download of a big file may take between two tokens.
pub const TOKEN_LIFE_MAX_S: u64 = 3600;

/// How far two clocks may be apart, in seconds: as for introduction tickets.
pub const CLOCK_SKEW_S: u64 = 120;

/// The most objects that a token may name; without any it is for all of its publisher's.
pub const TOKEN_OBJECTS_MAX: usize = 32;

/// The longest subject and the longest identifier, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// The envelope's `typ`.
const TYPE: &str = "peerlift-token+jwt";

/// Who may accept a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// HTTP edges.
    Edge,
    /// Control nodes.
    Control,
}

impl Audience {
    /// The word in `aud`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Edge => "peerlift-edge",
            Self::Control => "peerlift-control",
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose objects it is for (`iss`).
    pub publisher: PublisherId,
    /// Who may accept it (`aud`).
    pub audience: Vec<String>,
    /// When it was issued, in Unix seconds (`iat`).
    pub issued: u64,
    /// Before when it counts for nothing, in Unix seconds (`nbf`).
    pub not_before: Option<u64>,
    /// When it ends, in Unix seconds (`exp`).
    pub expires: u64,
    /// Names the token (`jti`).
    pub id: String,
    /// To whom it was issued, in the publisher's own words (`sub`).
    pub subject: Option<String>,
    /// The key that has to be shown with it (`cnf`, RFC 7800 and RFC 9449 §6.1). Without one,
    /// whoever has the text may use it.
    pub holder: Option<Thumbprint>,
    /// The objects it is for; empty: all of the publisher's.
    pub objects: Vec<ObjectId>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// No token at all, or a claim that must be there is missing or malformed.
    #[error("the token cannot be read")]
    Malformed,
    /// The envelope is refused.
    #[error("the token is refused: {0}")]
    Envelope(JwsError),
    /// Signed by a key that does not sign for its publisher, or no longer.
    #[error("the token is signed by an unknown key")]
    UnknownKey,
    /// For somebody else to accept.
    #[error("the token is for another audience")]
    Audience,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It would live longer than [`TOKEN_LIFE_MAX_S`].
    #[error("the token is valid for too long")]
    TooLongLived,
}

/// The claims in JSON. Unknown ones are left alone (RFC 7519 §4).
#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: OneOrMany,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<String>,
}

/// A single audience may stand without brackets (RFC 7519 §4.1.3).
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

/// How the holder is known. Another method than ours is refused, never ignored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    jkt: String,
}

impl Claims {
    /// Signs the token.
    #[must_use]
    pub fn sign(&self, key: &AccessKey) -> SecretToken {
        let mut header = Header::new(TYPE);
        header.kid = Some(key.thumbprint().to_string());
        self.sign_as(&header, key)
    }

    /// Signs with a key that its set calls `kid`.
    #[must_use]
    pub fn sign_named(&self, key: &AccessKey, kid: &str) -> SecretToken {
        let mut header = Header::new(TYPE);
        header.kid = Some(kid.to_owned());
        self.sign_as(&header, key)
    }

    fn sign_as(&self, header: &Header, key: &AccessKey) -> SecretToken {
        let payload = Payload {
            iss: self.publisher.to_string(),
            aud: OneOrMany::Many(self.audience.clone()),
            iat: self.issued,
            nbf: self.not_before,
            exp: self.expires,
            jti: self.id.clone(),
            sub: self.subject.clone(),
            cnf: self.holder.map(|holder| Confirmation {
                jkt: holder.to_string(),
            }),
            objects: self.objects.iter().map(ObjectId::to_string).collect(),
        };
        SecretToken::sealed(seal(header, &payload, key))
    }

    /// What a token says, whoever signed it and whenever: for showing it to people, and to know
    /// whose keys to look for. Nothing may be decided by it.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooLong`], [`TokenError::Malformed`] and [`TokenError::Envelope`].
    pub fn unverified(token: &str) -> Result<Self, TokenError> {
        envelope(token)?
            .unverified()
            .map(Self::read)
            .map_err(TokenError::Envelope)?
    }

    /// The name of the key that a token says it is signed by.
    #[must_use]
    pub fn key_name(token: &str) -> Option<String> {
        envelope(token).ok()?.header.kid
    }

    /// Checks a token: its signature by one of the publisher's `keys`, its time, its audience.
    /// Whether its holder shows it is for [`crate::Proof`].
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn verify(
        token: &str,
        keys: &KeySet,
        audience: Audience,
        unix_now: u64,
    ) -> Result<Self, TokenError> {
        let envelope = envelope(token)?;
        let kid = envelope.header.kid.as_deref();
        let key = kid.and_then(|kid| keys.get(kid));
        let key = key.ok_or(TokenError::UnknownKey)?;
        let payload = envelope.verify(key).map_err(TokenError::Envelope)?;
        let claims = Self::read(payload)?;
        claims.check_time(unix_now)?;
        match claims.audience.iter().any(|word| word == audience.word()) {
            true => Ok(claims),
            false => Err(TokenError::Audience),
        }
    }

    fn read(payload: Payload) -> Result<Self, TokenError> {
        let texts = [Some(&payload.jti), payload.sub.as_ref()];
        let sound =
            |text: &String| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
        if !texts.into_iter().flatten().all(sound) || payload.objects.len() > TOKEN_OBJECTS_MAX {
            return Err(TokenError::Malformed);
        }
        let malformed = |_| TokenError::Malformed;
        let objects = payload.objects.iter().map(|text| text.parse());
        let holder = match payload.cnf {
            None => None,
            Some(cnf) => Some(Thumbprint::parse(&cnf.jkt).ok_or(TokenError::Malformed)?),
        };
        Ok(Self {
            publisher: payload.iss.parse().map_err(malformed)?,
            audience: match payload.aud {
                OneOrMany::Many(words) => words,
                OneOrMany::One(word) => vec![word],
            },
            issued: payload.iat,
            not_before: payload.nbf,
            expires: payload.exp,
            id: payload.jti,
            subject: payload.sub,
            holder,
            objects: objects.collect::<Result<_, _>>().map_err(malformed)?,
        })
    }

    fn check_time(&self, unix_now: u64) -> Result<(), TokenError> {
        if self.expires.saturating_sub(self.issued) > TOKEN_LIFE_MAX_S {
            return Err(TokenError::TooLongLived);
        }
        if unix_now >= self.expires.saturating_add(CLOCK_SKEW_S) {
            return Err(TokenError::Expired);
        }
        let begins = self.issued.max(self.not_before.unwrap_or(0));
        if unix_now < begins.saturating_sub(CLOCK_SKEW_S) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

fn envelope(token: &str) -> Result<Envelope<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    Envelope::parse(token, TYPE, false).map_err(TokenError::Envelope)
}

/// Feeds arbitrary bytes to the token's parser, behind the signature too.
///
/// # Panics
///
/// When a token verifies that nobody signed, or claims that were read do not read the same once
/// written.
pub fn fuzz_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let nobody = KeySet::default();
    assert!(Claims::verify(text, &nobody, Audience::Edge, 0).is_err());
    if let Ok(claims) = Claims::unverified(text) {
        let again = claims.sign(&AccessKey::from_seed(&[1; 32]));
        if again.expose().len() <= TOKEN_BYTES_MAX {
            assert_eq!(Claims::unverified(again.expose()), Ok(claims));
        }
    }
}
