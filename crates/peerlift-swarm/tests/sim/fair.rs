//! Max-min fair sharing of access links, by progressive filling.

/// One transfer: the uplink and the downlink that it crosses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) up: usize,
    pub(crate) down: usize,
}

/// The rate of each transfer, when `up` and `down` are what the links carry.
pub(crate) fn rates(crossings: &[Crossing], up: &[f64], down: &[f64]) -> Vec<f64> {
    let mut left: Vec<f64> = up.iter().chain(down).copied().collect();
    let mut users = vec![0u32; left.len()];
    let links = |one: &Crossing| [one.up, up.len() + one.down];
    for one in crossings {
        links(one).into_iter().for_each(|link| users[link] += 1);
    }
    let mut rates = vec![f64::NAN; crossings.len()];
    loop {
        let share = |link: &usize| left[*link] / f64::from(users[*link]);
        let used = (0..left.len()).filter(|link| users[*link] > 0);
        let Some(tightest) = used.min_by(|a, b| share(a).total_cmp(&share(b))) else {
            return rates;
        };
        let rate = share(&tightest).max(0.0);
        for (at, one) in crossings.iter().enumerate() {
            if rates[at].is_nan() && links(one).contains(&tightest) {
                rates[at] = rate;
                for link in links(one) {
                    users[link] -= 1;
                    left[link] -= rate;
                }
            }
        }
    }
}

#[test]
fn a_transfer_gets_what_its_tightest_link_leaves() {
    let crossing = |up, down| Crossing { up, down };
    let crossings = [crossing(0, 0), crossing(0, 1), crossing(1, 1)];
    let rates = rates(&crossings, &[10.0, 100.0], &[3.0, 20.0]);
    assert_eq!(rates, [3.0, 7.0, 13.0]);
}
