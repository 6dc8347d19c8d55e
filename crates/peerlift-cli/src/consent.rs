//! The question whether to share, and the record of its answer.
//!
//! It is asked in plain words, in a terminal, once for each publisher; nothing but a yes is a yes.
//! The record says who asked, for whom, when, in which words, and what was answered.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::{Exit, Failure, printable};

/// The longest record that is read back; some 1.5 KiB an answer.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The answers on disk.
#[derive(Debug)]
pub(crate) struct Consents {
    path: PathBuf,
}

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) publisher: PublisherId,
    /// What the publisher calls itself; may be empty.
    pub(crate) publisher_name: String,
    /// Where the file was found.
    pub(crate) origin: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    answers: Vec<Answer>,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    /// Which program asked.
    asked_by: String,
    /// For files of which publisher: its key.
    publisher: String,
    publisher_name: String,
    origin: String,
    /// When it was answered (RFC 3339, UTC).
    at: String,
    /// Which account of this machine answered.
    answered_by: String,
    /// The text that was shown.
    text: String,
    /// What was agreed to.
    share: Agreed,
}

/// What a person agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Agreed {
    /// Nothing.
    Off,
    /// To share while downloading.
    WhileDownloading,
}

impl Consents {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether anybody was ever asked.
    pub(crate) fn is_empty(&self) -> bool {
        !self.path.exists()
    }

    /// The last answer about a publisher.
    pub(crate) fn recall(&self, publisher: PublisherId) -> Result<Option<Agreed>, Failure> {
        let record = self.load().map_err(|error| self.unusable(&error))?;
        let about = |answer: &&Answer| answer.publisher.parse() == Ok(publisher);
        Ok(record
            .answers
            .iter()
            .rev()
            .find(about)
            .map(|answer| answer.share))
    }

    /// Asks, and keeps the answer. An end of input is no answer: it shares nothing and is not kept.
    pub(crate) fn ask(
        &self,
        subject: &Subject,
        input: &mut impl BufRead,
        output: &mut impl Write,
    ) -> Result<Agreed, Failure> {
        let text = Question {
            subject,
            record: &self.path,
        }
        .to_string();
        let cannot_ask = |error: io::Error| Failure::caused(Exit::Other, "cannot ask", &error);
        let Some(share) = ask_until_clear(&text, input, output).map_err(cannot_ask)? else {
            return Ok(Agreed::Off);
        };
        self.keep(subject, text, share)
            .map_err(|error| self.unusable(&error))?;
        Ok(share)
    }

    fn keep(&self, subject: &Subject, text: String, share: Agreed) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = fs::File::create(self.path.with_extension("lock"))?;
        lock.lock()?;
        let mut record = self.load()?;
        record.answers.push(Answer {
            asked_by: concat!("peerlift get ", env!("CARGO_PKG_VERSION")).to_owned(),
            publisher: subject.publisher.to_string(),
            publisher_name: subject.publisher_name.clone(),
            origin: subject.origin.clone(),
            at: utc_now(),
            answered_by: account(),
            text,
            share,
        });
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(&record)?)?;
        fs::rename(fresh, &self.path)
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
        Ok(serde_json::from_slice(&fs::read(&self.path)?)?)
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::caused(Exit::Storage, self.path.display(), error)
            .hint("repair or delete the file, or decide with --share")
    }
}

/// The words of the question.
struct Question<'a> {
    subject: &'a Subject,
    record: &'a Path,
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject {
            publisher,
            publisher_name,
            origin,
        } = self.subject;
        let name = match printable(publisher_name) {
            empty if empty.is_empty() => "The publisher".to_owned(),
            name => format!("{name:?}"),
        };
        write!(
            f,
            "{name} at {origin} (key {}) asks you to help other downloaders.\n\
             If you agree, this computer sends them parts of the files of this publisher that you\n\
             download: only while the download runs, and only verified parts. They will see your\n\
             IP address. --limit-up caps the speed. The download works just as well without.\n\
             Your answer is kept in {}.",
            publisher.short(),
            self.record.display(),
        )
    }
}

/// The answer; `None` when the input ends without one.
fn ask_until_clear(
    text: &str,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<Option<Agreed>> {
    writeln!(output, "{text}")?;
    loop {
        write!(output, "Share while downloading? [y/N] ")?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(output)?;
            return Ok(None);
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(Agreed::WhileDownloading)),
            "" | "n" | "no" => return Ok(Some(Agreed::Off)),
            _ => writeln!(output, "Please answer y or n.")?,
        }
    }
}

fn utc_now() -> String {
    OffsetDateTime::from(SystemTime::now())
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn account() -> String {
    let uid = rustix::process::getuid().as_raw();
    std::env::var("USER").map_or_else(
        |_| format!("uid {uid}"),
        |name| format!("{name} (uid {uid})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(byte: u8) -> Subject {
        Subject {
            publisher: PublisherId::new([byte; 32]),
            publisher_name: "Example OS\u{1b}[2J".to_owned(),
            origin: "https://example.org".to_owned(),
        }
    }

    fn ask(consents: &Consents, subject: &Subject, typed: &str) -> (Agreed, String) {
        let mut shown = Vec::new();
        let agreed = consents
            .ask(subject, &mut typed.as_bytes(), &mut shown)
            .unwrap();
        (agreed, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn nothing_but_a_yes_is_a_yes() {
        let folder = tempfile::tempdir().unwrap();
        for (number, (typed, want)) in [
            ("y\n", Agreed::WhileDownloading),
            ("YES\n", Agreed::WhileDownloading),
            ("maybe\ny\n", Agreed::WhileDownloading),
            ("\n", Agreed::Off),
            ("n\n", Agreed::Off),
            ("sure\n", Agreed::Off),
            ("", Agreed::Off),
        ]
        .into_iter()
        .enumerate()
        {
            let consents = Consents::at(folder.path().join(format!("{number}/consent.json")));
            assert_eq!(ask(&consents, &subject(1), typed).0, want, "{typed:?}");
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_publisher_with_the_words_shown() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("data/consent.json"));
        assert_eq!(consents.recall(subject(1).publisher), Ok(None));

        let (_, shown) = ask(&consents, &subject(1), "y\n");
        ask(&consents, &subject(2), "n\n");
        assert_eq!(
            consents.recall(subject(1).publisher),
            Ok(Some(Agreed::WhileDownloading))
        );
        assert_eq!(consents.recall(subject(2).publisher), Ok(Some(Agreed::Off)));
        assert_eq!(consents.recall(subject(3).publisher), Ok(None));

        let record = consents.load().unwrap();
        assert!(shown.starts_with(&record.answers[0].text), "{shown}");
        assert!(record.answers[0].at.ends_with('Z'));
        ask(&consents, &subject(1), "n\n");
        assert_eq!(consents.recall(subject(1).publisher), Ok(Some(Agreed::Off)));
    }

    #[test]
    fn no_answer_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("consent.json"));
        ask(&consents, &subject(1), "");
        assert_eq!(consents.recall(subject(1).publisher), Ok(None));
    }

    #[test]
    fn a_publisher_cannot_paint_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("consent.json"));
        assert!(!ask(&consents, &subject(1), "n\n").1.contains('\u{1b}'));
    }

    #[test]
    fn a_damaged_record_shares_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.json");
        fs::write(&path, "{").unwrap();
        let failure = Consents::at(path).recall(subject(1).publisher).unwrap_err();
        assert_eq!(failure.exit, Exit::Storage);
    }
}
