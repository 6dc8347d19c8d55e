//! A caller of the service: what commands use when it runs.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::UnixStream;

use crate::home::Home;

/// The longest answer that is read: a whole activity log has half of it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long an answer may take: the service does nothing slow while it is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A way to the user's service.
#[derive(Clone, Debug)]
pub struct Local {
    socket: PathBuf,
}

/// What the service says.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub value: Value,
}

/// The service cannot be asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalError {
    /// It does not run.
    #[error("the background service does not run")]
    Absent,
    /// The system refused.
    #[error("cannot talk to the background service: {0}")]
    Io(#[source] io::Error),
    /// It does not answer, or not in HTTP and JSON.
    #[error("the background service does not answer as it should: {0}")]
    Nonsense(String),
    /// It refuses.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        error: String,
    },
}

impl Local {
    /// The way to the service of a home.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            socket: home.socket(),
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_there(&self) -> bool {
        StdStream::connect(&self.socket).is_ok()
    }

    /// Asks and demands a good answer.
    ///
    /// # Errors
    ///
    /// A [`LocalError`].
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> Result<Value, LocalError> {
        let answer = self.request(method, path, content).await?;
        if answer.status < 300 {
            return Ok(answer.value);
        }
        let error = answer.value["error"]
            .as_str()
            .unwrap_or("no reason given")
            .to_owned();
        Err(LocalError::Refused {
            status: answer.status,
            error,
        })
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// A [`LocalError`] when there is no answer.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> Result<Answer, LocalError> {
        let asked = self.exchange(method, path, content);
        let answered = tokio::time::timeout(ANSWER_WITHIN, asked).await;
        answered.unwrap_or_else(|_| Err(LocalError::Nonsense("it takes too long".to_owned())))
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> Result<Answer, LocalError> {
        let nonsense = |error: &dyn std::fmt::Display| LocalError::Nonsense(error.to_string());
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            if absent.contains(&error.kind()) {
                LocalError::Absent
            } else {
                LocalError::Io(error)
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| nonsense(&error))?;
        // Ends with the sender.
        let connection = tokio::spawn(connection);
        let text = content.map(|value| value.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).map_err(|error| nonsense(&error))?)
            .uri(path)
            .header(header::HOST, "peerlift")
            .body(Body::from(text))
            .map_err(|error| nonsense(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| nonsense(&error))?;
        let status: StatusCode = response.status();
        let limited = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes: Bytes = limited
            .collect()
            .await
            .map_err(|error| nonsense(&error))?
            .to_bytes();
        connection.abort();
        let value = serde_json::from_slice(&bytes).map_err(|error| nonsense(&error))?;
        Ok(Answer {
            status: status.as_u16(),
            value,
        })
    }
}
