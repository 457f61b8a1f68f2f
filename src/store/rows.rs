//! Between rows and domain values. Whatever a row cannot say in the domain's words is a [`StoreFault::Corrupt`]
//! that names the column, never a guess.

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::columns::Columns;
use super::labels::LabelsRow;
use super::{DateTime, StoreFault, Utc};
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::id::PaymentId;
use crate::domain::labels::Labels;
use crate::domain::network::{NetworkId, Scheme};
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::request::{PaymentReference, ReferenceKind};
use crate::domain::settlement::{CannotLand, Landed, Setback, Settlement, State};
use crate::domain::tenant::TenantId;
use crate::domain::time::Timestamp;

/// A payment and where its money is, as of one read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Our name for it.
    pub id: PaymentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it happens.
    pub network: NetworkId,
    /// By which scheme.
    pub scheme: Scheme,
    /// What the payer signed.
    pub authorization: Authorization,
    /// Where its money is.
    pub settlement: Settlement,
    /// How many times the settlement has changed; from 0. What [`super::Store::settlements_advance`] compares.
    pub version: i64,
    /// [`crate::domain::request::PaymentRequest::digest`] of the request that reserved it.
    pub digest: [u8; 32],
    /// The envelope of that request.
    pub envelope: String,
    /// What it buys.
    pub resource_url: Option<String>,
    /// The caller's names for it, in order of kind and value.
    pub references: Vec<PaymentReference>,
    /// The gateway's words for it; those of the request that reserved it.
    pub labels: Labels,
    /// Every transaction of ours that was ever signed to carry it, oldest first.
    pub txs: Vec<TxId>,
    /// The block at which its authorization was seen unused before it was reserved.
    pub since_height: u64,
    /// It must not share a transaction.
    pub must_go_alone: bool,
    /// How often it was tried to sign for it after that had failed before.
    pub tries: u64,
    /// When the one success for it was granted; of the database's clock, like the times below.
    pub granted_at: Option<DateTime<Utc>>,
    /// The answer given with that grant, byte for byte.
    pub answer: Option<Vec<u8>>,
    /// When it was first reserved.
    pub created_at: DateTime<Utc>,
    /// When it was confirmed; none again after a reorganization.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it became final.
    pub final_at: Option<DateTime<Utc>>,
}

/// What a [`RecordRow`] has of `payments p` and `settlements s`.
macro_rules! record_columns {
    () => {
        "p.id, p.tenant, p.key, p.scheme, p.network, p.payer, p.pay_to, p.asset, p.amount::text as amount, p.nonce,
                p.valid_after::text as valid_after, p.valid_before::text as valid_before, p.body, p.digest,
                p.envelope, p.signer, p.memo, p.resource_url, p.merchant_reference,
                p.order_id, p.metadata, p.since_height, p.must_go_alone, p.created_at,
                s.state, s.tx, s.setback, s.setback_tx,
                s.landed_tx, s.landed_log_index, s.landed_height, s.landed_hash, s.landed_time,
                s.landed_is_deep_enough, s.landed_is_final,
                s.proof, s.proof_tx, s.proof_height, s.proof_hash, s.proof_time,
                s.version, s.tries, s.confirmed_at, s.final_at, s.granted_at, s.answer"
    };
}
pub(super) use record_columns;

/// `records!("where ...")`: the statement that reads [`RecordRow`]s.
macro_rules! records {
    ($($tail:expr),+) => {
        concat!(
            "select ",
            $crate::store::rows::record_columns!(),
            ", array(select r.kind from payment_references r where r.payment_id = p.id
                    order by r.kind, r.value) as reference_kinds,
                array(select r.value from payment_references r where r.payment_id = p.id
                    order by r.kind, r.value) as reference_values,
                array(select t.tx from settlement_attempts a join chain_transactions t
                    on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
                    where a.payment_id = p.id and not t.is_empty
                    order by a.attempt, t.created_at, t.tx) as txs
            from payments p join settlements s on s.payment_id = p.id ",
            $($tail),+
        )
    };
}
pub(super) use records;

/// The columns of [`record_columns!`], the kinds and values of the caller's names, and the transactions.
pub(super) struct RecordRow {
    id: Uuid,
    tenant: Uuid,
    key: Vec<u8>,
    scheme: String,
    network: String,
    payer: String,
    pay_to: String,
    asset: String,
    amount: String,
    nonce: String,
    valid_after: Option<String>,
    valid_before: Option<String>,
    body: Vec<u8>,
    digest: Vec<u8>,
    envelope: String,
    signer: Option<String>,
    memo: Option<String>,
    resource_url: Option<String>,
    labels: LabelsRow,
    since_height: i64,
    must_go_alone: bool,
    created_at: DateTime<Utc>,
    settlement: SettlementRow,
    version: i64,
    tries: i64,
    confirmed_at: Option<DateTime<Utc>>,
    final_at: Option<DateTime<Utc>>,
    granted_at: Option<DateTime<Utc>>,
    answer: Option<Vec<u8>>,
    reference_kinds: Vec<String>,
    reference_values: Vec<String>,
    txs: Vec<String>,
}

/// The columns of `settlements` that a [`Settlement`] consists of.
#[derive(Default)]
pub(super) struct SettlementRow {
    pub(super) state: String,
    pub(super) tx: Option<String>,
    pub(super) setback: Option<String>,
    pub(super) setback_tx: Option<String>,
    pub(super) landed_tx: Option<String>,
    pub(super) landed_log_index: Option<i64>,
    pub(super) landed_height: Option<i64>,
    pub(super) landed_hash: Option<String>,
    pub(super) landed_time: Option<i64>,
    pub(super) landed_is_deep_enough: Option<bool>,
    pub(super) landed_is_final: Option<bool>,
    pub(super) proof: Option<String>,
    pub(super) proof_tx: Option<String>,
    pub(super) proof_height: Option<i64>,
    pub(super) proof_hash: Option<String>,
    pub(super) proof_time: Option<i64>,
}

/// A column that does not hold what it must.
pub(super) struct OutOfPlace(pub(super) &'static str);

impl OutOfPlace {
    /// The fault that names it.
    pub(super) fn during(operation: &'static str) -> impl Fn(Self) -> StoreFault {
        move |Self(what)| StoreFault::Corrupt { operation, what }
    }
}

/// Reads each row.
pub(super) fn read_all(operation: &'static str, rows: Vec<RecordRow>) -> Result<Vec<Record>, StoreFault> {
    rows.into_iter()
        .map(|row| row.read().map_err(OutOfPlace::during(operation)))
        .collect()
}

/// Reads the row, if there is one.
pub(super) fn read_one(operation: &'static str, row: Option<RecordRow>) -> Result<Option<Record>, StoreFault> {
    row.map(RecordRow::read)
        .transpose()
        .map_err(OutOfPlace::during(operation))
}

impl FromRow<'_, PgRow> for RecordRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Self::take(&mut Columns::of(row))
    }
}

impl RecordRow {
    pub(super) fn take(columns: &mut Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: columns.take()?,
            tenant: columns.take()?,
            key: columns.take()?,
            scheme: columns.take()?,
            network: columns.take()?,
            payer: columns.take()?,
            pay_to: columns.take()?,
            asset: columns.take()?,
            amount: columns.take()?,
            nonce: columns.take()?,
            valid_after: columns.take()?,
            valid_before: columns.take()?,
            body: columns.take()?,
            digest: columns.take()?,
            envelope: columns.take()?,
            signer: columns.take()?,
            memo: columns.take()?,
            resource_url: columns.take()?,
            labels: LabelsRow::take(columns)?,
            since_height: columns.take()?,
            must_go_alone: columns.take()?,
            created_at: columns.take()?,
            settlement: SettlementRow::take(columns)?,
            version: columns.take()?,
            tries: columns.take()?,
            confirmed_at: columns.take()?,
            final_at: columns.take()?,
            granted_at: columns.take()?,
            answer: columns.take()?,
            reference_kinds: columns.take()?,
            reference_values: columns.take()?,
            txs: columns.take()?,
        })
    }

    pub(super) fn read(self) -> Result<Record, OutOfPlace> {
        let references = self.reference_kinds.iter().zip(self.reference_values);
        Ok(Record {
            id: PaymentId::from_uuid(self.id),
            tenant: TenantId::from_uuid(self.tenant),
            network: network(&self.network)?,
            scheme: Scheme::named(&self.scheme),
            authorization: Authorization {
                payer: self.payer,
                pay_to: self.pay_to,
                asset: self.asset,
                amount: amount("amount", &self.amount)?,
                nonce: self.nonce,
                window: window(self.valid_after, self.valid_before)?,
                signer: self.signer,
                memo: self.memo,
                key: PaymentKey(self.key.try_into().map_err(|_| OutOfPlace("key"))?),
                body: self.body,
            },
            settlement: self.settlement.read()?,
            version: self.version,
            digest: self.digest.try_into().map_err(|_| OutOfPlace("digest"))?,
            envelope: self.envelope,
            resource_url: self.resource_url,
            references: references
                .map(|(kind, value)| reference(kind, value))
                .collect::<Result<_, _>>()?,
            labels: self.labels.read()?,
            txs: self.txs.into_iter().map(TxId).collect(),
            since_height: unsigned("since_height", self.since_height)?,
            must_go_alone: self.must_go_alone,
            tries: unsigned("tries", self.tries)?,
            granted_at: self.granted_at,
            answer: self.answer,
            created_at: self.created_at,
            confirmed_at: self.confirmed_at,
            final_at: self.final_at,
        })
    }
}

impl SettlementRow {
    fn take(columns: &mut Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            state: columns.take()?,
            tx: columns.take()?,
            setback: columns.take()?,
            setback_tx: columns.take()?,
            landed_tx: columns.take()?,
            landed_log_index: columns.take()?,
            landed_height: columns.take()?,
            landed_hash: columns.take()?,
            landed_time: columns.take()?,
            landed_is_deep_enough: columns.take()?,
            landed_is_final: columns.take()?,
            proof: columns.take()?,
            proof_tx: columns.take()?,
            proof_height: columns.take()?,
            proof_hash: columns.take()?,
            proof_time: columns.take()?,
        })
    }

    fn read(self) -> Result<Settlement, OutOfPlace> {
        match State::named(&self.state).ok_or(OutOfPlace("state"))? {
            State::Reserved => Ok(Settlement::Reserved),
            State::Withdrawn => Ok(Settlement::Withdrawn),
            State::InFlight => Ok(Settlement::InFlight {
                setback: setback(self.setback.as_deref(), self.setback_tx)?,
                tx: TxId(self.tx.ok_or(OutOfPlace("tx"))?),
            }),
            State::Confirmed => Ok(Settlement::Confirmed {
                tx: self.tx.clone().map(TxId),
                landed: self.landed()?,
            }),
            State::Final => Ok(Settlement::Final { landed: self.landed()? }),
            State::Failed => Ok(Settlement::Failed { proof: self.proof()? }),
        }
    }

    fn landed(self) -> Result<Landed, OutOfPlace> {
        Ok(Landed {
            tx: TxId(self.landed_tx.ok_or(OutOfPlace("landed_tx"))?),
            log_index: known("landed_log_index", self.landed_log_index)?,
            block: ChainPoint {
                height: known("landed_height", self.landed_height)?,
                hash: self.landed_hash.ok_or(OutOfPlace("landed_hash"))?,
                time: Timestamp(known("landed_time", self.landed_time)?),
            },
            is_deep_enough: self.landed_is_deep_enough.ok_or(OutOfPlace("landed_is_deep_enough"))?,
            is_final: self.landed_is_final.ok_or(OutOfPlace("landed_is_final"))?,
        })
    }

    fn proof(self) -> Result<CannotLand, OutOfPlace> {
        let block = ChainPoint {
            height: known("proof_height", self.proof_height)?,
            hash: self.proof_hash.ok_or(OutOfPlace("proof_hash"))?,
            time: Timestamp(known("proof_time", self.proof_time)?),
        };
        let tx = self.proof_tx.map(TxId).ok_or(OutOfPlace("proof_tx"));
        match self.proof.as_deref() {
            Some("cancelled") => Ok(CannotLand::Cancelled { tx: tx?, block }),
            Some("used_otherwise") => Ok(CannotLand::UsedOtherwise { tx: tx?, block }),
            Some("failed_on_chain") => Ok(CannotLand::FailedOnChain { tx: tx?, block }),
            Some("window_closed") => Ok(CannotLand::WindowClosed { block }),
            Some(_) | None => Err(OutOfPlace("proof")),
        }
    }

    /// The columns that say this settlement.
    pub(super) fn of(settlement: &Settlement) -> Result<Self, OutOfPlace> {
        let row = Self {
            state: settlement.state().as_str().into(),
            ..Self::default()
        };
        Ok(match settlement {
            Settlement::Reserved | Settlement::Withdrawn => row,
            Settlement::InFlight { tx, setback } => Self {
                tx: Some(tx.0.clone()),
                setback: setback.as_ref().map(|it| setback_words(it).0.into()),
                setback_tx: setback.as_ref().map(|it| setback_words(it).1.0.clone()),
                ..row
            },
            Settlement::Confirmed { landed, tx } => Self {
                tx: tx.as_ref().map(|tx| tx.0.clone()),
                ..row.with_landed(landed)?
            },
            Settlement::Final { landed } => row.with_landed(landed)?,
            Settlement::Failed { proof } => Self {
                proof: Some(proof.as_str().into()),
                proof_tx: proof.tx().map(|tx| tx.0.clone()),
                proof_height: Some(signed("proof_height", proof.block().height)?),
                proof_hash: Some(proof.block().hash.clone()),
                proof_time: Some(signed("proof_time", proof.block().time.0)?),
                ..row
            },
        })
    }

    fn with_landed(self, landed: &Landed) -> Result<Self, OutOfPlace> {
        Ok(Self {
            landed_tx: Some(landed.tx.0.clone()),
            landed_log_index: Some(signed("landed_log_index", landed.log_index)?),
            landed_height: Some(signed("landed_height", landed.block.height)?),
            landed_hash: Some(landed.block.hash.clone()),
            landed_time: Some(signed("landed_time", landed.block.time.0)?),
            landed_is_deep_enough: Some(landed.is_deep_enough),
            landed_is_final: Some(landed.is_final),
            ..self
        })
    }
}

fn window(after: Option<String>, before: Option<String>) -> Result<Window, OutOfPlace> {
    let (Some(after), Some(before)) = (after, before) else {
        return Ok(Window::Recent);
    };
    Ok(Window::Time {
        after: Timestamp(after.parse().map_err(|_| OutOfPlace("valid_after"))?),
        before: Timestamp(before.parse().map_err(|_| OutOfPlace("valid_before"))?),
    })
}

/// The window's bounds as columns, `valid_after` first.
pub(super) fn bounds(window: Window) -> (Option<String>, Option<String>) {
    match window {
        Window::Time { after, before } => (Some(after.0.to_string()), Some(before.0.to_string())),
        Window::Recent => (None, None),
    }
}

fn setback(word: Option<&str>, tx: Option<String>) -> Result<Option<Setback>, OutOfPlace> {
    match (word, tx.map(TxId)) {
        (None, None) => Ok(None),
        (Some("reverted"), Some(tx)) => Ok(Some(Setback::Reverted { tx })),
        (Some("transfer_missing"), Some(tx)) => Ok(Some(Setback::TransferMissing { tx })),
        (Some(_), _) | (None, Some(_)) => Err(OutOfPlace("setback")),
    }
}

/// The stored name of a setback, and its transaction.
pub(super) const fn setback_words(setback: &Setback) -> (&'static str, &TxId) {
    match setback {
        Setback::Reverted { tx } => ("reverted", tx),
        Setback::TransferMissing { tx } => ("transfer_missing", tx),
    }
}

/// A reference from its columns.
pub(super) fn reference(kind: &str, value: String) -> Result<PaymentReference, OutOfPlace> {
    [ReferenceKind::PaymentIdentifier, ReferenceKind::IdempotencyKey]
        .into_iter()
        .find(|known| known.as_str() == kind)
        .map(|kind| PaymentReference { kind, value })
        .ok_or(OutOfPlace("reference_kind"))
}

pub(super) fn network(text: &str) -> Result<NetworkId, OutOfPlace> {
    text.parse().map_err(|_| OutOfPlace("network"))
}

/// An amount from `numeric(39,0)` read as text.
pub(super) fn amount(column: &'static str, text: &str) -> Result<Amount, OutOfPlace> {
    text.parse().map_err(|_| OutOfPlace(column))
}

/// A count from `bigint`.
pub(super) fn unsigned(column: &'static str, value: i64) -> Result<u64, OutOfPlace> {
    value.try_into().map_err(|_| OutOfPlace(column))
}

/// A count for `bigint`.
pub(super) fn signed(column: &'static str, value: u64) -> Result<i64, OutOfPlace> {
    value.try_into().map_err(|_| OutOfPlace(column))
}

fn known(column: &'static str, value: Option<i64>) -> Result<u64, OutOfPlace> {
    unsigned(column, value.ok_or(OutOfPlace(column))?)
}
