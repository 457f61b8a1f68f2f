//! All payments that meet a filter, for reports.
//!
//! A page of a list looks up what belongs to each of its payments. A sweep reads a stretch of payments and then each other
//! table once along its index by payment, and puts together here what belongs together: a third of the database's work,
//! and it is the database that a report waits for. Some stretches are read at the same time.

use std::collections::HashMap;
use std::iter::{self, Peekable};
use std::vec;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{FromRow, Postgres};

use super::cursor::Cursor;
use super::reports::{Filter, PAGE_MAX};
use super::rows::OutOfPlace;
use super::summary::{Beside, Carried, Looked, Movement, Named, Paid, Refunded, Settled, Summary, cost};
use super::{DateTime, Store, StoreFault, Utc};
use crate::domain::rail::TxId;
use crate::domain::time::Timestamp;
use crate::task::beside;

const OPERATION: &str = "payments_sweep";

/// Payments of a stretch, and how many stretches are read at the same time.
const STRETCH: usize = 4_000;
const AT_ONCE: usize = 3;

/// Payments that one statement looks up by their ids: few enough for every plan to use the index.
const AMONG: usize = 500;

/// What stands before the condition on `payment_id`, in either of its forms.
macro_rules! settlements {
    ($ids:literal) => {
        concat!(
            "select payment_id, state, landed_tx, landed_log_index, landed_height, landed_time, confirmed_at, final_at
            from settlements
            where ($1::text[] is null or state = any($1))
                and ($2::bigint is null or landed_time >= $2) and ($3::bigint is null or landed_time < $3)
                and ($4::timestamptz is null or final_at >= $4) and ($5::timestamptz is null or final_at < $5) and ",
            $ids
        )
    };
}
macro_rules! gas {
    ($ids:literal) => {
        concat!(
            "select payment_id, debit = 'facilitator:gas' as is_cost, amount::text as amount
            from ledger_entries where purpose = 'gas' and ",
            $ids
        )
    };
}
macro_rules! references {
    ($ids:literal) => {
        concat!("select payment_id, kind, value from payment_references where ", $ids)
    };
}
macro_rules! refunds {
    ($ids:literal) => {
        concat!("select payment_id, paid::text as paid from refund_totals where ", $ids)
    };
}
macro_rules! reconciled {
    ($ids:literal) => {
        concat!("select payment_id, state, subject from reconciliations where ", $ids)
    };
}

statements! {
    // Where a stretch ends; along one index alone.
    END = "select created_at, id from payments
        where (created_at, id) > ($1, $2) and created_at < $3 and ($5::uuid is null or tenant = $5) order by created_at, id offset $4 limit 1";
    // The bounds on the time alone say the same again: from a comparison of rows the planner learns too little.
    STRETCHED = "select p.id, p.created_at, p.network, p.asset, p.payer, p.pay_to, p.amount::text as amount, p.nonce, p.scheme,
            p.key, p.resource_url, p.memo, p.merchant_reference, p.order_id, p.metadata
        from payments p
        where (p.created_at, p.id) > ($1, $2) and (p.created_at, p.id) <= ($3, $4)
            and p.created_at >= $1 and p.created_at <= $3
            and ($5::text[] is null or exists (
                select 1 from reconciliations r where r.payment_id = p.id and r.state = any($5)))
            and ($6::text is null or p.network = $6) and ($7::text is null or p.asset = $7)
            and ($8::text is null or p.amount >= $8::numeric) and ($9::text is null or p.amount <= $9::numeric)
            and ($10::uuid is null or p.tenant = $10)";
    // Ids follow time, but nothing holds them to it.
    WIDTH = "select count(*) from (select 1 from payments where id >= $1 and id <= $2 limit $3) as n";
    SETTLEMENTS_BETWEEN = settlements!("payment_id >= $6 and payment_id <= $7");
    SETTLEMENTS_AMONG = settlements!("payment_id = any($6::uuid[])");
    GAS_BETWEEN = gas!("payment_id >= $1 and payment_id <= $2");
    GAS_AMONG = gas!("payment_id = any($1::uuid[])");
    REFERENCES_BETWEEN = references!("payment_id >= $1 and payment_id <= $2");
    REFERENCES_AMONG = references!("payment_id = any($1::uuid[])");
    REFUNDS_BETWEEN = refunds!("payment_id >= $1 and payment_id <= $2");
    REFUNDS_AMONG = refunds!("payment_id = any($1::uuid[])");
    RECONCILED_BETWEEN = reconciled!("payment_id >= $1 and payment_id <= $2");
    RECONCILED_AMONG = reconciled!("payment_id = any($1::uuid[])");
    CARRIED = "select a.payment_id, t.tx from settlement_attempts a
        join chain_transactions t on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
        where a.payment_id = any($1::uuid[]) and not t.is_empty
        order by a.attempt, t.created_at, t.tx";
}

/// From just after a place up to and with another.
type Stretch = (Cursor, Cursor);

type Asked = Query<'static, Postgres, PgArguments>;

impl Store {
    /// The payments that meet `filter`, in the order of when they were first reserved, then of their ids, some at a time, in
    /// the shape that they are wanted in, which is given to them on whatever processor is free. Every payment that was there at the start comes exactly once, in the state that it has when it is read. Holds some
    /// thousands of them in memory.
    ///
    /// # Errors
    /// Each of the stream's: [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    #[must_use]
    pub fn payments_sweep<T: Send + 'static>(
        &self,
        filter: Filter,
        shape: impl Fn(Vec<Summary>) -> T + Clone + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<T, StoreFault>> {
        if filter.is_led_by_time() {
            self.clone().stretches(filter, shape)
        } else {
            self.clone().pages(filter).map_ok(shape).boxed()
        }
    }

    /// Page by page, along whichever index leads to the fewest.
    fn pages(self, filter: Filter) -> BoxStream<'static, Result<Vec<Summary>, StoreFault>> {
        let first = Some((self, filter, None::<Cursor>));
        let pages = stream::try_unfold(first, |at| async {
            let Some((store, filter, after)) = at else {
                return Ok(None);
            };
            let page = store.payments_list(&filter, after.as_ref(), PAGE_MAX).await?;
            let rows = page.entries.into_iter().map(Summary::from).collect();
            Ok(Some((rows, page.next.map(|next| (store, filter, Some(next))))))
        });
        pages.boxed()
    }

    fn stretches<T: Send + 'static>(
        self,
        filter: Filter,
        shape: impl Fn(Vec<Summary>) -> T + Clone + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<T, StoreFault>> {
        let (at, id) = filter.start(None);
        let first = Some(Cursor { at, id });
        let last = Cursor {
            at: filter.end(),
            id: Uuid::nil(),
        };
        let store = self.clone();
        let stretches = stream::try_unfold(first, move |after| {
            let store = store.clone();
            async move {
                let Some(after) = after else {
                    return Ok(None);
                };
                let end = store.stretch_end(after, last).await?;
                Ok(Some(((after, end.unwrap_or(last)), end)))
            }
        });
        stretches
            .map_ok(move |stretch| {
                let (store, filter, shape) = (self.clone(), filter.clone(), shape.clone());
                beside(async move { store.stretch(&filter, stretch).await.map(shape) })
            })
            .try_buffered(AT_ONCE)
            .boxed()
    }

    async fn stretch_end(&self, after: Cursor, last: Cursor) -> Result<Option<Cursor>, StoreFault> {
        let end: Option<(DateTime<Utc>, Uuid)> = sqlx::query_as(END)
            .persistent(false)
            .bind(after.at)
            .bind(after.id)
            .bind(last.at)
            .bind(i64::try_from(STRETCH.saturating_sub(1)).unwrap_or(i64::MAX))
            .bind(self.seen())
            .fetch_optional(&mut *self.reading(OPERATION).await?)
            .await
            .map_err(StoreFault::reading(OPERATION))?;
        Ok(end.map(|(at, id)| Cursor { at, id }))
    }

    /// The stretch's payments that meet the filter.
    async fn stretch(&self, filter: &Filter, (after, last): Stretch) -> Result<Vec<Summary>, StoreFault> {
        let reconciled: Vec<&str> = filter.reconciliations.iter().map(|it| it.as_str()).collect();
        let asked = sqlx::query(STRETCHED)
            .persistent(false)
            .bind(after.at)
            .bind(after.id)
            .bind(last.at)
            .bind(last.id)
            .bind((!reconciled.is_empty()).then_some(reconciled))
            .bind(filter.network.as_ref().map(ToString::to_string))
            .bind(filter.asset.clone())
            .bind(filter.amount_from.map(|it| it.to_string()))
            .bind(filter.amount_to.map(|it| it.to_string()))
            .bind(self.seen());
        let mut paid: Vec<Paid> = self.read(asked).await?;
        paid.sort_by_key(|it| it.id);
        let ids = self.neighbours(&paid).await?;
        let settled = self.settled(filter, &ids).await?;
        let open = settled.iter().filter(|it| it.landed_tx.is_none());
        let open: Vec<Uuid> = open.map(|it| it.payment).collect();
        let mut settled = Rows::new(settled, |it| it.payment);
        let known = |it: Paid| settled.of(it.id).next().map(|settled| (it, settled));
        let paid: Vec<(Paid, Settled)> = paid.into_iter().filter_map(known).collect();
        if paid.is_empty() {
            return Ok(Vec::new());
        }
        let mut carried = self.carried(&open).await?;
        let costs: Vec<Movement> = self.beside(&ids, (GAS_BETWEEN, GAS_AMONG), |it| it).await?;
        let named: Vec<Named> = self
            .beside(&ids, (REFERENCES_BETWEEN, REFERENCES_AMONG), |it| it)
            .await?;
        let refunded: Vec<Refunded> = self.beside(&ids, (REFUNDS_BETWEEN, REFUNDS_AMONG), |it| it).await?;
        let looked: Vec<Looked> = self
            .beside(&ids, (RECONCILED_BETWEEN, RECONCILED_AMONG), |it| it)
            .await?;
        let (mut costs, mut named) = (Rows::new(costs, |it| it.payment), Rows::new(named, |it| it.payment));
        let (mut refunded, mut looked) = (Rows::new(refunded, |it| it.payment), Rows::new(looked, |it| it.payment));
        let summaries = paid.into_iter().map(|(paid, settled)| {
            let id = paid.id;
            let beside = Beside {
                carried: carried.remove(&id),
                references: named.of(id).collect(),
                // Of a payment that was looked at under several names, what the first of them says.
                reconciliation: looked.of(id).min_by(|one, other| one.subject.cmp(&other.subject)),
                gas: cost(costs.of(id))?,
                refunds: refunded.of(id).next(),
            };
            paid.summary(settled, beside)
        });
        let summaries: Result<Vec<Summary>, OutOfPlace> = summaries.collect();
        let mut summaries = summaries.map_err(OutOfPlace::during(OPERATION))?;
        summaries.sort_by_key(|it| (it.created_at, it.id));
        Ok(summaries)
    }

    /// The payments' ids, and whether few others lie between the lowest and the highest.
    async fn neighbours(&self, paid: &[Paid]) -> Result<Ids, StoreFault> {
        let ids: Vec<Uuid> = paid.iter().map(|it| it.id).collect();
        let (Some(low), Some(high)) = (ids.iter().min().copied(), ids.iter().max().copied()) else {
            return Ok(Ids::Among(ids));
        };
        let most = i64::try_from(STRETCH.saturating_mul(2)).unwrap_or(i64::MAX);
        let width: i64 = sqlx::query_scalar(WIDTH)
            .persistent(false)
            .bind(low)
            .bind(high)
            .bind(most)
            .fetch_one(&mut *self.reading(OPERATION).await?)
            .await
            .map_err(StoreFault::reading(OPERATION))?;
        Ok(if width < most {
            Ids::Between(low, high)
        } else {
            Ids::Among(ids)
        })
    }

    async fn settled(&self, filter: &Filter, ids: &Ids) -> Result<Vec<Settled>, StoreFault> {
        let states: Vec<&'static str> = filter.states.iter().map(|it| it.as_str()).collect();
        let seconds = |at: Option<Timestamp>| at.map(|it| i64::try_from(it.0).unwrap_or(i64::MAX));
        let within = |asked: Asked| {
            asked
                .bind((!states.is_empty()).then(|| states.clone()))
                .bind(seconds(filter.landed_from))
                .bind(seconds(filter.landed_before))
                .bind(filter.final_from)
                .bind(filter.final_before)
        };
        let statements = (SETTLEMENTS_BETWEEN, SETTLEMENTS_AMONG);
        self.beside(ids, statements, within).await
    }

    /// The last transaction that carried each of these.
    async fn carried(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, TxId>, StoreFault> {
        let mut carried = HashMap::new();
        for some in ids.chunks(AMONG) {
            let asked = sqlx::query(CARRIED).persistent(false).bind(some.to_vec());
            let rows: Vec<Carried> = self.read(asked).await?;
            carried.extend(rows.into_iter().map(|it| (it.payment, it.tx)));
        }
        Ok(carried)
    }

    /// What a table has beside these payments, and perhaps beside a few others.
    async fn beside<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(
        &self,
        ids: &Ids,
        (between, among): (&'static str, &'static str),
        within: impl Fn(Asked) -> Asked,
    ) -> Result<Vec<T>, StoreFault> {
        match ids {
            Ids::Between(low, high) => {
                let asked = within(sqlx::query(between).persistent(false));
                self.read(asked.bind(*low).bind(*high)).await
            }
            Ids::Among(ids) => {
                let mut rows = Vec::new();
                for some in ids.chunks(AMONG) {
                    let asked = within(sqlx::query(among).persistent(false));
                    rows.extend(self.read(asked.bind(some.to_vec())).await?);
                }
                Ok(rows)
            }
        }
    }

    async fn read<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(&self, asked: Asked) -> Result<Vec<T>, StoreFault> {
        let fault = StoreFault::reading(OPERATION);
        let mut connection = self.reading(OPERATION).await?;
        // Read from each where it comes: what is read is larger, and would be handed on from layer to layer.
        let (mut rows, mut read) = (asked.fetch(&mut *connection), Vec::new());
        while let Some(row) = rows.try_next().await.map_err(&fault)? {
            read.push(T::from_row(&row).map_err(&fault)?);
        }
        drop(rows);
        Ok(read)
    }
}

/// A table's rows beside payments, which are looked at in the order of their ids: without a search for any.
struct Rows<T> {
    rows: Peekable<vec::IntoIter<T>>,
    payment: fn(&T) -> Uuid,
}

impl<T> Rows<T> {
    fn new(mut rows: Vec<T>, payment: fn(&T) -> Uuid) -> Self {
        // They mostly come so.
        rows.sort_by_key(payment);
        let rows = rows.into_iter().peekable();
        Self { rows, payment }
    }

    /// This payment's, after which those of the ones before it are gone.
    fn of(&mut self, id: Uuid) -> impl Iterator<Item = T> {
        let Self { rows, payment } = self;
        while rows.next_if(|it| payment(it) < id).is_some() {}
        iter::from_fn(move || rows.next_if(|it| payment(it) == id))
    }
}

/// The payments of a stretch, by what finds what other tables have of them.
enum Ids {
    /// Nearly all that lie between these belong to it.
    Between(Uuid, Uuid),
    /// Each by itself.
    Among(Vec<Uuid>),
}
