//! What lies in a folder, for people and for programs.

use std::fmt::Write as _;
use std::fs::File;
use std::io;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use crate::path::is_servable;

/// Entries listed at most; a folder of more is no place to browse.
const ENTRIES_MAX: usize = 10_000;

/// A file or folder in a listing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    name: String,
    /// `None`: a folder.
    size: Option<u64>,
}

/// What may be seen in an open folder, by name. Symbolic links are left out: they are not served.
///
/// The folder is read by its descriptor: its path may lead elsewhere by now.
pub(crate) fn list(folder: &File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if !is_servable(name) {
            continue;
        }
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone since, which is no reason not to list the others.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let size = if kind.is_dir() {
            None
        } else if kind.is_file() {
            Some(u64::try_from(stat.st_size).unwrap_or(0))
        } else {
            continue;
        };
        let name = name.to_owned();
        entries.push(Entry { name, size });
    }
    entries.sort();
    Ok(entries)
}

/// The listing as `[{"name": …, "size": …}]`; folders have no size.
pub(crate) fn json(entries: &[Entry]) -> String {
    let mut text = String::from("[");
    for (number, entry) in entries.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let size = entry
            .size
            .map(|size| format!(",\"size\":{size}"))
            .unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{comma}\n{{\"name\":\"{}\"{size}}}",
            escape_json(&entry.name)
        );
    }
    text + "\n]\n"
}

/// The listing as a page.
pub(crate) fn html(path: &str, entries: &[Entry]) -> String {
    let title = escape_html(&format!("/{path}"));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:16px system-ui;margin:2em;color-scheme:light dark}}\
         td{{padding:.2em 1.5em .2em 0}}td+td{{text-align:right}}</style>\n<h1>{title}</h1>\n<table>\n"
    );
    if !path.is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a><td>\n");
    }
    for entry in entries {
        let slash = if entry.size.is_none() { "/" } else { "" };
        let link = utf8_percent_encode(&entry.name, NON_ALPHANUMERIC);
        let name = escape_html(&entry.name);
        let size = entry.size.map(|size| size.to_string()).unwrap_or_default();
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a><td>{size}"
        );
    }
    page + "</table>\n"
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let entries = [Entry {
            name: "<b>\"&'\n".to_owned(),
            size: Some(1),
        }];
        let page = html("", &entries);
        assert!(!page.contains("<b>"), "{page}");
        assert!(page.contains("./%3Cb%3E%22%26%27%0A"), "{page}");
        assert_eq!(
            json(&entries),
            "[\n{\"name\":\"<b>\\\"&'\\u000a\",\"size\":1}\n]\n"
        );
    }

    #[test]
    fn hidden_and_unfinished_files_and_links_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", ".hidden", "x.part"] {
            std::fs::write(folder.path().join(name), "12").unwrap();
        }
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let names = list(&File::open(folder.path()).unwrap()).unwrap();
        let folder_a = Entry {
            name: "a".to_owned(),
            size: None,
        };
        assert_eq!(
            names,
            [
                folder_a,
                Entry {
                    name: "b".to_owned(),
                    size: Some(2)
                }
            ]
        );
    }
}
