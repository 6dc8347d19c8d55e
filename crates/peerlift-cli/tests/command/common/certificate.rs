//! A certificate for `localhost` that nobody but the test vouches for.

use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;

/// Certificate and key.
pub(crate) struct Certificate {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        Self {
            made: rcgen::generate_simple_self_signed(names).unwrap(),
        }
    }

    /// The certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.made.cert.pem()
    }

    /// The private key in PEM.
    pub(crate) fn key_pem(&self) -> String {
        self.made.signing_key.serialize_pem()
    }

    /// For a server.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.made.cert.der().clone()], key);
        Arc::new(config.unwrap())
    }
}
