//! What downloads' tasks tell, and what is noted of it.

use peerlift_client::{Event, Provenance, Report, Snapshot, Started};

use super::{Active, Service};
use crate::activity::Happening;
use crate::explanations::{Explanation, Explanations};
use crate::service::queue::{DownloadId, Phase};
use crate::service::shared_files::SharedFile;
use crate::service::task::{End, News, SHARE_FOR};
use crate::time::UnixTime;

impl Service {
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Event(id, Event::Started(started)) => self.begun(id, &started),
            News::Event(id, Event::Progress(snapshot)) => self.progress(id, snapshot),
            News::Event(id, Event::Explained(provenance)) => self.explain(id, provenance),
            News::Event(id, Event::Completed(report)) => self.complete(id, &report),
            News::Event(id, Event::SharingEnded { why }) => self.note_end_of_sharing(id, why),
            News::Event(..) => {}
            News::Met(subject) => self.met.note(subject),
            News::Ended(id, result) => self.ended(id, result),
        }
    }

    fn begun(&mut self, id: DownloadId, started: &Started) {
        let (name, path) = (started.name.clone(), started.path.clone());
        let first = self
            .queue
            .item(id)
            .and_then(|item| item.wanted.urls.first());
        let url = first.and_then(|url| url.parse().ok());
        if let Some(active) = self.active.get_mut(&id) {
            (active.object, active.name) = (started.object, name.clone());
            active.explanation = url.map(|url| Explanation::begin(&url, started));
        }
        self.change(|queue| queue.named(id, name, path));
    }

    /// Keeps where what a run brought came from.
    fn explain(&mut self, id: DownloadId, provenance: Provenance) {
        let active = self.active.get(&id);
        let Some(mut explanation) = active.and_then(|active| active.explanation.clone()) else {
            return;
        };
        explanation.end(provenance, UnixTime::now());
        if let Err(error) = Explanations::of(&self.options.home).keep(explanation) {
            self.problem(error.to_string());
        }
    }

    fn progress(&mut self, id: DownloadId, snapshot: Snapshot) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        if snapshot.uploaded > active.snapshot.uploaded {
            self.shared.used(id, UnixTime::now());
        }
        active.snapshot = snapshot;
        let received = snapshot.from_edge + snapshot.from_peers;
        let more = received.saturating_sub(active.received);
        active.received = active.received.max(received);
        if let (Some(object), true) = (active.object, more > 0) {
            self.steward.budget().receive(object, more);
        }
    }

    fn complete(&mut self, id: DownloadId, report: &Report) {
        let Some(active) = self.active.get(&id) else {
            return;
        };
        let mut snapshot = active.snapshot;
        (snapshot.done, snapshot.size) = (report.size, Some(report.size));
        (snapshot.from_edge, snapshot.from_peers) = (report.from_edge, report.from_peers);
        (snapshot.rate_down, snapshot.eta_s) = (0, None);
        let done = Happening::Downloaded {
            name: active.name.clone(),
            size: report.size,
            from_edge: report.from_edge,
            from_peers: report.from_peers,
        };
        self.progress(id, snapshot);
        self.steward.budget().keep_received();
        self.note(done);
        if let Some(kept) = report.kept.clone() {
            let now = UnixTime::now();
            if let Err(error) = self.shared.add(id, SharedFile::new(kept, now, SHARE_FOR)) {
                self.problem(error.to_string());
            }
        }
        // Whether it is shared on, its end tells; until then it keeps no other from running.
        self.change(|queue| queue.completed(id, true, UnixTime::now()));
    }

    fn ended(&mut self, id: DownloadId, end: End) {
        // It goes on by itself: now, or when the service starts again.
        let goes_on = self.again.contains(&id) || self.stop.is_cancelled();
        let running = { self.queue.item(id) }.is_some_and(|item| item.phase == Phase::Running);
        match end {
            End::Failed(why) if self.queue.is_shared(id) => self.note_end_of_sharing(id, why),
            End::Failed(why) if running && !goes_on => self.fail(id, why),
            End::Complete { uploaded } => {
                if let Some(active) = self.active.get_mut(&id) {
                    active.snapshot.uploaded = uploaded;
                }
            }
            End::Failed(_) | End::NotAgreed => {}
        }
        let Some(mut active) = self.active.remove(&id) else {
            return;
        };
        self.note_shared_by(&mut active);
        if !goes_on {
            self.unshare(id);
        }
        self.go_on();
    }

    fn fail(&mut self, id: DownloadId, why: String) {
        if let Some(active) = self.active.get(&id) {
            let name = active.name.clone();
            let why = why.clone();
            self.note(Happening::DownloadFailed { name, why });
        }
        self.change(|queue| queue.failed(id, why, UnixTime::now()));
    }

    /// Notes that a file is no longer shared, though its user did not say so: it does not begin
    /// again.
    pub(super) fn note_end_of_sharing(&mut self, id: DownloadId, why: String) {
        if let Some(active) = self.active.get(&id) {
            let name = active.name.clone();
            self.note(Happening::SharingEnded { name, why });
        }
        self.again.remove(&id);
        self.unshare(id);
    }

    /// Notes what has gone out since it was noted last.
    pub(super) fn note_shared(&mut self) {
        let mut active = std::mem::take(&mut self.active);
        active
            .values_mut()
            .for_each(|active| self.note_shared_by(active));
        self.active = active;
    }

    fn note_shared_by(&mut self, active: &mut Active) {
        let uploaded = active.snapshot.uploaded;
        let bytes = uploaded - std::mem::replace(&mut active.uploaded_noted, uploaded);
        if bytes > 0 {
            self.note(Happening::Shared {
                name: active.name.clone(),
                bytes,
            });
        }
    }
}
