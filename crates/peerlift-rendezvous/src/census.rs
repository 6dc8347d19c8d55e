//! How many clients are there, by the NAT that they tell.

use peerlift_model::NatClass;

/// One count a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    counts: [usize; NatClass::ALL.len()],
}

impl Census {
    pub(crate) fn enter(&mut self, nat: NatClass) {
        self.counts[nat as usize] += 1;
    }

    pub(crate) fn leave(&mut self, nat: NatClass) {
        self.counts[nat as usize] -= 1;
    }

    pub(crate) fn count(&self, nat: NatClass) -> usize {
        self.counts[nat as usize]
    }

    pub(crate) fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}
