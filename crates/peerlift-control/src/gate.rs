//! How many may be at the door at once, and how many may come through it each second.
//!
//! A login costs a node a third of a millisecond, most of it for TLS. What cannot be done at once
//! is best not begun: a node that begins everything finishes nothing in time. So connections are
//! taken out of the kernel's queue, oldest first, only while there is a place for their handshake;
//! and whoever is turned away is told when to come back, each a little later than the one before.
//! To be told costs a handshake, too: once half as many a second as are let in have been told, the
//! rest are hung up on before it. They come back by their own back-off, which doubles and is drawn
//! at random.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerlift_model::Timestamp;
use peerlift_rendezvous::{Locality, Network};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that have not logged in yet, at most. Half a second of work for one core.
const PENDING_MAX: usize = 1024;

/// Of these, so many from one site: somebody who opens connections and says nothing cannot have
/// all of them. A quarter, as a carrier's NAT is one address too.
const PENDING_PER_SITE_MAX: usize = PENDING_MAX / 4;

/// The door.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    sites: Arc<Mutex<HashMap<Locality, usize>>>,
}

/// A place at the door, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    site: Locality,
    sites: Arc<Mutex<HashMap<Locality, usize>>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::with_places(PENDING_MAX)
    }

    pub(crate) fn with_places(count: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(count)),
            sites: Arc::default(),
        }
    }

    /// Waits for a place. Cancel-safe.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        // Closed: never.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Takes the place for a connection, unless its site has enough of them.
    pub(crate) fn enter(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let site = Locality::of(Some(address), Network::default()).site();
        let mut sites = lock(&self.sites);
        let count = sites.entry(site).or_default();
        if *count >= PENDING_PER_SITE_MAX {
            return None;
        }
        *count += 1;
        Some(Place {
            _permit: permit,
            site,
            sites: Arc::clone(&self.sites),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sites = lock(&self.sites);
        if let Some(count) = sites.get_mut(&self.site) {
            *count -= 1;
            if *count == 0 {
                sites.remove(&self.site);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets so many logins through each second, and gives the others appointments.
#[derive(Debug)]
pub(crate) struct LoginRate {
    interval: Duration,
    state: Mutex<Booked>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Booked {
    /// When all tokens are back.
    full_at: Timestamp,
    /// The last appointment given.
    until: Timestamp,
    /// When as many handshakes may begin at once as in a second at most.
    begun_full_at: Timestamp,
}

/// Logins that may come at once: what a second brings.
const BURST: Duration = Duration::from_secs(1);

/// The latest appointment; clients do not wait longer.
const APPOINTMENT_MAX: Duration = Duration::from_secs(600);

/// The earliest: who asks again at once is no relief.
const APPOINTMENT_MIN: Duration = Duration::from_secs(2);

impl LoginRate {
    pub(crate) fn new(logins_per_s: u32) -> Self {
        let interval = Duration::from_secs(1) / logins_per_s.max(1);
        // A node that has just started is the one that everybody comes back to: it lets no more in
        // in its first second than in any other.
        let saved_up = interval.max(BURST / 10);
        let state = Booked {
            full_at: Timestamp::ZERO + (BURST.max(interval) - saved_up),
            ..Booked::default()
        };
        Self {
            interval,
            state: Mutex::new(state),
        }
    }

    /// Whether to begin a handshake with one more: with those who can be let in, and half as many
    /// who are told when to come back. Counted here, as a handshake takes its time and others come
    /// meanwhile.
    pub(crate) fn begin(&self, now: Timestamp) -> bool {
        let mut booked = lock(&self.state);
        let each = self.interval * 2 / 3;
        let full_at = booked.begun_full_at.max(now) + each;
        let begin = full_at <= now + 2 * BURST.max(self.interval);
        if begin {
            booked.begun_full_at = full_at;
        }
        begin
    }

    /// Lets one in, or says how long to stay away.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), Duration> {
        let mut booked = lock(&self.state);
        let full_at = booked.full_at.max(now) + self.interval;
        if full_at <= now + BURST.max(self.interval) {
            booked.full_at = full_at;
            return Ok(());
        }
        booked.until = booked
            .until
            .max(now + APPOINTMENT_MIN)
            .min(now + APPOINTMENT_MAX)
            + self.interval;
        Err(booked.until.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn so_many_come_in_each_second_and_the_others_get_appointments_in_turn() {
        let rate = LoginRate::new(10);
        for _ in 0..10 {
            assert_eq!(rate.admit(at(5000)), Ok(()));
        }
        let waits: Vec<Duration> = (0..3).map(|_| rate.admit(at(5000)).unwrap_err()).collect();
        assert_eq!(waits, [2100, 2200, 2300].map(Duration::from_millis));
        assert_eq!(rate.admit(at(5100)), Ok(()));
        assert!(rate.admit(at(5100)).is_err());
    }

    #[test]
    fn the_first_second_brings_no_more_than_any_other() {
        for per_s in [10, 100, 1000] {
            let rate = LoginRate::new(per_s);
            let tries = (0..10_000).map(|tick| rate.admit(at(tick / 10)));
            let admitted = tries.filter(Result::is_ok).count();
            let most = per_s as usize * 11 / 10;
            assert!((per_s as usize..=most).contains(&admitted), "{admitted}");
        }
        assert_eq!(LoginRate::new(1).admit(at(0)), Ok(()));
    }

    #[test]
    fn of_ten_times_too_many_only_some_get_a_handshake() {
        let rate = LoginRate::new(100);
        let (mut admitted, mut told, mut hung_up_on) = (0, 0, 0);
        // A thousand a second, for ten seconds after the first bursts.
        for tick in 0..11_000 {
            let now = at(tick);
            let count = u32::from(tick >= 1000);
            if !rate.begin(now) {
                hung_up_on += count;
            } else if rate.admit(now).is_ok() {
                admitted += count;
            } else {
                told += count;
            }
        }
        assert_eq!(admitted + told + hung_up_on, 10_000);
        assert!((990..=1010).contains(&admitted), "{admitted}");
        assert!((490..=510).contains(&told), "{told}");
    }

    #[test]
    fn appointments_are_not_further_away_than_clients_wait() {
        let rate = LoginRate::new(1);
        let longest = (0..2000).filter_map(|_| rate.admit(at(0)).err()).max();
        assert_eq!(longest, Some(APPOINTMENT_MAX + Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn one_site_cannot_take_all_places() {
        let gate = Gate::new();
        let mut places = Vec::new();
        let here = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..PENDING_PER_SITE_MAX {
            let permit = gate.wait().await.unwrap();
            places.push(gate.enter(permit, here).unwrap());
        }
        let permit = gate.wait().await.unwrap();
        assert!(gate.enter(permit, here).is_none());
        let permit = gate.wait().await.unwrap();
        let other = gate.enter(permit, IpAddr::from([192, 0, 2, 2])).unwrap();
        drop(places);
        let permit = gate.wait().await.unwrap();
        drop(gate.enter(permit, here).unwrap());
        drop(other);
        assert!(lock(&gate.sites).is_empty());
        assert_eq!(gate.places.available_permits(), PENDING_MAX);
    }
}
