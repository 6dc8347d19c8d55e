//! A token on its way from where it is kept to whom it is shown.

use subtle::ConstantTimeEq;

use crate::token::{TOKEN_BYTES_MAX, TokenError};

/// A token's text. Whoever has it may fetch, so it has neither `Debug` nor `Display`: what holds
/// one cannot be logged by accident.
#[expect(
    missing_debug_implementations,
    reason = "a secret must not reach a log line"
)]
#[derive(Clone)]
pub struct SecretToken(String);

impl SecretToken {
    /// Takes a text that looks like a token, white space around it aside.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`] or [`TokenError::TooLong`].
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_token) {
            return Err(TokenError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn sealed(text: String) -> Self {
        Self(text)
    }

    /// The text itself, to be sent and never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}
