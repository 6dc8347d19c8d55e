//! The header fields that a download reads and writes (RFC 9110).

use std::time::{Duration, SystemTime};

use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, StatusCode};
use peerlift_model::ByteRange;
use percent_encoding::percent_decode_str;

use super::error::TokenRefusal;

/// What tells one version of a file from another, strong enough to combine parts of it.
///
/// A strong `ETag` (RFC 9110 §8.8.3), or else a `Last-Modified` that is a minute older than the
/// answer's `Date` and thereby strong (RFC 9110 §8.8.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// A validator that was stored earlier.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text that goes into `If-Range`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both speak of the same version. Validators of different kinds say nothing of
    /// each other and count as the same.
    #[must_use]
    pub fn same_version(&self, other: &Self) -> bool {
        self.is_etag() != other.is_etag() || self == other
    }

    fn is_etag(&self) -> bool {
        self.0.starts_with('"')
    }
}

/// The part that an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) bytes: ByteRange,
    pub(super) size: Option<u64>,
}

/// What a server says that wants a token, or refuses the one it was shown (RFC 6750 §3, RFC 9449
/// §7.1); `None`: the answer is not about a token.
pub(super) fn token_refusal(status: StatusCode, headers: &HeaderMap) -> Option<TokenRefusal> {
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return None;
    }
    let challenge = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find(|value| {
            value
                .get(..5)
                .is_some_and(|it| it.eq_ignore_ascii_case("dpop "))
        })?;
    let said = challenge
        .split_once("error_description=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(said, _)| said.chars().take(REFUSAL_CHARS_MAX).collect::<String>());
    Some(match said {
        None if !challenge.contains("error=") => TokenRefusal::Missing,
        None => TokenRefusal::Refused("no reason given".to_owned()),
        Some(said) if said == "the token has expired" => TokenRefusal::Expired,
        Some(said) => TokenRefusal::Refused(said),
    })
}

/// The longest reason that is passed on.
const REFUSAL_CHARS_MAX: usize = 120;

pub(super) fn range(bytes: ByteRange) -> String {
    format!("bytes={}-{}", bytes.start(), bytes.end().saturating_sub(1))
}

pub(super) fn validator(headers: &HeaderMap) -> Option<Validator> {
    if let Some(etag) = text(headers, ETAG) {
        let strong = etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"');
        return strong.then(|| Validator(etag.to_owned()));
    }
    let modified = text(headers, LAST_MODIFIED)?;
    let age = date(headers)?
        .duration_since(httpdate::parse_http_date(modified).ok()?)
        .ok()?;
    (age >= Duration::from_secs(60)).then(|| Validator(modified.to_owned()))
}

/// `bytes 0-99/1000` or `bytes 0-99/*` (RFC 9110 §14.4).
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (range, size) = text(headers, CONTENT_RANGE)?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let size = if size == "*" {
        None
    } else {
        Some(number(size)?)
    };
    let consistent = first <= last && last < size.unwrap_or(u64::MAX);
    consistent.then(|| ContentRange {
        bytes: ByteRange::new(first, last + 1),
        size,
    })
}

/// The size in `bytes */1000`, the answer to a range that cannot be had.
pub(super) fn unsatisfied_size(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, CONTENT_LENGTH)?)
}

/// Seconds or a date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER)?;
    if let Some(seconds) = number(value) {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value)
        .ok()?
        .duration_since(date(headers)?)
        .ok()
}

/// The name in `Content-Disposition`, extended form first (RFC 6266 §4.3).
pub(super) fn file_name(value: &str) -> Option<String> {
    let parameter = |name: &str| {
        value.split(';').skip(1).find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if let Some(extended) = parameter("filename*") {
        let encoded = extended
            .strip_prefix("UTF-8''")
            .or_else(|| extended.strip_prefix("utf-8''"))?;
        return percent_decode_str(encoded)
            .decode_utf8()
            .ok()
            .map(|name| name.into_owned());
    }
    parameter("filename").map(|name| name.trim_matches('"').to_owned())
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, http::header::DATE)?).ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn only_strong_validators_count() {
        let strong = validator(&headers(&[(ETAG, "\"abc\"")]));
        assert_eq!(
            strong.map(|v| v.as_str().to_owned()),
            Some("\"abc\"".to_owned())
        );
        assert_eq!(validator(&headers(&[(ETAG, "W/\"abc\"")])), None);
        assert_eq!(validator(&headers(&[(ETAG, "\"")])), None);

        let modified = (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
        let at = |date| validator(&headers(&[modified.clone(), (http::header::DATE, date)]));
        assert!(at("Sun, 06 Nov 1994 08:50:37 GMT").is_some());
        assert!(
            at("Sun, 06 Nov 1994 08:50:36 GMT").is_none(),
            "could change within the second"
        );
        assert!(
            validator(&headers(std::slice::from_ref(&modified))).is_none(),
            "no date to compare with"
        );
    }

    #[test]
    fn content_ranges_that_contradict_themselves_are_refused() {
        let parse = |value| content_range(&headers(&[(CONTENT_RANGE, value)]));
        let whole = ContentRange {
            bytes: ByteRange::new(0, 10),
            size: Some(10),
        };
        assert_eq!(parse("bytes 0-9/10"), Some(whole));
        assert_eq!(parse("bytes 0-9/*").map(|part| part.size), Some(None));
        for nonsense in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes -1-2/3",
            "items 0-9/10",
            "bytes 0-18446744073709551616/10",
            "bytes +0-9/10",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn names_by_content_disposition() {
        assert_eq!(
            file_name("attachment; filename=\"a b.iso\""),
            Some("a b.iso".to_owned())
        );
        assert_eq!(
            file_name("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates"),
            Some("€ rates".to_owned())
        );
        assert_eq!(file_name("inline"), None);
        assert_eq!(file_name("attachment; filename*=UTF-8''%ff"), None);
    }

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(
            retry_after(&headers(&[(RETRY_AFTER, "7")])),
            Some(Duration::from_secs(7))
        );
        let date = headers(&[
            (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:37 GMT"),
            (http::header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ]);
        assert_eq!(retry_after(&date), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "soon")])), None);
    }
}
