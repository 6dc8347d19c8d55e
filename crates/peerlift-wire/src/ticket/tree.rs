//! The hash tree over tickets that are signed together.
//!
//! BLAKE3 over a byte that tells leaves from inner nodes, so that neither can be taken for the other
//! (RFC 6962 §2.1 does the same with SHA-256), and what is below. The two hashes below an inner node
//! are sorted, so that a path says nothing of left and right. A node without a neighbour goes up as
//! it is.

/// Bytes of a hash.
pub(super) const HASH_BYTES: usize = 32;

/// The longest path. 2⁷ tickets are three times what an answer names, and seven hashes fit into
/// [`super::TICKET_BYTES_MAX`].
pub(super) const PATH_MAX: usize = 7;

/// One node of the tree.
pub(super) type Hash = [u8; HASH_BYTES];

const LEAF: u8 = 0;
const INNER: u8 = 1;

/// The hash of one ticket.
pub(super) fn leaf(body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[LEAF]).update(body);
    *hasher.finalize().as_bytes()
}

/// The root above a leaf.
pub(super) fn climb(leaf: Hash, path: &[Hash]) -> Hash {
    path.iter().fold(leaf, |below, beside| join(&below, beside))
}

fn join(a: &Hash, b: &Hash) -> Hash {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut bytes = [INNER; 1 + 2 * HASH_BYTES];
    bytes[1..=HASH_BYTES].copy_from_slice(low);
    bytes[1 + HASH_BYTES..].copy_from_slice(high);
    *blake3::hash(&bytes).as_bytes()
}

/// All levels, the leaves first, the root last.
pub(super) struct Tree(Vec<Vec<Hash>>);

impl Tree {
    pub(super) fn new(leaves: impl Iterator<Item = Hash>) -> Self {
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, alone) = level.as_chunks::<2>();
            let mut above: Vec<Hash> = pairs.iter().map(|[a, b]| join(a, b)).collect();
            above.extend(alone);
            levels.push(above);
        }
        Self(levels)
    }

    /// `None` above no leaves.
    pub(super) fn root(&self) -> Option<Hash> {
        self.0.last()?.first().copied()
    }

    /// What lies beside the way from a leaf to the root.
    pub(super) fn path(&self, leaf: usize) -> impl Iterator<Item = &Hash> {
        let levels = self.0.iter().enumerate();
        levels.filter_map(move |(height, level)| level.get((leaf >> height) ^ 1))
    }
}
