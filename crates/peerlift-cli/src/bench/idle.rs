//! Clients that log in and say nothing: what they weigh, and what it cost to let them in.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio::time::sleep;

use super::child::Node;
use super::client::{Client, Target, Trouble};
use super::{kernel, per_core};

/// Logins under way at once.
const LOGINS_AT_ONCE: usize = 128;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    sessions: u32,
    /// All that the node's process has in memory, divided by their number.
    memory_per_session_bytes: u64,
    /// The kernel's, for the sockets at both ends of a session.
    kernel_per_session_bytes: u64,
    /// CPU time of the node for one login.
    login_cpu_us: u64,
    logins_per_core_s: u64,
}

/// Lets so many clients in.
pub(super) async fn settle_in(
    node: &Node,
    target: &Target,
    sessions: u32,
) -> Result<(Idle, Vec<Client>), Trouble> {
    let (cpu, sockets) = (node.cpu()?, kernel::memory()?);
    let clients = log_in_many(target, sessions).await?;
    let login_cpu = node.cpu()?.saturating_sub(cpu) / sessions;
    // What the last handshakes took for a moment is given back.
    sleep(Duration::from_secs(2)).await;
    let each = |bytes: u64| bytes / u64::from(sessions);
    let idle = Idle {
        sessions,
        memory_per_session_bytes: each(node.memory()?),
        kernel_per_session_bytes: each(kernel::memory()?.saturating_sub(sockets)),
        login_cpu_us: u64::try_from(login_cpu.as_micros())?,
        logins_per_core_s: per_core(1, login_cpu),
    };
    Ok((idle, clients))
}

async fn log_in_many(target: &Target, count: u32) -> Result<Vec<Client>, Trouble> {
    let logins = stream::iter(0..count).map(|number| {
        let target = target.clone();
        async move { tokio::spawn(async move { Client::log_in(&target, number).await }).await? }
    });
    let mut logins = logins.buffer_unordered(LOGINS_AT_ONCE);
    let mut clients = Vec::with_capacity(count as usize);
    while let Some(client) = logins.next().await {
        clients.push(client?);
    }
    Ok(clients)
}

impl Idle {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("idle sessions", self.sessions.to_string()),
            ("memory a session", kibi(self.memory_per_session_bytes)),
            (
                "the kernel's, both ends",
                kibi(self.kernel_per_session_bytes),
            ),
            ("node's CPU a login", format!("{} µs", self.login_cpu_us)),
            (
                "logins a second and core",
                self.logins_per_core_s.to_string(),
            ),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn kibi(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}
