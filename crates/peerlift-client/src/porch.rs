//! Places for strangers between the door and the download they come for.
//!
//! A stranger holds a place until it has said hello, which costs it nothing to put off. So there is
//! a number of places in all, and of places for one address, lest one machine take them all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Strangers at the door at once: as many as a swarm introduces, four times over.
const STRANGERS_MAX: usize = 160;

/// Strangers of one address at once: a household or a small office behind one NAT.
const STRANGERS_OF_ADDRESS_MAX: usize = 16;

/// All places. Clones are the same places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Porch(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Porch {
    /// A place for a stranger, if there is one; given back when dropped. Strangers whose address is
    /// not known count only among all.
    pub(crate) fn place(&self, address: Option<IpAddr>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.all >= STRANGERS_MAX {
            return None;
        }
        if let Some(address) = address {
            let of_address = taken.by_address.entry(address).or_default();
            if *of_address >= STRANGERS_OF_ADDRESS_MAX {
                return None;
            }
            *of_address += 1;
        }
        taken.all += 1;
        let porch = self.clone();
        Some(Place { porch, address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A stranger's place.
#[derive(Debug)]
pub(crate) struct Place {
    porch: Porch,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.porch.taken();
        taken.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(of_address) = taken.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let porch = Porch::default();
        let mut places: Vec<Place> = (0..STRANGERS_OF_ADDRESS_MAX)
            .map(|_| porch.place(address(1)).unwrap())
            .collect();
        assert!(porch.place(address(1)).is_none());
        let other = porch.place(address(2)).unwrap();
        places.pop();
        assert!(porch.place(address(1)).is_some(), "given back");
        drop((places, other));
        assert_eq!(porch.taken().by_address, BTreeMap::new());
    }

    #[test]
    fn all_together_have_a_limit() {
        let porch = Porch::default();
        let places: Vec<Option<Place>> = (0..STRANGERS_MAX).map(|_| porch.place(None)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(porch.place(None).is_none() && porch.place(address(1)).is_none());
        drop(places);
        assert_eq!(porch.taken().all, 0);
        assert!(porch.place(address(1)).is_some());
    }
}
