//! What each payer has paid each tenant in all, hour by hour, and who has paid one as much as a threshold. Followed from the feed by any number
//! of processes: whoever moves the place in it on adds what stands between, in one transaction.

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::feed::Place;
use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, network as network_of, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::SCREENING_REVIEW;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::tenant::TenantId;

statements! {
    AT = "select place from paid_sums_place where name = 'tenants'";
    BEGIN = "insert into paid_sums_place (name, place) values ('tenants', $1) on conflict (name) do nothing";
    MOVE = "update paid_sums_place set place = $2 where name = 'tenants' and place = $1";
    // Money that goes back by way of us is nobody's payment.
    ADD = "insert into paid_sums_of_tenants as s (tenant, network, asset, payer, hour, amount, payments)
        select p.tenant, p.network, p.asset, p.payer, n.hour, sum(p.amount), count(*)
        from unnest($1::uuid[], $2::bigint[]) as n(id, hour) join payments p on p.id = n.id
        where not exists (select 1 from refund_attempts a where a.key = p.key)
        group by p.tenant, p.network, p.asset, p.payer, n.hour order by p.tenant, p.network, p.asset, p.payer, n.hour
        on conflict (tenant, network, asset, payer, hour) do update
            set amount = s.amount + excluded.amount, payments = s.payments + excluded.payments
        returning tenant, network, asset, payer, hour";
    CROSS = "insert into thresholds_crossed (tenant, network, asset, payer, span, day, amount, threshold, payments, created_at)
        select n.tenant, n.network, n.asset, n.payer, t.span, max(n.hour) / 24, max(w.amount), t.least::numeric,
            max(w.payments)::bigint, now()
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[]) as n(tenant, network, asset, payer, hour)
        join unnest($6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[]) as t(network, asset, span, hours, least)
            on t.network = n.network and t.asset = n.asset
        cross join lateral (select sum(s.amount) as amount, sum(s.payments) as payments from paid_sums_of_tenants s
            where s.tenant = n.tenant and s.network = n.network and s.asset = n.asset and s.payer = n.payer
                and s.hour between n.hour - t.hours and n.hour) w
        where w.amount >= t.least::numeric
        group by n.tenant, n.network, n.asset, n.payer, t.span, t.least
        on conflict (day, network, asset, payer, span, tenant) do nothing
        returning tenant, network, asset, payer, span, day, amount::text as amount, threshold::text as threshold, payments,
            created_at";
    FORGET = "delete from paid_sums_of_tenants where hour < $1";
    FIND = "select tenant, network, asset, payer, span, day, amount::text as amount, threshold::text as threshold, payments,
            created_at
        from thresholds_crossed
        where (day, network, asset, payer, span, tenant) > ($1, $2, $3, $4, $5, $6) and ($7::text is null or network = $7)
            and ($8::text is null or asset = $8) and ($9::text is null or payer = $9)
            and ($10::timestamptz is null or created_at >= $10) and ($11::timestamptz is null or created_at < $11)
        order by day, network, asset, payer, span, tenant limit $12";
}

/// As much as this, paid to one tenant within a span, is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// On which network.
    pub network: NetworkId,
    /// In which asset, canonical text.
    pub asset: String,
    /// `day`, `week` or `month`.
    pub span: &'static str,
    /// As many hours as that has.
    pub hours: u64,
    /// Atomic units, at least 1.
    pub least: u128,
}

/// That somebody has paid a tenant as much as a threshold within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossed {
    /// Whom.
    pub tenant: TenantId,
    /// On which network.
    pub network: NetworkId,
    /// In which asset.
    pub asset: String,
    /// Who.
    pub payer: String,
    /// `day`, `week` or `month`.
    pub span: String,
    /// The day (UTC) on which it was reached, counted from 1970.
    pub day: u64,
    /// Atomic units in all, as text: more than an amount may hold.
    pub amount: String,
    /// The threshold, in atomic units.
    pub threshold: String,
    /// In how many payments.
    pub payments: u64,
    /// When it was put on record, on the database's clock.
    pub at: DateTime<Utc>,
}

/// Which of them to list.
#[derive(Debug, Clone, Default)]
pub struct CrossedFilter {
    /// On this network.
    pub network: Option<NetworkId>,
    /// In this asset.
    pub asset: Option<String>,
    /// By this payer.
    pub payer: Option<String>,
    /// At or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct CrossedRow {
    tenant: Uuid,
    network: String,
    asset: String,
    payer: String,
    span: String,
    day: i64,
    amount: String,
    threshold: String,
    payments: i64,
    created_at: DateTime<Utc>,
}

impl CrossedRow {
    fn read(self) -> Result<Crossed, OutOfPlace> {
        Ok(Crossed {
            tenant: TenantId::from_uuid(self.tenant),
            network: network_of(&self.network)?,
            asset: self.asset,
            payer: self.payer,
            span: self.span,
            day: unsigned("day", self.day)?,
            amount: self.amount,
            threshold: self.threshold,
            payments: unsigned("payments", self.payments)?,
            at: self.created_at,
        })
    }
}

fn read_all(operation: &'static str, rows: Vec<CrossedRow>) -> Result<Vec<Crossed>, StoreFault> {
    let read: Result<_, _> = rows.into_iter().map(CrossedRow::read).collect();
    read.map_err(OutOfPlace::during(operation))
}

impl Store {
    /// How far the feed was followed.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn sums_place(&self) -> Result<Place, StoreFault> {
        let operation = "sums_place";
        let mut connection = self.connection(operation).await?;
        sqlx::query(BEGIN)
            .bind(Place::BEGINNING.to_string())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        let at: String = sqlx::query_scalar(AT)
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
        at.parse()
            .map_err(|_| OutOfPlace("place"))
            .map_err(OutOfPlace::during(operation))
    }

    /// Adds these payments, which stand in the feed between the two places, each with the hour (of Unix time) in which it became
    /// final; and tells of each payer who has paid a tenant as much as a threshold by that. Nothing when somebody else has added them.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn sums_add(
        &self,
        [from, to]: [Place; 2],
        payments: &[(PaymentId, u64)],
        thresholds: &[Threshold],
    ) -> Result<Vec<Crossed>, StoreFault> {
        let operation = "sums_add";
        let mut transaction = self.begin(operation).await?;
        let moved = sqlx::query(MOVE)
            .bind(from.to_string())
            .bind(to.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if moved.rows_affected() == 0 {
            return Ok(Vec::new());
        }
        let crossed = if payments.is_empty() {
            Vec::new()
        } else {
            add(&mut transaction, operation, payments, thresholds).await?
        };
        let notices: Vec<Notice> = crossed.iter().map(Crossed::notice).collect();
        notices::add(&mut transaction, operation, &notices).await?;
        commit(transaction, operation).await?;
        if !crossed.is_empty() {
            self.ring();
        }
        Ok(crossed)
    }

    /// Forgets what was paid before this hour (of Unix time).
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn sums_forget(&self, hour: u64) -> Result<(), StoreFault> {
        let operation = "sums_forget";
        let mut connection = self.connection(operation).await?;
        sqlx::query(FORGET)
            .bind(signed("hour", hour).map_err(OutOfPlace::during(operation))?)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Who has paid whom as much as a threshold, day by day, after this one, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn sums_crossed(
        &self,
        filter: &CrossedFilter,
        after: Option<&Crossed>,
        limit: u16,
    ) -> Result<Vec<Crossed>, StoreFault> {
        let operation = "sums_crossed";
        let day = after.map_or(Ok(-1), |it| signed("day", it.day));
        let rows: Vec<CrossedRow> = sqlx::query_as(FIND)
            .bind(day.map_err(OutOfPlace::during(operation))?)
            .bind(after.map_or("", |it| it.network.as_str()))
            .bind(after.map_or("", |it| it.asset.as_str()))
            .bind(after.map_or("", |it| it.payer.as_str()))
            .bind(after.map_or("", |it| it.span.as_str()))
            .bind(after.map_or(TenantId::SOLE, |it| it.tenant).as_uuid())
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.asset)
            .bind(&filter.payer)
            .bind(filter.from)
            .bind(filter.before)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_all(operation, rows)
    }
}

async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    payments: &[(PaymentId, u64)],
    thresholds: &[Threshold],
) -> Result<Vec<Crossed>, StoreFault> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let changed: Vec<(Uuid, String, String, String, i64)> = sqlx::query_as(ADD)
        .bind(payments.iter().map(|(id, _)| id.as_uuid()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, hour)| number(*hour)).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let rows: Vec<CrossedRow> = sqlx::query_as(CROSS)
        .bind(changed.iter().map(|it| it.0).collect::<Vec<_>>())
        .bind(changed.iter().map(|it| it.1.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|it| it.2.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|it| it.3.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|it| it.4).collect::<Vec<_>>())
        .bind(thresholds.iter().map(|it| it.network.as_str()).collect::<Vec<_>>())
        .bind(thresholds.iter().map(|it| it.asset.as_str()).collect::<Vec<_>>())
        .bind(thresholds.iter().map(|it| it.span).collect::<Vec<_>>())
        .bind(thresholds.iter().map(|it| number(it.hours)).collect::<Vec<_>>())
        .bind(thresholds.iter().map(|it| it.least.to_string()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    read_all(operation, rows)
}

impl Crossed {
    fn notice(&self) -> Notice {
        let data = json!({
            "network": self.network,
            "account": self.payer,
            "role": "payer",
            "source": "sums",
            "asset": self.asset,
            "span": self.span,
            "amount": self.amount,
            "threshold": self.threshold,
            "payments": self.payments,
        });
        Notice {
            kind: SCREENING_REVIEW,
            subject: format!("{} on {} by sums", self.payer, self.network),
            whose: Whose::Of(self.tenant),
            data,
        }
    }
}
