//! The name under which a download is kept, when the user gave none.

use percent_encoding::percent_decode_str;
use url::Url;

/// The longest file name that common file systems take, less our `.part.state`.
const NAME_BYTES_MAX: usize = 255 - 16;

/// Makes a file name out of what a stranger suggests; `None` when nothing usable is left.
///
/// The name stays in the folder (no separators), visible (no leading dot) and printable.
pub(crate) fn sanitize(suggested: &str) -> Option<String> {
    let last = suggested.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last.chars().filter(|c| !c.is_control()).collect();
    name = name.trim_start_matches('.').trim().to_owned();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    (!name.is_empty()).then_some(name)
}

/// The file name in a URL: its last path segment, decoded.
pub(crate) fn of_url(url: &Url) -> Option<String> {
    let segment = url.path_segments()?.next_back()?;
    sanitize(&percent_decode_str(segment).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_leave_the_folder() {
        for (suggested, want) in [
            ("os.iso", Some("os.iso")),
            ("a b ü.iso", Some("a b ü.iso")),
            ("../../etc/passwd", Some("passwd")),
            ("..\\evil.exe", Some("evil.exe")),
            (".bashrc", Some("bashrc")),
            ("..", None),
            ("a/", None),
            ("", None),
            ("bell\u{7}\n.txt", Some("bell.txt")),
        ] {
            assert_eq!(sanitize(suggested).as_deref(), want, "{suggested:?}");
        }
        assert!(sanitize(&"é".repeat(300)).is_some_and(|name| name.len() <= NAME_BYTES_MAX));
    }

    #[test]
    fn names_come_decoded_out_of_urls() {
        let of = |url| of_url(&Url::parse(url).unwrap());
        assert_eq!(
            of("http://h/dir/a%20b.iso?x=/y").as_deref(),
            Some("a b.iso")
        );
        assert_eq!(of("http://h/a%2Fb").as_deref(), Some("b"));
        assert_eq!(of("http://h/%2e%2e%2fup").as_deref(), Some("up"));
        assert_eq!(of("http://h/"), None);
    }
}
