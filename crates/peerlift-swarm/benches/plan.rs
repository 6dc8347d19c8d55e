//! How many requests the core plans in a second, at a thousand and at a hundred thousand pieces.
//!
//! `cargo bench -p peerlift-swarm`. One element is one request: planned, arrived and ended.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod driver;

use driver::Driver;

fn plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(1));
    for pieces in [1_000, 10_000, 100_000] {
        let mut driver = Driver::new(pieces);
        group.bench_function(format!("{pieces}_pieces"), |bencher| {
            bencher.iter(|| driver.step());
        });
    }
    group.finish();
}

criterion_group!(benches, plan);
criterion_main!(benches);
