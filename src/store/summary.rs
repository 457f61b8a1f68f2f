//! What a report says of a payment, and the rows that it is put together from.

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::columns::Columns;
use super::entries::Entry;
use super::labels::LabelsRow;
use super::rows::{OutOfPlace, amount, network, reference, unsigned};
use super::{DateTime, Utc};
use crate::domain::amount::Amount;
use crate::domain::authorization::PaymentKey;
use crate::domain::id::PaymentId;
use crate::domain::labels::Labels;
use crate::domain::network::{NetworkId, Scheme};
use crate::domain::rail::TxId;
use crate::domain::reconciliation;
use crate::domain::request::PaymentReference;
use crate::domain::settlement::State;
use crate::domain::time::Timestamp;

/// What a report says of a payment.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Our name for it.
    pub id: PaymentId,
    /// When it was first reserved.
    pub created_at: DateTime<Utc>,
    /// Where its money is.
    pub state: State,
    /// Where it happens.
    pub network: NetworkId,
    /// By which scheme.
    pub scheme: Scheme,
    /// The token.
    pub asset: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// What makes the authorization unique.
    pub nonce: String,
    /// The authorization reference.
    pub key: PaymentKey,
    /// The transaction that landed it, or else the last one that carried it.
    pub tx: Option<TxId>,
    /// Where it landed.
    pub landing: Option<Landing>,
    /// When it was confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it became final.
    pub final_at: Option<DateTime<Utc>>,
    /// What it buys.
    pub resource_url: Option<String>,
    /// The transaction's memo.
    pub memo: Option<String>,
    /// The caller's names for it, in order of kind and value.
    pub references: Vec<PaymentReference>,
    /// The gateway's words for it.
    pub labels: Labels,
    /// How it stands against the chain; none before that was looked at.
    pub reconciliation: Option<reconciliation::State>,
    /// What settling it has cost its signer so far, in the chain's smallest unit; none before it is known.
    pub gas: Option<Amount>,
    /// How much of it has been paid back, in atomic units.
    pub refunded: Amount,
}

/// Where a payment landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landing {
    /// Which of the block's logs, or of the transaction's transfers.
    pub log_index: u64,
    /// The block's height.
    pub height: u64,
    /// The block's time.
    pub time: Timestamp,
}

impl From<Entry> for Summary {
    fn from(entry: Entry) -> Self {
        let record = entry.record;
        let paid = record.authorization;
        let landed = record.settlement.landed();
        let landing = landed.map(|it| Landing {
            log_index: it.log_index,
            height: it.block.height,
            time: it.block.time,
        });
        Self {
            id: record.id,
            created_at: record.created_at,
            state: record.settlement.state(),
            tx: landed.map(|it| it.tx.clone()).or(record.txs.into_iter().next_back()),
            landing,
            network: record.network,
            scheme: record.scheme,
            asset: paid.asset,
            payer: paid.payer,
            pay_to: paid.pay_to,
            amount: paid.amount,
            nonce: paid.nonce,
            key: paid.key,
            confirmed_at: record.confirmed_at,
            final_at: record.final_at,
            resource_url: record.resource_url,
            memo: paid.memo,
            references: record.references,
            labels: record.labels,
            reconciliation: entry.reconciliation,
            gas: entry.gas,
            refunded: entry.refunded,
        }
    }
}

/// What was signed, and the words that came with it.
pub(super) struct Paid {
    pub(super) id: Uuid,
    pub(super) created_at: DateTime<Utc>,
    network: String,
    asset: String,
    payer: String,
    pay_to: String,
    amount: String,
    nonce: String,
    scheme: String,
    key: Vec<u8>,
    resource_url: Option<String>,
    memo: Option<String>,
    labels: LabelsRow,
}

/// Where its money is.
pub(super) struct Settled {
    pub(super) payment: Uuid,
    state: String,
    pub(super) landed_tx: Option<String>,
    landed_log_index: Option<i64>,
    landed_height: Option<i64>,
    landed_time: Option<i64>,
    confirmed_at: Option<DateTime<Utc>>,
    final_at: Option<DateTime<Utc>>,
}

/// What other tables have of a payment.
pub(super) struct Beside {
    pub(super) carried: Option<TxId>,
    pub(super) references: Vec<Named>,
    pub(super) reconciliation: Option<Looked>,
    pub(super) gas: Option<Amount>,
    pub(super) refunds: Option<Refunded>,
}

/// How much of it was paid back.
pub(super) struct Refunded {
    pub(super) payment: Uuid,
    paid: String,
}

/// A movement of what settling it has cost.
pub(super) struct Movement {
    pub(super) payment: Uuid,
    is_cost: bool,
    amount: String,
}

/// A name of the caller's for it.
pub(super) struct Named {
    pub(super) payment: Uuid,
    kind: String,
    value: String,
}

/// How it stands against the chain.
pub(super) struct Looked {
    pub(super) payment: Uuid,
    state: String,
    pub(super) subject: String,
}

/// A transaction that carried it.
pub(super) struct Carried {
    pub(super) payment: Uuid,
    pub(super) tx: TxId,
}

impl Paid {
    pub(super) fn summary(self, settled: Settled, beside: Beside) -> Result<Summary, OutOfPlace> {
        let landing = settled.landing()?;
        let mut references = beside.references;
        references.sort_unstable_by(|one, other| (&one.kind, &one.value).cmp(&(&other.kind, &other.value)));
        let references = references.into_iter().map(|it| reference(&it.kind, it.value));
        let looked = |it: Looked| reconciliation::State::named(&it.state).ok_or(OutOfPlace("reconciliation"));
        Ok(Summary {
            id: PaymentId::from_uuid(self.id),
            created_at: self.created_at,
            state: State::named(&settled.state).ok_or(OutOfPlace("state"))?,
            network: network(&self.network)?,
            scheme: Scheme::named(&self.scheme),
            asset: self.asset,
            payer: self.payer,
            pay_to: self.pay_to,
            amount: amount("amount", &self.amount)?,
            nonce: self.nonce,
            key: PaymentKey(self.key.try_into().map_err(|_| OutOfPlace("key"))?),
            tx: settled.landed_tx.map(TxId).or(beside.carried),
            landing,
            confirmed_at: settled.confirmed_at,
            final_at: settled.final_at,
            resource_url: self.resource_url,
            memo: self.memo,
            references: references.collect::<Result<_, _>>()?,
            labels: self.labels.read()?,
            reconciliation: beside.reconciliation.map(looked).transpose()?,
            gas: beside.gas,
            refunded: beside
                .refunds
                .map_or(Ok(Amount::ZERO), |it| amount("refunded", &it.paid))?,
        })
    }
}

impl Settled {
    fn landing(&self) -> Result<Option<Landing>, OutOfPlace> {
        let (Some(log_index), Some(height), Some(time)) = (self.landed_log_index, self.landed_height, self.landed_time)
        else {
            return Ok(None);
        };
        Ok(Some(Landing {
            log_index: unsigned("landed_log_index", log_index)?,
            height: unsigned("landed_height", height)?,
            time: Timestamp(unsigned("landed_time", time)?),
        }))
    }
}

/// What these come to; none of none.
pub(super) fn cost(movements: impl Iterator<Item = Movement>) -> Result<Option<Amount>, OutOfPlace> {
    let mut sums: Option<(Amount, Amount)> = None;
    for it in movements {
        let (cost, back) = sums.get_or_insert((Amount::ZERO, Amount::ZERO));
        let side = if it.is_cost { cost } else { back };
        *side = side.checked_add(amount("gas", &it.amount)?).ok_or(OutOfPlace("gas"))?;
    }
    let net = |(cost, back): (Amount, Amount)| cost.checked_sub(back).ok_or(OutOfPlace("gas"));
    sums.map(net).transpose()
}

impl FromRow<'_, PgRow> for Paid {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            id: columns.take()?,
            created_at: columns.take()?,
            network: columns.take()?,
            asset: columns.take()?,
            payer: columns.take()?,
            pay_to: columns.take()?,
            amount: columns.take()?,
            nonce: columns.take()?,
            scheme: columns.take()?,
            key: columns.take()?,
            resource_url: columns.take()?,
            memo: columns.take()?,
            labels: LabelsRow::take(&mut columns)?,
        })
    }
}

impl FromRow<'_, PgRow> for Settled {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            state: columns.take()?,
            landed_tx: columns.take()?,
            landed_log_index: columns.take()?,
            landed_height: columns.take()?,
            landed_time: columns.take()?,
            confirmed_at: columns.take()?,
            final_at: columns.take()?,
        })
    }
}

impl FromRow<'_, PgRow> for Movement {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            is_cost: columns.take()?,
            amount: columns.take()?,
        })
    }
}

impl FromRow<'_, PgRow> for Named {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            kind: columns.take()?,
            value: columns.take()?,
        })
    }
}

impl FromRow<'_, PgRow> for Looked {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            state: columns.take()?,
            subject: columns.take()?,
        })
    }
}

impl FromRow<'_, PgRow> for Carried {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            tx: TxId(columns.take()?),
        })
    }
}

impl FromRow<'_, PgRow> for Refunded {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            payment: columns.take()?,
            paid: columns.take()?,
        })
    }
}
