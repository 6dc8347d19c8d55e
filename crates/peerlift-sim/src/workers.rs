//! Plays what is independent at the same time, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::run;
use crate::outcome::Outcome;
use crate::plan::Plan;

/// Does `work` for every item, on as many threads as there are cores; the answers come in the order
/// of the items.
///
/// # Panics
///
/// When `work` does.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed))
                    && let Some(item) = items.get(at)
                {
                    let answer = work(item);
                    *answers[at].lock().expect("nobody panics while holding it") = Some(answer);
                }
            });
        }
    });
    let take = |answer: Mutex<Option<R>>| answer.into_inner().ok().flatten();
    let answers = answers.into_iter().map(take);
    answers
        .map(|answer| answer.expect("every item was worked on"))
        .collect()
}

/// Plays a plan and, at the same time, the same without peers.
///
/// # Panics
///
/// When one of the runs does.
#[must_use]
pub fn run_beside_twin(plan: &Plan) -> (Outcome, Outcome) {
    let mut outcomes = on_all_cores(&[plan, &plan.edge_only()], |plan| run(plan));
    let twin = outcomes.pop().expect("two were played");
    (outcomes.pop().expect("two were played"), twin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares = on_all_cores(&items, |item| item * item);
        assert_eq!(
            squares,
            items.iter().map(|item| item * item).collect::<Vec<_>>()
        );
        let nothing: [u64; 0] = [];
        assert!(on_all_cores(&nothing, |item| *item).is_empty());
    }

    #[test]
    fn the_twin_is_played_without_peers() {
        let plan = crate::named("flash12").unwrap().plan(1, None).unwrap();
        let (own, alone) = run_beside_twin(&plan);
        assert_eq!(own, run(&plan));
        assert_eq!(alone.peer_bytes, 0);
    }
}
