//! Manifests on the disk: reads them, and says in the user's words why one cannot be used.

use peerlift_content::{ManifestError, SidecarError, Sidecars, VerifiedManifest};

use crate::failure::{Exit, Failure, printable};

/// Reads a manifest and checks its signature. `what` begins the message of a failure.
pub(crate) fn read_manifest(sidecars: &Sidecars, what: &str) -> Result<VerifiedManifest, Failure> {
    let error = match sidecars.read_manifest() {
        Ok(signed) => return Ok(signed),
        Err(error) => error,
    };
    let failed = |exit| Failure::caused(exit, what, &error);
    Err(match &error {
        SidecarError::Manifest {
            source: ManifestError::UnknownVersion { .. },
            ..
        } => failed(Exit::NotUnderstood).hint("a newer peerlift is needed to read it"),
        SidecarError::Manifest { .. } => {
            failed(Exit::Verification).hint("get the .peerlift file again from its publisher")
        }
        SidecarError::Io { .. } | _ => failed(Exit::Storage)
            .hint("the .peerlift file lies beside the published file, or must be named"),
    })
}

/// Who signed, as far as can be known: a name is only what the signer calls itself.
pub(crate) fn signer(signed: &VerifiedManifest) -> String {
    match printable(&signed.manifest.publisher_name) {
        nobody if nobody.is_empty() => format!("key {}", signed.publisher),
        name => format!("{name:?}, key {}", signed.publisher),
    }
}
