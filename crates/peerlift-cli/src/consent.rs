//! The question whether to share. The record of its answer is `peerlift-daemon`'s.
//!
//! It is asked in plain words, in a terminal, once for each publisher; nothing but a yes is a yes.

use std::io::{self, BufRead, Write};

use peerlift_daemon::consent::{Agreed, Answer, ConsentError, Consents, Subject};
use peerlift_daemon::question::Question;

use crate::failure::{Exit, Failure};

/// Which program asks.
pub(crate) const ASKED_BY: &str = concat!("peerlift ", env!("CARGO_PKG_VERSION"));

/// A question that was answered.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What was agreed to.
    pub(crate) agreed: Agreed,
    /// What was kept; `None`: the input ended, which is no answer.
    pub(crate) answer: Option<Answer>,
}

/// Asks, and keeps the answer. An end of input is no answer: it shares nothing and is not kept.
pub(crate) fn ask(
    consents: &Consents,
    subject: &Subject,
    yes: Agreed,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Asked, Failure> {
    let text = Question {
        subject,
        yes,
        record: consents.path(),
    }
    .to_string();
    let cannot_ask = |error: io::Error| Failure::caused(Exit::Other, "cannot ask", &error);
    let Some(agreed) = ask_until_clear(&text, yes, input, output).map_err(cannot_ask)? else {
        return Ok(Asked {
            agreed: Agreed::Off,
            answer: None,
        });
    };
    let answer = consents
        .keep(subject, ASKED_BY, &text, agreed)
        .map_err(unusable)?;
    Ok(Asked {
        agreed,
        answer: Some(answer),
    })
}

/// The text that would be shown.
pub(crate) fn text(consents: &Consents, subject: &Subject, yes: Agreed) -> String {
    Question {
        subject,
        yes,
        record: consents.path(),
    }
    .to_string()
}

/// The record cannot be used.
pub(crate) fn unusable(error: ConsentError) -> Failure {
    Failure::caused(Exit::Storage, error.path.display(), &error.source)
        .hint("repair or delete the file, or decide with --share")
}

/// The answer; `None` when the input ends without one.
fn ask_until_clear(
    text: &str,
    yes: Agreed,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<Option<Agreed>> {
    let question = match yes {
        Agreed::Off | Agreed::WhileDownloading => "Share while downloading?",
        Agreed::InBackground => "Share in the background?",
    };
    writeln!(output, "{text}")?;
    loop {
        write!(output, "{question} [y/N] ")?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(output)?;
            return Ok(None);
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(yes)),
            "" | "n" | "no" => return Ok(Some(Agreed::Off)),
            _ => writeln!(output, "Please answer y or n.")?,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerlift_model::PublisherId;

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
        let yes = Agreed::WhileDownloading;
        let asked = super::ask(consents, subject, yes, &mut typed.as_bytes(), &mut shown).unwrap();
        (asked.agreed, String::from_utf8(shown).unwrap())
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
        assert_eq!(consents.recall(subject(1).publisher).unwrap(), None);

        let (_, shown) = ask(&consents, &subject(1), "y\n");
        ask(&consents, &subject(2), "n\n");
        assert_eq!(
            consents.recall(subject(1).publisher).unwrap(),
            Some(Agreed::WhileDownloading)
        );
        assert_eq!(
            consents.recall(subject(2).publisher).unwrap(),
            Some(Agreed::Off)
        );
        assert_eq!(consents.recall(subject(3).publisher).unwrap(), None);

        let answers = consents.answers().unwrap();
        assert!(shown.starts_with(&answers[0].text), "{shown}");
        assert!(answers[0].at.ends_with('Z'));
        ask(&consents, &subject(1), "n\n");
        assert_eq!(
            consents.recall(subject(1).publisher).unwrap(),
            Some(Agreed::Off)
        );
    }

    #[test]
    fn no_answer_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("consent.json"));
        ask(&consents, &subject(1), "");
        assert_eq!(consents.recall(subject(1).publisher).unwrap(), None);
    }

    #[test]
    fn a_publisher_cannot_paint_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Consents::at(folder.path().join("consent.json"));
        assert!(!ask(&consents, &subject(1), "n\n").1.contains('\u{1b}'));
    }
}
