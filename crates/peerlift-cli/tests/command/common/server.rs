//! A real `peerlift serve` on a port of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::process::{Ended, PATIENCE, Running};
use super::world::World;

/// The server, ready.
pub(crate) struct Serving {
    running: Running,
    pub(crate) ready: Value,
    url: String,
}

impl Serving {
    /// Serves a folder of the world's.
    pub(crate) fn folder(world: &World, below: &str, options: &[&str]) -> Self {
        Self::folder_for(world, below, options, PATIENCE)
    }

    /// Serves a folder for a test that takes longer than others.
    pub(crate) fn folder_for(
        world: &World,
        below: &str,
        options: &[&str],
        patience: Duration,
    ) -> Self {
        let mut command = world.command(["serve", "--json", "--listen", "127.0.0.1:0"]);
        command
            .args(["--access-log", "off", "--relay-quic-port", "0"])
            .args(options);
        let mut running = Running::start_for(command.arg(world.path(below)), patience);
        let ready = running.event("ready");
        let url = ready["urls"][0]
            .as_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        Self {
            running,
            ready,
            url,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Head and body of a plain GET, as any HTTP client would ask.
    pub(crate) fn ask(&self, path: &str) -> (String, Vec<u8>) {
        let host = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let body = answer.split_off(end + 4);
        (String::from_utf8(answer).unwrap(), body)
    }

    /// Waits until a path is answered with 200.
    pub(crate) fn ask_until_found(&self, path: &str) -> (String, Vec<u8>) {
        self.ask_until(path, 200)
    }

    /// Waits until a path is answered with this status. It is bounded by the server's own watchdog.
    pub(crate) fn ask_until(&self, path: &str, status: u16) -> (String, Vec<u8>) {
        let start = format!("HTTP/1.1 {status}");
        loop {
            let (head, body) = self.ask(path);
            if head.starts_with(&start) {
                return (head, body);
            }
            // The server tells nobody when it notices a file, or has asked another.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn end(self, signal: Signal) -> Ended {
        self.running.signal(signal);
        self.running.wait()
    }
}
