//! The distributions that plans are drawn from.
//!
//! Everything is made of one uniform number after the other, so that one seed gives one plan.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Pcg64Mcg);

impl Dice {
    /// The stream `purpose` of a seed: another purpose does not move its numbers.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mixed = (seed ^ purpose.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self(Pcg64Mcg::seed_from_u64(mixed))
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// From 0 to below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Box and Muller's method, one of its two numbers.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }

    /// Which of the weights, the sum of which is not zero.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.unit() * weights.iter().sum::<f64>();
        let drawn = weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        });
        drawn.unwrap_or_else(|| weights.len().saturating_sub(1))
    }
}

/// Zipf's law: the k-th of `count` is drawn in proportion to `1 / k^exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += (rank as f64).powf(-exponent);
            sum
        };
        Self {
            sums: (1..=count).map(add).collect(),
        }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let sum = self.sums.last().copied().unwrap_or_default();
        let place = dice.unit() * sum;
        let rank = self.sums.partition_point(|up_to| *up_to <= place);
        rank.min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_and_the_median_are_as_asked() {
        let mut dice = Dice::new(1, 1);
        let mean = (0..20_000).map(|_| dice.exponential(4.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 4.0).abs() < 0.15, "{mean}");
        let small = (0..20_000).filter(|_| dice.log_normal(7.0, 1.5) < 7.0);
        assert!((9_700..10_300).contains(&small.count()));
    }

    #[test]
    fn the_first_of_zipf_is_twice_as_common_as_the_second() {
        let (zipf, mut dice) = (Zipf::new(100, 1.0), Dice::new(2, 1));
        let mut hits = [0usize; 100];
        (0..50_000).for_each(|_| hits[zipf.draw(&mut dice)] += 1);
        let ratio = hits[0] as f64 / hits[1] as f64;
        assert!((1.85..2.15).contains(&ratio), "{ratio}");
    }

    #[test]
    fn weights_are_heeded() {
        let mut dice = Dice::new(3, 1);
        let second = (0..10_000).filter(|_| dice.weighted(&[1.0, 3.0, 0.0]) == 1);
        assert!((7_300..7_700).contains(&second.count()));
    }
}
