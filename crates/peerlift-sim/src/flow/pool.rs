//! The peers of one object: what they can give, and who gets it.
//!
//! A swarm is taken to be well mixed: whoever may connect to whom does, uplinks are shared evenly,
//! and rarest first has seen to it that everybody has something for everybody (Qiu and Srikant 2004
//! call this an effectiveness of one). What nobody has, nobody gives: a download has no more than
//! has left the edge.

use super::level::{Vessel, fill};
use super::task::Task;
use crate::plan::Nat;

/// Peers that a client keeps (`Limits::peers_wanted`).
pub(super) const PEERS_MAX: f64 = 40.0;
/// How long until what one has got is another's: it is announced, asked for, and sent.
const PASSING_S: f64 = 0.5;
/// Whoever has less has nothing to give.
pub(super) const TO_GIVE: f64 = 65_536.0;

/// One object's swarm.
#[derive(Debug, Default)]
pub(super) struct Swarm {
    pub(super) fills: Vec<u32>,
    pub(super) serves: Vec<u32>,
    /// Whether the edge was seen to be shared with others: who comes is told what it gives.
    pub(super) crowded: bool,
    /// How much of the object is somewhere among them.
    pub(super) there: f64,
    /// Who can give in this step, and how many bytes.
    pub(super) givers: Vec<Giver>,
    /// What they can give in all, by NAT class.
    pub(super) supply: [f64; CLASSES.len()],
}

/// One that can give in this step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Giver {
    pub(super) task: u32,
    pub(super) bytes: f64,
}

/// From the class that reaches the fewest to that which reaches all; each reaches whomever the one
/// before reaches. Served in this order, nothing is left that somebody could have used.
pub(super) const CLASSES: [Nat; 3] = [Nat::Symmetric, Nat::PortRestricted, Nat::Open];

pub(super) fn class(nat: Nat) -> Option<usize> {
    CLASSES.iter().position(|class| *class == nat)
}

impl Swarm {
    /// What all who can reach `nat` could give, and how many they are on average.
    pub(super) fn reach(&self, nat: Nat) -> f64 {
        let reached = CLASSES.iter().zip(&self.supply);
        reached
            .filter(|(class, _)| class.connects(nat))
            .map(|(_, supply)| supply)
            .sum()
    }

    /// Counts what the givers have.
    pub(super) fn sum_up(&mut self, tasks: &[Task]) {
        self.supply = [0.0; CLASSES.len()];
        for giver in &self.givers {
            if let Some(class) = class(tasks[giver.task as usize].nat) {
                self.supply[class] += giver.bytes;
            }
        }
    }

    /// The most that peers could bring a task in this step, if all asked alike. `own` is what it
    /// gives itself.
    pub(super) fn potential(&self, task: &Task, own: f64, askers: f64, step: f64) -> f64 {
        let all = (self.reach(task.nat) - own).max(0.0);
        let mean = all / (self.givers.len() as f64).max(1.0);
        let share = all / askers.max(1.0);
        let new = self.new_to(task, step);
        share.min(PEERS_MAX * mean).min(new)
    }

    /// The most that a task can take from peers in this step, whoever else asks.
    pub(super) fn most(&self, task: &Task, own: f64, room: f64, step: f64) -> f64 {
        let all = (self.reach(task.nat) - own).max(0.0);
        let mean = all / (self.givers.len() as f64).max(1.0);
        let new = self.new_to(task, step);
        all.min(PEERS_MAX * mean).min(new).min(room).max(0.0)
    }

    /// The most of what others have and a task has not that can have reached it by the end of this
    /// step.
    fn new_to(&self, task: &Task, step: f64) -> f64 {
        if self.there >= task.size {
            return f64::INFINITY;
        }
        (self.there - task.have).max(0.0) * step / PASSING_S
    }

    /// Shares the supply among vessels with the NAT of each; says which part of each class's was
    /// used.
    pub(super) fn share(&self, vessels: &mut [Vessel], nats: &[Nat]) -> [f64; CLASSES.len()] {
        let mut used = [0.0; CLASSES.len()];
        for (at, class) in CLASSES.into_iter().enumerate() {
            let supply = self.supply[at];
            if supply <= 0.0 {
                continue;
            }
            let reached = |number: &usize| class.connects(nats[*number]);
            let picked: Vec<usize> = (0..vessels.len()).filter(reached).collect();
            let mut some: Vec<Vessel> = picked.iter().map(|number| vessels[*number]).collect();
            let left = fill(supply, &mut some);
            picked
                .iter()
                .zip(some)
                .for_each(|(number, one)| vessels[*number] = one);
            used[at] = 1.0 - left / supply;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_reaches_whom_the_one_before_reaches() {
        let all = [Nat::Open, Nat::PortRestricted, Nat::Symmetric, Nat::Blocked];
        for pair in CLASSES.windows(2) {
            let reaches = |class: Nat, other: &Nat| class.connects(*other);
            assert!(
                all.iter()
                    .all(|other| !reaches(pair[0], other) || reaches(pair[1], other))
            );
        }
        assert_eq!(class(Nat::Blocked), None);
    }

    #[test]
    fn what_few_can_reach_is_left_to_them() {
        let swarm = Swarm {
            supply: [4.0, 0.0, 6.0],
            ..Swarm::default()
        };
        let mut vessels = [Vessel::empty(10.0); 2];
        let used = swarm.share(&mut vessels, &[Nat::Open, Nat::Symmetric]);
        let has = vessels.map(|one| one.has);
        assert!(has.iter().all(|one| (one - 5.0).abs() < 1e-6), "{has:?}");
        assert_eq!((used[0], used[2]), (1.0, 1.0));
    }
}
