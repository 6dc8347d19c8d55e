//! TLS 1.3 between two peers: both prove an Ed25519 key (raw public keys, RFC 7250), no authority
//! vouches for anybody.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerlift_model::PeerId;
use peerlift_wire::peer::ALPN;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, public_key_to_spki};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use crate::peer::PeerLinkError;

/// What a PKCS #8 document holds before the 32 bytes of an Ed25519 seed (RFC 8410 §7).
const PKCS8_HEADER: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What handshakes are made of.
#[derive(Clone)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// For the key that is made of this seed.
    pub(super) fn new(seed: &[u8; 32]) -> Result<Self, PeerLinkError> {
        let provider = Arc::new(provider());
        let pkcs8 = PrivatePkcs8KeyDer::from([&PKCS8_HEADER[..], seed].concat());
        let signer = rustls::crypto::ring::sign::any_eddsa_type(&pkcs8).map_err(local)?;
        let public = SigningKey::from_bytes(seed).verifying_key().to_bytes();
        let certificate = CertificateDer::from(spki(&PeerId::new(public)).to_vec());
        let key = Arc::new(CertifiedKey::new(vec![certificate], signer));
        let server = Arc::new(server_config(&provider, &key)?);
        Ok(Self {
            provider,
            key,
            server,
        })
    }

    /// For whoever is let in.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For dialling one peer; anybody else is taken for an impostor.
    pub(super) fn client(&self, peer: PeerId) -> Result<Arc<ClientConfig>, PeerLinkError> {
        let verifier = Verifier {
            provider: Arc::clone(&self.provider),
            expected: Some(peer),
        };
        let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(local)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Whose key the other side has proven, once the handshake is over.
pub(super) fn proven(connection: &rustls::Connection) -> Result<PeerId, PeerLinkError> {
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(misbehaved("another application protocol"));
    }
    let certificates = connection.peer_certificates().unwrap_or_default();
    let key = certificates.first().and_then(|key| key_of(key));
    key.ok_or_else(|| misbehaved("no Ed25519 key"))
}

/// The dialled name, which is not sent (`enable_sni`): peers are known by their keys.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    key: &Arc<CertifiedKey>,
) -> Result<ServerConfig, PeerLinkError> {
    let verifier = Verifier {
        provider: Arc::clone(provider),
        expected: None,
    };
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(key));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(local)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The cheapest cipher of this machine first: AES-128 where the processor has instructions for it,
/// ChaCha20 elsewhere. The dialling side's order counts.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let first = if aes_is_cheap() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
    } else {
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    };
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != first);
    provider
}

fn aes_is_cheap() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has = std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// Believes whoever proves to hold a key: a certain one when dialling, any when dialled.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    expected: Option<PeerId>,
}

impl Verifier {
    fn check(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let peer = key_of(key).filter(|_| others.is_empty());
        let peer = peer.ok_or(CertificateError::BadEncoding)?;
        if self.expected.is_some_and(|expected| expected != peer) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(())
    }

    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The key as TLS shows it (RFC 8410 §4).
fn spki(peer: &PeerId) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ED25519, peer.as_bytes())
}

/// The Ed25519 key of a `SubjectPublicKeyInfo`, if it is one.
fn key_of(info: &CertificateDer<'_>) -> Option<PeerId> {
    let peer = PeerId::new(*info.as_ref().last_chunk()?);
    (spki(&peer).as_ref() == info.as_ref()).then_some(peer)
}

fn local(error: impl std::fmt::Display) -> PeerLinkError {
    PeerLinkError::Local(error.to_string())
}

fn misbehaved(what: &str) -> PeerLinkError {
    PeerLinkError::Misbehaved(what.to_owned())
}
