//! Conditional requests (RFC 9110 §13).

use std::time::{Duration, SystemTime};

use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, StatusCode};

/// What tells this version of a file from another.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The strong entity tag, quotes included.
    pub(crate) etag: Option<String>,
    /// When the file was changed, cut to the second.
    pub(crate) modified: SystemTime,
}

/// Evaluates the conditions in the order of RFC 9110 §13.2.2: `None` goes on, otherwise the answer
/// is this status without a body.
pub(crate) fn precondition(headers: &HeaderMap, version: &Version) -> Option<StatusCode> {
    if let Some(tags) = text(headers, IF_MATCH) {
        if !matches(&tags, version, false) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if let Some(since) = date(headers, IF_UNMODIFIED_SINCE)
        && version.modified > since
    {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if let Some(tags) = text(headers, IF_NONE_MATCH) {
        if matches(&tags, version, true) {
            return Some(StatusCode::NOT_MODIFIED);
        }
    } else if let Some(since) = date(headers, IF_MODIFIED_SINCE)
        && version.modified <= since
    {
        return Some(StatusCode::NOT_MODIFIED);
    }
    None
}

/// Whether `Range` counts: always without `If-Range`, else only when it names this very version.
pub(crate) fn range_counts(headers: &HeaderMap, version: &Version) -> bool {
    let Some(condition) = text(headers, IF_RANGE) else {
        return true;
    };
    if condition.starts_with('"') || condition.starts_with("W/") {
        return version.etag.as_deref() == Some(condition.as_str());
    }
    // RFC 9110 §13.1.5: a date must match exactly, and be a strong validator.
    let strong = SystemTime::now()
        .duration_since(version.modified)
        .unwrap_or_default();
    httpdate::parse_http_date(&condition).is_ok_and(|date| date == version.modified)
        && strong >= Duration::from_secs(60)
}

/// Whether one of the tags, or `*`, is the file's. Weak comparison ignores `W/` (RFC 9110 §8.8.3.2).
fn matches(tags: &str, version: &Version, weak: bool) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = if weak {
            tag.strip_prefix("W/").unwrap_or(tag)
        } else {
            tag
        };
        tag == "*" || version.etag.as_deref() == Some(tag)
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn version() -> Version {
        let modified = httpdate::parse_http_date(THEN).unwrap();
        Version {
            etag: Some("\"v1\"".to_owned()),
            modified,
        }
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn conditions_in_their_order() {
        let status = |pairs: &[_]| precondition(&headers(pairs), &version()).map(|s| s.as_u16());
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[(IF_NONE_MATCH, "\"v1\"")]), Some(304));
        assert_eq!(status(&[(IF_NONE_MATCH, "W/\"v1\"")]), Some(304));
        assert_eq!(status(&[(IF_NONE_MATCH, "\"v0\", \"v1\"")]), Some(304));
        assert_eq!(status(&[(IF_NONE_MATCH, "*")]), Some(304));
        assert_eq!(status(&[(IF_NONE_MATCH, "\"v0\"")]), None);
        assert_eq!(status(&[(IF_MATCH, "\"v1\"")]), None);
        assert_eq!(
            status(&[(IF_MATCH, "W/\"v1\"")]),
            Some(412),
            "strong comparison"
        );
        assert_eq!(status(&[(IF_MATCH, "\"v0\"")]), Some(412));
        assert_eq!(status(&[(IF_MODIFIED_SINCE, THEN)]), Some(304));
        assert_eq!(status(&[(IF_MODIFIED_SINCE, EARLIER)]), None);
        assert_eq!(status(&[(IF_UNMODIFIED_SINCE, EARLIER)]), Some(412));
        assert_eq!(status(&[(IF_UNMODIFIED_SINCE, LATER)]), None);
        assert_eq!(
            status(&[(IF_NONE_MATCH, "\"v0\""), (IF_MODIFIED_SINCE, LATER)]),
            None,
            "a tag overrules a date"
        );
        assert_eq!(
            status(&[(IF_MODIFIED_SINCE, "yesterday")]),
            None,
            "malformed: ignored"
        );
    }

    #[test]
    fn a_range_of_another_version_does_not_count() {
        let counts = |value| range_counts(&headers(&[(IF_RANGE, value)]), &version());
        assert!(range_counts(&HeaderMap::new(), &version()));
        assert!(counts("\"v1\""));
        assert!(!counts("\"v0\""));
        assert!(!counts("W/\"v1\""));
        assert!(counts(THEN));
        assert!(!counts(LATER));
        assert!(!counts("soon"));
    }
}
