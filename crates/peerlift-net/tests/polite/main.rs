//! Uploads and background downloads that give way, on a line with a queue. Time is simulated: one input, one outcome.

mod bottleneck;
mod fetched;

use std::time::Duration;

use bottleneck::{Flow, Line, Sender};
use peerlift_model::Timestamp;
use peerlift_net::polite::{Delivery, LinkNumber, Scavenger};
use proptest::prelude::*;

/// A common uplink, and a queue as home routers have.
const UPLINK_MBIT: f64 = 5.0;
const UPLINK: f64 = UPLINK_MBIT * 1e6 / 8.0;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn an_idle_line_is_filled_and_its_queue_stays_short() {
    for (links, rtt, queue) in [(1, 20, 100), (5, 50, 100), (5, 50, 1000), (3, 200, 300)] {
        let mut line = Line::new(UPLINK_MBIT, queue);
        let mut flows = [Flow::new(Sender::polite(links), 0..60, rtt)];
        line.run(&mut flows, 60);
        let share = flows[0].bytes_per_s(5..60) / UPLINK;
        let wait = line.median_wait(5..60);
        assert!(share > 0.9, "{links} links, {rtt} ms: {share:.3} used");
        assert!(
            wait < ms(70),
            "{links} links, {rtt} ms: {wait:?} in the queue"
        );
    }
}

/// The kernel tells of TCP what it has made of the last eight packets, so queues are seen late.
#[test]
fn a_line_whose_queue_is_seen_late_is_used_as_well() {
    for links in [1, 5] {
        let mut line = Line::new(UPLINK_MBIT, 100);
        let mut flows = [Flow::new(Sender::polite(links), 0..60, 50)];
        flows[0].smoothed = true;
        line.run(&mut flows, 60);
        let share = flows[0].bytes_per_s(5..60) / UPLINK;
        assert!(share > 0.85, "{links} links: {share:.3} used");
        assert!(line.median_wait(5..60) < ms(70));
    }
}

#[test]
fn who_fills_the_queue_finds_the_line_free() {
    for (links, queue) in [(1, 100), (8, 100), (8, 400), (8, 1000)] {
        let alone = {
            let mut flows = [Flow::new(Sender::greedy(), 20..100, 40)];
            Line::new(UPLINK_MBIT, queue).run(&mut flows, 100);
            flows[0].bytes_per_s(25..100)
        };
        let mut flows = [
            Flow::new(Sender::polite(links), 0..100, 50),
            Flow::new(Sender::greedy(), 20..100, 40),
        ];
        Line::new(UPLINK_MBIT, queue).run(&mut flows, 100);
        let kept = flows[1].bytes_per_s(25..100) / alone;
        assert!(kept > 0.95, "{links} links, {queue} ms: {kept:.3} kept");
        assert!(flows[0].bytes_per_s(25..100) > 0.0, "it starved");
    }
}

/// Most uploads are short: who begins beside it has the line within seconds.
#[test]
fn who_begins_carefully_has_the_line_in_two_seconds() {
    for (links, queue, smoothed) in [
        (1, 100, false),
        (5, 100, false),
        (5, 100, true),
        (5, 400, false),
    ] {
        let alone = {
            let mut flows = [Flow::new(Sender::careful(), 20..40, 40)];
            Line::new(UPLINK_MBIT, queue).run(&mut flows, 40);
            flows[0].bytes_per_s(22..35)
        };
        let mut flows = [
            Flow::new(Sender::polite(links), 0..40, 50),
            Flow::new(Sender::careful(), 20..40, 40),
        ];
        flows[0].smoothed = smoothed;
        Line::new(UPLINK_MBIT, queue).run(&mut flows, 40);
        let kept = flows[1].bytes_per_s(22..35) / alone;
        assert!(kept > 0.95, "{links} links, {queue} ms: {kept:.3} kept");
        assert!(flows[0].bytes_per_s(22..35) > 0.0, "it starved");
    }
}

#[test]
fn the_line_is_taken_again_when_it_is_free() {
    let mut flows = [
        Flow::new(Sender::polite(4), 0..80, 50),
        Flow::new(Sender::greedy(), 10..50, 40),
    ];
    Line::new(UPLINK_MBIT, 100).run(&mut flows, 80);
    let share = flows[0].bytes_per_s(55..80) / UPLINK;
    assert!(share > 0.85, "{share:.3}");
}

#[test]
fn two_that_give_way_share_whoever_came_first() {
    let mut flows = [
        Flow::new(Sender::polite(3), 0..240, 50),
        Flow::new(Sender::polite(3), 30..240, 50),
    ];
    let mut line = Line::new(UPLINK_MBIT, 300);
    line.run(&mut flows, 240);
    let shares = flows
        .each_ref()
        .map(|flow| flow.bytes_per_s(120..240) / UPLINK);
    assert!(shares.iter().all(|share| *share > 0.25), "{shares:?}");
    assert!(line.median_wait(120..240) < ms(80));
}

#[test]
fn losses_without_a_queue_do_not_starve_it() {
    let mut line = Line::new(UPLINK_MBIT, 100);
    line.stray_loss_every = Some(100);
    let mut flows = [Flow::new(Sender::polite(4), 0..60, 50)];
    line.run(&mut flows, 60);
    let share = flows[0].bytes_per_s(5..60) / UPLINK;
    assert!(share > 0.7, "{share:.3}");
}

#[test]
fn a_queue_too_short_for_the_target_is_shared_by_losses() {
    let mut flows = [
        Flow::new(Sender::polite(4), 0..100, 50),
        Flow::new(Sender::greedy(), 20..100, 40),
    ];
    Line::new(UPLINK_MBIT, 30).run(&mut flows, 100);
    let share = flows[1].bytes_per_s(30..100) / UPLINK;
    assert!(share > 0.4, "{share:.3}");
}

#[test]
fn a_way_that_became_longer_is_believed_in_the_end() {
    let mut line = Line::new(UPLINK_MBIT, 100);
    line.longer = Some((Duration::from_secs(60), ms(120)));
    let mut flows = [Flow::new(Sender::polite(2), 0..780, 30)];
    line.run(&mut flows, 780);
    let between = flows[0].bytes_per_s(70..600);
    assert!(between > 0.0, "the least that it sends");
    let share = flows[0].bytes_per_s(730..780) / UPLINK;
    assert!(share > 0.8, "{share:.3}");
}

/// A wireless line, for example: what it once carried is no sign of others.
#[test]
fn a_line_that_became_slower_is_used() {
    for left in [0.5, 0.2] {
        let mut line = Line::new(UPLINK_MBIT, 200);
        line.slower = Some((Duration::from_secs(30), left));
        let mut flows = [Flow::new(Sender::polite(4), 0..90, 50)];
        line.run(&mut flows, 90);
        let share = flows[0].bytes_per_s(50..90) / (UPLINK * left);
        assert!(share > 0.8, "{left}: {share:.3}");
    }
}

/// Who uploads for minutes has the line all the time, not only in the beginning.
#[test]
fn who_goes_on_for_long_keeps_the_line() {
    for queue in [50, 100] {
        let mut flows = [
            Flow::new(Sender::polite(5), 0..200, 50),
            Flow::new(Sender::careful(), 20..200, 40),
        ];
        Line::new(UPLINK_MBIT, queue).run(&mut flows, 200);
        let share = flows[1].bytes_per_s(30..200) / UPLINK;
        assert!(share > 0.95, "{queue} ms: {share:.3}");
    }
}

#[test]
fn while_the_user_waits_a_longer_queue_is_no_reason_to_stop() {
    let used = |foreground| {
        let mut scavenger = Box::<Scavenger>::default();
        scavenger.set_foreground(foreground);
        let mut flows = [Flow::new(
            Sender::Polite {
                scavenger,
                links: 4,
            },
            0..40,
            50,
        )];
        let mut line = Line::new(UPLINK_MBIT, 1000);
        // As a full downlink does to acknowledgements.
        line.longer = Some((Duration::from_secs(10), ms(100)));
        line.run(&mut flows, 40);
        flows[0].bytes_per_s(15..40) / UPLINK
    };
    assert!(used(true) > 0.8, "{:.3}", used(true));
    assert!(used(false) < 0.2, "{:.3}", used(false));
}

#[test]
fn a_peer_behind_a_full_line_does_not_slow_down_the_others() {
    let mut scavenger = Scavenger::default();
    let mut now = Timestamp::ZERO;
    let arrive = |scavenger: &mut Scavenger, now, link, rtt| {
        let delivery = Delivery {
            bytes: 1460,
            rtt: ms(rtt),
            rtt_least: None,
            in_flight: 0,
        };
        scavenger.delivered(now, LinkNumber(link), delivery);
    };
    arrive(&mut scavenger, now, 1, 40);
    arrive(&mut scavenger, now, 2, 40);
    for _ in 0..200 {
        now = now + ms(5);
        arrive(&mut scavenger, now, 1, 400);
        arrive(&mut scavenger, now, 2, 45);
    }
    assert_eq!(scavenger.queueing(now), Some(ms(5)));
}

/// What can happen to a scavenger.
#[derive(Clone, Debug)]
enum Happening {
    Delivered {
        link: u64,
        bytes: u64,
        rtt_ms: u64,
        in_flight: u64,
    },
    Sent {
        link: u64,
        bytes: u64,
    },
    Lost {
        link: u64,
    },
    Asked {
        bytes: usize,
    },
    Gone {
        link: u64,
    },
    Foreground(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => (0..6u64, 0..200_000u64, 0..5000u64, 0..200_000u64)
            .prop_map(|(link, bytes, rtt_ms, in_flight)| Happening::Delivered { link, bytes, rtt_ms, in_flight }),
        2 => (0..6u64, 0..200_000u64).prop_map(|(link, bytes)| Happening::Sent { link, bytes }),
        2 => (0..6u64).prop_map(|link| Happening::Lost { link }),
        5 => (0..100_000usize).prop_map(|bytes| Happening::Asked { bytes }),
        1 => (0..6u64).prop_map(|link| Happening::Gone { link }),
        1 => any::<bool>().prop_map(Happening::Foreground),
    ]
}

proptest! {
    /// Whatever happens: it goes on in the end, and never asks anybody to come back in the past.
    #[test]
    fn there_is_always_a_way_on(lives in prop::collection::vec((0..3000u64, happening()), 1..300)) {
        let mut scavenger = Scavenger::default();
        let mut now = Timestamp::ZERO;
        for (later, happening) in lives {
            now = now + ms(later);
            match happening {
                Happening::Delivered { link, bytes, rtt_ms, in_flight } => {
                    let delivery = Delivery { bytes, rtt: ms(rtt_ms), rtt_least: None, in_flight };
                    scavenger.delivered(now, LinkNumber(link), delivery);
                }
                Happening::Lost { link } => scavenger.lost(now, LinkNumber(link)),
                Happening::Sent { link, bytes } => scavenger.sent(LinkNumber(link), bytes),
                Happening::Asked { bytes } => if let Err(again) = scavenger.admit(now, bytes) {
                    prop_assert!(again > now);
                },
                Happening::Gone { link } => scavenger.remove(LinkNumber(link)),
                Happening::Foreground(foreground) => scavenger.set_foreground(foreground),
            }
            prop_assert!(scavenger.rate().bytes_per_s() > 0);
            prop_assert!(scavenger.step_bytes() >= 2920);
        }
        for link in 0..6 {
            scavenger.remove(LinkNumber(link));
        }
        // As long as it takes until nobody believes in what was admitted to links that went.
        now = now + Duration::from_secs(20);
        let mut tries = 0;
        while let Err(again) = scavenger.admit(now, 1460) {
            now = again;
            tries += 1;
            prop_assert!(tries < 1000, "still waits at {now}");
        }
    }
}
