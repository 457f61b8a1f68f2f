//! Every meeting of a record with what the chain shows.

use super::*;
use crate::domain::authorization::{PaymentKey, Window};
use crate::domain::settlement::{CannotLand, Landed};
use crate::domain::time::Timestamp;

fn block(height: u64) -> ChainPoint {
    ChainPoint {
        height,
        hash: format!("0x{height}"),
        time: Timestamp(height),
    }
}

fn authorization() -> Authorization {
    Authorization {
        payer: "payer".into(),
        pay_to: "merchant".into(),
        asset: "coin".into(),
        amount: Amount::from_units(100),
        nonce: "nonce".into(),
        window: Window::Recent,
        signer: None,
        memo: None,
        key: PaymentKey([0; 32]),
        body: Vec::new(),
    }
}

fn transfer() -> Transfer {
    Transfer {
        account: Account {
            asset: "coin".into(),
            holder: "merchant".into(),
        },
        direction: Direction::Credit,
        counterparty: Some("payer".into()),
        amount: Amount::from_units(100),
        tx: TxId("tx".into()),
        index: 7,
        block: block(5),
        authorizer: Some("payer".into()),
        nonce: Some("nonce".into()),
        memo: None,
        sender: "signer".into(),
    }
}

fn landed() -> Landed {
    Landed {
        tx: TxId("tx".into()),
        log_index: 7,
        block: block(5),
        is_deep_enough: true,
        is_final: true,
    }
}

fn settlements() -> [Settlement; 6] {
    [
        Settlement::Reserved,
        Settlement::InFlight {
            tx: TxId("tx".into()),
            setback: None,
        },
        Settlement::Confirmed {
            landed: landed(),
            tx: None,
        },
        Settlement::Final { landed: landed() },
        Settlement::Failed {
            proof: CannotLand::WindowClosed { block: block(9) },
        },
        Settlement::Withdrawn,
    ]
}

fn changed(change: impl FnOnce(&mut Transfer)) -> Vec<Transfer> {
    let mut changed = transfer();
    change(&mut changed);
    vec![changed]
}

/// The states of a record in each of [`settlements`].
fn judged(claim: impl Fn(Claim<'_>) -> State) -> [State; 6] {
    let authorization = authorization();
    settlements().map(|settlement| {
        claim(Claim {
            authorization: &authorization,
            settlement: &settlement,
            was_promised: false,
            twin: None,
            side: Direction::Credit,
            scanned: Some(&(1..6)),
        })
    })
}

#[test]
fn each_state_of_a_record_meets_what_the_chain_shows() {
    use State::{
        AmountMismatch, AssetMismatch, Duplicate, Matched, MissingOnChain, OrphanedReorg, PartyMismatch, Pending,
        StatusMismatch,
    };
    let unlike = |state: State| [state; 6];
    let cases = [
        (
            Vec::new(),
            [Pending, Pending, Pending, MissingOnChain, Matched, Matched],
        ),
        (
            vec![transfer()],
            [Pending, Pending, Matched, Matched, StatusMismatch, StatusMismatch],
        ),
        (changed(|it| it.amount = Amount::from_units(99)), unlike(AmountMismatch)),
        (changed(|it| it.account.holder = "other".into()), unlike(PartyMismatch)),
        (vec![transfer(), transfer()], unlike(Duplicate)),
        // Elsewhere than the record says.
        (
            changed(|it| it.block = block(4)),
            [Pending, Pending, Pending, OrphanedReorg, StatusMismatch, StatusMismatch],
        ),
        (
            changed(|it| it.tx = TxId("other".into())),
            [Pending, Pending, Pending, OrphanedReorg, StatusMismatch, StatusMismatch],
        ),
        // Another's, with the same nonce: only at its own place it is the record that differs.
        (
            changed(|it| it.account.asset = "other".into()),
            [Pending, Pending, AssetMismatch, AssetMismatch, Matched, Matched],
        ),
        (
            changed(|it| it.authorizer = Some("other".into())),
            [Pending, Pending, PartyMismatch, PartyMismatch, Matched, Matched],
        ),
        (
            changed(|it| {
                it.authorizer = Some("other".into());
                it.index = 8;
            }),
            [Pending, Pending, Pending, MissingOnChain, Matched, Matched],
        ),
        // What leaves the account pays for nothing.
        (
            changed(|it| it.direction = Direction::Debit),
            [Pending, Pending, Pending, MissingOnChain, Matched, Matched],
        ),
    ];
    for (transfers, expected) in cases {
        let states = judged(|claim| claim.judge(&transfers).state);
        assert_eq!(states, expected, "{transfers:?}");
    }
}

#[test]
fn what_was_not_read_is_not_missing_and_what_was_promised_is() {
    use State::{Duplicate, Matched, MissingOnChain, OrphanedReorg, Pending};
    let (early, late) = (1..5, 6..10);
    for scanned in [None, Some(&early), Some(&late)] {
        let states = judged(|claim| Claim { scanned, ..claim }.judge(&[]).state);
        assert_eq!(states, [Pending, Pending, Pending, Pending, Matched, Matched]);
    }
    let promised = |claim: Claim<'_>| {
        let was_promised = true;
        Claim { was_promised, ..claim }.judge(&[]).state
    };
    let expected = [Pending, Pending, Pending, MissingOnChain, OrphanedReorg, Matched];
    assert_eq!(judged(promised), expected);
    let twin = Some(PaymentId::mint());
    let states = judged(|claim| Claim { twin, ..claim }.judge(&[transfer()]).state);
    assert_eq!(states[2..4], [Duplicate, Duplicate]);
}

type Change = fn(&mut Transfer);

#[test]
fn what_pays_a_refund_is_judged_by_the_debit_that_it_left() {
    let wallets = |change: fn(&mut Transfer)| {
        let mut left = transfer();
        left.direction = Direction::Debit;
        left.counterparty = Some(std::mem::replace(&mut left.account.holder, "payer".to_owned()));
        change(&mut left);
        left
    };
    let expected = judged(|claim| claim.judge(&[transfer()]).state);
    let paid = wallets(|_| {});
    let states = judged(|claim| {
        let side = Direction::Debit;
        Claim { side, ..claim }.judge(&[transfer(), paid.clone()]).state
    });
    assert_eq!(states, expected);
    let cases: [(Change, State); 3] = [
        (|it| it.counterparty = Some("thief".to_owned()), State::PartyMismatch),
        (|it| it.account.holder = "other".to_owned(), State::PartyMismatch),
        (|it| it.amount = Amount::from_units(1), State::AmountMismatch),
    ];
    for (change, state) in cases {
        let changed = wallets(change);
        let states = judged(|claim| {
            let side = Direction::Debit;
            Claim { side, ..claim }.judge(std::slice::from_ref(&changed)).state
        });
        assert_eq!(states[3], state);
    }
}

#[test]
fn a_stray_is_named_as_what_it_looks_like() {
    let looks = |transfer: &Transfer| {
        let verdict = stray(transfer, |account| account == "ours");
        assert_eq!(verdict.state, State::UnknownOnChain);
        verdict.reason.split(':').next().unwrap().to_owned()
    };
    for (stray, expected) in [
        (
            changed(|it| it.sender = "ours".into()),
            "sent by a signer of ours without a record",
        ),
        (changed(|_| ()), "looks like somebody else's settlement"),
        (changed(|it| it.nonce = None), "a direct transfer"),
        (changed(|it| it.sender = "payer".into()), "a direct transfer"),
    ] {
        assert_eq!(looks(&stray[0]), expected);
    }
}

#[test]
fn what_an_account_holds_is_explained_by_its_transfers() {
    let held = |before: u128, after: u128| Held {
        before: Some(Amount::from_units(before)),
        after: Some(Amount::from_units(after)),
    };
    let debit = changed(|it| {
        it.direction = Direction::Debit;
        it.amount = Amount::from_units(30);
    });
    let all = [vec![transfer()], debit].concat();
    for (held, transfers, unexplained) in [
        (held(50, 120), all.as_slice(), None),
        (held(50, 119), all.as_slice(), Some(1)),
        (held(50, 121), all.as_slice(), Some(1)),
        (held(50, 50), &[], None),
        (held(50, 40), &[], Some(10)),
        (
            Held {
                before: None,
                ..held(0, 40)
            },
            &[],
            None,
        ),
        (
            Held {
                after: None,
                ..held(9, 0)
            },
            &[],
            None,
        ),
    ] {
        let found = imbalance(&(7..=9), held, transfers.iter());
        let amount = found.map(|(amount, _)| amount.units());
        assert_eq!(amount, unexplained, "{held:?}");
    }
    let (_, found) = imbalance(&(7..=9), held(50, 119), all.iter()).unwrap();
    assert_eq!(found.reason, "blocks 7 to 9: 50 before, 100 in, 30 out, 119 after");
}
