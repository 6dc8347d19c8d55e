//! The loopback port: open only while somebody uses it, and only for whoever was given its keys.
//!
//! A link opens the panel once, within a minute. It sets a cookie, which browsers show to every
//! port of this machine, and leaves a second key in the fragment of the URL, which they show to
//! nobody: the API wants both. A cookie that another program on the machine was shown opens nothing
//! but pages that are the same for everybody.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::guard::{self, Secret};
use super::http::Refusal;
use super::pages;
use crate::home::Home;

/// How long a link may be used: a browser takes seconds to start, on a slow machine many.
const LINK_FOR: Duration = Duration::from_secs(60);

/// Links that wait to be used; the oldest is forgotten first.
const LINKS_MAX: usize = 8;

/// How long the port stays open unused. A panel in a hidden tab asks once a minute.
const OPEN_FOR: Duration = Duration::from_secs(300);

/// The port and its keys.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    secret: Secret,
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: Instant,
    links: VecDeque<(Secret, Instant)>,
}

impl Port {
    /// Opens a port that nobody else has, with a secret that nobody had before.
    pub(super) async fn open(home: &Home) -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let port = Self {
            number: listener.local_addr()?.port(),
            secret: Secret::draw(&home.secret())?,
            file: home.secret(),
            state: Mutex::new(State {
                used: Instant::now(),
                links: VecDeque::new(),
            }),
        };
        Ok((port, listener))
    }

    /// The port, its secret, and a link that opens the panel once.
    pub(super) fn invitation(&self) -> io::Result<Value> {
        let link = Secret::fresh()?;
        let url = format!(
            "http://127.0.0.1:{}/open?key={}",
            self.number,
            link.reveal()
        );
        let mut state = self.state();
        let now = Instant::now();
        state.used = now;
        if state.links.len() == LINKS_MAX {
            state.links.pop_front();
        }
        state.links.push_back((link, now));
        let secret = self.secret.reveal();
        Ok(json!({"port": self.number, "secret": secret, "url": url}))
    }

    /// Lets a request to the API pass, or says why not.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        guard::check(headers, self.number, &self.secret)?;
        self.state().used = Instant::now();
        Ok(())
    }

    /// A page or file of the panel's; `None`: that is no business of the panel's.
    pub(super) fn page(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        let file = pages::file(uri.path());
        if method != Method::GET || (file.is_none() && uri.path() != "/open") {
            return None;
        }
        if let Err(refusal) = guard::check_site(headers, self.number) {
            return Some(pages::stranger(&refusal.error));
        }
        let Some((content, media_type)) = file else {
            return Some(self.enter(uri.query().unwrap_or_default()));
        };
        if !guard::has_cookie(headers, self.number, &self.secret) {
            return Some(pages::stranger("This page needs a link that knows you."));
        }
        Some(pages::page(Body::from(content), media_type))
    }

    /// Takes a link back and lets its bearer in.
    fn enter(&self, query: &str) -> Response<Body> {
        let shown = query.strip_prefix("key=").unwrap_or_default();
        if !self.take_link(shown) {
            return pages::stranger("This link was used already, or is too old.");
        }
        let mut response = pages::page(Body::empty(), "text/html; charset=utf-8");
        *response.status_mut() = StatusCode::SEE_OTHER;
        let to = format!("/#{}", self.secret.page_key());
        let headers = response.headers_mut();
        for (name, text) in [
            (header::LOCATION, to),
            (header::SET_COOKIE, guard::cookie(self.number, &self.secret)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        response
    }

    fn take_link(&self, shown: &str) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state
            .links
            .retain(|(_, drawn)| now.duration_since(*drawn) < LINK_FOR);
        let known = state.links.iter().position(|(link, _)| link.is(shown));
        known.is_some_and(|at| state.links.remove(at).is_some())
    }

    /// Ends when nobody has used the port for a while.
    pub(super) async fn unused(&self) {
        loop {
            let until = self.state().used + OPEN_FOR;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Deletes the file with the secret, which is of no more use.
    pub(super) fn forget(&self) {
        // It may have gone with the whole folder.
        let _ = std::fs::remove_file(&self.file);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves values that are whole.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn port(root: &std::path::Path) -> Port {
        Port::open(&Home::below(root)).await.unwrap().0
    }

    fn get(port: &Port, path: &str, lines: &[(&'static str, String)]) -> Response<Body> {
        let mut headers = HeaderMap::new();
        let host = format!("127.0.0.1:{}", port.number);
        headers.insert("host", HeaderValue::from_str(&host).unwrap());
        for (name, text) in lines {
            headers.insert(*name, HeaderValue::from_str(text).unwrap());
        }
        port.page(&Method::GET, &path.parse().unwrap(), &headers)
            .unwrap()
    }

    fn link(port: &Port) -> String {
        let url = port.invitation().unwrap()["url"]
            .as_str()
            .unwrap()
            .to_owned();
        url[url.find("/open").unwrap()..].to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_lets_in_once_and_not_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let port = port(folder.path()).await;
        let first = link(&port);
        let entered = get(&port, &first, &[]);
        assert_eq!(entered.status(), 303);
        let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"),
            "{cookie}"
        );
        assert_eq!(get(&port, &first, &[]).status(), 403, "a second time");
        let pair = cookie.split(';').next().unwrap().to_owned();
        assert_eq!(get(&port, "/", &[("cookie", pair.clone())]).status(), 200);
        assert_eq!(get(&port, "/", &[]).status(), 403, "without the cookie");

        let late = link(&port);
        tokio::time::advance(LINK_FOR).await;
        assert_eq!(get(&port, &late, &[]).status(), 403);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_not_for_other_sites() {
        let folder = tempfile::tempdir().unwrap();
        let port = port(folder.path()).await;
        let cross = [("sec-fetch-site", "cross-site".to_owned())];
        let link = link(&port);
        assert_eq!(get(&port, &link, &cross).status(), 403);
        assert_eq!(
            get(&port, &link, &[]).status(),
            303,
            "the link is still good"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_port_closes() {
        let folder = tempfile::tempdir().unwrap();
        let port = port(folder.path()).await;
        let began = Instant::now();
        port.unused().await;
        assert_eq!(began.elapsed().as_secs(), OPEN_FOR.as_secs());
        assert!(port.file.exists());
        port.forget();
        assert!(!port.file.exists());
    }
}
