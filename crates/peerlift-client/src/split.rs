//! Splits the uplink of a client among the objects it shares.
//!
//! Every object has a [`Part`]. It says a few times a second what its object needs, and lets its
//! bytes pass as fast as its part of the uplink is. How much that is decides
//! [`peerlift_swarm::split_uplink`]; that all together keep to the cap, or give way to others, is
//! not looked after here, but by [`crate::uploads`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use peerlift_model::Rate;
use peerlift_swarm::{Need, split_uplink};

use crate::limiter::Limiter;

/// What objects at least pass, in bytes a second: a core serves six askers at once, and at that rate
/// each of them gets a step of 64 KiB within six seconds, sooner than it takes us for dead. With
/// many objects on a thin line that is more than their parts; all together keep to the cap anyway.
const LEAST: u64 = 64 * 1024;

/// The objects that share an uplink.
#[derive(Debug, Default)]
pub(crate) struct Split(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    next: u64,
    needs: BTreeMap<u64, Need>,
    limits: BTreeMap<u64, Arc<Limiter>>,
}

/// One object's part. It is given up with its last handle.
#[derive(Debug)]
pub(crate) struct Part {
    split: Arc<Split>,
    number: u64,
    limit: Arc<Limiter>,
}

impl Split {
    /// A part for one more object, of which nothing is needed yet.
    pub(crate) fn join(self: &Arc<Self>) -> Part {
        let mut objects = self.objects();
        let number = objects.next;
        objects.next += 1;
        let limit = Arc::new(Limiter::new(None));
        objects.limits.insert(number, Arc::clone(&limit));
        Part {
            split: Arc::clone(self),
            number,
            limit,
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Part {
    /// How much more than now the askers of an object are taken to be able to take: what grows may
    /// double from look to look, and what is not used is others'.
    const GROWTH: u64 = 2;

    /// What the askers of an object that takes `rate_up` now could take.
    pub(crate) fn demand(rate_up: Rate) -> Rate {
        let more = rate_up.bytes_per_s().saturating_mul(Self::GROWTH);
        Rate::from_bytes_per_s(more.max(LEAST))
    }

    /// Whether there is nobody to share the uplink with: nothing has to be said then.
    pub(crate) fn is_alone(&self) -> bool {
        self.split.objects().limits.len() < 2
    }

    /// Says what the object needs, and how fast the uplink is, as far as that is known.
    pub(crate) fn tell(&self, need: Need, uplink: Option<Rate>) {
        let mut objects = self.split.objects();
        if objects.needs.insert(self.number, need) != Some(need) {
            objects.split(uplink);
        }
    }

    /// Returns when bytes of the object may go by its part. Cancel-safe, but what was asked for
    /// stays accounted.
    pub(crate) async fn pass(&self, bytes: usize) {
        self.limit.pass(bytes).await;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut objects = self.split.objects();
        objects.needs.remove(&self.number);
        objects.limits.remove(&self.number);
        if objects.limits.len() < 2 {
            objects.split(None);
        }
    }
}

impl Objects {
    /// Nobody is held back unless there is less than all could take together.
    fn split(&self, uplink: Option<Rate>) {
        let scarce = uplink.filter(|uplink| self.demand() > uplink.bytes_per_s());
        let parts = scarce.map(|uplink| split_uplink(uplink, &self.needs));
        let rivals = self.asked().count();
        for (number, limit) in &self.limits {
            let asked = (self.needs.get(number)).is_some_and(|need| need.askers > 0);
            let part = parts.as_ref().and_then(|parts| parts.get(number));
            limit.set_rate(
                part.filter(|_| asked && rivals > 1)
                    .map(|part| allowed(*part)),
            );
        }
    }

    fn demand(&self) -> u64 {
        let add = |sum: u64, need: &Need| sum.saturating_add(need.demand.bytes_per_s());
        self.asked().fold(0, add)
    }

    fn asked(&self) -> impl Iterator<Item = &Need> {
        self.needs.values().filter(|need| need.askers > 0)
    }
}

/// What an object may pass whose part is so large: a quarter more, as a line whose rate is measured
/// would never be found to be faster otherwise.
fn allowed(part: Rate) -> Rate {
    let part = part.bytes_per_s();
    Rate::from_bytes_per_s(part.saturating_add(part / 4).max(LEAST))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;

    const UPLINK: Rate = Rate::from_bytes_per_s(1 << 20);
    const STEP: usize = 16 * 1024;

    fn need(askers: u32, copies: u32) -> Need {
        let demand = Rate::from_bytes_per_s(u64::MAX);
        Need {
            askers,
            copies,
            demand,
        }
    }

    /// What each of the parts passes in a minute, when all send as much as they may.
    async fn passed(parts: [&Part; 2]) -> [usize; 2] {
        let all = Limiter::new(Some(UPLINK));
        let count = |part: &Part| {
            let until = Instant::now() + Duration::from_secs(60);
            let (all, limit) = (&all, Arc::clone(&part.limit));
            async move {
                let mut bytes = 0;
                while Instant::now() < until {
                    limit.pass(STEP).await;
                    all.pass(STEP).await;
                    bytes += STEP;
                }
                bytes
            }
        };
        let (one, other) = tokio::join!(count(parts[0]), count(parts[1]));
        [one, other]
    }

    #[tokio::test(start_paused = true)]
    async fn the_object_with_more_askers_and_fewer_holders_gets_more() {
        let split = Arc::new(Split::default());
        let [new, old] = [split.join(), split.join()];
        let even = passed([&new, &old]).await;
        assert!(even[0].abs_diff(even[1]) * 100 < even[0], "{even:?}");

        new.tell(need(6, 0), Some(UPLINK));
        old.tell(need(2, 3), Some(UPLINK));
        let [most, kept] = passed([&new, &old]).await;
        // A sixteenth is kept, a quarter more allowed, and the rest is worth more of the new one.
        assert_eq!(most / kept, 11, "{most} {kept}");
        let used = (most + kept) as u64 * 100 / (UPLINK.bytes_per_s() * 60);
        assert!((98..=102).contains(&used), "{used} %");
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_object_does_not_use_is_the_others() {
        let split = Arc::new(Split::default());
        let [new, old] = [split.join(), split.join()];
        let demand = Part::demand(Rate::default());
        let modest = Need {
            demand,
            ..need(6, 0)
        };
        new.tell(modest, Some(UPLINK));
        old.tell(need(2, 3), Some(UPLINK));
        let [_, most] = passed([&new, &old]).await;
        let rest = UPLINK.bytes_per_s() - demand.bytes_per_s();
        assert!(most as u64 >= rest * 59, "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_held_back_where_all_have_enough_or_nobody_else_asks() {
        let split = Arc::new(Split::default());
        let [one, other] = [split.join(), split.join()];
        let free = async || {
            let pass = async || {
                for part in [&one, &other] {
                    part.pass(1 << 30).await;
                }
            };
            timeout(Duration::from_secs(1), pass()).await.is_ok()
        };
        assert!(!one.is_alone() && !other.is_alone());
        one.tell(need(0, 0), Some(UPLINK));
        other.tell(need(0, 5), Some(UPLINK));
        assert!(free().await, "nobody asks");
        let demand = Part::demand(UPLINK);
        one.tell(
            Need {
                demand,
                ..need(1, 0)
            },
            Some(Rate::from_bytes_per_s(u64::MAX)),
        );
        assert!(free().await, "more than all could take");
        one.tell(need(1, 0), None);
        assert!(free().await, "a line of which nothing is known");
        one.tell(need(2, 0), Some(UPLINK));
        other.tell(need(2, 0), Some(UPLINK));
        assert!(!free().await);
        drop(other);
        one.pass(1).await;
        assert!(one.is_alone(), "the other is forgotten");
    }
}
