//! HTTPS from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{EdgeError, TlsFiles};

/// Offers HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, EdgeError> {
    let mut config = files.server_config()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl TlsFiles {
    /// The files as a TLS server presents them, without any application protocol.
    ///
    /// # Errors
    ///
    /// [`EdgeError::Tls`] when a file cannot be used.
    pub fn server_config(&self) -> Result<ServerConfig, EdgeError> {
        read(self)
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, EdgeError> {
    let certificates = CertificateDer::pem_file_iter(&files.certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(&files.certificates, &error))?;
    if certificates.is_empty() {
        return Err(unusable(
            &files.certificates,
            &"there is no certificate in it",
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| unusable(&files.key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.key, &error))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| unusable(&files.key, &error))
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> EdgeError {
    EdgeError::Tls {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
