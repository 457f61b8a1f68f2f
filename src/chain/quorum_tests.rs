//! Every pair of things that two endpoints may show of one payment, and what follows from it.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::rail::ChainPoint;
use crate::domain::time::Timestamp;

const HEAD: u64 = 100;

fn block(height: u64, hash: &str) -> ChainPoint {
    ChainPoint {
        height,
        hash: hash.into(),
        time: Timestamp(height),
    }
}

fn landed(hash: &str, is_final: bool) -> Observation {
    Observation::Landed(Landed {
        tx: TxId("tx".into()),
        log_index: 3,
        block: block(90, hash),
        is_deep_enough: true,
        is_final,
    })
}

fn closed(height: u64) -> Observation {
    Observation::CannotLand(CannotLand::WindowClosed {
        block: block(height, "c"),
    })
}

fn used_otherwise(hash: &str) -> Observation {
    Observation::CannotLand(CannotLand::UsedOtherwise {
        tx: TxId("other".into()),
        block: block(90, hash),
    })
}

fn set_back() -> Observation {
    Observation::SetBack {
        setback: Setback::Reverted { tx: TxId("tx".into()) },
        shared: false,
    }
}

fn unseen(head: u64) -> Observation {
    Observation::Unseen { head }
}

fn authorization() -> Authorization {
    Authorization {
        payer: String::new(),
        pay_to: String::new(),
        asset: String::new(),
        amount: Amount::ZERO,
        nonce: String::new(),
        window: Window::Recent,
        key: PaymentKey([0; 32]),
        signer: None,
        memo: None,
        body: Vec::new(),
    }
}

fn seen(payment: PaymentId, shown: &[Option<Observation>]) -> Vec<Seen> {
    let one = |(place, observation): (usize, &Option<Observation>)| Seen {
        place,
        sighting: Sighting {
            head: HEAD,
            payments: observation.iter().map(|it| (payment, it.clone())).collect(),
            ..Sighting::default()
        },
    };
    shown.iter().enumerate().map(one).collect()
}

/// What counts of these, and whether the endpoints contradict one another.
fn judged(quorum: usize, shown: &[Option<Observation>]) -> (Option<Observation>, bool) {
    let (payment, authorization) = (PaymentId::mint(), authorization());
    let watched = watched(payment, &authorization, None, false);
    let agreed = agreed(&seen(payment, shown), quorum, &[watched]);
    (
        agreed.sighting.payments.get(&payment).cloned(),
        !agreed.disputes.is_empty(),
    )
}

fn watched<'a>(
    payment: PaymentId,
    authorization: &'a Authorization,
    landed: Option<&'a Landed>,
    seek: bool,
) -> Watched<'a> {
    Watched {
        payment,
        authorization,
        txs: &[],
        landed,
        since_height: 0,
        seek,
    }
}

#[test]
fn two_that_must_agree_do_or_nothing_follows() {
    let (a, b) = (landed("a", false), landed("b", false));
    for (one, other, counts, is_disputed) in [
        (a.clone(), a.clone(), Some(a.clone()), false),
        (a.clone(), b, None, true),
        (a.clone(), unseen(HEAD), None, true),
        (a.clone(), unseen(89), None, false),
        (a.clone(), closed(95), None, true),
        (a.clone(), set_back(), None, true),
        (closed(95), closed(96), Some(closed(95)), false),
        (closed(95), unseen(HEAD), None, false),
        (closed(95), used_otherwise("a"), None, false),
        (
            used_otherwise("a"),
            used_otherwise("a"),
            Some(used_otherwise("a")),
            false,
        ),
        (used_otherwise("a"), used_otherwise("b"), None, false),
        (set_back(), set_back(), Some(set_back()), false),
        (set_back(), unseen(HEAD), None, false),
        (unseen(HEAD), unseen(89), Some(unseen(89)), false),
    ] {
        for shown in [[&one, &other], [&other, &one]] {
            let shown = shown.map(|it| Some(it.clone()));
            let (found, found_disputed) = judged(2, &shown);
            let is_same = found.as_ref().map(Claim::of) == counts.as_ref().map(Claim::of);
            assert!(is_same && found_disputed == is_disputed, "{shown:?}: {found:?}");
        }
        assert_eq!(judged(2, &[Some(one), None]).0, None, "one alone is not enough");
    }
}

#[test]
fn where_one_is_enough_a_sight_stands_against_what_another_does_not_see() {
    let a = landed("a", false);
    for other in [unseen(HEAD), closed(95), set_back(), used_otherwise("a")] {
        let shown = [Some(a.clone()), Some(other)];
        assert_eq!(judged(1, &shown).0, Some(a.clone()), "{shown:?}");
    }
    assert_eq!(judged(1, &[Some(a.clone()), Some(landed("b", false))]), (None, true));
    assert_eq!(judged(1, &[Some(unseen(HEAD)), Some(closed(95))]).0, Some(closed(95)));
    assert_eq!(judged(1, &[None, Some(unseen(HEAD))]).0, Some(unseen(HEAD)));
    assert_eq!(judged(1, &[None]).0, None);
}

#[test]
fn two_of_three_outvote_a_landing_elsewhere_but_prove_no_absence_against_one() {
    let a = Some(landed("a", true));
    assert_eq!(
        judged(2, &[a.clone(), a.clone(), Some(landed("b", true))]),
        (a.clone(), true)
    );
    assert_eq!(judged(2, &[Some(closed(95)), Some(closed(95)), a]), (None, true));
    let unseen = Some(unseen(HEAD));
    assert_eq!(judged(2, &[unseen.clone(), unseen.clone(), None]).0, unseen);
}

#[test]
fn a_window_closed_by_a_block_that_enough_name_or_have_come_to() {
    let by = |height, hash: &str| {
        Some(Observation::CannotLand(CannotLand::WindowClosed {
            block: block(height, hash),
        }))
    };
    for (shown, counts) in [
        ([by(95, "a"), by(99, "made up"), by(95, "a")], by(95, "a")),
        ([by(95, "made up"), by(95, "a"), by(95, "a")], by(95, "a")),
        ([by(95, "a"), by(99, "b"), by(97, "c")], by(97, "c")),
        ([by(95, "a"), None, by(97, "c")], by(95, "a")),
    ] {
        assert_eq!(judged(2, &shown).0, counts, "{shown:?}");
    }
}

#[test]
fn a_landing_is_final_when_enough_say_so() {
    let (open, last) = (landed("a", false), landed("a", true));
    assert_eq!(judged(2, &[Some(open.clone()), Some(last.clone())]).0, Some(open));
    assert_eq!(judged(2, &[Some(last.clone()), Some(last.clone())]).0, Some(last));
}

#[test]
fn mined_and_dead_transactions_need_as_many() {
    let mined = |hash: &str| Mined {
        tx: TxId("tx".into()),
        block: block(90, hash),
        cost: Amount::ZERO,
    };
    let seen = |place, head, mined: Option<&Mined>, dead: &[&str]| Seen {
        place,
        sighting: Sighting {
            head,
            mined: mined.into_iter().cloned().collect(),
            dead: dead.iter().map(|it| TxId((*it).into())).collect(),
            ..Sighting::default()
        },
    };
    let (a, b) = (mined("a"), mined("b"));
    let agree = |seen: &[Seen]| {
        let Sighting { head, mined, dead, .. } = agreed(seen, 2, &[]).sighting;
        (head, mined, dead)
    };
    let dearer = Mined {
        cost: Amount::from_units(5),
        ..a.clone()
    };
    let same = [seen(0, 7, Some(&a), &["old"]), seen(1, 9, Some(&dearer), &["old"])];
    assert_eq!(agree(&same), (7, vec![a.clone()], vec![TxId("old".into())]));
    let other = [seen(0, 7, Some(&a), &["old"]), seen(1, 9, Some(&b), &["tx"])];
    assert_eq!(agree(&other), (7, Vec::new(), Vec::new()));
    let by_one = [
        seen(0, 7, None, &["tx"]),
        seen(1, 7, None, &["tx"]),
        seen(2, 7, Some(&a), &[]),
    ];
    assert_eq!(agree(&by_one).2, [TxId("tx".into())], "one that lies holds up nothing");
    let by_enough = [
        seen(0, 7, Some(&b), &["tx"]),
        seen(1, 7, Some(&a), &["tx"]),
        seen(2, 7, None, &[]),
    ];
    assert_eq!(agree(&by_enough).2, [], "enough show it in a block");
    let mut twice = seen(0, 7, Some(&a), &["old", "old"]);
    twice.sighting.mined.push(a.clone());
    assert_eq!(agree(&[twice, seen(1, 7, None, &[])]), (7, Vec::new(), Vec::new()));
}

#[test]
fn one_endpoints_word_is_doubted_only_where_something_final_or_wrong_could_follow() {
    let (payment, authorization) = (PaymentId::mint(), authorization());
    let Observation::Landed(known) = landed("a", false) else {
        unreachable!()
    };
    for (shown, before, seek, is_doubted) in [
        (Some(landed("a", true)), None, false, false),
        (Some(landed("a", true)), Some(&known), true, false),
        (Some(landed("b", true)), Some(&known), false, true),
        (Some(unseen(HEAD)), None, false, false),
        (Some(unseen(HEAD)), None, true, true),
        (Some(unseen(HEAD)), Some(&known), false, true),
        (Some(closed(95)), None, false, true),
        (Some(set_back()), None, false, true),
        (None, None, false, true),
    ] {
        let watched = watched(payment, &authorization, before, seek);
        let sighting = &seen(payment, std::slice::from_ref(&shown))[0].sighting;
        assert_eq!(
            is_doubtful(sighting, &[watched]),
            is_doubted,
            "{shown:?} {before:?} {seek}"
        );
    }
}

#[test]
fn nothing_is_there_as_of_the_block_that_enough_have_come_to() {
    let shown = [Some(unseen(70)), Some(unseen(90)), Some(unseen(80))];
    for (quorum, head) in [(1, 90), (2, 80), (3, 70)] {
        assert_eq!(judged(quorum, &shown).0, Some(unseen(head)));
    }
}
