//! The accounts that reconciliation follows, and what was seen of them in finalized blocks.

use std::borrow::Borrow;
use std::ops::Range;
use std::time::Duration;

use sqlx::types::Uuid;

use super::rows::{OutOfPlace, amount, signed, unsigned};
use super::{Cursor, DateTime, Store, StoreFault, Utc};
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::lease::ProcessId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::reconciliation::{Account, Direction, Transfer};
use crate::domain::time::Timestamp;

statements! {
    // From the first landing on record, or from what is final now: what came to an account before it was ours to look
    // after is nobody's business.
    // What pays a refund is watched at the wallet that it leaves.
    WATCH = "insert into watched_accounts (network, asset, holder, first_height, scanned_height, is_wallet, created_at)
        select n.network, n.asset, n.holder, n.first, n.first - 1, n.is_wallet, now()
        from (
            select f.network, f.asset, f.holder, f.is_wallet, least($2, (select min(s.landed_height)
                from payments p join settlements s on s.payment_id = p.id
                where p.network = f.network and p.asset = f.asset and (
                    (not f.is_wallet and p.pay_to = f.holder) or (f.is_wallet and p.payer = f.holder
                        and exists (select 1 from refund_attempts a where a.key = p.key))))) as first
            from (
                select o.network, o.asset, o.holder, bool_and(o.is_wallet) as is_wallet
                from (
                    select p.network, p.asset, case when a.key is null then p.pay_to else p.payer end as holder,
                        a.key is not null as is_wallet
                    from payments p left join refund_attempts a on a.key = p.key where p.id = any($1::uuid[])
                ) as o
                group by o.network, o.asset, o.holder
            ) as f
            where not exists (select 1 from watched_accounts w
                where w.network = f.network and w.asset = f.asset and w.holder = f.holder)
        ) as n
        on conflict (network, asset, holder) do nothing";
    PAID_INTO = "update watched_accounts w set is_wallet = false
        where w.is_wallet and exists (select 1 from payments p where p.id = any($1::uuid[]) and p.network = w.network
            and p.asset = w.asset and p.pay_to = w.holder
            and not exists (select 1 from refund_attempts a where a.key = p.key))";
    ALL = "select asset, holder, first_height, scanned_height, balance::text as balance, is_wallet from watched_accounts
        where network = $1 order by asset, holder";
    THESE = "select w.asset, w.holder, w.first_height, w.scanned_height, w.balance::text as balance, w.is_wallet
        from unnest($2::text[], $3::text[]) as n(asset, holder)
        join watched_accounts w on w.network = $1 and w.asset = n.asset and w.holder = n.holder";
    BEHIND = "select asset, holder, first_height, scanned_height, balance::text as balance, is_wallet
        from watched_accounts where network = $1 and scanned_height < $2 and not asset = any($3::text[])
        order by scanned_height, asset, holder limit $4";
    OBSERVE = "insert into observed_transfers (network, tx, log_index, direction, asset, holder, counterparty, amount,
            block_height, block_hash, block_time, authorizer, nonce, memo, sender, created_at)
        select $1, t.tx, t.log_index, t.direction, t.asset, t.holder, t.counterparty, t.amount::numeric, t.block_height,
            t.block_hash, t.block_time, t.authorizer, t.nonce, t.memo, t.sender, now()
        from unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
            $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[])
            as t(tx, log_index, direction, asset, holder, counterparty, amount, block_height, block_hash, block_time,
                authorizer, nonce, memo, sender)
        on conflict (network, tx, log_index, direction, holder) do nothing";
    SCANNED = "update watched_accounts w set scanned_height = $6, balance = n.balance::numeric
        from unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) as n(asset, holder, balance, next)
        where w.network = $1 and w.asset = n.asset and w.holder = n.holder and w.scanned_height = n.next - 1";
    WITH_NONCE = "select tx, log_index, direction, asset, holder, counterparty, amount::text as amount, block_height,
            block_hash, block_time, authorizer, nonce, memo, sender
        from observed_transfers where network = $1 and nonce = any($2::text[])
        order by block_height, log_index";
    TAKEN = "select taken_at, taken_id, now() - $2::float8 * interval '1 second' as until
        from reconciliation_scans where network = $1";
    TAKE = "update reconciliation_scans set taken_at = $2, taken_id = $3 where network = $1";
    LEASE = "insert into reconciliation_scans (network, taken_at, taken_id, lease_holder, lease_until)
        values ($1, $4, $5, $2, now() + $3::float8 * interval '1 second')
        on conflict (network) do update set lease_holder = excluded.lease_holder, lease_until = excluded.lease_until
            where reconciliation_scans.lease_holder = excluded.lease_holder or reconciliation_scans.lease_until < now()";
}

/// An account that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Which.
    pub account: Account,
    /// The blocks of it that were read: from the first that counts up to the next to read.
    pub scanned: Range<u64>,
    /// What it held after the last of them, where that is known.
    pub balance: Option<Amount>,
    /// It is followed only because refunds are paid from it.
    pub is_wallet: bool,
}

#[derive(sqlx::FromRow)]
struct FollowedRow {
    asset: String,
    holder: String,
    first_height: i64,
    scanned_height: i64,
    balance: Option<String>,
    is_wallet: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct TransferRow {
    tx: String,
    log_index: i64,
    direction: String,
    asset: String,
    holder: String,
    counterparty: Option<String>,
    amount: String,
    block_height: i64,
    block_hash: String,
    block_time: i64,
    authorizer: Option<String>,
    nonce: Option<String>,
    memo: Option<String>,
    sender: String,
}

impl Store {
    /// Begins to follow the accounts that these payments were reserved for, or those that they leave where they pay
    /// refunds: from the first landing on record, or from the
    /// block `height` where there is none.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn accounts_watch(&self, payments: &[PaymentId], height: u64) -> Result<(), StoreFault> {
        let operation = "accounts_watch";
        let height = signed("height", height).map_err(OutOfPlace::during(operation))?;
        let payments: Vec<_> = payments.iter().map(PaymentId::as_uuid).collect();
        let mut connection = self.connection(operation).await?;
        sqlx::query(WATCH)
            .bind(&payments)
            .bind(height)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        sqlx::query(PAID_INTO)
            .bind(&payments)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Every account that is followed on the network.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn accounts_watched(&self, network: &NetworkId) -> Result<Vec<Followed>, StoreFault> {
        let operation = "accounts_watched";
        let rows: Vec<FollowedRow> = sqlx::query_as(ALL)
            .bind(network.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let followed: Result<_, _> = rows.into_iter().map(FollowedRow::read).collect();
        followed.map_err(OutOfPlace::during(operation))
    }

    /// Those of these accounts that are followed on the network.
    ///
    /// # Errors
    /// As of [`Store::accounts_watched`].
    pub async fn accounts_watched_of(
        &self,
        network: &NetworkId,
        accounts: &[Account],
    ) -> Result<Vec<Followed>, StoreFault> {
        let operation = "accounts_watched_of";
        let rows: Vec<FollowedRow> = sqlx::query_as(THESE)
            .bind(network.as_str())
            .bind(accounts.iter().map(|it| it.asset.as_str()).collect::<Vec<_>>())
            .bind(accounts.iter().map(|it| it.holder.as_str()).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let followed: Result<_, _> = rows.into_iter().map(FollowedRow::read).collect();
        followed.map_err(OutOfPlace::during(operation))
    }

    /// Followed accounts of the network that are not read up to this block, the furthest behind first, at most `limit`; none
    /// in the assets that are left out.
    ///
    /// # Errors
    /// As of [`Store::accounts_watched`].
    pub async fn accounts_behind(
        &self,
        network: &NetworkId,
        height: u64,
        without: &[String],
        limit: usize,
    ) -> Result<Vec<Followed>, StoreFault> {
        let operation = "accounts_behind";
        let rows: Vec<FollowedRow> = sqlx::query_as(BEHIND)
            .bind(network.as_str())
            .bind(signed("height", height).map_err(OutOfPlace::during(operation))?)
            .bind(without)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let followed: Result<_, _> = rows.into_iter().map(FollowedRow::read).collect();
        followed.map_err(OutOfPlace::during(operation))
    }

    /// Keeps transfers that were seen in finalized blocks, as far as they are not on record.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn transfers_observe(
        &self,
        network: &NetworkId,
        transfers: &[impl Borrow<Transfer>],
    ) -> Result<(), StoreFault> {
        let operation = "transfers_observe";
        let transfers: Vec<&Transfer> = transfers.iter().map(Borrow::borrow).collect();
        let number = |name: &'static str, of: fn(&Transfer) -> u64| {
            let numbers: Result<Vec<_>, _> = transfers.iter().map(|&it| signed(name, of(it))).collect();
            numbers.map_err(OutOfPlace::during(operation))
        };
        let text = |of: fn(&Transfer) -> Option<&str>| transfers.iter().map(|&it| of(it)).collect::<Vec<_>>();
        let mut connection = self.connection(operation).await?;
        sqlx::query(OBSERVE)
            .bind(network.as_str())
            .bind(text(|it| Some(&it.tx.0)))
            .bind(number("log_index", |it| it.index)?)
            .bind(text(|it| Some(it.direction.as_str())))
            .bind(text(|it| Some(&it.account.asset)))
            .bind(text(|it| Some(&it.account.holder)))
            .bind(text(|it| it.counterparty.as_deref()))
            .bind(transfers.iter().map(|it| it.amount.to_string()).collect::<Vec<_>>())
            .bind(number("block_height", |it| it.block.height)?)
            .bind(text(|it| Some(&it.block.hash)))
            .bind(number("block_time", |it| it.block.time.0)?)
            .bind(text(|it| it.authorizer.as_deref()))
            .bind(text(|it| it.nonce.as_deref()))
            .bind(text(|it| it.memo.as_deref()))
            .bind(text(|it| Some(&it.sender)))
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// These accounts are read up to the block `until`, after which they hold this where it is known. Only those count whose
    /// next block is what it was: nobody else has read on meanwhile.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn accounts_scanned(
        &self,
        network: &NetworkId,
        read: &[(&Followed, Option<Amount>)],
        until: u64,
    ) -> Result<(), StoreFault> {
        let operation = "accounts_scanned";
        let height = |height| signed("scanned_height", height).map_err(OutOfPlace::during(operation));
        let next: Result<Vec<i64>, _> = read.iter().map(|(it, _)| height(it.scanned.end)).collect();
        let held = |held: &Option<Amount>| held.map(|it| it.to_string());
        let mut connection = self.connection(operation).await?;
        sqlx::query(SCANNED)
            .bind(network.as_str())
            .bind(read.iter().map(|(it, _)| it.account.asset.as_str()).collect::<Vec<_>>())
            .bind(
                read.iter()
                    .map(|(it, _)| it.account.holder.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(read.iter().map(|(_, it)| held(it)).collect::<Vec<_>>())
            .bind(next?)
            .bind(height(until)?)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The observed transfers with these nonces, in the chain's order.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn transfers_with_nonces(
        &self,
        network: &NetworkId,
        nonces: &[&str],
    ) -> Result<Vec<Transfer>, StoreFault> {
        let operation = "transfers_with_nonces";
        let rows: Vec<TransferRow> = sqlx::query_as(WITH_NONCE)
            .bind(network.as_str())
            .bind(nonces)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let transfers: Result<_, _> = rows.into_iter().map(TransferRow::read).collect();
        transfers.map_err(OutOfPlace::during(operation))
    }

    /// Takes the network's scanning on for `term`, or prolongs it: true when it is `me` who scans now.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn scan_lease(&self, network: &NetworkId, me: ProcessId, term: Duration) -> Result<bool, StoreFault> {
        let operation = "scan_lease";
        let mut connection = self.connection(operation).await?;
        let taken = sqlx::query(LEASE)
            .bind(network.as_str())
            .bind(me.0)
            .bind(term.as_secs_f64())
            .bind(DateTime::UNIX_EPOCH)
            .bind(Uuid::nil())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(taken.rows_affected() == 1)
    }

    /// Up to which payment the network's were taken in, and up to when the next may be: those that have been on record for
    /// `patience`, by the database's clock. None before the network was ever [leased](Store::scan_lease).
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn scan_taken(
        &self,
        network: &NetworkId,
        patience: Duration,
    ) -> Result<Option<(Cursor, DateTime<Utc>)>, StoreFault> {
        let row: Option<(DateTime<Utc>, Uuid, DateTime<Utc>)> = sqlx::query_as(TAKEN)
            .bind(network.as_str())
            .bind(patience.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading("scan_taken"))?;
        Ok(row.map(|(at, id, until)| (Cursor { at, id }, until)))
    }

    /// Keeps up to which payment the network's were taken in.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn scan_take(&self, network: &NetworkId, cursor: &Cursor) -> Result<(), StoreFault> {
        let operation = "scan_take";
        let mut connection = self.connection(operation).await?;
        sqlx::query(TAKE)
            .bind(network.as_str())
            .bind(cursor.at)
            .bind(cursor.id)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }
}

impl FollowedRow {
    fn read(self) -> Result<Followed, OutOfPlace> {
        let next = self.scanned_height.saturating_add(1);
        Ok(Followed {
            account: Account {
                asset: self.asset,
                holder: self.holder,
            },
            scanned: unsigned("first_height", self.first_height)?..unsigned("scanned_height", next)?,
            balance: self.balance.map(|text| amount("balance", &text)).transpose()?,
            is_wallet: self.is_wallet,
        })
    }
}

impl TransferRow {
    pub(super) fn read(self) -> Result<Transfer, OutOfPlace> {
        let directions = [Direction::Credit, Direction::Debit];
        let direction = directions.into_iter().find(|it| it.as_str() == self.direction);
        Ok(Transfer {
            account: Account {
                asset: self.asset,
                holder: self.holder,
            },
            direction: direction.ok_or(OutOfPlace("direction"))?,
            counterparty: self.counterparty,
            amount: amount("amount", &self.amount)?,
            tx: TxId(self.tx),
            index: unsigned("log_index", self.log_index)?,
            block: ChainPoint {
                height: unsigned("block_height", self.block_height)?,
                hash: self.block_hash,
                time: Timestamp(unsigned("block_time", self.block_time)?),
            },
            authorizer: self.authorizer,
            nonce: self.nonce,
            memo: self.memo,
            sender: self.sender,
        })
    }
}
