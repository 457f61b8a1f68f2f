//! What must hold, by the numbers of the catalogue. After every write: I4, I9, I10, I13. When bytes leave: I6, and that
//! they are of the slot that they are on record for. When success is said: I3, that it has landed in a block, which may
//! have been taken back since. When all is quiet: I1, I2, I5, I7, I8, I11, I14, I16, I17.
//!
//! | held elsewhere | where |
//! |---|---|
//! | I3 without a block that was taken back | a node's word may be overtaken on its way; the binary's tests hold it on a real node |
//! | I12, I22, I24 | budgets, tenants and secrets are not app's: tests/it |
//! | I15 | `tests/store/leases.rs`; here a stale fence writes nothing, or I9 and I10 break |
//! | I18, I19, I20, I21 | tests/it, which speaks HTTP, and tests/evm against a real token |
//! | I23 | no webhooks at this level |

use std::collections::{BTreeMap, BTreeSet};

use facilitator::domain::amount::Amount;
use facilitator::domain::id::PaymentId;
use facilitator::domain::rail::TxId;
use facilitator::domain::settlement::{Settlement, State};

use crate::chain_evm::SimTx;
use crate::rail_evm;
use crate::store::{Entry, Tables};
use crate::world::Sent;

/// What blocks make true.
#[derive(Default)]
pub(crate) struct Truth {
    /// What was signed, and the transaction that has moved its money; once for each time it did.
    pub(crate) landings: Vec<(Vec<u8>, TxId)>,
    /// The hash of each block.
    pub(crate) blocks: BTreeSet<String>,
    /// What each transaction of ours has cost.
    pub(crate) costs: BTreeMap<TxId, u64>,
    /// The transactions of blocks that are gone.
    pub(crate) taken_back: BTreeSet<TxId>,
}

type Held = Result<(), String>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(what()) }
}

/// What holds after every write.
pub(crate) fn always(tables: &Tables) -> Held {
    for (lane, row) in &tables.lanes {
        let nonces = tables
            .slots
            .range((lane.clone(), 0)..=(lane.clone(), u64::MAX))
            .map(|((_, nonce), _)| *nonce);
        must(nonces.eq(row.first_nonce..row.next_nonce), || {
            format!("I9: the slots of {lane} have gaps")
        })?;
    }
    let evm = rail_evm::network();
    for (place, slot) in &tables.slots {
        let carrying: Vec<SimTx> = slot
            .txs
            .iter()
            .map(|id| &tables.txs[id])
            .filter(|tx| !tx.is_empty && place.0.network == evm)
            .map(|tx| SimTx::read(&tx.raw))
            .collect();
        let is_same = carrying
            .windows(2)
            .all(|pair| pair[0].calls == pair[1].calls && pair[0].nonce == pair[1].nonce);
        must(is_same, || format!("I10: the transactions of {place:?} differ"))?;
        let mined = slot.txs.iter().filter(|id| tables.txs[*id].mined.is_some()).count();
        must(mined <= 1, || format!("I9: two transactions of {place:?} are mined"))?;
    }
    Ok(())
}

/// What holds when bytes leave (I6): they are on record, for the very slot that they are of.
pub(crate) fn on_sending(tables: &Tables, sent: &Sent<'_>) -> Held {
    let tx = tables.txs.get(&sent.tx).filter(|tx| tx.raw == sent.raw);
    let Some(tx) = tx else {
        return Err(format!("I6: {} left and is not on record", sent.tx));
    };
    let (lane, nonce) = &tx.place;
    let is_its_slot = lane.signer == sent.signer && sent.nonce.is_none_or(|it| it == *nonce);
    must(is_its_slot && tables.slots[&tx.place].txs.contains(&sent.tx), || {
        format!("I6: {} left and is on record for {:?}", sent.tx, tx.place)
    })
}

/// The states that may follow each other (I13): what has landed is taken back only where blocks are.
pub(crate) fn graph(tables: &Tables, has_reorgs: bool) -> Held {
    let mut last: BTreeMap<_, (i64, State)> = BTreeMap::new();
    for told in &tables.events {
        let (version, before) = match last.get(&told.payment) {
            Some((version, state)) => (version + 1, Some(*state)),
            None => (0, None),
        };
        let follows = matches!(
            (before, told.state),
            (None | Some(State::Withdrawn), State::Reserved)
                | (
                    Some(State::Reserved),
                    State::InFlight | State::Confirmed | State::Failed | State::Withdrawn
                )
                | (
                    Some(State::InFlight),
                    State::InFlight | State::Confirmed | State::Failed
                )
                | (Some(State::Confirmed), State::Final)
        ) || (has_reorgs
            && matches!(
                (before, told.state),
                (Some(State::Confirmed), State::InFlight | State::Reserved)
            ));
        must(follows && told.version == version, || {
            format!("I13: {} went from {before:?} to {:?}", told.payment, told.state)
        })?;
        last.insert(told.payment, (version, told.state));
    }
    Ok(())
}

/// What holds when the faults are over and enough time has passed.
pub(crate) fn quiet(tables: &Tables, truth: &Truth, has_reorgs: bool) -> Held {
    graph(tables, has_reorgs)?;
    for (id, payment) in &tables.payments {
        let record = &payment.record;
        let landings: Vec<&TxId> = truth
            .landings
            .iter()
            .filter(|(signed, _)| *signed == record.authorization.body)
            .map(|(_, tx)| tx)
            .collect();
        must(landings.len() <= 1, || {
            format!("I2: {id} landed {} times", landings.len())
        })?;
        match &record.settlement {
            Settlement::Final { landed } => must(landings.contains(&&landed.tx), || {
                format!("I7: {id} is final, and the chain does not show it")
            })?,
            Settlement::Failed { proof } => {
                must(landings.is_empty(), || {
                    format!("I8: {id} has failed ({proof:?}), and its money has moved")
                })?;
                must(truth.blocks.contains(&proof.block().hash), || {
                    format!("I8: {id} has failed by a block that nobody has made ({proof:?})")
                })?;
            }
            Settlement::Withdrawn => must(payment.seats.is_empty(), || {
                format!("I8: {id} is withdrawn and was signed for")
            })?,
            open @ (Settlement::Reserved | Settlement::InFlight { .. } | Settlement::Confirmed { .. }) => {
                return Err(format!("I16: {id} is still {open:?}"));
            }
        }
        // What one confirmation was enough for, a reorganization may undo.
        let is_kept = record.granted_at.is_none() || matches!(record.settlement, Settlement::Final { .. });
        must(is_kept || has_reorgs, || {
            format!("I3: {id} was granted a success and ended as {:?}", record.settlement)
        })?;
    }
    books(tables, truth)
}

fn books(tables: &Tables, truth: &Truth) -> Held {
    for tx in truth.costs.keys() {
        must(tables.txs.contains_key(tx), || format!("I5: {tx} is not on record"))?;
    }
    let open = tables.slots.iter().find(|(_, slot)| slot.consumed_by.is_none());
    must(open.is_none(), || {
        format!("I16: the slot {:?} is still open", open.map(|it| it.0))
    })?;
    for id in tables.payments.keys() {
        let spent = spent_on(tables, truth, *id);
        let of_payment = |it: &Entry| it.payment == *id;
        let debited = posted(tables, "gas", "posted", |it| {
            of_payment(it) && it.credit.starts_with("signer:")
        });
        let taken_back = posted(tables, "gas", "posted", |it| {
            of_payment(it) && it.debit.starts_with("signer:")
        });
        must(debited == spent + taken_back, || {
            format!("I11: {id} took {spent} of the chain, and the books say {debited} less {taken_back}")
        })?;
    }
    let resolved = posted(tables, "payment", "posted", |_| true) + posted(tables, "payment", "voided", |_| true);
    must(posted(tables, "payment", "pending", |_| true) == resolved, || {
        "I7: a movement is still pending".into()
    })
}

fn posted(tables: &Tables, purpose: &str, stage: &str, of: impl Fn(&Entry) -> bool) -> u128 {
    let entries = tables.ledger.iter();
    entries
        .filter(|it| it.purpose == purpose && it.stage == stage && of(it))
        .map(|it| it.amount.units())
        .sum()
}

/// What carrying the payment has cost.
fn spent_on(tables: &Tables, truth: &Truth, payment: PaymentId) -> u128 {
    let mut spent = 0;
    for seat in &tables.payments[&payment].seats {
        let slot = &tables.slots[&seat.place];
        for tx in &slot.txs {
            let cost = truth.costs.get(tx).copied().unwrap_or_default();
            spent += Amount::from_units(cost.into()).share(seat.number, slot.seats).units();
        }
    }
    spent
}
