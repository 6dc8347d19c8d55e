//! Background downloads that give way, as their receiver tells its senders.

use crate::bottleneck::{Flow, Line, Sender};
use crate::ms;

/// A common downlink.
const DOWNLINK_MBIT: f64 = 20.0;
const DOWNLINK: f64 = DOWNLINK_MBIT * 1e6 / 8.0;

fn fetched(machines: u64, seconds: std::ops::Range<u64>) -> Flow {
    let mut flow = Flow::new(Sender::fetched(machines), seconds, 40);
    flow.smoothed = true;
    flow
}

#[test]
fn an_idle_downlink_is_filled_and_its_queue_stays_short() {
    for (machines, queue) in [(1, 100), (1, 400), (5, 100)] {
        let mut line = Line::new(DOWNLINK_MBIT, queue);
        let mut flows = [fetched(machines, 0..60)];
        line.run(&mut flows, 60);
        let share = flows[0].bytes_per_s(5..60) / DOWNLINK;
        let wait = line.median_wait(5..60);
        assert!(share > 0.8, "{machines}, {queue} ms: {share:.3} used");
        assert!(wait < ms(70), "{machines}, {queue} ms: {wait:?}");
    }
}

#[test]
fn a_download_that_somebody_waits_for_keeps_the_line() {
    for (machines, queue) in [(1, 100), (5, 100), (1, 400)] {
        let alone = {
            let mut flows = [Flow::new(Sender::careful(), 20..60, 40)];
            Line::new(DOWNLINK_MBIT, queue).run(&mut flows, 60);
            flows[0].bytes_per_s(23..55)
        };
        let mut flows = [
            fetched(machines, 0..60),
            Flow::new(Sender::careful(), 20..60, 40),
        ];
        Line::new(DOWNLINK_MBIT, queue).run(&mut flows, 60);
        let kept = flows[1].bytes_per_s(23..55) / alone;
        assert!(kept > 0.95, "{machines}, {queue} ms: {kept:.3} kept");
        assert!(flows[0].bytes_per_s(23..55) > 0.0, "it starved");
    }
}

#[test]
fn the_downlink_is_taken_again_when_it_is_free() {
    let mut flows = [fetched(1, 0..80), Flow::new(Sender::greedy(), 10..50, 40)];
    Line::new(DOWNLINK_MBIT, 100).run(&mut flows, 80);
    let share = flows[0].bytes_per_s(55..80) / DOWNLINK;
    assert!(share > 0.8, "{share:.3}");
}
