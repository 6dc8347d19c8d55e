//! A small HTTP/1.1 server that answers each path as a test tells it to, and keeps count.
//!
//! One thread and one connection a request: nothing here may be cleverer than what it tests.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::spawn;
use std::time::Duration;

use super::answer::File;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Without host and query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// First and last byte asked for, when it is one range.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self
            .headers
            .get("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }
}

/// How a path is answered. The connection is closed afterwards.
pub(crate) type Answer = Arc<dyn Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync>;

/// Where an answer goes.
pub(crate) struct Wire<'a> {
    stream: &'a mut dyn Write,
    state: &'a State,
    path: &'a str,
}

impl Wire<'_> {
    /// Sends a head, or anything else that is not content.
    pub(crate) fn head(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// Sends content, which is counted.
    pub(crate) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        let mut counts = self.state.counts();
        *counts.sent.entry(self.path.to_owned()).or_default() += bytes.len() as u64;
        Ok(())
    }

    /// Sends no more until [`Edge::release`]; then says true. False: the test is over.
    pub(crate) fn stall(&mut self) -> bool {
        let _ = self.stream.flush();
        let mut counts = self.state.counts();
        counts.stalled += 1;
        self.state.news.notify_all();
        let over = |counts: &mut Counts| !counts.released && !counts.over;
        let counts = self.state.news.wait_while(counts, over).unwrap();
        !counts.over
    }
}

#[derive(Default)]
struct State {
    answers: Mutex<BTreeMap<String, Answer>>,
    counts: Mutex<Counts>,
    news: Condvar,
}

#[derive(Default)]
struct Counts {
    requests: Vec<Request>,
    /// Path → bytes of content.
    sent: BTreeMap<String, u64>,
    stalled: usize,
    released: bool,
    over: bool,
}

impl State {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }
}

/// The server. It ends with the test.
pub(crate) struct Edge {
    address: SocketAddr,
    origin: String,
    state: Arc<State>,
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self::start(None)
    }

    /// One that speaks TLS.
    pub(crate) fn with_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::start(Some(tls))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let origin = match tls {
            // Certificates are for names.
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.counts().over {
                    return;
                }
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                // A client that hangs up is part of the game.
                spawn(move || drop(serve(stream, tls, &state)));
            }
        });
        Self {
            address,
            origin,
            state,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Answers a path so from now on.
    pub(crate) fn answer(
        &self,
        path: &str,
        answer: impl Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.state
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), Arc::new(answer));
    }

    /// Serves a file at a path from now on.
    pub(crate) fn put(&self, path: &str, file: File) {
        self.answer(path, move |request, wire| file.answer(request, wire));
    }

    /// Answers a path no more.
    pub(crate) fn remove(&self, path: &str) {
        self.state.answers.lock().unwrap().remove(path);
    }

    /// The requests for a path so far.
    pub(crate) fn requests(&self, path: &str) -> Vec<Request> {
        let counts = self.state.counts();
        counts
            .requests
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    /// The bytes of content sent from a path so far.
    pub(crate) fn sent(&self, path: &str) -> u64 {
        self.state.counts().sent.get(path).copied().unwrap_or(0)
    }

    /// Waits until an answer has stalled.
    pub(crate) fn wait_for_stall(&self) {
        let counts = self.state.counts();
        let long = Duration::from_secs(60);
        let waited = self
            .state
            .news
            .wait_timeout_while(counts, long, |counts| counts.stalled == 0);
        assert!(!waited.unwrap().1.timed_out(), "no answer stalled");
    }

    /// Lets stalled answers go on.
    pub(crate) fn release(&self) {
        self.state.counts().released = true;
        self.state.news.notify_all();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Ok(mut counts) = self.state.counts.lock() {
            counts.over = true;
        }
        self.state.news.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: &State,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let session = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(rustls::StreamOwned::new(session, stream))
        }
    };
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream)?;
    state.counts().requests.push(request.clone());
    let answer = state.answers.lock().unwrap().get(&request.path).cloned();
    let stream = stream.get_mut();
    let mut wire = Wire {
        stream,
        state,
        path: &request.path,
    };
    match answer {
        Some(answer) => answer(&request, &mut wire)?,
        None => super::answer::status("404 Not Found")(&request, &mut wire)?,
    }
    stream.flush()
}

fn read(stream: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let after_host = target
        .split_once("://")
        .map_or(target.as_str(), |(_, rest)| {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
    let path = after_host.split('?').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Request { path, headers })
}
