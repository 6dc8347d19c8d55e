//! What the user changes about downloads that are there already.

use super::Service;
use crate::consent::{Agreed, Answer, Consents};
use crate::service::queue::{DownloadId, Phase, QueueError};

impl Service {
    /// Stops sharing what its user no longer agrees to.
    pub(in crate::service) fn review_consents(&mut self) {
        let shared: Vec<DownloadId> = { self.queue.items() }
            .filter(|item| matches!(item.phase, Phase::Sharing | Phase::Running))
            .map(|item| item.id)
            .collect();
        shared.into_iter().for_each(|id| self.begin_again(id));
        let consents = Consents::at(self.options.home.consent()).standing();
        self.shut = consents.is_ok_and(|answers| {
            let off = |answer: &Answer| answer.share == Agreed::Off;
            answers.iter().all(off)
        });
        self.go_on();
    }

    /// Ends a run; the next one begins where it was, by what holds now.
    fn begin_again(&mut self, id: DownloadId) {
        if let Some(active) = self.active.get(&id) {
            active.stop.cancel();
        }
        self.again.insert(id);
    }

    /// Changes whether its user waits for a download, also of one that runs.
    pub(in crate::service) fn set_foreground(
        &mut self,
        id: DownloadId,
        foreground: bool,
    ) -> Result<(), QueueError> {
        if self.change(|queue| queue.set_foreground(id, foreground))? {
            self.begin_again(id);
            self.go_on();
        }
        Ok(())
    }

    /// Stops all uploads or lets them go on, also after a restart.
    pub(in crate::service) fn set_uploads_paused(&mut self, paused: bool) {
        self.steward.set_paused(paused);
        self.change(|queue| queue.set_uploads_paused(paused));
    }
}
