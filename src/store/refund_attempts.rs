//! Refunds that we pay: each attempt is on record before anybody could have it, and the next only once the last is over.

use sqlx::types::Uuid;

use super::notices;
use super::refund_matching::cleared;
use super::refunds::{Refund, RefundRow, lower, one, refunds};
use super::rows::{OutOfPlace, signed, unsigned};
use super::screenings;
use super::{Store, StoreFault, commit};
use crate::domain::authorization::PaymentKey;
use crate::domain::event::REFUND_FAILED;
use crate::domain::id::RefundId;
use crate::domain::network::NetworkId;
use crate::domain::refund::Presented;
use crate::domain::request::Proof;
use crate::domain::screening::{Payout, Ticket};

statements! {
    EXECUTING = refunds!("where r.network = $1 and r.state = 'executing' and r.id > $2 order by r.id limit $3");
    ATTEMPT = "select attempt, key, proof, extra, good_until from refund_attempts where refund_id = $1 and attempt = $2";
    BEGIN = "update refunds set attempts = attempts + 1, is_out = true
        where id = $1 and state = 'executing' and not is_out and attempts = $2";
    ADD = "insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, now())";
    END = "update refunds set is_out = false, problem = $3
        where id = $1 and state = 'executing' and is_out and attempts = $2";
    FAIL = "update refunds set state = 'failed', ended_at = now(), problem = coalesce(problem, $3)
        where id = $1 and state = 'executing' and not is_out and attempts = $2";
}

/// A payment that is to pay a refund.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u64,
    /// The payment's key.
    pub key: PaymentKey,
    /// What is presented.
    pub presented: Presented,
}

/// An attempt to put on record.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// Of which refund, whose money may go on.
    pub payout: Ticket<Payout>,
    /// The attempt.
    pub attempt: Attempt,
    /// The payment's nonce, as [`crate::domain::authorization::Authorization::nonce`] is written.
    pub nonce: String,
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    attempt: i64,
    key: Vec<u8>,
    proof: String,
    extra: String,
    good_until: i64,
}

impl AttemptRow {
    fn read(self) -> Result<Attempt, OutOfPlace> {
        Ok(Attempt {
            attempt: unsigned("attempt", self.attempt)?,
            key: PaymentKey(self.key.try_into().map_err(|_| OutOfPlace("key"))?),
            presented: Presented {
                proof: Proof(self.proof.into()),
                extra: self.extra.into(),
                good_until: unsigned("good_until", self.good_until)?,
            },
        })
    }
}

impl Store {
    /// The network's refunds that we are to pay, oldest first, from just after this one on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refunds_executing(
        &self,
        network: &NetworkId,
        after: Option<RefundId>,
        limit: u16,
    ) -> Result<Vec<Refund>, StoreFault> {
        let operation = "refunds_executing";
        let rows: Vec<RefundRow> = sqlx::query_as(EXECUTING)
            .bind(network.as_str())
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        super::refunds::read_refunds(operation, rows)
    }

    /// This attempt at the refund, if it is on record.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn refund_attempt(&self, id: RefundId, attempt: u64) -> Result<Option<Attempt>, StoreFault> {
        let operation = "refund_attempt";
        let row: Option<AttemptRow> = sqlx::query_as(ATTEMPT)
            .bind(id.as_uuid())
            .bind(signed("attempt", attempt).map_err(OutOfPlace::during(operation))?)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        row.map(AttemptRow::read)
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// Puts an attempt on record, the one after those that are: false when somebody else has by now, or the refund is over.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refund_begin(&self, new: &NewAttempt) -> Result<bool, StoreFault> {
        let operation = "refund_begin";
        let number = |name, value| signed(name, value).map_err(OutOfPlace::during(operation));
        let mut transaction = self.begin(operation).await?;
        let begun = sqlx::query(BEGIN)
            .bind(new.payout.refund.as_uuid())
            .bind(number("attempts", new.attempt.attempt.saturating_sub(1))?)
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if begun.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(ADD)
            .bind(new.payout.refund.as_uuid())
            .bind(number("attempt", new.attempt.attempt)?)
            .bind(new.attempt.key.0)
            .bind(&new.nonce)
            .bind(&*new.attempt.presented.proof.0)
            .bind(&*new.attempt.presented.extra)
            .bind(number("good_until", new.attempt.presented.good_until)?)
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if let Some(evidence) = new.payout.evidence() {
            screenings::add(&mut transaction, operation, evidence, None, Some(new.payout.refund)).await?;
        }
        commit(transaction, operation).await?;
        Ok(true)
    }

    /// It is proven that this attempt did not pay the refund and will not, and why.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refund_end(&self, id: RefundId, attempt: u64, why: &str) -> Result<(), StoreFault> {
        let operation = "refund_end";
        let mut connection = self.connection(operation).await?;
        sqlx::query(END)
            .bind(id.as_uuid())
            .bind(signed("attempt", attempt).map_err(OutOfPlace::during(operation))?)
            .bind(why)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Gives the refund up, of which none of so many attempts may still pay it.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn refund_fail(&self, id: RefundId, attempts: u64) -> Result<(), StoreFault> {
        let operation = "refund_fail";
        let mut transaction = self.begin(operation).await?;
        let failed = sqlx::query(FAIL)
            .bind(id.as_uuid())
            .bind(signed("attempts", attempts).map_err(OutOfPlace::during(operation))?)
            .bind("no attempt paid it")
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if failed.rows_affected() == 0 {
            return Ok(());
        }
        let refund = one(&mut transaction, operation, id).await?;
        lower(&mut transaction, operation, &refund).await?;
        let refunds = std::slice::from_ref(&refund);
        cleared(&mut transaction, operation, refunds, "the refund has failed").await?;
        notices::add(&mut transaction, operation, &[refund.notice(REFUND_FAILED)]).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(())
    }
}
