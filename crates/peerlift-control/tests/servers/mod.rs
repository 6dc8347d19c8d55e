//! Real Redis or Valkey servers on loopback ports: alone, as a cluster, watched by a sentinel.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Only a server that hangs gets here.
const TOO_LONG: Duration = Duration::from_secs(60);

/// One server; killed when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    options: Vec<String>,
    /// What its command line client has to be told beside the port.
    asked_with: Vec<String>,
    folder: TempDir,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Self {
        let options = options.iter().map(|text| (*text).to_owned()).collect();
        Self::run(TempDir::new().unwrap(), options, Vec::new())
    }

    /// Speaks nothing but TLS, with the certificate of the second value (PEM) for `localhost`.
    pub(crate) fn start_with_tls() -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = TempDir::new().unwrap();
        let keep = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let pem = own.cert.pem();
        let certificate = keep("cert.pem", &pem);
        let key = keep("key.pem", &own.signing_key.serialize_pem());
        let options = [
            ("--save", ""),
            ("--tls-cert-file", &certificate),
            ("--tls-key-file", &key),
            ("--tls-ca-cert-file", &certificate),
            ("--tls-auth-clients", "no"),
        ];
        let options = options.map(|(name, value)| [name.to_owned(), value.to_owned()]);
        let asked_with = ["--tls", "--cacert", &certificate, "-h", "localhost"];
        let asked_with = asked_with.map(str::to_owned).to_vec();
        (Self::run(folder, options.concat(), asked_with), pem)
    }

    fn run(folder: TempDir, options: Vec<String>, asked_with: Vec<String>) -> Self {
        let port = free_port();
        let process = run(port, &options, &folder);
        let server = Self {
            port,
            options,
            asked_with,
            folder,
            process,
        };
        server.until_it_answers();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = run(self.port, &self.options, &self.folder);
        self.until_it_answers();
    }

    /// Stops the process, or lets it go on: a server that neither answers nor hangs up.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// What the server answers to a command.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let asked_with: Vec<&str> = self.asked_with.iter().map(String::as_str).collect();
        let port = self.port.to_string();
        let output = cli(&[&asked_with[..], &["-p", &port], command].concat());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn until_it_answers(&self) {
        until("a server answers", || self.ask(&["PING"]) == "PONG");
    }
}

fn run(port: u16, options: &[String], folder: &TempDir) -> Child {
    let mut command = Command::new(program(&["valkey-server", "redis-server"]));
    if options.iter().any(|option| option == "--sentinel") {
        let file = folder.path().join("sentinel.conf");
        if !file.exists() {
            std::fs::write(&file, "").unwrap();
        }
        command.arg(file);
    }
    let port = port.to_string();
    let ports = match options.iter().any(|option| option == "--tls-cert-file") {
        true => ["--port", "0", "--tls-port", &port],
        false => ["--port", &port, "--tls-port", "0"],
    };
    command
        .args(ports)
        .args(["--bind", "127.0.0.1"])
        .args(["--dir", folder.path().to_str().unwrap()])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) fn cli(arguments: &[&str]) -> Output {
    let mut command = Command::new(program(&["valkey-cli", "redis-cli"]));
    command.args(arguments).output().unwrap()
}

fn program(names: &[&'static str]) -> &'static str {
    let there = |name: &&str| {
        let mut command = Command::new(name);
        let asked = command.arg("--version").stdout(Stdio::null());
        asked.status().is_ok()
    };
    let mut names = names.iter().copied();
    let found = names.find(there);
    found.expect("these tests need the Debian package redis-server or valkey-server")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + TOO_LONG;
    while !done() {
        assert!(Instant::now() < deadline, "it never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A replica takes over soon and however old its data: what is tested is who follows whom.
const CLUSTER_OPTIONS: [&str; 8] = [
    "--cluster-node-timeout",
    "2000",
    "--cluster-replica-validity-factor",
    "0",
    "--repl-diskless-sync-delay",
    "0",
    "--save",
    "",
];

/// Three masters with a replica each.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let server = |_| {
            let bus = free_port().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            Server::start(&[&options[..], &CLUSTER_OPTIONS].concat())
        };
        let servers: Vec<Server> = (0..6).map(server).collect();
        let hosts: Vec<String> = { &servers }
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        let mut command = vec!["--cluster", "create"];
        command.extend(hosts.iter().map(String::as_str));
        command.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        let made = cli(&command);
        assert!(made.status.success(), "{made:?}");
        let cluster = Self { servers };
        cluster.until_whole();
        cluster
    }

    /// Waits until any master could die: all servers agree on whose the slots are, and every
    /// replica has its master's data. One that never had it does not take over.
    pub(crate) fn until_whole(&self) {
        until("the cluster is whole", || {
            let state = |server: &Server| server.ask(&["CLUSTER", "INFO"]);
            { &self.servers }
                .iter()
                .all(|server| state(server).contains("cluster_state:ok"))
        });
        until("all servers name the same masters", || {
            let masters: Vec<_> = self.servers.iter().map(masters).collect();
            masters[0].len() == 3 && masters.iter().all(|seen| *seen == masters[0])
        });
        until("every replica follows its master", || {
            let links = { &self.servers }
                .iter()
                .map(|server| server.ask(&["INFO", "replication"]));
            links
                .filter(|link| link.contains("master_link_status:up"))
                .count()
                == 3
        });
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = { &self.servers }
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Whose slots hold a key, as one of the others sees it: a server's number and node id.
    pub(crate) fn master_of(&self, key: &str, witness: usize) -> Option<(usize, String)> {
        let slot: u16 = self.servers[witness]
            .ask(&["CLUSTER", "KEYSLOT", key])
            .parse()
            .unwrap();
        let nodes = self.servers[witness].ask(&["CLUSTER", "NODES"]);
        let line = nodes.lines().find(|line| owns(line, slot))?;
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let address = words.next()?.split('@').next()?;
        let port: u16 = address.rsplit(':').next()?.parse().ok()?;
        let at = { &self.servers }
            .iter()
            .position(|server| server.port == port)?;
        Some((at, id))
    }
}

/// The masters that a server knows, each with its slots.
fn masters(server: &Server) -> BTreeSet<String> {
    let nodes = server.ask(&["CLUSTER", "NODES"]);
    let masters = nodes.lines().filter(|line| line.contains("master"));
    let words = masters.map(|line| line.split(' '));
    words
        .map(|mut words| {
            let id = words.next().unwrap_or_default();
            [id].into_iter()
                .chain(words.skip(7))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

/// Whether a line of `CLUSTER NODES` is a working master's with that slot.
fn owns(line: &str, slot: u16) -> bool {
    let works = line.contains("master") && !line.contains("fail");
    let mut ranges = line
        .split(' ')
        .skip(8)
        .filter(|word| !word.starts_with('['));
    works
        && ranges.any(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().unwrap_or(0);
            (number(from)..=number(to)).contains(&slot)
        })
}
