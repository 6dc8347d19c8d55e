//! What becomes of the announcements of suspects: see `complaints`.

use peerlift_model::{ObjectId, PeerId, Timestamp};

use crate::holders::Seat;
use crate::rendezvous::Rendezvous;
use crate::session::{Held, Presence};

impl Rendezvous {
    /// A client found that a peer announced what is not true.
    pub(crate) fn complain(&mut self, from: Seat, object: ObjectId, peer: PeerId, now: Timestamp) {
        // All those whose address is not known are one prefix.
        let prefix = self.places[from.index()].prefix();
        let prefix = prefix.unwrap_or_default();
        if self.complaints.note((peer, object), prefix, now)
            && let Some(seat) = self.by_peer.get(&peer).copied()
        {
            self.doubt(seat);
        }
    }

    /// Names a client no longer for what it is not believed to have.
    fn doubt(&mut self, seat: Seat) {
        for held in self.announced(seat) {
            let object = self.directory.object(held.object).id;
            if self
                .complaints
                .doubt(self.sessions[seat.index()].peer, object)
            {
                self.unlist(seat, held.object);
                self.retract(seat, object);
            }
        }
    }

    /// Names a client again for what it announced while it was not believed.
    pub(crate) fn believe(&mut self, peer: PeerId) {
        let Some(seat) = self.by_peer.get(&peer).copied() else {
            return;
        };
        let session = &self.sessions[seat.index()];
        if !session.share || session.presence == Presence::Nobody {
            return;
        }
        for held in self.announced(seat) {
            let object = self.directory.object(held.object).id;
            if !self.complaints.doubt(peer, object) {
                self.list(seat, held.object, held.complete);
            }
        }
    }

    fn announced(&self, seat: Seat) -> Vec<Held> {
        let held = self.sessions[seat.index()].held.iter();
        held.filter(|held| held.announced).copied().collect()
    }
}
