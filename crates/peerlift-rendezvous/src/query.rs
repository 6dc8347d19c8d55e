//! Answers to queries: which peers are named, and who hears of the asker in turn.

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};

use crate::directory::ObjectIndex;
use crate::event::{Meeting, Output, Refusal};
use crate::holders::{Holder, Seat};
use crate::policy::NatRule;
use crate::rendezvous::Rendezvous;
use crate::selection::{Choice, Judge, select};
use crate::session::Session;
use crate::{Level, Locality};

impl Rendezvous {
    pub(crate) fn query(
        &mut self,
        seat: Seat,
        object: ObjectId,
        max: usize,
        known: Vec<PeerId>,
        now: Timestamp,
    ) {
        if let Err(retry_after) = self.admit_query(seat, now) {
            self.refuse(seat, Refusal::TooManyQueries { retry_after });
            return;
        }
        if self.refuses_blocked(seat, object) {
            return;
        }
        let Some(index) = self.take_up(seat, object) else {
            self.refuse(seat, Refusal::TooManyObjects);
            return;
        };
        if self.config.shared {
            self.wish(seat, index);
            self.ask(seat, object, index, max, known);
            return;
        }
        let spread = self.spread(seat, index);
        let choices = self.choose(seat, index, max, known, now);
        self.introduce(seat, object, index, &choices, spread);
    }

    fn admit_query(&mut self, seat: Seat, now: Timestamp) -> Result<(), std::time::Duration> {
        let limits = self.config.policy.limits;
        self.sessions[seat.index()]
            .queries
            .take(limits.queries, now)?;
        match self.places[seat.index()].prefix() {
            Some(prefix) => self.neighbourhoods.take(prefix, limits.prefix_queries, now),
            None => Ok(()),
        }
    }

    /// Notes that a client wants to hear of others.
    fn wish(&mut self, seat: Seat, index: ObjectIndex) {
        if let Some(held) = self.sessions[seat.index()].held.get_mut(index) {
            held.looking = true;
        }
    }

    /// The asker's spread number, and that it wants to hear of others.
    pub(crate) fn spread(&mut self, seat: Seat, index: ObjectIndex) -> u32 {
        let Some(held) = self.sessions[seat.index()].held.get_mut(index) else {
            return 0;
        };
        held.looking = true;
        if !held.is_spread {
            (held.is_spread, held.spread) = (true, self.directory.next_spread(index));
        }
        held.spread
    }

    /// Holders of the object that the asker does not know and can be sent to.
    pub(crate) fn choose(
        &mut self,
        seat: Seat,
        index: ObjectIndex,
        max: usize,
        mut known: Vec<PeerId>,
        now: Timestamp,
    ) -> Vec<Choice> {
        known.sort_unstable();
        let policy = &self.config.policy;
        let fit = Fit {
            sessions: &self.sessions,
            places: &self.places,
            asker: seat,
            place: self.places[seat.index()],
            class: self.sessions[seat.index()].nat,
            known: &known,
            rule: policy.nat,
            now,
        };
        let selected = select(
            &self.directory.object(index).holders,
            &self.places,
            fit.place,
            max.min(policy.answer.peers_max),
            policy,
            &mut self.rng,
            &fit,
        );
        self.stats.answers += 1;
        self.stats.looks += u64::try_from(selected.looks).unwrap_or(u64::MAX);
        let cost = policy.rotation.cost;
        for choice in &selected.choices {
            let session = &mut self.sessions[choice.holder.seat().index()];
            session.busy_until = session.busy_until.max(now) + cost;
            self.stats.named[choice.level as usize] += 1;
        }
        selected.choices
    }

    /// Introduces the found to the asker, who connects, and the asker to those of them that look
    /// for peers themselves and may be served by it.
    fn introduce(
        &mut self,
        asker: Seat,
        object: ObjectId,
        index: ObjectIndex,
        choices: &[Choice],
        spread: u32,
    ) {
        let session = &self.sessions[asker.index()];
        let meetings = choices.iter().filter_map(|choice| {
            let complete = choice.holder.is_complete();
            meeting(&self.sessions[choice.holder.seat().index()], complete, true)
        });
        self.outputs.push_back(Output::Introduce {
            to: session.id,
            object,
            peers: meetings.collect(),
            spread: Some(spread),
        });
        if !session.share {
            return;
        }
        let complete = session.held.get(index).is_some_and(|held| held.complete);
        let Some(back) = meeting(session, complete, false) else {
            return;
        };
        for choice in choices {
            let holder = &self.sessions[choice.holder.seat().index()];
            if !choice.holder.is_complete() && is_looking(holder, index) {
                self.outputs.push_back(Output::Introduce {
                    to: holder.id,
                    object,
                    peers: vec![back.clone()],
                    spread: None,
                });
            }
        }
    }
}

pub(crate) fn is_looking(session: &Session, index: ObjectIndex) -> bool {
    session.held.get(index).is_some_and(|held| held.looking)
}

pub(crate) fn meeting(session: &Session, complete: bool, dial: bool) -> Option<Meeting> {
    Some(Meeting {
        peer: session.peer,
        contact: session.contact.clone()?,
        complete,
        dial,
    })
}

/// Whether a holder can be named to an asker.
pub(crate) struct Fit<'a> {
    pub(crate) sessions: &'a [Session],
    pub(crate) places: &'a [Locality],
    pub(crate) asker: Seat,
    pub(crate) place: Locality,
    pub(crate) class: NatClass,
    /// Sorted.
    pub(crate) known: &'a [PeerId],
    pub(crate) rule: NatRule,
    pub(crate) now: Timestamp,
}

impl Judge for Fit<'_> {
    fn look(&self, holder: Holder) -> Option<Timestamp> {
        let seat = holder.seat();
        let session = &self.sessions[seat.index()];
        let fits = seat != self.asker
            && session.is_reachable()
            && self.connects(seat, session)
            && self.known.binary_search(&session.peer).is_err();
        fits.then(|| session.busy_until.max(self.now))
    }
}

impl Fit<'_> {
    fn connects(&self, seat: Seat, session: &Session) -> bool {
        self.rule.allows(self.class, session.nat, false)
            || self.place.nearness(self.places[seat.index()]) == Level::Site
    }
}
