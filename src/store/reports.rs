//! Listing payments page by page, by when they came in.
//!
//! A cursor is a place in that order, not a count of rows, so that a page costs the same wherever it is and rows
//! that come in meanwhile neither shift nor hide others. Which index leads is decided here, by what the filter
//! names: a plan made for all filters at once would walk the whole table for a rare payer.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{Postgres, Row};

use super::cursor::{Cursor, end_of_time};
use super::entries::Entry;
use super::rows::{OutOfPlace, unsigned};
use super::{DateTime, Record, Store, StoreFault, Utc};
use crate::domain::amount::Amount;
use crate::domain::authorization::PaymentKey;
use crate::domain::id::PaymentId;
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::reconciliation;
use crate::domain::request::PaymentReference;
use crate::domain::settlement::State;
use crate::domain::time::Timestamp;

/// What a filter says beside a name and times of creation.
macro_rules! conditions {
    () => {
        "and ($4::text[] is null or s.state = any($4))
                and ($5::text[] is null or exists (
                    select 1 from reconciliations r where r.payment_id = p.id and r.state = any($5)))
                and ($6::text is null or p.network = $6) and ($7::text is null or p.asset = $7)
                and ($8::text is null or p.payer = $8) and ($9::text is null or p.pay_to = $9)
                and ($10::text is null or p.amount >= $10::numeric) and ($11::text is null or p.amount <= $11::numeric)
                and ($12::bigint is null or s.landed_time >= $12) and ($13::bigint is null or s.landed_time < $13)
                and ($14::timestamptz is null or s.final_at >= $14) and ($15::timestamptz is null or s.final_at < $15)
                and ($16::uuid is null or p.tenant = $16)"
    };
}

/// Which payments are on a page: `$lead` is the condition that an index begins with, `$at` and `$id` its order.
macro_rules! page {
    ($lead:literal, $at:literal, $id:literal) => {
        concat!(
            "select p.created_at, p.id from payments p join settlements s on s.payment_id = p.id
            where ",
            $lead,
            " (",
            $at,
            ", ",
            $id,
            ") > ($1, $2) and ",
            $at,
            " < $3 ",
            conditions!(),
            " order by ",
            $at,
            ", ",
            $id,
            " limit $17"
        )
    };
}

/// The same where nothing else is asked for: the index alone is read, and planned once.
macro_rules! alone {
    ($table:literal, $lead:literal, $id:literal) => {
        concat!(
            "select created_at, ",
            $id,
            " from ",
            $table,
            " where ",
            $lead,
            " (created_at, ",
            $id,
            ") > ($1, $2) and created_at < $3 order by created_at, ",
            $id,
            " limit $4"
        )
    };
}

statements! {
    COUNT = concat!("select count(*) from payments p join settlements s on s.payment_id = p.id
        where (p.created_at, p.id) > ($1, $2) and p.created_at < $3 ", conditions!());
    BY_TIME = page!("", "p.created_at", "p.id");
    BY_PAYER = page!("p.payer = $8 and", "p.created_at", "p.id");
    BY_RECIPIENT = page!("p.pay_to = $9 and", "p.created_at", "p.id");
    BY_STATE = page!("s.state = ($4::text[])[1] and s.state <> 'final' and", "s.created_at", "s.payment_id");
    ALL = alone!("payments", "", "id");
    OF_PAYER = alone!("payments", "payer = $5 and", "id");
    TO_RECIPIENT = alone!("payments", "pay_to = $5 and", "id");
    IN_STATE = alone!("settlements", "state = $5 and state <> 'final' and", "payment_id");
    BY_ID = page!("p.id = $18::uuid and", "p.created_at", "p.id");
    BY_KEY = page!("p.key = decode($18, 'hex') and", "p.created_at", "p.id");
    BY_REFERENCE = page!("p.id in (select r.payment_id from payment_references r where r.value = $18 and r.kind = $19) and",
        "p.created_at", "p.id");
    BY_TRANSACTION = page!("p.id in (select a.payment_id from chain_transactions t
            join settlement_attempts a on a.network = t.network and a.signer = t.signer and a.nonce = t.nonce
            where t.tx = $18 and not t.is_empty
            union select e.payment_id from evidence e where e.tx = $18) and", "p.created_at", "p.id");
    BY_MEMO = page!("p.memo = $18 and", "p.created_at", "p.id");
    BY_MERCHANT_REFERENCE = page!("p.merchant_reference = $18 and", "p.created_at", "p.id");
    BY_ORDER = page!("p.order_id = $18 and", "p.created_at", "p.id");
    BY_RESOURCE = page!("p.resource_url = $18 and", "p.created_at", "p.id");
}

/// The most records on one page.
pub const PAGE_MAX: u16 = 1000;

/// Which payments to list: those that meet every condition named. Addresses and nonces are compared as the rail's
/// canonical text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// With this name.
    pub name: Option<Name>,
    /// In one of these states; in any when empty.
    pub states: Vec<State>,
    /// Reconciled to one of these; to anything or not yet when empty.
    pub reconciliations: Vec<reconciliation::State>,
    /// On this network.
    pub network: Option<NetworkId>,
    /// In this asset.
    pub asset: Option<String>,
    /// By this payer.
    pub payer: Option<String>,
    /// To this recipient.
    pub pay_to: Option<String>,
    /// Of at least so many atomic units.
    pub amount_from: Option<Amount>,
    /// Of at most so many atomic units.
    pub amount_to: Option<Amount>,
    /// First reserved at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// First reserved before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// In a block of this time or later.
    pub landed_from: Option<Timestamp>,
    /// In a block before this time.
    pub landed_before: Option<Timestamp>,
    /// Final since this time or later.
    pub final_from: Option<DateTime<Utc>>,
    /// Final before this time.
    pub final_before: Option<DateTime<Utc>>,
}

/// A name by which payments are found: of one payment, or of as many as somebody gave it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// Ours.
    Id(PaymentId),
    /// The authorization reference.
    Key(PaymentKey),
    /// A name that it is settled once by.
    Reference(PaymentReference),
    /// A transaction that ever carried it, landed it or ended it, ours or anybody's.
    Transaction(TxId),
    /// The transaction's memo.
    Memo(String),
    /// The merchant's name for it.
    MerchantReference(Label),
    /// The order that it pays.
    Order(Label),
    /// What it buys.
    Resource(String),
}

/// Some payments, in the order of when they were first reserved, then of their ids.
#[derive(Debug, Clone)]
pub struct Page {
    /// The payments.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none on the last one.
    pub next: Option<Cursor>,
}

impl Page {
    /// The payments without what the books make of them.
    #[must_use]
    pub fn into_records(self) -> Vec<Record> {
        self.entries.into_iter().map(|it| it.record).collect()
    }
}

impl Store {
    /// The payments that meet `filter`, from just after `after` on, at most `limit` of them (1 ..= [`PAGE_MAX`],
    /// bounds applied). Following `next` meets every payment that was there at the start exactly once, in the state
    /// that it has when its page is read.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_list(&self, filter: &Filter, after: Option<&Cursor>, limit: u16) -> Result<Page, StoreFault> {
        let limit = usize::from(limit.clamp(1, PAGE_MAX));
        let mut places = Vec::new();
        for states in filter.walks() {
            let walk = self.payments_walk(filter, &states, after, limit.saturating_add(1));
            places.extend(walk.await?);
        }
        places.sort_unstable();
        let is_last = places.len() <= limit;
        places.truncate(limit);
        let next = places.last().copied().filter(|_| !is_last);
        let ids: Vec<PaymentId> = places.iter().map(|it| PaymentId::from_uuid(it.id)).collect();
        let mut entries = self.payments_entries(&ids).await?;
        entries.retain(|it| filter.still_lets(&it.record));
        Ok(Page { entries, next })
    }

    /// Where the first `limit` in these states stand, along one index.
    async fn payments_walk(
        &self,
        filter: &Filter,
        states: &[State],
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<Cursor>, StoreFault> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = if let Some((statement, lead)) = filter.alone(states).filter(|_| self.seen().is_none()) {
            let (from_at, from_id) = filter.start(after);
            let query = sqlx::query(statement).bind(from_at).bind(from_id);
            let query = query.bind(filter.end()).bind(limit);
            lead.into_iter().fold(query, |query, lead| query.bind(lead.to_owned()))
        } else {
            let statement = filter.statement(states);
            let query = filter.bound(statement, after, states, self.seen()).bind(limit);
            let names = filter.name.iter().flat_map(Name::columns);
            names.fold(query, Query::bind)
        };
        let operation = "payments_list";
        let fault = StoreFault::reading(operation);
        let mut reading = self.reading(operation).await?;
        let rows = query.fetch_all(&mut *reading).await.map_err(&fault)?;
        let place = |row: &PgRow| {
            Ok(Cursor {
                at: row.try_get(0)?,
                id: row.try_get(1)?,
            })
        };
        rows.iter().map(place).collect::<Result<_, _>>().map_err(&fault)
    }

    /// How many payments meet `filter`, whatever their name.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_count(&self, filter: &Filter) -> Result<u64, StoreFault> {
        let operation = "payments_count";
        let mut reading = self.reading(operation).await?;
        let counting = filter.bound(COUNT, None, &filter.states, self.seen());
        let row = counting.fetch_one(&mut *reading).await;
        let count = row
            .and_then(|row| row.try_get(0))
            .map_err(StoreFault::reading(operation))?;
        unsigned("count", count).map_err(OutOfPlace::during(operation))
    }
}

impl Name {
    fn statement(&self) -> &'static str {
        match self {
            Self::Id(_) => BY_ID,
            Self::Key(_) => BY_KEY,
            Self::Reference(_) => BY_REFERENCE,
            Self::Transaction(_) => BY_TRANSACTION,
            Self::Memo(_) => BY_MEMO,
            Self::MerchantReference(_) => BY_MERCHANT_REFERENCE,
            Self::Order(_) => BY_ORDER,
            Self::Resource(_) => BY_RESOURCE,
        }
    }

    /// What its statement compares: that text, and the kind of a reference.
    fn columns(&self) -> Vec<String> {
        let kind = match self {
            Self::Reference(it) => Some(it.kind.as_str().to_owned()),
            Self::Id(_)
            | Self::Key(_)
            | Self::Transaction(_)
            | Self::Memo(_)
            | Self::MerchantReference(_)
            | Self::Order(_)
            | Self::Resource(_) => None,
        };
        [self.text()].into_iter().chain(kind).collect()
    }
}

impl Filter {
    /// The place to begin after. The nil id comes before every payment of its instant.
    pub(super) fn start(&self, after: Option<&Cursor>) -> (DateTime<Utc>, Uuid) {
        let from = self
            .created_from
            .unwrap_or(DateTime::UNIX_EPOCH)
            .clamp(DateTime::UNIX_EPOCH, end_of_time());
        let start = (from, Uuid::nil());
        after.map_or(start, |cursor| start.max((cursor.at, cursor.id)))
    }

    /// The time before which everything was reserved.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.created_before.unwrap_or_else(end_of_time).min(end_of_time())
    }

    /// No index leads to fewer payments than that by time.
    pub(super) fn is_led_by_time(&self) -> bool {
        let walks = self.walks();
        walks.iter().all(|states| self.statement(states) == BY_TIME)
    }

    /// The statement with all that it compares but a name and how many rows. Planned anew for these values, but for names
    /// that few payments have: a plan kept for all values cannot know that the walk ends early, and at 300,000 payments took a
    /// second instead of a millisecond.
    fn bound(
        &self,
        statement: &'static str,
        after: Option<&Cursor>,
        states: &[State],
        tenant: Option<Uuid>,
    ) -> Query<'static, Postgres, PgArguments> {
        let (from_at, from_id) = self.start(after);
        let states: Vec<&'static str> = states.iter().map(|it| it.as_str()).collect();
        let reconciled: Vec<&'static str> = self.reconciliations.iter().map(|it| it.as_str()).collect();
        let seconds = |at: Option<Timestamp>| at.map(|it| i64::try_from(it.0).unwrap_or(i64::MAX));
        sqlx::query(statement)
            .persistent(self.name.as_ref().is_some_and(Name::is_of_few))
            .bind(from_at)
            .bind(from_id)
            .bind(self.end())
            .bind((!states.is_empty()).then_some(states))
            .bind((!reconciled.is_empty()).then_some(reconciled))
            .bind(self.network.as_ref().map(ToString::to_string))
            .bind(self.asset.clone())
            .bind(self.payer.clone())
            .bind(self.pay_to.clone())
            .bind(self.amount_from.map(|it| it.to_string()))
            .bind(self.amount_to.map(|it| it.to_string()))
            .bind(seconds(self.landed_from))
            .bind(seconds(self.landed_before))
            .bind(self.final_from)
            .bind(self.final_before)
            .bind(tenant)
    }

    /// What can have changed since the payment was found is still as asked for.
    fn still_lets(&self, record: &Record) -> bool {
        let is_final_before = |before| record.final_at.is_some_and(|it| it < before);
        let landed = record.settlement.landed().map(|it| it.block.time);
        (self.states.is_empty() || self.states.contains(&record.settlement.state()))
            && self.landed_from.is_none_or(|from| landed >= Some(from))
            && self
                .landed_before
                .is_none_or(|before| landed.is_some_and(|it| it < before))
            && self.final_from.is_none_or(|from| record.final_at >= Some(from))
            && self.final_before.is_none_or(is_final_before)
    }

    /// The states that are walked apart and merged. Nearly every payment is final, so that state leads nowhere; each of
    /// the others has an index of its own.
    fn walks(&self) -> Vec<Vec<State>> {
        let is_led_otherwise = self.name.is_some() || self.payer.is_some();
        if is_led_otherwise || self.states.is_empty() || self.states.contains(&State::Final) {
            vec![self.states.clone()]
        } else {
            self.states.iter().map(|state| vec![*state]).collect()
        }
    }

    /// The statement whose index leads to the fewest rows.
    fn statement(&self, states: &[State]) -> &'static str {
        if let Some(name) = &self.name {
            name.statement()
        } else if self.payer.is_some() {
            BY_PAYER
        } else if states.len() == 1 && states != [State::Final] {
            BY_STATE
        } else if self.pay_to.is_some() {
            BY_RECIPIENT
        } else {
            BY_TIME
        }
    }

    /// The statement that reads an index alone, and what that begins with; none where the filter says more.
    fn alone(&self, states: &[State]) -> Option<(&'static str, Option<&str>)> {
        let nothing = Self::default();
        let (statement, lead, led_by) = match self.statement(states) {
            BY_TIME => (ALL, None, nothing),
            BY_PAYER => {
                let payer = self.payer.clone();
                (OF_PAYER, self.payer.as_deref(), Self { payer, ..nothing })
            }
            BY_RECIPIENT => {
                let pay_to = self.pay_to.clone();
                (TO_RECIPIENT, self.pay_to.as_deref(), Self { pay_to, ..nothing })
            }
            BY_STATE => {
                let first = states.first().map(|it| it.as_str());
                let states = self.states.clone();
                (IN_STATE, first, Self { states, ..nothing })
            }
            _ => return None,
        };
        let alone = Self {
            created_from: self.created_from,
            created_before: self.created_before,
            ..led_by
        };
        (*self == alone).then_some((statement, lead))
    }
}
