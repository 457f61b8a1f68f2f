//! Who was screened, what was decided, and on what. What lets a payment or a refund's attempt go on is written by the very
//! statement or transaction that puts that on record.

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, network as network_of};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::{SCREENING_CLEARED, SCREENING_DENIED, SCREENING_REVIEW};
use crate::domain::id::{PaymentId, RefundId, ScreeningId};
use crate::domain::network::NetworkId;
use crate::domain::screening::{Decision, Evidence, Role, Stage};

statements! {
    ADD = "insert into screenings (id, stage, decision, policy, network, body, seal, payment_id, refund_id, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now()) on conflict do nothing";
    FIND = "select id, stage, decision, policy, network, body, seal, payment_id, refund_id, created_at from screenings
        where id > $1 and ($2::text is null or decision = $2) and ($3::text is null or stage = $3)
            and ($4::text is null or network = $4) and ($5::timestamptz is null or created_at >= $5)
            and ($6::timestamptz is null or created_at < $6)
        order by id limit $7";
    KNOWN = "select network, address, role from (
            select distinct w.network, w.holder as address, 'pay_to' as role from watched_accounts w
            union select distinct r.network, r.recipient, 'refund_target' from refunds r
                where r.state in ('awaiting', 'executing')
        ) known where (network, address) > ($1, $2) order by network, address limit $3";
    REVIEW_OPEN = "insert into screening_reviews (network, address, source, role, opened_at)
        values ($1, $2, $3, $4, now())
        on conflict (network, address, source) do update set opened_at = now(), closed_at = null, role = excluded.role
            where screening_reviews.closed_at is not null
        returning true";
    REVIEWS = "select network, address, source, role from screening_reviews where closed_at is null
        order by network, address, source limit $1";
    REVIEW_CLOSE = "update screening_reviews set closed_at = now()
        where network = $1 and address = $2 and source = $3 and closed_at is null";
}

/// The columns of evidence, as a statement takes them; all empty where screening is off.
#[derive(Default)]
pub(super) struct EvidenceRow<'a> {
    pub(super) id: Option<Uuid>,
    pub(super) policy: Option<&'a str>,
    pub(super) body: Option<&'a str>,
    pub(super) seal: Option<Vec<u8>>,
}

impl<'a> EvidenceRow<'a> {
    pub(super) fn of(evidence: Option<&'a Evidence>) -> Self {
        evidence.map_or_else(Self::default, |it| Self {
            id: Some(it.id.as_uuid()),
            policy: Some(&it.policy),
            body: Some(&it.body),
            seal: Some(it.seal().to_vec()),
        })
    }

    /// What a payment's first event says of it, so that its seal is over it.
    pub(super) fn change(&self) -> Option<String> {
        self.seal.as_ref().map(hex::encode)
    }
}

/// A decision on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// The decision, and what it stands on.
    pub evidence: Evidence,
    /// What is kept as its seal: [`Evidence::seal`].
    pub seal: Vec<u8>,
    /// The payment that went on by it.
    pub payment: Option<PaymentId>,
    /// The refund that went on, or did not, by it.
    pub refund: Option<RefundId>,
    /// When it was put on record, on the database's clock.
    pub at: DateTime<Utc>,
}

/// Which decisions to list.
#[derive(Debug, Clone, Default)]
pub struct ScreeningFilter {
    /// What was decided.
    pub decision: Option<Decision>,
    /// At what.
    pub stage: Option<Stage>,
    /// Where.
    pub network: Option<NetworkId>,
    /// At or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
}

/// An account on record whose money somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Review {
    /// Where.
    pub network: NetworkId,
    /// Which account, canonical text.
    pub address: String,
    /// The list that has it.
    pub source: String,
    /// `pay_to` or `refund_target`.
    pub role: String,
}

#[derive(sqlx::FromRow)]
struct ScreeningRow {
    id: Uuid,
    stage: String,
    decision: String,
    policy: String,
    network: String,
    body: String,
    seal: Vec<u8>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl ScreeningRow {
    fn read(self) -> Result<Screening, OutOfPlace> {
        Ok(Screening {
            evidence: Evidence {
                id: ScreeningId::from_uuid(self.id),
                stage: Stage::named(&self.stage).ok_or(OutOfPlace("stage"))?,
                decision: Decision::named(&self.decision).ok_or(OutOfPlace("decision"))?,
                policy: self.policy,
                network: network_of(&self.network)?,
                body: self.body,
            },
            seal: self.seal,
            payment: self.payment_id.map(PaymentId::from_uuid),
            refund: self.refund_id.map(RefundId::from_uuid),
            at: self.created_at,
        })
    }
}

/// Puts evidence on record within the caller's transaction.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    evidence: &Evidence,
    payment: Option<PaymentId>,
    refund: Option<RefundId>,
) -> Result<(), StoreFault> {
    sqlx::query(ADD)
        .bind(evidence.id.as_uuid())
        .bind(evidence.stage.as_str())
        .bind(evidence.decision.as_str())
        .bind(&evidence.policy)
        .bind(evidence.network.as_str())
        .bind(&evidence.body)
        .bind(evidence.seal().to_vec())
        .bind(payment.map(|it| it.as_uuid()))
        .bind(refund.map(|it| it.as_uuid()))
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

impl Store {
    /// Puts a refusal on record, and tells of it where money was to move by somebody who may not. Safe to repeat.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn screening_refused(&self, evidence: &Evidence, refund: Option<RefundId>) -> Result<(), StoreFault> {
        let operation = "screening_refused";
        let mut transaction = self.begin(operation).await?;
        add(&mut transaction, operation, evidence, None, refund).await?;
        let is_told = evidence.decision == Decision::Denied && evidence.stage != Stage::Verify;
        if is_told {
            let data = json!({
                "screening": evidence.id,
                "stage": evidence.stage.as_str(),
                "network": evidence.network,
                "refund": refund,
                "evidence": serde_json::from_str::<Value>(&evidence.body).unwrap_or_default(),
            });
            let notice = Notice {
                kind: SCREENING_DENIED,
                subject: evidence.id.to_string(),
                whose: Whose::Operators,
                data,
            };
            notices::add(&mut transaction, operation, &[notice]).await?;
        }
        commit(transaction, operation).await?;
        if is_told {
            self.ring();
        }
        Ok(())
    }

    /// Decisions on record, oldest first, after this one, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screenings_find(
        &self,
        filter: &ScreeningFilter,
        after: Option<ScreeningId>,
        limit: u16,
    ) -> Result<Vec<Screening>, StoreFault> {
        let operation = "screenings_find";
        let rows: Vec<ScreeningRow> = sqlx::query_as(FIND)
            .bind(after.map_or(Uuid::nil(), |it| it.as_uuid()))
            .bind(filter.decision.map(Decision::as_str))
            .bind(filter.stage.map(Stage::as_str))
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(filter.from)
            .bind(filter.before)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read: Result<_, _> = rows.into_iter().map(ScreeningRow::read).collect();
        read.map_err(OutOfPlace::during(operation))
    }

    /// The accounts on record that money goes or is to go to, each with its role, after this one, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screening_known(
        &self,
        after: Option<&(NetworkId, String)>,
        limit: u16,
    ) -> Result<Vec<(NetworkId, String, Role)>, StoreFault> {
        let operation = "screening_known";
        let (network, address) = after.map_or(("", ""), |(network, address)| (network.as_str(), address.as_str()));
        let rows: Vec<(String, String, String)> = sqlx::query_as(KNOWN)
            .bind(network)
            .bind(address)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let role = |name: &str| {
            if name == "pay_to" {
                Role::PayTo
            } else {
                Role::RefundTarget
            }
        };
        let read: Result<_, _> = rows
            .into_iter()
            .map(|(network, address, name)| Ok((network_of(&network)?, address, role(&name))))
            .collect();
        read.map_err(OutOfPlace::during(operation))
    }

    /// Says of an account on record that a list has it, unless that was said already; with the evidence.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn screening_review_open(&self, review: &Review, evidence: &Evidence) -> Result<bool, StoreFault> {
        let operation = "screening_review_open";
        let mut transaction = self.begin(operation).await?;
        let opened: Option<bool> = sqlx::query_scalar(REVIEW_OPEN)
            .bind(review.network.as_str())
            .bind(&review.address)
            .bind(&review.source)
            .bind(&review.role)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if opened.is_none() {
            return Ok(false);
        }
        add(&mut transaction, operation, evidence, None, None).await?;
        notices::add(
            &mut transaction,
            operation,
            &[review.notice(SCREENING_REVIEW, Some(evidence))],
        )
        .await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(true)
    }

    /// The accounts that lists have and that nobody was told are off them, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screening_reviews(&self, limit: u16) -> Result<Vec<Review>, StoreFault> {
        let operation = "screening_reviews";
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(REVIEWS)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read: Result<_, _> = rows
            .into_iter()
            .map(|(network, address, source, role)| {
                Ok(Review {
                    network: network_of(&network)?,
                    address,
                    source,
                    role,
                })
            })
            .collect();
        read.map_err(OutOfPlace::during(operation))
    }

    /// The list has the account no more.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn screening_review_close(&self, review: &Review) -> Result<(), StoreFault> {
        let operation = "screening_review_close";
        let mut transaction = self.begin(operation).await?;
        let closed = sqlx::query(REVIEW_CLOSE)
            .bind(review.network.as_str())
            .bind(&review.address)
            .bind(&review.source)
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if closed.rows_affected() == 0 {
            return Ok(());
        }
        notices::add(&mut transaction, operation, &[review.notice(SCREENING_CLEARED, None)]).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(())
    }
}

impl Review {
    fn notice(&self, kind: &'static str, evidence: Option<&Evidence>) -> Notice {
        let data = json!({
            "network": self.network,
            "account": self.address,
            "role": self.role,
            "source": self.source,
            "screening": evidence.map(|it| it.id),
        });
        Notice {
            kind,
            subject: format!("{} on {} by {}", self.address, self.network, self.source),
            whose: Whose::Operators,
            data,
        }
    }
}
