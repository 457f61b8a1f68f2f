//! Reports that are delivered by themselves: one row for each schedule and period, claimed by whoever delivers it.

use std::time::Duration;

use serde_json::json;
use sqlx::types::Uuid;

use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::REPORT_DELIVERY_FAILED;
use crate::domain::id::ReportId;
use crate::domain::statement::Period;
use crate::domain::time::Timestamp;

statements! {
    LAST = "select max(ends_at) from report_deliveries where schedule = $1";
    OWE = "insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at)
        select $1, n.starts_at, n.ends_at, to_timestamp(n.due), now()
        from unnest($2::bigint[], $3::bigint[], $4::bigint[]) as n(starts_at, ends_at, due)
        on conflict (schedule, starts_at, ends_at) do nothing";
    // Of two that want the same one, the second finds it put off when its turn comes.
    CLAIM = "update report_deliveries set claims = claims + 1, due_at = now() + $2 * interval '1 millisecond'
        where (schedule, starts_at, ends_at) = (select schedule, starts_at, ends_at from report_deliveries
                where state = 'pending' and due_at <= now() and schedule = $1
                order by due_at, starts_at limit 1)
            and state = 'pending' and due_at <= now()
        returning schedule, starts_at, ends_at, claims, failures, report_id";
    ORDERED = "update report_deliveries set report_id = $5
        where schedule = $1 and starts_at = $2 and ends_at = $3 and claims = $4 and state = 'pending'";
    PUT_OFF = "update report_deliveries set due_at = now() + $5 * interval '1 millisecond'
        where schedule = $1 and starts_at = $2 and ends_at = $3 and claims = $4 and state = 'pending'";
    DONE = "update report_deliveries set state = 'delivered', ended_at = now(), outcome = $5, failing_since = null
        where schedule = $1 and starts_at = $2 and ends_at = $3 and claims = $4 and state = 'pending'";
    // The pause is anything up to the most, so that what failed together does not come back together.
    FAILED = "update report_deliveries set failures = failures + 1, failing_since = coalesce(failing_since, now()),
            outcome = $5, due_at = now() + random() * $6 * interval '1 millisecond',
            state = case when failing_since < now() - $7 * interval '1 second' then 'given_up' else state end,
            ended_at = case when failing_since < now() - $7 * interval '1 second' then now() end
        where schedule = $1 and starts_at = $2 and ends_at = $3 and claims = $4 and state = 'pending'
        returning state = 'given_up', failing_since";
    TOLD = "update report_deliveries set told_at = now()
        where schedule = $1 and starts_at = $2 and ends_at = $3
            and (state = 'given_up' or (told_at is null and failing_since < now() - $4 * interval '1 second'))";
    OLDEST = "select extract(epoch from now())::bigint - min(ends_at) from report_deliveries
        where state = 'pending' and schedule = $1";
}

/// A period's delivery, claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivering {
    /// The schedule.
    pub schedule: String,
    /// The period.
    pub period: Period,
    /// How often it was claimed, this time included: sets whoever took over apart.
    pub claim: u64,
    /// How often it has failed.
    pub failures: u64,
    /// The report, once it is ordered.
    pub report: Option<ReportId>,
}

/// What became of a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It is tried again.
    Again,
    /// It is tried again, and has failed for so long that it was told now.
    Told,
    /// It is tried no more, which was told.
    GivenUp,
    /// Somebody else had taken it over.
    Lost,
}

/// How a delivery that failed goes on.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// The longest pause until the next attempt.
    pub most: Duration,
    /// For how long it may fail before it is told.
    pub told_after: Duration,
    /// For how long it may fail before it is given up.
    pub patience: Duration,
}

#[derive(sqlx::FromRow)]
struct DeliveringRow {
    schedule: String,
    starts_at: i64,
    ends_at: i64,
    claims: i64,
    failures: i64,
    report_id: Option<Uuid>,
}

impl DeliveringRow {
    fn read(self) -> Result<Delivering, OutOfPlace> {
        Ok(Delivering {
            schedule: self.schedule,
            period: Period {
                starts: Timestamp(unsigned("starts_at", self.starts_at)?),
                ends: Timestamp(unsigned("ends_at", self.ends_at)?),
            },
            claim: unsigned("claims", self.claims)?,
            failures: unsigned("failures", self.failures)?,
            report: self.report_id.map(ReportId::from_uuid),
        })
    }
}

/// The row of a claim, for as long as it is not taken over.
struct Place<'a> {
    schedule: &'a str,
    starts: i64,
    ends: i64,
    claim: i64,
}

impl Delivering {
    fn place(&self, operation: &'static str) -> Result<Place<'_>, StoreFault> {
        let number = |name, value| signed(name, value).map_err(OutOfPlace::during(operation));
        Ok(Place {
            schedule: &self.schedule,
            starts: number("starts_at", self.period.starts.0)?,
            ends: number("ends_at", self.period.ends.0)?,
            claim: number("claims", self.claim)?,
        })
    }
}

/// `of!(STATEMENT, place)`: the statement with the first four of what it compares.
macro_rules! of {
    ($statement:expr, $place:expr) => {
        sqlx::query($statement)
            .bind($place.schedule)
            .bind($place.starts)
            .bind($place.ends)
            .bind($place.claim)
    };
}

fn millis(term: Duration) -> i64 {
    i64::try_from(term.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(term: Duration) -> i64 {
    i64::try_from(term.as_secs()).unwrap_or(i64::MAX)
}

impl Store {
    /// The end of the newest period that is owed of the schedule, or was.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn delivery_last(&self, schedule: &str) -> Result<Option<Timestamp>, StoreFault> {
        let operation = "delivery_last";
        let last: Option<i64> = sqlx::query_scalar(LAST)
            .bind(schedule)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let last = last.map(|it| unsigned("ends_at", it).map(Timestamp));
        last.transpose().map_err(OutOfPlace::during(operation))
    }

    /// These periods of the schedule are owed, each due at the time beside it; what is on record stays as it is.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn deliveries_owe(&self, schedule: &str, periods: &[(Period, Timestamp)]) -> Result<(), StoreFault> {
        let operation = "deliveries_owe";
        let numbers = |of: fn(&(Period, Timestamp)) -> Timestamp| {
            let all: Result<Vec<i64>, _> = periods.iter().map(|it| signed("due_at", of(it).0)).collect();
            all.map_err(OutOfPlace::during(operation))
        };
        sqlx::query(OWE)
            .bind(schedule)
            .bind(numbers(|it| it.0.starts)?)
            .bind(numbers(|it| it.0.ends)?)
            .bind(numbers(|it| it.1)?)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// The schedule's delivery that has been due for longest, claimed for `term`.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_take(&self, schedule: &str, term: Duration) -> Result<Option<Delivering>, StoreFault> {
        let operation = "delivery_take";
        let row: Option<DeliveringRow> = sqlx::query_as(CLAIM)
            .bind(schedule)
            .bind(millis(term))
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        row.map(DeliveringRow::read)
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// The claimed delivery is of this report; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_ordered(&self, it: &Delivering, report: ReportId) -> Result<bool, StoreFault> {
        let operation = "delivery_ordered";
        let written = of!(ORDERED, it.place(operation)?)
            .bind(report.as_uuid())
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(written.rows_affected() == 1)
    }

    /// The claimed delivery is due again after this: to keep the claim, or to leave it; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_put_off(&self, it: &Delivering, term: Duration) -> Result<bool, StoreFault> {
        let operation = "delivery_put_off";
        let written = of!(PUT_OFF, it.place(operation)?)
            .bind(millis(term))
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(written.rows_affected() == 1)
    }

    /// The claimed delivery is made; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_made(&self, it: &Delivering, outcome: &str) -> Result<bool, StoreFault> {
        let operation = "delivery_made";
        let written = of!(DONE, it.place(operation)?)
            .bind(outcome)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(written.rows_affected() == 1)
    }

    /// The claimed delivery has failed. Told in the feed once it has failed for long, and once it is given up.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_missed(&self, it: &Delivering, outcome: &str, pauses: Pauses) -> Result<Failed, StoreFault> {
        let operation = "delivery_missed";
        let place = it.place(operation)?;
        let mut transaction = self.begin(operation).await?;
        let row: Option<(bool, DateTime<Utc>)> = sqlx::query_as(FAILED)
            .bind(place.schedule)
            .bind(place.starts)
            .bind(place.ends)
            .bind(place.claim)
            .bind(outcome)
            .bind(f64::from(u32::try_from(pauses.most.as_millis()).unwrap_or(u32::MAX)))
            .bind(seconds(pauses.patience))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let Some((given_up, since)) = row else {
            return Ok(Failed::Lost);
        };
        let told = sqlx::query(TOLD)
            .bind(place.schedule)
            .bind(place.starts)
            .bind(place.ends)
            .bind(seconds(pauses.told_after))
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let is_told = told.rows_affected() == 1;
        if is_told {
            let notice = Notice {
                kind: REPORT_DELIVERY_FAILED,
                subject: it.schedule.clone(),
                whose: Whose::Operators,
                data: json!({
                    "schedule": it.schedule,
                    "startsAt": it.period.starts.0,
                    "endsAt": it.period.ends.0,
                    "report": it.report,
                    "failures": it.failures.saturating_add(1),
                    "failingSince": since.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
                    "reason": outcome,
                    "givenUp": given_up,
                }),
            };
            notices::add(&mut transaction, operation, &[notice]).await?;
        }
        commit(transaction, operation).await?;
        self.ring();
        Ok(match (given_up, is_told) {
            (true, _) => Failed::GivenUp,
            (false, true) => Failed::Told,
            (false, false) => Failed::Again,
        })
    }

    /// For how many seconds the end of the oldest period of the schedule that is not delivered has been over; none where
    /// all are.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn delivery_lag(&self, schedule: &str) -> Result<Option<i64>, StoreFault> {
        sqlx::query_scalar(OLDEST)
            .bind(schedule)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading("delivery_lag"))
    }
}
