//! A set of bytes of a file, kept as ranges.

use std::collections::BTreeMap;

use peerlift_model::ByteRange;

/// Sorted, disjoint, non-touching ranges: start to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteSet(BTreeMap<u64, u64>);

impl ByteSet {
    pub(crate) fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start(), range.end());
        // From the back: what begins within the range or touches its end, down to what reaches
        // its start.
        while let Some((&from, &to)) = self
            .0
            .range(..=end)
            .next_back()
            .filter(|run| *run.1 >= start)
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    pub(crate) fn contains_all(&self, range: ByteRange) -> bool {
        let before = self.0.range(..=range.start()).next_back();
        range.is_empty() || before.is_some_and(|(_, end)| *end >= range.end())
    }

    pub(crate) fn ranges(&self) -> Vec<ByteRange> {
        self.0
            .iter()
            .map(|(start, end)| ByteRange::new(*start, *end))
            .collect()
    }

    pub(crate) fn runs(&self) -> Vec<(u64, u64)> {
        self.0.iter().map(|(start, end)| (*start, *end)).collect()
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<ByteRange> for ByteSet {
    fn extend<I: IntoIterator<Item = ByteRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_set_of_single_bytes(
            ranges in proptest::collection::vec((0u64..60, 0u64..12), 0..24),
            asked in (0u64..70, 0u64..20),
        ) {
            let (mut set, mut model) = (ByteSet::default(), BTreeSet::new());
            for (start, len) in ranges {
                set.insert(ByteRange::new(start, start + len));
                model.extend(start..start + len);
            }
            let expanded: Vec<u64> = set.runs().iter().flat_map(|run| run.0..run.1).collect();
            prop_assert_eq!(&expanded, &model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert!(set.runs().windows(2).all(|pair| pair[0].1 < pair[1].0));
            let asked = ByteRange::new(asked.0, asked.0 + asked.1);
            let all = (asked.start()..asked.end()).all(|byte| model.contains(&byte));
            prop_assert_eq!(set.contains_all(asked), all);
        }
    }
}
