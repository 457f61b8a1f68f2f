//! What an operator watches over time: what signers spend, how far networks are followed, and how much is paid.

use super::rows::{OutOfPlace, amount, network, unsigned};
use super::{DateTime, Store, StoreFault, Utc};
use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;
use crate::domain::rail::LaneId;

/// Sums over the payments since `$1`, the newest `$2` of them at most, in spans of `$3` seconds: `$subject` is whose they
/// are, so that one more grouping is one more column.
macro_rules! volume {
    ($subject:literal, $order:literal) => {
        concat!(
            "select w.network, w.asset, ",
            $subject,
            " as subject, floor(extract(epoch from w.created_at) / $3)::bigint * $3 as starts_at, count(*) as payments,
                count(*) filter (where s.state in ('confirmed', 'final')) as settled,
                count(*) filter (where s.state in ('failed', 'withdrawn')) as failed,
                coalesce(sum(w.amount) filter (where s.state in ('confirmed', 'final')), 0)::text as amount
            from (select id, network, asset, pay_to, tenant, amount, created_at from payments where created_at >= $1
                    order by created_at desc, id desc limit $2) w
                join settlements s on s.payment_id = w.id left join tenants t on t.id = w.tenant
            group by 1, 2, 3, 4 order by ",
            $order,
            " limit $4"
        )
    };
}

statements! {
    BY_ASSET = volume!("null::text", "4, 1, 2");
    BY_RECIPIENT = volume!("w.pay_to", "5 desc, 1, 2, 3");
    BY_TENANT = volume!("t.name", "5 desc, 1, 2, 3");
    // The first payment that is counted no more.
    COUNTED_FROM = "select created_at from payments where created_at >= $1
        order by created_at desc, id desc offset $2 limit 1";
    BURN = "select l.network, l.signer, count(b.cost) as mined, coalesce(sum(b.cost), 0)::text as cost, count(*) as seen,
            min(b.created_at) as since
        from lanes l cross join lateral (
            select t.cost, t.created_at from chain_transactions t where t.network = l.network and t.signer = l.signer
            order by t.nonce desc limit $1) b
        where b.created_at > now() - interval '1 day'
        group by l.network, l.signer order by l.network, l.signer";
    FOLLOWED = "select network, count(*) as accounts, min(scanned_height) as height from watched_accounts
        group by network";
    OPEN = "select p.network, s.state, count(*) as payments, min(p.created_at) as since
        from (select payment_id, state from settlements where state in ('reserved', 'in_flight', 'confirmed')
                and state <> 'final' limit $1) s
            join payments p on p.id = s.payment_id
        group by p.network, s.state order by p.network, s.state";
    EXCEPTIONS = "select r.network, count(*) as open
        from (select network from reconciliations where state not in ('pending', 'matched') and handled is null limit $1) r
        group by r.network";
}

/// The most payments that volumes are counted over, and the most sums that are given.
pub const COUNTED_MAX: u32 = 100_000;
const SUMS_MAX: i64 = 5_000;

/// The most recipients, or tenants, that are told apart.
const SUBJECTS_MAX: i64 = 50;

/// The most transactions of a signer that its spending is summed over.
pub const BURN_OVER: u32 = 2_000;

/// The most open settlements and exceptions that are counted.
pub const OPEN_COUNTED_MAX: u32 = 20_000;

/// Whose volume is told apart, within a network and an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// Nobody's.
    Asset,
    /// Each recipient's; the 50 with the most payments.
    Recipient,
    /// Each tenant's, by its name; the 50 with the most payments.
    Tenant,
}

/// What was paid in one asset within one span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// On which network.
    pub network: NetworkId,
    /// In which asset.
    pub asset: String,
    /// Whose it is, where that is told apart.
    pub subject: Option<String>,
    /// When the span begins, in Unix seconds.
    pub starts_at: u64,
    /// How many payments were begun.
    pub payments: u64,
    /// How many of them are confirmed or final by now.
    pub settled: u64,
    /// How many of them have failed or were withdrawn.
    pub failed: u64,
    /// What the settled ones come to, in atomic units. A sum: it may be more than any one amount can be.
    pub amount: String,
}

#[derive(sqlx::FromRow)]
struct VolumeRow {
    network: String,
    asset: String,
    subject: Option<String>,
    starts_at: i64,
    payments: i64,
    settled: i64,
    failed: i64,
    amount: String,
}

/// What a signer has spent within the last day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burn {
    /// The signer's lane.
    pub lane: LaneId,
    /// How many transactions of that time are mined.
    pub mined: u64,
    /// What they cost, in the chain's smallest unit.
    pub cost: Amount,
    /// Since when, if it is not the whole day: more transactions than [`BURN_OVER`] are not looked at.
    pub since: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct BurnRow {
    network: String,
    signer: String,
    mined: i64,
    cost: String,
    seen: i64,
    since: DateTime<Utc>,
}

/// How far a network's accounts were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The network.
    pub network: NetworkId,
    /// How many accounts are followed.
    pub accounts: u64,
    /// The block up to which all of them were read.
    pub height: u64,
}

/// How many settlements of a network are open in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The network.
    pub network: NetworkId,
    /// The state.
    pub state: String,
    /// How many.
    pub payments: u64,
    /// When the oldest was begun.
    pub since: DateTime<Utc>,
}

impl Store {
    /// What was paid since this time, in spans of so many seconds, and since when it is counted where that is later:
    /// the newest [`COUNTED_MAX`] payments are.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn volume(
        &self,
        since: DateTime<Utc>,
        span_seconds: u32,
        grouping: Grouping,
    ) -> Result<(Vec<Volume>, Option<DateTime<Utc>>), StoreFault> {
        let operation = "volume";
        let (statement, most) = match grouping {
            Grouping::Asset => (BY_ASSET, SUMS_MAX),
            Grouping::Recipient => (BY_RECIPIENT, SUBJECTS_MAX),
            Grouping::Tenant => (BY_TENANT, SUBJECTS_MAX),
        };
        let rows: Vec<VolumeRow> = sqlx::query_as(statement)
            .bind(since)
            .bind(i64::from(COUNTED_MAX))
            .bind(i64::from(span_seconds))
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let from = sqlx::query_scalar(COUNTED_FROM)
            .bind(since)
            .bind(i64::from(COUNTED_MAX))
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |row: VolumeRow| {
            Ok(Volume {
                network: network(&row.network)?,
                asset: row.asset,
                subject: row.subject,
                starts_at: unsigned("starts_at", row.starts_at)?,
                payments: unsigned("payments", row.payments)?,
                settled: unsigned("settled", row.settled)?,
                failed: unsigned("failed", row.failed)?,
                amount: row.amount,
            })
        };
        let volumes: Result<_, _> = rows.into_iter().map(read).collect();
        Ok((volumes.map_err(OutOfPlace::during(operation))?, from))
    }

    /// What each signer has spent within the last day, as far as [`BURN_OVER`] transactions of each tell.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn signers_burn(&self) -> Result<Vec<Burn>, StoreFault> {
        let operation = "signers_burn";
        let rows: Vec<BurnRow> = sqlx::query_as(BURN)
            .bind(i64::from(BURN_OVER))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |row: BurnRow| {
            Ok(Burn {
                lane: LaneId {
                    network: network(&row.network)?,
                    signer: row.signer,
                },
                mined: unsigned("mined", row.mined)?,
                cost: amount("cost", &row.cost)?,
                since: (row.seen >= i64::from(BURN_OVER)).then_some(row.since),
            })
        };
        let burns: Result<_, _> = rows.into_iter().map(read).collect();
        burns.map_err(OutOfPlace::during(operation))
    }

    /// How far each network's accounts were read.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn accounts_reach(&self) -> Result<Vec<Reach>, StoreFault> {
        let operation = "accounts_reach";
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(FOLLOWED)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(name, accounts, height): (String, i64, i64)| {
            Ok(Reach {
                network: network(&name)?,
                accounts: unsigned("accounts", accounts)?,
                // An account of which nothing was read stands one before its first block, which may be the chain's.
                height: height.try_into().unwrap_or_default(),
            })
        };
        let reaches: Result<_, _> = rows.into_iter().map(read).collect();
        reaches.map_err(OutOfPlace::during(operation))
    }

    /// How many settlements are open, by network and state; of [`OPEN_COUNTED_MAX`] at most.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn settlements_standing(&self) -> Result<Vec<Open>, StoreFault> {
        let operation = "settlements_standing";
        let rows: Vec<(String, String, i64, DateTime<Utc>)> = sqlx::query_as(OPEN)
            .bind(i64::from(OPEN_COUNTED_MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(name, state, payments, since): (String, String, i64, DateTime<Utc>)| {
            Ok(Open {
                network: network(&name)?,
                state,
                payments: unsigned("payments", payments)?,
                since,
            })
        };
        let open: Result<_, _> = rows.into_iter().map(read).collect();
        open.map_err(OutOfPlace::during(operation))
    }

    /// How many exceptions of each network nobody has handled; of [`OPEN_COUNTED_MAX`] at most.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn exceptions_waiting(&self) -> Result<Vec<(NetworkId, u64)>, StoreFault> {
        let operation = "exceptions_waiting";
        let rows: Vec<(String, i64)> = sqlx::query_as(EXCEPTIONS)
            .bind(i64::from(OPEN_COUNTED_MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(name, open): (String, i64)| Ok((network(&name)?, unsigned("open", open)?));
        let counts: Result<_, _> = rows.into_iter().map(read).collect();
        counts.map_err(OutOfPlace::during(operation))
    }
}
