//! A client's token for a publisher, and the key that it is bound to.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use peerlift_access::{AccessKey, Claims, Proof, SecretToken, TokenError};
use peerlift_model::PublisherId;
use thiserror::Error;
use url::Url;

/// How long before its end a token is no longer used when a newer one can be had, in seconds: as
/// long as a request may take to be answered.
const RENEW_BEFORE_S: u64 = 30;

/// The longest file that is read for a token.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where a token comes from.
#[expect(
    missing_debug_implementations,
    reason = "a secret must not reach a log line"
)]
pub enum TokenSource {
    /// This one, for as long as it lasts.
    Fixed(SecretToken),
    /// A file, read again whenever the token in it is about to end.
    File(PathBuf),
}

/// Why there is no token to show.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The file cannot be read.
    #[error("cannot read the token in {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is there is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A token and the key of its holder.
pub struct Wallet {
    source: TokenSource,
    holder_seed: Option<[u8; 32]>,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    token: SecretToken,
    publisher: PublisherId,
    bound: bool,
    expires: u64,
}

impl Wallet {
    /// Reads the token. `holder_seed` makes the keys that tokens are bound to, one for each
    /// publisher ([`AccessKey::of_holder`]); without it only unbound tokens can be shown.
    ///
    /// # Errors
    ///
    /// [`WalletError`].
    pub fn open(source: TokenSource, holder_seed: Option<[u8; 32]>) -> Result<Self, WalletError> {
        let current = Mutex::new(read(&source)?);
        Ok(Self {
            source,
            holder_seed,
            current,
        })
    }

    /// Whose token it is, by its own word.
    #[must_use]
    pub fn publisher(&self) -> PublisherId {
        self.lock().publisher
    }

    /// The values of `Authorization` and, for a bound token, of `DPoP`.
    pub(crate) fn headers(&self, method: &str, url: &Url) -> (String, Option<String>) {
        let current = self.fresh();
        let mut target = url.clone();
        target.set_query(None);
        target.set_fragment(None);
        let proof = self.proof(&current, method, target.into(), None);
        let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
        (format!("{scheme} {}", current.token.expose()), proof)
    }

    /// The token, and its proof for a session with a control node; empty: it is bound to no key.
    pub(crate) fn for_session(&self, node: &[u8; 32], nonce: &[u8; 32]) -> (String, String) {
        let current = self.fresh();
        let target = format!("peerlift-control://{}", HEXLOWER.encode(node));
        let nonce = Some(BASE64URL_NOPAD.encode(nonce));
        let proof = self.proof(&current, "LOGIN", target, nonce);
        let token = current.token.expose().to_owned();
        (token, proof.unwrap_or_default())
    }

    /// Whether this is another token than `shown`.
    pub(crate) fn is_newer_than(&self, shown: &str) -> bool {
        let shown = SecretToken::new(shown);
        !shown.is_ok_and(|shown| self.fresh().token.is(&shown))
    }

    fn proof(
        &self,
        current: &Current,
        method: &str,
        target: String,
        nonce: Option<String>,
    ) -> Option<String> {
        let seed = self.holder_seed.filter(|_| current.bound)?;
        let key = AccessKey::of_holder(&seed, current.publisher);
        let proof = Proof {
            method: method.to_owned(),
            target,
            issued: unix_now(),
            id: random_id(),
            nonce,
        };
        Some(proof.sign(&key, &current.token))
    }

    /// The token, read again when it is about to end. A file without a newer one leaves the old:
    /// whoever is shown it says what is wrong.
    fn fresh(&self) -> Current {
        let mut current = self.lock();
        if unix_now() + RENEW_BEFORE_S >= current.expires {
            match read(&self.source) {
                Ok(newer) => *current = newer,
                Err(error) => tracing::debug!(%error, "no newer token"),
            }
        }
        current.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // A panic while the lock is held leaves a token that is whole.
        self.current
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Wallet {
    /// Shows nothing: what it holds is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet")
    }
}

fn read(source: &TokenSource) -> Result<Current, WalletError> {
    let token = match source {
        TokenSource::Fixed(token) => token.clone(),
        TokenSource::File(path) => {
            let io = |source| WalletError::Io {
                path: path.clone(),
                source,
            };
            if fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
                return Err(TokenError::TooLong.into());
            }
            SecretToken::new(&fs::read_to_string(path).map_err(io)?)?
        }
    };
    let claims = Claims::unverified(token.expose())?;
    Ok(Current {
        token,
        publisher: claims.publisher,
        bound: claims.holder.is_some(),
        expires: claims.expires,
    })
}

fn random_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the proof is taken for a replay at worst.
    let _ = getrandom::fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
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

    const HOLDER: [u8; 32] = [8; 32];

    fn token(id: &str, expires: u64, bound: bool) -> String {
        let key = AccessKey::from_seed(&[7; 32]);
        let publisher = PublisherId::new(key.public());
        let holder = AccessKey::of_holder(&HOLDER, publisher).thumbprint();
        let claims = Claims {
            publisher,
            audience: vec!["peerlift-edge".to_owned()],
            issued: expires - 600,
            not_before: None,
            expires,
            id: id.to_owned(),
            subject: None,
            holder: bound.then_some(holder),
            objects: Vec::new(),
        };
        claims.sign(&key).expose().to_owned()
    }

    fn url() -> Url {
        Url::parse("https://edge.example/f?x=1#y").unwrap()
    }

    #[test]
    fn a_token_that_is_about_to_end_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let shown = |wallet: &Wallet| wallet.headers("GET", &url()).0;
        let (old, newer) = (
            token("old", unix_now(), true),
            token("new", unix_now() + 600, true),
        );
        fs::write(&path, &old).unwrap();
        let wallet = Wallet::open(TokenSource::File(path.clone()), Some(HOLDER)).unwrap();
        assert_eq!(shown(&wallet), format!("DPoP {old}"));
        fs::write(&path, "being written").unwrap();
        assert_eq!(shown(&wallet), format!("DPoP {old}"), "what there is");
        fs::write(&path, &newer).unwrap();
        assert!(wallet.is_newer_than(&old));
        assert_eq!(shown(&wallet), format!("DPoP {newer}"));
        fs::remove_file(&path).unwrap();
        assert_eq!(shown(&wallet), format!("DPoP {newer}"), "while it lasts");
    }

    #[test]
    fn proofs_are_fresh_and_name_the_request_without_its_query() {
        let fixed = |text: String| TokenSource::Fixed(SecretToken::new(&text).unwrap());
        let text = token("x", unix_now() + 600, true);
        let wallet = Wallet::open(fixed(text.clone()), Some(HOLDER)).unwrap();
        let (_, first) = wallet.headers("GET", &url());
        let (_, second) = wallet.headers("GET", &url());
        assert_ne!(first, second);
        let targets = ["https://edge.example/f".to_owned()];
        let asked = peerlift_access::Asked {
            method: "GET",
            targets: &targets,
            nonce: None,
        };
        let verified = Proof::verify(&first.unwrap(), &text, &asked, unix_now());
        assert!(verified.is_ok(), "{verified:?}");

        let unbound = token("x", unix_now() + 600, false);
        let wallet = Wallet::open(fixed(unbound.clone()), Some(HOLDER)).unwrap();
        assert_eq!(
            wallet.headers("GET", &url()),
            (format!("Bearer {unbound}"), None)
        );
        assert!(!format!("{wallet:?}").contains(&unbound[..20]));
    }
}
