//! The manifest: what a publisher says, signed, about one object.
//!
//! This module holds the typed form and the rules a manifest must obey; [`crate::jws`] knows how
//! it is signed.

use std::path::Path;

use data_encoding::HEXLOWER;
use peerlift_model::{Layout, ObjectId, PublisherId};
use serde::{Deserialize, Serialize};

use crate::jws::{self, JwsError};
use crate::key::PublisherKey;

/// The description of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file's name, without folders.
    pub name: String,
    /// How the object is cut; knows its size in bytes.
    pub layout: Layout,
    /// The BLAKE3 root.
    pub root: ObjectId,
    /// The SHA-256 of the whole file, for people.
    pub sha256: Option<[u8; 32]>,
    /// The media type (RFC 6838), `application/octet-stream` when unknown.
    pub media_type: String,
    /// What the publisher calls itself. Only the key says who it is.
    pub publisher_name: String,
    /// URLs of the object; empty: wherever the manifest was found. May be relative references,
    /// resolved against the manifest's own URL (RFC 3986 §5).
    pub edges: Vec<String>,
    /// URLs of control nodes (`ws:`, `wss:`, or relative references).
    pub control: Vec<String>,
    /// The publisher's relays.
    pub relays: Vec<RelayEntry>,
    /// What clients may do.
    pub policy: Policy,
    /// Counts the versions published under this name, from 1.
    pub revision: u64,
    /// When it was signed, in seconds since 1970 (UTC).
    pub published: u64,
}

/// A relay that peers may meet over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayEntry {
    /// Its URL; may be a relative reference.
    pub url: String,
    /// The UDP port where it tells clients their address by QUIC, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_port: Option<u16>,
}

/// What clients may do with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether clients may get it from one another. Default: true.
    #[serde(default = "yes")]
    pub peers: bool,
    /// Who may fetch it. Default: everybody.
    #[serde(default)]
    pub access: Access,
    /// Whether a token does that is bound to nobody's key, so that any HTTP client can show it.
    /// Default: false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unbound_tokens: bool,
    /// The goal that downloads have unless their user says otherwise, in the words of `--goal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// At most so many bytes may one client upload of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_cap_bytes: Option<u64>,
    /// After this time, in seconds since 1970 (UTC), it is to be neither fetched nor shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            peers: true,
            access: Access::Public,
            unbound_tokens: false,
            goal: None,
            upload_cap_bytes: None,
            expires: None,
        }
    }
}

/// Who may fetch an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Whoever shows a token of the publisher's.
    Token,
}

/// A manifest whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    /// What it says.
    pub manifest: Manifest,
    /// Whose key signed it. Whether to trust that key is another question.
    pub publisher: PublisherId,
}

/// Why bytes are not a manifest to act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Longer than [`VerifiedManifest::BYTES_MAX`].
    #[error("the manifest is longer than {} bytes", VerifiedManifest::BYTES_MAX)]
    TooLong,
    /// The signed envelope is not one, or does not verify.
    #[error(transparent)]
    Envelope(#[from] JwsError),
    /// Of a format this version does not understand. A newer Peerlift may.
    #[error("the manifest has format version {version}; this Peerlift understands 1")]
    UnknownVersion {
        /// The version it names.
        version: u64,
    },
    /// The object's size is not a whole number from 0 to [`Layout::SIZE_MAX`].
    #[error("the manifest gives no possible size: {size}")]
    Size {
        /// What it gives.
        size: String,
    },
    /// The file name is empty, too long, or could leave the folder it is saved in.
    #[error("the manifest names an unusable file name: {name:?}")]
    Name {
        /// The name.
        name: String,
    },
    /// A list or a text is longer than this format allows.
    #[error("the manifest has too much in \"{member}\"")]
    TooMany {
        /// The member's name.
        member: &'static str,
    },
    /// A digest is not 64 hexadecimal digits.
    #[error("the manifest has no proper digest in \"{member}\"")]
    Digest {
        /// The member's name.
        member: &'static str,
    },
    /// Signed, but not a manifest's JSON.
    #[error("the manifest's content cannot be read")]
    Json(#[source] serde_json::Error),
}

impl VerifiedManifest {
    /// The longest manifest: 64 KiB. An ordinary one has 1 KiB; the rest is room for edges.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Parses the bytes of a `NAME.peerlift` and checks signature and content.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(ManifestError::TooLong);
        }
        let signed = jws::open(bytes)?;
        let manifest = Manifest::from_json(&signed.payload)?;
        Ok(Self {
            manifest,
            publisher: signed.signer,
        })
    }
}

impl Manifest {
    /// The object's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Signs the manifest: the bytes of a `NAME.peerlift`.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when nobody could read it: it breaks a rule of the format.
    pub fn sign(&self, key: &PublisherKey) -> Result<Vec<u8>, ManifestError> {
        self.sign_with_note(key, None)
    }

    pub(crate) fn sign_with_note(
        &self,
        key: &PublisherKey,
        note: Option<serde_json::Value>,
    ) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let bytes = jws::seal(&self.to_json(), key, note);
        if bytes.len() > VerifiedManifest::BYTES_MAX {
            return Err(ManifestError::TooLong);
        }
        Ok(bytes)
    }

    /// The manifest's own JSON: what is signed, and what `--json` shows.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers always serialise"
    )]
    pub fn to_json(&self) -> Vec<u8> {
        let payload = Payload {
            version: VERSION,
            name: self.name.clone(),
            size: self.size().into(),
            root: self.root.to_string(),
            sha256: self.sha256.map(|digest| HEXLOWER.encode(&digest)),
            media_type: self.media_type.clone(),
            publisher_name: self.publisher_name.clone(),
            edges: self.edges.clone(),
            control: self.control.clone(),
            relays: self.relays.clone(),
            policy: self.policy.clone(),
            revision: self.revision,
            published: self.published,
        };
        serde_json::to_vec(&payload).expect("strings and numbers always serialise")
    }

    fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Version { version } = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if version != VERSION {
            return Err(ManifestError::UnknownVersion { version });
        }
        let payload: Payload = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        let layout = payload.size.as_u64().and_then(Layout::new);
        let size_error = || ManifestError::Size {
            size: payload.size.to_string(),
        };
        let manifest = Self {
            layout: layout.ok_or_else(size_error)?,
            name: payload.name,
            root: ObjectId::new(digest(&payload.root, "root")?),
            sha256: payload
                .sha256
                .map(|text| digest(&text, "sha256"))
                .transpose()?,
            media_type: payload.media_type,
            publisher_name: payload.publisher_name,
            edges: payload.edges,
            control: payload.control,
            relays: payload.relays,
            policy: payload.policy,
            revision: payload.revision,
            published: payload.published,
        };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !is_file_name(&self.name) {
            return Err(ManifestError::Name {
                name: self.name.clone(),
            });
        }
        let too_many = |member| Err(ManifestError::TooMany { member });
        let relay_urls = self.relays.iter().map(|relay| &relay.url);
        if self.media_type.len() > TEXT_MAX || !is_one_line(&self.media_type) {
            return too_many("media_type");
        }
        if self.publisher_name.len() > TEXT_MAX || !is_one_line(&self.publisher_name) {
            return too_many("publisher_name");
        }
        if self
            .policy
            .goal
            .as_ref()
            .is_some_and(|goal| goal.len() > TEXT_MAX)
        {
            return too_many("policy.goal");
        }
        if !are_urls(self.edges.iter(), EDGES_MAX) {
            return too_many("edges");
        }
        if !are_urls(self.control.iter(), CONTROL_MAX) {
            return too_many("control");
        }
        if !are_urls(relay_urls, RELAYS_MAX) {
            return too_many("relays");
        }
        Ok(())
    }
}

/// The format version this code writes and understands.
const VERSION: u64 = 1;

/// Mirrors a client can make use of.
const EDGES_MAX: usize = 64;

/// Control nodes a client tries before it gives up.
const CONTROL_MAX: usize = 16;

/// Relays a client measures its distance to.
const RELAYS_MAX: usize = 16;

/// Bytes of a URL: what browsers and servers commonly take.
const URL_MAX: usize = 2048;

/// Bytes of a text shown to people.
const TEXT_MAX: usize = 255;

/// The JSON of format version 1. Unknown members are left alone.
#[derive(Serialize, Deserialize)]
struct Payload {
    version: u64,
    name: String,
    size: serde_json::Number,
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default = "octets")]
    media_type: String,
    #[serde(default)]
    publisher_name: String,
    #[serde(default)]
    edges: Vec<String>,
    #[serde(default)]
    control: Vec<String>,
    #[serde(default)]
    relays: Vec<RelayEntry>,
    #[serde(default)]
    policy: Policy,
    revision: u64,
    published: u64,
}

/// The one member that every version must have.
#[derive(Deserialize)]
struct Version {
    version: u64,
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn octets() -> String {
    mime_guess::mime::APPLICATION_OCTET_STREAM.to_string()
}

fn digest(text: &str, member: &'static str) -> Result<[u8; 32], ManifestError> {
    let id: Result<ObjectId, _> = text.parse();
    id.map(|id| *id.as_bytes())
        .map_err(|_| ManifestError::Digest { member })
}

/// Whether a name stays in the folder it is put in, on every system.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= TEXT_MAX
        && !name.contains(['/', '\\'])
        && is_one_line(name)
}

fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

fn are_urls<'a>(urls: impl ExactSizeIterator<Item = &'a String>, max: usize) -> bool {
    urls.len() <= max && { urls }.all(|url| url.len() <= URL_MAX && is_one_line(url))
}

/// The media type that a file's name suggests (RFC 6838), `application/octet-stream` when none.
#[must_use]
pub fn media_type_of(path: &Path) -> String {
    mime_guess::from_path(path)
        .first_or_octet_stream()
        .to_string()
}

/// Parses any bytes as a manifest: the entry of the fuzz target, and of the test that replays its
/// corpus.
///
/// # Panics
///
/// When something parsed cannot be written and parsed again.
pub fn fuzz_manifest(data: &[u8]) {
    let _ = VerifiedManifest::parse(data);
    if let Ok(manifest) = Manifest::from_json(data) {
        let again = Manifest::from_json(&manifest.to_json());
        assert_eq!(again.expect("what was written can be read"), manifest);
    }
}
