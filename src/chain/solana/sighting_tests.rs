//! Every kind of answer and what may be concluded from it.

use super::*;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::id::PaymentId;
use crate::domain::time::Timestamp;

/// The block in which the transaction is, when it is in one.
const SLOT: u64 = 1_050;
const HEAD: u64 = 1_100;
/// The newest finalized block, by the first look and by the search after it.
const FINALIZED: u64 = 1_070;
const SEARCHED: u64 = 1_071;
/// The height of the block whose hash the transaction names.
const SINCE: u64 = 500;
/// Finalized heights at which the window is still open and already closed.
const OPEN: u64 = SINCE + 150;
const CLOSED: u64 = SINCE + 151;

const EXACT: End = End::Succeeded(Arrival::Exact { index: 2 });
const OTHERWISE: End = End::Succeeded(Arrival::Otherwise);
const UNTOLD: End = End::Succeeded(Arrival::Untold);

fn tx() -> TxId {
    TxId("ours".into())
}

fn block(slot: u64) -> ChainPoint {
    ChainPoint {
        height: slot,
        hash: format!("block {slot}"),
        time: Timestamp(slot),
    }
}

fn authorization() -> Authorization {
    Authorization {
        payer: "payer".into(),
        pay_to: "recipient".into(),
        asset: "mint".into(),
        amount: Amount::from_units(1),
        nonce: String::new(),
        window: Window::Recent,
        signer: None,
        memo: None,
        key: PaymentKey([0; 32]),
        body: Vec::new(),
    }
}

fn landed(slot: u64, level: Level) -> Landed {
    Landed {
        tx: tx(),
        log_index: 2,
        block: block(slot),
        is_deep_enough: true,
        is_final: level == Level::Finalized,
    }
}

/// What the node says when the transaction is in a block of this level, and ended so.
fn in_block(level: Level, end: End) -> Answers {
    let status = Status {
        slot: SLOT,
        is_failed: end == End::Failed,
        level,
    };
    let executed = Executed {
        slot: SLOT,
        fee: 5_001,
        end,
    };
    Answers {
        statuses: HashMap::from([(tx(), status)]),
        executed: HashMap::from([(tx(), executed)]),
        ..nowhere(OPEN)
    }
}

/// What the node says when the transaction is nowhere.
fn nowhere(finalized_height: u64) -> Answers {
    Answers {
        head: HEAD,
        finalized: FINALIZED,
        finalized_height,
        blocks: [SLOT, FINALIZED, SEARCHED].map(|slot| (slot, block(slot))).into(),
        ..Answers::default()
    }
}

/// A search for it that a node with all blocks made.
fn search() -> Search {
    Search {
        txs: HashSet::from([tx()]),
        finalized: SEARCHED,
        first_slot: 0,
        first_height: Some(0),
    }
}

fn look(answers: &Answers, txs: &[TxId], landed: Option<&Landed>, commitment: Commitment) -> Sighting {
    let authorization = authorization();
    answers.sighting(&[watched(&authorization, txs, landed)], commitment)
}

fn out_of_reach(answers: &Answers, landed: Option<&Landed>) -> usize {
    answers.out_of_reach(&[watched(&authorization(), &[tx()], landed)])
}

fn watched<'a>(authorization: &'a Authorization, txs: &'a [TxId], landed: Option<&'a Landed>) -> Watched<'a> {
    Watched {
        payment: PaymentId::from_uuid(uuid::Uuid::nil()),
        authorization,
        txs,
        landed,
        since_height: SINCE,
        seek: true,
    }
}

fn only(sighting: &Sighting) -> Option<&Observation> {
    sighting.payments.values().next()
}

fn reverted() -> Observation {
    set_back(Setback::Reverted { tx: tx() })
}

fn missing() -> Observation {
    set_back(Setback::TransferMissing { tx: tx() })
}

#[test]
fn a_transaction_in_a_block_is_judged_by_what_it_did_and_proves_failure_only_when_final() {
    use Level::{Confirmed, Finalized, Processed};
    let unseen = Observation::Unseen { head: HEAD };
    let (tx, block) = (tx(), block(SLOT));
    let failed = CannotLand::FailedOnChain {
        tx: tx.clone(),
        block: block.clone(),
    };
    let used = CannotLand::UsedOtherwise { tx: tx.clone(), block };
    let arrived = |level| Some(Observation::Landed(landed(SLOT, level)));
    let table = [
        (Processed, EXACT, Some(unseen.clone())),
        (Processed, End::Failed, Some(unseen)),
        (Confirmed, EXACT, arrived(Confirmed)),
        (Confirmed, End::Failed, Some(reverted())),
        (Confirmed, OTHERWISE, Some(missing())),
        (Confirmed, UNTOLD, None),
        (Finalized, EXACT, arrived(Finalized)),
        (Finalized, End::Failed, Some(Observation::CannotLand(failed))),
        (Finalized, OTHERWISE, Some(Observation::CannotLand(used))),
        (Finalized, UNTOLD, None),
    ];
    for (level, end, expected) in table {
        // The window makes no difference to what is in a block.
        for finalized_height in [OPEN, CLOSED] {
            let mut answers = in_block(level, end);
            answers.finalized_height = finalized_height;
            answers.search = Some(search());
            let sighting = look(&answers, std::slice::from_ref(&tx), None, Commitment::Confirmed);
            assert_eq!(
                only(&sighting),
                expected.as_ref(),
                "{level:?} {end:?} {finalized_height}"
            );
            assert_eq!(
                sighting.mined.len(),
                usize::from(level > Processed),
                "{level:?} {end:?}"
            );
            assert!(sighting.mined.iter().all(|it| it.cost == Amount::from_units(5_001)));
            assert!(sighting.dead.is_empty());
        }
    }
}

#[test]
fn where_finality_is_asked_for_a_confirmed_landing_is_not_deep_enough() {
    for (level, deep) in [(Level::Confirmed, false), (Level::Finalized, true)] {
        let sighting = look(&in_block(level, EXACT), &[tx()], None, Commitment::Finalized);
        let Some(Observation::Landed(landed)) = only(&sighting) else {
            panic!("{sighting:?}")
        };
        assert_eq!((landed.is_deep_enough, landed.is_final), (deep, deep));
    }
}

#[test]
fn a_node_that_contradicts_itself_is_not_believed() {
    type Spoil = fn(&mut Answers);
    let spoil: [(&str, Spoil); 5] = [
        ("no transaction", |it| it.executed.clear()),
        ("no block", |it| it.blocks.clear()),
        ("another slot", |it| it.executed.get_mut(&tx()).unwrap().slot = SLOT + 1),
        ("another end", |it| {
            it.executed.get_mut(&tx()).unwrap().end = End::Failed;
        }),
        ("another status", |it| {
            it.statuses.get_mut(&tx()).unwrap().is_failed = true;
        }),
    ];
    for (what, spoil) in spoil {
        for level in [Level::Confirmed, Level::Finalized] {
            let mut answers = in_block(level, EXACT);
            spoil(&mut answers);
            let sighting = look(&answers, &[tx()], None, Commitment::Confirmed);
            assert!(
                sighting.payments.is_empty() && sighting.mined.is_empty(),
                "{what}: {sighting:?}"
            );
        }
    }
}

#[test]
fn a_window_is_closed_only_by_a_search_in_vain_that_saw_every_block_of_it() {
    let unseen = Some(Observation::Unseen { head: HEAD });
    let block = block(SEARCHED);
    let closed = Some(Observation::CannotLand(CannotLand::WindowClosed { block }));
    let behind = Search {
        finalized: FINALIZED - 1,
        ..search()
    };
    let pruned = |first_height| Search {
        first_slot: 900,
        first_height,
        ..search()
    };
    let elsewhere = Search {
        txs: HashSet::new(),
        ..search()
    };
    let table = [
        (OPEN, None, unseen.clone()),
        (OPEN, Some(search()), unseen),
        (CLOSED, None, None),
        (CLOSED, Some(search()), closed.clone()),
        (CLOSED, Some(behind), None),
        (CLOSED, Some(elsewhere), None),
        (CLOSED, Some(pruned(Some(SINCE))), closed),
        (CLOSED, Some(pruned(Some(SINCE + 1))), None),
        (CLOSED, Some(pruned(None)), None),
    ];
    let is_pruned = |search: &Search| search.first_slot > 0 && search.first_height != Some(SINCE);
    for (finalized_height, search, expected) in table {
        let mut answers = nowhere(finalized_height);
        let is_out_of_reach = search.as_ref().is_some_and(is_pruned);
        answers.search = search;
        assert_eq!(
            out_of_reach(&answers, None),
            usize::from(is_out_of_reach),
            "{answers:?}"
        );
        let sighting = look(&answers, &[tx()], None, Commitment::Confirmed);
        assert_eq!(only(&sighting), expected.as_ref(), "{answers:?}");
        let is_closed = matches!(expected, Some(Observation::CannotLand(_)));
        assert_eq!(sighting.dead, if is_closed { vec![tx()] } else { vec![] });
        answers.blocks.clear();
        let sighting = look(&answers, &[tx()], None, Commitment::Confirmed);
        assert!(sighting.dead.is_empty());
        assert!(!matches!(only(&sighting), Some(Observation::CannotLand(_))));
    }
}

#[test]
fn a_payment_of_which_nothing_was_sent_is_over_when_its_window_is() {
    let proof = CannotLand::WindowClosed { block: block(SEARCHED) };
    let table = [
        (OPEN, None, Some(Observation::Unseen { head: HEAD })),
        (CLOSED, None, None),
        (CLOSED, Some(search()), Some(Observation::CannotLand(proof))),
    ];
    for (finalized_height, search, expected) in table {
        let mut answers = nowhere(finalized_height);
        answers.search = search;
        let sighting = look(&answers, &[], None, Commitment::Confirmed);
        assert_eq!(only(&sighting), expected.as_ref());
        assert!(sighting.dead.is_empty());
    }
}

#[test]
fn a_landing_that_is_known_needs_no_second_account_of_itself() {
    let known = landed(SLOT, Level::Confirmed);
    for level in [Level::Confirmed, Level::Finalized] {
        let mut answers = in_block(level, EXACT);
        answers.executed.clear();
        let sighting = look(&answers, &[tx()], Some(&known), Commitment::Confirmed);
        assert_eq!(only(&sighting), Some(&Observation::Landed(landed(SLOT, level))));
        assert!(sighting.mined.is_empty());
    }
    // Final is only what stands in a block that was looked at again.
    let mut answers = in_block(Level::Finalized, EXACT);
    answers.blocks.clear();
    assert!(
        look(&answers, &[tx()], Some(&known), Commitment::Confirmed)
            .payments
            .is_empty()
    );
}

#[test]
fn a_landing_that_moved_is_seen_where_it_is_now() {
    let known = landed(SLOT - 1, Level::Confirmed);
    let sighting = look(
        &in_block(Level::Confirmed, EXACT),
        &[tx()],
        Some(&known),
        Commitment::Confirmed,
    );
    assert_eq!(
        only(&sighting),
        Some(&Observation::Landed(landed(SLOT, Level::Confirmed)))
    );
    let sighting = look(
        &in_block(Level::Confirmed, End::Failed),
        &[tx()],
        Some(&known),
        Commitment::Confirmed,
    );
    assert_eq!(only(&sighting), Some(&reverted()));
}

#[test]
fn a_landing_is_reversed_only_by_a_search_in_vain_after_its_slot_was_finalized() {
    let unseen = Some(Observation::Unseen { head: FINALIZED });
    let late = landed(FINALIZED + 1, Level::Confirmed);
    let known = landed(SLOT, Level::Confirmed);
    let pruned = |first_slot| Search { first_slot, ..search() };
    let table = [
        (&known, None, None),
        (&known, Some(search()), unseen.clone()),
        (&known, Some(pruned(SLOT)), unseen),
        (&known, Some(pruned(SLOT + 1)), None),
        (&late, None, None),
    ];
    for (known, search, expected) in table {
        for finalized_height in [OPEN, CLOSED] {
            let mut answers = nowhere(finalized_height);
            answers.search = search.clone();
            let is_out_of_reach = search.as_ref().is_some_and(|it| it.first_slot > SLOT);
            assert_eq!(out_of_reach(&answers, Some(known)), usize::from(is_out_of_reach));
            let sighting = look(&answers, &[tx()], Some(known), Commitment::Confirmed);
            assert_eq!(only(&sighting), expected.as_ref(), "{answers:?}");
            assert!(sighting.dead.is_empty());
        }
    }
    // A node that has it in a block of less standing is behind.
    let sighting = look(
        &in_block(Level::Processed, EXACT),
        &[tx()],
        Some(&known),
        Commitment::Confirmed,
    );
    assert!(sighting.payments.is_empty());
}

#[test]
fn a_search_is_made_where_absence_would_prove_something() {
    let known = landed(SLOT, Level::Confirmed);
    let late = landed(FINALIZED + 1, Level::Confirmed);
    let txs = [tx()];
    let found = in_block(Level::Processed, EXACT);
    let closed = |answers: &Answers| Answers {
        finalized_height: CLOSED,
        ..answers.clone()
    };
    let table: [(_, &[TxId], _, _); 8] = [
        (nowhere(OPEN), &txs, None, None),
        (nowhere(CLOSED), &txs, None, Some(vec![tx()])),
        (nowhere(OPEN), &[], None, None),
        (nowhere(CLOSED), &[], None, Some(vec![])),
        (closed(&found), &txs, None, None),
        (nowhere(OPEN), &txs, Some(&known), Some(vec![tx()])),
        (nowhere(CLOSED), &txs, Some(&late), None),
        (closed(&found), &txs, Some(&known), None),
    ];
    for (answers, txs, landed, expected) in table {
        let authorization = authorization();
        assert_eq!(
            answers.doubts(&[watched(&authorization, txs, landed)]),
            expected,
            "{answers:?}"
        );
    }
}

#[test]
fn only_what_the_conclusions_need_is_asked_for() {
    let known = landed(SLOT, Level::Confirmed);
    let (txs, strays) = ([tx()], [TxId("stray".into())]);
    let mut closed = nowhere(CLOSED);
    closed.search = Some(search());
    let mut stray = nowhere(OPEN);
    let status = in_block(Level::Confirmed, EXACT).statuses.remove(&tx()).unwrap();
    stray.statuses.insert(strays[0].clone(), status);
    let seen = |level| in_block(level, EXACT);
    let table = [
        ("unseen", nowhere(OPEN), None, &[][..], (vec![], vec![])),
        ("processed", seen(Level::Processed), None, &txs, (vec![], vec![])),
        ("confirmed", seen(Level::Confirmed), None, &[], (vec![tx()], vec![SLOT])),
        ("known", seen(Level::Confirmed), Some(&known), &[], (vec![], vec![])),
        (
            "known and final",
            seen(Level::Finalized),
            Some(&known),
            &[],
            (vec![], vec![SLOT]),
        ),
        (
            "known, its slot open",
            seen(Level::Confirmed),
            Some(&known),
            &txs,
            (vec![tx()], vec![SLOT]),
        ),
        ("closed", closed, None, &[], (vec![], vec![SEARCHED])),
        ("another's", stray, None, &strays, (vec![strays[0].clone()], vec![SLOT])),
    ];
    for (what, answers, landed, others, (expected_txs, expected_slots)) in table {
        let authorization = authorization();
        let details = answers.details(&[watched(&authorization, &txs, landed)], others);
        let expected = Details {
            txs: expected_txs.into_iter().collect(),
            slots: expected_slots.into_iter().collect(),
        };
        assert_eq!(details, expected, "{what}");
    }
}

#[test]
fn statuses_are_read_as_nodes_write_them() {
    let text =
        r#"{"confirmationStatus":"finalized","confirmations":null,"err":{"InstructionError":[0,"Custom"]},"slot":7}"#;
    let status: Status = serde_json::from_str(text).unwrap();
    let expected = Status {
        slot: 7,
        is_failed: true,
        level: Level::Finalized,
    };
    assert_eq!(status, expected);
    assert!(Level::Processed < Level::Confirmed && Level::Confirmed < Level::Finalized);
}
