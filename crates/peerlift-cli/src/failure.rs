//! How a command ends badly: one line for a person and a number for a script.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use peerlift_client::DownloadError;

/// Exit codes. They are an interface: `docs/cli.md` lists them, and they keep their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine,
    /// Something that has no number of its own.
    Other,
    /// The command line or the configuration file cannot be carried out.
    Usage,
    /// Files cannot be read or written.
    Storage,
    /// Content or a signature is wrong.
    Verification,
    /// A format of a later version.
    NotUnderstood,
    /// As a download ended.
    Code(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Verification => 5,
            Self::Storage => 6,
            Self::NotUnderstood => 7,
            Self::Code(code) => code,
        }
    }
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One line without a full stop.
    pub(crate) message: String,
    /// What the user can do, in one line without a full stop.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// A failure of our own doing an error explains.
    pub(crate) fn caused(exit: Exit, what: impl fmt::Display, error: &dyn Error) -> Self {
        Self::new(exit, format!("{what}: {}", one_line(error)))
    }

    /// The same failure, with advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        Self {
            exit: Exit::Code(error.exit_code()),
            message: one_line(&error),
            hint: error.hint(),
        }
    }
}

impl fmt::Display for Failure {
    /// One line: what happened, then what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The error and its deepest cause, which says most, in one line that no stranger's bytes can
/// break or colour.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let (text, cause) = (error.to_string(), deepest.to_string());
    let said = text.contains(&cause);
    printable(&if said {
        text
    } else {
        format!("{text}: {cause}")
    })
}

/// The text without control characters: a line stays a line, and a terminal obeys nobody.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot reach\nthe moon")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        let error = Outer(io::Error::other("no rocket"));
        let failure = Failure::caused(Exit::Other, "fly", &error).hint("stay at home");
        assert_eq!(
            failure.to_string(),
            "fly: cannot reach the moon: no rocket; stay at home"
        );
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}"), "a [31mb ");
    }
}
