//! What is done to both stores, decided by chance before it is known what comes of it.

use facilitator::domain::settlement::State;

use crate::dice::Dice;

/// A step of the script, with all that chance decided about it.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Reserve {
        key: u8,
        digest: u8,
        name: Option<u8>,
        id: u8,
    },
    Find {
        key: u8,
    },
    Get {
        ids: Vec<u8>,
    },
    Named {
        name: u8,
    },
    Try {
        ids: Vec<u8>,
    },
    Beat {
        who: u8,
    },
    Take {
        who: u8,
        lane: u8,
    },
    Give {
        who: u8,
        lane: u8,
    },
    Quarantine {
        lane: u8,
    },
    Usurp {
        lane: u8,
        nonce: u64,
    },
    Intend {
        who: u8,
        lane: u8,
        fence: u64,
        ids: Vec<u8>,
        retry: bool,
        apart: bool,
    },
    Replace {
        who: u8,
        lane: u8,
        fence: u64,
        nonce: u64,
        empty: bool,
    },
    Advance {
        changes: Vec<(u8, u8, bool)>,
        answer: bool,
    },
    Grant {
        id: u8,
    },
    Mined {
        tx: u8,
        height: u64,
    },
    Reorganized {
        tx: u8,
    },
    Dead {
        tx: u8,
    },
    Carriers {
        states: Vec<State>,
    },
}

/// Few, so that the steps meet.
const PAYMENTS: u64 = 24;
pub(super) const LANES: u64 = 2;

/// So many steps of chance.
pub(super) fn steps(dice: &mut Dice, count: usize) -> Vec<Step> {
    (0..count).map(|_| step(dice)).collect()
}

fn step(dice: &mut Dice) -> Step {
    let mut small = |end: u64| u8::try_from(dice.below(end)).unwrap();
    let (key, other, who, lane, at, tx) = (
        small(PAYMENTS),
        small(PAYMENTS),
        small(4) / 3,
        small(LANES),
        small(100),
        small(30),
    );
    let (fence, nonce, flag) = (1 + u64::from(dice.chance(200)), dice.within(5, 9), dice.chance(500));
    let ids = vec![key, other, key];
    match at {
        0..=13 => Step::Reserve {
            key,
            digest: other,
            name: dice.chance(300).then_some(other),
            id: if dice.chance(30) { other } else { key },
        },
        14..=16 => Step::Find { key },
        20..=21 => Step::Named { name: key },
        22 => Step::Try { ids },
        23..=25 => Step::Beat { who },
        26..=30 => Step::Take { who, lane },
        31 if dice.chance(200) => Step::Give { who, lane },
        33 if flag && dice.chance(40) => Step::Quarantine { lane },
        31..=34 => Step::Usurp { lane, nonce },
        35..=50 => Step::Intend {
            who,
            lane,
            fence,
            ids,
            retry: dice.chance(350),
            apart: flag,
        },
        51..=57 => Step::Replace {
            who,
            lane,
            fence,
            nonce,
            empty: dice.chance(400),
        },
        58..=77 => Step::Advance {
            changes: vec![
                (key, small_of(dice, 9), dice.chance(100)),
                (other, small_of(dice, 9), false),
            ],
            answer: flag,
        },
        78..=81 => Step::Grant { id: key },
        82..=89 => Step::Mined {
            tx,
            height: dice.within(20, 22),
        },
        90..=92 => Step::Reorganized { tx },
        93 => Step::Dead { tx },
        94..=97 => Step::Carriers {
            states: if flag {
                State::OPEN.to_vec()
            } else {
                vec![*dice.pick(&State::ALL)]
            },
        },
        _ => Step::Get { ids },
    }
}

fn small_of(dice: &mut Dice, end: u64) -> u8 {
    u8::try_from(dice.below(end)).unwrap()
}
