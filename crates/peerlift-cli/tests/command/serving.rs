//! `peerlift serve`: a folder that any HTTP client can fetch from.

use std::fs;
use std::net::TcpListener;

use crate::common::world::beside;
use crate::common::{Certificate, KIB, MIB, Running, Serving, World, noise};
use rustix::process::Signal;

#[test]
fn it_says_when_it_is_ready_and_ends_when_told() {
    for (signal, codes) in [(Signal::TERM, [0, 143]), (Signal::INT, [0, 130])] {
        let world = World::new();
        fs::create_dir(world.path("site")).unwrap();
        let serving = Serving::folder(&world, "site", &[]);
        assert!(
            serving.url("").starts_with("http://127.0.0.1:"),
            "{}",
            serving.ready
        );
        assert!(serving.ready["folder"].as_str().unwrap().ends_with("site"));
        assert_eq!(serving.ready["publisher"].as_str().unwrap().len(), 64);
        let ended = serving.end(signal);
        assert!(codes.map(Some).contains(&ended.status.code()), "{ended:?}");
    }
}

#[test]
fn any_client_can_fetch_and_peerlift_can_verify() {
    let world = World::new();
    let bytes = noise(3 * MIB);
    world.write("site/dir/f.bin", &bytes);
    let serving = Serving::folder(&world, "site", &[]);
    let (head, body) = serving.ask_until_found("/dir/f.bin.peerlift");
    assert!(
        head.to_ascii_lowercase().contains("content-length"),
        "{head}"
    );
    assert!(!body.is_empty());
    let (head, body) = serving.ask("/dir/f.bin");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body == bytes, "the file differs");
    let head = head.to_ascii_lowercase();
    for header in [
        "etag: ",
        "accept-ranges: bytes",
        "content-length: 3145728",
        "link: ",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }

    let ended = world
        .run(["get", "--json", &serving.url("/dir/f.bin")])
        .fine();
    assert_eq!(ended.event("completed")["verified"]["by"], "manifest");
    assert_eq!(
        ended.event("started")["publisher"],
        serving.ready["publisher"]
    );
    assert!(world.read("f.bin") == bytes, "the file differs");
}

#[test]
fn what_is_added_or_changed_while_it_runs_is_published() {
    let world = World::new();
    fs::create_dir(world.path("site")).unwrap();
    let serving = Serving::folder(&world, "site", &[]);
    let (head, _) = serving.ask("/late.bin");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    world.write("new.bin", &noise(MIB));
    fs::rename(world.path("new.bin"), world.path("site/late.bin")).unwrap();
    let (_, first) = serving.ask_until_found("/late.bin.peerlift");
    world.get([serving.url("/late.bin")]).fine();
    assert_eq!(world.read("late.bin"), noise(MIB));

    world.write("new.bin", &noise(MIB + 1));
    fs::rename(world.path("new.bin"), world.path("site/late.bin")).unwrap();
    while serving.ask_until_found("/late.bin.peerlift").1 == first {}
    world.get([&serving.url("/late.bin"), "--overwrite"]).fine();
    assert_eq!(world.read("late.bin"), noise(MIB + 1));
}

#[test]
fn health_and_numbers_are_there() {
    let world = World::new();
    world.write("site/f", &noise(KIB));
    let serving = Serving::folder(&world, "site", &[]);
    let (head, _) = serving.ask("/healthz");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serving.ask("/f");
    let (head, body) = serving.ask("/metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("peerlift_"));
}

#[test]
fn what_is_hidden_or_outside_is_not_served() {
    let world = World::new();
    world.write("secret", b"secret");
    world.write("site/.hidden", b"secret");
    world.write("site/sub/f", b"public");
    std::os::unix::fs::symlink("../secret", world.path("site/link")).unwrap();
    let serving = Serving::folder(&world, "site", &[]);
    for path in [
        "/.hidden",
        "/link",
        "/../secret",
        "/%2e%2e/secret",
        "/sub/..%2f..%2fsecret",
    ] {
        let (head, body) = serving.ask(path);
        assert!(!head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert!(
            !String::from_utf8_lossy(&body).contains("secret\n"),
            "{path}"
        );
        assert_ne!(body, b"secret", "{path}");
    }
}

#[test]
fn it_does_not_sign_when_told_not_to() {
    let world = World::new();
    world.write("site/f", &noise(KIB));
    let serving = Serving::folder(&world, "site", &["--no-publish"]);
    let ended = world.run(["get", "--json", &serving.url("/f")]).fine();
    assert_eq!(ended.event("completed")["verified"]["by"], "length");
    assert_eq!(world.list("site"), ["f"]);
}

#[test]
fn what_was_signed_before_it_started_is_not_read_again() {
    let world = World::new();
    let path = world.write_settled("site/f", &noise(MIB));
    world.publish_as(&path, &[]);
    let outboard = beside(&path, ".obao");
    let before = fs::metadata(&outboard).unwrap().modified().unwrap();
    let serving = Serving::folder(&world, "site", &[]);
    serving.ask_until_found("/f.peerlift");
    world.get([serving.url("/f")]).fine();
    assert_eq!(fs::metadata(&outboard).unwrap().modified().unwrap(), before);
}

#[test]
fn an_address_that_is_taken_is_said() {
    let world = World::new();
    fs::create_dir(world.path("site")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = [
        "serve",
        "site",
        "--listen",
        &address,
        "--relay-quic-port",
        "0",
    ];
    let ended = world.run(args);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[test]
fn a_folder_that_does_not_exist_is_said() {
    let world = World::new();
    let args = [
        "serve",
        "nowhere",
        "--listen",
        "127.0.0.1:0",
        "--relay-quic-port",
        "0",
    ];
    let ended = world.run(args);
    assert!(matches!(ended.status.code(), Some(1 | 2 | 6)), "{ended:?}");
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
}

#[test]
fn the_access_log_has_a_line_a_request() {
    let world = World::new();
    world.write("site/f", &noise(KIB));
    let mut command = world.command(["serve", "site", "--listen", "127.0.0.1:0"]);
    command.args([
        "--relay-quic-port",
        "0",
        "--access-log",
        "access.log",
        "--json",
    ]);
    let mut running = Running::start(&mut command);
    let url = running.event("ready")["urls"][0]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    world.get([format!("{url}/f")]).fine();
    running.signal(Signal::TERM);
    running.wait();
    let log = String::from_utf8(world.read("access.log")).unwrap();
    assert!(log.lines().any(|line| line.contains("/f")), "{log}");
}

#[test]
fn with_a_certificate_everything_goes_over_tls() {
    let world = World::new();
    let bytes = noise(2 * MIB);
    world.write("site/f", &bytes);
    let certificate = Certificate::new();
    world.write("cert.pem", certificate.pem().as_bytes());
    world.write("key.pem", certificate.key_pem().as_bytes());
    let trusted = world.path("cert.pem");
    let serving = Serving::folder(
        &world,
        "site",
        &["--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    );
    assert!(
        serving.url("").starts_with("https://127.0.0.1:"),
        "{}",
        serving.url("")
    );
    let mut command = world.command(["get", "--json", &serving.url("/f")]);
    let ended = Running::start(command.env("SSL_CERT_FILE", &trusted))
        .wait()
        .fine();
    assert!(world.read("f") == bytes, "the file differs");
    assert_eq!(ended.event("completed")["verified"]["by"], "manifest");
    let warnings = ended
        .events()
        .into_iter()
        .filter(|event| event["event"] == "warning");
    assert_eq!(
        warnings.collect::<Vec<_>>(),
        Vec::<serde_json::Value>::new()
    );
}
