//! Who drives which lane: leases on the database's clock, so that no two clocks have to agree.
//!
//! A lease is a row's columns, not a session's lock: it outlives a connection, and a pooler between us and the database
//! changes nothing.

use std::time::Duration;

use sqlx::types::Uuid;

use serde_json::json;

use super::admin_log::{self, Deed};
use super::rows::{OutOfPlace, network, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::lease::{Lease, ProcessId, Tenancy};
use crate::domain::network::NetworkId;
use crate::domain::rail::LaneId;
use crate::seeded::Bug;

statements! {
    BEAT = "with alive as (
            insert into replicas (network, id, alive_until) values ($1, $2, now() + $3::float8 * interval '1 second')
            on conflict (network, id) do update set alive_until = excluded.alive_until
        )
        update lanes set lease_until = now() + $3::float8 * interval '1 second'
        where network = $1 and lease_holder = $2 and lease_until > now()";
    ROLL = "select signer, fence, quarantined_at is not null as is_quarantined,
            case when lease_until > now() then lease_holder end as holder
        from lanes where network = $1 and signer = any($2::text[])
        order by signer";
    LIST = "select l.network, l.signer, l.next_nonce, l.quarantined_at,
            case when l.lease_until > now() then l.lease_holder end as holder,
            (select count(*) from slots o
                where o.network = l.network and o.signer = l.signer and o.consumed_by is null) as in_flight
        from lanes l order by l.network, l.signer";
    ALIVE = "select count(*) from replicas where network = $1 and alive_until > now()";
    FORGET = "delete from replicas where network = $1 and alive_until < now() - $2::float8 * interval '1 second'";
    TAKE = "update lanes set lease_holder = $3, lease_until = now() + $4::float8 * interval '1 second', fence = fence + 1
        where network = $1 and signer = $2 and (lease_until is null or lease_until <= now())
        returning fence";
    GIVE = "update lanes set lease_holder = null, lease_until = null
        where network = $1 and lease_holder = $2 and signer = any($3::text[])";
    LEAVE = "delete from replicas where network = $1 and id = $2";
    QUARANTINE = "update lanes set quarantined_at = now()
        where network = $1 and signer = $2 and quarantined_at is null";
    NEXT = "select next_nonce from lanes where network = $1 and signer = $2 for update";
    SLOTS_FOREIGN = "insert into slots (network, signer, nonce, consumed_by, created_at)
        select $1, $2, n, 'foreign', now() from generate_series($3::bigint, $4::bigint - 1) as n";
    USURPED = "update slots set consumed_by = 'foreign'
        where network = $1 and signer = $2 and nonce = any($3::bigint[]) and consumed_by is null";
    READMIT = "update lanes set quarantined_at = null, next_nonce = $4
        where network = $1 and signer = $2 and next_nonce = $3";
}

/// What stands in the place of a transaction where somebody else has spent a nonce of ours.
pub const FOREIGN: &str = "foreign";

/// How long a process that is silent stays in the list of those that were seen.
const PROCESSES_FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// Who is there, and who drives what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// The lanes asked for that are on record, in the order of their signers.
    pub lanes: Vec<Tenancy>,
    /// How many processes serve the network now, this one among them.
    pub alive: usize,
}

/// A lane on record.
#[derive(Debug, Clone)]
pub struct LaneRecord {
    /// Its network and signer.
    pub lane: LaneId,
    /// The nonce that is signed next.
    pub next_nonce: u64,
    /// How many of its nonces are taken and not known to be spent.
    pub in_flight: u64,
    /// Who drives it now.
    pub holder: Option<ProcessId>,
    /// Since when nothing new may be signed in it.
    pub quarantined_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct LaneRow {
    network: String,
    signer: String,
    next_nonce: i64,
    in_flight: i64,
    holder: Option<Uuid>,
    quarantined_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct TenancyRow {
    signer: String,
    fence: i64,
    is_quarantined: bool,
    holder: Option<Uuid>,
}

impl Store {
    /// Says that `me` serves the network, prolongs the leases that it still has to `term` from now, and reads who
    /// drives which of these lanes.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn leases_beat(
        &self,
        network: &NetworkId,
        me: ProcessId,
        lanes: &[LaneId],
        term: Duration,
    ) -> Result<Roll, StoreFault> {
        let operation = "leases_beat";
        let mut connection = self.connection(operation).await?;
        sqlx::query(BEAT)
            .bind(network.as_str())
            .bind(me.0)
            .bind(term.as_secs_f64())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        let signers: Vec<&str> = lanes.iter().map(|lane| lane.signer.as_str()).collect();
        let rows: Vec<TenancyRow> = sqlx::query_as(ROLL)
            .bind(network.as_str())
            .bind(signers)
            .fetch_all(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
        let alive: i64 = sqlx::query_scalar(ALIVE)
            .bind(network.as_str())
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |row: TenancyRow| {
            Ok(Tenancy {
                lane: LaneId {
                    network: network.clone(),
                    signer: row.signer,
                },
                holder: row.holder.map(ProcessId),
                fence: unsigned("fence", row.fence)?,
                is_quarantined: row.is_quarantined,
            })
        };
        let lanes: Result<_, _> = rows.into_iter().map(read).collect();
        Ok(Roll {
            lanes: lanes.map_err(OutOfPlace::during(operation))?,
            alive: usize::try_from(alive).unwrap_or_default(),
        })
    }

    /// All lanes on record, by network and signer.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn lanes_list(&self) -> Result<Vec<LaneRecord>, StoreFault> {
        let operation = "lanes_list";
        let rows: Vec<LaneRow> = sqlx::query_as(LIST)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |row: LaneRow| {
            Ok(LaneRecord {
                lane: LaneId {
                    network: network(&row.network)?,
                    signer: row.signer,
                },
                next_nonce: unsigned("next_nonce", row.next_nonce)?,
                in_flight: unsigned("in_flight", row.in_flight)?,
                holder: row.holder.map(ProcessId),
                quarantined_at: row.quarantined_at,
            })
        };
        let lanes: Result<_, _> = rows.into_iter().map(read).collect();
        lanes.map_err(OutOfPlace::during(operation))
    }

    /// Takes a lane that nobody has a lease of, for `term` from now. None when somebody has.
    ///
    /// # Errors
    /// Faults of the store. After [`StoreFault::OutcomeUnknown`] the lane may have been taken under a fence that nobody
    /// knows: it is free again when the term is over.
    pub async fn lease_take(&self, lane: &LaneId, me: ProcessId, term: Duration) -> Result<Option<Lease>, StoreFault> {
        let operation = "lease_take";
        let mut connection = self.connection(operation).await?;
        let statement = if Bug::HeldLaneTaken.is_on() {
            "update lanes set lease_holder = $3, lease_until = now() + $4::float8 * interval '1 second', fence = fence + 1
                where network = $1 and signer = $2 returning fence"
        } else {
            TAKE
        };
        let fence: Option<i64> = sqlx::query_scalar(statement)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(me.0)
            .bind(term.as_secs_f64())
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        fence
            .map(|fence| {
                Ok(Lease {
                    lane: lane.clone(),
                    holder: me,
                    fence: unsigned("fence", fence)?,
                })
            })
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// Gives up the leases that `me` has of these lanes, so that others need not wait for their end.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn leases_give(&self, network: &NetworkId, me: ProcessId, lanes: &[LaneId]) -> Result<(), StoreFault> {
        let operation = "leases_give";
        let signers: Vec<&str> = lanes.iter().map(|lane| lane.signer.as_str()).collect();
        let mut connection = self.connection(operation).await?;
        sqlx::query(GIVE)
            .bind(network.as_str())
            .bind(me.0)
            .bind(signers)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Says that `me` no longer serves the network, and forgets those that have been silent for long.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn replica_leave(&self, network: &NetworkId, me: ProcessId) -> Result<(), StoreFault> {
        let operation = "replica_leave";
        let mut connection = self.connection(operation).await?;
        sqlx::query(LEAVE)
            .bind(network.as_str())
            .bind(me.0)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        sqlx::query(FORGET)
            .bind(network.as_str())
            .bind(PROCESSES_FORGOTTEN_AFTER.as_secs_f64())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Lets nothing new be signed in the lane by any process, until [`Store::lane_readmit`]. True when that is news.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn lane_quarantine(&self, lane: &LaneId) -> Result<bool, StoreFault> {
        let operation = "lane_quarantine";
        let mut connection = self.connection(operation).await?;
        let done = sqlx::query(QUARANTINE)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(done.rows_affected() == 1)
    }

    /// Records that somebody else has spent these nonces of the lane: what was signed for them will never be mined.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn slots_usurped(&self, lane: &LaneId, nonces: &[u64]) -> Result<(), StoreFault> {
        let operation = "slots_usurped";
        let nonces: Result<Vec<i64>, _> = nonces.iter().map(|nonce| signed("nonce", *nonce)).collect();
        let mut connection = self.connection(operation).await?;
        sqlx::query(USURPED)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(nonces.map_err(OutOfPlace::during(operation))?)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The same by an operator. False when there is no such lane, or it is closed already.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn lane_close(&self, lane: &LaneId, deed: &Deed) -> Result<bool, StoreFault> {
        let closing = sqlx::query(QUARANTINE).bind(lane.network.as_str()).bind(&lane.signer);
        let what = json!({"network": lane.network.as_str(), "signer": lane.signer});
        self.logged("lane_close", deed, "lane.close", what, closing).await
    }

    /// Lets a lane be signed in again from the chain's next nonce on: what somebody else has used up is put on record as
    /// such, so that the slots stay without gaps. False when there is no such lane.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn lane_readmit(&self, lane: &LaneId, chain_nonce: u64, deed: &Deed) -> Result<bool, StoreFault> {
        let operation = "lane_readmit";
        let chains = signed("chain_nonce", chain_nonce).map_err(OutOfPlace::during(operation))?;
        let mut transaction = self.begin(operation).await?;
        let next: Option<i64> = sqlx::query_scalar(NEXT)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let Some(next) = next else {
            return Ok(false);
        };
        for (statement, from) in [(SLOTS_FOREIGN, next), (READMIT, next)] {
            sqlx::query(statement)
                .bind(lane.network.as_str())
                .bind(&lane.signer)
                .bind(from)
                .bind(chains.max(next))
                .execute(&mut *transaction)
                .await
                .map_err(StoreFault::reading(operation))?;
        }
        let what = json!({"network": lane.network.as_str(), "signer": lane.signer});
        admin_log::add(&mut transaction, operation, deed, "lane.readmit", what).await?;
        commit(transaction, operation).await?;
        Ok(true)
    }
}
