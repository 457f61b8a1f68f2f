//! Payments with what the books make of them.

use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::columns::Columns;
use super::cursor::Cursor;
use super::rows::{OutOfPlace, RecordRow, amount, record_columns};
use super::{Record, Store, StoreFault};
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::reconciliation;

statements! {
    // Of whatever was found: one plan for all. What other tables have of it is read of all at once.
    ENTRIES = concat!("select ", record_columns!(), ",
            coalesce(n.kinds, '{}') as reference_kinds, coalesce(n.names, '{}') as reference_values,
            coalesce(c.txs, '{}') as txs, l.state as reconciliation, g.gas::text as gas,
            t.paid::text as refunded, (t.recorded - t.paid)::text as refund_pending
        from payments p join settlements s on s.payment_id = p.id
        left join (
            select r.payment_id, array_agg(r.kind order by r.kind, r.value) as kinds,
                array_agg(r.value order by r.kind, r.value) as names
            from payment_references r where r.payment_id = any($1::uuid[]) group by r.payment_id
        ) n on n.payment_id = p.id
        left join (
            select a.payment_id, array_agg(t.tx order by a.attempt, t.created_at, t.tx) as txs
            from settlement_attempts a join chain_transactions t
                on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
            where a.payment_id = any($1::uuid[]) and not t.is_empty group by a.payment_id
        ) c on c.payment_id = p.id
        left join (
            select distinct on (r.payment_id) r.payment_id, r.state
            from reconciliations r where r.payment_id = any($1::uuid[]) order by r.payment_id, r.subject
        ) l on l.payment_id = p.id
        left join (
            select l.payment_id, sum(case when l.debit = 'facilitator:gas' then l.amount else -l.amount end) as gas
            from ledger_entries l where l.payment_id = any($1::uuid[]) and l.purpose = 'gas' group by l.payment_id
        ) g on g.payment_id = p.id
        left join refund_totals t on t.payment_id = p.id
        where p.id = any($1::uuid[]) and ($2::uuid is null or p.tenant = $2)");
}

/// A payment with what the books make of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The payment.
    pub record: Record,
    /// How it stands against the chain; none before that was looked at.
    pub reconciliation: Option<reconciliation::State>,
    /// What settling it has cost its signer so far, in the chain's smallest unit; none before it is known.
    pub gas: Option<Amount>,
    /// How much of it has gone back, as the finalized chain shows.
    pub refunded: Amount,
    /// How much more is to go back.
    pub refund_pending: Amount,
}

struct EntryRow {
    record: RecordRow,
    reconciliation: Option<String>,
    gas: Option<String>,
    refunded: Option<String>,
    refund_pending: Option<String>,
}

impl FromRow<'_, PgRow> for EntryRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            record: RecordRow::take(&mut columns)?,
            reconciliation: columns.take()?,
            gas: columns.take()?,
            refunded: columns.take()?,
            refund_pending: columns.take()?,
        })
    }
}

impl EntryRow {
    fn read(self) -> Result<Entry, OutOfPlace> {
        let sum = |column, text: Option<String>| text.map_or(Ok(Amount::ZERO), |text| amount(column, &text));
        let state = |text: String| reconciliation::State::named(&text).ok_or(OutOfPlace("reconciliation"));
        Ok(Entry {
            record: self.record.read()?,
            reconciliation: self.reconciliation.map(state).transpose()?,
            gas: self.gas.map(|text| amount("gas", &text)).transpose()?,
            refunded: sum("refunded", self.refunded)?,
            refund_pending: sum("refund_pending", self.refund_pending)?,
        })
    }
}

impl Store {
    /// These payments with what the books make of them, in the order of when they were first reserved, then of their ids.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_entries(&self, ids: &[PaymentId]) -> Result<Vec<Entry>, StoreFault> {
        let operation = "payments_entries";
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<EntryRow> = sqlx::query_as(ENTRIES)
            .bind(ids.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .bind(self.seen())
            .fetch_all(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        let entries: Result<Vec<Entry>, _> = rows.into_iter().map(EntryRow::read).collect();
        let mut entries = entries.map_err(OutOfPlace::during(operation))?;
        entries.sort_by_key(|it| Cursor::after(&it.record));
        Ok(entries)
    }
}
