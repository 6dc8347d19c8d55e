//! How one uplink is split among several objects.
//!
//! A byte sent of an object that many ask for and few have is worth more than one of an object
//! that forty seeds serve. The worth of a rate `x` for one object is taken as
//! `askers × log(x + supply)`, where the supply is what the other copies can send: twice as fast is
//! worth the same to everybody, however slow they are, and more is always worth less and less. The
//! split at which no byte would be worth more elsewhere is found by filling up, as water finds its
//! level. A part is kept for everybody who is asked for at all, so that nobody waits for ever.

use std::collections::BTreeMap;

use peerlift_model::Rate;

/// What one object needs of our uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Peers that wait for something of it.
    pub askers: u32,
    /// Copies of it that others can send: seeds, and the least number of copies of a piece among
    /// peers.
    pub copies: u32,
    /// What its askers could take together; [`Rate`] of `u64::MAX` when that is not known.
    pub demand: Rate,
}

/// One part in so many of the uplink is split evenly among all objects that are asked for.
const KEPT: u64 = 8;

/// More copies than that do not make an object less needy; it bounds the arithmetic.
const COPIES_MAX: u32 = 10_000;

/// Splits `uplink` among objects; every other copy is taken to have an uplink like ours.
///
/// The parts sum up to the uplink, or to all demand if that is less. Objects that nobody asks for
/// get nothing. Costs `n × log n` for `n` objects, and as much again for every object whose demand
/// is met.
#[must_use]
pub fn split_uplink<K: Copy + Ord>(uplink: Rate, needs: &BTreeMap<K, Need>) -> BTreeMap<K, Rate> {
    let mut parts: BTreeMap<K, u64> = needs.keys().map(|key| (*key, 0)).collect();
    let asked: Vec<(K, Need)> = (needs.iter())
        .filter(|(_, need)| need.askers > 0)
        .map(|(key, need)| (*key, *need))
        .collect();
    if !asked.is_empty() {
        let uplink = uplink.bytes_per_s();
        let kept = uplink / KEPT / asked.len() as u64;
        for (key, need) in &asked {
            parts.insert(*key, kept.min(need.demand.bytes_per_s()));
        }
        let rest = uplink - parts.values().sum::<u64>();
        fill(uplink, rest, asked, &mut parts);
    }
    let rate = |(key, part)| (key, Rate::from_bytes_per_s(part));
    parts.into_iter().map(rate).collect()
}

/// Adds the rest where it is worth most; what meets its demand drops out and the others go on.
fn fill<K: Copy + Ord>(
    uplink: u64,
    mut rest: u64,
    mut asked: Vec<(K, Need)>,
    parts: &mut BTreeMap<K, u64>,
) {
    while rest > 0 && !asked.is_empty() {
        let basins = asked.iter().map(|(key, need)| Basin {
            width: u128::from(need.askers),
            floor: u128::from(need.copies.min(COPIES_MAX)) * u128::from(uplink)
                + u128::from(parts[key]),
        });
        let shares = level(rest, &basins.collect::<Vec<_>>());
        let met: Vec<(K, u64)> = (asked.iter().zip(&shares))
            .map(|((key, need), share)| (*key, *share, need.demand.bytes_per_s() - parts[key]))
            .filter(|(_, share, room)| share >= room)
            .map(|(key, _, room)| (key, room))
            .collect();
        if met.is_empty() {
            for ((key, _), share) in asked.iter().zip(shares) {
                *parts.get_mut(key).expect("every key has a part") += share;
            }
            return;
        }
        for (key, room) in met {
            *parts.get_mut(&key).expect("every key has a part") += room;
            rest -= room;
            asked.retain(|(other, _)| *other != key);
        }
    }
}

/// A vessel: water stands in it from `floor` on, and a level of one more takes `width`.
#[derive(Clone, Copy, Debug)]
struct Basin {
    width: u128,
    floor: u128,
}

/// Pours `water` into basins whose levels, floor ÷ width, become as equal as can be; gives what
/// each takes. Rounding goes to the first.
fn level(water: u64, basins: &[Basin]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..basins.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (basins[*a], basins[*b]);
        (a.floor * b.width).cmp(&(b.floor * a.width))
    });
    // The lowest basins share the water as long as the next one stands dry.
    let (mut width, mut volume) = (0, u128::from(water));
    let mut wet = 0;
    for at in &order {
        let next = basins[*at];
        if wet > 0 && volume * next.width <= next.floor * width {
            break;
        }
        width += next.width;
        volume += next.floor;
        wet += 1;
    }
    let mut shares = vec![0; basins.len()];
    let mut left = water;
    for at in &order[..wet] {
        let basin = basins[*at];
        let share = (volume * basin.width / width).saturating_sub(basin.floor);
        shares[*at] = u64::try_from(share).unwrap_or(u64::MAX).min(left);
        left -= shares[*at];
    }
    shares[order[0]] += left;
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_END: Rate = Rate::from_bytes_per_s(u64::MAX);

    fn need(askers: u32, copies: u32) -> Need {
        Need {
            askers,
            copies,
            demand: NO_END,
        }
    }

    fn split(needs: &[Need]) -> Vec<u64> {
        let needs: BTreeMap<usize, Need> = needs.iter().copied().enumerate().collect();
        let parts = split_uplink(Rate::from_bytes_per_s(1600), &needs);
        parts.into_values().map(Rate::bytes_per_s).collect()
    }

    #[test]
    fn equals_get_equal_parts_and_nobody_asked_for_gets_nothing() {
        assert_eq!(split(&[need(3, 1), need(3, 1), need(0, 0)]), [800, 800, 0]);
        assert_eq!(split(&[]), []);
        assert_eq!(split(&[need(0, 0)]), [0]);
    }

    #[test]
    fn many_askers_and_few_copies_go_first() {
        assert_eq!(split(&[need(3, 0), need(1, 0)]), [1200, 400]);
        assert_eq!(
            split(&[need(5, 0), need(5, 10)]),
            [1500, 100],
            "but not alone"
        );
        // Levels: (x + 1600) ÷ 4 and (1600 − x) ÷ 1.
        assert_eq!(split(&[need(4, 1), need(1, 0)]), [960, 640]);
    }

    #[test]
    fn nobody_gets_more_than_its_askers_can_take() {
        let small = Need {
            demand: Rate::from_bytes_per_s(150),
            ..need(9, 0)
        };
        assert_eq!(split(&[small, need(1, 3)]), [150, 1450]);
        assert_eq!(split(&[small, small]), [150, 150]);
    }

    /// The slow, obvious model: byte after byte to whom it is worth most.
    fn greedy(uplink: u64, needs: &[Need]) -> Vec<u64> {
        let asked = needs.iter().filter(|need| need.askers > 0).count() as u64;
        let kept = |need: &Need| {
            let part = uplink.checked_div(KEPT * asked).unwrap_or(0);
            part.min(need.demand.bytes_per_s()) * u64::from(need.askers > 0)
        };
        let mut parts: Vec<u64> = needs.iter().map(kept).collect();
        for _ in 0..uplink - parts.iter().sum::<u64>() {
            let open = (0..needs.len())
                .filter(|n| needs[*n].askers > 0 && parts[*n] < needs[*n].demand.bytes_per_s());
            let level = |n: usize| {
                let floor = u64::from(needs[n].copies) * uplink + parts[n];
                floor as f64 / f64::from(needs[n].askers)
            };
            let Some(best) = open.min_by(|a, b| level(*a).total_cmp(&level(*b))) else {
                break;
            };
            parts[best] += 1;
        }
        parts
    }

    proptest! {
        #[test]
        fn equals_byte_after_byte(
            uplink in 0u64..2000,
            needs in proptest::collection::vec((0u32..6, 0u32..4, 0u64..3000), 0..6),
        ) {
            let needs: Vec<Need> = (needs.into_iter())
                .map(|(askers, copies, demand)| Need { askers, copies, demand: Rate::from_bytes_per_s(demand) })
                .collect();
            let map: BTreeMap<usize, Need> = needs.iter().copied().enumerate().collect();
            let parts = split_uplink(Rate::from_bytes_per_s(uplink), &map);
            let model = greedy(uplink, &needs);
            let total: u64 = parts.values().map(|part| part.bytes_per_s()).sum();
            prop_assert_eq!(total, model.iter().sum::<u64>());
            for (n, part) in parts {
                let rounding = needs.len() as u64 + 1;
                prop_assert!(part.bytes_per_s().abs_diff(model[n]) <= rounding, "{n}: {part} {}", model[n]);
            }
        }
    }
}
