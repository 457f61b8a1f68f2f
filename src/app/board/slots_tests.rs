//! When a slot is replaced, which of its transactions still count, and what is sent again.

use super::*;
use crate::domain::amount::Amount;

const PATIENCE: Duration = Duration::from_secs(8);

fn lane(signer: &str) -> LaneId {
    LaneId {
        network: "eip155:84532".parse().unwrap(),
        signer: signer.into(),
    }
}

fn tx(name: &str) -> TxId {
    TxId(name.into())
}

fn take_off(slots: &mut Slots, signer: &str, nonce: u64, name: &str, now: Instant) {
    let bytes = SignedTx {
        id: tx(name),
        raw: name.as_bytes().to_vec(),
        cost_max: Amount::ZERO,
        payments: 1,
    };
    slots.take_off(&lane(signer), nonce, &bytes, now);
}

fn replace(slots: &mut Slots, nonce: u64, name: &str, is_empty: bool, now: Instant) {
    let with = Replacement {
        id: tx(name),
        raw: name.as_bytes().to_vec(),
        cost_max: Amount::ZERO,
        cargo: Outbid::Same,
    };
    slots.replace(&lane("a"), nonce, &with, is_empty, now);
}

fn carrier(nonce: u64, name: &str, spent_by: Option<&str>) -> Carrier {
    Carrier {
        lane: lane("a"),
        nonce,
        tx: tx(name),
        raw: name.as_bytes().to_vec(),
        is_empty: false,
        spent_by: spent_by.map(tx),
    }
}

#[test]
fn a_transaction_is_overdue_after_both_some_time_and_some_blocks() {
    for (millis, blocks, expected) in [
        (0, 0, false),
        (7_999, 1_000, false),
        (8_000, 2, false),
        (8_000, 3, true),
        // A chain that stands still takes nobody's.
        (10_000_000, 0, false),
        (10_000_000, 3, true),
    ] {
        let waited = Duration::from_millis(millis);
        assert_eq!(
            is_overdue(waited, PATIENCE, blocks),
            expected,
            "{millis} ms, {blocks} blocks"
        );
    }
}

#[test]
fn the_wait_begins_with_the_newest_bytes_and_with_the_first_look_after_them() {
    let (mut slots, begin) = (Slots::default(), Instant::now());
    take_off(&mut slots, "a", 5, "first", begin);
    let is_overdue = |slots: &Slots, seconds: u64, head: u64| {
        let waiting = slots.waiting(begin + Duration::from_secs(seconds), head, PATIENCE);
        waiting[0].is_overdue
    };
    // Nothing was looked at for long: how many blocks went by before is not known.
    assert!(!is_overdue(&slots, 9, 1_000));
    slots.seen(1_000);
    slots.seen(1_003);
    assert!(is_overdue(&slots, 9, 1_003) && !is_overdue(&slots, 7, 1_003) && !is_overdue(&slots, 9, 1_002));
    // Sending the same bytes again begins nothing.
    slots.due(
        begin + Duration::from_secs(6),
        Duration::ZERO,
        Duration::ZERO,
        &HashSet::new(),
    );
    assert!(is_overdue(&slots, 9, 1_003));
    replace(&mut slots, 5, "second", false, begin + Duration::from_secs(9));
    slots.seen(1_003);
    assert!(!is_overdue(&slots, 10, 1_010) && is_overdue(&slots, 17, 1_006));
}

#[test]
fn places_are_counted_by_slot_and_one_mined_transaction_ends_its_siblings() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    take_off(&mut slots, "a", 5, "first", now);
    take_off(&mut slots, "b", 5, "other", now);
    replace(&mut slots, 5, "second", false, now);
    replace(&mut slots, 5, "second", false, now);
    let both = [tx("first"), tx("second")];
    let lanes = |slots: &Slots| (slots.in_flight(&lane("a")), slots.in_flight(&lane("b")));
    assert_eq!(
        (lanes(&slots), slots.alive(&both).len(), slots.unmined().len()),
        ((1, 1), 2, 3)
    );

    for _ in 0..2 {
        slots.set_mined(&tx("first"), true);
        assert_eq!((lanes(&slots), slots.alive(&both)), ((0, 1), vec![tx("first")]));
    }
    assert_eq!(slots.unmined(), [tx("other")]);
    assert_eq!(
        (slots.is_mined(&tx("first")), slots.is_mined(&tx("second"))),
        (Some(true), Some(false))
    );
    assert!(
        slots
            .due(now + PATIENCE, PATIENCE, PATIENCE, &HashSet::new())
            .iter()
            .all(|it| it.tx == tx("other"))
    );
    // What never was mined cannot be taken back.
    slots.set_mined(&tx("second"), false);
    assert_eq!(lanes(&slots), (0, 1));

    slots.set_mined(&tx("first"), false);
    assert_eq!((lanes(&slots), slots.alive(&both)), ((1, 1), both.to_vec()));
    let due = slots.due(now, PATIENCE, PATIENCE, &HashSet::new());
    assert_eq!(
        due.into_iter().map(|it| it.tx).collect::<Vec<_>>(),
        [tx("second")],
        "the newest, at once"
    );
}

#[test]
fn what_comes_before_is_sent_again_at_once_lowest_first() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    for (signer, nonce, name) in [
        ("a", 7, "c"),
        ("a", 5, "a"),
        ("a", 6, "b"),
        ("a", 8, "d"),
        ("b", 1, "e"),
    ] {
        take_off(&mut slots, signer, nonce, name, now);
    }
    slots.set_mined(&tx("a"), true);
    let due = |slots: &mut Slots| -> Vec<TxId> {
        let due = slots.due(now, PATIENCE, PATIENCE, &HashSet::new());
        due.into_iter().map(|it| it.tx).collect()
    };
    assert_eq!(due(&mut slots), []);
    slots.resend_below(&tx("d"));
    assert_eq!(due(&mut slots), [tx("b"), tx("c")]);
    assert_eq!(due(&mut slots), []);
}

#[test]
fn a_nonce_that_was_spent_without_a_payment_leaves_it_stranded() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    take_off(&mut slots, "a", 5, "first", now);
    replace(&mut slots, 5, "empty", true, now);
    slots.set_mined(&tx("empty"), true);
    assert!(slots.alive(&[tx("first")]).is_empty());
    assert_eq!(slots.alive(&[tx("unknown")]), [tx("unknown")]);
}

#[test]
fn the_record_adds_what_is_not_known_and_ends_what_is_spent() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    take_off(&mut slots, "a", 5, "first", now);
    take_off(&mut slots, "a", 6, "gone", now);
    let known = slots.known();
    take_off(&mut slots, "a", 8, "signed meanwhile", now);
    let record = vec![
        carrier(5, "first", None),
        carrier(5, "second", None),
        carrier(7, "third", Some("third")),
    ];
    slots.take_over(record, &known);
    assert_eq!(slots.in_flight(&lane("a")), 2);
    let known = ["first", "second", "third", "gone", "signed meanwhile"].map(|name| slots.is_mined(&tx(name)));
    assert_eq!(known, [Some(false), Some(false), Some(true), None, Some(false)]);
    slots.take_over(vec![carrier(5, "second", Some("second"))], &Known::new());
    assert_eq!((slots.in_flight(&lane("a")), slots.alive(&[tx("first")]).len()), (1, 0));
    slots.sweep(&slots.places([tx("third")].iter()));
    assert_eq!(slots.is_mined(&tx("second")), None);
    assert_eq!(slots.is_mined(&tx("third")), Some(true));
}

#[test]
fn a_spent_slot_is_open_again_when_a_later_record_says_so() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    take_off(&mut slots, "a", 5, "taken back", now);
    slots.set_mined(&tx("taken back"), true);
    take_off(&mut slots, "a", 6, "mined meanwhile", now);
    let known = slots.known();
    slots.set_mined(&tx("mined meanwhile"), true);
    let record = vec![
        carrier(4, "forgotten here", None),
        carrier(5, "taken back", None),
        carrier(6, "mined meanwhile", None),
    ];
    slots.take_over(record, &known);
    assert_eq!(slots.is_mined(&tx("taken back")), Some(false));
    assert_eq!(
        slots.is_mined(&tx("mined meanwhile")),
        Some(true),
        "known since the record was read"
    );
    let due = slots.due(now, Duration::MAX, Duration::MAX, &HashSet::new());
    let due: Vec<&str> = due.iter().map(|it| it.tx.0.as_str()).collect();
    assert_eq!(
        due,
        ["forgotten here", "taken back"],
        "nodes forget what a reorganization takes out"
    );
}

#[test]
fn the_lowest_that_waits_too_long_brings_all_behind_it() {
    let wait = |signer: &str, nonce: u64, is_overdue: bool, is_empty: bool| Waiting {
        lane: lane(signer),
        nonce,
        tx: tx(&format!("{signer}{nonce}")),
        raw: Arc::new([]),
        is_empty,
        is_overdue,
    };
    let all = vec![
        wait("a", 5, true, false),
        wait("a", 6, false, false),
        wait("a", 7, false, false),
        wait("a", 8, true, true),
        // The lowest of this one is not overdue: what waits behind it waits for nothing else.
        wait("b", 1, false, false),
        wait("b", 2, true, false),
        wait("b", 3, false, false),
        wait("b", 4, true, true),
    ];
    let places = |names: &[(&str, u64)]| names.iter().map(|(signer, nonce)| (lane(signer), *nonce)).collect();
    let carrying = places(&[("a", 5), ("a", 6), ("b", 1), ("b", 2)]);
    let landed = places(&[("a", 7)]);
    let stuck = sift(all, &carrying, &landed);
    let seen: Vec<_> = stuck
        .iter()
        .map(|it| (it.slot.tx.0.as_str(), it.cargo, it.is_certain))
        .collect();
    assert_eq!(
        seen,
        [
            ("a5", Outbid::Same, true),
            ("a6", Outbid::Same, false),
            ("a7", Outbid::Nothing, false),
            ("a8", Outbid::Same, false),
            ("b3", Outbid::Nothing, true),
        ]
    );
}
