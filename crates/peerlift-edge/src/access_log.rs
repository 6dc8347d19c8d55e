//! One line a request, in the Combined Log Format that every log analyser reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode, Version};

/// Where the lines go.
#[derive(Debug, Default)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// The standard output.
    Stdout,
    /// A file.
    File(Mutex<File>),
}

/// What a line says.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) from: IpAddr,
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) version: Version,
    pub(crate) referer: String,
    pub(crate) agent: String,
    pub(crate) status: StatusCode,
    /// Bytes of the body that were handed to the network.
    pub(crate) bytes: u64,
}

impl AccessLog {
    /// A log that is appended to a file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self::File(Mutex::new(file)))
    }

    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    pub(crate) fn write(&self, line: &Line) {
        let text = line.format(SystemTime::now());
        let written = match self {
            Self::Off => Ok(()),
            Self::Stdout => io::stdout().lock().write_all(text.as_bytes()),
            Self::File(file) => {
                let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                file.write_all(text.as_bytes())
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write the access log");
        }
    }
}

impl Line {
    fn format(&self, now: SystemTime) -> String {
        let Self {
            from,
            method,
            uri,
            version,
            referer,
            agent,
            status,
            bytes,
        } = self;
        let (uri, referer, agent) = (clean(uri), clean(referer), clean(agent));
        let status = status.as_u16();
        let time = clf_time(now);
        format!(
            "{from} - - [{time}] \"{method} {uri} {version:?}\" {status} {bytes} \"{referer}\" \"{agent}\"\n"
        )
    }
}

/// A header as text, `-` when there is none.
pub(crate) fn header(headers: &HeaderMap, name: http::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or("-").to_owned()
}

/// A stranger's text within quotes.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .map(|c| if c == '"' { '\'' } else { c })
        .collect()
}

/// `06/Nov/1994:08:49:37 +0000`, made of the HTTP date.
fn clf_time(time: SystemTime) -> String {
    let date = httpdate::fmt_http_date(time);
    let mut words = date.split(' ').skip(1);
    let mut next = || words.next().unwrap_or_default();
    let (day, month, year, clock) = (next(), next(), next(), next());
    format!("{day}/{month}/{year}:{clock} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_combined_format() {
        let line = Line {
            from: [192, 0, 2, 1].into(),
            method: Method::GET,
            uri: "/a%20b".to_owned(),
            version: Version::HTTP_11,
            referer: "-".to_owned(),
            agent: "evil\"\nagent".to_owned(),
            status: StatusCode::PARTIAL_CONTENT,
            bytes: 16384,
        };
        let then = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(
            line.format(then),
            "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a%20b HTTP/1.1\" 206 16384 \"-\" \
             \"evil'agent\"\n"
        );
    }
}
