//! Never slower than the edge alone: no download takes more than 2 % longer than in the same run
//! without peers.

use crate::outcome::{Ending, Outcome};

/// How much longer a download may take than its edge-only twin, as a factor. 2 %: what cannot be
/// told from chance in measurements of real downloads.
pub const TWIN_SLACK: f64 = 1.02;

/// Complains of every download that took too long, or did not finish although its twin did.
#[must_use]
pub fn never_slower(outcome: &Outcome, twin: &Outcome) -> Vec<String> {
    let mut complaints = Vec::new();
    for (own, alone) in outcome.beside(twin) {
        let (visit, own_s, alone_s) = (own.visit, own.own_s, alone.own_s);
        match (own.ending, alone.ending) {
            (Ending::Finished, Ending::Finished) if own_s > alone_s * TWIN_SLACK => {
                complaints.push(format!(
                    "twin: download {visit} took {own_s:.2} s, alone {alone_s:.2} s ({:.3})",
                    own_s / alone_s
                ));
            }
            (Ending::Killed | Ending::Unfinished, Ending::Finished) => complaints.push(format!(
                "twin: download {visit} did not finish, alone it did after {alone_s:.2} s"
            )),
            (Ending::Finished | Ending::Killed | Ending::Unfinished, _) => {}
        }
    }
    complaints
}
