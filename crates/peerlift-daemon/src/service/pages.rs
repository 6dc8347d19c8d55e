//! The control panel's files, built into the program. They know nothing but the local API, load
//! nothing from anywhere else, and contain nothing of the user's.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

/// Nothing but our own files runs, shows or is talked to; nobody frames the panel.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at a path, and its media type.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    Some(match path {
        "/" => (include_str!("../../panel/index.html"), HTML),
        "/panel.css" => (
            include_str!("../../panel/panel.css"),
            "text/css; charset=utf-8",
        ),
        "/panel.js" => (include_str!("../../panel/panel.js"), SCRIPT),
        "/parts.js" => (include_str!("../../panel/parts.js"), SCRIPT),
        "/settings.js" => (include_str!("../../panel/settings.js"), SCRIPT),
        "/sharing.js" => (include_str!("../../panel/sharing.js"), SCRIPT),
        "/transfers.js" => (include_str!("../../panel/transfers.js"), SCRIPT),
        "/views.js" => (include_str!("../../panel/views.js"), SCRIPT),
        "/plot.js" => (include_str!("../../panel/plot.js"), SCRIPT),
        "/words.js" => (include_str!("../../panel/words.js"), SCRIPT),
        "/icon.svg" => (include_str!("../../panel/icon.svg"), "image/svg+xml"),
        _ => return None,
    })
}

/// What is shown to whoever comes without the right link.
pub(super) fn stranger(why: &str) -> Response<Body> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Peerlift</title>\
         <h1>Peerlift</h1><p>{why}</p><p>Run <code>peerlift panel</code> in a terminal: it opens \
         this page with a fresh link.</p></html>"
    );
    let mut response = page(Body::from(text), HTML);
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// A page or file with all that keeps it to itself.
pub(super) fn page(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, text) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(text));
    }
    let isolation = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-opener-policy", isolation.clone());
    headers.insert("cross-origin-resource-policy", isolation);
    response
}
