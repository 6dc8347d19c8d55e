//! A directory that is lost and told again, while visitors come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use tokio::task::JoinSet;

use super::child::Node;
use super::client::{Client, Target, Trouble};
use super::visits::{Visits, visits};
use super::{object, settle};

/// Objects that clients have for this.
const OBJECTS: u32 = 20_000;

/// Visitors a second meanwhile.
const VISITS_PER_S: u32 = 50;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Loss {
    entries: u64,
    told_again_s: f64,
    /// From the loss until everything was told.
    meanwhile: Visits,
}

/// Everybody announces; the directory is lost; everybody is asked again, while others come and ask.
pub(super) async fn lose_directory(
    node: &Arc<Node>,
    target: &Target,
    clients: Vec<Client>,
    each: u32,
) -> Result<Loss, Trouble> {
    let before = node.metric("peerlift_control_directory_entries").await?;
    let entries = u64::try_from(clients.len())? * u64::from(each);
    let mut holders = JoinSet::new();
    for (number, client) in (0u32..).zip(clients) {
        holders.spawn(hold(client, number, each));
    }
    settle(node, before + entries).await?;
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let (at, asked) = (Arc::clone(node), target.clone());
    let begin = Instant::now();
    node.flush().await?;
    let visiting = tokio::spawn(async move {
        let is_over = || over.load(Ordering::Relaxed);
        visits(&at, &asked, VISITS_PER_S, is_over).await
    });
    settle(node, entries).await?;
    let told_again_s = begin.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let meanwhile = visiting.await??;
    holders.shutdown().await;
    Ok(Loss {
        entries,
        told_again_s,
        meanwhile,
    })
}

/// Announces a run of objects that overlaps with those of others, and again whenever it is asked to.
async fn hold(mut client: Client, number: u32, each: u32) -> Result<(), Trouble> {
    loop {
        for n in 0..each {
            client
                .announce(object(1 + (number * 7 + n) % OBJECTS))
                .await?;
        }
        // Anything said is a recall; the first object of some is not said again.
        client.receive().await?;
    }
}

impl Loss {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "lost directory",
                format!("{} entries in {:.1} s", self.entries, self.told_again_s),
            ),
            ("visitors meanwhile", self.meanwhile.text()),
        ]
    }
}
