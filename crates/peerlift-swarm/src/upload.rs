//! What follows when peers ask us, and what they are told about us.

use peerlift_model::{GroupRange, Rate, Timestamp};

use crate::swarm::Swarm;
use crate::{Need, Output, Refusal, ServeId, SourceId};

impl Swarm {
    /// The fair share of the edge is told anew when it has changed by one part in so many.
    const SHARE_NEWS: u64 = 8;

    pub(crate) fn on_asked(&mut self, source: SourceId, serve: ServeId, groups: GroupRange) {
        let here = !groups.is_empty() && self.claims.have().contains_all(groups);
        let refusal = if !self.unchoker.is_unchoked(source) {
            Some(Refusal::Choked)
        } else if !here {
            Some(Refusal::NotHere)
        } else {
            (!self.serving.ask(source, serve, groups)).then_some(Refusal::Busy)
        };
        if let Some(reason) = refusal {
            self.outputs
                .push_back(Output::RefuseServe { serve, reason });
        }
    }

    pub(crate) fn on_served(&mut self, serve: ServeId, bytes: u64, now: Timestamp) {
        if self.serving.knows(serve) {
            self.books.uploaded = self.books.uploaded.saturating_add(bytes);
            self.books.up.add(bytes, now);
        }
    }

    pub(crate) fn on_share(&mut self, share: bool, now: Timestamp) {
        if std::mem::replace(&mut self.config.share, share) == share {
            return;
        }
        if share {
            let runs = self.claims.have().runs().iter();
            runs.for_each(|run| self.announcer.add(*run, now));
            self.fill_places(now);
            return;
        }
        let choked = self.unchoker.clear();
        self.choke(choked);
        let running = self.serving.all().map(|serve| Output::StopServe { serve });
        self.outputs.extend(running);
        self.announcer.take(now, true);
    }

    /// What the object needs of an uplink that several share, when those who ask for it could take
    /// `demand`. Costs one look at every piece.
    #[must_use]
    pub fn need(&self, demand: Rate) -> Need {
        Need {
            askers: u32::try_from(self.serving.askers()).unwrap_or(u32::MAX),
            copies: self.rarity.fewest_copies(self.layout.all_groups()),
            demand,
        }
    }

    pub(crate) fn start_uploads(&mut self) {
        let rarity = &self.rarity;
        while let Some(serve) = self.serving.next(|groups| rarity.fewest_copies(groups)) {
            self.outputs.push_back(Output::Serve { serve });
        }
    }

    /// Unchokes whoever waits for a free place.
    pub(crate) fn fill_places(&mut self, now: Timestamp) {
        if !self.config.share {
            return;
        }
        let lucky = self.unchoker.fill(now).into_iter();
        self.outputs
            .extend(lucky.map(|source| Output::Unchoke { source }));
    }

    pub(crate) fn rotate_places(&mut self, now: Timestamp) {
        let serving = &self.serving;
        let choked = self
            .unchoker
            .rotate(now, |source| serving.is_serving(source));
        self.choke(choked);
        self.fill_places(now);
    }

    /// Tells peers of what arrived, when it is time.
    pub(crate) fn announce(&mut self, now: Timestamp, at_once: bool) {
        let batch = self.announcer.take(now, at_once);
        if self.config.share && self.peers().next().is_some() {
            let runs = batch.runs().iter();
            self.outputs
                .extend(runs.map(|groups| Output::Announce { groups: *groups }));
        }
    }

    /// Tells peers of the fair share of the edge when it is clearly another than they know.
    pub(crate) fn tell_share(&mut self, now: Timestamp) {
        let Some(share) = self.twin.measured_share(now) else {
            return;
        };
        let (told, news) = (self.told_share.unwrap_or_default(), share.bytes_per_s());
        if told.bytes_per_s().abs_diff(news) <= news / Self::SHARE_NEWS {
            return;
        }
        self.told_share = Some(share);
        let peers: Vec<SourceId> = self.peers().map(|(source, _)| source).collect();
        let tell = |source| Output::FairShare { source, share };
        self.outputs.extend(peers.into_iter().map(tell));
    }

    /// Tells one peer of it.
    pub(crate) fn tell_share_to(&mut self, source: SourceId, now: Timestamp) {
        if let Some(share) = self.twin.measured_share(now) {
            self.outputs.push_back(Output::FairShare { source, share });
        }
    }

    fn choke(&mut self, sources: impl IntoIterator<Item = SourceId>) {
        for source in sources {
            self.outputs.push_back(Output::Choke { source });
            for serve in self.serving.refuse_waiting(Some(source)) {
                let reason = Refusal::Choked;
                self.outputs
                    .push_back(Output::RefuseServe { serve, reason });
            }
        }
    }
}
