//! What another policy would change, tried on what the node knows.

use peerlift_model::{NatClass, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::holders::Holder;
use crate::policy::Policy;
use crate::query::Fit;
use crate::rendezvous::Rendezvous;
use crate::selection::select;

/// The same questions answered by two policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// By the policy in force.
    pub before: Effect,
    /// By the other.
    pub after: Effect,
}

/// What a policy answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Questions that were put.
    pub queries: u64,
    /// Of these, how many got no peer at all.
    pub empty: u64,
    /// Peers named, by nearness: site, prefix, AS, country, world.
    pub named: [u64; 5],
}

impl Rendezvous {
    /// Puts `queries` questions of clients and for objects drawn at random, and changes nothing.
    ///
    /// Places of clients are those they have; sites of the other policy count only for clients that
    /// come after it is in force.
    #[must_use]
    pub fn preview(&self, policy: &Policy, queries: usize, seed: u64) -> Preview {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut preview = Preview::default();
        for _ in 0..queries {
            let Some(object) = self.directory.draw(rng.random()) else {
                continue;
            };
            let count = u32::try_from(object.holders.len()).unwrap_or(u32::MAX);
            let Some(asker) = object.holders.at(rng.random_range(0..count)) else {
                continue;
            };
            let answer_seed = rng.random();
            for (effect, policy) in [
                (&mut preview.before, &self.config.policy),
                (&mut preview.after, policy),
            ] {
                effect.queries += 1;
                let blocked = self.is_blocked(object.id) || policy.blocked.contains(&object.id);
                let named = match blocked {
                    true => [0; 5],
                    false => self.named(object.id, asker, policy, answer_seed),
                };
                effect.empty += u64::from(named == [0; 5]);
                for (sum, more) in effect.named.iter_mut().zip(named) {
                    *sum += more;
                }
            }
        }
        preview
    }

    fn named(
        &self,
        object: peerlift_model::ObjectId,
        asker: Holder,
        policy: &Policy,
        seed: u64,
    ) -> [u64; 5] {
        let mut named = [0; 5];
        let Some(index) = self.directory.find(object) else {
            return named;
        };
        let seat = asker.seat();
        let fit = Fit {
            sessions: &self.sessions,
            places: &self.places,
            asker: seat,
            place: self.places[seat.index()],
            class: self
                .sessions
                .get(seat.index())
                .map_or(NatClass::Unknown, |session| session.nat),
            known: &[],
            rule: policy.nat,
            now: Timestamp::ZERO,
        };
        let selected = select(
            &self.directory.object(index).holders,
            &self.places,
            fit.place,
            policy.answer.peers_max,
            policy,
            &mut Pcg64Mcg::seed_from_u64(seed),
            &fit,
        );
        for choice in selected.choices {
            named[choice.level as usize] += 1;
        }
        named
    }
}
