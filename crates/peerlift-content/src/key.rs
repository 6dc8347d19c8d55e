//! The key that signs manifests. It never leaves its file except to sign.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use peerlift_model::PublisherId;

use crate::draft::{Draft, folder_of, sync_folder};

/// A publisher's Ed25519 key pair (RFC 8032).
///
/// Its file is PKCS#8 in PEM (RFC 8410 §7), as `openssl genpkey -algorithm ed25519` writes it.
pub struct PublisherKey(SigningKey);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read, or not created.
    #[error("cannot read or create the publisher key {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not an Ed25519 private key in PKCS#8 PEM form", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the machine may read or change the file. `chmod 600` mends it.
    #[error("{} is open to other users (mode {mode:o}): chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system has no randomness to make a key of.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

impl PublisherKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a 32-byte seed (RFC 8032 §5.1.5): for tests, and keys kept elsewhere.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed that [`Self::from_seed`] takes. It is the secret itself.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Reads the key at `path`, making it, and the folders above it, on first use.
    ///
    /// The file appears complete or not at all, with mode 0600; of two processes that make it at
    /// once, both end up with the same key.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                match key.save_new(path) {
                    Ok(()) => Ok(key),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
                    Err(source) => Err(KeyError::Io {
                        path: path.to_owned(),
                        source,
                    }),
                }
            }
            loaded => loaded,
        }
    }

    /// Reads the key at `path`.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let io_error = |source| KeyError::Io {
            path: path.to_owned(),
            source,
        };
        let text = fs::read(path).map_err(io_error)?;
        check_mode(path)?;
        let seed = parse_pem(&text).ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
        })?;
        Ok(Self::from_seed(&seed))
    }

    /// Writes the key to a file that must not exist yet.
    fn save_new(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(folder_of(path))?;
        let mut draft = Draft::with_mode(path, 0o600)?;
        draft.file.write_all(self.pem().as_bytes())?;
        draft.place_new()?;
        sync_folder(path)
    }

    /// Who signs with this key.
    #[must_use]
    pub fn id(&self) -> PublisherId {
        PublisherId::new(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    fn pem(&self) -> String {
        let der: Vec<u8> = PKCS8_HEAD
            .iter()
            .chain(self.0.as_bytes())
            .copied()
            .collect();
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64.encode(&der))
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublisherKey").field(&self.id()).finish()
    }
}

/// Refuses a key that others may read or that the group may write. A group that may read it is
/// the way containers are handed their secrets.
#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 == 0 {
        Ok(())
    } else {
        Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        })
    }
}

fn parse_pem(text: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let body = text.strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = BASE64.decode(body.as_bytes()).ok()?;
    der.strip_prefix(&PKCS8_HEAD)?.try_into().ok()
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Everything before the seed in a PKCS#8 v1 Ed25519 key (RFC 8410 §7): SEQUENCE, version 0,
/// OID 1.3.101.112, OCTET STRING in an OCTET STRING.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
