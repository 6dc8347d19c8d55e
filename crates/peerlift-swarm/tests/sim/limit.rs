//! The fluid lower bound of the last completion: no scheme can beat it.

/// When the last of the surviving clients can have everything, in seconds from 0: everybody's own
/// downlink since its arrival, and all uplinks together. Rates in bytes per second, headers not
/// deducted. `clients` are (arrival, death).
pub(crate) fn last_completion(
    size: f64,
    edge_up: f64,
    (down, up): (f64, f64),
    clients: &[(f64, Option<f64>)],
) -> f64 {
    let survivors = clients.iter().filter(|(_, death)| death.is_none());
    let own = survivors.clone().map(|(arrival, _)| arrival + size / down);
    let need = survivors.count() as f64 * size;
    own.fold(supplied(need, edge_up, (down, up), clients), f64::max)
}

fn supplied(
    need: f64,
    edge_up: f64,
    (down, up): (f64, f64),
    clients: &[(f64, Option<f64>)],
) -> f64 {
    let mut events: Vec<f64> = clients
        .iter()
        .flat_map(|(a, d)| [Some(*a), *d])
        .flatten()
        .collect();
    events.sort_by(f64::total_cmp);
    let mut done = 0.0;
    for (at, event) in events.iter().enumerate() {
        let until = events.get(at + 1).copied().unwrap_or(f64::INFINITY);
        let alive = clients
            .iter()
            .filter(|(a, d)| a <= event && d.is_none_or(|d| *event < d));
        let alive = alive.count() as f64;
        let rate = (alive * down).min(edge_up + alive * up);
        if rate > 0.0 && done + rate * (until - event) >= need {
            return event + (need - done) / rate;
        }
        done += if rate > 0.0 {
            rate * (until - event)
        } else {
            0.0
        };
    }
    f64::INFINITY
}

#[test]
fn the_slower_of_downlink_and_supply_decides() {
    let alone = last_completion(100.0, 10.0, (5.0, 1.0), &[(3.0, None)]);
    assert_eq!(alone, 23.0);
    let two = last_completion(100.0, 10.0, (50.0, 0.0), &[(0.0, None), (0.0, None)]);
    assert_eq!(two, 20.0);
    let helped = last_completion(100.0, 10.0, (50.0, 5.0), &[(0.0, None), (0.0, Some(4.0))]);
    // 20 bytes/s for 4 s, then 15: the dead one had no use of what it took, the bound ignores that.
    assert!((helped - (4.0 + 20.0 / 15.0)).abs() < 1e-9);
}
