//! What must hold, by the numbers of the catalogue. After every write: I4, I6 (on sending), I9, I10, I13. When all is
//! quiet: I1, I2, I5, I7, I8, I11, I14, I16, I17.
//!
//! | held elsewhere | where |
//! |---|---|
//! | I3 at the very moment | the evidence is checked at the end, since a node's word may be overtaken on its way; the binary's tests hold it on a real node |
//! | I12, I22, I24 | budgets, tenants and secrets are not app's: tests/it |
//! | I15 | `tests/store/leases.rs`; here a stale fence writes nothing, or I9 and I10 break |
//! | I18, I19, I20, I21 | tests/it, which speaks HTTP, and tests/evm against a real token |
//! | I23 | no webhooks at this level |

use std::collections::BTreeMap;

use facilitator::domain::settlement::{Settlement, State};

use crate::chain_evm::{Chain, Pay, SimTx, Use};
use crate::store::Tables;

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
    for (place, slot) in &tables.slots {
        let carrying: Vec<SimTx> = slot
            .txs
            .iter()
            .map(|id| &tables.txs[id])
            .filter(|tx| !tx.is_empty)
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

/// The states that may follow each other (I13).
pub(crate) fn graph(tables: &Tables) -> Held {
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
                | (Some(State::Confirmed), State::Final | State::InFlight | State::Reserved)
        );
        must(follows && told.version == version, || {
            format!("I13: {} went from {before:?} to {:?}", told.payment, told.state)
        })?;
        last.insert(told.payment, (version, told.state));
    }
    Ok(())
}

/// What holds when the faults are over and enough time has passed.
pub(crate) fn quiet(tables: &Tables, chain: &Chain, has_reorgs: bool) -> Held {
    graph(tables)?;
    for (id, payment) in &tables.payments {
        let record = &payment.record;
        let pay: Pay = serde_json::from_slice(&record.authorization.body).unwrap();
        let receipts = chain.blocks.iter().flat_map(|it| &it.receipts);
        let landings: Vec<_> = receipts
            .filter(|it| it.uses.contains(&Use::Paid(pay.clone())))
            .collect();
        must(landings.len() <= 1, || {
            format!("I2: {id} landed {} times", landings.len())
        })?;
        match &record.settlement {
            Settlement::Final { landed } => must(landings.iter().any(|it| it.tx == landed.tx), || {
                format!("I7: {id} is final, and the chain does not show it")
            })?,
            Settlement::Failed { proof } => {
                must(landings.is_empty(), || {
                    format!("I8: {id} has failed ({proof:?}), and its money has moved")
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
    books(tables, chain)
}

fn books(tables: &Tables, chain: &Chain) -> Held {
    let mut spent = 0;
    for receipt in chain
        .blocks
        .iter()
        .flat_map(|it| &it.receipts)
        .filter(|it| it.signer.is_some())
    {
        must(tables.txs.contains_key(&receipt.tx), || {
            format!("I5: {} is not on record", receipt.tx)
        })?;
        spent += u128::from(receipt.cost);
    }
    let open = tables.slots.iter().find(|(_, slot)| slot.consumed_by.is_none());
    must(open.is_none(), || {
        format!("I16: the slot {:?} is still open", open.map(|it| it.0))
    })?;
    let of = |purpose: &str, stage: &str| -> u128 {
        let entries = tables
            .ledger
            .iter()
            .filter(|it| it.purpose == purpose && it.stage == stage);
        entries.map(|it| it.amount.units()).sum()
    };
    must(of("gas", "posted") == spent, || {
        format!("I11: the chain took {spent}, the books say {}", of("gas", "posted"))
    })?;
    let resolved = of("payment", "posted") + of("payment", "voided");
    must(of("payment", "pending") == resolved, || {
        "I7: a movement is still pending".into()
    })
}
