//! TLS as all connections of a client use it: the machine's own trust anchors, ring's ciphers.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// A configuration that offers these application protocols (RFC 7301).
///
/// # Errors
///
/// What rustls says when the provider has no usable protocol version.
pub(crate) fn client_config(protocols: &[&[u8]]) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(native_roots());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The machine's trust anchors.
pub(crate) fn native_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}
