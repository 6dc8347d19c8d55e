//! HTTPS, and both versions of HTTP on it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Running, content, publisher, serve_with, within};
use peerlift_edge::{Edge, EdgeConfig, EdgeError, TlsFiles};
use prometheus_client::registry::Registry;
use reqwest::{Certificate, Client, ClientBuilder, Method, Version};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

struct Secured {
    edge: Running,
    certificate: Certificate,
    _files: TempDir,
}

fn tls_files(folder: &TempDir) -> (TlsFiles, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, pem: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        path
    };
    let pem = made.cert.pem();
    let files = TlsFiles {
        certificates: file("cert.pem", &pem),
        key: file("key.pem", &made.signing_key.serialize_pem()),
    };
    (files, pem)
}

async fn secured() -> Secured {
    let files = tempfile::tempdir().unwrap();
    let (tls, pem) = tls_files(&files);
    let edge = serve_with(
        |folder| fs::write(folder.join("file"), content(700_001)).unwrap(),
        |config| {
            config.tls = Some(tls);
            config.publish = Some(publisher());
        },
    )
    .await;
    Secured {
        edge,
        certificate: Certificate::from_pem(pem.as_bytes()).unwrap(),
        _files: files,
    }
}

impl Secured {
    fn client(&self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .no_proxy()
            .tls_certs_only([self.certificate.clone()])
            .resolve("localhost", self.edge.address());
        change(builder).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.edge.address().port())
    }
}

#[tokio::test]
async fn http_2_when_the_client_can() {
    let secured = secured().await;
    let client = secured.client(|builder| builder);
    let got = within(client.get(secured.url("/file")).send())
        .await
        .unwrap();
    assert_eq!(
        (got.status().as_u16(), got.version()),
        (200, Version::HTTP_2)
    );
    assert!(got.headers().contains_key("etag"));
    assert!(within(got.bytes()).await.unwrap() == content(700_001));
    let range = client
        .get(secured.url("/file"))
        .header("range", "bytes=5-600000");
    let got = within(range.send()).await.unwrap();
    assert_eq!(got.status(), 206);
    assert!(within(got.bytes()).await.unwrap() == content(700_001)[5..=600_000]);
}

#[tokio::test]
async fn http_1_1_when_it_cannot() {
    let secured = secured().await;
    let client = secured.client(ClientBuilder::http1_only);
    let got = within(client.get(secured.url("/file")).send())
        .await
        .unwrap();
    assert_eq!(
        (got.status().as_u16(), got.version()),
        (200, Version::HTTP_11)
    );
    assert!(within(got.bytes()).await.unwrap() == content(700_001));
}

#[tokio::test]
async fn head_and_304_have_no_body_on_http_2() {
    let secured = secured().await;
    let client = secured.client(|builder| builder);
    for path in ["/file", "/", "/healthz", "/metrics", "/nothing"] {
        let asked = client.request(Method::HEAD, secured.url(path));
        let got = within(asked.send()).await.unwrap();
        assert_eq!(got.version(), Version::HTTP_2);
        assert_ne!(got.headers()["content-length"], "0", "{path}");
        assert!(within(got.bytes()).await.unwrap().is_empty(), "{path}");
    }
    let asked = client
        .get(secured.url("/file"))
        .header("if-none-match", "*");
    let got = within(asked.send()).await.unwrap();
    assert_eq!(got.status(), 304);
    assert!(!got.headers().contains_key("content-length"));
}

#[tokio::test]
async fn many_requests_at_once_on_one_connection() {
    let secured = secured().await;
    let client = secured.client(|builder| builder);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let request = client.get(secured.url("/file"));
        asked.spawn(async move { request.send().await.unwrap().bytes().await.unwrap().len() });
    }
    for length in within(asked.join_all()).await {
        assert_eq!(length, 700_001);
    }
}

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_nothing() {
    let secured = secured().await;
    let mut stream = secured.edge.connect().await;
    stream
        .write_all(b"GET /file HTTP/1.1\r\nHost: edge\r\n\r\n")
        .await
        .unwrap();
    let got = common::read_to_end(&mut stream).await;
    assert!(!got.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn files_that_are_no_certificate_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = tls_files(&folder);
    let other = folder.path().join("other.pem");
    fs::write(&other, "nothing").unwrap();
    let cases = [
        TlsFiles {
            certificates: other.clone(),
            ..good.clone()
        },
        TlsFiles {
            key: other.clone(),
            ..good.clone()
        },
        TlsFiles {
            key: folder.path().join("missing.pem"),
            ..good
        },
    ];
    for files in cases {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let mut config = EdgeConfig::new(folder.path().to_owned(), listen);
        config.tls = Some(files);
        let error = Edge::bind(config, Registry::default()).await.unwrap_err();
        assert!(matches!(error, EdgeError::Tls { .. }), "{error}");
    }
}
