//! Who may fetch what from `peerlift serve` and `peerlift control`: edge and control node are told the
//! same, and kept up to date with files that change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use peerlift_access::{BLOCK_LIST_BYTES_MAX, BlockList, Blocked, KeySet};
use peerlift_content::{
    Access, MANIFEST_SUFFIX, Manifest, Policy, PublishSettings, Sidecars, VerifiedManifest,
};
use peerlift_control::{NodeAccess, ObjectAccess};
use peerlift_edge::EdgeAccess;
use peerlift_model::PublisherId;
use peerlift_net::http::{HttpClient, HttpOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use url::Url;

use crate::failure::{Exit, Failure, one_line};
use crate::paths::Paths;
use crate::token::key_set;

/// How often another node's block list is fetched: six tries within the minute in which a block
/// has to reach every edge.
const BLOCKS_EVERY: Duration = Duration::from_secs(10);

/// How often the file of keys is looked at.
const KEYS_EVERY: Duration = Duration::from_secs(5);

/// The edge's and the node's view of who may fetch what.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) edge: Arc<EdgeAccess>,
    pub(crate) node: Option<Arc<NodeAccess>>,
}

impl Doors {
    /// Doors that are open to everybody, or, for what nobody has signed, to holders of the
    /// publisher's tokens.
    pub(crate) fn new(
        access: Access,
        publisher: Option<PublisherId>,
        node: Option<Arc<NodeAccess>>,
    ) -> Self {
        let default = publisher.filter(|_| access == Access::Token);
        let edge = Arc::new(EdgeAccess::new(default));
        Self { edge, node }
    }

    /// The door of a control node alone.
    pub(crate) fn of_node(node: Arc<NodeAccess>) -> Self {
        Self::new(Access::Public, None, Some(node))
    }

    /// Notes what a published object needs.
    pub(crate) fn know(&self, publisher: PublisherId, about: &Manifest) {
        if let Some(node) = &self.node {
            let access = ObjectAccess {
                publisher,
                token: about.policy.access == Access::Token,
                unbound: about.policy.unbound_tokens,
            };
            node.know(about.root, access);
        }
    }

    /// Notes what all manifests say that lie in a folder or below.
    pub(crate) fn know_folder(&self, folder: &Path) -> Result<(), Failure> {
        let cannot = |error: io::Error| {
            Failure::caused(Exit::Storage, folder.display(), &error)
                .hint("name a folder of manifests that can be read")
        };
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(cannot)? {
                let entry = entry.map_err(cannot)?;
                // Links are not followed: they may lead in circles.
                let kind = entry.file_type().map_err(cannot)?;
                let path = entry.path();
                if kind.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(MANIFEST_SUFFIX) {
                    self.know_manifest(&path);
                }
            }
        }
        Ok(())
    }

    fn know_manifest(&self, path: &Path) {
        let mut sidecars = Sidecars::beside(path);
        sidecars.manifest = path.to_owned();
        match sidecars.read_manifest() {
            Ok(signed) => self.know(signed.publisher, &signed.manifest),
            Err(error) => tracing::warn!(path = %path.display(), %error, "no manifest"),
        }
    }

    /// Uses the keys in a file, now and whenever it changes.
    pub(crate) fn follow_keys(
        &self,
        publisher: PublisherId,
        file: PathBuf,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Failure> {
        self.set_keys(publisher, &key_set(&file)?);
        let mut seen = modified(&file);
        let doors = self.clone();
        tasks.spawn(async move {
            let mut tick = interval(KEYS_EVERY);
            loop {
                tick.tick().await;
                let now = modified(&file);
                if now == seen {
                    continue;
                }
                match key_set(&file) {
                    Ok(keys) => {
                        seen = now;
                        doors.set_keys(publisher, &keys);
                        tracing::info!(file = %file.display(), "token keys changed");
                    }
                    // The old ones stay in force; a file that is being written is read again.
                    Err(error) => tracing::warn!(%error, "token keys not changed"),
                }
            }
        });
        Ok(())
    }

    fn set_keys(&self, publisher: PublisherId, keys: &KeySet) {
        self.edge.set_keys(publisher, keys.clone());
        if let Some(node) = &self.node {
            node.set_keys(publisher, keys.clone());
        }
    }

    /// Keeps the edge up to date with what is blocked: by the node beside it, and by another.
    pub(crate) fn follow_blocks(
        &self,
        other: Option<(Url, [u8; 32])>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Failure> {
        let own = self.node.as_ref().map(|node| node.blocked());
        let (theirs_sender, theirs) = watch::channel(Arc::new(Blocked::default()));
        if let Some((url, key)) = other {
            let http = HttpClient::new(HttpOptions {
                user_agent: concat!("peerlift/", env!("CARGO_PKG_VERSION")).to_owned(),
                headers: HeaderMap::new(),
                ..HttpOptions::default()
            })
            .map_err(|error| Failure::caused(Exit::Other, "cannot fetch block lists", &error))?;
            tasks.spawn(poll(http, url, key, theirs_sender));
        }
        let edge = Arc::clone(&self.edge);
        tasks.spawn(async move { apply(&edge, own, theirs).await });
        Ok(())
    }
}

/// A control node's view, with the list of blocks that is kept in the data folder.
pub(crate) fn node_access(key_seed: &[u8; 32], paths: &Paths) -> Result<Arc<NodeAccess>, Failure> {
    let access = NodeAccess::kept_in(key_seed, &paths.blocked());
    access.map(Arc::new).map_err(|error| {
        let failure = Failure::new(Exit::Storage, one_line(&error));
        failure.hint("what it blocks would be open; look at it, then move it away")
    })
}

/// What is blocked by either is blocked.
async fn apply(
    edge: &EdgeAccess,
    mut own: Option<watch::Receiver<Arc<Blocked>>>,
    mut theirs: watch::Receiver<Arc<Blocked>>,
) {
    loop {
        let mut all = Blocked::clone(&theirs.borrow_and_update());
        if let Some(own) = &mut own {
            let own = own.borrow_and_update();
            all.objects.extend(&own.objects);
            all.publishers.extend(&own.publishers);
        }
        edge.block(Arc::new(all));
        let own_changed = async {
            let changed = match &mut own {
                Some(own) => own.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending().await
            }
        };
        let theirs_changed = async {
            if theirs.changed().await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = own_changed => {}
            () = theirs_changed => {}
        }
    }
}

/// Fetches a node's list again and again. One that cannot be had, is not that node's or is older than
/// the last one changes nothing.
async fn poll(http: HttpClient, url: Url, key: [u8; 32], blocked: watch::Sender<Arc<Blocked>>) {
    let mut tick = interval(BLOCKS_EVERY);
    let mut serial = 0;
    loop {
        tick.tick().await;
        let list = match http.small(&url, BLOCK_LIST_BYTES_MAX).await {
            Ok((bytes, _)) => BlockList::verify(&String::from_utf8_lossy(&bytes), &key),
            Err(error) => {
                tracing::warn!(%url, %error, "no block list");
                continue;
            }
        };
        match list {
            Ok(list) if list.serial >= serial => {
                serial = list.serial;
                let list = Arc::new(list.blocked);
                blocked.send_if_modified(|known| {
                    let changed = *known != list;
                    *known = list;
                    changed
                });
            }
            Ok(_) => tracing::warn!(%url, "the block list is older than the last one"),
            Err(error) => tracing::warn!(%url, %error, "the block list is refused"),
        }
    }
}

/// The settings for one file: what was published for holders of tokens stays so, whatever this
/// server publishes by itself.
pub(crate) fn keeping_access(
    settings: &PublishSettings,
    path: &Path,
    publisher: PublisherId,
) -> PublishSettings {
    let mut settings = settings.clone();
    let former = Sidecars::beside(path).read_manifest().ok();
    let former = former.filter(|former: &VerifiedManifest| former.publisher == publisher);
    let restricted = former.filter(|former| former.manifest.policy.access == Access::Token);
    if let (Access::Public, Some(former)) = (settings.policy.access, restricted) {
        let Policy {
            access,
            unbound_tokens,
            ..
        } = former.manifest.policy;
        settings.policy.access = access;
        settings.policy.unbound_tokens = unbound_tokens;
    }
    settings
}

/// A state of a file that differs once it was written.
fn modified(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn what_either_blocks_is_blocked() {
        let object = |number| peerlift_model::ObjectId::new([number; 32]);
        let blocked = |number| {
            Arc::new(Blocked {
                objects: BTreeSet::from([object(number)]),
                ..Blocked::default()
            })
        };
        let edge = EdgeAccess::new(None);
        let (own_sender, own) = watch::channel(blocked(1));
        let (theirs_sender, theirs) = watch::channel(blocked(2));
        let work = apply(&edge, Some(own), theirs);
        let look = async {
            tokio::task::yield_now().await;
            assert_eq!(edge.blocks(), 2);
            theirs_sender.send_replace(Arc::default());
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert_eq!(edge.blocks(), 1);
            drop(own_sender);
        };
        tokio::select! {
            () = work => {}
            () = look => {}
        }
    }
}
