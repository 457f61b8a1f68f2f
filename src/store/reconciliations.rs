//! Where records, stray transfers and balances stand with the chain, and what operators did about it.

use serde_json::json;
use sqlx::types::Uuid;

use super::admin_log::{self, Deed};
use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, RecordRow, amount, network as network_of, read_all, records, signed, unsigned};
use super::{DateTime, Record, Store, StoreFault, Utc, commit};
use crate::domain::amount::Amount;
use crate::domain::event::{EXCEPTION_HANDLED, EXCEPTION_OPENED};
use crate::domain::id::{ExceptionId, PaymentId};
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::reconciliation::{State, Verdict};

/// `of_tenant!("$7")`: what was judged (`r`) is of this tenant's payment, or of its account where it is of none.
macro_rules! of_tenant {
    ($tenant:literal) => {
        concat!(
            "(",
            $tenant,
            "::uuid is null or ",
            $tenant,
            " = case when r.payment_id is not null then (select p.tenant from payments p where p.id = r.payment_id)
                else coalesce((select m.tenant from merchant_accounts m
                    where m.network = r.network and m.address = r.pay_to), '00000000-0000-0000-0000-000000000000') end)"
        )
    };
}

statements! {
    // What stays as it is is not written anew.
    JUDGE = "insert into reconciliations (id, subject, payment_id, network, asset, pay_to, amount, state, reason, tx,
            block_height, since)
        select n.id, n.subject, n.payment_id, $1, n.asset, n.pay_to, n.amount::numeric, n.state, n.reason, n.tx,
            n.block_height, now()
        from unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::bigint[])
            as n(id, subject, payment_id, asset, pay_to, amount, state, reason, tx, block_height)
        order by n.subject
        on conflict (subject) do update set asset = excluded.asset, pay_to = excluded.pay_to, amount = excluded.amount,
            state = excluded.state, reason = excluded.reason, tx = excluded.tx, block_height = excluded.block_height,
            since = case when (reconciliations.state, reconciliations.amount) = (excluded.state, excluded.amount)
                then reconciliations.since else excluded.since end,
            handled = case when (reconciliations.state, reconciliations.amount) = (excluded.state, excluded.amount)
                then reconciliations.handled end
        where (reconciliations.state, reconciliations.amount, reconciliations.reason)
            <> (excluded.state, excluded.amount, excluded.reason)
        returning id, payment_id, network, asset, pay_to, amount::text as amount, state, reason, tx, block_height, since,
            handled, since = now() as is_new";
    EXPLAIN = "update reconciliations set state = 'matched', reason = 'its record is back', since = now(), handled = null
        where subject = any($1::text[]) and state <> 'matched'";
    PENDING = "select payment_id from reconciliations
        where network = $1 and state = 'pending' and payment_id > $2 order by payment_id limit $3";
    WITH_NONCE = records!("where p.network = $1 and p.nonce = any($2::text[]) order by p.id");
    // Payments that claim the same transfer or are for the same order, and were there before: each kind along its own index, and
    // of an order only the first, since nothing bounds how many name it. Evidence stays after a reorganization, so that the
    // settlement has the last word.
    TWINS = "select p.id, (select min(o.id::text)
            from (
                select e.payment_id as id from evidence e join settlements l on l.payment_id = e.payment_id
                where e.tx = s.landed_tx and e.log_index = s.landed_log_index
                    and l.landed_tx = s.landed_tx and l.landed_log_index = s.landed_log_index
                union all (select n.id from payments n where n.order_id = p.order_id
                    order by n.created_at, n.id limit 20)
                union all (select n.id from payments n where n.memo = p.memo and p.memo ~ '^[0-9a-f]{64}$'
                    order by n.created_at, n.id limit 20)
            ) as named
            join payments o on o.id = named.id
            join settlements t on t.payment_id = o.id
            where o.id < p.id and o.network = p.network and o.pay_to = p.pay_to and o.asset = p.asset
                and o.amount = p.amount and o.tenant = p.tenant and t.state in ('confirmed', 'final')) as twin
        from payments p join settlements s on s.payment_id = p.id
        where p.id = any($1::uuid[]) and s.state in ('confirmed', 'final')";
    EXCEPTIONS = concat!("select id, payment_id, network, asset, pay_to, amount::text as amount, state, reason, tx, block_height,
            since, handled
        from reconciliations r
        where state not in ('pending', 'matched') and id > $1
            and ($2::text is null or state = $2) and ($3::text is null or network = $3)
            and ($4::text is null or pay_to = $4) and coalesce(handled, 'open') = $5
            and ", of_tenant!("$7"), " order by id limit $6");
    COUNTS = "select state, count(*) from reconciliations
        where state not in ('pending', 'matched') and handled is null and network = $1 group by state";
    HANDLE = concat!("update reconciliations r set handled = $2
        where id = $1 and state not in ('pending', 'matched') and ", of_tenant!("$3"), "
        returning state, payment_id, network, pay_to");
    ACT = "insert into reconciliation_actions (id, reconciliation_id, action, state, note, actor, created_at)
        values ($1, $2, $3, $4, $5, $6, now())";
}

/// What is judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Which record, transfer or account and blocks: a name that does not change.
    pub subject: String,
    /// The record, if it is one.
    pub payment: Option<PaymentId>,
    /// The asset.
    pub asset: String,
    /// The recipient.
    pub pay_to: String,
    /// How much is at stake, in atomic units.
    pub amount: Amount,
    /// Where it stands.
    pub verdict: Verdict,
    /// The transaction in question and its block's height.
    pub at: Option<(TxId, u64)>,
}

/// Something that somebody has to look at.
#[derive(Debug, Clone)]
pub struct Exception {
    /// Our name for it.
    pub id: ExceptionId,
    /// The record, if it is about one.
    pub payment: Option<PaymentId>,
    /// The network.
    pub network: NetworkId,
    /// The asset.
    pub asset: String,
    /// The recipient.
    pub pay_to: String,
    /// How much is at stake, in atomic units.
    pub amount: Amount,
    /// What is wrong.
    pub state: State,
    /// Why.
    pub reason: String,
    /// The transaction in question.
    pub tx: Option<TxId>,
    /// Its block's height.
    pub height: Option<u64>,
    /// Since when it is so, on the database's clock.
    pub since: DateTime<Utc>,
    /// What an operator did about it.
    pub handled: Option<Action>,
}

/// What an operator does about an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was put right.
    Resolve,
    /// It is as it should be.
    Ignore,
}

impl Action {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Resolve, Self::Ignore];

    /// The action's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Ignore => "ignore",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// Which exceptions to list.
#[derive(Debug, Clone, Default)]
pub struct ExceptionFilter {
    /// In this state.
    pub state: Option<State>,
    /// On this network.
    pub network: Option<NetworkId>,
    /// About this recipient.
    pub pay_to: Option<String>,
    /// Those that were handled so, instead of those that are open.
    pub handled: Option<Action>,
}

#[derive(sqlx::FromRow)]
struct ExceptionRow {
    id: Uuid,
    payment_id: Option<Uuid>,
    network: String,
    asset: String,
    pay_to: String,
    amount: String,
    state: String,
    reason: String,
    tx: Option<String>,
    block_height: Option<i64>,
    since: DateTime<Utc>,
    handled: Option<String>,
}

/// What was judged and is written anew.
#[derive(sqlx::FromRow)]
struct JudgedRow {
    #[sqlx(flatten)]
    row: ExceptionRow,
    /// It was not in this state before.
    is_new: bool,
}

impl Exception {
    fn opened(&self) -> Notice {
        Notice {
            kind: EXCEPTION_OPENED,
            subject: self.id.to_string(),
            whose: whose(self.payment, &self.network, &self.pay_to),
            data: json!({
                "exception": self.id,
                "state": self.state.as_str(),
                "reason": self.reason,
                "payment": self.payment,
                "network": self.network.as_str(),
                "asset": self.asset,
                "payTo": self.pay_to,
                "amount": self.amount.to_string(),
                "transaction": self.tx.as_ref().map(|tx| &tx.0),
            }),
        }
    }
}

impl Store {
    /// Keeps where these stand.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn reconciliations_judge(&self, network: &NetworkId, judged: &[Judged]) -> Result<(), StoreFault> {
        let operation = "reconciliations_judge";
        if judged.is_empty() {
            return Ok(());
        }
        let texts = |of: fn(&Judged) -> &str| judged.iter().map(of).collect::<Vec<_>>();
        let height = |it: &Judged| {
            it.at
                .as_ref()
                .map(|(_, height)| signed("block_height", *height))
                .transpose()
        };
        let heights: Result<Vec<_>, _> = judged.iter().map(height).collect();
        let mut transaction = self.begin(operation).await?;
        let judged: Vec<JudgedRow> = sqlx::query_as(JUDGE)
            .bind(network.as_str())
            .bind(judged.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
            .bind(texts(|it| &it.subject))
            .bind(
                judged
                    .iter()
                    .map(|it| it.payment.map(|id| id.as_uuid()))
                    .collect::<Vec<_>>(),
            )
            .bind(texts(|it| &it.asset))
            .bind(texts(|it| &it.pay_to))
            .bind(judged.iter().map(|it| it.amount.to_string()).collect::<Vec<_>>())
            .bind(texts(|it| it.verdict.state.as_str()))
            .bind(texts(|it| &it.verdict.reason))
            .bind(
                judged
                    .iter()
                    .map(|it| it.at.as_ref().map(|(tx, _)| tx.0.as_str()))
                    .collect::<Vec<_>>(),
            )
            .bind(heights.map_err(OutOfPlace::during(operation))?)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let opened: Result<Vec<Notice>, _> = judged
            .into_iter()
            .filter(|it| it.is_new)
            .map(|it| it.row.read())
            .filter(|it| it.as_ref().map_or(true, |it| it.state.is_exception()))
            .map(|it| it.map(|it| it.opened()))
            .collect();
        notices::add(
            &mut transaction,
            operation,
            &opened.map_err(OutOfPlace::during(operation))?,
        )
        .await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(())
    }

    /// Transfers that were strays belong to records after all.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn reconciliations_explain(&self, subjects: &[String]) -> Result<(), StoreFault> {
        let operation = "reconciliations_explain";
        let mut connection = self.connection(operation).await?;
        sqlx::query(EXPLAIN)
            .bind(subjects)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The network's payments that could not be compared yet, in the order of their ids, from just after this one on.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn reconciliations_pending(
        &self,
        network: &NetworkId,
        after: Option<PaymentId>,
        limit: u16,
    ) -> Result<Vec<PaymentId>, StoreFault> {
        let ids: Vec<Uuid> = sqlx::query_scalar(PENDING)
            .bind(network.as_str())
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("reconciliations_pending"))?;
        Ok(ids.into_iter().map(PaymentId::from_uuid).collect())
    }

    /// The network's payments with these nonces.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_with_nonces(&self, network: &NetworkId, nonces: &[&str]) -> Result<Vec<Record>, StoreFault> {
        let operation = "payments_with_nonces";
        let rows: Vec<RecordRow> = sqlx::query_as(WITH_NONCE)
            .bind(network.as_str())
            .bind(nonces)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_all(operation, rows)
    }

    /// Of these payments, those that have landed though an earlier one has for the same order, with that one.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_twins(&self, ids: &[PaymentId]) -> Result<Vec<(PaymentId, PaymentId)>, StoreFault> {
        let operation = "payments_twins";
        let rows: Vec<(Uuid, Option<String>)> = sqlx::query_as(TWINS)
            .bind(ids.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let twins = rows.into_iter().filter_map(|(id, twin)| {
            let twin = Uuid::try_parse(&twin?).ok()?;
            Some((PaymentId::from_uuid(id), PaymentId::from_uuid(twin)))
        });
        Ok(twins.collect())
    }

    /// The exceptions that the filter lets through, in the order in which they were first looked at, from just after this
    /// one on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn exceptions_list(
        &self,
        filter: &ExceptionFilter,
        after: Option<ExceptionId>,
        limit: u16,
    ) -> Result<Vec<Exception>, StoreFault> {
        let operation = "exceptions_list";
        let rows: Vec<ExceptionRow> = sqlx::query_as(EXCEPTIONS)
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(filter.state.map(State::as_str))
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.pay_to)
            .bind(filter.handled.map_or("open", Action::as_str))
            .bind(i64::from(limit))
            .bind(self.seen())
            .fetch_all(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        let exceptions: Result<_, _> = rows.into_iter().map(ExceptionRow::read).collect();
        exceptions.map_err(OutOfPlace::during(operation))
    }

    /// How many exceptions are open on the network, by state.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn exceptions_open(&self, network: &NetworkId) -> Result<Vec<(State, u64)>, StoreFault> {
        let operation = "exceptions_open";
        let rows: Vec<(String, i64)> = sqlx::query_as(COUNTS)
            .bind(network.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(state, count): (String, i64)| {
            Ok((
                State::named(&state).ok_or(OutOfPlace("state"))?,
                unsigned("count", count)?,
            ))
        };
        let counts: Result<_, _> = rows.into_iter().map(read).collect();
        counts.map_err(OutOfPlace::during(operation))
    }

    /// Keeps what somebody did about an exception, who and why, here and in the admin's log; false when there is no such
    /// exception.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn exception_act(&self, id: ExceptionId, action: Action, deed: &Deed) -> Result<bool, StoreFault> {
        let operation = "exception_act";
        let fault = StoreFault::reading(operation);
        let mut transaction = self.begin(operation).await?;
        let handled: Option<(String, Option<Uuid>, String, String)> = sqlx::query_as(HANDLE)
            .bind(id.as_uuid())
            .bind(action.as_str())
            .bind(self.seen())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&fault)?;
        let Some((state, payment, network, pay_to)) = handled else {
            return Ok(false);
        };
        let network = network_of(&network).map_err(OutOfPlace::during(operation))?;
        sqlx::query(ACT)
            .bind(Uuid::now_v7())
            .bind(id.as_uuid())
            .bind(action.as_str())
            .bind(&state)
            .bind(&deed.because)
            .bind(&deed.by)
            .execute(&mut *transaction)
            .await
            .map_err(&fault)?;
        let what = json!({"exception": id, "action": action.as_str(), "seen_by": self.viewer()});
        admin_log::add(&mut transaction, operation, deed, "exception.act", what).await?;
        let handled = Notice {
            kind: EXCEPTION_HANDLED,
            subject: id.to_string(),
            whose: whose(payment.map(PaymentId::from_uuid), &network, &pay_to),
            data: json!({"exception": id, "state": state, "action": action.as_str()}),
        };
        notices::add(&mut transaction, operation, &[handled]).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(true)
    }
}

fn whose(payment: Option<PaymentId>, network: &NetworkId, pay_to: &str) -> Whose {
    payment.map_or_else(
        || Whose::Accounts(network.clone(), pay_to.to_owned()),
        |id| Whose::Records(id.as_uuid()),
    )
}

impl ExceptionRow {
    fn read(self) -> Result<Exception, OutOfPlace> {
        let handled = self.handled.map(|it| Action::named(&it).ok_or(OutOfPlace("handled")));
        let height = self.block_height.map(|it| unsigned("block_height", it));
        Ok(Exception {
            id: ExceptionId::from_uuid(self.id),
            payment: self.payment_id.map(PaymentId::from_uuid),
            network: network_of(&self.network)?,
            asset: self.asset,
            pay_to: self.pay_to,
            amount: amount("amount", &self.amount)?,
            state: State::named(&self.state).ok_or(OutOfPlace("state"))?,
            reason: self.reason,
            tx: self.tx.map(TxId),
            height: height.transpose()?,
            since: self.since,
            handled: handled.transpose()?,
        })
    }
}
