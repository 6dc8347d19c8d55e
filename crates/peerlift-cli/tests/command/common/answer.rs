//! Ways to answer, most of them wrong.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::edge::{Edge, Request, Wire};
use super::world::beside;

/// A file that is served well, unless it is told otherwise.
#[derive(Clone)]
pub(crate) struct File {
    bytes: Arc<Vec<u8>>,
    etag: Option<String>,
    ranges: bool,
    length: Option<u64>,
    headers: String,
    limit: Option<Arc<Limit>>,
}

struct Limit {
    left: Mutex<u64>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Cut,
    Stall,
}

impl File {
    /// With ranges and a strong validator.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: Arc::new(bytes.to_owned()),
            etag: Some("\"v1\"".to_owned()),
            ranges: true,
            length: None,
            headers: String::new(),
            limit: None,
        }
    }

    pub(crate) fn read(path: &Path) -> Self {
        Self::new(&fs::read(path).unwrap())
    }

    pub(crate) fn etag(mut self, etag: &str) -> Self {
        self.etag = Some(etag.to_owned());
        self
    }

    pub(crate) fn without_etag(mut self) -> Self {
        self.etag = None;
        self
    }

    /// Answers every request with the whole file.
    pub(crate) fn without_ranges(mut self) -> Self {
        self.ranges = false;
        self
    }

    /// Claims this `Content-Length`, whatever is sent.
    pub(crate) fn claiming(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers += &format!("{line}\r\n");
        self
    }

    /// Closes every connection once so many bytes were sent, all answers together.
    pub(crate) fn cut_after(mut self, bytes: u64) -> Self {
        self.limit = Some(Arc::new(Limit {
            left: Mutex::new(bytes),
            then: Then::Cut,
        }));
        self
    }

    /// Falls silent once so many bytes were sent, all answers together.
    pub(crate) fn stall_after(mut self, bytes: u64) -> Self {
        self.limit = Some(Arc::new(Limit {
            left: Mutex::new(bytes),
            then: Then::Stall,
        }));
        self
    }

    pub(crate) fn answer(&self, request: &Request, wire: &mut Wire<'_>) -> io::Result<()> {
        let size = self.bytes.len() as u64;
        let mut head = self.headers.clone();
        if let Some(etag) = &self.etag {
            head += &format!("ETag: {etag}\r\n");
        }
        let range = request
            .range()
            .filter(|_| self.ranges && self.is_this_version(request));
        let part = match range {
            Some((first, _)) if first >= size => {
                let text = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n";
                let end = "Connection: close\r\n\r\n";
                return wire.head(&format!(
                    "{text}{head}Content-Range: bytes */{size}\r\n{end}"
                ));
            }
            Some((first, last)) => {
                let last = last.unwrap_or(size).min(size - 1);
                head += &format!("Content-Range: bytes {first}-{last}/{size}\r\n");
                first..last + 1
            }
            None => 0..size,
        };
        let status = if range.is_some() {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let length = self.length.unwrap_or(part.end - part.start);
        wire.head(&format!(
            "HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        ))?;
        let [start, end] = [part.start, part.end].map(|at| usize::try_from(at).unwrap());
        self.send(&self.bytes[start..end], wire)
    }

    /// RFC 9110 §13.1.5.
    fn is_this_version(&self, request: &Request) -> bool {
        request
            .headers
            .get("if-range")
            .is_none_or(|wanted| Some(wanted) == self.etag.as_ref())
    }

    fn send(&self, bytes: &[u8], wire: &mut Wire<'_>) -> io::Result<()> {
        for chunk in bytes.chunks(16 * 1024) {
            let Some(limit) = &self.limit else {
                wire.content(chunk)?;
                continue;
            };
            let allowed = limit.take(chunk.len());
            wire.content(&chunk[..allowed])?;
            if allowed == chunk.len() {
                continue;
            }
            match limit.then {
                Then::Stall if wire.stall() => wire.content(&chunk[allowed..])?,
                Then::Stall | Then::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(())
    }
}

impl Limit {
    fn take(&self, wanted: usize) -> usize {
        let mut left = self.left.lock().unwrap();
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(wanted);
        *left -= taken as u64;
        taken
    }
}

/// A status and nothing else.
pub(crate) fn status(
    line: &str,
) -> impl Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync + use<> {
    let text = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    move |_, wire| wire.head(&text)
}

/// A redirect.
pub(crate) fn redirect(
    to: &str,
) -> impl Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync + use<> {
    let text = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n";
    let text = format!("{text}Location: {to}\r\n\r\n");
    move |_, wire| wire.head(&text)
}

/// Something that is not HTTP.
pub(crate) fn garbage() -> impl Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync {
    |_, wire| wire.head("SSH-2.0-OpenSSH_9.9\r\n\u{1}\u{2}\u{3}\r\n\r\n")
}

/// Serves a published file with its sidecars at a path.
pub(crate) fn put_published(edge: &Edge, at: &str, path: &Path) {
    edge.put(at, File::read(path));
    put_sidecars(edge, at, path);
}

/// Serves the sidecars of a published file only.
pub(crate) fn put_sidecars(edge: &Edge, at: &str, path: &Path) {
    for suffix in [".peerlift", ".obao"] {
        edge.put(&format!("{at}{suffix}"), File::read(&beside(path, suffix)));
    }
}
