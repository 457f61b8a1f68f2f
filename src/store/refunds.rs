//! Refunds: what was asked, where each stands, and which transfer paid it. How much of a payment is refunded in all is a
//! row of its own, which its constraint keeps within the payment whoever writes at the same time.

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::notices::{self, Notice, Whose};
use super::refund_matching::{PaidWith, cleared};
use super::rows::{OutOfPlace, amount, network as network_of, signed, unsigned};
use super::tenants::name_within;
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::amount::Amount;
use crate::domain::event::{REFUND_CANCELLED, REFUND_CREATED};
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::refund::{Asked, Note, PaidBy, Stage};
use crate::domain::tenant::TenantId;
use crate::domain::time::Timestamp;

/// `refunds!("where …")`: the statement that reads [`RefundRow`]s of `refunds r`.
macro_rules! refunds {
    ($($tail:expr),+) => {
        concat!(
            "select r.id, r.tenant, r.payment_id, r.network, r.asset, r.pay_to, r.recipient, r.amount::text as amount, r.reason,
                r.merchant_reference, r.claimed_tx, r.wallet, r.settles_after, r.state, r.attempts, r.is_out, r.problem,
                r.paid_tx, r.paid_log_index, r.paid_height, r.paid_hash, r.paid_time, r.created_at, r.ended_at,
                (select p.id from refund_attempts a join payments p on p.key = a.key
                    where a.refund_id = r.id and a.attempt = r.attempts) as settlement
            from refunds r ",
            $($tail),+
        )
    };
}
pub(super) use refunds;

statements! {
    RECORD = "insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount,
            reason, merchant_reference, claimed_tx, wallet, settles_after, state, created_at, tenant)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::numeric, $10, $11, $12, $13, $14, $15, now(), $16)
        on conflict (idempotency_key) do nothing returning created_at";
    RAISE = "insert into refund_totals (payment_id, amount, recorded, paid)
        values ($1, $2::text::numeric, $3::text::numeric, 0)
        on conflict (payment_id) do update set recorded = refund_totals.recorded + excluded.recorded";
    LOWER = "update refund_totals set recorded = recorded - $2::text::numeric where payment_id = $1";
    BY_ID = refunds!("where r.id = $1 and ($2::uuid is null or r.tenant = $2)");
    BY_KEY = "select id, digest from refunds where idempotency_key = $1";
    LIST = refunds!("where r.id > $1 and ($2::text is null or r.state = $2) and ($3::text is null or r.network = $3)
            and ($4::text is null or r.pay_to = $4) and ($6::uuid is null or r.tenant = $6) order by r.id limit $5");
    OF_PAYMENT = refunds!("where r.payment_id = $7 and r.id > $1 and ($2::text is null or r.state = $2)
            and ($3::text is null or r.network = $3) and ($4::text is null or r.pay_to = $4)
            and ($6::uuid is null or r.tenant = $6) order by r.id limit $5");
    CANCEL = "update refunds set state = 'cancelled', ended_at = now(), problem = null
        where id = $1 and state in ('awaiting', 'executing') and not is_out and ($2::uuid is null or tenant = $2)";
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Our name for it.
    pub id: RefundId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The payment that is refunded.
    pub payment: PaymentId,
    /// The network.
    pub network: NetworkId,
    /// The asset.
    pub asset: String,
    /// The payment's recipient.
    pub pay_to: String,
    /// Who gets it: the payment's payer.
    pub recipient: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// Why.
    pub reason: Option<String>,
    /// The merchant's own name for it.
    pub merchant_reference: Option<String>,
    /// The transaction that the merchant says pays it.
    pub claimed: Option<TxId>,
    /// The wallet that pays it, where we execute it.
    pub wallet: Option<String>,
    /// The height of the payment's own block.
    pub after: u64,
    /// Where it stands.
    pub stage: Stage,
    /// How many payments were signed to pay it.
    pub attempts: u64,
    /// The last of them may still pay it.
    pub is_out: bool,
    /// What stands in its way, in words for an operator.
    pub problem: Option<String>,
    /// The transfer that pays it.
    pub paid: Option<PaidWith>,
    /// The last of the payments that were to pay it, once that is on record.
    pub settlement: Option<PaymentId>,
    /// When it was recorded, on the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was paid, cancelled or failed.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Refund {
    /// The refund as it was when it was recorded: what the same request is answered for ever.
    #[must_use]
    pub fn as_recorded(self) -> Self {
        Self {
            stage: if self.wallet.is_some() {
                Stage::Executing
            } else {
                Stage::Awaiting
            },
            attempts: 0,
            is_out: false,
            problem: None,
            paid: None,
            settlement: None,
            ended_at: None,
            ..self
        }
    }

    pub(super) fn notice(&self, kind: &'static str) -> Notice {
        Notice {
            kind,
            subject: self.id.to_string(),
            whose: Whose::Of(self.tenant),
            data: json!({
                "refund": self.id,
                "payment": self.payment,
                "state": self.stage.as_str(),
                "network": self.network.as_str(),
                "asset": self.asset,
                "payTo": self.pay_to,
                "recipient": self.recipient,
                "amount": self.amount.to_string(),
                "transaction": self.paid.as_ref().map(|it| &it.tx.0),
                "reason": self.reason,
                "merchantReference": self.merchant_reference,
            }),
        }
    }
}

/// A refund to put on record.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Its name, minted by the caller.
    pub id: RefundId,
    /// Whose it is: the payment's.
    pub tenant: TenantId,
    /// The caller's name for the request.
    pub key: String,
    /// What is asked.
    pub asked: Asked,
    /// The payment's network.
    pub network: NetworkId,
    /// Its asset.
    pub asset: String,
    /// Its recipient.
    pub pay_to: String,
    /// Its payer.
    pub recipient: String,
    /// Its amount.
    pub payment_amount: Amount,
    /// The height of its block.
    pub after: u64,
    /// The wallet that pays, where we execute it.
    pub wallet: Option<String>,
}

/// What became of recording a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// This call put it on record.
    New(Refund),
    /// The same request did before.
    Seen(Refund),
    /// The key belongs to another request; nothing was written.
    KeyTaken,
    /// All refunds together would be more than the payment; nothing was written.
    Exceeds,
}

/// What became of taking a refund back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled, by this call or an earlier one.
    Done(Box<Refund>),
    /// It is under way, paid or failed.
    Refused,
}

/// Which refunds to list: those that meet every condition named.
#[derive(Debug, Clone, Default)]
pub struct RefundFilter {
    /// Of this payment.
    pub payment: Option<PaymentId>,
    /// In this stage.
    pub stage: Option<Stage>,
    /// On this network.
    pub network: Option<NetworkId>,
    /// Of payments to this recipient, in the rail's canonical text.
    pub pay_to: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct RefundRow {
    id: Uuid,
    tenant: Uuid,
    payment_id: Uuid,
    network: String,
    asset: String,
    pay_to: String,
    recipient: String,
    amount: String,
    reason: Option<String>,
    merchant_reference: Option<String>,
    claimed_tx: Option<String>,
    wallet: Option<String>,
    settles_after: i64,
    state: String,
    attempts: i64,
    is_out: bool,
    problem: Option<String>,
    paid_tx: Option<String>,
    paid_log_index: Option<i64>,
    paid_height: Option<i64>,
    paid_hash: Option<String>,
    paid_time: Option<i64>,
    settlement: Option<Uuid>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl RefundRow {
    fn read(self) -> Result<Refund, OutOfPlace> {
        let paid = match (
            self.paid_tx,
            self.paid_log_index,
            self.paid_height,
            self.paid_hash,
            self.paid_time,
        ) {
            (Some(tx), Some(index), Some(height), Some(hash), Some(time)) => Some(PaidWith {
                tx: TxId(tx),
                log_index: unsigned("paid_log_index", index)?,
                block: ChainPoint {
                    height: unsigned("paid_height", height)?,
                    hash,
                    time: Timestamp(unsigned("paid_time", time)?),
                },
            }),
            (None, None, None, None, None) => None,
            _ => return Err(OutOfPlace("paid_tx")),
        };
        Ok(Refund {
            id: RefundId::from_uuid(self.id),
            tenant: TenantId::from_uuid(self.tenant),
            payment: PaymentId::from_uuid(self.payment_id),
            network: network_of(&self.network)?,
            asset: self.asset,
            pay_to: self.pay_to,
            recipient: self.recipient,
            amount: amount("amount", &self.amount)?,
            reason: self.reason,
            merchant_reference: self.merchant_reference,
            claimed: self.claimed_tx.map(TxId),
            wallet: self.wallet,
            after: unsigned("settles_after", self.settles_after)?,
            stage: Stage::named(&self.state).ok_or(OutOfPlace("state"))?,
            attempts: unsigned("attempts", self.attempts)?,
            is_out: self.is_out,
            problem: self.problem,
            paid,
            settlement: self.settlement.map(PaymentId::from_uuid),
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

pub(super) fn read_refunds(operation: &'static str, rows: Vec<RefundRow>) -> Result<Vec<Refund>, StoreFault> {
    let refunds: Result<_, _> = rows.into_iter().map(RefundRow::read).collect();
    refunds.map_err(OutOfPlace::during(operation))
}

impl Store {
    /// Puts a refund on record, once for its key, and within the payment's amount.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat with the same key.
    pub async fn refund_record(&self, new: &NewRefund) -> Result<Recorded, StoreFault> {
        let operation = "refund_record";
        match self.refund_insert(new).await {
            Ok(Some(refund)) => {
                self.ring();
                return Ok(Recorded::New(refund));
            }
            Err(fault) if fault.constraint() == Some("refund_totals_within_payment") => return Ok(Recorded::Exceeds),
            Err(fault) => return Err(fault),
            Ok(None) => {}
        }
        let taken = self.refund_named(new.tenant, &new.key).await?;
        taken
            .map(|(refund, digest)| {
                if digest == new.asked.digest() {
                    Recorded::Seen(refund)
                } else {
                    Recorded::KeyTaken
                }
            })
            .ok_or(StoreFault::Corrupt {
                operation,
                what: "a refund that is gone",
            })
    }

    /// None when the key is taken.
    async fn refund_insert(&self, new: &NewRefund) -> Result<Option<Refund>, StoreFault> {
        let operation = "refund_record";
        let after = signed("settles_after", new.after).map_err(OutOfPlace::during(operation))?;
        let stage = match new.asked.by {
            PaidBy::Merchant(_) => Stage::Awaiting,
            PaidBy::Us => Stage::Executing,
        };
        let claimed = match &new.asked.by {
            PaidBy::Merchant(claimed) => claimed.as_ref().map(|tx| tx.0.as_str()),
            PaidBy::Us => None,
        };
        let mut transaction = self.begin(operation).await?;
        let recorded: Option<DateTime<Utc>> = sqlx::query_scalar(RECORD)
            .bind(new.id.as_uuid())
            .bind(new.asked.payment.as_uuid())
            .bind(name_within(new.tenant, &new.key))
            .bind(new.asked.digest())
            .bind(new.network.as_str())
            .bind(&new.asset)
            .bind(&new.pay_to)
            .bind(&new.recipient)
            .bind(new.asked.amount.to_string())
            .bind(new.asked.reason.as_ref().map(Note::as_str))
            .bind(new.asked.merchant_reference.as_ref().map(Label::as_str))
            .bind(claimed)
            .bind(&new.wallet)
            .bind(after)
            .bind(stage.as_str())
            .bind(new.tenant.as_uuid())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if recorded.is_none() {
            return Ok(None);
        }
        sqlx::query(RAISE)
            .bind(new.asked.payment.as_uuid())
            .bind(new.payment_amount.to_string())
            .bind(new.asked.amount.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let refund = one(&mut transaction, operation, new.id).await?;
        notices::add(&mut transaction, operation, &[refund.notice(REFUND_CREATED)]).await?;
        commit(transaction, operation).await?;
        Ok(Some(refund))
    }

    /// The tenant's refund of this key, and the digest of the request that recorded it.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refund_named(&self, tenant: TenantId, key: &str) -> Result<Option<(Refund, [u8; 32])>, StoreFault> {
        let operation = "refund_named";
        let row: Option<(Uuid, Vec<u8>)> = sqlx::query_as(BY_KEY)
            .bind(name_within(tenant, key))
            .fetch_optional(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        let Some((id, digest)) = row else {
            return Ok(None);
        };
        let digest: Result<[u8; 32], _> = digest.try_into().map_err(|_| OutOfPlace("digest"));
        let digest = digest.map_err(OutOfPlace::during(operation))?;
        Ok(self.refund_get(RefundId::from_uuid(id)).await?.map(|it| (it, digest)))
    }

    /// The refund of this id.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refund_get(&self, id: RefundId) -> Result<Option<Refund>, StoreFault> {
        let operation = "refund_get";
        let row: Option<RefundRow> = sqlx::query_as(BY_ID)
            .bind(id.as_uuid())
            .bind(self.seen())
            .fetch_optional(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        row.map(RefundRow::read)
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// The refunds that the filter lets through, oldest first, from just after this one on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refunds_find(
        &self,
        filter: &RefundFilter,
        after: Option<RefundId>,
        limit: u16,
    ) -> Result<Vec<Refund>, StoreFault> {
        let operation = "refunds_find";
        let of_all = sqlx::query_as(if filter.payment.is_some() { OF_PAYMENT } else { LIST })
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(filter.stage.map(Stage::as_str))
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.pay_to)
            .bind(i64::from(limit))
            .bind(self.seen());
        let asked = match filter.payment {
            Some(payment) => of_all.bind(payment.as_uuid()),
            None => of_all,
        };
        let rows = asked
            .fetch_all(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_refunds(operation, rows)
    }

    /// Takes a refund back while nothing was sent for it; none when there is no such refund.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refund_cancel(&self, id: RefundId) -> Result<Option<Cancelled>, StoreFault> {
        let operation = "refund_cancel";
        let mut transaction = self.begin(operation).await?;
        let done = sqlx::query(CANCEL)
            .bind(id.as_uuid())
            .bind(self.seen())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if done.rows_affected() == 0 {
            drop(transaction);
            return Ok(self.refund_get(id).await?.map(|it| match it.stage {
                Stage::Cancelled => Cancelled::Done(Box::new(it)),
                Stage::Awaiting | Stage::Executing | Stage::Paid | Stage::Failed => Cancelled::Refused,
            }));
        }
        let refund = one(&mut transaction, operation, id).await?;
        lower(&mut transaction, operation, &refund).await?;
        let refunds = std::slice::from_ref(&refund);
        cleared(&mut transaction, operation, refunds, "the refund is cancelled").await?;
        notices::add(&mut transaction, operation, &[refund.notice(REFUND_CANCELLED)]).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(Some(Cancelled::Done(Box::new(refund))))
    }
}

/// The refund that this transaction has just changed.
pub(super) async fn one(
    connection: &mut PgConnection,
    operation: &'static str,
    id: RefundId,
) -> Result<Refund, StoreFault> {
    let row: RefundRow = sqlx::query_as(BY_ID)
        .bind(id.as_uuid())
        .bind(None::<Uuid>)
        .fetch_one(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    row.read().map_err(OutOfPlace::during(operation))
}

/// The refund takes nothing of its payment any more.
pub(super) async fn lower(
    connection: &mut PgConnection,
    operation: &'static str,
    refund: &Refund,
) -> Result<(), StoreFault> {
    sqlx::query(LOWER)
        .bind(refund.payment.as_uuid())
        .bind(refund.amount.to_string())
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}
