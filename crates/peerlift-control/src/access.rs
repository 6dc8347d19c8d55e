//! What this node knows of who may fetch what: restricted objects, tokens, blocks.
//!
//! One [`NodeAccess`] is shared by all sessions, by whoever publishes beside the node, and by the
//! operators' routes ([`crate::admin`]). What is blocked lasts: it is kept in a file as the node's own
//! signed list, which edges fetch at [`BLOCKS_PATH`], and told to the core object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::routing::get;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use peerlift_access::{
    AccessKey, Asked, Audience, BLOCKED_MAX, BlockList, Blocked, Credential, Gate, Grant, JwsError,
    KeySet, Refusal, Replay, ReplayGuard, TokenError,
};
use peerlift_model::{ObjectId, PublisherId};
use peerlift_rendezvous::Event;
use peerlift_wire::control::{ClientMessage, ErrorCode, ServerMessage, ShownToken};
use thiserror::Error;
use tokio::sync::watch;

use crate::conversation::error;
use crate::core_task::{CoreHandle, Input};

/// Where a node's block list can be fetched, below its origin.
pub const BLOCKS_PATH: &str = "/.peerlift/blocks";

/// Tokens that count in one session: one for each publisher a client has to do with.
const GRANTS_MAX: usize = 16;

/// Objects whose access is known at most, as many as an edge publishes; a hundred bytes each.
const OBJECTS_MAX: usize = 1_000_000;

/// What one object needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectAccess {
    /// Whose it is.
    pub publisher: PublisherId,
    /// Whether a token is needed.
    pub token: bool,
    /// Whether a token does that is bound to nobody.
    pub unbound: bool,
}

/// Why the list of blocks cannot be read, changed or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The file cannot be read or written.
    #[error("cannot keep the block list {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no list that this node has signed.
    #[error("{} is no block list of this node: {source}", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JwsError,
    },
    /// There is no room for more.
    #[error("a block list has room for {BLOCKED_MAX} objects and publishers")]
    Full,
}

/// Who may fetch what, as far as this node is asked.
#[derive(Debug)]
pub struct NodeAccess {
    key: AccessKey,
    gate: RwLock<Gate>,
    replay: Mutex<ReplayGuard>,
    objects: RwLock<BTreeMap<ObjectId, ObjectAccess>>,
    /// The last list, and where it is kept.
    list: Mutex<(BlockList, Option<PathBuf>)>,
    blocked: watch::Sender<Arc<Blocked>>,
}

impl NodeAccess {
    /// Nothing restricted, nothing blocked, and what will be is forgotten with the process.
    #[must_use]
    pub fn new(key_seed: &[u8; 32]) -> Self {
        let list = BlockList {
            blocked: Blocked::default(),
            serial: 0,
            issued: 0,
        };
        Self::with(AccessKey::from_seed(key_seed), list, None)
    }

    /// The same, with a block list that is kept in `file`.
    ///
    /// # Errors
    ///
    /// [`BlockError`]: a list that cannot be read must be looked at before a node forgets it.
    pub fn kept_in(key_seed: &[u8; 32], file: &Path) -> Result<Self, BlockError> {
        let key = AccessKey::from_seed(key_seed);
        let path = file.to_owned();
        let list = match fs::read_to_string(file) {
            Ok(text) => BlockList::verify(&text, &key.public())
                .map_err(|source| BlockError::Garbled { path, source })?,
            Err(source) if source.kind() == io::ErrorKind::NotFound => BlockList {
                blocked: Blocked::default(),
                serial: 0,
                issued: 0,
            },
            Err(source) => return Err(BlockError::Io { path, source }),
        };
        Ok(Self::with(key, list, Some(file.to_owned())))
    }

    fn with(key: AccessKey, list: BlockList, file: Option<PathBuf>) -> Self {
        Self {
            key,
            gate: RwLock::new(Gate::new(Audience::Control)),
            replay: Mutex::default(),
            objects: RwLock::default(),
            blocked: watch::Sender::new(Arc::new(list.blocked.clone())),
            list: Mutex::new((list, file)),
        }
    }

    /// From now on these keys, and no others, sign a publisher's tokens.
    pub fn set_keys(&self, publisher: PublisherId, keys: KeySet) {
        let mut gate = self.gate.write().unwrap_or_else(|it| it.into_inner());
        gate.set_keys(publisher, keys);
    }

    /// Notes what an object needs. Objects that are not known are open to everybody.
    pub fn know(&self, object: ObjectId, access: ObjectAccess) {
        let mut objects = self.objects.write().unwrap_or_else(|it| it.into_inner());
        if objects.len() < OBJECTS_MAX || objects.contains_key(&object) {
            objects.insert(object, access);
        }
    }

    /// What is blocked, and news of it.
    #[must_use]
    pub fn blocked(&self) -> watch::Receiver<Arc<Blocked>> {
        self.blocked.subscribe()
    }

    /// Whether an object is blocked, as far as its publisher is known here.
    #[must_use]
    pub fn is_blocked(&self, object: ObjectId) -> bool {
        let blocked = self.blocked.borrow();
        let publisher = self.about(object).map(|about| about.publisher);
        blocked.objects.contains(&object)
            || publisher.is_some_and(|publisher| blocked.publishers.contains(&publisher))
    }

    /// Changes what is blocked, keeps it, and tells every session.
    ///
    /// # Errors
    ///
    /// [`BlockError`]; everything is as it was then.
    pub fn change_blocked(
        &self,
        change: impl FnOnce(&mut Blocked),
        unix_now: u64,
    ) -> Result<Arc<Blocked>, BlockError> {
        let mut list = self.list();
        let mut blocked = list.0.blocked.clone();
        change(&mut blocked);
        if blocked == list.0.blocked {
            return Ok(Arc::new(blocked));
        }
        if blocked.len() > BLOCKED_MAX {
            return Err(BlockError::Full);
        }
        let next = BlockList {
            blocked,
            serial: list.0.serial + 1,
            issued: unix_now,
        };
        if let Some(path) = &list.1 {
            keep(path, &next.sign(&self.key)).map_err(|source| BlockError::Io {
                path: path.clone(),
                source,
            })?;
        }
        let blocked = Arc::new(next.blocked.clone());
        list.0 = next;
        self.blocked.send_replace(Arc::clone(&blocked));
        Ok(blocked)
    }

    /// The list as edges fetch it, signed at this moment.
    #[must_use]
    pub fn signed_list(&self, unix_now: u64) -> String {
        let list = BlockList {
            issued: unix_now,
            ..self.list().0.clone()
        };
        list.sign(&self.key)
    }

    /// Checks a token shown in a session with this challenge.
    pub(crate) fn check(
        &self,
        token: &str,
        proof: &str,
        nonce: &[u8; 32],
        unix_now: u64,
    ) -> Result<Grant, Refusal> {
        let node = HEXLOWER.encode(&self.key.public());
        let targets = [format!("peerlift-control://{node}")];
        let nonce = BASE64URL_NOPAD.encode(nonce);
        let asked = Asked {
            method: "LOGIN",
            targets: &targets,
            nonce: Some(&nonce),
        };
        let shown = Credential {
            token,
            proof: Some(proof).filter(|proof| !proof.is_empty()),
        };
        let grant = {
            let gate = self.gate.read().unwrap_or_else(|it| it.into_inner());
            gate.check(shown, &asked, unix_now)?
        };
        if let Some(proof) = &grant.proof {
            let mut replay = self.replay.lock().unwrap_or_else(|it| it.into_inner());
            replay
                .admit(proof, unix_now)
                .map_err(|replay| match replay {
                    Replay::Used => Refusal::Replayed,
                    Replay::Full => Refusal::Busy,
                })?;
        }
        Ok(grant)
    }

    /// Whether a session that has shown these may ask for an object; the text says why not.
    pub(crate) fn may_ask(
        &self,
        object: ObjectId,
        grants: &[Grant],
        unix_now: u64,
    ) -> Result<(), String> {
        if self.is_blocked(object) {
            return Err("the object is blocked".to_owned());
        }
        let Some(about) = self.about(object).filter(|about| about.token) else {
            return Ok(());
        };
        let gate = self.gate.read().unwrap_or_else(|it| it.into_inner());
        let mut refusal = Refusal::NoToken;
        for grant in grants {
            if !gate.stands_by(grant) {
                refusal = TokenError::UnknownKey.into();
                continue;
            }
            match grant.covers(about.publisher, Some(object), about.unbound, unix_now) {
                Ok(()) => return Ok(()),
                Err(reason) if grant.publisher == about.publisher => refusal = reason,
                Err(_) => {}
            }
        }
        Err(refusal.to_string())
    }

    /// The blocked objects, those of blocked publishers among them that are known here.
    fn all_objects_of(&self, blocked: &Blocked) -> BTreeSet<ObjectId> {
        let objects = self.objects.read().unwrap_or_else(|it| it.into_inner());
        let theirs = objects
            .iter()
            .filter(|(_, about)| blocked.publishers.contains(&about.publisher));
        { &blocked.objects }
            .iter()
            .chain(theirs.map(|(object, _)| object))
            .copied()
            .collect()
    }

    fn about(&self, object: ObjectId) -> Option<ObjectAccess> {
        let objects = self.objects.read().unwrap_or_else(|it| it.into_inner());
        objects.get(&object).copied()
    }

    fn list(&self) -> MutexGuard<'_, (BlockList, Option<PathBuf>)> {
        // A panic while the lock is held leaves a list that is whole.
        self.list.lock().unwrap_or_else(|it| it.into_inner())
    }
}

/// What one session has shown, and what it may ask by that.
pub(crate) struct Pass {
    /// The challenge of the login, which the proofs of tokens answer, too.
    nonce: [u8; 32],
    /// Most sessions never show a token.
    shown: Option<Box<Shown>>,
}

#[derive(Default)]
struct Shown {
    grants: Vec<Grant>,
    /// When as many tokens as can be saved up may be shown again, in Unix seconds.
    full_at: u64,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is for the core.
    PassOn,
    /// It is dealt with.
    Keep,
    /// It is refused with these words.
    Say(ServerMessage),
}

/// How often a session may show a token once it has shown [`TOKENS_BURST`], in seconds: a check
/// costs two signatures, a token lasts for minutes.
const TOKEN_INTERVAL_S: u64 = 10;

/// Tokens at once: one for each publisher that a client has to do with.
const TOKENS_BURST: u64 = 16;

impl Pass {
    pub(crate) fn new(nonce: [u8; 32]) -> Self {
        Self { nonce, shown: None }
    }

    /// Looks at a message before the core does.
    pub(crate) fn hear(
        &mut self,
        message: &ClientMessage,
        access: &NodeAccess,
        unix_now: u64,
    ) -> Answer {
        match message {
            ClientMessage::Token(shown) => self.show(shown, access, unix_now),
            ClientMessage::Query(query) => match self.may_ask(query.object, access, unix_now) {
                Ok(()) => Answer::PassOn,
                Err(text) => denied(&text),
            },
            ClientMessage::Announce { object, .. } if access.is_blocked(*object) => Answer::Keep,
            ClientMessage::Login(_)
            | ClientMessage::Announce { .. }
            | ClientMessage::Withdraw { .. }
            | ClientMessage::Address { .. }
            | ClientMessage::Complain { .. }
            | ClientMessage::Ping => Answer::PassOn,
        }
    }

    /// Whether the client may ask for an object; the text says why not.
    pub(crate) fn may_ask(
        &self,
        object: ObjectId,
        access: &NodeAccess,
        unix_now: u64,
    ) -> Result<(), String> {
        let grants = self.shown.as_ref().map_or(&[][..], |shown| &shown.grants);
        access.may_ask(object, grants, unix_now)
    }

    fn show(&mut self, token: &ShownToken, access: &NodeAccess, unix_now: u64) -> Answer {
        let shown = self.shown.get_or_insert_default();
        let full_at = shown.full_at.max(unix_now) + TOKEN_INTERVAL_S;
        if full_at > unix_now + TOKEN_INTERVAL_S * TOKENS_BURST {
            let wait = Duration::from_secs(TOKEN_INTERVAL_S);
            return Answer::Say(error(ErrorCode::Busy, "too many tokens", wait));
        }
        shown.full_at = full_at;
        match access.check(&token.token, &token.proof, &self.nonce, unix_now) {
            Ok(grant) => {
                if shown.grants.len() == GRANTS_MAX {
                    shown.grants.remove(0);
                }
                shown.grants.push(grant);
                Answer::Keep
            }
            Err(refusal) => denied(&refusal.to_string()),
        }
    }
}

fn denied(text: &str) -> Answer {
    Answer::Say(error(ErrorCode::Denied, text, Duration::ZERO))
}

/// Tells the core what is blocked, now and whenever that changes. Never ends.
pub(crate) async fn tell_core(access: Arc<NodeAccess>, core: CoreHandle) {
    let mut news = access.blocked();
    let mut told = BTreeSet::new();
    loop {
        let blocked = Arc::clone(&news.borrow_and_update());
        let now = access.all_objects_of(&blocked);
        let changes = { &now ^ &told }.into_iter().map(|object| Event::Block {
            object,
            blocked: now.contains(&object),
        });
        for event in changes {
            core.tell(Input::Event(event)).await;
        }
        told = now;
        if news.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The public route: the signed list, for edges.
pub(crate) fn routes(access: &Arc<NodeAccess>) -> Router {
    let signed = |State(access): State<Arc<NodeAccess>>| async move {
        let fields = [
            (header::CONTENT_TYPE, "application/jose"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (fields, access.signed_list(unix_now()))
    };
    Router::new()
        .route(BLOCKS_PATH, get(signed))
        .with_state(Arc::clone(access))
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// Writes the list beside its place and moves it there: it is whole or not there.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create(&draft)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
