//! Bytes stay near: users of one network are introduced to each other first.

#![allow(clippy::unwrap_used, reason = "a broken scenario fails the test")]

use peerlift_sim::{Scenario, run};

/// Users come one after the other and stay; they are spread evenly over the networks.
fn near_share(countries: u32, networks: u32, more: &str) -> f64 {
    let scenario = format!(
        r#"
        name = "nearby"
        chunk_groups = 16
        objects.size = {{ mib = 32 }}
        users = {{ uploaders = 1.0, countries = {countries}, networks = {networks} }}
        lines = [{{ down_mbit = 25, up_mbit = 10 }}]
        arrivals = {{ kind = "steady", count = 200, every_s = 4 }}
        {more}
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
    assert_eq!(near_share(1, 1, ""), 1.0);
    let (four, twenty) = (near_share(2, 2, ""), near_share(4, 5, ""));
    assert!(four > 2.0 / 4.0, "{four}");
    assert!(twenty > 2.0 / 20.0, "{twenty}");
}

#[test]
fn a_node_that_knows_no_places_leaves_it_to_chance() {
    let blind = near_share(2, 2, "control.places = false");
    assert!((0.15..0.40).contains(&blind), "{blind}");
}

#[test]
fn networks_can_be_of_very_different_sizes() {
    let scenario = r#"
        name = "sizes"
        users = { networks = 10, networks_zipf = 1.0 }
        lines = [{ down_mbit = 25, up_mbit = 10 }]
        arrivals = { kind = "flash", count = 10000, within_s = 1 }
    "#;
    let plan = Scenario::parse(scenario).unwrap().plan(1, None).unwrap();
    let of = |network: u16| {
        let users = plan
            .users
            .iter()
            .filter(|user| user.place.network == network);
        users.count()
    };
    // A share of 1 ÷ (1 + ½ + … + ⅒), and a tenth of that.
    assert!((3_200..3_650).contains(&of(0)), "{}", of(0));
    assert!((270..420).contains(&of(9)), "{}", of(9));
}
