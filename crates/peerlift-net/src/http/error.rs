//! What can go wrong with an HTTP server, sorted by what can be done about it.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;
use url::Url;

type Source = Box<dyn Error + Send + Sync>;

/// A failed request. Each message is one line without a full stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No client could be set up.
    #[error("cannot set up HTTP")]
    Setup(#[source] Source),
    /// The server answered, and the answer is no.
    #[error("{url}: the server says {status}")]
    Status {
        /// What was asked for.
        url: Url,
        /// The answer.
        status: StatusCode,
        /// How long the server asks to wait before the next try (RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// The server wants a publisher's token, or another one.
    #[error("{url}: {said}")]
    Token {
        /// What was asked for.
        url: Url,
        /// The answer: 401 or 403.
        status: StatusCode,
        /// What it says about the token.
        said: TokenRefusal,
    },
    /// The host's name has no address.
    #[error("the name {host} does not resolve")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: Source,
    },
    /// Nobody answers at the address.
    #[error("cannot connect to {host}")]
    Connect {
        /// Name and port.
        host: String,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// The server's certificate or its TLS is not acceptable.
    #[error("{host}: TLS failed: {source}")]
    Tls {
        /// Name and port.
        host: String,
        /// What TLS said.
        #[source]
        source: Source,
    },
    /// A chain of redirects that does not end.
    #[error("{url}: too many redirects")]
    Redirects {
        /// Where it began.
        url: Url,
    },
    /// The server stays silent.
    #[error("{host} does not answer in time")]
    Silent {
        /// Name and port.
        host: String,
    },
    /// The connection broke.
    #[error("the connection to {host} broke")]
    Broken {
        /// Name and port.
        host: String,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// The answer had another length than the server promised.
    #[error("{url}: the answer ended early or ran over its promised length")]
    Cut {
        /// What was asked for.
        url: Url,
    },
    /// The file is another version than the one the download began with.
    #[error("{url}: the file changed on the server")]
    Changed {
        /// What was asked for.
        url: Url,
    },
    /// A part was asked for, and the whole came.
    #[error("{url}: the server does not answer ranges")]
    NoRanges {
        /// What was asked for.
        url: Url,
    },
    /// The answer contradicts itself or the request.
    #[error("{url}: the server's answer makes no sense")]
    Nonsense {
        /// What was asked for.
        url: Url,
    },
    /// A file that should be small is not.
    #[error("{url}: larger than {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit.
        bytes_max: usize,
    },
}

/// What a server says about the token it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// It saw none.
    #[error("only for holders of a token of the publisher's")]
    Missing,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Something else.
    #[error("the token is refused: {0}")]
    Refused(String),
}

impl HttpError {
    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            Self::Connect { .. } | Self::Silent { .. } | Self::Broken { .. } | Self::Cut { .. } => {
                true
            }
            Self::Setup(_)
            | Self::Token { .. }
            | Self::Resolve { .. }
            | Self::Tls { .. }
            | Self::Redirects { .. }
            | Self::Changed { .. }
            | Self::NoRanges { .. }
            | Self::Nonsense { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    pub(super) fn of(error: reqwest::Error, url: &Url) -> Self {
        let host = host(url);
        if error.is_redirect() {
            return Self::Redirects { url: url.clone() };
        }
        if error.is_timeout() {
            return Self::Silent { host };
        }
        if error.is_dns() {
            return Self::Resolve {
                host: url.host_str().unwrap_or_default().to_owned(),
                source: Box::new(error),
            };
        }
        if let Some(tls) = tls_cause(&error) {
            return Self::Tls {
                host,
                source: Box::new(tls),
            };
        }
        if is_not_http(&error) {
            return Self::Nonsense { url: url.clone() };
        }
        if error.is_connect() {
            return Self::Connect {
                host,
                source: Box::new(error),
            };
        }
        Self::Broken {
            host,
            source: Box::new(error),
        }
    }

    pub(super) fn of_body(error: reqwest::Error, url: &Url) -> Self {
        if error.is_timeout() {
            return Self::Silent { host: host(url) };
        }
        if ended_early(&error) {
            return Self::Cut { url: url.clone() };
        }
        Self::Broken {
            host: host(url),
            source: Box::new(error),
        }
    }
}

fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// The error and what lies beneath it; an `io::Error` hides its cause from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        match error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(hidden) => Some(hidden),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| beneath(*error))
}

fn tls_cause(error: &reqwest::Error) -> Option<rustls::Error> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
        .cloned()
}

fn is_not_http(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_parse)
    })
}

/// hyper reports a body shorter than its `Content-Length` or chunk as an incomplete message.
fn ended_early(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof)
            || cause
                .to_string()
                .contains("end of file before message length reached")
    })
}
