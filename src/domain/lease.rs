//! The right to drive a lane: one process has it at a time, for a few seconds, on the database's clock.
//!
//! Nothing is signed without it, and the fence makes a holder harmless that was replaced without noticing: whatever it
//! still writes is refused, and what it still sends is on record already.

use uuid::Uuid;

use crate::domain::rail::LaneId;

/// One running process, under a name that no other ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub Uuid);

impl ProcessId {
    /// A fresh name.
    #[must_use]
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }
}

/// The right to sign in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The lane.
    pub lane: LaneId,
    /// Who has it.
    pub holder: ProcessId,
    /// Grows each time the lane changes hands.
    pub fence: u64,
}

/// A lane as all processes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// The lane.
    pub lane: LaneId,
    /// Who drives it now; none when nobody does, or not any more.
    pub holder: Option<ProcessId>,
    /// Its present fence.
    pub fence: u64,
    /// Nothing new may be signed in it.
    pub is_quarantined: bool,
}

/// What a process should change about the lanes it drives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Free lanes to take.
    pub take: Vec<LaneId>,
    /// A lane to hand to somebody who drives fewer.
    pub give: Option<LaneId>,
}

/// How `me` should change what it drives, when `alive` processes (itself among them) share these lanes: nobody is left
/// without while another has two, and no lane without a driver.
#[must_use]
pub fn rebalance(me: ProcessId, lanes: &[Tenancy], alive: usize) -> Change {
    let alive = alive.max(1);
    let mine: Vec<&Tenancy> = lanes.iter().filter(|it| it.holder == Some(me)).collect();
    let free = lanes.iter().filter(|it| it.holder.is_none());
    let share = lanes.len().div_ceil(alive);
    let take: Vec<LaneId> = free
        .take(share.saturating_sub(mine.len()))
        .map(|it| it.lane.clone())
        .collect();
    let is_crowded = mine.len() >= fewest(lanes, alive).saturating_add(2);
    let give = mine.last().filter(|_| take.is_empty() && is_crowded);
    Change {
        take,
        give: give.map(|it| it.lane.clone()),
    }
}

/// How many lanes the process has that has the fewest.
fn fewest(lanes: &[Tenancy], alive: usize) -> usize {
    let mut holders: Vec<ProcessId> = lanes.iter().filter_map(|it| it.holder).collect();
    holders.sort_unstable();
    let counts: Vec<usize> = holders.chunk_by(|a, b| a == b).map(<[ProcessId]>::len).collect();
    if counts.len() < alive {
        return 0;
    }
    counts.into_iter().min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(number: u128) -> ProcessId {
        ProcessId(Uuid::from_u128(number))
    }

    /// Lanes by their holders' numbers; 0 is nobody.
    fn lanes(holders: &[u128]) -> Vec<Tenancy> {
        let tenancy = |(at, holder): (usize, &u128)| Tenancy {
            lane: LaneId {
                network: "eip155:1".parse().unwrap(),
                signer: at.to_string(),
            },
            holder: (*holder > 0).then(|| process(*holder)),
            fence: 0,
            is_quarantined: false,
        };
        holders.iter().enumerate().map(tenancy).collect()
    }

    #[test]
    fn lanes_are_shared_evenly_and_none_is_left_alone() {
        for (holders, alive, takes, gives) in [
            (&[0, 0, 0, 0][..], 1, &["0", "1", "2", "3"][..], None),
            (&[0, 0, 0, 0], 2, &["0", "1"], None),
            (&[0, 0, 0, 0], 3, &["0", "1"], None),
            (&[0], 3, &["0"], None),
            (&[1, 1, 1, 1], 1, &[], None),
            // Somebody came: one lane after the other is handed over.
            (&[1, 1, 1, 1], 2, &[], Some("3")),
            (&[1, 1, 1, 2], 2, &[], Some("2")),
            (&[1, 1, 2, 2], 2, &[], None),
            (&[1, 1, 2, 2], 3, &[], Some("1")),
            (&[1, 3, 2, 2], 3, &[], None),
            (&[1, 1], 2, &[], Some("1")),
            (&[1, 2], 3, &[], None),
            (&[1], 3, &[], None),
            // Somebody went.
            (&[1, 1, 0, 0], 1, &["2", "3"], None),
            (&[1, 2, 0, 2], 2, &["2"], None),
            (&[2, 2, 2, 2], 2, &[], None),
            (&[], 2, &[], None),
        ] {
            let change = rebalance(process(1), &lanes(holders), alive);
            let taken: Vec<&str> = change.take.iter().map(|it| it.signer.as_str()).collect();
            let given = change.give.as_ref().map(|it| it.signer.as_str());
            assert_eq!((taken.as_slice(), given), (takes, gives), "{holders:?} among {alive}");
        }
    }

    /// However they begin and whoever comes and goes, processes that follow the rule come to rest with even shares.
    #[test]
    fn following_the_rule_ends_in_even_shares() {
        for lanes_count in 0_usize..7 {
            for alive in 1_u128..5 {
                let mut shared = lanes(&vec![1; lanes_count]);
                for round in 0..40_u128 {
                    let me = process(1 + round % alive);
                    let change = rebalance(me, &shared, usize::try_from(alive).unwrap());
                    for it in &mut shared {
                        if change.take.contains(&it.lane) {
                            it.holder = Some(me);
                        }
                        if change.give.as_ref() == Some(&it.lane) {
                            it.holder = None;
                        }
                    }
                }
                let held = |who: u128| shared.iter().filter(|it| it.holder == Some(process(who))).count();
                let counts: Vec<usize> = (1..=alive).map(held).collect();
                assert_eq!(counts.iter().sum::<usize>(), lanes_count, "{counts:?}");
                assert!(
                    counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
                    "{counts:?}"
                );
            }
        }
    }
}
