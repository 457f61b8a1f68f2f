//! Our own transactions: which still have to be mined, and what the chain made of them.

use super::rows::{OutOfPlace, signed, unsigned};
use super::{Store, StoreFault, commit, ledger};
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, Mined, TxId};
use crate::domain::settlement::State;

statements! {
    CARRIERS = "with places as (
            select signer, nonce from slots where network = $1 and consumed_by is null
            union
            select a.signer, a.nonce from settlements s join settlement_attempts a on a.payment_id = s.payment_id
            where s.state = any($2::text[]) and s.state <> 'final' and a.network = $1
        )
        select t.signer, t.nonce, t.tx, t.raw, t.is_empty, o.consumed_by from places p
            join slots o on o.network = $1 and o.signer = p.signer and o.nonce = p.nonce
            join chain_transactions t on t.network = $1 and t.signer = p.signer and t.nonce = p.nonce
        order by t.nonce, t.signer, t.created_at, t.tx";
    // What another process knew to be mined, and has been displaced by a reorganization since.
    DISPLACED = "update chain_transactions t set status = 'signed', block_height = null, block_hash = null,
            block_time = null, cost = null
        from chain_transactions n
        where n.network = $1 and n.tx = any($2::text[]) and t.network = $1 and t.signer = n.signer
            and t.nonce = n.nonce and t.status = 'mined' and t.tx <> n.tx";
    MINED = "with seen as (
            select * from unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
            as m(tx, height, hash, at, cost)
        ), mined as (
            update chain_transactions t set status = 'mined', block_height = seen.height, block_hash = seen.hash,
                block_time = seen.at, cost = seen.cost::numeric
            from seen where t.tx = seen.tx and t.network = $1
                and (t.status <> 'mined' or t.block_hash <> seen.hash or t.cost <> seen.cost::numeric)
            returning t.signer, t.nonce, t.tx
        )
        update slots o set consumed_by = mined.tx from mined
        where o.network = $1 and o.signer = mined.signer and o.nonce = mined.nonce";
    REORGANIZED = "with back as (
            update chain_transactions t set status = 'signed', block_height = null, block_hash = null,
                block_time = null, cost = null
            where t.network = $1 and t.tx = any($2::text[]) and t.status = 'mined'
            returning t.signer, t.nonce, t.tx
        )
        update slots o set consumed_by = null from back
        where o.network = $1 and o.signer = back.signer and o.nonce = back.nonce and o.consumed_by = back.tx";
    UNWATCHED = "select t.tx from chain_transactions t
        where t.network = $1 and t.signer = $2 and t.nonce >= $3 and t.status = 'mined'
            and not exists (select 1 from settlement_attempts a join settlements s on s.payment_id = a.payment_id
                where a.network = t.network and a.signer = t.signer and a.nonce = t.nonce and s.state = any($4::text[]))
        order by t.nonce limit $5";
    DEAD = "with gone as (
            update chain_transactions t set status = 'dead'
            where t.network = $1 and t.tx = any($2::text[]) and t.status = 'signed'
            returning t.signer, t.nonce, t.tx
        )
        update slots o set consumed_by = gone.tx from gone
        where o.network = $1 and o.signer = gone.signer and o.nonce = gone.nonce and o.consumed_by is null";
}

/// A transaction of ours, with what is on record of its slot.
#[derive(Clone)]
pub struct Carrier {
    /// The lane it belongs to.
    pub lane: LaneId,
    /// Its nonce there. Several transactions may have the same: at most one of them is ever mined.
    pub nonce: u64,
    /// Its name.
    pub tx: TxId,
    /// Its exact bytes.
    pub raw: Vec<u8>,
    /// It carries no payment and only uses its nonce up.
    pub is_empty: bool,
    /// The transaction that the nonce was spent by, once it is known.
    pub spent_by: Option<TxId>,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier")
            .field("lane", &self.lane)
            .field("nonce", &self.nonce)
            .field("tx", &self.tx)
            .field("spent_by", &self.spent_by)
            .finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow)]
struct CarrierRow {
    signer: String,
    nonce: i64,
    tx: String,
    raw: Vec<u8>,
    is_empty: bool,
    consumed_by: Option<String>,
}

/// What refuses a second mined transaction for one nonce.
const ONE_MINED: &str = "chain_transactions_one_mined";

impl Store {
    /// Our transactions on the network whose nonce is not known to be spent, and those with a nonce by which a payment
    /// was carried that is in one of these states; the lowest nonce first, of those with the same nonce the oldest. As
    /// many as the lanes may have in flight and the open payments were carried by.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn transactions_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Carrier>, StoreFault> {
        let operation = "transactions_open";
        let rows: Vec<CarrierRow> = sqlx::query_as(CARRIERS)
            .bind(network.as_str())
            .bind(states.iter().map(|state| state.as_str()).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        rows.into_iter()
            .map(|row| {
                Ok(Carrier {
                    lane: LaneId {
                        network: network.clone(),
                        signer: row.signer,
                    },
                    nonce: unsigned("nonce", row.nonce).map_err(OutOfPlace::during(operation))?,
                    tx: TxId(row.tx),
                    raw: row.raw,
                    is_empty: row.is_empty,
                    spent_by: row.consumed_by.map(TxId),
                })
            })
            .collect()
    }

    /// Records where our transactions were mined and at what cost, and that their nonces are spent. Passes over
    /// transactions that are not ours; safe to repeat. Of two transactions with one nonce the one reported last counts:
    /// a reorganization took the other out.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat after any of them.
    pub async fn transactions_mined(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        if mined.is_empty() {
            return Ok(());
        }
        match self.write_mined(network, mined).await {
            Err(fault) if fault.constraint() == Some(ONE_MINED) => {
                self.displace(network, mined).await?;
                self.write_mined(network, mined).await
            }
            done => done,
        }
    }

    async fn write_mined(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        let operation = "transactions_mined";
        let heights: Vec<i64> = mined
            .iter()
            .map(|it| signed("block_height", it.block.height))
            .collect::<Result<_, _>>()
            .map_err(OutOfPlace::during(operation))?;
        let times: Vec<i64> = mined
            .iter()
            .map(|it| signed("block_time", it.block.time.0))
            .collect::<Result<_, _>>()
            .map_err(OutOfPlace::during(operation))?;
        let txs: Vec<&str> = mined.iter().map(|it| it.tx.0.as_str()).collect();
        let mut transaction = self.begin(operation).await?;
        let over = ledger::carried(&mut transaction, operation, network, &txs).await?;
        sqlx::query(MINED)
            .bind(network.as_str())
            .bind(txs)
            .bind(heights)
            .bind(mined.iter().map(|it| it.block.hash.as_str()).collect::<Vec<_>>())
            .bind(times)
            .bind(mined.iter().map(|it| it.cost.to_string()).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        ledger::correct(&mut transaction, operation, &over).await?;
        commit(transaction, operation).await
    }

    /// Takes back that others with the same nonces were mined.
    async fn displace(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        let operation = "transactions_mined";
        let mut connection = self.connection(operation).await?;
        sqlx::query(DISPLACED)
            .bind(network.as_str())
            .bind(mined.iter().map(|it| it.tx.0.as_str()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Takes back that these transactions were mined: their blocks are no longer canonical, so their bytes have to
    /// be delivered again and their nonces may still be spent.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat after any of them.
    pub async fn transactions_reorganized(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        let operation = "transactions_reorganized";
        if txs.is_empty() {
            return Ok(());
        }
        let txs: Vec<&str> = txs.iter().map(|tx| tx.0.as_str()).collect();
        let mut transaction = self.begin(operation).await?;
        let over = ledger::carried(&mut transaction, operation, network, &txs).await?;
        sqlx::query(REORGANIZED)
            .bind(network.as_str())
            .bind(txs)
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        ledger::correct(&mut transaction, operation, &over).await?;
        commit(transaction, operation).await
    }

    /// Those of the lane's transactions that are on record as mined with this nonce or a higher one and carried no payment
    /// that is still open: nobody looks for them any more. The lowest nonces first, `limit` at most.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn transactions_unwatched(&self, lane: &LaneId, nonce: u64, limit: u16) -> Result<Vec<TxId>, StoreFault> {
        let operation = "transactions_unwatched";
        let txs: Vec<String> = sqlx::query_scalar(UNWATCHED)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(signed("nonce", nonce).map_err(OutOfPlace::during(operation))?)
            .bind(State::OPEN.map(State::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        Ok(txs.into_iter().map(TxId).collect())
    }

    /// Records that these transactions can never be mined, so that their bytes are delivered no more and their
    /// numbers are used up. Only for lanes that number their transactions by themselves.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat after any of them.
    pub async fn transactions_dead(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        let operation = "transactions_dead";
        if txs.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection(operation).await?;
        sqlx::query(DEAD)
            .bind(network.as_str())
            .bind(txs.iter().map(|tx| tx.0.as_str()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }
}
