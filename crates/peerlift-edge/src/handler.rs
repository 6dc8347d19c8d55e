//! One request to one answer.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderName, LAST_MODIFIED, LINK, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use peerlift_content::{MANIFEST_SUFFIX, OUTBOARD_SUFFIX, media_type_of};
use peerlift_model::ByteRange;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access::{self, Admission, EdgeAccess};
use crate::catalogue::{Catalogue, Entry, FileState};
use crate::conditions::{self, Version};
use crate::file_body::{FileBody, Piece, Pool};
use crate::listing;
use crate::path::{self, Root};
use crate::range::{self, Wanted};

/// What separates the parts of a `multipart/byteranges` answer (RFC 9110 §14.6). Content may hold
/// it: parts carry their length in `Content-Range`.
const BOUNDARY: &str = "peerlift-5f2c8f3e9a7d4b61";

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What stays as it is in a path (RFC 3986 §3.3, the unreserved characters).
const PATH_SAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Answers requests for files.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) root: Root,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) access: Arc<EdgeAccess>,
    pub(crate) pool: Pool,
}

impl Handler {
    /// Answers a request for a file or a folder.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        match *request.method() {
            Method::GET | Method::HEAD => self.get(request),
            Method::OPTIONS => with_allow(empty(StatusCode::NO_CONTENT)),
            _ => with_allow(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD here\n",
            )),
        }
    }

    fn get<B>(&self, request: &Request<B>) -> Response<Body> {
        let Some(path) = path::relative(request.uri().path()) else {
            return not_found();
        };
        let opened = self.root.open_file(&path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        match opened {
            Ok((folder, metadata)) if metadata.is_dir() => answer_folder(request, &path, &folder),
            Ok((file, metadata)) if metadata.is_file() && !ends_in_slash(request) => {
                let known = |path: &Path| self.catalogue.about(path);
                match self.access.admit(request, &path, known, &self.root) {
                    Admission::Open => self.file(request, &path, file, &metadata),
                    Admission::Holder => {
                        let mut answer = self.file(request, &path, file, &metadata);
                        access::mark_private(&mut answer);
                        answer
                    }
                    Admission::Refused(refusal) => refusal,
                }
            }
            Ok(_) => not_found(),
            Err(error) if error.raw_os_error() == Some(TOO_MANY_FILES) => {
                tracing::error!("out of file descriptors: raise the limit (ulimit -n)");
                text(StatusCode::SERVICE_UNAVAILABLE, "busy\n")
            }
            Err(_) => not_found(),
        }
    }

    fn file<B>(
        &self,
        request: &Request<B>,
        path: &Path,
        file: File,
        metadata: &std::fs::Metadata,
    ) -> Response<Body> {
        let headers = request.headers();
        let entry = self.catalogue.look_up(path, FileState::of(metadata));
        let version = Version {
            etag: entry.as_ref().map(|entry| entry.etag.clone()),
            modified: to_the_second(metadata.modified().unwrap_or(UNIX_EPOCH)),
        };
        let file = Answer {
            path,
            size: metadata.len(),
            media_type: media_type(path, entry.as_ref()),
            entry,
            version,
            file: Arc::new(file),
        };
        if let Some(status) = conditions::precondition(headers, &file.version) {
            return file.describe(Response::builder().status(status), Body::empty());
        }
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
        // RFC 9110 §14.2: for GET only.
        let range = range.filter(|_| *request.method() == Method::GET);
        let range = range.filter(|_| conditions::range_counts(headers, &file.version));
        match range::wanted(range, file.size) {
            Wanted::Whole => file.whole(&self.pool),
            Wanted::Unsatisfiable => file.unsatisfiable(),
            Wanted::Parts(parts) => match parts[..] {
                [part] => file.part(part, &self.pool),
                _ => file.parts(&parts, &self.pool),
            },
        }
    }
}

fn answer_folder<B>(request: &Request<B>, path: &Path, folder: &File) -> Response<Body> {
    if !ends_in_slash(request) {
        let location = format!("/{}/", encode_path(path));
        let mut response = empty(StatusCode::MOVED_PERMANENTLY);
        insert(response.headers_mut(), LOCATION, &location);
        return response;
    }
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let json = accept.is_some_and(|accept| accept.starts_with("application/json"));
    match listing::list(folder) {
        Ok(entries) if json => respond(
            StatusCode::OK,
            "application/json",
            listing::json(&entries).into(),
        ),
        Ok(entries) => {
            let page = listing::html(&path.to_string_lossy(), &entries);
            respond(StatusCode::OK, "text/html; charset=utf-8", page.into())
        }
        Err(error) => {
            tracing::warn!(%error, folder = %path.display(), "cannot list");
            not_found()
        }
    }
}

/// Linux' `EMFILE`.
const TOO_MANY_FILES: i32 = 24;

/// A file about to be answered.
struct Answer<'a> {
    path: &'a Path,
    size: u64,
    media_type: String,
    entry: Option<Entry>,
    version: Version,
    file: Arc<File>,
}

impl Answer<'_> {
    fn whole(self, pool: &Pool) -> Response<Body> {
        let pieces = vec![Piece::File(ByteRange::new(0, self.size))];
        let builder = Response::builder().status(StatusCode::OK);
        let media_type = self.media_type.clone();
        self.send(builder, &media_type, pool, pieces)
    }

    fn part(self, part: ByteRange, pool: &Pool) -> Response<Body> {
        let builder = Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(CONTENT_RANGE, content_range(part, self.size));
        let media_type = self.media_type.clone();
        self.send(builder, &media_type, pool, vec![Piece::File(part)])
    }

    fn parts(self, parts: &[ByteRange], pool: &Pool) -> Response<Body> {
        let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
        for (number, part) in parts.iter().enumerate() {
            let line = if number == 0 { "" } else { "\r\n" };
            let (kind, range) = (&self.media_type, content_range(*part, self.size));
            let framing = format!(
                "{line}--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n"
            );
            pieces.push(Piece::Framing(framing.into()));
            pieces.push(Piece::File(*part));
        }
        pieces.push(Piece::Framing(Bytes::from(format!(
            "\r\n--{BOUNDARY}--\r\n"
        ))));
        let builder = Response::builder().status(StatusCode::PARTIAL_CONTENT);
        let media_type = format!("multipart/byteranges; boundary={BOUNDARY}");
        self.send(builder, &media_type, pool, pieces)
    }

    fn unsatisfiable(self) -> Response<Body> {
        let builder = Response::builder()
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .header(CONTENT_RANGE, format!("bytes */{}", self.size));
        self.describe(builder, Body::empty())
    }

    fn send(
        self,
        builder: http::response::Builder,
        media_type: &str,
        pool: &Pool,
        mut pieces: Vec<Piece>,
    ) -> Response<Body> {
        pieces.retain(|piece| !matches!(piece, Piece::File(range) if range.is_empty()));
        let body = FileBody::new(Arc::clone(&self.file), pool.clone(), pieces);
        let builder = builder
            .header(CONTENT_TYPE, media_type)
            .header(CONTENT_LENGTH, body.len());
        self.describe(builder, Body::new(body))
    }

    /// Adds what every answer about this file says.
    fn describe(self, builder: http::response::Builder, body: Body) -> Response<Body> {
        let mut response = builder.body(body).unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be made");
            text(StatusCode::INTERNAL_SERVER_ERROR, "failed\n")
        });
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // A cache asks again; with the strong tag that costs it no bytes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        insert(
            headers,
            LAST_MODIFIED,
            &httpdate::fmt_http_date(self.version.modified),
        );
        let Some(entry) = &self.entry else {
            return response;
        };
        insert(headers, ETAG, &entry.etag);
        if let Some(digest) = &entry.digest {
            insert(headers, REPR_DIGEST, digest);
        }
        let manifest = format!("/{}{MANIFEST_SUFFIX}", encode_path(self.path));
        insert(
            headers,
            LINK,
            &format!("<{manifest}>; rel=\"peerlift-manifest\""),
        );
        response
    }
}

/// A plain answer for a person.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.into())
}

/// An answer of this type.
pub(crate) fn respond(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

fn with_allow(mut response: Response<Body>) -> Response<Body> {
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value here is made of encoded paths, digits and digests.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn ends_in_slash<B>(request: &Request<B>) -> bool {
    request.uri().path().ends_with('/')
}

fn encode_path(path: &Path) -> String {
    utf8_percent_encode(&path.to_string_lossy(), PATH_SAFE).to_string()
}

fn content_range(part: ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start(), part.end() - 1)
}

/// The sidecars have types of their own; text says its encoding.
fn media_type(path: &Path, entry: Option<&Entry>) -> String {
    let name = path.to_string_lossy();
    if name.ends_with(MANIFEST_SUFFIX) {
        return "application/jose+json".to_owned();
    }
    if name.ends_with(OUTBOARD_SUFFIX) {
        return "application/octet-stream".to_owned();
    }
    let known = entry
        .map(|entry| entry.media_type.clone())
        .filter(|kind| !kind.is_empty());
    let media_type = known.unwrap_or_else(|| media_type_of(path));
    if media_type.starts_with("text/") && !media_type.contains("charset") {
        return format!("{media_type}; charset=utf-8");
    }
    media_type
}

fn to_the_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// The path of a file below the folder, as the catalogue knows it.
pub(crate) fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    path.strip_prefix(root).ok().map(Path::to_owned)
}

/// What `io::Error` says about a file that is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
