//! Which publishers may be asked about: those that a download met, and those that have an answer.

use std::path::Path;

use serde::Serialize;

use crate::consent::{Agreed, Answer, Subject};
use crate::question::Question;

/// Publishers without an answer that are remembered; the one met first is forgotten first. Each takes
/// a download to be met, and comes back with the next one.
const MET_MAX: usize = 32;

/// Publishers that downloads met since the service started.
#[derive(Debug, Default)]
pub(super) struct Met(Vec<Subject>);

impl Met {
    /// Notes that a download met this publisher.
    pub(super) fn note(&mut self, subject: Subject) {
        self.0.retain(|known| known.publisher != subject.publisher);
        if self.0.len() == MET_MAX {
            self.0.remove(0);
        }
        self.0.push(subject);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Subject> {
        self.0.clone()
    }
}

/// What would be asked about one publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asking {
    publisher: String,
    publisher_name: String,
    origin: String,
    /// The answer that stands; `None`: nobody has answered.
    answer: Option<Agreed>,
    texts: Texts,
}

/// The words for each yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Texts {
    while_downloading: String,
    in_background: String,
}

/// What would be asked: first about those without an answer.
pub(super) fn questions(met: &[Subject], standing: &[Answer], record: &Path) -> Vec<Asking> {
    let is_about = |answer: &&Answer, subject: &Subject| {
        answer.publisher.parse().as_ref() == Ok(&subject.publisher)
    };
    let fresh = met
        .iter()
        .filter(|subject| !standing.iter().any(|answer| is_about(&answer, subject)))
        .map(|subject| asking(subject, None, record));
    let answered = standing.iter().filter_map(|answer| {
        let subject = Subject {
            // A record by a stranger's hand: `share` shows it, nothing can be asked about it.
            publisher: answer.publisher.parse().ok()?,
            publisher_name: answer.publisher_name.clone(),
            origin: answer.origin.clone(),
        };
        Some(asking(&subject, Some(answer.share), record))
    });
    fresh.chain(answered).collect()
}

fn asking(subject: &Subject, answer: Option<Agreed>, record: &Path) -> Asking {
    let text = |yes| {
        Question {
            subject,
            yes,
            record,
        }
        .to_string()
    };
    Asking {
        publisher: subject.publisher.to_string(),
        publisher_name: subject.publisher_name.clone(),
        origin: subject.origin.clone(),
        answer,
        texts: Texts {
            while_downloading: text(Agreed::WhileDownloading),
            in_background: text(Agreed::InBackground),
        },
    }
}

#[cfg(test)]
mod tests {
    use peerlift_model::PublisherId;

    use super::*;
    use crate::consent::Consents;

    fn subject(byte: u8) -> Subject {
        Subject {
            publisher: PublisherId::new([byte; 32]),
            publisher_name: format!("Publisher {byte}"),
            origin: "https://example.org".to_owned(),
        }
    }

    #[test]
    fn who_has_no_answer_comes_first_and_nobody_twice() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("consent.json"));
        consents
            .keep(&subject(1), "a test", "?", Agreed::InBackground)
            .unwrap();
        let mut met = Met::default();
        for byte in [1, 2, 2] {
            met.note(subject(byte));
        }
        let asked = questions(&met.all(), &consents.standing().unwrap(), consents.path());
        let answers: Vec<(String, Option<Agreed>)> = asked
            .into_iter()
            .map(|asking| (asking.publisher_name, asking.answer))
            .collect();
        let expected = [
            ("Publisher 2".to_owned(), None),
            ("Publisher 1".to_owned(), Some(Agreed::InBackground)),
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn strangers_without_end_take_no_room() {
        let mut met = Met::default();
        for byte in 0..=u8::MAX {
            met.note(subject(byte));
        }
        assert_eq!(met.all().len(), MET_MAX);
        assert_eq!(met.all().last(), Some(&subject(u8::MAX)));
    }
}
