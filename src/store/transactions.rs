//! Our own transactions: which still have to be mined, and what the chain made of them.

use super::rows::{OutOfPlace, signed, unsigned};
use super::{Store, StoreFault};
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, Mined, TxId};

statements! {
    UNMINED = "select t.signer, t.nonce, t.tx, t.raw from chain_transactions t
            join slots o on o.network = t.network and o.signer = t.signer and o.nonce = t.nonce
        where o.network = $1 and o.consumed_by is null and t.status = 'signed'
        order by o.nonce, o.signer, t.created_at";
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
    DEAD = "with gone as (
            update chain_transactions t set status = 'dead'
            where t.network = $1 and t.tx = any($2::text[]) and t.status = 'signed'
            returning t.signer, t.nonce, t.tx
        )
        update slots o set consumed_by = gone.tx from gone
        where o.network = $1 and o.signer = gone.signer and o.nonce = gone.nonce and o.consumed_by is null";
}

/// A transaction of ours that has yet to be mined.
#[derive(Clone)]
pub struct Unmined {
    /// The lane it belongs to.
    pub lane: LaneId,
    /// Its nonce there.
    pub nonce: u64,
    /// Its name.
    pub tx: TxId,
    /// Its exact bytes.
    pub raw: Vec<u8>,
}

impl std::fmt::Debug for Unmined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unmined")
            .field("lane", &self.lane)
            .field("nonce", &self.nonce)
            .field("tx", &self.tx)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Our transactions on the network whose nonce is not known to be spent, the lowest nonce first. As many as the
    /// lanes may have in flight.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn transactions_unmined(&self, network: &NetworkId) -> Result<Vec<Unmined>, StoreFault> {
        let operation = "transactions_unmined";
        let rows: Vec<(String, i64, String, Vec<u8>)> = sqlx::query_as(UNMINED)
            .bind(network.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        rows.into_iter()
            .map(|(signer, nonce, tx, raw)| {
                let lane = LaneId {
                    network: network.clone(),
                    signer,
                };
                let nonce = unsigned("nonce", nonce).map_err(OutOfPlace::during(operation))?;
                let tx = TxId(tx);
                Ok(Unmined { lane, nonce, tx, raw })
            })
            .collect()
    }

    /// Records where our transactions were mined and at what cost, and that their nonces are spent. Passes over
    /// transactions that are not ours; safe to repeat. Of two transactions with one nonce, the one that a
    /// reorganization took out must be reported as such first.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat after any of them.
    pub async fn transactions_mined(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        let operation = "transactions_mined";
        if mined.is_empty() {
            return Ok(());
        }
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
        let mut connection = self.connection(operation).await?;
        sqlx::query(MINED)
            .bind(network.as_str())
            .bind(mined.iter().map(|it| it.tx.0.as_str()).collect::<Vec<_>>())
            .bind(heights)
            .bind(mined.iter().map(|it| it.block.hash.as_str()).collect::<Vec<_>>())
            .bind(times)
            .bind(mined.iter().map(|it| it.cost.to_string()).collect::<Vec<_>>())
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
        let mut connection = self.connection(operation).await?;
        sqlx::query(REORGANIZED)
            .bind(network.as_str())
            .bind(txs.iter().map(|tx| tx.0.as_str()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
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
