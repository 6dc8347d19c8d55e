//! Bytes of which no two places look alike, so that one put in the wrong place is noticed.

/// `len` bytes that depend on nothing but `len` and their place.
pub(crate) fn noise(len: u64) -> Vec<u8> {
    let len = usize::try_from(len).unwrap();
    let mut bytes = Vec::with_capacity(len + 8);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    while bytes.len() < len {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
