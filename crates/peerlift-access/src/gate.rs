//! The question that edges and control nodes have in common: may whoever shows this fetch that?

use std::borrow::Cow;
use std::collections::BTreeMap;

use peerlift_model::{ObjectId, PublisherId};
use thiserror::Error;

use crate::keys::KeySet;
use crate::proof::{Asked, Proof, ProofError, VerifiedProof};
use crate::token::{Audience, CLOCK_SKEW_S, Claims, TokenError};

/// What somebody shows.
#[expect(
    missing_debug_implementations,
    reason = "a secret must not reach a log line"
)]
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The token's text.
    pub token: &'a str,
    /// The proof that its holder shows it; `None`: it was shown alone.
    pub proof: Option<&'a str>,
}

/// What a credential gives a right to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose objects.
    pub publisher: PublisherId,
    /// Which; empty: all.
    pub objects: Vec<ObjectId>,
    /// Until when, in Unix seconds by the issuer's clock.
    pub expires: u64,
    /// Whose signature is on the token.
    pub key: [u8; 32],
    /// The proof, which must be good for one use only; `None`: the token is bound to nobody.
    pub proof: Option<VerifiedProof>,
}

/// Why the answer is no.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing was shown.
    #[error("a token of the publisher is needed")]
    NoToken,
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The token is bound to a key, and shown without a proof by it.
    #[error("the token is bound to a key, and no proof by that key comes with it")]
    NoProof,
    /// The token is bound to nobody, and the publisher does not allow that.
    #[error("the token is bound to no key, and the publisher does not allow that")]
    Unbound,
    /// The proof was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The token is good, and for something else.
    #[error("the token is for something else")]
    NotCovered,
    /// Too much is going on to check it.
    #[error("too many requests")]
    Busy,
}

impl Refusal {
    /// The error code (RFC 6750 §3.1, RFC 9449 §7.1); `None` when nothing was shown.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NoToken | Self::Busy => None,
            Self::Token(_) | Self::NoProof | Self::Unbound => Some("invalid_token"),
            Self::Proof(_) | Self::Replayed => Some("invalid_dpop_proof"),
            Self::NotCovered => Some("insufficient_scope"),
        }
    }
}

/// Who may accept tokens here, and whose keys sign them.
#[derive(Clone, Debug)]
pub struct Gate {
    audience: Audience,
    publishers: BTreeMap<PublisherId, KeySet>,
}

impl Gate {
    /// A gate at which every publisher's own key signs its tokens.
    #[must_use]
    pub fn new(audience: Audience) -> Self {
        Self {
            audience,
            publishers: BTreeMap::new(),
        }
    }

    /// From now on these keys, and no others, sign for a publisher.
    pub fn set_keys(&mut self, publisher: PublisherId, keys: KeySet) {
        self.publishers.insert(publisher, keys);
    }

    /// Checks what was shown for what was asked. A proof in the grant must yet be admitted by a
    /// [`crate::ReplayGuard`].
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn check(
        &self,
        shown: Credential<'_>,
        asked: &Asked<'_>,
        unix_now: u64,
    ) -> Result<Grant, Refusal> {
        let publisher = Claims::unverified(shown.token)?.publisher;
        let keys = self.keys(publisher);
        let claims = Claims::verify(shown.token, &keys, self.audience, unix_now)?;
        let kid = Claims::key_name(shown.token);
        let key = kid.and_then(|kid| keys.get(&kid).copied());
        let key = key.ok_or(TokenError::UnknownKey)?;
        let proof = match (claims.holder, shown.proof) {
            (Some(_), None) => return Err(Refusal::NoProof),
            (Some(holder), Some(proof)) => {
                let proof = Proof::verify(proof, shown.token, asked, unix_now)?;
                if proof.holder != holder {
                    return Err(ProofError::OtherHolder.into());
                }
                Some(proof)
            }
            (None, _) => None,
        };
        Ok(Grant {
            publisher: claims.publisher,
            objects: claims.objects,
            expires: claims.expires,
            key,
            proof,
        })
    }

    /// Whether the key that signed for a grant still does: who takes a key out of the set takes back
    /// what it has signed.
    #[must_use]
    pub fn stands_by(&self, grant: &Grant) -> bool {
        self.keys(grant.publisher).contains(&grant.key)
    }

    fn keys(&self, publisher: PublisherId) -> Cow<'_, KeySet> {
        match self.publishers.get(&publisher) {
            Some(keys) => Cow::Borrowed(keys),
            None => Cow::Owned(KeySet::of_publisher(publisher)),
        }
    }
}

impl Grant {
    /// Whether it is good for an object of a publisher, now. `unbound`: whether the publisher lets
    /// a token do that is bound to nobody.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotCovered`], [`Refusal::Unbound`], or [`TokenError::Expired`].
    pub fn covers(
        &self,
        publisher: PublisherId,
        object: Option<ObjectId>,
        unbound: bool,
        unix_now: u64,
    ) -> Result<(), Refusal> {
        let all = self.objects.is_empty();
        let named = object.is_some_and(|object| self.objects.contains(&object));
        if self.publisher != publisher || !(all || named) {
            return Err(Refusal::NotCovered);
        }
        if self.proof.is_none() && !unbound {
            return Err(Refusal::Unbound);
        }
        if unix_now >= self.expires.saturating_add(CLOCK_SKEW_S) {
            return Err(TokenError::Expired.into());
        }
        Ok(())
    }
}
