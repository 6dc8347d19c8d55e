//! Bytes stay near: users of one network are introduced to each other first.

#![allow(clippy::unwrap_used, reason = "a broken scenario fails the test")]

use peerlift_sim::{Scenario, run};

/// Users come one after the other and stay; they are spread evenly over the networks.
fn near_share(countries: u32, networks: u32) -> f64 {
    let scenario = format!(
        r#"
        name = "nearby"
        chunk_groups = 16
        objects.size = {{ mib = 32 }}
        users = {{ uploaders = 1.0, countries = {countries}, networks = {networks} }}
        lines = [{{ down_mbit = 25, up_mbit = 10 }}]
        arrivals = {{ kind = "steady", count = 200, every_s = 4 }}
        "#
    );
    let plan = Scenario::parse(&scenario).unwrap().plan(1, None).unwrap();
    let outcome = run(&plan);
    assert_eq!(outcome.complaints, [""; 0]);
    assert_eq!(outcome.finished().count(), 200);
    outcome.near_share()
}

#[test]
fn more_stays_in_a_network_than_chance_would_leave_there() {
    assert_eq!(near_share(1, 1), 1.0);
    let (four, twenty) = (near_share(2, 2), near_share(4, 5));
    assert!(four > 2.0 / 4.0, "{four}");
    assert!(twenty > 2.0 / 20.0, "{twenty}");
}
