//! Block lists: whose word they are, and what they may hold.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use peerlift_access::{AccessKey, BLOCK_LIST_BYTES_MAX, BLOCKED_MAX, BlockList, Blocked, JwsError};
use peerlift_model::{ObjectId, PublisherId};

fn node() -> AccessKey {
    AccessKey::from_seed(&[9; 32])
}

fn list() -> BlockList {
    BlockList {
        blocked: Blocked {
            objects: [ObjectId::new([1; 32])].into(),
            publishers: [PublisherId::new([2; 32])].into(),
        },
        serial: 5,
        issued: 1_800_000_000,
    }
}

#[test]
fn a_list_says_what_was_signed() {
    let text = list().sign(&node());
    assert_eq!(BlockList::verify(&text, &node().public()), Ok(list()));
    let blocked = list().blocked;
    let (object, publisher) = (ObjectId::new([1; 32]), PublisherId::new([2; 32]));
    let (other, nobody) = (ObjectId::new([3; 32]), PublisherId::new([3; 32]));
    assert!(blocked.covers(object, nobody) && blocked.covers(other, publisher));
    assert!(!blocked.covers(other, nobody));
}

#[test]
fn nobody_else_can_block() {
    let text = list().sign(&AccessKey::from_seed(&[10; 32]));
    assert_eq!(
        BlockList::verify(&text, &node().public()),
        Err(JwsError::Signature)
    );
    let good = list().sign(&node());
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            BlockList::verify(&changed, &node().public()).is_err(),
            "{at}"
        );
    }
}

#[test]
fn the_longest_list_fits_and_a_longer_one_does_not() {
    let of = |count: usize| BlockList {
        blocked: Blocked {
            objects: (0..count)
                .map(|number| {
                    let mut id = [0; 32];
                    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
                    ObjectId::new(id)
                })
                .collect(),
            publishers: Default::default(),
        },
        ..list()
    };
    let longest = of(BLOCKED_MAX).sign(&node());
    assert!(longest.len() <= BLOCK_LIST_BYTES_MAX);
    assert!(BlockList::verify(&longest, &node().public()).is_ok());
    let longer = of(BLOCKED_MAX + 1).sign(&node());
    assert_eq!(
        BlockList::verify(&longer, &node().public()),
        Err(JwsError::Malformed)
    );
}
