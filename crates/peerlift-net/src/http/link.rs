//! The `Link` header (RFC 8288 §3), as far as a manifest can be found by it.

use http::HeaderMap;
use http::header::LINK;
use url::Url;

/// The relation type by which an answer points at the manifest of its file.
const RELATION: &str = "peerlift-manifest";

/// The first `Link` of relation `peerlift-manifest`, resolved against the URL of the answer.
///
/// Only `http` and `https` targets count: a header must not make a client open anything else.
#[must_use]
pub fn manifest_link(base: &Url, headers: &HeaderMap) -> Option<Url> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(links)
        .find(|link| link.is_relation(RELATION))
        .and_then(|link| base.join(link.target).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// One entry of the header: `<target>; name=value; name="value"`.
struct Link<'a> {
    target: &'a str,
    parameters: &'a str,
}

impl Link<'_> {
    fn is_relation(&self, relation: &str) -> bool {
        self.parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|name| name.eq_ignore_ascii_case(relation))
        })
    }
}

/// Splits a header value at the commas outside `<>` and quotes.
fn links(value: &str) -> impl Iterator<Item = Link<'_>> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let end = entry_end(after);
        rest = &after[end..];
        Some(Link {
            target,
            parameters: &after[..end],
        })
    })
}

fn entry_end(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn find(values: &[&str]) -> Option<String> {
        let base = Url::parse("https://edge.example/dir/os.iso").unwrap();
        let headers = values
            .iter()
            .map(|value| (LINK, HeaderValue::from_str(value).unwrap()))
            .collect();
        manifest_link(&base, &headers).map(String::from)
    }

    #[test]
    fn finds_the_manifest_among_other_links() {
        let want = Some("https://edge.example/dir/os.iso.peerlift".to_owned());
        for values in [
            &["<os.iso.peerlift>; rel=\"peerlift-manifest\""][..],
            &["</dir/os.iso.peerlift>;rel=peerlift-manifest"],
            &["<a>; rel=next, <os.iso.peerlift>; title=\"a, b\"; rel=\"up peerlift-manifest\""],
            &["<a>; rel=next", "<os.iso.peerlift>; Rel=Peerlift-Manifest"],
        ] {
            assert_eq!(find(values), want, "{values:?}");
        }
    }

    #[test]
    fn ignores_what_is_no_link_to_a_manifest() {
        for value in [
            "",
            "<",
            "<>",
            "<a>",
            "a; rel=peerlift-manifest",
            "<a>; rel=\"peerlift\"",
            "<file:///etc/passwd>; rel=peerlift-manifest",
            "<a>; title=\"rel=peerlift-manifest\"",
            "<http://[>; rel=peerlift-manifest",
        ] {
            assert_eq!(find(&[value]), None, "{value}");
        }
    }
}
