//! Which names lead to a file, and that none leads out of the folder.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Running, serve, serve_with};

/// A folder with something beside it, above it and behind links in it that nobody may see.
fn fill(folder: &Path) {
    fs::create_dir_all(folder.join("served/dir/.hidden")).unwrap();
    fs::write(folder.join("secret"), "secret").unwrap();
    let served = folder.join("served");
    fs::write(served.join("dir/file"), "fine").unwrap();
    fs::write(served.join("dir/.hidden/file"), "secret").unwrap();
    fs::write(served.join(".env"), "secret").unwrap();
    fs::write(served.join("load.part"), "secret").unwrap();
    fs::write(served.join("load.part.state"), "secret").unwrap();
    symlink("../secret", served.join("link")).unwrap();
    symlink("..", served.join("up")).unwrap();
    symlink("dir/file", served.join("inside")).unwrap();
}

async fn serve_below() -> Running {
    serve_with(fill, |config| config.folder.push("served")).await
}

#[tokio::test]
async fn nothing_outside_or_hidden_is_found() {
    let edge = serve_below().await;
    assert_eq!(edge.get("/dir/file", &[]).await.text(), "fine");
    for path in [
        "/../secret",
        "/dir/../../secret",
        "/dir/../dir/file",
        "/./dir/file",
        "//dir/file",
        "/dir//file",
        "/%2e%2e/secret",
        "/%2E%2E/secret",
        "/%252e%252e/secret",
        "/..%2Fsecret",
        "/dir%2Ffile",
        "/dir%2ffile",
        "/dir%5Cfile",
        "/dir/file%00",
        "/dir/file/",
        "/%ff",
        "/.env",
        "/%2eenv",
        "/dir/.hidden/file",
        "/load.part",
        "/load.part.state",
        "/link",
        "/up/secret",
        "/up/served/dir/file",
        "/inside",
        "/nothing",
    ] {
        for method in ["GET", "HEAD"] {
            let got = edge.request(method, path, &[]).await;
            assert_eq!(got.status, 404, "{method} {path}");
            assert!(
                !String::from_utf8_lossy(&got.body).contains("secret"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn an_absolute_target_is_its_path() {
    let edge = serve_below().await;
    assert_eq!(edge.get("http://other/dir/file", &[]).await.text(), "fine");
    assert_eq!(edge.get("/dir/file?a=../b", &[]).await.text(), "fine");
    assert_eq!(edge.get("http://other/../secret", &[]).await.status, 404);
}

#[tokio::test]
async fn folders_are_listed_without_what_is_not_served() {
    let edge = serve_below().await;
    let got = edge.get("/", &[("Accept", "application/json")]).await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.text(), "[\n{\"name\":\"dir\"}\n]\n");
    let got = edge.get("/dir/", &[]).await;
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(got.text().contains("href=\"./file\""), "{}", got.text());
    let got = edge.get("/dir", &[]).await;
    assert_eq!((got.status, got.header("location")), (301, Some("/dir/")));
    assert_eq!(edge.get("/up/", &[]).await.status, 404);
}

#[tokio::test]
async fn names_of_every_kind() {
    let names = [
        ("with space.txt", "/with%20space.txt"),
        ("größe-日本.bin", "/gr%C3%B6%C3%9Fe-%E6%97%A5%E6%9C%AC.bin"),
        ("100%.zip", "/100%25.zip"),
        ("a+b&c=d#e?f.zip", "/a%2Bb%26c%3Dd%23e%3Ff.zip"),
        ("quote\"<>.zip", "/quote%22%3C%3E.zip"),
        ("x.new", "/x.new"),
    ];
    let edge = serve(|folder| {
        for (name, _) in names {
            fs::write(folder.join(name), name).unwrap();
        }
    })
    .await;
    let page = edge.get("/", &[]).await;
    for (name, path) in names {
        let got = edge.get(path, &[]).await;
        assert_eq!((got.status, got.text()), (200, name));
        let link = format!("<{path}.peerlift>; rel=\"peerlift-manifest\"");
        assert_eq!(got.header("link"), Some(link.as_str()));
        assert_eq!(edge.get(&format!("{path}.peerlift"), &[]).await.status, 200);
        let text = page.text();
        let listed = |path: &str| text.contains(&format!("href=\".{path}\""));
        let unsafe_kept = path.replace('.', "%2E").replace('-', "%2D");
        assert!(listed(&unsafe_kept), "{name} in {text}");
    }
}
