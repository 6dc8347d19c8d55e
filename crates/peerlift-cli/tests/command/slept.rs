//! A machine that sleeps: the service stands still, and what it was connected to is gone afterwards.

use std::fs;

use rustix::process::Signal;

use super::common::{Edge, File, KIB, World, noise};
use super::user::{Service, json, wait_until};

#[test]
fn a_download_goes_on_after_a_sleep_that_cut_its_connections() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(300 * KIB);
    let whole = File::new(&bytes);
    let cut = File::new(&bytes).cut_after(64 * KIB);
    edge.answer("/a", move |request, wire| match request.range() {
        Some((0, Some(0))) => whole.answer(request, wire),
        _ => {
            let sent = cut.answer(request, wire);
            wire.stall();
            sent
        }
    });
    let service = Service::start(&world);
    let folder = world.root().display().to_string();
    { &world }
        .run(["get", "--queue", &edge.url("/a"), "-o", &folder])
        .fine();
    edge.wait_for_stall();

    service.running.signal(Signal::STOP);
    edge.put("/a", File::new(&bytes));
    edge.release();
    service.running.signal(Signal::CONT);

    wait_until(|| json(&world, &["status"])["downloads"][0]["state"] == "done");
    assert_eq!(fs::read(world.root().join("a")).unwrap(), bytes);
    service.kill();
}
