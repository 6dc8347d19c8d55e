//! The question whether to share, in words: the same in a terminal and in the control panel.

use std::fmt;
use std::path::Path;

use crate::consent::{Agreed, Subject};

/// A question and its words.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whom it is about.
    pub subject: &'a Subject,
    /// What a yes would mean.
    pub yes: Agreed,
    /// Where the answer is kept.
    pub record: &'a Path,
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
        let at = if origin.is_empty() {
            String::new()
        } else {
            format!(" at {}", printable(origin))
        };
        let when = match self.yes {
            Agreed::Off | Agreed::WhileDownloading => {
                "download: only while the download runs, and only verified parts. They will see your\n\
                 IP address. --limit-up caps the speed. The download works just as well without."
            }
            Agreed::InBackground => {
                "download: while the background service runs, and only verified parts. They will see\n\
                 your IP address. The limits of `peerlift share` hold; `peerlift pause` stops it at\n\
                 once, `peerlift share revoke` for good. Downloads work just as well without."
            }
        };
        write!(
            f,
            "{name}{at} (key {}) asks you to help other downloaders.\n\
             If you agree, this computer sends them parts of the files of this publisher that you\n\
             {when}\n\
             Your answer is kept in {}.",
            publisher.short(),
            self.record.display(),
        )
    }
}

/// A publisher's words without what could paint a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use peerlift_model::PublisherId;

    use super::*;

    #[test]
    fn it_says_who_asks_what_a_yes_means_and_where_the_answer_is_kept() {
        let subject = Subject {
            publisher: PublisherId::new([1; 32]),
            publisher_name: "Example OS\u{1b}[2J".to_owned(),
            origin: "https://example.org".to_owned(),
        };
        for (yes, means) in [
            (Agreed::WhileDownloading, "only while the download runs"),
            (Agreed::InBackground, "while the background service runs"),
        ] {
            let text = Question {
                subject: &subject,
                yes,
                record: Path::new("/home/a/consent.json"),
            }
            .to_string();
            for part in [
                "Example OS",
                "https://example.org",
                "IP address",
                means,
                "/home/a/consent.json",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.contains('\u{1b}'));
        }
    }
}
