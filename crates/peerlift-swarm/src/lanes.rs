//! Over how many connections the edge is asked at once.
//!
//! How much is asked of it is not decided here (`edge`, `yields`).

use peerlift_model::Rate;

use crate::yields::{Look, Yield};

/// Leaves the edge fewer lanes the more peers bring.
///
/// Connections share a full downlink about equally, whoever is at their other ends: four of the
/// edge's beside six peers take four tenths of it, and the peers' uplinks idle. One that is left
/// takes its turn among many, and yet takes up at once what the peers do not.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// What peers leave of the pace, and the pace; nothing while all lanes are wanted.
    short: Option<(Rate, Rate)>,
}

impl Lanes {
    /// Everything together was last seen so.
    pub(crate) fn look(&mut self, look: Look) {
        if look.keeps(Yield::KEPT) || self.short.is_some() && look.keeps(Yield::LOST) {
            let short = look
                .pace
                .bytes_per_s()
                .saturating_sub(look.peers.bytes_per_s());
            self.short = Some((Rate::from_bytes_per_s(short), look.pace));
        } else {
            self.short = None;
        }
    }

    /// All lanes are wanted.
    pub(crate) fn open_all(&mut self) {
        self.short = None;
    }

    /// How many of `all` to use, at least one: as many as what peers leave of the pace, squared,
    /// for with fewer lanes they bring more.
    pub(crate) fn open(&self, all: u8) -> u8 {
        let Some((short, pace)) = self.short else {
            return all;
        };
        let (short, pace) = (
            u128::from(short.bytes_per_s()),
            u128::from(pace.bytes_per_s()),
        );
        let lanes = (u128::from(all) * short * short).div_ceil((pace * pace).max(1));
        u8::try_from(lanes).unwrap_or(all).clamp(1, all.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(sum: u64, peers: u64) -> Look {
        Look {
            pace: Rate::from_bytes_per_s(1_000_000),
            sum: Rate::from_bytes_per_s(sum),
            lag: 0,
            size: 100_000_000,
            peers: Rate::from_bytes_per_s(peers),
        }
    }

    fn open(looks: &[Look]) -> u8 {
        let mut lanes = Lanes::default();
        looks.iter().for_each(|look| lanes.look(*look));
        lanes.open(4)
    }

    #[test]
    fn the_more_peers_bring_the_fewer_are_open_and_never_none() {
        assert_eq!(Lanes::default().open(4), 4);
        let kept = |peers| open(&[look(1_000_000, peers)]);
        assert_eq!([0, 100_000, 200_000, 400_000].map(kept), [4, 4, 3, 2]);
        assert_eq!([500_000, 900_000, 1_000_000, 2_000_000].map(kept), [1; 4]);
        let mut lanes = Lanes::default();
        lanes.look(look(1_000_000, 500_000));
        assert_eq!(
            (lanes.open(1), lanes.open(0), lanes.open(u8::MAX)),
            (1, 1, 64)
        );
    }

    #[test]
    fn all_are_open_when_the_pace_is_lost_until_it_is_kept_again() {
        let (kept, between, lost) = (
            look(990_000, 800_000),
            look(960_000, 800_000),
            look(940_000, 800_000),
        );
        assert_eq!(open(&[between]), 4, "not kept yet");
        assert_eq!(open(&[kept, between]), 1);
        assert_eq!(open(&[kept, lost]), 4);
        assert_eq!(open(&[kept, lost, between]), 4);
        assert_eq!(open(&[kept, lost, kept]), 1);
    }

    #[test]
    fn no_pace_opens_one() {
        let unknown = Look {
            pace: Rate::default(),
            ..look(0, 0)
        };
        assert_eq!(open(&[unknown]), 1);
    }
}
