//! From a request's path to an open file below the folder, or to nothing.
//!
//! A path is decoded once, cut at `/`, and every part must be a plain, visible name. The kernel
//! then resolves it below the folder's descriptor without following any symbolic link
//! (`openat2(2)`), so that no race can lead outside.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The longest path that is looked at, decoded: Linux' `PATH_MAX`.
const PATH_BYTES_MAX: usize = 4096;

/// Endings of files that are ours and unfinished: never served.
const UNFINISHED: [&str; 3] = [".part", ".part.obao", ".part.state"];

/// The folder that is served.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens the folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { folder, path })
    }

    /// Where the folder lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what lies at a relative path made by [`relative`]. `NotFound` says anything that
    /// must not be told apart: a symbolic link, a device, a file that may not be read.
    pub(crate) fn open_file(&self, relative: &Path) -> io::Result<File> {
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened =
            rustix::fs::openat2(self.folder.as_fd(), relative, flags, Mode::empty(), resolve);
        match opened {
            Ok(file) => Ok(file.into()),
            Err(Errno::NOSYS) => self.open_by_parts(relative, flags),
            Err(error) => Err(error.into()),
        }
    }

    /// What kernels before 5.6 need: one part at a time, none of them a link.
    fn open_by_parts(&self, relative: &Path, flags: OFlags) -> io::Result<File> {
        let mut at = self.folder.as_fd().try_clone_to_owned()?;
        let parts: Vec<_> = relative.components().collect();
        for (number, part) in parts.iter().enumerate() {
            let last = number + 1 == parts.len();
            let kind = if last {
                flags
            } else {
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
            };
            at = rustix::fs::openat(
                &at,
                part.as_os_str(),
                kind | OFlags::NOFOLLOW,
                Mode::empty(),
            )?;
        }
        Ok(at.into())
    }
}

/// Decodes a request's path (`/dir/a%20b`) into one below the folder. `None`: nothing can lie there.
pub(crate) fn relative(request_path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(request_path.strip_prefix('/')?)
        .decode_utf8()
        .ok()?;
    if decoded.len() > PATH_BYTES_MAX {
        return None;
    }
    // `%2F` would make two paths of one name; `\` would on other systems.
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    if slashes(&decoded) + 1 != slashes(request_path) {
        return None;
    }
    let mut path = PathBuf::new();
    let mut parts = decoded.split('/').peekable();
    while let Some(part) = parts.next() {
        let trailing_slash = part.is_empty() && parts.peek().is_none();
        if trailing_slash {
            break;
        }
        if !is_servable(part) {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

/// Whether a file of this name may be seen: visible, finished, and a plain name.
pub(crate) fn is_servable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['\\', '\0'])
        && UNFINISHED.iter().all(|ending| !name.ends_with(ending))
}

/// Reads arbitrary bytes as a request's path.
///
/// # Panics
///
/// When the path would leave the folder or reach something hidden.
pub fn fuzz_path(data: &[u8]) {
    let Some(path) = std::str::from_utf8(data).ok().and_then(relative) else {
        return;
    };
    for part in path.components() {
        let std::path::Component::Normal(name) = part else {
            panic!("{path:?} is no plain path")
        };
        assert!(
            !name.as_encoded_bytes().starts_with(b"."),
            "{path:?} is hidden"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let at = |path| relative(path).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(at("/a.iso").as_deref(), Some("a.iso"));
        assert_eq!(at("/dir/a%20b%C3%BC.iso").as_deref(), Some("dir/a bü.iso"));
        assert_eq!(at("/100%25").as_deref(), Some("100%"));
        assert_eq!(at("/").as_deref(), Some(""));
        assert_eq!(at("/dir/").as_deref(), Some("dir"));
    }

    #[test]
    fn nothing_outside_or_hidden_can_be_named() {
        for path in [
            "",
            "a",
            "//",
            "//a",
            "/a//b",
            "/..",
            "/../etc/passwd",
            "/a/../../b",
            "/%2e%2e/a",
            "/%2E%2e/a",
            "/a%2Fb",
            "/a%2fb",
            "/.hidden",
            "/dir/.hidden/a",
            "/%2ehidden",
            "/a%00b",
            "/a%5Cb",
            "/a\\b",
            "/%ff",
            "/x.part",
            "/x.part.state",
            "/.",
        ] {
            assert_eq!(relative(path), None, "{path}");
        }
        assert_eq!(relative(&format!("/{}", "a/".repeat(2049))), None);
    }

    proptest! {
        #[test]
        fn no_path_escapes(path in "/([a./\\\\%]|%2e|%2f|%00|\\.\\.){0,12}") {
            fuzz_path(path.as_bytes());
        }
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let served = folder.path().join("served");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::create_dir_all(served.join("dir")).unwrap();
        std::fs::write(served.join("dir/file"), "fine").unwrap();
        std::os::unix::fs::symlink(&secret, served.join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), served.join("up")).unwrap();
        let root = Root::open(&served).unwrap();
        for open in [Root::open_file, |root: &Root, path: &Path| {
            root.open_by_parts(path, OFlags::RDONLY | OFlags::CLOEXEC)
        }] {
            assert!(open(&root, Path::new("dir/file")).is_ok());
            assert!(open(&root, Path::new("link")).is_err());
            assert!(open(&root, Path::new("up/secret")).is_err());
        }
    }
}
