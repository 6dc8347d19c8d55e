//! Who was asked to share, in which words, and what was answered: the record, and its last word.
//!
//! Consent is given for a publisher and may be taken back at any time; the last answer counts.
//! Nothing is ever erased: a revocation is an answer, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::state::{lock_beside, replace};
use crate::time::UnixTime;

/// The longest record that is read back; some 1.5 KiB an answer.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The version of the record. Records without one are of the first.
const VERSION: u32 = 1;

/// The record on disk.
#[derive(Clone, Debug)]
pub struct Consents {
    path: PathBuf,
}

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The key that signs the files.
    pub publisher: PublisherId,
    /// What the publisher calls itself; may be empty.
    pub publisher_name: String,
    /// Where the file was found.
    pub origin: String,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which program asked.
    pub asked_by: String,
    /// For files of which publisher: its key.
    pub publisher: String,
    /// What the publisher calls itself.
    pub publisher_name: String,
    /// Where the file was found.
    pub origin: String,
    /// When it was answered (RFC 3339, UTC).
    pub at: String,
    /// Which account of this machine answered.
    pub answered_by: String,
    /// The text that was shown.
    pub text: String,
    /// What was agreed to.
    pub share: Agreed,
}

/// What a person agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreed {
    /// Nothing.
    Off,
    /// To share while downloading.
    WhileDownloading,
    /// And afterwards, while the background service runs.
    InBackground,
}

impl Agreed {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::WhileDownloading => "while-downloading",
            Self::InBackground => "in-background",
        }
    }
}

/// The record cannot be used.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub struct ConsentError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub source: io::Error,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    version: u32,
    answers: Vec<Answer>,
}

impl Consents {
    /// The record in this file.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anybody was ever asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.path.exists()
    }

    /// The last answer about a publisher.
    ///
    /// # Errors
    ///
    /// A [`ConsentError`] when the record cannot be read: then nothing was agreed to.
    pub fn recall(&self, publisher: PublisherId) -> Result<Option<Agreed>, ConsentError> {
        let answers = self.answers()?;
        let about = |answer: &&Answer| answer.publisher.parse() == Ok(publisher);
        Ok(answers.iter().rev().find(about).map(|answer| answer.share))
    }

    /// All answers, the earliest first.
    ///
    /// # Errors
    ///
    /// A [`ConsentError`] when the record cannot be read.
    pub fn answers(&self) -> Result<Vec<Answer>, ConsentError> {
        Ok(self.load().map_err(|error| self.unusable(error))?.answers)
    }

    /// The last answer about each publisher, in the order in which they were first asked about.
    ///
    /// # Errors
    ///
    /// A [`ConsentError`] when the record cannot be read.
    pub fn standing(&self) -> Result<Vec<Answer>, ConsentError> {
        let mut standing: Vec<Answer> = Vec::new();
        for answer in self.answers()? {
            let same = standing
                .iter_mut()
                .find(|known| known.publisher == answer.publisher);
            match same {
                Some(known) => *known = answer,
                None => standing.push(answer),
            }
        }
        Ok(standing)
    }

    /// Keeps an answer to a question that was shown as `text`.
    ///
    /// # Errors
    ///
    /// A [`ConsentError`] when it cannot be kept.
    pub fn keep(
        &self,
        subject: &Subject,
        asked_by: &str,
        text: &str,
        share: Agreed,
    ) -> Result<Answer, ConsentError> {
        let answer = Answer {
            asked_by: asked_by.to_owned(),
            publisher: subject.publisher.to_string(),
            publisher_name: subject.publisher_name.clone(),
            origin: subject.origin.clone(),
            at: UnixTime::now().to_string(),
            answered_by: account(),
            text: text.to_owned(),
            share,
        };
        self.add(answer.clone())
            .map_err(|error| self.unusable(error))?;
        Ok(answer)
    }

    fn add(&self, answer: Answer) -> io::Result<()> {
        let _lock = lock_beside(&self.path)?;
        let mut record = self.load()?;
        record.version = VERSION;
        record.answers.push(answer);
        replace(&self.path, &serde_json::to_vec_pretty(&record)?)
    }

    fn load(&self) -> io::Result<Record> {
        let size = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(error),
        };
        if size > FILE_BYTES_MAX {
            return Err(io::Error::other("it is too large"));
        }
        let record: Record = serde_json::from_slice(&fs::read(&self.path)?)?;
        if record.version > VERSION {
            return Err(io::Error::other("a newer peerlift wrote it"));
        }
        Ok(record)
    }

    fn unusable(&self, source: io::Error) -> ConsentError {
        ConsentError {
            path: self.path.clone(),
            source,
        }
    }
}

/// The account that runs this program, for people: by the machine's list of accounts (passwd(5)), else
/// by the session's word.
#[must_use]
pub fn account() -> String {
    let uid = rustix::process::getuid().as_raw();
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(uid, &list).map(str::to_owned);
    name.or_else(|| std::env::var("USER").ok()).map_or_else(
        || format!("uid {uid}"),
        |name| format!("{name} (uid {uid})"),
    )
}

fn name_of(uid: u32, list: &str) -> Option<&str> {
    let uid = uid.to_string();
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&*uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(byte: u8) -> Subject {
        Subject {
            publisher: PublisherId::new([byte; 32]),
            publisher_name: "Example OS".to_owned(),
            origin: "https://example.org".to_owned(),
        }
    }

    #[test]
    fn accounts_have_names() {
        let list = "root:x:0:0:root:/root:/bin/sh\nkim:x:1000:1000::/home/kim:\n";
        assert_eq!(name_of(0, list), Some("root"));
        assert_eq!(name_of(1000, list), Some("kim"));
        assert_eq!(name_of(1, list), None);
        assert!(account().contains("(uid ") || account().starts_with("uid "));
    }

    #[test]
    fn the_last_answer_counts_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("data/consent.json"));
        assert_eq!(consents.recall(subject(1).publisher).unwrap(), None);
        for (publisher, share) in [
            (1, Agreed::InBackground),
            (2, Agreed::WhileDownloading),
            (1, Agreed::Off),
        ] {
            consents
                .keep(&subject(publisher), "a test", "May we?", share)
                .unwrap();
        }
        assert_eq!(
            consents.recall(subject(1).publisher).unwrap(),
            Some(Agreed::Off)
        );
        let standing = consents.standing().unwrap();
        let words: Vec<&str> = standing.iter().map(|answer| answer.share.word()).collect();
        assert_eq!(words, ["off", "while-downloading"]);
        assert_eq!(consents.answers().unwrap().len(), 3);
        assert_eq!(consents.answers().unwrap()[0].text, "May we?");
    }

    #[test]
    fn a_damaged_or_later_record_agrees_to_nothing_and_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.json");
        for text in ["{", "{\"version\":2,\"answers\":[]}"] {
            fs::write(&path, text).unwrap();
            let consents = Consents::at(path.clone());
            assert!(consents.recall(subject(1).publisher).is_err());
            assert!(consents.keep(&subject(1), "a", "b", Agreed::Off).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn records_of_the_first_version_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.json");
        fs::write(&path, "{\"answers\":[]}").unwrap();
        assert_eq!(Consents::at(path).standing().unwrap(), []);
    }
}
