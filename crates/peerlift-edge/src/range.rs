//! The `Range` header (RFC 9110 §14.1.2).

use peerlift_model::ByteRange;

/// The most ranges answered in one response; more are answered with the whole file, as RFC 9110
/// §14.2 allows: many small ranges are the mark of an attack, not of a download.
const RANGES_MAX: usize = 64;

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: there is no range, or none that counts.
    Whole,
    /// These parts, in the order asked for; none is empty.
    Parts(Vec<ByteRange>),
    /// Parts that the file does not have.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `size` bytes. Anything malformed counts as no header at all
/// (RFC 9110 §14.2).
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((unit, specs)) = header.and_then(|header| header.trim().split_once('=')) else {
        return Wanted::Whole;
    };
    // RFC 9110 §14.1: the names of units are case-insensitive.
    if !unit.eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in specs
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        count += 1;
        match parse(spec, size) {
            Some(part) if !part.is_empty() => parts.push(part),
            Some(_) => {}
            None => return Wanted::Whole,
        }
    }
    match (count, parts.len()) {
        (0, _) | (RANGES_TOO_MANY.., _) => Wanted::Whole,
        (_, 0) => Wanted::Unsatisfiable,
        (_, 1) => Wanted::Parts(parts),
        (_, _) => Wanted::Parts(coalesce(parts)),
    }
}

const RANGES_TOO_MANY: usize = RANGES_MAX + 1;

/// One range; empty when it lies beyond the end, `None` when it is malformed.
fn parse(spec: &str, size: u64) -> Option<ByteRange> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(ByteRange::new(size - suffix.min(size), size));
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?.saturating_add(1)
    };
    if end <= first {
        return None;
    }
    Some(ByteRange::new(first.min(size), end.min(size)))
}

/// A number too large for 64 bits lies beyond the end of any file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX - 1))
}

/// Joins parts that overlap or touch, keeping the order of what remains (RFC 9110 §15.3.7.2): an
/// answer never has more bytes than the file, and the framing of its parts.
fn coalesce(parts: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut joined: Vec<ByteRange> = Vec::with_capacity(parts.len());
    for mut part in parts {
        while let Some(at) = joined
            .iter()
            .position(|other| other.start() <= part.end() && part.start() <= other.end())
        {
            let other = joined.remove(at);
            part = ByteRange::new(part.start().min(other.start()), part.end().max(other.end()));
        }
        joined.push(part);
    }
    joined
}

/// Reads arbitrary bytes as a `Range` header for files of several sizes.
///
/// # Panics
///
/// When a part lies outside the file, or parts overlap.
pub fn fuzz_range(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else {
        return;
    };
    for size in [0, 1, 1000, u64::MAX / 2] {
        if let Wanted::Parts(parts) = wanted(Some(header), size) {
            let total: u64 = parts.iter().map(|part| part.len()).sum();
            assert!(total <= size, "more than the file");
            assert!(
                parts
                    .iter()
                    .all(|part| !part.is_empty() && part.end() <= size)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(header: &str, size: u64) -> Option<Vec<(u64, u64)>> {
        match wanted(Some(header), size) {
            Wanted::Parts(parts) => Some(parts.iter().map(|p| (p.start(), p.end())).collect()),
            Wanted::Unsatisfiable => Some(Vec::new()),
            Wanted::Whole => None,
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(parts("bytes=0-499", 10_000), Some(vec![(0, 500)]));
        assert_eq!(parts("bytes=500-999", 10_000), Some(vec![(500, 1000)]));
        assert_eq!(parts("bytes=-500", 10_000), Some(vec![(9500, 10_000)]));
        assert_eq!(parts("Bytes=9500-", 10_000), Some(vec![(9500, 10_000)]));
        assert_eq!(parts("bytes=9500-", 10_000), Some(vec![(9500, 10_000)]));
        assert_eq!(
            parts("bytes=0-0,-1", 10_000),
            Some(vec![(0, 1), (9999, 10_000)])
        );
        assert_eq!(
            parts("bytes=500-600,601-999", 10_000),
            Some(vec![(500, 1000)])
        );
    }

    #[test]
    fn ends_are_cut_and_the_impossible_is_unsatisfiable() {
        assert_eq!(parts("bytes=0-99999", 100), Some(vec![(0, 100)]));
        assert_eq!(parts("bytes=-99999", 100), Some(vec![(0, 100)]));
        assert_eq!(parts("bytes=100-", 100), Some(vec![]));
        assert_eq!(parts("bytes=-0", 100), Some(vec![]));
        assert_eq!(parts("bytes=0-", 0), Some(vec![]));
        assert_eq!(parts("bytes=99999999999999999999999-", 100), Some(vec![]));
        assert_eq!(parts("bytes=5-6,200-", 100), Some(vec![(5, 7)]));
    }

    #[test]
    fn the_malformed_counts_as_absent() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=--1",
            "bytes=0-1,x",
            "bytes=+1-2",
            "bytes=0x1-2",
        ] {
            assert_eq!(parts(header, 100), None, "{header}");
        }
        assert_eq!(parts(&format!("bytes={}", "0-0,".repeat(65)), 100), None);
        assert!(parts(&format!("bytes={}", "0-0,".repeat(64)), 100).is_some());
    }

    proptest! {
        #[test]
        fn equals_a_set_of_bytes(specs in proptest::collection::vec((0u64..60, 0u64..60), 1..8)) {
            let size = 50;
            let header: Vec<String> =
                specs.iter().map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect();
            let mut model = [false; 50];
            for (a, b) in &specs {
                for at in *a.min(b)..=*a.max(b) {
                    if let Some(byte) = usize::try_from(at).ok().and_then(|at| model.get_mut(at)) {
                        *byte = true;
                    }
                }
            }
            let mut answered = [false; 50];
            for (start, end) in parts(&format!("bytes={}", header.join(",")), size).unwrap() {
                for at in start..end {
                    let byte = &mut answered[usize::try_from(at).unwrap()];
                    prop_assert!(!*byte, "no byte twice");
                    *byte = true;
                }
            }
            prop_assert_eq!(answered, model);
        }

        #[test]
        fn no_header_panics(header in "(bytes=)?[0-9,\\-a ]{0,40}") {
            fuzz_range(header.as_bytes());
        }
    }
}
