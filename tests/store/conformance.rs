//! The simulator's store against Postgres: one script of chance, step by step on both, with equal results, equal records
//! and equal books. What the simulator finds about the facilitator is worth as much as this holds.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each of several functions takes some of the steps"
)]

mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use facilitator::domain::budget::Limits;
use facilitator::domain::id::PaymentId;
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::rail::{LaneId, Outbid, Replacement, TxId};
use facilitator::domain::settlement::{CannotLand, Event, Setback, State, apply};
use facilitator::domain::tenant::TenantId;
use facilitator::store::{Advance, DateTime, IntendFault, Record, Records, StoreFault};
use uuid::Uuid;

use self::script::{LANES, Step, steps};
use crate::dice::Dice;
use crate::sim_store::SimStore;
use crate::support::{Database, block, landed, lane, mined, network, on_database, sample, signed, tx};

/// Longer than any script runs.
const TERM: Duration = Duration::from_mins(5);

/// One of the two stores, and what the script needs to remember of it.
struct Side<'a> {
    store: &'a dyn Records,
    /// Names of transactions in the order in which they were signed.
    txs: Vec<String>,
}

fn id(number: u8) -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(0x1000 + u128::from(number)))
}

fn lane_of(number: u8) -> LaneId {
    LaneId {
        network: network(),
        signer: format!("{}{number}", lane().signer),
    }
}

fn process(number: u8) -> ProcessId {
    ProcessId(Uuid::from_u128(0x2000 + u128::from(number)))
}

/// A fault by what its hearer may do next; a value that cannot be, by its name.
fn fault(fault: &StoreFault) -> String {
    match fault {
        StoreFault::Unavailable { .. } => "unavailable".into(),
        StoreFault::OutcomeUnknown { .. } => "unknown".into(),
        StoreFault::Refused { .. } => "refused".into(),
        StoreFault::Corrupt { what, .. } => format!("corrupt {what}"),
        StoreFault::Settings | StoreFault::Session(_) | StoreFault::Schema(_) => "unusable".into(),
    }
}

fn said<T>(result: Result<T, StoreFault>, of: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|it| fault(&it), of)
}

/// All that a record says except when.
fn record(it: &Record) -> String {
    let timeless = Record {
        created_at: DateTime::UNIX_EPOCH,
        confirmed_at: it.confirmed_at.map(|_| DateTime::UNIX_EPOCH),
        final_at: it.final_at.map(|_| DateTime::UNIX_EPOCH),
        granted_at: it.granted_at.map(|_| DateTime::UNIX_EPOCH),
        ..it.clone()
    };
    crate::support::told(&timeless)
}

fn records(records: &[Record]) -> String {
    records.iter().map(record).collect::<Vec<_>>().join("\n")
}

impl Side<'_> {
    fn name(&self, number: u8) -> TxId {
        let known = self.txs.len().max(1);
        let name = self.txs.get(usize::from(number) % known);
        tx(name.map_or("none", String::as_str))
    }

    async fn take(&mut self, step: &Step) -> String {
        match step {
            Step::Reserve { .. } | Step::Find { .. } | Step::Get { .. } | Step::Named { .. } | Step::Try { .. } => {
                self.payments(step).await
            }
            Step::Advance { .. } | Step::Grant { .. } => self.settlements(step).await,
            Step::Intend { .. } | Step::Replace { .. } => self.sign(step).await,
            Step::Mined { .. } | Step::Reorganized { .. } | Step::Dead { .. } | Step::Carriers { .. } => {
                self.transactions(step).await
            }
            Step::Beat { .. }
            | Step::Take { .. }
            | Step::Give { .. }
            | Step::Quarantine { .. }
            | Step::Usurp { .. } => self.leases(step).await,
        }
    }

    async fn payments(&self, step: &Step) -> String {
        match step {
            Step::Reserve {
                key,
                digest,
                name,
                id: number,
            } => {
                let mut sample = sample(*key);
                sample.digest = *digest;
                sample.before = (key % 3 != 0).then_some(2_000_000_000 - u64::from(*key));
                if let Some(name) = name {
                    sample = sample.named(&[&format!("name {name}"), "shared"][..=usize::from(name % 2)]);
                }
                let mut new = sample.new_payment();
                new.id = id(*number);
                said(self.store.payment_reserve(&new).await, |it| match &it {
                    facilitator::store::Reservation::New(it) => format!("new {}", record(it)),
                    facilitator::store::Reservation::Reopened(it) => format!("reopened {}", record(it)),
                    facilitator::store::Reservation::Seen(it) => format!("seen {}", record(it)),
                    facilitator::store::Reservation::ReferenceTaken(it) => format!("taken {it:?}"),
                    facilitator::store::Reservation::Short(it) => format!("short {it:?}"),
                })
            }
            Step::Find { key } => {
                let key = sample(*key).new_payment().verified.authorization().key;
                said(self.store.payment_find(&key).await, |it| {
                    it.as_ref().map_or_else(String::new, record)
                })
            }
            Step::Get { ids } => {
                let ids: Vec<PaymentId> = ids.iter().map(|it| id(*it)).collect();
                said(self.store.payments_get(&ids).await, |it| records(&it))
            }
            Step::Named { name } => {
                let names = sample(0).named(&[&format!("name {name}"), "shared"]).references;
                said(self.store.reference_find(TenantId::SOLE, &names).await, |it| {
                    it.as_ref().map_or_else(String::new, record)
                })
            }
            Step::Try { ids } => {
                let ids: Vec<PaymentId> = ids.iter().map(|it| id(*it)).collect();
                let tried = self.store.settlements_try(&ids).await;
                said(tried, |mut it| {
                    it.sort_unstable();
                    format!("{it:?}")
                })
            }
            _ => unreachable!(),
        }
    }

    async fn settlements(&self, step: &Step) -> String {
        match step {
            Step::Advance { changes, answer } => {
                let mut read = Vec::new();
                for (number, event, is_stale) in changes {
                    if let Some(mut record) = self.store.payment_get(id(*number)).await.unwrap() {
                        record.version -= i64::from(*is_stale);
                        read.push((record, *event));
                    }
                }
                let advances: Vec<Advance<'_>> = read
                    .iter()
                    .filter_map(|(record, event)| self.advance(record, *event))
                    .collect();
                let answers: Vec<(PaymentId, &[u8])> = advances
                    .iter()
                    .filter(|_| *answer)
                    .map(|it| (it.record.id, b"answer".as_slice()))
                    .collect();
                said(
                    self.store.settlements_advance_granting(&advances, &answers).await,
                    |it| {
                        let mut granted: Vec<PaymentId> = it.granted.into_iter().collect();
                        granted.sort_unstable();
                        format!("{:?} {granted:?}", it.moved)
                    },
                )
            }
            Step::Grant { id: number } => said(self.store.settlement_grant(id(*number), b"late").await, |it| {
                it.to_string()
            }),
            _ => unreachable!(),
        }
    }

    /// The change that this event makes of the record, if it may follow.
    fn advance<'r>(&self, record: &'r Record, event: u8) -> Option<Advance<'r>> {
        let name = self.name(event).0;
        let name = name.trim_start_matches("0x");
        let event = match event {
            0 => Event::SetBack(Setback::Reverted { tx: tx(name) }),
            1 => Event::Confirmed(landed(name, 20, false)),
            2 => Event::LateSettled(landed(name, 20, false)),
            3 => Event::Reversed,
            4 | 5 => Event::Finalized(landed(name, 20, true)),
            6 => Event::Failed(CannotLand::WindowClosed { block: block(30, "a") }),
            7 => Event::Failed(CannotLand::UsedOtherwise {
                tx: tx(name),
                block: block(30, "a"),
            }),
            _ => Event::Withdrawn,
        };
        let next = apply(record.settlement.clone(), &event).ok()?;
        Some(Advance { record, event, next })
    }

    async fn sign(&mut self, step: &Step) -> String {
        let number = self.txs.len();
        match step {
            Step::Intend {
                who,
                lane,
                fence,
                ids,
                retry,
                apart,
            } => {
                let lease = Lease {
                    lane: lane_of(*lane),
                    holder: process(*who),
                    fence: *fence,
                };
                let ids: Vec<PaymentId> = ids.iter().map(|it| id(*it)).collect();
                let sign = |nonce: u64, cargo: &[PaymentId]| {
                    if !apart {
                        return Ok(signed(&format!("t{number}-{nonce}"), cargo));
                    }
                    let each = cargo.chunks(1).enumerate();
                    Ok(each
                        .flat_map(|(at, one)| signed(&format!("t{number}-{nonce}-{at}"), one))
                        .collect())
                };
                match self
                    .store
                    .lane_intend(&lease, &ids, *retry, &Limits::default(), &sign)
                    .await
                {
                    Ok(intents) => {
                        let name = |it: &facilitator::store::Intent| it.tx.id.0.trim_start_matches("0x").to_owned();
                        self.txs.extend(intents.iter().map(name));
                        let told =
                            |it: &facilitator::store::Intent| format!("{} {} {:?}", it.nonce, it.tx.id, it.payments);
                        intents.iter().map(told).collect::<Vec<_>>().join("; ")
                    }
                    Err(IntendFault::Store(it)) => fault(&it),
                    Err(other) => other.to_string(),
                }
            }
            Step::Replace {
                who,
                lane,
                fence,
                nonce,
                empty,
            } => {
                let lease = Lease {
                    lane: lane_of(*lane),
                    holder: process(*who),
                    fence: *fence,
                };
                let carriers = self.store.transactions_open(&network(), &State::OPEN).await.unwrap();
                let newest = carriers.iter().rfind(|it| it.lane == lease.lane && it.nonce == *nonce);
                let over = newest.map_or_else(|| tx("none"), |it| it.tx.clone());
                let with = Replacement {
                    id: tx(&format!("r{number}")),
                    raw: vec![1],
                    cost_max: facilitator::domain::amount::Amount::from_units(600),
                    cargo: if *empty { Outbid::Nothing } else { Outbid::Same },
                };
                let done = self.store.lane_replace(&lease, *nonce, &over, &with).await;
                if matches!(done, Ok(facilitator::store::Replaced::Done(_))) {
                    self.txs.push(format!("r{number}"));
                }
                said(done, |it| format!("{it:?}"))
            }
            _ => unreachable!(),
        }
    }

    async fn transactions(&self, step: &Step) -> String {
        let name = |number: &u8| self.name(*number);
        match step {
            Step::Mined { tx, height } => {
                let it = mined(name(tx).0.trim_start_matches("0x"), *height, 100 + u128::from(*tx));
                said(self.store.transactions_mined(&network(), &[it]).await, |()| {
                    String::new()
                })
            }
            Step::Reorganized { tx } => said(
                self.store.transactions_reorganized(&network(), &[name(tx)]).await,
                |()| String::new(),
            ),
            Step::Dead { tx } => said(self.store.transactions_dead(&network(), &[name(tx)]).await, |()| {
                String::new()
            }),
            Step::Carriers { states } => {
                let carriers = self.store.transactions_open(&network(), states).await;
                let open = self.store.settlements_open(&network(), states).await;
                let waiting = self.store.settlements_waiting(&network(), 3).await;
                let told = |it: &facilitator::store::Carrier| format!("{it:?} {} {:?}", it.is_empty, it.raw);
                let mined = self.store.transactions_unwatched(&lane_of(0), 1, 3).await;
                said(carriers, |it| it.iter().map(told).collect::<Vec<_>>().join("\n"))
                    + &said(mined, |it| format!("{it:?}"))
                    + &said(open, |it| records(&it))
                    + &said(waiting, |it| format!("{it:?}"))
            }
            _ => unreachable!(),
        }
    }

    async fn leases(&self, step: &Step) -> String {
        match step {
            Step::Beat { who } => {
                let lanes: Vec<LaneId> = (0..u8::try_from(LANES).unwrap()).map(lane_of).collect();
                said(
                    self.store.leases_beat(&network(), process(*who), &lanes, TERM).await,
                    |it| format!("{it:?}"),
                )
            }
            Step::Take { who, lane } => {
                let lane = lane_of(*lane);
                let first = self.store.lane_prepare(&lane, 5).await;
                said(first, |it| it.to_string())
                    + &said(self.store.lease_take(&lane, process(*who), TERM).await, |it| {
                        format!("{it:?}")
                    })
            }
            Step::Give { who, lane } => {
                let given = self
                    .store
                    .leases_give(&network(), process(*who), &[lane_of(*lane)])
                    .await;
                said(given, |()| String::new())
                    + &said(self.store.replica_leave(&network(), process(*who)).await, |()| {
                        String::new()
                    })
            }
            Step::Quarantine { lane } => said(self.store.lane_quarantine(&lane_of(*lane)).await, |it| it.to_string()),
            Step::Usurp { lane, nonce } => said(self.store.slots_usurped(&lane_of(*lane), &[*nonce]).await, |()| {
                String::new()
            }),
            _ => unreachable!(),
        }
    }
}

/// What no method of the store tells: the books, the evidence and the events.
async fn books(db: &Database) -> Vec<String> {
    let ledger = "select concat_ws(' ', payment_id, version, purpose, stage, debit, credit, asset, amount,
        pending_id is not null) from ledger_entries
        order by payment_id, version, purpose, debit, credit, correction";
    let evidence = "select concat_ws(' ', payment_id, version, claim, tx, block_height, block_hash, ours) from evidence
        order by payment_id, version";
    let events =
        "select concat_ws(' ', payment_id, version, kind, body ->> 'state') from events order by payment_id, version";
    let mut books = db.texts(ledger).await;
    books.extend(db.texts(evidence).await);
    books.extend(db.texts(events).await);
    books
}

fn sim_books(sim: &SimStore) -> Vec<String> {
    let tables = sim.tables();
    let bool_ = |it: bool| if it { "t" } else { "f" };
    let mut ledger: Vec<_> = tables.ledger.iter().collect();
    ledger.sort_by_key(|it| (it.payment, it.version, it.purpose, it.debit.clone(), it.credit.clone()));
    let entry = |it: &&crate::sim_store::Entry| {
        let (id, paid) = (it.payment.as_uuid(), bool_(it.resolves.is_some()));
        let (version, purpose, stage, debit) = (it.version, it.purpose, it.stage, &it.debit);
        format!(
            "{id} {version} {purpose} {stage} {debit} {} {} {} {paid}",
            it.credit, it.asset, it.amount
        )
    };
    let mut books: Vec<String> = ledger.iter().map(entry).collect();
    let mut evidence: Vec<_> = tables.evidence.iter().collect();
    evidence.sort_by_key(|it| (it.payment, it.version));
    books.extend(evidence.iter().map(|it| {
        let tx = it.tx.as_ref().map_or_else(String::new, |tx| format!("{tx} "));
        let (id, version, claim) = (it.payment.as_uuid(), it.version, it.claim);
        format!(
            "{id} {version} {claim} {tx}{} {} {}",
            it.block.height,
            it.block.hash,
            bool_(it.ours)
        )
    }));
    let mut events: Vec<_> = tables.events.iter().collect();
    events.sort_by_key(|it| (it.payment, it.version));
    let told = |it: &&crate::sim_store::Told| {
        format!(
            "{} {} {} {}",
            it.payment.as_uuid(),
            it.version,
            it.kind,
            it.state.as_str()
        )
    };
    books.extend(events.iter().map(told));
    books
}

async fn run(db: Database, seed: u64) {
    let clock = AtomicI64::new(0);
    let now = move || DateTime::from_timestamp_millis(clock.fetch_add(1, Ordering::Relaxed)).unwrap();
    let sim = SimStore::new(Arc::new(now));
    let (mut real, mut simulated) = (
        Side {
            store: &db.store,
            txs: Vec::new(),
        },
        Side {
            store: &sim,
            txs: Vec::new(),
        },
    );
    for (number, step) in steps(&mut Dice::new(seed), 600).iter().enumerate() {
        let (expected, found) = (real.take(step).await, simulated.take(step).await);
        assert_eq!(found, expected, "seed {seed}, step {number}: {step:?}");
    }
    let (expected, found) = (books(&db).await, sim_books(&sim));
    assert_eq!(found, expected, "seed {seed}");
    let (txs, rows) = (real.txs.len(), expected.len());
    assert!(
        txs > 3 && rows > 50,
        "seed {seed} does too little to tell: {txs} transactions, {rows} rows"
    );
}

#[tokio::test]
async fn the_simulators_store_and_postgres_give_equal_results_to_the_same_script() {
    for seed in 1..=4 {
        on_database(move |db| run(db, seed)).await;
    }
}
