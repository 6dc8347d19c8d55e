//! Whether anything may go out to peers now: one switch and one budget for all downloads of a client.
//!
//! The program that asked the user owns it: it closes the switch while the user, the battery or an
//! administrator wants no uploads, and its [`UploadBudget`] counts every byte before it goes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use peerlift_model::{ObjectId, Rate};
use peerlift_net::polite::Uplink;
use tokio::sync::watch;

use crate::limiter::Limiter;
use crate::split::{Part, Split};

/// The answer of an [`UploadBudget`].
pub type Taking<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Counts what goes out, before it does.
pub trait UploadBudget: fmt::Debug + Send + Sync {
    /// Takes so many bytes of what may still be sent of an object. False: no more of it may go out
    /// in this run. It is called before each few tens of KiB, from many tasks, which must not be
    /// kept from others: what takes time belongs into what is returned. Dropping that early may
    /// leave the bytes taken.
    fn take(&self, object: ObjectId, bytes: u64) -> Taking<'_>;
}

/// The switch for all uploads of a client. Cheap to clone; all clones are the same switch.
#[derive(Clone, Debug)]
pub struct Uploads {
    open: Arc<watch::Sender<bool>>,
    budget: Option<Arc<dyn UploadBudget>>,
    limit: Arc<Limiter>,
    uplink: Uplink,
    split: Arc<Split>,
}

impl Uploads {
    /// Lets everything go that a download shares.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(true)),
            budget: None,
            limit: Arc::new(Limiter::new(None)),
            uplink: Uplink::plain(),
            split: Arc::default(),
        }
    }

    /// Lets go what the budget allows.
    #[must_use]
    pub fn within(budget: Arc<dyn UploadBudget>) -> Self {
        Self {
            budget: Some(budget),
            ..Self::unlimited()
        }
    }

    /// Takes what the rest leaves over of the line, instead of a share as everything else does.
    #[must_use]
    pub fn giving_way(self) -> Self {
        let uplink = Uplink::polite();
        Self { uplink, ..self }
    }

    /// Opens or closes the switch. Once closed, uploads under way are broken off and nothing new
    /// begins; what the network already carries still arrives.
    pub fn set_open(&self, open: bool) {
        self.open
            .send_if_modified(|was| std::mem::replace(was, open) != open);
    }

    /// Whether the switch is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Caps all uploads together from now on; `None` lifts the cap.
    pub fn set_limit(&self, rate: Option<Rate>) {
        self.limit.set_rate(rate);
    }

    /// The line, as far as it is shared with others.
    pub(crate) fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    /// How fast all uploads together may be, as far as that is known: by the cap, and by what others
    /// leave of the line.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.limit
            .rate()
            .into_iter()
            .chain(self.uplink.rate())
            .min()
    }

    /// A part of that for one object.
    pub(crate) fn part(&self) -> Part {
        self.split.join()
    }

    /// Tells when the switch is used.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// Waits until so many bytes may go out by the cap, and takes them from the budget. False:
    /// they may not go out at all.
    pub(crate) async fn pass(&self, object: ObjectId, bytes: usize) -> bool {
        self.limit.pass(bytes).await;
        self.uplink.pass(bytes).await;
        let Some(budget) = &self.budget else {
            return self.is_open();
        };
        self.is_open() && budget.take(object, bytes as u64).await && self.is_open()
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Self::unlimited()
    }
}
