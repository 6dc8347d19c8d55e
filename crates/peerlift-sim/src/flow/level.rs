//! Fair shares: water filled into vessels.

/// One that takes part: what it has, and the most it can take in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vessel {
    pub(super) has: f64,
    pub(super) most: f64,
}

impl Vessel {
    pub(super) fn empty(most: f64) -> Self {
        Self { has: 0.0, most }
    }

    fn up_to(self, level: f64) -> f64 {
        level.clamp(self.has, self.most.max(self.has)) - self.has
    }
}

/// Fills `supply` in, max-min fairly: nobody has more than another that could have taken it. Says
/// how much was left over.
pub(super) fn fill(supply: f64, vessels: &mut [Vessel]) -> f64 {
    let level = level(supply, vessels);
    let mut left = supply;
    for vessel in vessels {
        let more = vessel.up_to(level);
        vessel.has += more;
        left -= more;
    }
    left.max(0.0)
}

/// The level to which the vessels are filled with `supply`; infinite when all of them are full.
///
/// Newton's method, kept between a level that is too low and one that is too high. From below it
/// never overshoots while all vessels are empty, as the sum is concave then: it ends after as many
/// steps as there are kinks, which are few.
fn level(supply: f64, vessels: &[Vessel]) -> f64 {
    const STEPS_MAX: usize = 48;
    const CLOSE: f64 = 1e-9;
    let room: f64 = vessels.iter().map(|one| one.up_to(f64::INFINITY)).sum();
    if room <= supply {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (f64::INFINITY, 0.0);
    for one in vessels {
        (low, high) = (one.has.min(low), one.most.max(high));
    }
    let (mut taken, mut rising) = sum_at(low, vessels);
    for _ in 0..STEPS_MAX {
        if supply - taken <= supply * CLOSE {
            break;
        }
        let newton = low + (supply - taken) / rising;
        let next = if newton < high {
            newton
        } else {
            f64::midpoint(low, high)
        };
        let there = sum_at(next, vessels);
        if there.0 > supply * (1.0 + CLOSE) {
            high = next;
        } else {
            low = next;
            (taken, rising) = there;
        }
    }
    low
}

/// What the vessels take in up to a level, and how many would take more.
fn sum_at(level: f64, vessels: &[Vessel]) -> (f64, f64) {
    let (mut taken, mut rising) = (0.0, 0.0);
    for one in vessels {
        taken += one.up_to(level);
        if one.has <= level && level < one.most {
            rising += 1.0;
        }
    }
    (taken, rising)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(supply: f64, mut vessels: Vec<Vessel>) -> (Vec<f64>, f64) {
        let left = fill(supply, &mut vessels);
        (vessels.iter().map(|one| one.has).collect(), left)
    }

    #[test]
    fn small_wants_are_met_and_the_rest_is_shared() {
        let vessels = [1.0, 9.0, 9.0].map(Vessel::empty).to_vec();
        assert_eq!(given(7.0, vessels.clone()), (vec![1.0, 3.0, 3.0], 0.0));
        assert_eq!(given(25.0, vessels.clone()), (vec![1.0, 9.0, 9.0], 6.0));
        assert_eq!(given(0.0, vessels), (vec![0.0; 3], 0.0));
        assert_eq!(given(5.0, Vec::new()), (Vec::new(), 5.0));
    }

    #[test]
    fn who_has_more_waits() {
        let vessels = vec![
            Vessel {
                has: 4.0,
                most: 9.0,
            },
            Vessel {
                has: 1.0,
                most: 9.0,
            },
        ];
        assert_eq!(given(2.0, vessels.clone()), (vec![4.0, 3.0], 0.0));
        let (has, _) = given(5.0, vessels);
        assert!(has.iter().all(|one| (one - 5.0).abs() < 1e-6), "{has:?}");
    }

    proptest! {
        #[test]
        fn shares_are_max_min_fair(
            supply in 0.0f64..100.0,
            vessels in proptest::collection::vec((0.0f64..10.0, 0.0f64..20.0), 1..30),
        ) {
            let vessels: Vec<Vessel> =
                vessels.into_iter().map(|(has, most)| Vessel { has, most: most.max(has) }).collect();
            let room: f64 = vessels.iter().map(|one| one.most - one.has).sum();
            let (has, left) = given(supply, vessels.clone());
            let poured: f64 = has.iter().zip(&vessels).map(|(has, one)| has - one.has).sum();
            prop_assert!((poured + left - supply).abs() < 1e-6);
            prop_assert!((left - (supply - room).max(0.0)).abs() < 1e-4 * (1.0 + supply));
            // Whoever got something has no more than anybody who could have taken more.
            let lowest = has.iter().zip(&vessels)
                .filter(|(has, one)| **has < one.most - 1e-4)
                .map(|(has, _)| *has)
                .fold(f64::INFINITY, f64::min);
            for (has, one) in has.iter().zip(&vessels) {
                prop_assert!(*has <= one.has + 1e-6 || *has <= lowest + 1e-3);
            }
        }
    }
}
