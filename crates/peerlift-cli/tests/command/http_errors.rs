//! Servers that refuse, fail or talk nonsense: one line, the right number, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::answer::{garbage, put_published, redirect, status};
use crate::common::proxy::Proxy;
use crate::common::{Certificate, Edge, File, MIB, Running, World, noise};

#[test]
fn what_the_server_refuses_is_said() {
    for (line, number, advice) in [
        ("404 Not Found", "404", "check the spelling"),
        ("403 Forbidden", "403", "--header"),
        ("410 Gone", "410", "removed"),
        ("401 Unauthorized", "401", "--header"),
        ("503 Service Unavailable", "503", "later"),
        ("429 Too Many Requests", "429", "later"),
        ("500 Internal Server Error", "500", ""),
        ("502 Bad Gateway", "502", ""),
        ("400 Bad Request", "400", ""),
    ] {
        let (world, edge) = (World::new(), Edge::new());
        edge.answer("/f", status(line));
        world.get([edge.url("/f")]).failed(3, &[number, advice]);
        assert!(world.list("").is_empty(), "{line}: {:?}", world.list(""));
    }
}

#[test]
fn a_server_that_refuses_in_the_middle_leaves_a_part_to_resume() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(8 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    let (file, left) = (File::new(&bytes), AtomicU32::new(20));
    edge.answer("/f", move |request, wire| {
        let one_less = |left: u32| left.checked_sub(1);
        match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => file.answer(request, wire),
            Err(_) => status("410 Gone")(request, wire),
        }
    });
    world.get([edge.url("/f")]).failed(3, &["410"]);
    assert!(!world.path("f").exists() && world.path("f.part").exists());
    let came = edge.sent("/f");
    assert!(came > MIB, "{came}");

    edge.put("/f", File::new(&bytes));
    world.get([edge.url("/f")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
    let twice = edge.sent("/f") - 8 * MIB;
    assert!(twice <= MIB, "{twice} of {came} were fetched twice");
}

#[test]
fn an_existing_target_survives_a_refusal() {
    let (world, edge) = (World::new(), Edge::new());
    world.write("f", b"precious");
    world
        .get([&edge.url("/f"), "--overwrite"])
        .failed(3, &["404"]);
    assert_eq!(world.read("f"), b"precious");
    assert_eq!(world.list(""), ["f"]);
}

#[test]
fn redirects_are_followed_and_circles_are_left() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/real.bin", File::new(b"hello"));
    edge.answer("/f", redirect("/g"));
    edge.answer("/g", redirect("/real.bin"));
    world.get([edge.url("/f")]).fine();
    assert_eq!(world.read("f"), b"hello");

    edge.answer("/a", redirect("/b"));
    edge.answer("/b", redirect("/a"));
    world
        .get([edge.url("/a")])
        .failed(4, &["redirects", "circles"]);
    assert!(edge.requests("/a").len() + edge.requests("/b").len() <= 50);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    World::new()
        .get(["http://name.invalid/f"])
        .failed(4, &["name.invalid", "spelling"]);
}

#[test]
fn nobody_at_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    drop(listener);
    World::new()
        .get([url])
        .failed(4, &["127.0.0.1", "check your network"]);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_a_trusted_one_is_not() {
    let certificate = Certificate::new();
    let (world, edge) = (World::new(), Edge::with_tls(certificate.server()));
    edge.put("/f", File::new(b"secret"));

    world
        .get([edge.url("/f")])
        .failed(4, &["localhost", "TLS", "certificate"]);
    assert!(world.list("").is_empty());

    let trusted = world.write("../cert.pem", certificate.pem().as_bytes());
    let mut command = world.command(["get", "--quiet", &edge.url("/f")]);
    Running::start(command.env("SSL_CERT_FILE", &trusted))
        .wait()
        .fine();
    assert_eq!(world.read("f"), b"secret");

    // Through a proxy the certificate counts just as much.
    let proxy = Proxy::to(edge.address());
    let mut command = world.command(["get", "--quiet", "--overwrite", &edge.url("/f")]);
    command
        .env("SSL_CERT_FILE", &trusted)
        .env("https_proxy", proxy.url());
    Running::start(&mut command).wait().fine();
    assert!(
        proxy
            .asked()
            .iter()
            .all(|line| line.starts_with("CONNECT localhost:"))
    );
    assert!(!proxy.asked().is_empty());
}

#[test]
fn what_is_not_http_is_not_taken_for_a_file() {
    let (world, edge) = (World::new(), Edge::new());
    edge.answer("/f", garbage());
    world.get([edge.url("/f")]).failed(7, &["127.0.0.1"]);
    assert!(world.list("").is_empty());
}

#[test]
fn a_range_nobody_asked_for_makes_no_sense() {
    let (world, edge) = (World::new(), Edge::new());
    edge.answer("/f", |_, wire| {
        wire.head("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-9/10\r\n")?;
        wire.head("Content-Length: 3\r\nConnection: close\r\n\r\n")?;
        wire.content(b"abc")
    });
    world.get([edge.url("/f")]).failed(7, &["makes no sense"]);
    assert!(world.list("").is_empty());
}

#[test]
fn an_answer_cut_off_is_kept_and_continued() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    edge.put("/f", File::new(&bytes).cut_after(3 * MIB));
    world
        .get([&edge.url("/f"), "--timeout=2s"])
        .failed(4, &["go on from here"]);
    assert!(
        !world.path("f").exists() && world.path("f.part").exists(),
        "{:?}",
        world.list("")
    );
    edge.put("/f", File::new(&bytes));
    let before = edge.sent("/f");
    world.get([edge.url("/f")]).fine();
    assert_eq!(world.read("f"), bytes);
    assert_eq!(world.list(""), ["f"]);
    assert!(
        edge.sent("/f") - before < 3 * MIB,
        "{}",
        edge.sent("/f") - before
    );
}

#[test]
fn a_single_stream_cut_off_is_no_file() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(MIB);
    edge.put("/f", File::new(&bytes).without_ranges().claiming(2 * MIB));
    world
        .get([edge.url("/f")])
        .failed(4, &["ended early", "go on from here"]);
    assert!(!world.path("f").exists());
    edge.put("/f", File::new(&bytes).without_ranges());
    world.get([edge.url("/f")]).fine();
    assert_eq!(world.read("f"), bytes);
    assert_eq!(world.list(""), ["f"]);
}

#[test]
fn parts_of_another_length_than_promised_are_not_put_together() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(MIB);
    // What is missing is not made up …
    edge.put("/f", File::new(&bytes).claiming(1000));
    let ended = world.get([&edge.url("/f"), "--timeout=1s"]);
    assert!([4, 7].map(Some).contains(&ended.status.code()), "{ended:?}");
    assert!(!world.path("f").exists());
    // … and what was promised in excess does not matter once the range is complete.
    edge.put("/f", File::new(&bytes).claiming(2 * MIB));
    let ended = world.get([&edge.url("/f"), "--timeout=1s"]);
    assert_eq!(
        world.path("f").exists(),
        ended.status.success(),
        "{ended:?}"
    );
    edge.put("/f", File::new(&bytes));
    world.get([&edge.url("/f"), "--overwrite"]).fine();
    assert!(world.read("f") == bytes, "the file differs");
}

#[test]
fn silence_ends_with_what_came() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    edge.put("/f", File::new(&bytes).stall_after(2 * MIB));
    world
        .get([&edge.url("/f"), "--timeout=1s"])
        .failed(4, &["go on from here"]);
    edge.put("/f", File::new(&bytes));
    let before = edge.sent("/f");
    world.get([edge.url("/f")]).fine();
    assert_eq!(world.read("f"), bytes);
    assert!(edge.sent("/f") - before < 4 * MIB, "what came was kept");
}

#[test]
fn a_file_replaced_in_the_middle_is_never_mixed() {
    let (world, edge) = (World::new(), Edge::new());
    let (old, new) = (noise(4 * MIB), noise(4 * MIB + 1));
    edge.put("/f", File::new(&old).etag("\"old\"").stall_after(2 * MIB));
    let running = world.start(["get", "--quiet", &edge.url("/f")]);
    edge.wait_for_stall();
    edge.put("/f", File::new(&new).etag("\"new\""));
    edge.release();
    running
        .wait()
        .failed(5, &["changed on the server", "new version"]);
    assert!(!world.path("f").exists());
    world.get([edge.url("/f")]).fine();
    assert_eq!(world.read("f"), new);
}

#[test]
fn a_file_replaced_between_two_runs_begins_anew() {
    let (world, edge) = (World::new(), Edge::new());
    let (old, new) = (noise(4 * MIB), noise(4 * MIB + 1));
    edge.put("/f", File::new(&old).etag("\"old\"").cut_after(3 * MIB));
    world.get([&edge.url("/f"), "--timeout=1s"]).failed(4, &[]);
    edge.put("/f", File::new(&new).etag("\"new\""));
    world.get([edge.url("/f")]).fine();
    assert_eq!(fs::read(world.path("f")).unwrap(), new);
}
