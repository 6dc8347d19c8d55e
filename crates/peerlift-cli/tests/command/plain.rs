//! Any URL, several of them, and the options that downloads have.

use crate::common::answer::put_published;
use crate::common::proxy::Proxy;
use crate::common::{Edge, File, KIB, MIB, Running, World, noise};

#[test]
fn a_file_comes_over_several_connections() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(16 * MIB);
    edge.put("/f", File::new(&bytes));
    world.get([edge.url("/f")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
    let ranges = edge
        .requests("/f")
        .iter()
        .filter(|request| request.range().is_some())
        .count();
    assert!(ranges > 4, "{ranges} range requests");
    // Each byte once, besides the first one that asked what the server can do.
    assert!(
        edge.sent("/f") <= 16 * MIB + 64 * KIB,
        "{}",
        edge.sent("/f")
    );
}

#[test]
fn a_server_without_ranges_is_asked_once() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    edge.put("/f", File::new(&bytes).without_ranges());
    let ended = world.run(["get", "--json", &edge.url("/f")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
    assert_eq!(edge.requests("/f").len(), 1);
    assert_eq!(ended.event("completed")["verified"]["by"], "length");
}

#[test]
fn a_server_that_says_no_size_is_read_to_the_end() {
    let (world, edge) = (World::new(), Edge::new());
    edge.answer("/f", |_, wire| {
        wire.head("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        wire.content(b"as long as it takes")
    });
    edge.answer("/chunked", |_, wire| {
        wire.head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        wire.content(b"5\r\nhello\r\n0\r\n\r\n")
    });
    edge.answer("/cut", |_, wire| {
        wire.head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        wire.content(b"5\r\nhello\r\n5\r\nwo")
    });
    let ended = world.run(["get", "--json", &edge.url("/f")]).fine();
    assert!(ended.event("started")["size"].is_null());
    assert_eq!(world.read("f"), b"as long as it takes");
    world.get([edge.url("/chunked")]).fine();
    assert_eq!(world.read("chunked"), b"hello");
    world.get([edge.url("/cut")]).failed(4, &["ended early"]);
    assert!(!world.path("cut").exists());
}

#[test]
fn parts_without_a_strong_validator_are_not_combined() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    for file in [
        File::new(&bytes).without_etag(),
        File::new(&bytes).etag("W/\"weak\""),
    ] {
        edge.put("/f", file);
        world.get([&edge.url("/f"), "--overwrite"]).fine();
        assert!(world.read("f") == bytes, "the file differs");
    }
    let parts = edge
        .requests("/f")
        .iter()
        .filter_map(|request| request.range())
        .max();
    assert_eq!(
        parts,
        Some((0, Some(0))),
        "nothing but the question what the server can do"
    );
}

#[test]
fn several_files_are_all_tried() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/a", File::new(&noise(MIB)));
    edge.put("/c", File::new(&noise(2 * MIB)));
    let urls = ["/a", "/missing", "/c"].map(|path| edge.url(path));
    let ended = world.get(urls.iter().map(String::as_str).chain(["-o", "got"]));
    ended.failed(3, &["/missing", "404"]);
    assert_eq!(world.list("got"), ["a", "c"]);
    assert!(world.read("got/c") == noise(2 * MIB), "the file differs");
}

#[test]
fn the_first_failure_in_the_order_of_the_command_line_decides() {
    let (world, edge) = (World::new(), Edge::new());
    edge.answer("/nonsense", crate::common::answer::garbage());
    let urls = [
        edge.url("/nonsense"),
        edge.url("/missing"),
        "http://name.invalid/f".to_owned(),
    ];
    let ended = world.get(&urls);
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 3, "{}", ended.stderr);
    let ended = world.get(urls.iter().rev());
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
}

#[test]
fn a_dead_mirror_or_a_dead_first_server_is_no_matter() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    // Port 9, discard: nobody listens there.
    for args in [
        [
            edge.url("/f"),
            "-m".to_owned(),
            "http://127.0.0.1:9/f".to_owned(),
        ],
        [
            "http://127.0.0.1:9/f".to_owned(),
            "-m".to_owned(),
            edge.url("/f"),
        ],
        [
            "http://127.0.0.1:9/f".to_owned(),
            format!("--mirror={}", edge.url("/f")),
            "-c".into(),
        ],
    ] {
        world
            .get(args.iter().map(String::as_str).chain(["--overwrite"]))
            .fine();
        assert!(world.read("f") == bytes, "{args:?}");
    }
}

#[test]
fn mirrors_share_the_work_of_one_that_breaks_off() {
    let (world, edge, mirror) = (World::new(), Edge::new(), Edge::new());
    let bytes = noise(8 * MIB);
    let path = world.publish("published/f", &bytes);
    put_published(&edge, "/f", &path);
    put_published(&mirror, "/m", &path);
    edge.put("/f", File::new(&bytes).cut_after(2 * MIB));
    world.get([&edge.url("/f"), "-m", &mirror.url("/m")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
    assert!(mirror.sent("/m") >= 6 * MIB, "{}", mirror.sent("/m"));
}

#[test]
fn a_mirror_with_another_file_does_no_harm() {
    let (world, edge, mirror) = (World::new(), Edge::new(), Edge::new());
    let bytes = noise(8 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    put_published(
        &mirror,
        "/m",
        &world.publish("other/f", &noise(8 * MIB + 1)),
    );
    world.get([&edge.url("/f"), "-m", &mirror.url("/m")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
}

#[test]
fn events_are_as_documented() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    let url = edge.url("/f");
    let ended = world.run(["get", "--json", &url]).fine();
    let events = ended.events();
    assert!(
        events
            .iter()
            .all(|event| event["url"] == url && event["event"].is_string())
    );
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(kinds.first(), Some(&"started"));
    assert_eq!(kinds[kinds.len() - 2..], ["completed", "ended"]);

    let started = ended.event("started");
    assert_eq!(started["size"], 4 * MIB);
    assert_eq!(
        (&started["name"], &started["resumed"]),
        (&"f".into(), &0.into())
    );
    assert!(started["path"].as_str().unwrap().ends_with('f'));
    for member in ["publisher", "object"] {
        assert_eq!(started[member].as_str().unwrap().len(), 64, "{member}");
    }
    assert!(started["publisher_name"].is_string());

    let completed = ended.event("completed");
    assert_eq!(completed["size"], 4 * MIB);
    assert_eq!(completed["from_edge"], 4 * MIB);
    for member in [
        "from_peers",
        "from_peers_relayed",
        "resumed",
        "uploaded",
        "peers",
    ] {
        assert_eq!(completed[member], 0, "{member}");
    }
    assert!(completed["seconds"].is_f64() && completed["wasted"].is_u64());
    assert_eq!(completed["verified"]["by"], "manifest");
    assert_eq!(completed["verified"]["object"], started["object"]);
    assert_eq!(completed["verified"]["publisher"], started["publisher"]);

    let members = [
        "size",
        "done",
        "from_edge",
        "from_peers",
        "uploaded",
        "rate_down",
        "rate_up",
    ];
    for progress in events.iter().filter(|event| event["event"] == "progress") {
        for member in members.into_iter().chain(["peers", "eta_s", "seeding"]) {
            assert!(progress.get(member).is_some(), "{member} in {progress}");
        }
    }
}

#[test]
fn a_failure_is_an_event_too() {
    let (world, edge) = (World::new(), Edge::new());
    let ended = world
        .run(["get", "--json", &edge.url("/f")])
        .failed(3, &["404"]);
    let failed = ended.event("failed");
    assert_eq!(failed["exit_code"], 3);
    assert_eq!(failed["url"], edge.url("/f"));
    let line = format!(
        "{}; {}",
        failed["message"].as_str().unwrap(),
        failed["hint"].as_str().unwrap()
    );
    assert_eq!(ended.stderr, format!("peerlift: {line}\n"));
}

#[test]
fn what_a_download_survives_is_a_warning() {
    let (world, edge) = (World::new(), Edge::new());
    put_published(&edge, "/f", &world.publish("published/f", &noise(MIB)));
    let args = [
        "get",
        "--json",
        "http://127.0.0.1:9/f",
        "-m",
        &edge.url("/f"),
    ];
    let ended = world.run(args).fine();
    let text = ended.event("warning")["text"].as_str().unwrap().to_owned();
    assert!(text.contains("127.0.0.1:9"), "{text}");
}

#[test]
fn quiet_is_silent_and_otherwise_standard_output_is_empty() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/f", File::new(&noise(MIB)));
    let ended = world.get([edge.url("/f")]).fine();
    assert!(
        ended.stdout.is_empty() && ended.stderr.is_empty(),
        "{ended:?}"
    );
    let ended = world.run(["get", "--overwrite", &edge.url("/f")]).fine();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert!(ended.stderr.contains("not verified"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\r'),
        "no terminal here"
    );
}

#[test]
fn headers_go_to_the_servers_of_the_urls_only() {
    let (world, edge, stranger) = (World::new(), Edge::new(), Edge::new());
    let bytes = noise(2 * MIB);
    let path = world.write("published/f", &bytes);
    world.publish_as(&path, &["--edge", &stranger.url("/f")]);
    put_published(&edge, "/f", &path);
    put_published(&stranger, "/f", &path);
    // The edge breaks off, so that the stranger is needed.
    edge.put("/f", File::new(&bytes).cut_after(MIB));
    world
        .get([
            &edge.url("/f"),
            "-H",
            "Authorization: Bearer s3cret",
            "-H",
            "X-Two: 2",
        ])
        .fine();
    for path in ["/f", "/f.peerlift", "/f.obao"] {
        for request in edge.requests(path) {
            assert_eq!(request.headers["authorization"], "Bearer s3cret", "{path}");
            assert_eq!(request.headers["x-two"], "2");
        }
    }
    assert!(!stranger.requests("/f").is_empty());
    assert!(stranger.requests("/f").iter().all(|request| {
        !request.headers.contains_key("authorization") && !request.headers.contains_key("x-two")
    }));
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(2 * MIB);
    edge.put("/f", File::new(&bytes));
    let proxy = Proxy::to(edge.address());
    // The name exists for the proxy only.
    let mut command = world.command(["get", "--quiet", "http://origin.invalid/f"]);
    Running::start(command.env("http_proxy", proxy.url()))
        .wait()
        .fine();
    assert!(world.read("f") == bytes, "the file differs");
    assert!(
        proxy
            .asked()
            .contains(&"GET http://origin.invalid/f HTTP/1.1".to_owned())
    );

    let asked = proxy.asked().len();
    let mut command = world.command(["get", "--quiet", "--overwrite", &edge.url("/f")]);
    command
        .env("http_proxy", proxy.url())
        .env("no_proxy", "127.0.0.1");
    Running::start(&mut command).wait().fine();
    assert_eq!(proxy.asked().len(), asked, "no_proxy is honoured");
}

#[test]
fn caps_goals_and_numbers_are_taken() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(2 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    for options in [
        vec!["--limit-down", "40M"],
        vec!["--limit-rate", "1Gbit", "--limit-up", "5k"],
        vec!["--goal", "fastest", "-x", "16"],
        vec!["--goal", "floor=1M", "-x1"],
        vec!["--goal", "deadline=1h", "-j", "1"],
        vec!["--goal", "in-order", "--no-peers"],
        vec!["--share", "while-downloading", "--peers"],
        vec!["--share", "off", "-c"],
        vec!["-vv"],
    ] {
        let url = edge.url("/f");
        let args = ["get", url.as_str(), "--overwrite"];
        world
            .run(args.into_iter().chain(options.iter().copied()))
            .fine();
        assert!(world.read("f") == bytes, "{options:?}");
    }
}

#[test]
fn settings_hold_unless_an_option_overrides_them() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/f", File::new(&noise(MIB)));
    world.configure("[get]\noverwrite = true\nlimit-down = \"100M\"\n");
    world.get([edge.url("/f")]).fine();
    world.get([edge.url("/f")]).fine();
    world
        .get([&edge.url("/f"), "--no-clobber"])
        .failed(6, &["exists already"]);
    world.configure("[get]\nno-such-setting = 1\n");
    let ended = world.get([edge.url("/f")]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("config.toml") && ended.stderr.contains("no-such-setting"));
}
