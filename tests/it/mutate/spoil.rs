//! Ways to spoil a body.

use crate::dice::Dice;

/// One of the pool, spoiled in one to three ways.
pub(super) fn body(dice: &mut Dice, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut body = dice.pick(pool).clone();
    let other = dice.pick(pool);
    for _ in 0..=place(dice, 3) {
        if !body.is_empty() {
            dice.pick(&MUTATORS)(dice, &mut body, other);
        }
    }
    body
}

/// Below `end`, which is at least 1.
pub(super) fn place(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end.try_into().unwrap())).unwrap()
}

/// Spoils a body in one way; the second body is another good one.
type Mutator = fn(&mut Dice, &mut Vec<u8>, &[u8]);

const MUTATORS: [Mutator; 8] = [
    // A bit flips.
    |dice, body, _| {
        let at = place(dice, body.len());
        body[at] ^= 1 << place(dice, 8);
    },
    // A digit or letter becomes another.
    |dice, body, _| {
        let at = place(dice, body.len());
        body[at] = b"0123456789abcdefxXN\"{}[]:,-+. "[place(dice, 30)];
    },
    // The end is missing.
    |dice, body, _| body.truncate(place(dice, body.len())),
    // A part is there twice, as a key may be.
    |dice, body, _| {
        let from = place(dice, body.len());
        let to = (from + place(dice, 64)).min(body.len());
        let part = body[from..to].to_vec();
        body.splice(to..to, part);
    },
    // A part is gone.
    |dice, body, _| {
        let from = place(dice, body.len());
        let to = (from + place(dice, 16)).min(body.len());
        body.drain(from..to);
    },
    // Half of this, half of another.
    |dice, body, other| {
        let at = place(dice, body.len().min(other.len()));
        body.truncate(at);
        body.extend_from_slice(&other[at..]);
    },
    // A value has another type or size.
    |dice, body, _| {
        let colons: Vec<usize> = (0..body.len()).filter(|i| body[*i] == b':').collect();
        let Some(at) = colons.get(place(dice, colons.len().max(1))) else {
            return;
        };
        let values = [
            "null,\"x\":",
            "1e300,\"x\":",
            "[[[[]]]],\"x\":",
            "\"\\u0000\",\"x\":",
            "-0,\"x\":",
            "{},\"x\":",
        ];
        body.splice(*at + 1..=*at, values[place(dice, values.len())].bytes());
    },
    // Something that is no ASCII.
    |dice, body, _| {
        let at = place(dice, body.len());
        body.splice(
            at..at,
            ["\u{202e}", "０", "\u{feff}", "х", "\u{10ffff}"][place(dice, 5)].bytes(),
        );
    },
];
