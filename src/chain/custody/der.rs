//! ECDSA signatures as key management services write them: DER of a sequence of two integers (RFC 3279, 2.2.3).
//!
//! Strict: an integer has one encoding, and nothing may follow. What is malformed is no signature, rather than half of one.

use super::{Compact, joined};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// r and s; none when the bytes are anything but their DER encoding, or one of them is negative, zero or longer than 32
/// bytes.
pub(super) fn ecdsa(bytes: &[u8]) -> Option<Compact> {
    let (content, []) = tagged(bytes, SEQUENCE)? else {
        return None;
    };
    let (r, rest) = tagged(content, INTEGER)?;
    let (s, []) = tagged(rest, INTEGER)? else {
        return None;
    };
    Some(joined(positive(r)?, positive(s)?))
}

/// What stands in an element with this tag, and what follows it. Lengths below 128 are one byte, and no other is needed.
fn tagged(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length @ 0..0x80, rest @ ..] = bytes else {
        return None;
    };
    if *found != tag {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}

fn positive(integer: &[u8]) -> Option<[u8; 32]> {
    let digits = match integer {
        // A zero in front says only that what follows is not negative.
        [0, digits @ ..] if digits.first().is_some_and(|it| *it >= 0x80) => digits,
        [1..0x80, ..] => integer,
        _ => return None,
    };
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(digits.len())?;
    padded.get_mut(start..)?.copy_from_slice(digits);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()][..], content].concat();
        element(SEQUENCE, &[element(INTEGER, r), element(INTEGER, s)].concat())
    }

    #[test]
    fn both_numbers_are_padded_to_32_bytes() {
        let long = [&[0][..], &[0xff; 32]].concat();
        let read = ecdsa(&der(&long, &[0x7f, 1])).unwrap();
        assert_eq!(read[..32], [0xff; 32]);
        assert_eq!((&read[32..62], &read[62..]), (&[0; 30][..], &[0x7f, 1][..]));
    }

    #[test]
    fn nothing_else_is_a_signature() {
        let good = der(&[1; 32], &[2; 32]);
        assert!(ecdsa(&good).is_some());
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (what, bytes) in [
            ("empty", vec![]),
            ("cut", good[..good.len() - 1].to_vec()),
            ("bytes left over", [&good[..], &[0]].concat()),
            ("another tag", with(0, 0x31)),
            ("a long length", with(1, 0x81)),
            ("no integer", with(2, 0x03)),
            ("a negative number", with(4, 0x80)),
            ("an idle zero in front", with(4, 0)),
            ("a zero", der(&[0], &[1])),
            ("no digits", der(&[], &[1])),
            ("33 bytes", der(&[1; 33], &[1])),
            ("three numbers", {
                let mut bytes = good.clone();
                bytes.extend([INTEGER, 1, 1]);
                bytes[1] += 3;
                bytes
            }),
        ] {
            assert_eq!(ecdsa(&bytes), None, "{what}");
        }
    }
}
