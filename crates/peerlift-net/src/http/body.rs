//! The bytes of one answer, counted against what the server promised.

use bytes::Bytes;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::Response;
use url::Url;

use super::HttpError;
use crate::polite::{Downlink, Receiving};

/// The body of one answer, read chunk by chunk. Dropping it abandons the connection.
#[derive(Debug)]
pub struct Body {
    response: Option<Response>,
    left: Option<u64>,
    _receiving: Receiving,
}

impl Body {
    pub(super) fn new(response: Response, promised: Option<u64>, downlink: &Downlink) -> Self {
        let connection = response.extensions().get::<HttpInfo>();
        let receiving = connection
            .map(|connection| downlink.watch(connection.local_addr(), connection.remote_addr()));
        Self {
            response: Some(response),
            left: promised,
            _receiving: receiving.unwrap_or_default(),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            response: None,
            left: Some(0),
            _receiving: Receiving::default(),
        }
    }

    /// The bytes that are still to come, when the server said so.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.left
    }

    /// The next bytes, or `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`HttpError::Cut`] when fewer or more bytes come than were promised,
    /// [`HttpError::Silent`] and [`HttpError::Broken`] when the connection fails.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let url = response.url().clone();
        let chunk = response
            .chunk()
            .await
            .map_err(|error| HttpError::of_body(error, &url))?;
        match (&chunk, &mut self.left) {
            (Some(chunk), Some(left)) => {
                *left = left
                    .checked_sub(chunk.len() as u64)
                    .ok_or_else(|| cut(url))?;
            }
            (None, Some(left)) if *left > 0 => return Err(cut(url)),
            (Some(_) | None, _) => {}
        }
        Ok(chunk)
    }
}

fn cut(url: Url) -> HttpError {
    HttpError::Cut { url }
}
