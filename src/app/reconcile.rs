//! Follows the chain for every account that was ever paid through us, and holds its transfers and the records against one
//! another.
//!
//! Only finalized blocks are read, each account's in order; how far is on record only once everything that follows from
//! them is, so that a step that was cut short is taken again, and two processes that take the same one do no harm.

mod doubt;
mod passage;
mod refunds;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::passage::Passage;
use crate::app::AskFault;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::lease::ProcessId;
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::reconciliation::{Account, Claim, Direction, Scan, State, Transfer, imbalance, stray};
use crate::domain::refund::Purpose;
use crate::store::{Cursor, Filter, Followed, Judged, Record, Store, StoreFault};
use crate::task::{Tasks, guarded};

/// The most accounts that are read together.
pub const ACCOUNTS_MAX: usize = 50;

/// How many blocks apart the accounts may be that are read together: what some have read already is read again for them.
const APART_MAX: u64 = 500;

/// How many payments are looked at together.
const PAGE: u16 = 500;

/// Payments younger than this are not taken in yet: one that was begun earlier may be committed later, within the session's
/// limits.
const TAKEN_AFTER: Duration = Duration::from_secs(15);

/// How long the scanning of a network is one process's without a word of it.
const TERM: Duration = Duration::from_mins(1);

/// How long a round goes on to read accounts before it sees to the rest: well within its term.
const READING_MAX: Duration = Duration::from_secs(10);

/// The pause between two rounds where there is nothing to catch up with: a block, within these bounds.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Reconciles every rail in the background, until told to stop.
pub fn start(store: &Store, rails: Vec<Arc<dyn Rail>>, tasks: &Tasks) {
    for rail in rails {
        let (store, stop) = (store.clone(), tasks.stop_signal());
        tasks.spawn("reconcile", async move { run(&store, &*rail, &stop).await });
    }
}

async fn run(store: &Store, rail: &dyn Rail, stop: &CancellationToken) {
    let reconciliation = Reconciliation { store, rail };
    let (me, mut after) = (ProcessId::mint(), None);
    let pause = rail.pace().block_time.clamp(PAUSE_MIN, PAUSE_MAX);
    loop {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = guarded(reconciliation.round(me, &mut after)) => done,
        };
        let is_behind = match done {
            Some(Ok(is_behind)) => is_behind,
            Some(Err(fault)) => {
                tracing::warn!(rail.id = %rail.id(), error = %fault, "could not reconcile");
                false
            }
            None => false,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if is_behind { Duration::ZERO } else { pause }) => {}
        }
    }
}

/// The reconciliation of one network's records with its chain.
#[derive(Clone, Copy)]
pub struct Reconciliation<'a> {
    /// The records.
    pub store: &'a Store,
    /// The chain.
    pub rail: &'a dyn Rail,
}

impl Reconciliation<'_> {
    fn network(&self) -> &NetworkId {
        &self.rail.id().network
    }

    /// What there is to do now, some of each: new payments, blocks, payments that could not be compared before. True when
    /// there is more.
    async fn round(&self, me: ProcessId, after: &mut Option<PaymentId>) -> Result<bool, AskFault> {
        if !self.store.scan_lease(self.network(), me, TERM).await? {
            return Ok(false);
        }
        let finalized = self.rail.finalized().await?;
        let has_more = self.take_in(finalized).await?;
        let began = Instant::now();
        while self.step(finalized).await?.is_some() && began.elapsed() < READING_MAX {}
        let pending = self.store.reconciliations_pending(self.network(), *after, PAGE).await?;
        *after = pending.last().copied();
        self.review(&self.store.payments_get(&pending).await?).await?;
        self.repaid().await?;
        self.claims().await?;
        let lag = self.lag(finalized).await?;
        self.tell(lag).await?;
        Ok(has_more || lag > 0)
    }

    /// Takes the next payments in; true when there are more.
    async fn take_in(&self, finalized: u64) -> Result<bool, AskFault> {
        let Some((taken, until)) = self.store.scan_taken(self.network(), TAKEN_AFTER).await? else {
            return Ok(false);
        };
        let filter = Filter {
            network: Some(self.network().clone()),
            created_before: Some(until),
            ..Filter::default()
        };
        let page = self.store.payments_list(&filter, Some(&taken), PAGE).await?;
        let next = page.next;
        let records = page.into_records();
        if !records.is_empty() {
            self.watch(&records, finalized).await?;
            self.review(&records).await?;
        }
        // Also where there are none, so that the payments of other networks are not searched through again.
        let place = next.unwrap_or_else(|| Cursor::before(until)).max(taken);
        self.store.scan_take(self.network(), &place).await?;
        Ok(next.is_some())
    }

    async fn watch(&self, records: &[Record], finalized: u64) -> Result<(), AskFault> {
        let ids: Vec<PaymentId> = records.iter().map(|it| it.id).collect();
        Ok(self.store.accounts_watch(&ids, finalized.saturating_add(1)).await?)
    }

    /// Everything: follows all accounts of the network up to the newest finalized block, or reads these blocks once more,
    /// and compares every record. Tells after each step how many payments were compared and up to which block was read.
    ///
    /// # Errors
    /// Something could not be asked; what was found until then is on record.
    pub async fn whole(
        &self,
        again: Option<(u64, Option<u64>)>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), AskFault> {
        let finalized = self.rail.finalized().await?;
        self.pages(async |page| self.watch(&page, finalized).await).await?;
        while let Some(until) = self.step(finalized).await? {
            progress(0, until);
        }
        if let Some((from, to)) = again {
            let followed = self.followed().await?;
            let to = to.unwrap_or(finalized).min(finalized);
            for some in followed.chunks(ACCOUNTS_MAX) {
                let mut next = from;
                while next <= to {
                    let until = self.read(some, next..=to, false).await?;
                    progress(0, until);
                    next = until.saturating_add(1);
                }
            }
        }
        let mut compared: u64 = 0;
        self.pages(async |records| {
            self.review(&records).await?;
            compared = compared.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
            progress(compared, finalized);
            Ok(())
        })
        .await?;
        self.repaid().await?;
        self.claims().await
    }

    /// Every payment of the network, page by page.
    async fn pages(&self, mut each: impl AsyncFnMut(Vec<Record>) -> Result<(), AskFault>) -> Result<(), AskFault> {
        let filter = Filter {
            network: Some(self.network().clone()),
            ..Filter::default()
        };
        let mut after: Option<Cursor> = None;
        loop {
            let page = self.store.payments_list(&filter, after.as_ref(), PAGE).await?;
            after = page.next;
            each(page.into_records()).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads the next blocks of the accounts that are the furthest behind: up to which block. None when all are read.
    async fn step(&self, finalized: u64) -> Result<Option<u64>, AskFault> {
        let mut behind = self.behind(finalized, ACCOUNTS_MAX).await?;
        let Some(from) = behind.first().map(|it| it.scanned.end) else {
            return Ok(None);
        };
        behind.retain(|it| it.scanned.end.saturating_sub(from) <= APART_MAX);
        Ok(Some(self.read(&behind, from..=finalized, true).await?))
    }

    /// How many blocks up to this one are not read of every account.
    async fn lag(&self, finalized: u64) -> Result<u64, StoreFault> {
        let behind = self.behind(finalized, 1).await?;
        let next = behind.first().map(|it| it.scanned.end);
        Ok(next.map_or(0, |next| finalized.saturating_add(1).saturating_sub(next)))
    }

    /// Some of the accounts that the rail can read now and that are not read up to this block, the furthest behind first,
    /// at most `limit`.
    async fn behind(&self, height: u64, limit: usize) -> Result<Vec<Followed>, StoreFault> {
        let mut unreadable = Vec::new();
        loop {
            let behind = self
                .store
                .accounts_behind(self.network(), height, &unreadable, limit)
                .await?;
            let others = behind.iter().filter(|it| !self.rail.reads(&it.account));
            let others: BTreeSet<&String> = others.map(|it| &it.account.asset).collect();
            if others.is_empty() {
                return Ok(behind);
            }
            unreadable.extend(others.into_iter().cloned());
        }
    }

    /// Whether every account that is followed and that the rail can read is read up to this block.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn is_read(&self, height: u64) -> Result<bool, StoreFault> {
        Ok(self.behind(height, 1).await?.is_empty())
    }

    /// The accounts that the rail can read now.
    async fn followed(&self) -> Result<Vec<Followed>, AskFault> {
        let mut followed = self.store.accounts_watched(self.network()).await?;
        followed.retain(|it| self.rail.reads(&it.account));
        Ok(followed)
    }

    /// Reads some blocks of these accounts and puts all that follows on record. Where they are the accounts' next, what an
    /// account has read before does not count for it, and how far each is read then goes on record last.
    async fn read(&self, followed: &[Followed], blocks: RangeInclusive<u64>, are_next: bool) -> Result<u64, AskFault> {
        let accounts: Vec<Account> = followed.iter().map(|it| it.account.clone()).collect();
        let from = *blocks.start();
        let Scan {
            until,
            transfers,
            balances,
        } = self.rail.scan(&accounts, blocks).await?;
        let mut of_account: HashMap<Account, Vec<Transfer>> = HashMap::new();
        for transfer in transfers {
            of_account.entry(transfer.account.clone()).or_default().push(transfer);
        }
        let seen = followed.iter().zip(balances);
        let reached = seen.filter(|(it, _)| !are_next || it.scanned.end <= until);
        let passages = reached.map(|(it, held)| {
            let transfers = of_account.remove(&it.account).unwrap_or_default();
            if are_next {
                Passage::next(it, from, held, transfers)
            } else {
                Passage::again(it, from, held, transfers)
            }
        });
        let passages: Vec<Passage<'_>> = passages.collect();
        let transfers: Vec<&Transfer> = passages.iter().flat_map(Passage::news).collect();
        self.store.transfers_observe(self.network(), &transfers).await?;
        self.weigh(&passages, until).await?;
        let wallets = passages.iter().filter(|it| it.of.is_wallet);
        let wallets: HashSet<&Account> = wallets.map(|it| &it.of.account).collect();
        self.meet(&transfers, &wallets).await?;
        // Before they count as read: no statement is closed without the refunds that are among its debits.
        if transfers.iter().any(|it| it.direction == Direction::Debit) {
            self.repaid().await?;
        }
        if are_next {
            let read: Vec<(&Followed, Option<Amount>)> = passages.iter().map(|it| (it.of, it.held.after)).collect();
            self.store.accounts_scanned(self.network(), &read, until).await?;
        }
        Ok(until)
    }

    /// Holds what the accounts hold against their transfers.
    async fn weigh(&self, passages: &[Passage<'_>], until: u64) -> Result<(), AskFault> {
        let judge = |passage: &Passage<'_>| {
            let blocks = passage.held_since..=until;
            let (amount, verdict) = imbalance(&blocks, passage.held, passage.weighed())?;
            let (network, Account { asset, holder }) = (self.network(), &passage.of.account);
            Some(Judged {
                // By where it begins, so that a step that is taken again has one name for it, up to wherever it reads then.
                subject: format!("{network}/{asset}/{holder}/{}", blocks.start()),
                payment: None,
                asset: asset.clone(),
                pay_to: holder.clone(),
                amount,
                verdict,
                at: None,
            })
        };
        let judged: Vec<Judged> = passages.iter().filter_map(judge).collect();
        Ok(self.store.reconciliations_judge(self.network(), &judged).await?)
    }

    /// Finds the records that the transfers belong to, and compares those again. What comes into a wallet that refunds are
    /// paid from needs no record.
    async fn meet(&self, transfers: &[&Transfer], wallets: &HashSet<&Account>) -> Result<(), AskFault> {
        let credits = transfers.iter().filter(|it| it.direction == Direction::Credit);
        let credits: Vec<&Transfer> = credits.copied().collect();
        if credits.is_empty() {
            return Ok(());
        }
        let nonces: Vec<&str> = credits.iter().filter_map(|it| it.nonce.as_deref()).collect();
        let records = self.store.payments_with_nonces(self.network(), &nonces).await?;
        let mut with_nonce: HashMap<&str, Vec<Claim<'_>>> = HashMap::new();
        for record in &records {
            let of_nonce = with_nonce.entry(record.authorization.nonce.as_str()).or_default();
            of_nonce.push(claim(record, None, None));
        }
        let is_known = |transfer: &Transfer| {
            let claims = transfer.nonce.as_deref().and_then(|it| with_nonce.get(it));
            claims.is_some_and(|claims| claims.iter().any(|it| it.owns(transfer)))
        };
        let (known, strays): (Vec<&Transfer>, Vec<&Transfer>) = credits.into_iter().partition(|it| is_known(it));
        let known: Vec<String> = known.into_iter().map(|it| self.subject(it)).collect();
        self.store.reconciliations_explain(&known).await?;
        let ours: HashSet<&str> = self.rail.lanes().iter().map(|lane| lane.signer.as_str()).collect();
        let judge = |transfer: &Transfer| Judged {
            subject: self.subject(transfer),
            payment: None,
            asset: transfer.account.asset.clone(),
            pay_to: transfer.account.holder.clone(),
            amount: transfer.amount,
            verdict: stray(transfer, |account| ours.contains(account)),
            at: Some((transfer.tx.clone(), transfer.block.height)),
        };
        let strays = strays.into_iter().filter(|it| !wallets.contains(&it.account));
        let strays: Vec<Judged> = strays.map(judge).collect();
        self.store.reconciliations_judge(self.network(), &strays).await?;
        self.review(&records).await
    }

    fn subject(&self, transfer: &Transfer) -> String {
        let (network, holder) = (self.network(), &transfer.account.holder);
        format!("{network}/{}/{}/{holder}", transfer.tx, transfer.index)
    }

    /// Compares these records with the transfers on record.
    async fn review(&self, records: &[Record]) -> Result<(), AskFault> {
        if records.is_empty() {
            return Ok(());
        }
        let nonces: Vec<&str> = records.iter().map(|it| it.authorization.nonce.as_str()).collect();
        let mut with_nonce: HashMap<String, Vec<Transfer>> = HashMap::new();
        for transfer in self.store.transfers_with_nonces(self.network(), &nonces).await? {
            let nonce = transfer.nonce.clone().unwrap_or_default();
            with_nonce.entry(nonce).or_default().push(transfer);
        }
        let ids: Vec<PaymentId> = records.iter().map(|it| it.id).collect();
        let twins: BTreeMap<PaymentId, PaymentId> = self.store.payments_twins(&ids).await?.into_iter().collect();
        let accounts: HashSet<Account> = records.iter().map(watched).collect();
        let accounts: Vec<Account> = accounts.into_iter().collect();
        let followed = self.store.accounts_watched_of(self.network(), &accounts).await?;
        let scanned: HashMap<(&str, &str), &Range<u64>> = followed
            .iter()
            .map(|it| ((it.account.asset.as_str(), it.account.holder.as_str()), &it.scanned))
            .collect();
        let judge = |record: &Record| {
            let paid = &record.authorization;
            let transfers = with_nonce.get(&paid.nonce).map(Vec::as_slice).unwrap_or_default();
            let watched = watched(record);
            let scanned = scanned.get(&(watched.asset.as_str(), watched.holder.as_str())).copied();
            let landed = record.settlement.landed();
            Judged {
                subject: record.id.to_string(),
                payment: Some(record.id),
                asset: paid.asset.clone(),
                pay_to: paid.pay_to.clone(),
                amount: paid.amount,
                verdict: claim(record, twins.get(&record.id).copied(), scanned).judge(transfers),
                at: landed.map(|it| (it.tx.clone(), it.block.height)),
            }
        };
        let mut judged: Vec<Judged> = records.iter().map(judge).collect();
        for (record, judged) in records.iter().zip(&mut judged) {
            let is_missing = judged.verdict.state == State::MissingOnChain;
            if let Some(landed) = record.settlement.landed().filter(|_| is_missing) {
                let claim = claim(record, twins.get(&record.id).copied(), None);
                judged.verdict = self.ask_again(record, claim, landed, judged.verdict.clone()).await?;
            }
        }
        Ok(self.store.reconciliations_judge(self.network(), &judged).await?)
    }

    async fn tell(&self, lag: u64) -> Result<(), AskFault> {
        let network = self.network().to_string();
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        metrics::gauge!("facilitator_reconciliation_lag_blocks", "network" => network.clone()).set(lag);
        let open: HashMap<State, u64> = self.store.exceptions_open(self.network()).await?.into_iter().collect();
        for state in State::ALL.into_iter().filter(|state| state.is_exception()) {
            let count = open.get(&state).copied().unwrap_or_default();
            let labels = [("network", network.clone()), ("state", state.as_str().to_owned())];
            metrics::gauge!("facilitator_reconciliation_exceptions", &labels)
                .set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

fn claim<'a>(record: &'a Record, twin: Option<PaymentId>, scanned: Option<&'a Range<u64>>) -> Claim<'a> {
    Claim {
        authorization: &record.authorization,
        settlement: &record.settlement,
        was_promised: record.granted_at.is_some(),
        twin,
        side: side_of(record),
        scanned,
    }
}

/// The side of its transfer that is watched: the recipient's, or the wallet's that pays a refund.
fn side_of(record: &Record) -> Direction {
    match Purpose::of(&record.references) {
        None => Direction::Credit,
        Some(_) => Direction::Debit,
    }
}

/// The account that is watched for the payment.
fn watched(record: &Record) -> Account {
    let paid = &record.authorization;
    let holder = match side_of(record) {
        Direction::Credit => &paid.pay_to,
        Direction::Debit => &paid.payer,
    };
    Account {
        asset: paid.asset.clone(),
        holder: holder.clone(),
    }
}
