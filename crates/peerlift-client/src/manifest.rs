//! Finds the manifest of a URL and decides whether to believe it.

use bytes::Bytes;
use peerlift_content::VerifiedManifest;
use peerlift_model::PublisherId;
use peerlift_net::http::{HttpClient, HttpError, Opened};
use url::Url;

use crate::error::DownloadError;
use crate::known_publishers::{KnownPublishers, Trust};

/// What comes beside a file `NAME`: its signed description.
const MANIFEST_SUFFIX: &str = ".peerlift";

/// What comes beside a file `NAME`: its hash tree.
const OUTBOARD_SUFFIX: &str = ".obao";

/// The first contact with a URL.
#[derive(Debug)]
pub(crate) struct Contact {
    /// What the server said about the file.
    pub(crate) opened: Opened,
    /// The manifest; `None`: there is none.
    pub(crate) manifest: Option<Signed>,
}

/// A manifest whose signature was checked.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) verified: VerifiedManifest,
    /// Where it was found.
    pub(crate) found_at: Url,
    /// As it was signed.
    pub(crate) bytes: Bytes,
}

impl Signed {
    pub(crate) fn parse(bytes: Bytes, found_at: Url) -> Result<Self, DownloadError> {
        match VerifiedManifest::parse(&bytes) {
            Ok(verified) => Ok(Self {
                verified,
                found_at,
                bytes,
            }),
            Err(source) => Err(DownloadError::Manifest {
                url: found_at,
                source,
            }),
        }
    }
}

/// Asks for the first byte of the file and for its sidecar at once, so that a manifest costs no
/// round trip of its own; a `Link` elsewhere has precedence over the sidecar.
pub(crate) async fn contact(http: &HttpClient, url: &Url) -> Result<Contact, DownloadError> {
    let sidecar_url = with_suffix(url, MANIFEST_SUFFIX);
    let (opened, sidecar) = tokio::join!(
        http.open(url, 1),
        http.small(&sidecar_url, VerifiedManifest::BYTES_MAX)
    );
    let opened = opened?;
    let found = match &opened.manifest {
        Some(link) if *link != sidecar_url => {
            Some(http.small(link, VerifiedManifest::BYTES_MAX).await?)
        }
        Some(_) => Some(sidecar?),
        None => sidecar_if_any(sidecar)?,
    };
    let Some((bytes, found_at)) = found else {
        return Ok(Contact {
            opened,
            manifest: None,
        });
    };
    match Signed::parse(bytes.clone(), found_at) {
        Ok(signed) => Ok(Contact {
            opened,
            manifest: Some(signed),
        }),
        // Servers that answer every URL with a page of theirs have no manifest to offer.
        Err(_) if opened.manifest.is_none() && looks_like_html(&bytes) => Ok(Contact {
            opened,
            manifest: None,
        }),
        Err(error) => Err(error),
    }
}

/// The manifest beside a file that is not shown to us itself.
pub(crate) async fn sidecar(http: &HttpClient, file: &Url) -> Result<Signed, DownloadError> {
    let url = with_suffix(file, MANIFEST_SUFFIX);
    let (bytes, found_at) = http.small(&url, VerifiedManifest::BYTES_MAX).await?;
    Signed::parse(bytes, found_at)
}

/// A sidecar that nobody promised may be missing in any way a server can say it; a server that
/// cannot be asked is a failure all the same.
fn sidecar_if_any<T>(sidecar: Result<T, HttpError>) -> Result<Option<T>, DownloadError> {
    match sidecar {
        Ok(found) => Ok(Some(found)),
        Err(
            HttpError::Status { .. } | HttpError::TooLarge { .. } | HttpError::Redirects { .. },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn looks_like_html(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'<')
}

/// Checks who signed: the named publisher, or else whoever signed for this origin before.
pub(crate) fn check_publisher(
    known: &KnownPublishers,
    (manifest, url): (&VerifiedManifest, &Url),
    pinned: Option<PublisherId>,
) -> Result<Trust, DownloadError> {
    let actual = manifest.publisher;
    let records = |source| DownloadError::Records {
        what: "the known publishers",
        source,
    };
    if let Some(wanted) = pinned {
        if wanted != actual {
            return Err(DownloadError::WrongPublisher {
                url: url.clone(),
                wanted,
                actual,
            });
        }
        known.trust(url, actual).map_err(records)?;
        return Ok(Trust::Known);
    }
    match known.check(url, actual).map_err(records)? {
        Trust::Changed { known } => Err(DownloadError::PublisherChanged {
            url: url.clone(),
            known,
            offered: actual,
        }),
        trust @ (Trust::Known | Trust::FirstUse) => Ok(trust),
    }
}

/// The outboard beside a file, or beside the manifest that was found for it.
pub(crate) fn outboard_url(file: &Url) -> Url {
    with_suffix(file, OUTBOARD_SUFFIX)
}

/// The outboard that belongs to a manifest at `NAME.peerlift`.
pub(crate) fn outboard_beside(manifest: &Url) -> Url {
    let mut url = manifest.clone();
    let path = url
        .path()
        .strip_suffix(MANIFEST_SUFFIX)
        .unwrap_or(url.path())
        .to_owned();
    url.set_path(&(path + OUTBOARD_SUFFIX));
    url
}

fn with_suffix(url: &Url, suffix: &str) -> Url {
    let mut sidecar = url.clone();
    sidecar.set_path(&format!("{}{suffix}", url.path()));
    sidecar.set_fragment(None);
    sidecar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_lie_beside_the_file() {
        let url = Url::parse("http://h/a%20b.iso?token=x#top").unwrap();
        let manifest = with_suffix(&url, MANIFEST_SUFFIX);
        assert_eq!(manifest.as_str(), "http://h/a%20b.iso.peerlift?token=x");
        assert_eq!(
            outboard_beside(&manifest).as_str(),
            "http://h/a%20b.iso.obao?token=x"
        );
        assert_eq!(
            outboard_url(&url).as_str(),
            "http://h/a%20b.iso.obao?token=x"
        );
    }
}
