//! What settling may cost, across all processes: windows that worst cases are taken from, and what replaces those once the
//! chain has told the true cost.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::types::Uuid;

use super::rows::OutOfPlace;
use super::{Store, StoreFault};
use crate::domain::budget::{Draw, Scope, Shortage, Span};
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;

/// Takes from each window, or refuses all of it by [`WITHIN`]. What takes nothing only looks at windows that there are.
/// Windows are locked in the order of their names, so that no two writers wait for each other in a ring.
macro_rules! drawing {
    ($network:literal, $scopes:literal, $subjects:literal, $spans:literal, $amounts:literal, $limits:literal, $if:literal) => {
        concat!(
            "insert into budget_windows as w (network, scope, subject, span, starts_at, taken, ceiling)
            select ",
            $network,
            "::text, d.scope, d.subject, d.span, d.starts_at, d.amount, d.ceiling
            from (select scope, subject, span, floor(extract(epoch from now()) / span)::bigint * span as starts_at,
                    amount::numeric as amount, ceiling::numeric as ceiling
                from unnest(",
            $scopes,
            "::text[], ",
            $subjects,
            "::text[], ",
            $spans,
            "::bigint[], ",
            $amounts,
            "::text[], ",
            $limits,
            "::text[]) as a(scope, subject, span, amount, ceiling)) d
            where (d.amount > 0 or exists (select 1 from budget_windows b where b.network = ",
            $network,
            "::text
                    and b.scope = d.scope and b.subject = d.subject and b.span = d.span
                    and b.starts_at = d.starts_at)) ",
            $if,
            "
            order by d.scope, d.subject, d.span, d.starts_at
            on conflict (network, scope, subject, span, starts_at)
                do update set taken = w.taken + excluded.taken, ceiling = excluded.ceiling"
        )
    };
}
pub(super) use drawing;

statements! {
    DRAW = drawing!("$1", "$2", "$3", "$4", "$5", "$6", "");
    SHORT = "select a.scope, a.span,
            (a.span - floor(extract(epoch from now()))::bigint % a.span)::bigint as ends_in
        from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
            as a(scope, subject, span, amount, ceiling)
            left join budget_windows w on w.network = $1::text and w.scope = a.scope and w.subject = a.subject
                and w.span = a.span
                and w.starts_at = floor(extract(epoch from now()) / a.span)::bigint * a.span
        where coalesce(w.taken, 0) + a.amount::numeric > a.ceiling::numeric
        order by ends_in desc limit 1";
    REVERTED = "insert into budget_windows as w (network, scope, subject, span, starts_at, taken)
        select p.network, 'reverts', p.payer, $2::bigint,
            floor(extract(epoch from now()) / $2::bigint)::bigint * $2::bigint, count(*)
        from payments p where p.id = any($1::uuid[])
        group by p.network, p.payer
        order by p.network, p.payer
        on conflict (network, scope, subject, span, starts_at)
            do update set taken = w.taken + excluded.taken, ceiling = null";
    // A payment whose nonce is not known to be spent may still cost something: it keeps its worst case.
    METER = "with seats as (
            select a.payment_id, a.seat, a.network, a.signer, a.nonce, t.cost,
                (select count(*) from settlement_attempts n
                    where n.network = a.network and n.signer = a.signer and n.nonce = a.nonce) as seats
            from settlement_attempts a
                left join chain_transactions t on t.network = a.network and t.signer = a.signer
                    and t.nonce = a.nonce and t.cost is not null
            where a.payment_id = any($1::uuid[])
        ), payers as (
            select s.payment_id, p.network, p.payer, p.tenant, p.asset, s.budget_at, s.budget_held as held,
                s.value_held, case when s.state in ('failed', 'withdrawn') then 0 else s.value_held end as value_moved,
                coalesce((select sum(div(c.cost, c.seats) + case c.seat when 0 then mod(c.cost, c.seats) else 0 end)
                    from seats c where c.payment_id = s.payment_id), 0) as spent
            from settlements s join payments p on p.id = s.payment_id
            where s.payment_id = any($1::uuid[]) and s.budget_held is not null
                and not exists (select 1 from settlement_attempts a
                    join slots o on o.network = a.network and o.signer = a.signer and o.nonce = a.nonce
                    where a.payment_id = s.payment_id and o.consumed_by is null)
            order by s.payment_id for update of s
        ), senders as (
            select o.network, o.signer, o.nonce, o.created_at, o.budget_held as held,
                coalesce((select max(c.cost) from seats c
                    where c.network = o.network and c.signer = o.signer and c.nonce = o.nonce), 0) as spent
            from slots o
            where o.budget_held is not null and o.consumed_by is not null
                and (o.network, o.signer, o.nonce) in (select c.network, c.signer, c.nonce from seats c)
            order by o.network, o.signer, o.nonce for update of o
        ), changes as (
            select network, 'total' as scope, '' as subject, budget_at as at, spent - held as change from payers
            union all select network, 'payer', payer, budget_at, spent - held from payers
            union all select network, 'tenant', tenant::text, budget_at, spent - held from payers
            union all select network, 'value', tenant::text || ' ' || asset, budget_at, value_moved - value_held from payers
                where value_held > value_moved
            union all select network, 'signer', signer, created_at, spent - held from senders
        ), sums as (
            select c.network, c.scope, c.subject, s.span,
                floor(extract(epoch from c.at) / s.span)::bigint * s.span as starts_at, sum(c.change) as change
            from changes c cross join (values (60::bigint), (86400::bigint)) as s(span)
            group by 1, 2, 3, 4, 5
        ), locked as (
            select w.network, w.scope, w.subject, w.span, w.starts_at, s.change
            from budget_windows w join sums s on s.network = w.network and s.scope = w.scope
                and s.subject = w.subject and s.span = w.span and s.starts_at = w.starts_at
            order by w.scope, w.subject, w.span, w.starts_at for update of w
        ), paid as (
            update settlements s set budget_held = p.spent, value_held = p.value_moved from payers p
            where s.payment_id = p.payment_id
        ), sent as (
            update slots o set budget_held = s.spent from senders s
            where o.network = s.network and o.signer = s.signer and o.nonce = s.nonce
        )
        update budget_windows w set taken = greatest(w.taken + l.change, 0), ceiling = null
        from locked l where w.network = l.network and w.scope = l.scope and w.subject = l.subject
            and w.span = l.span and w.starts_at = l.starts_at";
    FORGET = "delete from budget_windows where starts_at < floor(extract(epoch from now()))::bigint - $1";
}

/// What refuses to take more from a window than there is.
pub(super) const WITHIN: &str = "budget_windows_within";

/// Draws as columns.
pub(super) struct Draws<'a> {
    scopes: Vec<&'static str>,
    subjects: Vec<&'a str>,
    spans: Vec<i64>,
    amounts: Vec<String>,
    limits: Vec<String>,
}

impl<'a> Draws<'a> {
    pub(super) fn of(draws: &'a [Draw]) -> Self {
        Self {
            scopes: draws.iter().map(|it| it.scope.as_str()).collect(),
            subjects: draws.iter().map(|it| it.subject.as_str()).collect(),
            spans: draws.iter().map(|it| it.span.seconds().into()).collect(),
            amounts: draws.iter().map(|it| it.amount.to_string()).collect(),
            limits: draws.iter().map(|it| it.limit.to_string()).collect(),
        }
    }

    /// The five columns, in the order of `drawing!`.
    pub(super) fn bind<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>
    where
        'a: 'q,
    {
        query
            .bind(self.scopes)
            .bind(self.subjects)
            .bind(self.spans)
            .bind(self.amounts)
            .bind(self.limits)
    }
}

/// Takes all of it or nothing; then by a fault of the constraint [`WITHIN`], after which the transaction is over.
pub(super) async fn draw(
    connection: &mut PgConnection,
    operation: &'static str,
    network: &NetworkId,
    draws: &[Draw],
) -> Result<(), StoreFault> {
    if draws.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(DRAW).bind(network.as_str());
    Draws::of(draws)
        .bind(query)
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

/// Counts a failed transaction against the payer of each of these payments.
pub(super) async fn reverted(
    connection: &mut PgConnection,
    operation: &'static str,
    payments: Vec<Uuid>,
) -> Result<(), StoreFault> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query(REVERTED)
        .bind(payments)
        .bind(i64::from(Span::Hour.seconds()))
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

/// Puts what these payments have cost in the place of their worst case.
pub(super) async fn meter(
    connection: &mut PgConnection,
    operation: &'static str,
    payments: Vec<Uuid>,
) -> Result<(), StoreFault> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query(METER)
        .bind(payments)
        .execute(connection)
        .await
        .map_err(StoreFault::writing(operation))?;
    Ok(())
}

impl Store {
    /// Puts what these payments have cost, as far as the chain has told, in the place of the worst case that the windows
    /// hold for them and for the signers that sent them. For payments that no further transaction is signed for; those
    /// with a transaction that may still be mined keep their worst case.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn budgets_meter(&self, payments: &[PaymentId]) -> Result<(), StoreFault> {
        let operation = "budgets_meter";
        let mut connection = self.connection(operation).await?;
        meter(
            &mut connection,
            operation,
            payments.iter().map(PaymentId::as_uuid).collect(),
        )
        .await
    }

    /// Forgets windows that ended more than a day ago.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn budgets_forget(&self) -> Result<(), StoreFault> {
        let operation = "budgets_forget";
        let mut connection = self.connection(operation).await?;
        sqlx::query(FORGET)
            .bind(i64::from(Span::Day.seconds()).saturating_mul(2))
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The window that these draws find too little in; of several the one that ends last. None when all of them would be
    /// given now.
    pub(super) async fn budget_short(
        &self,
        operation: &'static str,
        network: &NetworkId,
        draws: &[Draw],
    ) -> Result<Option<Shortage>, StoreFault> {
        let Draws {
            scopes,
            subjects,
            spans,
            amounts,
            limits,
        } = Draws::of(draws);
        let short: Option<(String, i64, i64)> = sqlx::query_as(SHORT)
            .bind(network.as_str())
            .bind(scopes)
            .bind(subjects)
            .bind(spans)
            .bind(amounts)
            .bind(limits)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(scope, span, ends_in): (String, i64, i64)| {
            let scope = Scope::ALL.into_iter().find(|it| it.as_str() == scope);
            let span = Span::ALL.into_iter().find(|it| i64::from(it.seconds()) == span);
            Ok(Shortage {
                scope: scope.ok_or(OutOfPlace("scope"))?,
                span: span.ok_or(OutOfPlace("span"))?,
                ends_in: u64::try_from(ends_in).unwrap_or_default().max(1),
            })
        };
        short.map(read).transpose().map_err(OutOfPlace::during(operation))
    }
}
