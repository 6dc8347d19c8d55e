//! Who comes, goes, stays silent, and comes back: sessions and their seats.

use std::cmp::Reverse;

use peerlift_model::Timestamp;

use crate::Locality;
use crate::event::{Arrival, CloseReason, Output, SessionId};
use crate::holders::{SEATS_MAX, Seat};
use crate::rendezvous::Rendezvous;
use crate::session::{HeldList, Presence, Session};

impl Rendezvous {
    pub(crate) fn join(&mut self, id: SessionId, arrival: &Arrival, now: Timestamp) {
        let mut session = Session::new(id, arrival, now);
        let pace = self.config.policy.limits.logins;
        let place = self
            .config
            .policy
            .sites
            .place(arrival.observed, arrival.network);
        if let Some(seat) = self.by_peer.get(&arrival.peer).copied() {
            let old = &mut self.sessions[seat.index()];
            if let Err(retry_after) = old.logins.take(pace, now) {
                let reason = CloseReason::TooManyLogins { retry_after };
                self.close(id, reason);
                return;
            }
            session.logins = old.logins;
            if old.presence == Presence::Here {
                let (old, reason) = (old.id, CloseReason::Replaced);
                self.close(old, reason);
            }
            if self.resume(seat, &session, place, arrival) {
                return;
            }
            self.forget(seat);
        } else {
            // The first of a burst that is allowed.
            let _ = session.logins.take(pace, now);
        }
        let Some(seat) = self.sit_down(session, place) else {
            self.close(id, CloseReason::Full);
            return;
        };
        self.by_peer.insert(arrival.peer, seat);
        self.welcome(seat, id, false, now);
    }

    /// Goes on with what is remembered of a client, when both mean the same by it.
    fn resume(
        &mut self,
        seat: Seat,
        session: &Session,
        place: Locality,
        arrival: &Arrival,
    ) -> bool {
        let old = &mut self.sessions[seat.index()];
        let same = arrival.resume == Some(old.held.digest())
            && old.share == session.share
            && self.places[seat.index()] == place;
        if !same {
            return false;
        }
        if old.presence == Presence::Here {
            self.present.leave(old.nat);
        }
        self.seats.remove(&old.id);
        old.id = session.id;
        old.nat = session.nat;
        old.presence = Presence::Here;
        old.observed = session.observed;
        old.logins = session.logins;
        self.stats.resumed += 1;
        self.welcome(seat, session.id, true, session.heard_at);
        self.offer_all(seat);
        true
    }

    fn welcome(&mut self, seat: Seat, id: SessionId, resumed: bool, now: Timestamp) {
        self.present.enter(self.sessions[seat.index()].nat);
        self.seats.insert(id, seat);
        self.sessions[seat.index()].heard_at = now;
        self.checks
            .push(Reverse((now + self.config.silence_max, id)));
        self.outputs.push_back(Output::Joined {
            session: id,
            resumed,
        });
    }

    fn sit_down(&mut self, session: Session, place: Locality) -> Option<Seat> {
        if let Some(seat) = self.free.pop() {
            self.sessions[seat.index()] = session;
            self.places[seat.index()] = place;
            return Some(seat);
        }
        let number = u32::try_from(self.sessions.len()).ok()?;
        if number >= SEATS_MAX {
            return None;
        }
        self.sessions.push(session);
        self.places.push(place);
        Some(Seat(number))
    }

    pub(crate) fn lose(&mut self, id: SessionId, now: Timestamp) {
        let Some(seat) = self.seats.get(&id).copied() else {
            return;
        };
        let session = &mut self.sessions[seat.index()];
        if session.presence != Presence::Here {
            return;
        }
        if session.held.len() == 0 || self.config.resume_max.is_zero() {
            self.forget(seat);
            return;
        }
        let until = now + self.config.resume_max;
        session.presence = Presence::Away { until };
        self.present.leave(session.nat);
        self.retract_all(seat);
        self.checks.push(Reverse((until, id)));
    }

    pub(crate) fn check(&mut self, id: SessionId, now: Timestamp) {
        let Some(seat) = self.seats.get(&id).copied() else {
            return;
        };
        let session = &self.sessions[seat.index()];
        match session.presence {
            Presence::Here => {
                let at = session.heard_at + self.config.silence_max;
                if at > now {
                    self.checks.push(Reverse((at, id)));
                } else {
                    self.forget(seat);
                    self.close(id, CloseReason::Silent);
                }
            }
            Presence::Away { until } if until <= now => self.forget(seat),
            Presence::Away { .. } | Presence::Nobody => {}
        }
    }

    pub(crate) fn close(&mut self, session: SessionId, reason: CloseReason) {
        self.outputs.push_back(Output::Close { session, reason });
    }

    pub(crate) fn forget(&mut self, seat: Seat) {
        if self.sessions[seat.index()].presence == Presence::Here {
            self.present.leave(self.sessions[seat.index()].nat);
            self.retract_all(seat);
        }
        let session = &mut self.sessions[seat.index()];
        session.presence = Presence::Nobody;
        session.contact = None;
        let held = std::mem::take(&mut session.held);
        self.seats.remove(&session.id);
        self.by_peer.remove(&session.peer);
        self.drop_held(seat, &held);
        self.free.push(seat);
    }

    pub(crate) fn drop_held(&mut self, seat: Seat, held: &HeldList) {
        for one in held.iter() {
            if one.announced {
                self.unlist(seat, one.object);
            }
            self.directory.leave(one.object);
        }
    }
}
