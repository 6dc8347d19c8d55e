//! Requests and answers of the local API, before and after HTTP.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

/// The longest request body: a list of mirrors has a few KiB.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request that is not answered as it was wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self {
            status,
            error: error.to_string(),
        }
    }

    pub(super) fn bad(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn broken(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

/// A JSON value, or why there is none.
pub(super) type Outcome = Result<serde_json::Value, Refusal>;

/// Any value as an outcome.
pub(super) fn value(value: impl Serialize) -> Outcome {
    serde_json::to_value(value).map_err(Refusal::broken)
}

/// Reads a JSON body.
pub(super) fn body<T: serde::de::DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(Refusal::bad)
}

/// The answer in HTTP. Nothing may keep, frame or guess it.
pub(super) fn response(outcome: Outcome) -> Response<Body> {
    let (status, value) = match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err(refusal) => (refusal.status, json!({"error": refusal.error})),
    };
    let mut response = Response::new(Body::from(format!("{value}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, text) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(text));
    }
    response
}
