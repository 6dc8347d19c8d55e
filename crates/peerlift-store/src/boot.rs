//! Which start of which machine this is.

use std::fs;

/// The identity of the running system's start, 128 random bits; all zero where there is none.
///
/// What a process wrote before it died is in the page cache until the machine stops: under the
/// same identity it can be read back, under another one it may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BootId(pub(crate) [u8; 16]);

impl BootId {
    /// The system's (Linux: `random(4)`, `/proc/sys/kernel/random/boot_id`).
    pub(crate) fn current() -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::parse(&text).unwrap_or(Self([0; 16]))
    }

    /// Whether what was written under `self` is still in memory or on disk under `now`.
    pub(crate) fn vouches_under(self, now: Self) -> bool {
        self == now && self != Self([0; 16])
    }

    fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u32> = text
            .chars()
            .filter(|c| *c != '-')
            .map_while(|c| c.to_digit(16))
            .collect();
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or(0))
            .collect();
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_form_of_linux() {
        let id = BootId::parse("8f14e45f-ceea-467f-9b43-c1c0ae2b30ff\n").unwrap();
        assert_eq!((id.0[0], id.0[15]), (0x8f, 0xff));
        assert!(id.vouches_under(id));
    }

    #[test]
    fn an_unknown_start_vouches_for_nothing() {
        assert_eq!(BootId::parse(""), None);
        assert_eq!(BootId::parse("not hexadecimal"), None);
        let unknown = BootId([0; 16]);
        assert!(!unknown.vouches_under(unknown));
    }
}
