//! Plans so many requests and ends: what `bench/instructions.py` counts the instructions of.
//!
//! `plan PIECES STEPS`

#[path = "../benches/driver/mod.rs"]
mod driver;

#[expect(clippy::print_stdout, reason = "the script reads the count")]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse());
    let (Some(Ok(pieces)), Some(Ok(steps))) = (numbers.next(), numbers.next()) else {
        println!("usage: plan PIECES STEPS");
        return;
    };
    let mut driver = driver::Driver::new(pieces);
    let planned: usize = (0..steps).map(|_| driver.step()).sum();
    println!("{planned}");
}
