//! Which transfers pay which refunds, as far as the records know.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::notices::{self, Notice};
use super::refunds::{Refund, RefundRow, read_refunds, refunds};
use super::rows::{OutOfPlace, amount, signed, unsigned};
use super::watching::TransferRow;
use super::{Store, StoreFault, commit};
use crate::domain::event::REFUND_PAID;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::reconciliation::Transfer;
use crate::domain::refund::Awaited;
use crate::domain::settlement::Landed;

/// `pairs!("and …")`: the refunds that wait for the merchant to pay them, each with the debits of its account that the
/// condition lets through and that pay nothing else.
macro_rules! pairs {
    ($condition:expr) => {
        concat!(
            "select r.id, r.recipient, r.amount::text as expected, r.claimed_tx, r.settles_after, o.tx, o.log_index,
                o.direction, o.asset, o.holder, o.counterparty, o.amount::text as amount, o.block_height, o.block_hash,
                o.block_time, o.authorizer, o.nonce, o.memo, o.sender
            from refunds r cross join lateral (
                select * from observed_transfers d
                where d.network = r.network and d.asset = r.asset and d.holder = r.pay_to and d.direction = 'debit' ",
            $condition,
            " and not exists (select 1 from refunds m
                    where m.network = d.network and m.paid_tx = d.tx and m.paid_log_index = d.log_index)
                and not exists (select 1 from refund_attempts a where a.nonce = d.nonce)
                order by d.block_height, d.log_index limit 20
            ) o
            where r.network = $1 and r.state = 'awaiting' and r.id > $2
            order by r.id, o.block_height, o.log_index limit $3"
        )
    };
}

statements! {
    PAID_IN_ALL = "update refund_totals t set paid = t.paid + n.amount::numeric
        from unnest($1::uuid[], $2::text[]) as n(payment_id, amount) where t.payment_id = n.payment_id";
    PAIRS = pairs!("and r.claimed_tx is null and d.counterparty = r.recipient and d.amount = r.amount
        and d.block_height > r.settles_after");
    CLAIMED_PAIRS = pairs!("and d.tx = r.claimed_tx");
    PAY = "update refunds r set state = 'paid', ended_at = now(), problem = null, is_out = false, paid_tx = n.tx,
            paid_log_index = n.log_index, paid_height = n.height, paid_hash = n.hash, paid_time = n.time
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
            as n(id, tx, log_index, height, hash, time)
        where r.id = n.id and r.state in ('awaiting', 'executing') returning r.id";
    BY_IDS = refunds!("where r.id = any($1::uuid[]) order by r.id");
    UNPLACED = "select exists (select 1 from refunds
        where network = $1 and state = 'awaiting' and claimed_tx is not null and claim_due is null)";
    PLACE = "update refunds set claim_due = $2
        where network = $1 and state = 'awaiting' and claimed_tx is not null and claim_due is null";
    OVERDUE = refunds!("join watched_accounts w on w.network = r.network and w.asset = r.asset and w.holder = r.pay_to
        where r.network = $1 and r.state = 'awaiting' and r.claim_due <= w.scanned_height and r.problem is null
            and not exists (select 1 from observed_transfers o where o.network = r.network and o.tx = r.claimed_tx
                and o.direction = 'debit' and o.holder = r.pay_to and o.asset = r.asset)
        order by r.id limit $2");
    CLEAR = "update reconciliations set state = 'matched', reason = $2, since = now(), handled = null
        where subject = any($1::text[]) and state <> 'matched'";
    TROUBLE = "update refunds r set problem = n.problem from unnest($1::uuid[], $2::text[]) as n(id, problem)
        where r.id = n.id and r.state in ('awaiting', 'executing') and r.problem is distinct from n.problem";
}

/// Rows that one statement reads.
const PAGE: usize = 1_000;

/// A transfer in a finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidWith {
    /// The transaction.
    pub tx: TxId,
    /// The transfer's place, as [`crate::domain::settlement::Landed::log_index`] counts.
    pub log_index: u64,
    /// The block.
    pub block: ChainPoint,
}

impl From<&Transfer> for PaidWith {
    fn from(transfer: &Transfer) -> Self {
        Self {
            tx: transfer.tx.clone(),
            log_index: transfer.index,
            block: transfer.block.clone(),
        }
    }
}

impl From<Landed> for PaidWith {
    fn from(landed: Landed) -> Self {
        Self {
            tx: landed.tx,
            log_index: landed.log_index,
            block: landed.block,
        }
    }
}

#[derive(sqlx::FromRow)]
struct PairRow {
    id: Uuid,
    recipient: String,
    expected: String,
    claimed_tx: Option<String>,
    settles_after: i64,
    #[sqlx(flatten)]
    transfer: TransferRow,
}

impl PairRow {
    fn read(self) -> Result<(Awaited, Transfer), OutOfPlace> {
        let refund = Awaited {
            id: RefundId::from_uuid(self.id),
            recipient: self.recipient,
            amount: amount("amount", &self.expected)?,
            claimed: self.claimed_tx.map(TxId),
            after: unsigned("settles_after", self.settles_after)?,
        };
        Ok((refund, self.transfer.read()?))
    }
}

impl Store {
    /// Some of the network's refunds that the merchant pays himself, from just after this one on, each with the debits that
    /// may pay it: those with a claim, or those without one. And the refund after which there are more.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn refunds_pairs(
        &self,
        network: &NetworkId,
        are_claimed: bool,
        after: Option<RefundId>,
    ) -> Result<(Vec<(Awaited, Transfer)>, Option<RefundId>), StoreFault> {
        let operation = "refunds_pairs";
        let rows: Vec<PairRow> = sqlx::query_as(if are_claimed { CLAIMED_PAIRS } else { PAIRS })
            .bind(network.as_str())
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let is_full = rows.len() == PAGE;
        let pairs: Result<Vec<_>, _> = rows.into_iter().map(PairRow::read).collect();
        let mut pairs = pairs.map_err(OutOfPlace::during(operation))?;
        let cut = pairs.last().map(|(refund, _)| refund.id).filter(|_| is_full);
        // The last one's debits may not all be there.
        pairs.retain(|(refund, _)| Some(refund.id) != cut);
        let more = pairs.last().map(|(refund, _)| refund.id).filter(|_| is_full);
        Ok((pairs, more))
    }

    /// These refunds are paid by these transfers. Those that are over already stay as they are.
    ///
    /// # Errors
    /// Faults of the store, also where a transfer pays another refund by now; safe to repeat.
    pub async fn refunds_pay(&self, paid: &[(RefundId, PaidWith)]) -> Result<Vec<Refund>, StoreFault> {
        let operation = "refunds_pay";
        if paid.is_empty() {
            return Ok(Vec::new());
        }
        let number = |name, of: fn(&PaidWith) -> u64| {
            let numbers: Result<Vec<_>, _> = paid.iter().map(|(_, it)| signed(name, of(it))).collect();
            numbers.map_err(OutOfPlace::during(operation))
        };
        let mut transaction = self.begin(operation).await?;
        let done: Vec<Uuid> = sqlx::query_scalar(PAY)
            .bind(paid.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>())
            .bind(paid.iter().map(|(_, it)| it.tx.0.as_str()).collect::<Vec<_>>())
            .bind(number("paid_log_index", |it| it.log_index)?)
            .bind(number("paid_height", |it| it.block.height)?)
            .bind(paid.iter().map(|(_, it)| it.block.hash.as_str()).collect::<Vec<_>>())
            .bind(number("paid_time", |it| it.block.time.0)?)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let rows: Vec<RefundRow> = sqlx::query_as(BY_IDS)
            .bind(&done)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let refunds = read_refunds(operation, rows)?;
        let mut sums: BTreeMap<PaymentId, u128> = BTreeMap::new();
        for refund in &refunds {
            let sum = sums.entry(refund.payment).or_default();
            *sum = sum.saturating_add(refund.amount.units());
        }
        sqlx::query(PAID_IN_ALL)
            .bind(sums.keys().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .bind(sums.values().map(u128::to_string).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        cleared(&mut transaction, operation, &refunds, "the refund is paid").await?;
        let told: Vec<Notice> = refunds.iter().map(|it| it.notice(REFUND_PAID)).collect();
        notices::add(&mut transaction, operation, &told).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(refunds)
    }

    /// Whether the network has claims of which it is not on record up to which block they are waited for.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refund_claims_unplaced(&self, network: &NetworkId) -> Result<bool, StoreFault> {
        sqlx::query_scalar(UNPLACED)
            .bind(network.as_str())
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading("refund_claims_unplaced"))
    }

    /// Waits for what those claims name up to this block.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refund_claims_place(&self, network: &NetworkId, height: u64) -> Result<(), StoreFault> {
        let operation = "refund_claims_place";
        let height = signed("claim_due", height).map_err(OutOfPlace::during(operation))?;
        let mut connection = self.connection(operation).await?;
        sqlx::query(PLACE)
            .bind(network.as_str())
            .bind(height)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Refunds whose claimed transaction has not moved anything out of the account, though all blocks in which it is waited
    /// for are read; those of which nothing is said yet, some of them.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refund_claims_overdue(&self, network: &NetworkId) -> Result<Vec<Refund>, StoreFault> {
        let operation = "refund_claims_overdue";
        let rows = sqlx::query_as(OVERDUE)
            .bind(network.as_str())
            .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_refunds(operation, rows)
    }

    /// Keeps what stands in the way of these refunds; none where nothing does any more.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refunds_trouble(&self, problems: &[(RefundId, Option<String>)]) -> Result<(), StoreFault> {
        let operation = "refunds_trouble";
        if problems.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection(operation).await?;
        sqlx::query(TROUBLE)
            .bind(problems.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>())
            .bind(problems.iter().map(|(_, it)| it.as_deref()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The refunds of these ids.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refunds_get(&self, ids: &[RefundId]) -> Result<Vec<Refund>, StoreFault> {
        let operation = "refunds_get";
        let rows = sqlx::query_as(BY_IDS)
            .bind(ids.iter().map(RefundId::as_uuid).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_refunds(operation, rows)
    }
}

/// Nothing is to be looked at any more of these refunds.
pub(super) async fn cleared(
    connection: &mut PgConnection,
    operation: &'static str,
    refunds: &[Refund],
    reason: &str,
) -> Result<(), StoreFault> {
    sqlx::query(CLEAR)
        .bind(refunds.iter().map(|it| it.id.to_string()).collect::<Vec<_>>())
        .bind(reason)
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}
