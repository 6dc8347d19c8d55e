//! Block lists: objects and publishers that an operator has blocked, signed by a control node.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use peerlift_model::{ObjectId, PublisherId};
use serde::{Deserialize, Serialize};

use crate::jws::{Envelope, Header, JwsError, seal};
use crate::keys::AccessKey;

/// The most objects and publishers on a list, together. An emergency, not a policy: beyond a
/// thousand, the files should be taken away.
pub const BLOCKED_MAX: usize = 1024;

/// The longest list: [`BLOCKED_MAX`] identities of 67 bytes in base64, and the rest.
pub const BLOCK_LIST_BYTES_MAX: usize = 96 * 1024;

/// The envelope's `typ`.
const TYPE: &str = "peerlift-blocks+jwt";

/// What is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Objects that are neither to be fetched nor served.
    pub objects: BTreeSet<ObjectId>,
    /// Publishers none of whose objects are.
    pub publishers: BTreeSet<PublisherId>,
}

impl Blocked {
    /// Whether an object of this publisher is blocked.
    #[must_use]
    pub fn covers(&self, object: ObjectId, publisher: PublisherId) -> bool {
        self.objects.contains(&object) || self.publishers.contains(&publisher)
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len() + self.publishers.len()
    }
}

/// A control node's signed word of what is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockList {
    /// What is blocked.
    pub blocked: Blocked,
    /// Grows with every change: who has seen one list takes none before it.
    pub serial: u64,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    iat: u64,
    serial: u64,
    objects: Vec<String>,
    publishers: Vec<String>,
}

impl BlockList {
    /// Signs the list with a control node's key.
    #[must_use]
    pub fn sign(&self, node: &AccessKey) -> String {
        let payload = Payload {
            iss: HEXLOWER.encode(&node.public()),
            iat: self.issued,
            serial: self.serial,
            objects: self
                .blocked
                .objects
                .iter()
                .map(ToString::to_string)
                .collect(),
            publishers: self
                .blocked
                .publishers
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        seal(&Header::new(TYPE), &payload, node)
    }

    /// Checks that `node` signed the list, and reads it. Whether it is younger than the one
    /// before is for the reader to ask: [`Self::serial`].
    ///
    /// # Errors
    ///
    /// [`JwsError`].
    pub fn verify(text: &str, node: &[u8; 32]) -> Result<Self, JwsError> {
        if text.len() > BLOCK_LIST_BYTES_MAX {
            return Err(JwsError::Malformed);
        }
        let envelope = Envelope::parse(text.trim_ascii_end(), TYPE, false)?;
        let payload: Payload = envelope.verify(node)?;
        if payload.iss != HEXLOWER.encode(node) {
            return Err(JwsError::Signature);
        }
        Self::read(&payload)
    }

    fn read(payload: &Payload) -> Result<Self, JwsError> {
        if payload.objects.len() + payload.publishers.len() > BLOCKED_MAX {
            return Err(JwsError::Malformed);
        }
        let objects = payload.objects.iter().map(|text| text.parse());
        let publishers = payload.publishers.iter().map(|text| text.parse());
        let malformed = |_| JwsError::Malformed;
        Ok(Self {
            blocked: Blocked {
                objects: objects.collect::<Result<_, _>>().map_err(malformed)?,
                publishers: publishers.collect::<Result<_, _>>().map_err(malformed)?,
            },
            serial: payload.serial,
            issued: payload.iat,
        })
    }
}

/// Feeds arbitrary bytes to the block list's parser, behind the signature too.
///
/// # Panics
///
/// When a list verifies that nobody signed, or one that was read does not read the same once
/// written.
pub fn fuzz_block_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let node = AccessKey::from_seed(&[99; 32]);
    assert!(BlockList::verify(text, &node.public()).is_err());
    let payload = Envelope::parse(text, TYPE, false).and_then(|envelope| envelope.unverified());
    if let Ok(list) = payload.and_then(|payload| BlockList::read(&payload)) {
        assert_eq!(
            BlockList::verify(&list.sign(&node), &node.public()),
            Ok(list)
        );
    }
}
