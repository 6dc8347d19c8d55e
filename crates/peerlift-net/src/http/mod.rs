//! HTTP sources: any server that answers a GET, better one that answers ranges.
//!
//! [`HttpClient::open`] asks for the first bytes and learns what the server can do; after that
//! [`HttpClient::range`] fetches any part. Whether two answers belong to the same version of a
//! file is decided by the strong [`Validator`] alone (RFC 9110 §8.8.1): without one, parts are
//! never combined.
//!
//! HTTP/1.1 only, one TCP connection a request in flight: parallel ranges are there to use
//! several congestion windows, which one multiplexed HTTP/2 connection would undo.
//!
//! Proxies are taken from the environment (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`).
//! This module knows neither hashes nor files.

mod body;
mod error;
mod fields;
mod link;
#[cfg(target_os = "linux")]
mod patience;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, IF_RANGE, RANGE};
use http::{HeaderName, HeaderValue, StatusCode};
use peerlift_model::ByteRange;
use reqwest::{RequestBuilder, Response};
use url::{Origin, Url};

use crate::polite::Downlink;
use crate::token::Wallet;

pub use body::Body;
pub use error::{HttpError, TokenRefusal};
pub use fields::Validator;
pub(crate) use fields::retry_after;
pub use link::manifest_link;

/// How long a connection may take to open, name resolution and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may stay silent within an answer. curl has no such limit, aria2 takes 60 s;
/// 30 s lets a mirror or the peers take over while the user is still watching.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest chain of redirects followed: what browsers allow.
const REDIRECTS_MAX: usize = 20;

/// How the client presents itself and whom it trusts.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Sent as `User-Agent`. Empty: none is sent.
    pub user_agent: String,
    /// The user's own request headers. Sent to the origins in `header_origins` only, so that a
    /// credential never follows a manifest to another server.
    pub headers: HeaderMap,
    /// The origins that `headers` are meant for.
    pub header_origins: Vec<Origin>,
    /// Shown to the same origins. Default: none.
    pub wallet: Option<Arc<Wallet>>,
    /// Further origins that the token is shown to, and no header of the user's. Default: none.
    pub token_origins: Vec<Origin>,
}

/// A pool of connections to HTTP servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: reqwest::Client,
    options: Arc<HttpOptions>,
    downlink: Downlink,
}

/// What the first request of a download taught.
#[derive(Debug)]
pub struct Opened {
    /// Where the bytes are, after redirects.
    pub url: Url,
    /// The file's size in bytes, when the server said it.
    pub size: Option<u64>,
    /// Whether the server answered with the part that was asked for.
    pub ranges: bool,
    /// What tells this version of the file from another.
    pub validator: Option<Validator>,
    /// Where the `Link` header says the manifest is.
    pub manifest: Option<Url>,
    /// The file's name by `Content-Disposition` (RFC 6266 §4.3), as the server wrote it.
    pub file_name: Option<String>,
    /// The media type, when the server said it.
    pub media_type: Option<String>,
    /// The bytes: of the part asked for when `ranges`, else of the whole file.
    pub body: Body,
}

impl HttpClient {
    /// Prepares a pool; connects to nobody.
    ///
    /// # Errors
    ///
    /// [`HttpError::Setup`] when no TLS configuration or no proxy setting can be made of what the
    /// machine offers.
    pub fn new(options: HttpOptions) -> Result<Self, HttpError> {
        let tls = crate::tls::client_config(&[b"http/1.1"])
            .map_err(|error| HttpError::Setup(Box::new(error)))?;
        let inner = reqwest::Client::builder()
            .user_agent(options.user_agent.clone())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| HttpError::Setup(Box::new(error)))?;
        Ok(Self {
            inner,
            options: Arc::new(options),
            downlink: Downlink::plain(),
        })
    }

    /// The same pool, whose answers come over this line.
    #[must_use]
    pub fn over(&self, downlink: Downlink) -> Self {
        Self {
            downlink,
            ..self.clone()
        }
    }

    /// The same pool, which shows its token to these origins as well.
    #[must_use]
    pub fn showing_token_to(&self, origins: impl IntoIterator<Item = Origin>) -> Self {
        let mut options = HttpOptions::clone(&self.options);
        options.token_origins.extend(origins);
        Self {
            inner: self.inner.clone(),
            options: Arc::new(options),
            downlink: self.downlink.clone(),
        }
    }

    /// Asks for the first `first_bytes` of a file and learns what the server can do.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`] but [`HttpError::Changed`].
    pub async fn open(&self, url: &Url, first_bytes: u64) -> Result<Opened, HttpError> {
        let wanted = ByteRange::new(0, first_bytes.max(1));
        let response = self
            .send(self.get(url).header(RANGE, fields::range(wanted)), url)
            .await?;
        let status = response.status();
        let headers = response.headers().clone();
        let final_url = response.url().clone();
        let text = |name| {
            headers
                .get(name)
                .and_then(|value| HeaderValue::to_str(value).ok())
        };
        let mut opened = Opened {
            size: None,
            ranges: false,
            validator: fields::validator(&headers),
            manifest: manifest_link(&final_url, &headers),
            file_name: text(http::header::CONTENT_DISPOSITION).and_then(fields::file_name),
            media_type: text(http::header::CONTENT_TYPE).map(str::to_owned),
            url: final_url,
            body: Body::empty(),
        };
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let part = fields::content_range(&headers)
                    .filter(|part| part.bytes.start() == 0 && !part.bytes.is_empty())
                    .ok_or_else(|| HttpError::Nonsense { url: url.clone() })?;
                opened.size = part.size;
                opened.ranges = part.size.is_some();
                opened.body = Body::new(response, Some(part.bytes.len()), &self.downlink);
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // The only unsatisfiable `bytes=0-n` is one of an empty file (RFC 9110 §14.1.2).
                opened.size = fields::unsatisfied_size(&headers).or(Some(0));
                if opened.size != Some(0) {
                    return Err(HttpError::Nonsense { url: url.clone() });
                }
            }
            _ => {
                opened.size = fields::content_length(&headers);
                opened.body = Body::new(response, opened.size, &self.downlink);
            }
        }
        Ok(opened)
    }

    /// Fetches one part of a file; `bytes` must not be empty.
    ///
    /// # Errors
    ///
    /// [`HttpError::Changed`] when the file no longer matches `validator`,
    /// [`HttpError::NoRanges`] when the server answers with the whole file, and every other
    /// [`HttpError`].
    pub async fn range(
        &self,
        url: &Url,
        bytes: ByteRange,
        validator: Option<&Validator>,
    ) -> Result<Body, HttpError> {
        let mut request = self.get(url).header(RANGE, fields::range(bytes));
        if let Some(validator) = validator {
            request = request.header(IF_RANGE, validator.as_str());
        }
        let response = self.send(request, url).await?;
        let headers = response.headers();
        if let (Some(was), Some(is)) = (validator, fields::validator(headers))
            && !was.same_version(&is)
        {
            return Err(HttpError::Changed { url: url.clone() });
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => match fields::content_range(headers) {
                Some(part) if part.bytes == bytes => {
                    Ok(Body::new(response, Some(bytes.len()), &self.downlink))
                }
                Some(_) | None => Err(HttpError::Nonsense { url: url.clone() }),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => Err(HttpError::Changed { url: url.clone() }),
            _ => Err(HttpError::NoRanges { url: url.clone() }),
        }
    }

    /// Fetches a whole file from its beginning.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub async fn whole(&self, url: &Url) -> Result<(Body, Option<Validator>), HttpError> {
        let response = self.send(self.get(url), url).await?;
        let validator = fields::validator(response.headers());
        let size = fields::content_length(response.headers());
        Ok((Body::new(response, size, &self.downlink), validator))
    }

    /// Fetches a small file whole, and says where it was found.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooLarge`] beyond `bytes_max`, and every other [`HttpError`].
    pub async fn small(&self, url: &Url, bytes_max: usize) -> Result<(Bytes, Url), HttpError> {
        let response = self.send(self.get(url), url).await?;
        let found_at = response.url().clone();
        let size = fields::content_length(response.headers());
        let mut body = Body::new(response, size, &self.downlink);
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(HttpError::TooLarge {
                    url: url.clone(),
                    bytes_max,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes.into(), found_at))
    }

    fn get(&self, url: &Url) -> RequestBuilder {
        // Compressed answers would have other bytes, offsets and validators.
        let mut request = self
            .inner
            .get(url.clone())
            .header(http::header::ACCEPT_ENCODING, "identity");
        let options = &self.options;
        let named = options.header_origins.contains(&url.origin());
        if let Some(wallet) = &options.wallet
            && (named || options.token_origins.contains(&url.origin()))
        {
            request = request.headers(token_headers(wallet, url));
        }
        // After the token: a header that the user gives by hand has the last word.
        if named {
            request = request.headers(options.headers.clone());
        }
        request
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, HttpError> {
        let response = request
            .send()
            .await
            .map_err(|error| HttpError::of(error, url))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            Ok(response)
        } else if let Some(said) = fields::token_refusal(status, response.headers()) {
            let url = url.clone();
            Err(HttpError::Token { url, status, said })
        } else {
            Err(HttpError::Status {
                url: url.clone(),
                status,
                retry_after: retry_after(response.headers()),
            })
        }
    }
}

fn token_headers(wallet: &Wallet, url: &Url) -> HeaderMap {
    let (authorization, proof) = wallet.headers("GET", url);
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &str| {
        // Base64url and full stops always fit.
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    put(http::header::AUTHORIZATION, &authorization);
    if let Some(proof) = proof {
        put(DPOP, &proof);
    }
    headers
}

/// The proof's header field (RFC 9449 §4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");
