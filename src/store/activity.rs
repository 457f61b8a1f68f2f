//! What moved on the accounts that are followed, page by page in the order of the chains' blocks, with what each transfer
//! belongs to.

use sqlx::types::Uuid;

use super::rows::{OutOfPlace, network as network_of, signed};
use super::watching::TransferRow;
use super::{Store, StoreFault};
use crate::domain::id::{ExceptionId, PaymentId, RefundId};
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::reconciliation::{Direction, State, Transfer};
use crate::domain::time::Timestamp;

statements! {
    // A transfer belongs to the payment whose authorization it used: see domain/reconciliation.rs, Claim::owns.
    PAGE = "select o.network, o.tx, o.log_index, o.direction, o.asset, o.holder, o.counterparty, o.amount::text as amount,
            o.block_height, o.block_hash, o.block_time, o.authorizer, o.nonce, o.memo, o.sender,
            f.id as refund_id, m.id as payment_id, r.id as exception_id,
            case when f.id is null then m.merchant_reference else f.merchant_reference end as merchant_reference,
            case when f.id is null then m.order_id else (select q.order_id from payments q where q.id = f.payment_id)
                end as order_id,
            case when f.id is null then coalesce(r.state, (select c.state from reconciliations c where c.payment_id = m.id
                order by c.subject limit 1)) else 'matched' end as reconciliation
        from observed_transfers o
            left join refunds f on o.direction = 'debit' and f.network = o.network and f.paid_tx = o.tx
                and f.paid_log_index = o.log_index
            left join lateral (select p.id, p.merchant_reference, p.order_id
                from payments p join settlements s on s.payment_id = p.id
                where p.nonce = o.nonce and p.network = o.network
                    and ((p.asset = o.asset and coalesce(o.authorizer, p.payer) = p.payer)
                        or (s.landed_tx = o.tx and s.landed_log_index = o.log_index))
                order by p.id limit 1) m on true
            left join reconciliations r on m.id is null and o.direction = 'credit'
                and r.subject = o.network || '/' || o.tx || '/' || o.log_index || '/' || o.holder
        where (o.block_time, o.network, o.block_height, o.log_index, o.tx, o.direction, o.holder) > ($1, $2, $3, $4, $5, $6, $7)
            and o.block_time < $8 and ($9::text is null or o.network = $9) and ($10::text is null or o.asset = $10)
            and ($11::text is null or o.holder = $11) and ($12::text is null or o.direction = $12)
        order by o.block_time, o.network, o.block_height, o.log_index, o.tx, o.direction, o.holder
        limit $13";
}

/// Which transfers to list. Assets and accounts are in canonical text.
#[derive(Debug, Clone, Default)]
pub struct ActivityFilter {
    /// On this network.
    pub network: Option<NetworkId>,
    /// Of this asset.
    pub asset: Option<String>,
    /// Of this account.
    pub holder: Option<String>,
    /// Into the account or out of it.
    pub direction: Option<Direction>,
    /// In a block of this time or later.
    pub from: Option<Timestamp>,
    /// In a block before this time.
    pub before: Option<Timestamp>,
}

/// A transfer of an account that is followed.
#[derive(Debug, Clone)]
pub struct Activity {
    /// Where.
    pub network: NetworkId,
    /// What moved.
    pub transfer: Transfer,
    /// What it belongs to.
    pub of: Belonging,
    /// How that stands against the chain; none before it was looked at, and of what goes out without a payment.
    pub reconciliation: Option<State>,
}

/// What a transfer belongs to.
#[derive(Debug, Clone)]
pub enum Belonging {
    /// A payment.
    Payment {
        /// Which.
        id: PaymentId,
        /// The gateway's name for it.
        merchant_reference: Option<Label>,
        /// The order that it pays.
        order_id: Option<Label>,
    },
    /// A refund that it paid.
    Refund {
        /// Which.
        id: RefundId,
        /// The merchant's name for it.
        merchant_reference: Option<Label>,
        /// The order that is refunded.
        order_id: Option<Label>,
    },
    /// No record of ours; what came in so is an exception of the reconciliation.
    Stray(Option<ExceptionId>),
}

#[derive(sqlx::FromRow)]
struct ActivityRow {
    network: String,
    #[sqlx(flatten)]
    transfer: TransferRow,
    refund_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    merchant_reference: Option<String>,
    order_id: Option<String>,
    exception_id: Option<Uuid>,
    reconciliation: Option<String>,
}

impl ActivityRow {
    fn read(self) -> Result<Activity, OutOfPlace> {
        let label = |name, text: Option<String>| {
            let read = text.map(|it| Label::new(&it).ok_or(OutOfPlace(name)));
            read.transpose()
        };
        let state = |text: String| State::named(&text).ok_or(OutOfPlace("reconciliation"));
        let merchant_reference = label("merchant_reference", self.merchant_reference)?;
        let order_id = label("order_id", self.order_id)?;
        Ok(Activity {
            network: network_of(&self.network)?,
            transfer: self.transfer.read()?,
            of: match (self.refund_id, self.payment_id) {
                (Some(id), _) => Belonging::Refund {
                    id: RefundId::from_uuid(id),
                    merchant_reference,
                    order_id,
                },
                (None, Some(id)) => Belonging::Payment {
                    id: PaymentId::from_uuid(id),
                    merchant_reference,
                    order_id,
                },
                (None, None) => Belonging::Stray(self.exception_id.map(ExceptionId::from_uuid)),
            },
            reconciliation: self.reconciliation.map(state).transpose()?,
        })
    }
}

impl Store {
    /// The observed transfers that the filter lets through, in the order of their blocks, from just after this one on, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn activity_list(
        &self,
        filter: &ActivityFilter,
        after: Option<&Activity>,
        limit: u16,
    ) -> Result<Vec<Activity>, StoreFault> {
        let operation = "activity_list";
        let number = |name, value| signed(name, value).map_err(OutOfPlace::during(operation));
        let time = |at: Option<Timestamp>, other| at.map_or(Ok(other), |it| number("block_time", it.0));
        // Every row comes after the empty names in its instant.
        let query = sqlx::query_as(PAGE).persistent(false);
        let query = match after {
            None => query
                .bind(time(filter.from, 0)?)
                .bind("")
                .bind(0_i64)
                .bind(0_i64)
                .bind("")
                .bind("")
                .bind(""),
            Some(Activity { network, transfer, .. }) => query
                .bind(number("block_time", transfer.block.time.0)?)
                .bind(network.as_str())
                .bind(number("block_height", transfer.block.height)?)
                .bind(number("log_index", transfer.index)?)
                .bind(&transfer.tx.0)
                .bind(transfer.direction.as_str())
                .bind(&transfer.account.holder),
        };
        let rows: Vec<ActivityRow> = query
            .bind(time(filter.before, i64::MAX)?)
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.asset)
            .bind(&filter.holder)
            .bind(filter.direction.map(Direction::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(ActivityRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }
}
