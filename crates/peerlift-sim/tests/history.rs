//! One plan has one history.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use peerlift_sim::{Outcome, named, run};

fn play(name: &str, seed: u64) -> Outcome {
    run(&named(name).unwrap().plan(seed, None).unwrap())
}

#[test]
fn one_seed_is_one_history_to_the_last_event() {
    for name in ["leave", "poison-quarter", "outage", "nat-mixed"] {
        let (first, second) = (play(name, 13), play(name, 13));
        assert_eq!(first, second, "{name}");
        assert_ne!(first.history, play(name, 14).history, "{name}");
    }
}

/// Hash maps of another process iterate in another order; a history that depends on one differs.
#[test]
fn another_process_sees_the_same_history() {
    const CHILD: &str = "PEERLIFT_SIM_TELLS_ITS_HISTORY";
    let history = || format!("history {:016x}", play("leave", 15).history);
    if std::env::var_os(CHILD).is_some() {
        #[expect(clippy::print_stdout, reason = "the parent reads it")]
        {
            println!("{}", history());
        }
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args([
            "another_process_sees_the_same_history",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&history()), "{said}");
}
