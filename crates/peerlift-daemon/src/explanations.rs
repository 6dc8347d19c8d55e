//! Where the last downloads came from, part by part: what `peerlift explain` tells.
//!
//! Every run of a download adds to the explanation of its file, so that one that was interrupted is
//! told whole.

use std::path::{Path, PathBuf};

use peerlift_client::{Part, Provenance, SourceKind, Started};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::home::Home;
use crate::state::{Keep, StateError, StateFile};
use crate::time::UnixTime;

/// Downloads that are remembered; some 16 KiB each at most. The oldest is forgotten first.
const EXPLANATIONS_MAX: usize = 16;

/// Parts that are told of one download: all of these are more than anybody reads. A run adds one for
/// each source and reason.
const PARTS_MAX: usize = 128;

/// Where one download came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// When its last run ended.
    pub at: UnixTime,
    /// What was asked for, without what follows the path.
    pub url: String,
    /// The file's name.
    pub name: String,
    /// Where it is, or will be; `None`: it was a stream.
    pub path: Option<PathBuf>,
    /// The object; `None`: nobody signed it.
    pub object: Option<String>,
    /// Its size, where it is known.
    pub size: Option<u64>,
    /// The parts.
    #[serde(flatten)]
    pub provenance: Provenance,
}

impl Explanation {
    /// Begins the explanation of a run.
    #[must_use]
    pub fn begin(url: &Url, started: &Started) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            at: UnixTime::default(),
            url: shown_url(url),
            name: started.name.clone(),
            path: started.path.as_ref().map(absolute),
            object: started.object.map(|object| object.to_string()),
            size: started.size,
            provenance: Provenance::default(),
        }
    }

    /// Ends it with what the run brought.
    pub fn end(&mut self, provenance: Provenance, now: UnixTime) {
        (self.at, self.provenance) = (now, provenance);
    }

    /// Bytes that are accounted for.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.provenance.parts.iter().map(|part| part.bytes).sum()
    }

    /// Whether a name means it: its path, or its file's name.
    #[must_use]
    pub fn is_called(&self, name: &Path) -> bool {
        self.path.as_deref() == Some(name) || Path::new(&self.name) == name
    }

    fn is_of_the_same(&self, other: &Self) -> bool {
        self.path.is_some()
            && (&self.path, &self.url, &self.object) == (&other.path, &other.url, &other.object)
    }

    /// Puts what earlier runs told in the place of "an earlier run had left it".
    fn take_over(&mut self, earlier: Self) {
        let is_left = |part: &Part| part.kind == SourceKind::EarlierRun;
        let parts = &mut self.provenance.parts;
        let Some(left) = parts.iter().position(is_left) else {
            // It began anew.
            return;
        };
        // What was corrupt is fetched again: then the parts do not fit any more.
        if earlier.bytes() != parts[left].bytes {
            return;
        }
        parts.remove(left);
        for part in earlier.provenance.parts {
            let same = |known: &&mut Part| {
                (known.kind, &known.source, known.why) == (part.kind, &part.source, part.why)
            };
            match parts.iter_mut().find(same) {
                Some(known) => {
                    known.bytes += part.bytes;
                    known.more_ranges += part.more_ranges;
                    known.ranges.extend(part.ranges);
                    known.ranges.sort_unstable();
                }
                None => parts.push(part),
            }
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        parts.truncate(PARTS_MAX);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    explanations: Vec<Explanation>,
}

/// The record on disk.
#[derive(Debug)]
pub struct Explanations {
    file: StateFile<Record>,
}

impl Explanations {
    /// The record of a home.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            file: StateFile::at(home.explanations()),
        }
    }

    /// All of them, the latest last.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the record cannot be read.
    pub fn all(&self) -> Result<Vec<Explanation>, StateError> {
        Ok(self.file.peek()?.explanations)
    }

    /// Keeps the explanation of a run that has ended.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when it cannot be kept.
    pub fn keep(&self, mut explanation: Explanation) -> Result<(), StateError> {
        if explanation.bytes() == 0 {
            return Ok(());
        }
        self.file.update(|loaded| {
            let all = &mut loaded.record.explanations;
            let known = all
                .iter()
                .position(|known| known.is_of_the_same(&explanation));
            if let Some(known) = known {
                explanation.take_over(all.remove(known));
            }
            if all.len() == EXPLANATIONS_MAX {
                all.remove(0);
            }
            all.push(explanation);
            ((), Keep::Yes)
        })
    }
}

/// A URL without what follows the path, which may be a secret.
pub(crate) fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // No URL of the web refuses it.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.to_string()
}

#[cfg(test)]
mod tests {
    use peerlift_client::Why;

    use super::*;

    fn part(kind: SourceKind, why: Why, range: (u64, u64)) -> Part {
        Part {
            kind,
            source: String::new(),
            why,
            bytes: range.1 - range.0,
            ranges: vec![range],
            more_ranges: 0,
        }
    }

    fn explanation(name: &str, parts: Vec<Part>) -> Explanation {
        Explanation {
            at: UnixTime::from_secs(1),
            url: "http://a/b".to_owned(),
            name: name.to_owned(),
            path: Some(PathBuf::from("/d").join(name)),
            object: None,
            size: Some(100),
            provenance: Provenance { parts },
        }
    }

    #[test]
    fn runs_of_one_download_are_told_together() {
        let folder = tempfile::tempdir().unwrap();
        let explanations = Explanations::of(&Home::below(folder.path()));
        let edge = |range| part(SourceKind::Edge, Why::Injected, range);
        let peer = |range| part(SourceKind::Peer, Why::Peer, range);
        let left = |range| part(SourceKind::EarlierRun, Why::EarlierRun, range);
        explanations
            .keep(explanation("a", vec![edge((0, 10)), peer((10, 40))]))
            .unwrap();
        explanations
            .keep(explanation("a", vec![left((0, 40)), edge((40, 100))]))
            .unwrap();
        let all = explanations.all().unwrap();
        assert_eq!(all.len(), 1);
        let told = &all[0];
        assert_eq!(told.bytes(), 100);
        assert_eq!(told.provenance.parts.len(), 2, "{told:?}");
        assert_eq!(told.provenance.parts[0].ranges, [(0, 10), (40, 100)]);
        assert!(told.is_called(Path::new("a")) && told.is_called(Path::new("/d/a")));

        // What is downloaded anew is told anew.
        explanations
            .keep(explanation("a", vec![peer((0, 100))]))
            .unwrap();
        assert_eq!(explanations.all().unwrap()[0].provenance.parts.len(), 1);
    }

    #[test]
    fn the_oldest_is_forgotten_and_nothing_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let explanations = Explanations::of(&Home::below(folder.path()));
        explanations.keep(explanation("empty", vec![])).unwrap();
        assert_eq!(explanations.all().unwrap(), []);
        for number in 0..=EXPLANATIONS_MAX {
            let parts = vec![part(SourceKind::Edge, Why::Alone, (0, 100))];
            explanations
                .keep(explanation(&number.to_string(), parts))
                .unwrap();
        }
        let all = explanations.all().unwrap();
        assert_eq!((all.len(), all[0].name.as_str()), (EXPLANATIONS_MAX, "1"));
    }
}
