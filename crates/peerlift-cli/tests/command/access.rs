//! Restricted files and blocked ones, through the command alone: `publish --access token`, `serve`,
//! `token`, `get --token`, `control block`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::answer::{put_published, put_sidecars, status};
use crate::common::{Edge, Ended, File, MIB, Running, Serving, World, noise};
use peerlift_access::{AccessKey, Claims};
use peerlift_content::{PublisherKey, Sidecars};
use rustix::process::Signal;

const SIZE: u64 = 4 * MIB;

/// A publisher who serves a restricted file.
struct Shop {
    world: World,
    serving: Serving,
    bytes: Vec<u8>,
}

impl Shop {
    fn open(options: &[&str]) -> Self {
        let world = World::new();
        let bytes = noise(SIZE);
        world.write("site/f", &bytes);
        let base = ["--access", "token", "--admin", "127.0.0.1:0"];
        let options = [&base[..], options].concat();
        let serving = Serving::folder(&world, "site", &options);
        Self {
            world,
            serving,
            bytes,
        }
    }

    fn publisher(&self) -> String {
        self.serving.ready["publisher"].as_str().unwrap().to_owned()
    }

    /// What the operator of its node has to say.
    fn operate(&self, words: &[&str]) -> Ended {
        operate(&self.world, &self.serving, words)
    }

    fn root(&self) -> String {
        let sidecars = Sidecars::beside(&self.world.path("site/f"));
        sidecars.read_manifest().unwrap().manifest.root.to_string()
    }

    /// The same files on another machine.
    fn mirror(&self) -> World {
        let mirror = World::new();
        mirror.write("site/f", &self.bytes);
        for suffix in [".peerlift", ".obao"] {
            let name = format!("site/f{suffix}");
            mirror.write(&name, &fs::read(self.world.path(&name)).unwrap());
        }
        mirror
    }

    /// An edge that heeds this node's blocks as far as `key` signed them.
    fn heeding(&self, mirror: &World, key: &str) -> Serving {
        let list = self.serving.url("/.peerlift/blocks");
        let options = ["--no-publish", "--no-control", "--block-list", &list];
        let options = [&options[..], &["--block-list-key", key]].concat();
        Serving::folder(mirror, "site", &options)
    }

    /// A token for a customer, in a file of the customer's.
    fn sell(&self, customer: &World, options: &[&str]) -> String {
        let request = customer.run(["token", "request", &self.publisher()]).fine();
        let holder = request.text().trim().to_owned();
        let mut args = vec!["token", "issue", "--for", &holder];
        args.extend(options);
        let token = self.world.run(args).fine().text();
        customer.write("f.token", token.as_bytes());
        token.trim().to_owned()
    }
}

fn operate(world: &World, serving: &Serving, words: &[&str]) -> Ended {
    let admin = serving.ready["admin"].as_str().unwrap();
    world.run([&["control"], words, &["--admin", admin]].concat())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[test]
fn with_a_token_it_comes_and_without_one_the_reason_is_said() {
    let shop = Shop::open(&[]);
    let url = shop.serving.url("/f");
    let customer = World::new();
    customer
        .get([url.as_str()])
        .failed(3, &["only for holders of a token", "--token FILE"]);
    assert!(customer.list("").is_empty(), "nothing was kept");
    let inspected = customer.run(["inspect", &url]).fine();
    assert!(
        inspected.text().contains(&shop.publisher()),
        "the manifest is open"
    );

    shop.sell(&customer, &[]);
    let ended = customer
        .run(["get", "--json", &url, "--token", "f.token"])
        .fine();
    assert_eq!(ended.event("completed")["verified"]["by"], "manifest");
    assert!(customer.read("f") == shop.bytes, "the file differs");

    // From the environment, and from the settings.
    let token = String::from_utf8(customer.read("f.token")).unwrap();
    let mut command = customer.command(["get", "--quiet", &url, "-o", "by-environment"]);
    command.env("PEERLIFT_TOKEN", token.trim());
    Running::start(&mut command).wait().fine();
    let path = customer.path("f.token");
    customer.configure(&format!(
        "[get]\ntoken = {:?}\n",
        path.display().to_string()
    ));
    customer.get([url.as_str(), "-o", "by-setting"]).fine();
    assert!(
        customer.read("by-setting") == shop.bytes,
        "the file differs"
    );
}

#[test]
fn tokens_that_are_over_stolen_foreign_or_narrow_are_refused() {
    let shop = Shop::open(&[]);
    let url = shop.serving.url("/f");
    let customer = World::new();
    let good = shop.sell(&customer, &[]);
    let try_with = |world: &World| world.get([&url, "--token", "f.token"]);

    let key = PublisherKey::load(&shop.world.data("publisher.key")).unwrap();
    let old = Claims {
        issued: now() - 1000,
        expires: now() - 500,
        ..Claims::unverified(&good).unwrap()
    };
    let old = old.sign(&AccessKey::from_seed(&key.seed()));
    customer.write("f.token", old.expose().as_bytes());
    try_with(&customer).failed(3, &["the token has expired", "new token"]);
    customer
        .run(["token", "inspect", "f.token", "--quiet"])
        .failed(5, &["expired"]);

    let thief = World::new();
    thief.write("f.token", good.as_bytes());
    try_with(&thief).failed(3, &["refused", "another key"]);

    let stranger = Shop::open(&[]);
    stranger.sell(&customer, &[]);
    try_with(&customer).failed(3, &["refused", "something else"]);

    shop.sell(&customer, &["--object", &"00".repeat(32)]);
    try_with(&customer).failed(3, &["refused", "something else"]);
    shop.sell(&customer, &["--object", &shop.root()]);
    try_with(&customer).fine();

    customer.write("f.token", b"not a token");
    try_with(&customer).failed(2, &["token"]);
    customer
        .get([&url, "--token", "nowhere"])
        .failed(2, &["nowhere"]);
}

/// What any HTTP client gets, with bytes that are no text replaced.
fn fetch(url: &str, path: &str, headers: &str) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_publisher_may_let_any_client_show_a_token() {
    let shop = Shop::open(&["--allow-unbound-tokens"]);
    let token = shop
        .world
        .run(["token", "issue", "--unbound"])
        .fine()
        .text();
    let header = format!("Authorization: Bearer {}\r\n", token.trim());
    let answer = fetch(&shop.serving.url("/"), "/f", &header);
    assert!(answer.starts_with("HTTP/1.1 200"));
    let bytes = String::from_utf8_lossy(&shop.bytes);
    assert!(answer.ends_with(&*bytes), "the file differs");
    let anybody = World::new();
    anybody.write("f.token", token.as_bytes());
    anybody
        .get([&shop.serving.url("/f"), "--token", "f.token"])
        .fine();
    let (head, _) = shop.serving.ask("/f");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[test]
fn serving_never_opens_what_was_published_for_holders() {
    let world = World::new();
    let path = world.write_settled("site/f", &noise(MIB));
    world.publish_as(&path, &["--access", "token"]);
    for options in [&[][..], &["--no-publish"]] {
        let serving = Serving::folder(&world, "site", options);
        let (head, _) = serving.ask("/f");
        assert!(head.starts_with("HTTP/1.1 401"), "{options:?}: {head}");
    }
}

#[test]
fn keys_rotate_while_it_serves() {
    let world = World::new();
    let keys = |names: &[&str]| {
        let mut args = vec!["token", "keys"];
        for name in names {
            args.extend(["--key", name]);
        }
        world.run(args).fine().text()
    };
    world.write("keys.json", keys(&["old.key"]).as_bytes());
    world.write("site/f", &noise(MIB));
    let file = world.path("keys.json");
    let options = ["--access", "token", "--token-keys", file.to_str().unwrap()];
    let serving = Serving::folder(&world, "site", &options);
    let publisher = serving.ready["publisher"].as_str().unwrap().to_owned();
    let issue = |key: &str| {
        let request = world.run(["token", "request", &publisher]).fine();
        let holder = request.text().trim().to_owned();
        let args = [
            "token",
            "issue",
            "--for",
            &holder,
            "--key",
            key,
            "--publisher",
            &publisher,
        ];
        world.write(
            &format!("{key}.token"),
            world.run(args).fine().text().as_bytes(),
        );
    };
    let url = serving.url("/f");
    let get = |key: &str| world.get([&url, "--overwrite", "--token", &format!("{key}.token")]);
    issue("old.key");
    issue("new.key");
    get("old.key").fine();
    get("new.key").failed(3, &["unknown key"]);
    world.write("keys.json", keys(&["new.key"]).as_bytes());
    // The server tells nobody when it looks at the file.
    while get("new.key").status.code() != Some(0) {}
    get("old.key").failed(3, &["unknown key"]);
}

#[test]
fn tokens_can_be_looked_at_and_have_an_end() {
    let shop = Shop::open(&[]);
    let customer = World::new();
    let token = shop.sell(&customer, &["--life", "10m", "--subject", "customer 42"]);
    let told = customer
        .run(["token", "inspect", "--json", "f.token"])
        .fine();
    assert!(
        !told.text().contains(&token),
        "the token itself is not told"
    );
    let told = &told.events()[0];
    assert_eq!(told["publisher"], shop.publisher().as_str());
    assert_eq!(told["subject"], "customer 42");
    assert_eq!(told["good"], true);
    let life = told["expires"].as_u64().unwrap() - told["issued"].as_u64().unwrap();
    assert_eq!(life, 600);
    shop.world
        .run(["token", "issue", "--unbound", "--life", "2h"])
        .failed(2, &["an hour"]);
    shop.world
        .run(["token", "issue", "--for", "nobody"])
        .failed(2, &["--for"]);
}

#[test]
fn no_log_line_shows_a_token() {
    let shop = Shop::open(&[]);
    let customer = World::new();
    let token = shop.sell(&customer, &[]);
    let log = shop.world.path("access.log");
    let mut command = shop
        .world
        .command(["serve", "--json", "--listen", "127.0.0.1:0"]);
    command
        .args(["--relay-quic-port", "0", "--no-relay", "--access", "token"])
        .arg("--access-log")
        .arg(&log)
        .arg(shop.world.path("site"))
        .env("PEERLIFT_LOG", "trace");
    let mut server = Running::start(&mut command);
    let ready = server.event("ready");
    let url = ready["urls"][0].as_str().unwrap();
    let file = format!("{url}f");
    let mut command = customer.command(["get", "--json", &file, "--token", "f.token"]);
    command
        .args(["--share", "for=10m"])
        .env("PEERLIFT_LOG", "trace,tungstenite::protocol=trace");
    let mut client = Running::start(&mut command);
    client.event("completed");
    // Announced: the control node has been shown the token, too.
    while !fetch(url, "/metrics", "").contains("\npeerlift_control_objects 1\n") {}
    client.signal(Signal::INT);
    let client = client.wait();
    server.signal(Signal::TERM);
    let server = server.wait();
    assert_eq!(client.status.code(), Some(0), "{}", client.stderr);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("GET /f"), "{log}");
    assert!(client.stderr.contains("TRACE") && server.stderr.contains("TRACE"));
    // The parts between the full stops: neither the claims nor the signature.
    for secret in token.split('.').skip(1) {
        for (name, text) in [
            ("client", &client.stderr),
            ("server", &server.stderr),
            ("access log", &log),
        ] {
            let found = text.lines().find(|line| line.contains(secret));
            assert!(found.is_none(), "{name}: {found:?}");
        }
    }
}

/// A shop whose file lies on an edge that asks nobody for a token: what the control node does shows.
struct Market {
    shop: Shop,
    edge: Edge,
}

impl Market {
    fn open() -> Self {
        let shop = Shop::open(&[]);
        let control = shop
            .serving
            .url("/.peerlift/control")
            .replace("http:", "ws:");
        let path = shop.world.write("published/f", &shop.bytes);
        let options = ["--access", "token", "--control", &control];
        shop.world.publish_as(&path, &options);
        let edge = Edge::new();
        put_published(&edge, "/f", &path);
        Self { shop, edge }
    }

    /// From now on the edge tells what the file is, and gives no byte of it but the first.
    fn edge_gives_out(&self) {
        let good = File::new(&self.shop.bytes);
        self.edge
            .answer("/f", move |request, wire| match request.range() {
                Some((0, Some(0))) => good.answer(request, wire),
                _ => status("503 Service Unavailable")(request, wire),
            });
        put_sidecars(&self.edge, "/f", &self.shop.world.path("published/f"));
    }

    fn sharer(&self) -> (World, Running) {
        let world = World::new();
        self.shop.sell(&world, &[]);
        let url = self.edge.url("/f");
        let mut running = world.getting([&url, "--token", "f.token", "--share", "for=10m"]);
        running.event("completed");
        (world, running)
    }
}

#[test]
fn peers_are_named_to_holders_only() {
    let market = Market::open();
    let (_sharer, _sharing) = market.sharer();
    market.edge_gives_out();
    let url = market.edge.url("/f");
    let outsider = World::new();
    let mut running = outsider.getting([&url]);
    let refused = |event: &serde_json::Value| {
        let text = event["text"].as_str().unwrap();
        text.contains("a token of the publisher is needed")
    };
    running.event_with("warning", refused);
    running.signal(Signal::INT);
    running.wait();
    assert!(!outsider.path("f").exists());

    let holder = World::new();
    market.shop.sell(&holder, &[]);
    let ended = holder
        .run(["get", "--json", &url, "--token", "f.token"])
        .fine();
    assert!(holder.read("f") == market.shop.bytes, "the file differs");
    assert_eq!(ended.event("completed")["from_peers"], SIZE);
}

#[test]
fn a_block_stops_sharing_downloading_and_the_edge() {
    let market = Market::open();
    let root = market.shop.root();
    let (_sharer, mut sharing) = market.sharer();
    let loader = World::new();
    market.shop.sell(&loader, &[]);
    market
        .edge
        .put("/f", File::new(&market.shop.bytes).stall_after(MIB / 4));
    put_sidecars(&market.edge, "/f", &market.shop.world.path("published/f"));
    let url = market.edge.url("/f");
    let goal = ["--goal", "fastest", "--limit-down", "100k"];
    let mut command = loader.command(["get", "--quiet", &url, "--token", "f.token"]);
    let loading = Running::start(command.args(goal));
    market.edge.wait_for_stall();

    market.shop.operate(&["block", &root]).fine();
    let told = market.shop.operate(&["blocked"]).fine();
    assert_eq!(told.text(), format!("object     {root}\n"));
    loading.wait().failed(3, &["the operator has blocked"]);
    let blocked = |event: &serde_json::Value| event["why"].as_str().unwrap().contains("blocked");
    sharing.event_with("sharing-ended", blocked);
    sharing.wait().fine();
    let (head, _) = market.shop.serving.ask("/f.peerlift");
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
    World::new()
        .get([market.shop.serving.url("/f")])
        .failed(3, &["410", "blocked"]);

    market.shop.operate(&["unblock", &root]).fine();
    let told = market.shop.operate(&["blocked"]).fine();
    assert_eq!(told.text(), "nothing is blocked\n");
    let (head, _) = market.shop.serving.ask("/f.peerlift");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn a_publisher_can_be_blocked_and_stays_so_after_a_restart() {
    let shop = Shop::open(&[]);
    let publisher = shop.publisher();
    shop.operate(&["block", "--publisher", &publisher]).fine();
    let told = shop.operate(&["blocked"]).fine();
    assert_eq!(told.text(), format!("publisher  {publisher}\n"));
    let Shop { world, serving, .. } = shop;
    serving.end(Signal::TERM);
    let options = ["--access", "token", "--admin", "127.0.0.1:0"];
    let serving = Serving::folder(&world, "site", &options);
    let again = operate(&world, &serving, &["blocked"]).fine();
    assert_eq!(again.text(), told.text());
    let (head, _) = serving.ask("/f.peerlift");
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
}

#[test]
fn a_block_reaches_every_client_and_every_edge() {
    let market = Market::open();
    let shop = &market.shop;
    let node = shop.serving.ready["node"].as_str().unwrap();
    let mirrors = [shop.mirror(), shop.mirror()];
    let edges = mirrors.each_ref().map(|mirror| shop.heeding(mirror, node));
    for edge in &edges {
        edge.ask_until_found("/f.peerlift");
    }
    let sharers: Vec<(World, Running)> = (0..3).map(|_| market.sharer()).collect();
    shop.operate(&["block", &shop.root()]).fine();
    for (_world, mut sharing) in sharers {
        let blocked =
            |event: &serde_json::Value| event["why"].as_str().unwrap().contains("blocked");
        sharing.event_with("sharing-ended", blocked);
        sharing.wait().fine();
    }
    // What was promised, six times what it takes.
    let end = Instant::now() + Duration::from_secs(60);
    for (edge, path) in edges
        .iter()
        .flat_map(|it| [(it, "/f.peerlift"), (it, "/f")])
    {
        while !edge.ask(path).0.starts_with("HTTP/1.1 410") {
            assert!(Instant::now() < end, "an edge serves {path} all the same");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn another_edge_follows_the_nodes_block_list() {
    let shop = Shop::open(&[]);
    let mirror = shop.mirror();
    let node = shop.serving.ready["node"].as_str().unwrap();
    let heeding = shop.heeding(&mirror, node);
    let deceived = shop.heeding(&mirror, &"00".repeat(32));
    let (head, _) = heeding.ask("/f.peerlift");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    shop.operate(&["block", &shop.root()]).fine();
    heeding.ask_until("/f.peerlift", 410);
    let (head, _) = deceived.ask("/f.peerlift");
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "nobody else's list counts: {head}"
    );
}
