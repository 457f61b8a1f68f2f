//! Holds the records against the chains and against one another, and names what disagrees. Writes nothing.
//!
//! The chains are the oracle: what a payment is said to have moved is read again from receipts, and what our signers have
//! sent is counted by the chain's own nonces. A process that works on the same records meanwhile is no disagreement: what
//! looks wrong is looked at a second time before it is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::app::AskFault;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::posting::sides;
use crate::domain::rail::{LaneId, Observation, Rail, Sighting, TxId, Watched};
use crate::domain::settlement::{Settlement, State};
use crate::store::{Cursor, FOREIGN, Filter, Movement, Record, SealSeen, SlotSeen, Store, Surroundings};

/// How many payments or nonces are looked at together.
const PAGE: u16 = 500;

/// What disagrees, by a name that does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A constraint that keeps the records straight is missing from the database.
    ConstraintMissing,
    /// A payment's events do not count its versions, or do not end with its state.
    EventsIncomplete,
    /// An event is not what was written then.
    EventAltered,
    /// An event without a seal follows one that has one.
    EventUnsealed,
    /// A success without evidence on record.
    EvidenceMissing,
    /// The ledger's movements of the payment's money are not those that its state asks for.
    LedgerPayment,
    /// The ledger's movements for the payment's costs are not its share of what our transactions cost.
    LedgerGas,
    /// A success whose day is closed without it: the database's clock is far behind the chain's.
    NotOnStatement,
    /// A success that the chain does not show.
    NotOnChain,
    /// A success that the chain shows somewhere else than the record.
    ElsewhereOnChain,
    /// A payment recorded as failed whose money has moved.
    FailedButPaid,
    /// A nonce of a lane without a record, or one recorded beyond the lane's end.
    SlotGap,
    /// A nonce that was taken without anything signed for it on record.
    SlotWithoutBytes,
    /// A nonce that the chain has spent and whose transaction is not on record.
    NonceUnaccounted,
    /// A transaction that the chain shows in another block, at another cost, or not at all.
    TransactionDiffers,
    /// A transaction that a signer of ours has paid for and that is not on record.
    TransactionUnknown,
}

impl Kind {
    /// The kind's name, as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConstraintMissing => "constraint_missing",
            Self::EventsIncomplete => "events_incomplete",
            Self::EventAltered => "event_altered",
            Self::EventUnsealed => "event_unsealed",
            Self::EvidenceMissing => "evidence_missing",
            Self::LedgerPayment => "ledger_payment",
            Self::LedgerGas => "ledger_gas",
            Self::NotOnStatement => "not_on_statement",
            Self::NotOnChain => "not_on_chain",
            Self::ElsewhereOnChain => "elsewhere_on_chain",
            Self::FailedButPaid => "failed_but_paid",
            Self::SlotGap => "slot_gap",
            Self::SlotWithoutBytes => "slot_without_bytes",
            Self::NonceUnaccounted => "nonce_unaccounted",
            Self::TransactionDiffers => "transaction_differs",
            Self::TransactionUnknown => "transaction_unknown",
        }
    }
}

/// One disagreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Which payment, lane, transaction or constraint.
    pub subject: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.as_str(), self.subject, self.detail)
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Payments.
    pub payments: u64,
    /// Nonces of lanes.
    pub slots: u64,
}

/// An audit of one database against the chains of these rails.
pub struct Audit<'a> {
    /// The records.
    pub store: &'a Store,
    /// The rails whose payments and lanes are looked at.
    pub rails: &'a [Arc<dyn Rail>],
    /// Which payments.
    pub filter: Filter,
}

impl Audit<'_> {
    /// Looks at everything, tells each disagreement as it is found and, after each page, how far it has come.
    ///
    /// # Errors
    /// Something could not be asked; what was told until then stands.
    pub async fn run(
        &self,
        mut tell: impl FnMut(Finding),
        mut progress: impl FnMut(Extent),
    ) -> Result<Extent, AskFault> {
        let mut extent = Extent::default();
        for name in self.store.audit_constraints().await? {
            tell(finding(
                Kind::ConstraintMissing,
                &name,
                "not in the live schema".to_owned(),
            ));
        }
        let mut after: Option<Cursor> = None;
        loop {
            let page = self.store.payments_list(&self.filter, after.as_ref(), PAGE).await?;
            after = page.next;
            let records = page.into_records();
            let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
            self.payments(records).await?.into_iter().for_each(&mut tell);
            extent.payments = extent.payments.saturating_add(count);
            progress(extent);
            if after.is_none() {
                break;
            }
        }
        for rail in self.served() {
            for (lane, first, next) in self.store.audit_lanes(&rail.id().network).await? {
                self.lane(rail, &lane, first..next, &mut tell, &mut |slots| {
                    extent.slots = extent.slots.saturating_add(slots);
                    progress(extent);
                })
                .await?;
            }
        }
        Ok(extent)
    }

    fn served(&self) -> impl Iterator<Item = &dyn Rail> {
        let is_wanted = |network: &NetworkId| self.filter.network.as_ref().is_none_or(|it| it == network);
        let rails = self.rails.iter().map(|rail| &**rail);
        rails.filter(move |rail| is_wanted(&rail.id().network))
    }

    /// What disagrees about these payments, looked at twice: the second time only what seemed wrong at first.
    async fn payments(&self, records: Vec<Record>) -> Result<Vec<Finding>, AskFault> {
        let suspects: Vec<PaymentId> = self.about(&records).await?.into_iter().map(|(id, _)| id).collect();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let again = self.store.payments_get(&suspects).await?;
        let found = self.about(&again).await?;
        Ok(found.into_iter().map(|(_, finding)| finding).collect())
    }

    async fn about(&self, records: &[Record]) -> Result<Vec<(PaymentId, Finding)>, AskFault> {
        let ids: Vec<PaymentId> = records.iter().map(|record| record.id).collect();
        let around = self.store.audit_surroundings(&ids).await?;
        let mut found = Vec::new();
        for record in records {
            let mut say = |kind: Kind, detail: String| {
                found.push((record.id, finding(kind, &record.id.to_string(), detail)));
            };
            events(record, &around, &mut say);
            evidence(record, &around, &mut say);
            ledger(record, &around, &mut say);
            if around.unstated.contains(&record.id) {
                say(Kind::NotOnStatement, "its day is closed without it".to_owned());
            }
        }
        for rail in self.served() {
            let network = &rail.id().network;
            let of_rail: Vec<&Record> = records.iter().filter(|it| it.network == *network).collect();
            let looked_for = of_rail.iter().filter_map(|record| watched(record)).collect::<Vec<_>>();
            if looked_for.is_empty() {
                continue;
            }
            let watched: Vec<Watched<'_>> = looked_for.iter().map(|(watched, _)| *watched).collect();
            let sighting = rail.observe(&watched, &[]).await?;
            for (watched, record) in looked_for {
                let seen = sighting.payments.get(&watched.payment);
                if let Some((kind, detail)) = on_chain(record, seen) {
                    found.push((record.id, finding(kind, &record.id.to_string(), detail)));
                }
            }
        }
        Ok(found)
    }

    /// What disagrees about a lane: its own numbering, and what the chain has of its transactions.
    async fn lane(
        &self,
        rail: &dyn Rail,
        lane: &LaneId,
        nonces: std::ops::Range<u64>,
        tell: &mut impl FnMut(Finding),
        progress: &mut impl FnMut(u64),
    ) -> Result<(), AskFault> {
        let is_ours = rail.lanes().contains(lane);
        let spent = if is_ours { rail.lane_spent(lane).await? } else { None };
        if let Some(chains) = if is_ours { rail.lane_nonce(lane).await? } else { None }
            && chains > nonces.end
        {
            let detail = format!("the chain's next nonce is {chains}, ours is {}", nonces.end);
            tell(finding(Kind::TransactionUnknown, &lane.to_string(), detail));
        }
        let mut from = nonces.start;
        let mut known = HashSet::new();
        while from < nonces.end {
            let slots = self.store.audit_slots(lane, from, u32::from(PAGE)).await?;
            let until = from.saturating_add(u64::from(PAGE)).min(nonces.end);
            numbering(lane, from..until, &slots, spent, tell);
            let txs: Vec<TxId> = slots
                .iter()
                .flat_map(|slot| &slot.txs)
                .map(|it| it.tx.clone())
                .collect();
            let sighting = rail.observe(&[], &txs).await?;
            transactions(&slots, &sighting, tell);
            known.extend(txs);
            progress(until.saturating_sub(from));
            from = until;
        }
        if is_ours {
            for tx in rail.lane_strangers(lane, &|tx| known.contains(tx)).await? {
                let detail = format!("{lane} has paid for it, and it is not on record");
                tell(finding(Kind::TransactionUnknown, &tx.to_string(), detail));
            }
        }
        Ok(())
    }
}

fn finding(kind: Kind, subject: &str, detail: String) -> Finding {
    Finding {
        kind,
        subject: subject.to_owned(),
        detail,
    }
}

/// The payment's history: one event for each version, the last in the present state, each with what was written then.
fn events(record: &Record, around: &Surroundings, say: &mut impl FnMut(Kind, String)) {
    let events = around.events.get(&record.id).map(Vec::as_slice).unwrap_or_default();
    let versions: Vec<i64> = events.iter().map(|it| it.version).collect();
    let last = events.last().map(|it| it.state.as_str());
    let state = record.settlement.state().as_str();
    if !versions.iter().copied().eq(0..=record.version) || last != Some(state) {
        let last = last.unwrap_or("nothing");
        let detail = format!(
            "version {} and {state} on record, events {versions:?} that end with {last}",
            record.version
        );
        say(Kind::EventsIncomplete, detail);
    }
    for it in events.iter().filter(|it| it.seal == SealSeen::Broken) {
        say(
            Kind::EventAltered,
            format!("the event of version {} is not what was written", it.version),
        );
    }
    let sealed = events.iter().position(|it| it.seal != SealSeen::Absent);
    for it in events
        .iter()
        .skip(sealed.unwrap_or(events.len()))
        .filter(|it| it.seal == SealSeen::Absent)
    {
        say(
            Kind::EventUnsealed,
            format!("the event of version {} has no seal", it.version),
        );
    }
}

fn evidence(record: &Record, around: &Surroundings, say: &mut impl FnMut(Kind, String)) {
    let Some(landed) = record.settlement.landed() else {
        return;
    };
    let index = i64::try_from(landed.log_index).unwrap_or(-1);
    let kept = around.evidence.get(&record.id).map(Vec::as_slice).unwrap_or_default();
    let is_kept = kept
        .iter()
        .any(|(tx, log_index, block)| *tx == landed.tx && *log_index == index && *block == landed.block.hash);
    if !is_kept {
        say(Kind::EvidenceMissing, format!("no evidence of {} on record", landed.tx));
    }
}

fn ledger(record: &Record, around: &Surroundings, say: &mut impl FnMut(Kind, String)) {
    let movements = around.movements.get(&record.id).map(Vec::as_slice).unwrap_or_default();
    let (money, gas): (Vec<&Movement>, Vec<&Movement>) = movements.iter().partition(|it| it.purpose == "payment");
    let count = |stage: &str| money.iter().filter(|it| it.stage == stage).count();
    let open = money
        .iter()
        .filter(|it| it.stage == "pending" && !it.is_resolved)
        .count();
    let state = record.settlement.state();
    let expected = (
        usize::from(state == State::Confirmed),
        usize::from(state == State::Final),
    );
    let paid = &record.authorization;
    let [debit, credit] = sides(paid, &record.references);
    let is_right =
        |it: &&Movement| it.debit == debit && it.credit == credit && it.asset == paid.asset && it.amount == paid.amount;
    if (open, count("posted")) != expected || !money.iter().all(is_right) {
        let detail = format!(
            "{} with {open} open and {} posted movements of its money",
            state.as_str(),
            count("posted")
        );
        say(Kind::LedgerPayment, detail);
    }
    if !matches!(state, State::Final | State::Failed) {
        return;
    }
    // What was posted too much is moved back: it is on the other side of the sum.
    let (mut posted, mut costs): (BTreeMap<&str, Amount>, BTreeMap<&str, Amount>) = Default::default();
    let add = |side: &mut BTreeMap<_, _>, signer, amount: Amount| {
        let sum = side.entry(signer).or_insert(Amount::ZERO);
        *sum = sum.checked_add(amount).unwrap_or(*sum);
    };
    for it in gas {
        match it.credit.strip_prefix("signer:") {
            Some(signer) => add(&mut posted, signer, it.amount),
            None => add(&mut costs, it.debit.trim_start_matches("signer:"), it.amount),
        }
    }
    let spent = around.costs.get(&record.id).into_iter().flatten();
    for (signer, cost) in spent.filter(|(_, cost)| **cost > Amount::ZERO) {
        add(&mut costs, signer, *cost);
    }
    if posted != costs {
        say(
            Kind::LedgerGas,
            format!("posted {posted:?}, its transactions cost and was moved back {costs:?}"),
        );
    }
}

/// How to look for the payment on the chain, where the record says anything that the chain must bear out.
fn watched(record: &Record) -> Option<(Watched<'_>, &Record)> {
    let (txs, seek) = match &record.settlement {
        Settlement::Confirmed { landed, .. } | Settlement::Final { landed } => {
            (std::slice::from_ref(&landed.tx), false)
        }
        Settlement::Failed { .. } => (record.txs.as_slice(), true),
        Settlement::Reserved | Settlement::InFlight { .. } | Settlement::Withdrawn => return None,
    };
    let watched = Watched {
        payment: record.id,
        authorization: &record.authorization,
        txs,
        landed: None,
        since_height: record.since_height,
        seek,
    };
    Some((watched, record))
}

/// What the chain says against the record. Where it was not asked what matters, nothing.
fn on_chain(record: &Record, seen: Option<&Observation>) -> Option<(Kind, String)> {
    match (record.settlement.landed(), seen?) {
        (Some(landed), Observation::Landed(seen)) => {
            let is_there =
                seen.tx == landed.tx && seen.log_index == landed.log_index && seen.block.hash == landed.block.hash;
            let detail = || {
                format!(
                    "recorded in {} at {} of block {}, seen in {} at {} of block {}",
                    landed.tx, landed.log_index, landed.block.hash, seen.tx, seen.log_index, seen.block.hash
                )
            };
            (!is_there).then(|| (Kind::ElsewhereOnChain, detail()))
        }
        (Some(landed), _) => Some((Kind::NotOnChain, format!("{} does not pay it", landed.tx))),
        (None, Observation::Landed(seen)) => Some((Kind::FailedButPaid, format!("{} paid it", seen.tx))),
        (None, _) => None,
    }
}

/// The lane's slots are numbered without gaps, each has bytes unless somebody else spent it, and none is open that a
/// finalized block shows as spent.
fn numbering(
    lane: &LaneId,
    nonces: std::ops::Range<u64>,
    slots: &[SlotSeen],
    spent: Option<u64>,
    tell: &mut impl FnMut(Finding),
) {
    for nonce in nonces {
        let place = format!("{lane}, nonce {nonce}");
        let Some(slot) = slots.iter().find(|it| it.nonce == nonce) else {
            tell(finding(Kind::SlotGap, &place, "not on record".to_owned()));
            continue;
        };
        let by = slot.consumed_by.as_deref();
        if slot.txs.is_empty() && by != Some(FOREIGN) {
            tell(finding(
                Kind::SlotWithoutBytes,
                &place,
                "nothing signed for it on record".to_owned(),
            ));
        }
        let is_known = by.is_some_and(|by| by == FOREIGN || slot.txs.iter().any(|it| it.tx.0 == by));
        if spent.is_some_and(|spent| nonce < spent) && !is_known {
            let detail = format!("spent for good, on record as {}", by.unwrap_or("open"));
            tell(finding(Kind::NonceUnaccounted, &place, detail));
        }
    }
}

/// Our transactions stand where the record says, at the cost that it says.
fn transactions(slots: &[SlotSeen], sighting: &Sighting, tell: &mut impl FnMut(Finding)) {
    let mined: HashMap<&TxId, (&str, Amount)> = sighting
        .mined
        .iter()
        .map(|it| (&it.tx, (it.block.hash.as_str(), it.cost)))
        .collect();
    for it in slots.iter().flat_map(|slot| &slot.txs) {
        let seen = mined.get(&it.tx);
        let recorded = it.mined.as_ref().map(|(block, cost)| (block.as_str(), *cost));
        // What is not recorded as mined yet may have been mined a moment ago.
        if recorded.is_some() && seen.copied() != recorded {
            let words = |it: Option<(&str, Amount)>| {
                it.map_or("not mined".to_owned(), |(block, cost)| {
                    format!("in block {block} for {cost}")
                })
            };
            let detail = format!("recorded {}, seen {}", words(recorded), words(seen.copied()));
            tell(finding(Kind::TransactionDiffers, &it.tx.to_string(), detail));
        }
    }
}
