//! Plans so many whole downloads and ends: what `bench/instructions.py` counts the instructions of.
//!
//! `plan PIECES DOWNLOADS`; prints how many requests there were.

#[path = "../benches/driver/mod.rs"]
mod driver;

#[expect(clippy::print_stdout, reason = "the script reads the count")]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse());
    let (Some(Ok(pieces)), Some(Ok(downloads))) = (numbers.next(), numbers.next()) else {
        println!("usage: plan PIECES DOWNLOADS");
        return;
    };
    let mut driver = driver::Driver::new(pieces);
    let mut requests = 0;
    for _ in 0..downloads {
        while driver.step() {
            requests += 1;
        }
    }
    println!("{requests}");
}
