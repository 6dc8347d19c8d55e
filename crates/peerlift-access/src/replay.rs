//! Remembers which proofs were used, for as long as they could be used again.

use std::collections::BTreeSet;

use crate::proof::VerifiedProof;
use crate::token::CLOCK_SKEW_S;

/// Proofs remembered at most in each of the two generations: 32 bytes each or a little more, so
/// 16 MiB together, and a thousand restricted requests a second. Beyond that requests are refused
/// rather than let through unremembered.
const PROOFS_MAX: usize = 256 * 1024;

/// How long a generation lasts, in seconds: a proof holds from [`CLOCK_SKEW_S`] before to as long
/// after its moment, so one that is in neither generation holds no more.
const GENERATION_S: u64 = 2 * CLOCK_SKEW_S;

/// Why a proof that holds is refused all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It was used before.
    Used,
    /// Too many are in use to remember this one.
    Full,
}

/// Two generations of used proofs; the older is forgotten when the younger is old.
#[derive(Debug)]
pub struct ReplayGuard {
    young: BTreeSet<[u8; 16]>,
    old: BTreeSet<[u8; 16]>,
    begun_at: u64,
    proofs_max: usize,
}

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::with_room_for(PROOFS_MAX)
    }
}

impl ReplayGuard {
    /// A guard that remembers at most so many proofs a generation.
    #[must_use]
    pub fn with_room_for(proofs_max: usize) -> Self {
        Self {
            young: BTreeSet::new(),
            old: BTreeSet::new(),
            begun_at: 0,
            proofs_max,
        }
    }

    /// Takes note of a proof's use.
    ///
    /// # Errors
    ///
    /// [`Replay`].
    pub fn admit(&mut self, proof: &VerifiedProof, unix_now: u64) -> Result<(), Replay> {
        self.turn(unix_now);
        let fingerprint = proof.fingerprint;
        if self.young.contains(&fingerprint) || self.old.contains(&fingerprint) {
            return Err(Replay::Used);
        }
        if self.young.len() >= self.proofs_max {
            return Err(Replay::Full);
        }
        self.young.insert(fingerprint);
        Ok(())
    }

    /// A clock that goes back begins no generation: what is remembered stays.
    fn turn(&mut self, unix_now: u64) {
        let age = unix_now.saturating_sub(self.begun_at);
        if age < GENERATION_S {
            return;
        }
        let young = std::mem::take(&mut self.young);
        self.old = if age < 2 * GENERATION_S {
            young
        } else {
            BTreeSet::new()
        };
        self.begun_at = unix_now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Thumbprint;

    fn proof(number: u8) -> VerifiedProof {
        VerifiedProof {
            holder: Thumbprint::of(&[0; 32]),
            fingerprint: [number; 16],
        }
    }

    #[test]
    fn a_proof_is_good_once_for_as_long_as_it_holds() {
        let mut guard = ReplayGuard::default();
        let start = 1_000_000;
        assert_eq!(guard.admit(&proof(0), start), Ok(()));
        // Used at the end of a generation and shown again until it holds no more.
        let late = start + GENERATION_S - 1;
        assert_eq!(guard.admit(&proof(1), late), Ok(()));
        for now in [late, late + 1, late + CLOCK_SKEW_S, late + 2 * CLOCK_SKEW_S] {
            assert_eq!(guard.admit(&proof(1), now), Err(Replay::Used), "{now}");
        }
        // A clock that is set back forgets nothing.
        assert_eq!(guard.admit(&proof(1), 5), Err(Replay::Used));
    }

    #[test]
    fn what_cannot_be_remembered_is_refused() {
        let mut guard = ReplayGuard::with_room_for(2);
        assert_eq!(guard.admit(&proof(1), 10_000), Ok(()));
        assert_eq!(guard.admit(&proof(2), 10_000), Ok(()));
        assert_eq!(guard.admit(&proof(3), 10_000), Err(Replay::Full));
        assert_eq!(guard.admit(&proof(3), 10_000 + GENERATION_S), Ok(()));
    }
}
