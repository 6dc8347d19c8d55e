//! What progress and results look like in words.

use std::time::Duration;

use peerlift_client::{Report, Snapshot, Verified};

use crate::units::{Bytes, Percent, Seconds, Speed};

/// The line beside a bar, or on its own: how much, how fast, how long, from whom.
pub(super) fn progress(now: &Snapshot) -> String {
    if now.seeding {
        return seeding(now);
    }
    let mut parts = vec![amount(now), Speed(now.rate_down).to_string()];
    parts.extend(split(now));
    if now.rate_up > 0 {
        parts.push(format!("↑ {}", Speed(now.rate_up)));
    }
    if let Some(seconds) = now.eta_s.filter(|_| now.size != Some(now.done)) {
        parts.push(format!("{} left", whole_seconds(seconds)));
    }
    parts.join(" · ")
}

fn amount(now: &Snapshot) -> String {
    match now.size {
        Some(size) => {
            let percent = Percent {
                part: now.done,
                whole: size,
            };
            format!("{percent} of {}", Bytes(size))
        }
        None => Bytes(now.done).to_string(),
    }
}

/// Where bytes come from, once there is more than one kind of place.
fn split(now: &Snapshot) -> Option<String> {
    let whole = now.from_edge + now.from_peers;
    (now.peers > 0 || now.from_peers > 0).then(|| {
        let edge = Percent {
            part: now.from_edge,
            whole,
        };
        let peers = Percent {
            part: now.from_peers,
            whole,
        };
        format!("edge {edge} · {} {peers}", peers_word(now.peers))
    })
}

fn seeding(now: &Snapshot) -> String {
    format!(
        "sharing with {} · ↑ {} · {} sent · Ctrl-C ends it",
        peers_word(now.peers),
        Speed(now.rate_up),
        Bytes(now.uploaded)
    )
}

/// The one line that remains of a download.
pub(super) fn completed(report: &Report) -> String {
    let mut parts = vec![format!(
        "{} in {}",
        Bytes(report.size),
        Seconds(report.time)
    )];
    if report.resumed > 0 {
        parts.push(format!("{} were there", Bytes(report.resumed)));
    }
    let whole = report.from_edge + report.from_peers;
    if report.from_peers > 0 {
        let share = Percent {
            part: report.from_peers,
            whole,
        };
        parts.push(format!("{share} from {}", peers_word(report.peers)));
    }
    if report.uploaded > 0 {
        parts.push(format!("{} shared", Bytes(report.uploaded)));
    }
    parts.push(match report.verified {
        Verified::Manifest { .. } => "verified".to_owned(),
        Verified::Length => "not verified: there is no manifest".to_owned(),
    });
    parts.join(" · ")
}

fn peers_word(peers: u32) -> String {
    if peers == 1 {
        "1 peer".to_owned()
    } else {
        format!("{peers} peers")
    }
}

/// The time that is left: tenths of a second would only flicker.
fn whole_seconds(seconds: u64) -> String {
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        Seconds(Duration::from_secs(seconds)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use peerlift_model::{ObjectId, PublisherId};

    use super::*;

    const MB: u64 = 1_000_000;

    fn report() -> Report {
        Report {
            path: None,
            size: 842 * MB,
            time: Duration::from_millis(9_100),
            from_edge: 244 * MB,
            from_peers: 598 * MB,
            from_peers_relayed: 0,
            resumed: 0,
            wasted: 0,
            uploaded: 0,
            peers: 6,
            verified: Verified::Manifest {
                publisher: PublisherId::new([1; 32]),
                object: ObjectId::new([2; 32]),
            },
            kept: None,
        }
    }

    #[test]
    fn the_final_line_says_how_much_how_long_and_from_whom() {
        assert_eq!(
            completed(&report()),
            "842 MB in 9.1 s · 71 % from 6 peers · verified"
        );
    }

    #[test]
    fn the_final_line_says_what_was_not_verified() {
        let plain = Report {
            from_edge: 842 * MB,
            from_peers: 0,
            peers: 0,
            resumed: 42 * MB,
            verified: Verified::Length,
            ..report()
        };
        assert_eq!(
            completed(&plain),
            "842 MB in 9.1 s · 42.0 MB were there · not verified: there is no manifest"
        );
    }

    #[test]
    fn progress_shows_the_split_once_there_are_peers() {
        let alone = Snapshot {
            size: Some(100 * MB),
            done: 48 * MB,
            from_edge: 48 * MB,
            rate_down: 5 * MB,
            eta_s: Some(10),
            ..Snapshot::default()
        };
        assert_eq!(progress(&alone), "48 % of 100 MB · 5.00 MB/s · 10 s left");
        let together = Snapshot {
            from_edge: 15 * MB,
            from_peers: 33 * MB,
            peers: 5,
            rate_up: MB,
            ..alone
        };
        assert_eq!(
            progress(&together),
            "48 % of 100 MB · 5.00 MB/s · edge 31 % · 5 peers 69 % · ↑ 1.00 MB/s · 10 s left"
        );
    }

    #[test]
    fn a_size_that_is_unknown_is_not_made_up() {
        let now = Snapshot {
            done: 3 * MB,
            rate_down: MB,
            ..Snapshot::default()
        };
        assert_eq!(progress(&now), "3.00 MB · 1.00 MB/s");
    }

    #[test]
    fn sharing_says_how_to_end_it() {
        let now = Snapshot {
            seeding: true,
            peers: 1,
            uploaded: 5 * MB,
            ..Snapshot::default()
        };
        assert_eq!(
            progress(&now),
            "sharing with 1 peer · ↑ 0 B/s · 5.00 MB sent · Ctrl-C ends it"
        );
    }
}
