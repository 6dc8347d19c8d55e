//! Who may call the API on the loopback port: whoever knows the user's secret, from no other site.
//!
//! Every web page can send requests to 127.0.0.1. So each has to carry the secret, to name this host
//! (else a rebound DNS name would do) and, where a browser says where it comes from, to come from here.

use std::io;
use std::path::Path;

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use super::http::Refusal;
use crate::state::replace;

/// Bytes of the secret: as many as of a key.
const SECRET_BYTES: usize = 32;

/// The header in which the panel's page shows its key.
const PAGE_KEY: &str = "peerlift-page";

/// What a caller has to know. It has no `Debug` that shows it.
#[derive(Clone)]
pub(super) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Draws a fresh one and keeps it in a file that only the user can read.
    pub(super) fn draw(path: &Path) -> io::Result<Self> {
        let secret = Self::fresh()?;
        replace(path, secret.0.as_bytes())?;
        Ok(secret)
    }

    /// Draws one that is kept nowhere.
    pub(super) fn fresh() -> io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(blake3::Hash::from_bytes(bytes).to_hex().to_string()))
    }

    /// The secret, for its owner.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether that is it. Takes as long whatever is wrong.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// What the panel's page shows beside its cookie.
    pub(super) fn page_key(&self) -> String {
        self.derived("peerlift panel 2026 page")
    }

    fn cookie_key(&self) -> String {
        self.derived("peerlift panel 2026 cookie")
    }

    fn derived(&self, context: &str) -> String {
        let key = blake3::derive_key(context, self.0.as_bytes());
        blake3::Hash::from_bytes(key).to_hex().to_string()
    }
}

/// The cookie of a panel. Browsers send it to all ports of this machine, hence the port in its name,
/// and hence it is not enough for the API.
pub(super) fn cookie(port: u16, secret: &Secret) -> String {
    let key = secret.cookie_key();
    format!("peerlift-{port}={key}; HttpOnly; SameSite=Strict; Path=/")
}

/// Whether a request carries that cookie.
pub(super) fn has_cookie(headers: &HeaderMap, port: u16, secret: &Secret) -> bool {
    let name = format!("peerlift-{port}=");
    let key = Secret(secret.cookie_key());
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .filter_map(|pair| pair.strip_prefix(&name))
        .any(|shown| key.is(shown))
}

/// The only header of a name.
fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    // Two of a kind are a trick.
    value.filter(|_| values.next().is_none())
}

/// Lets a request pass that names this host and comes from no other site, or says why not.
pub(super) fn check_site(headers: &HeaderMap, port: u16) -> Result<(), Refusal> {
    let forbidden = |why: &str| Refusal::new(StatusCode::FORBIDDEN, why);
    let text = |name: header::HeaderName| text(headers, name);
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !text(header::HOST).is_some_and(|host| hosts.iter().any(|ours| ours == host)) {
        return Err(forbidden("this is not the host that was asked for"));
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if !origin.is_some_and(|origin| hosts.iter().any(|ours| ours == origin)) {
            return Err(forbidden("requests from other sites are not answered"));
        }
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && !["same-origin", "none"].iter().any(|ours| site == ours)
    {
        return Err(forbidden("requests from other sites are not answered"));
    }
    Ok(())
}

/// Lets a request to the API pass, or says why not: it has to show the secret, or both keys of the
/// panel.
pub(super) fn check(headers: &HeaderMap, port: u16, secret: &Secret) -> Result<(), Refusal> {
    check_site(headers, port)?;
    let shown = text(headers, header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    let knows = shown.is_some_and(|shown| secret.is(shown));
    let page = Secret(secret.page_key());
    let shows_page = text(headers, PAGE_KEY).is_some_and(|shown| page.is(shown));
    if knows || (shows_page && has_cookie(headers, port, secret)) {
        Ok(())
    } else {
        Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "the secret is missing or wrong",
        ))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn verdict(lines: &[(&'static str, &str)]) -> u16 {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::draw(&folder.path().join("secret")).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let cookie = cookie(4711, &secret);
            let value = value
                .replace("SECRET", secret.reveal())
                .replace("COOKIE", cookie.split(';').next().unwrap())
                .replace("PAGE", &secret.page_key());
            headers.append(*name, HeaderValue::from_str(&value).unwrap());
        }
        check(&headers, 4711, &secret).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:4711");
    const KNOWS: (&str, &str) = ("authorization", "Bearer SECRET");

    #[test]
    fn the_owner_passes() {
        assert_eq!(verdict(&[HOST, KNOWS]), 200);
        assert_eq!(verdict(&[("host", "localhost:4711"), KNOWS]), 200);
        let page = [
            HOST,
            KNOWS,
            ("origin", "http://127.0.0.1:4711"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(verdict(&page), 200);
    }

    #[test]
    fn the_panel_needs_both_of_its_keys() {
        let (cookie, page) = (("cookie", "a=b; COOKIE"), ("peerlift-page", "PAGE"));
        assert_eq!(verdict(&[HOST, cookie, page]), 200);
        assert_eq!(verdict(&[HOST, cookie]), 401);
        assert_eq!(verdict(&[HOST, page]), 401);
        assert_eq!(verdict(&[HOST, ("cookie", "COOKIEx"), page]), 401);
        assert_eq!(verdict(&[HOST, cookie, page, page]), 401);
        let elsewhere = ("origin", "http://127.0.0.1:4712");
        assert_eq!(verdict(&[HOST, cookie, page, elsewhere]), 403);
    }

    #[test]
    fn strangers_do_not() {
        for lines in [
            vec![HOST],
            vec![HOST, ("authorization", "Bearer ")],
            vec![HOST, ("authorization", "Bearer SECRETx")],
            vec![HOST, ("authorization", "SECRET")],
            vec![HOST, KNOWS, KNOWS],
        ] {
            assert_eq!(verdict(&lines), 401, "{lines:?}");
        }
    }

    #[test]
    fn other_sites_do_not_even_with_the_secret() {
        for lines in [
            vec![KNOWS],
            vec![("host", "evil.example:4711"), KNOWS],
            vec![("host", "127.0.0.1"), KNOWS],
            vec![HOST, HOST, KNOWS],
            vec![HOST, KNOWS, ("origin", "https://evil.example")],
            vec![HOST, KNOWS, ("origin", "null")],
            vec![
                HOST,
                KNOWS,
                ("origin", "http://127.0.0.1:4711"),
                ("origin", "x"),
            ],
            vec![HOST, KNOWS, ("sec-fetch-site", "cross-site")],
            vec![HOST, KNOWS, ("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(verdict(&lines), 403, "{lines:?}");
        }
    }

    #[test]
    fn the_secret_is_shown_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = Secret::draw(&path).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(std::fs::read_to_string(path).unwrap(), secret.reveal());
    }
}
