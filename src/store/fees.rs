//! What our transactions have cost, page by page in the order of the chains' blocks.

use sqlx::types::Uuid;

use super::rows::{OutOfPlace, amount, network as network_of, signed, unsigned};
use super::{Store, StoreFault};
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::time::Timestamp;

statements! {
    // Of each seat, in their order, whether its payment is over: then the ledger has its share.
    PAGE = "select t.network, t.signer, t.nonce, t.tx, t.is_empty, t.block_height, t.block_hash, t.block_time,
            t.cost::text as cost,
            array(select a.payment_id from settlement_attempts a
                where a.network = t.network and a.signer = t.signer and a.nonce = t.nonce order by a.seat) as payments,
            array(select a.seat from settlement_attempts a
                where a.network = t.network and a.signer = t.signer and a.nonce = t.nonce order by a.seat) as seats,
            array(select s.state in ('final', 'failed') from settlement_attempts a
                    join settlements s on s.payment_id = a.payment_id
                where a.network = t.network and a.signer = t.signer and a.nonce = t.nonce order by a.seat) as over
        from chain_transactions t
        where t.status = 'mined' and (t.block_time, t.network, t.signer, t.nonce) > ($1, $2, $3, $4) and t.block_time < $5
            and ($6::text is null or t.network = $6) and ($7::text is null or t.signer = $7)
        order by t.block_time, t.network, t.signer, t.nonce limit $8";
}

/// Which transactions to list. Signers are in canonical text.
#[derive(Debug, Clone, Default)]
pub struct FeeFilter {
    /// On this network.
    pub network: Option<NetworkId>,
    /// Of this signer.
    pub signer: Option<String>,
    /// In a block of this time or later.
    pub from: Option<Timestamp>,
    /// In a block before this time.
    pub before: Option<Timestamp>,
}

/// A transaction of ours that was mined, and what it cost.
#[derive(Debug, Clone)]
pub struct Fee {
    /// Where.
    pub network: NetworkId,
    /// Who sent it and paid for it.
    pub signer: String,
    /// Which of the signer's.
    pub nonce: u64,
    /// The transaction.
    pub tx: TxId,
    /// It carried nothing and only used the nonce up; its cost is still its payments'.
    pub is_empty: bool,
    /// Its block.
    pub block: ChainPoint,
    /// In the chain's smallest unit.
    pub cost: Amount,
    /// The payments that it was for, in the order of their seats, and each one's share.
    pub shares: Vec<Share>,
}

/// What one payment bears of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The payment.
    pub payment: PaymentId,
    /// Its part of the cost; the parts sum to the whole.
    pub cost: Amount,
    /// The payment is over, so that the ledger has it.
    pub is_booked: bool,
}

#[derive(sqlx::FromRow)]
struct FeeRow {
    network: String,
    signer: String,
    nonce: i64,
    tx: String,
    is_empty: bool,
    block_height: i64,
    block_hash: String,
    block_time: i64,
    cost: String,
    payments: Vec<Uuid>,
    seats: Vec<i64>,
    over: Vec<bool>,
}

impl FeeRow {
    fn read(self) -> Result<Fee, OutOfPlace> {
        let cost = amount("cost", &self.cost)?;
        let count = u64::try_from(self.payments.len()).map_err(|_| OutOfPlace("payments"))?;
        let seats = self.payments.into_iter().zip(self.seats).zip(self.over);
        let share = |((payment, seat), is_booked)| {
            Ok(Share {
                payment: PaymentId::from_uuid(payment),
                cost: cost.share(unsigned("seat", seat)?, count),
                is_booked,
            })
        };
        Ok(Fee {
            network: network_of(&self.network)?,
            signer: self.signer,
            nonce: unsigned("nonce", self.nonce)?,
            tx: TxId(self.tx),
            is_empty: self.is_empty,
            block: ChainPoint {
                height: unsigned("block_height", self.block_height)?,
                hash: self.block_hash,
                time: Timestamp(unsigned("block_time", self.block_time)?),
            },
            cost,
            shares: seats.map(share).collect::<Result<_, _>>()?,
        })
    }
}

impl Store {
    /// Our mined transactions that the filter lets through, in the order of their blocks, from just after this one on, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn fees_list(&self, filter: &FeeFilter, after: Option<&Fee>, limit: u16) -> Result<Vec<Fee>, StoreFault> {
        let operation = "fees_list";
        let number = |name, value| signed(name, value).map_err(OutOfPlace::during(operation));
        let time = |at: Option<Timestamp>, other| at.map_or(Ok(other), |it| number("block_time", it.0));
        // Every row comes after the empty names in its instant.
        let query = sqlx::query_as(PAGE).persistent(false);
        let query = match after {
            None => query.bind(time(filter.from, 0)?).bind("").bind("").bind(0_i64),
            Some(fee) => query
                .bind(number("block_time", fee.block.time.0)?)
                .bind(fee.network.as_str())
                .bind(&fee.signer)
                .bind(number("nonce", fee.nonce)?),
        };
        let rows: Vec<FeeRow> = query
            .bind(time(filter.before, i64::MAX)?)
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.signer)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(FeeRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }
}
