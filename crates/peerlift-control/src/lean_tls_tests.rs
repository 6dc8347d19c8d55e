//! Against rustls' ordinary client, over pipes that take a few bytes at a time.

use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// No record fits, and few messages of the handshake do.
const NARROW: usize = 100;

fn configs(
    version: &'static rustls::SupportedProtocolVersion,
) -> (Arc<ServerConfig>, TlsConnector) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

type Pair = (LeanTls<DuplexStream>, TlsStream<DuplexStream>);

async fn pair_of(version: &'static rustls::SupportedProtocolVersion, width: usize) -> Pair {
    let (server, client) = configs(version);
    let (near, far) = duplex(width);
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(LeanTls::accept(server, near), client.connect(name, far));
    (server.unwrap(), client.unwrap())
}

async fn pair() -> Pair {
    pair_of(&rustls::version::TLS13, NARROW).await
}

/// Bytes that differ from place to place.
fn noise(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn bytes_of_any_number_pass_both_ways() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for width in [NARROW, 1 << 20] {
            let (mut server, mut client) = pair_of(version, width).await;
            for count in [
                1,
                4095,
                4096,
                RECORD_BYTES_MAX,
                RECORD_BYTES_MAX + 1,
                300_000,
            ] {
                let sent = noise(count);
                let (mut there, mut back) = (vec![0; count], vec![0; count]);
                let out = async {
                    client.write_all(&sent).await.unwrap();
                    client.flush().await.unwrap();
                };
                tokio::join!(out, async { server.read_exact(&mut there).await.unwrap() });
                let out = async {
                    server.write_all(&there).await.unwrap();
                    server.flush().await.unwrap();
                };
                tokio::join!(out, async { client.read_exact(&mut back).await.unwrap() });
                assert!(there == sent && back == sent, "{count} bytes over {width}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_kept_while_nothing_is_said() {
    let (mut server, mut client) = pair_of(&rustls::version::TLS13, 1 << 16).await;
    let mut word = [0; 4];
    for _ in 0..3 {
        client.write_all(b"ping").await.unwrap();
        server.read_exact(&mut word).await.unwrap();
        server.write_all(b"pong").await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut word).await.unwrap();
    }
    let kept = [&server.incoming, &server.plain, &server.outgoing].map(Vec::capacity);
    assert_eq!(kept, [0, 0, 0]);
}

#[tokio::test]
async fn a_goodbye_is_an_end_and_a_cut_is_an_error() {
    let (mut server, mut client) = pair().await;
    client.write_all(b"last").await.unwrap();
    let mut heard = Vec::new();
    let (said, end) = tokio::join!(client.shutdown(), server.read_to_end(&mut heard));
    said.unwrap();
    assert_eq!((end.unwrap(), &heard[..]), (4, &b"last"[..]));

    let (mut server, client) = pair().await;
    drop(client);
    let cut = server.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn the_other_side_hears_our_goodbye() {
    let (mut server, mut client) = pair().await;
    server.write_all(b"last").await.unwrap();
    let mut heard = Vec::new();
    let (said, end) = tokio::join!(server.shutdown(), client.read_to_end(&mut heard));
    said.unwrap();
    assert_eq!((end.unwrap(), &heard[..]), (4, &b"last"[..]));
    // Whoever is polled again says nothing more, and nobody is told what was not sent.
    server.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    assert!(server.write(b"more").await.is_err());
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert() {
    let (server, _) = configs(&rustls::version::TLS13);
    let (near, mut far) = duplex(1 << 16);
    let accepting = tokio::spawn(LeanTls::accept(server, near));
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = accepting.await.unwrap().err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert_eq!(
        answer.first(),
        Some(&21),
        "an alert (RFC 8446 §5.1): {answer:?}"
    );
}

#[tokio::test]
async fn a_record_that_nobody_encrypted_ends_it() {
    let (mut server, client) = pair_of(&rustls::version::TLS13, 1 << 16).await;
    let (mut socket, _) = client.into_inner();
    let record = [&[23, 3, 3, 0, 20][..], &[0; 20]].concat();
    socket.write_all(&record).await.unwrap();
    let error = server.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // Whoever goes on all the same is told, and may hang up.
    socket.write_all(&record).await.unwrap();
    assert!(server.read(&mut [0]).await.is_err());
    assert!(server.write(b"more").await.is_err());
    server.shutdown().await.unwrap();
}
