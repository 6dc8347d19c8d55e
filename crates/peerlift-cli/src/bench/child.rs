//! The node under load, in a process of its own, so that its memory and its CPU time are its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::{Method, StatusCode};
use peerlift_control::DirectoryUrl;
use peerlift_control::admin::ask;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::client::Trouble;

/// Limits that are out of the way of a measurement.
const POLICY: &str = "[limits]
queries = \"1000000 at once, then every 1ms\"
prefix-queries = \"100000000 at once, then every 1ms\"
announces = \"1000000 at once, then every 1ms\"
";

/// A node that ends with this value.
pub(super) struct Node {
    child: Child,
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    pub(super) certificate: CertificateDer<'static>,
    tls: bool,
    folder: TempDir,
}

/// What node to start.
pub(super) struct NodePlan {
    /// How many sessions it has to have room for.
    pub(super) sessions: u32,
    /// How many it lets in each second.
    pub(super) logins_per_s: u32,
    /// The directory that it shares.
    pub(super) directory: Option<DirectoryUrl>,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
}

impl Default for NodePlan {
    fn default() -> Self {
        Self {
            sessions: 0,
            logins_per_s: 1_000_000,
            directory: None,
            tls: true,
        }
    }
}

#[derive(Deserialize)]
struct Ready {
    listen: Vec<SocketAddr>,
    admin: SocketAddr,
}

impl Node {
    pub(super) async fn start(plan: &NodePlan) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir()?;
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("cert.pem"), own.cert.pem())?;
        std::fs::write(at("key.pem"), own.signing_key.serialize_pem())?;
        std::fs::write(at("policy.toml"), POLICY)?;
        let directory = plan.directory.as_ref().map(ToString::to_string);
        let settings = format!(
            "[control]\nsessions = {}\nlogins-per-s = {}\ndrain = \"1s\"\ndirectory = {:?}\n",
            plan.sessions + 2_000,
            plan.logins_per_s,
            directory.unwrap_or_default(),
        );
        std::fs::write(at("config.toml"), settings)?;
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, ready) = run(folder.path(), anywhere, plan.tls)?;
        Ok(Self {
            child,
            address: *ready.listen.first().ok_or("the node listens nowhere")?,
            admin: ready.admin,
            certificate: own.cert.der().clone(),
            tls: plan.tls,
            folder,
        })
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) -> Result<(), Trouble> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again where it was.
    pub(super) fn start_again(&mut self) -> Result<(), Trouble> {
        let (child, ready) = run(self.folder.path(), self.address, self.tls)?;
        (self.child, self.admin) = (child, ready.admin);
        Ok(())
    }

    pub(super) async fn flush(&self) -> Result<(), Trouble> {
        let (status, text) = ask(self.admin, Method::POST, "/flush", String::new()).await?;
        if status == StatusCode::OK {
            Ok(())
        } else {
            Err(text.into())
        }
    }

    /// One number of the node's metrics.
    pub(super) async fn metric(&self, name: &str) -> Result<u64, Trouble> {
        let (_, page) = ask(self.admin, Method::GET, "/metrics", String::new()).await?;
        let line = page.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then_some(value)
        });
        Ok(line.ok_or("no such metric")?.parse()?)
    }

    /// All that its metrics of one name count, whatever their labels.
    pub(super) async fn sum(&self, name: &str) -> Result<u64, Trouble> {
        let (_, page) = ask(self.admin, Method::GET, "/metrics", String::new()).await?;
        let labelled = format!("{name}{{");
        let lines = page.lines().filter(|line| line.starts_with(&labelled));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// Memory that is resident, in bytes.
    pub(super) fn memory(&self) -> Result<u64, Trouble> {
        let pid = self.child.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Keeps the node on one processor; see [`pin`].
    pub(super) fn take_processor(&self, number: usize) -> bool {
        pin(self.child.id(), number)
    }

    /// CPU time used so far, by the node and by the kernel for it. Threads that ended are not counted;
    /// those that work live as long as the node.
    pub(super) fn cpu(&self) -> Result<Duration, Trouble> {
        let pid = self.child.id();
        let mut total = 0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // Nanoseconds on a processor, then two numbers more (proc_pid_schedstat(5)).
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = text.split_whitespace().next().ok_or("no schedstat")?;
            total += on_cpu.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ended already, or ending: there is nothing else to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps a process, with all its threads, on one processor of at least two; whether that is so.
pub(super) fn pin(process: u32, number: usize) -> bool {
    let has_two = std::thread::available_parallelism().is_ok_and(|count| count.get() >= 2);
    let mut command = Command::new("taskset");
    command.args(["-acp", &number.to_string(), &process.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    has_two && command.status().is_ok_and(|status| status.success())
}

/// How long a slowed node works, and how long it is stopped then: it has a fiftieth of a processor.
const WORK: Duration = Duration::from_millis(2);
const STOP: Duration = Duration::from_millis(98);

/// A node that is stopped most of the time, until this is dropped: its clients, who have a processor,
/// can make ten times as many tries as it takes.
pub(super) struct Slowed(JoinHandle<()>);

impl Slowed {
    pub(super) fn start(node: &Node) -> Result<Self, Trouble> {
        let pid = i32::try_from(node.child.id())?;
        let pid = Pid::from_raw(pid).ok_or("no process")?;
        Ok(Self(tokio::spawn(async move {
            loop {
                // Ended: there is nothing to slow.
                let _ = kill_process(pid, Signal::STOP);
                sleep(STOP).await;
                let _ = kill_process(pid, Signal::CONT);
                sleep(WORK).await;
            }
        })))
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the process, and waits until it says that it is ready: for the moment that takes, nothing
/// else is to be done.
fn run(folder: &Path, listen: SocketAddr, tls: bool) -> Result<(Child, Ready), Trouble> {
    let mut child = command(folder, listen, tls)?.spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready =
        serde_json::from_str(&line).map_err(|error| format!("the node did not start: {error}"))?;
    Ok((child, ready))
}

fn command(folder: &Path, listen: SocketAddr, tls: bool) -> Result<Command, Trouble> {
    let at = |name: &str| folder.join(name);
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["control", "--json", "--listen", &listen.to_string()])
        .args(["--admin", "127.0.0.1:0"])
        .arg("--config")
        .arg(at("config.toml"))
        .arg("--policy")
        .arg(at("policy.toml"))
        .env("XDG_DATA_HOME", folder)
        .stdout(Stdio::piped());
    if tls {
        command.arg("--tls-cert").arg(at("cert.pem"));
        command.arg("--tls-key").arg(at("key.pem"));
    }
    Ok(command)
}
