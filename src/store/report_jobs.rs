//! Reports that were ordered: one row each, claimed by whoever makes it, and its bytes in pieces.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::types::Uuid;

use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::{REPORT_FAILED, REPORT_READY};
use crate::domain::id::ReportId;
use crate::domain::lease::ProcessId;
use crate::domain::tenant::TenantId;

statements! {
    ORDER = "insert into reports (id, ordered, kind, format, question, version, schedule, state, expected, rows, bytes,
            created_at, tenant)
        select $1, $2, $3, $4, $5, $6, $7, 'queued', 0, 0, 0, now(), $9
        where (select count(*) from reports where state in ('queued', 'running')) < $8
        on conflict (ordered) do nothing";
    // What failed is made again when it is ordered again.
    RETRY = "update reports set state = 'queued', failure = null, ended_at = null, expected = 0, rows = 0, bytes = 0
        where ordered = $1 and state = 'failed'";
    BY_ORDER = "select id, tenant, kind, format, question, version, schedule, edition, state, expected, rows, bytes, totals, sha256,
            failure, created_at, ended_at from reports where ordered = $1";
    BY_ID = "select id, tenant, kind, format, question, version, schedule, edition, state, expected, rows, bytes, totals, sha256,
            failure, created_at, ended_at from reports where id = $1 and ($2::uuid is null or tenant = $2)";
    // Of two that want the same one, the second finds it claimed when its turn comes.
    CLAIM = "update reports set state = 'running', claimed_by = $1, claimed_until = now() + $2 * interval '1 millisecond',
            expected = 0, rows = 0, bytes = 0
        where id = (select id from reports
            where state = 'queued' or (state = 'running' and claimed_until < now())
            order by created_at, id limit 1)
            and (state = 'queued' or (state = 'running' and claimed_until < now()))
        returning id, tenant, kind, format, question, version, schedule, edition, state, expected, rows, bytes, totals, sha256,
            failure, created_at, ended_at";
    PIECES_DROP = "delete from report_pieces where report_id = $1";
    PIECE = "with mine as (
            update reports set expected = $3, rows = $4, bytes = bytes + octet_length($6::bytea),
                claimed_until = now() + $7 * interval '1 millisecond'
            where id = $1 and claimed_by = $2 and state = 'running' returning id
        )
        insert into report_pieces (report_id, position, bytes) select id, $5, $6::bytea from mine";
    DONE = "update reports set state = 'done', rows = $3, expected = $3, totals = $4, sha256 = $5, edition = $6,
            ended_at = now(), claimed_by = null, claimed_until = null
        where id = $1 and claimed_by = $2 and state = 'running'
        returning id, tenant, kind, format, question, version, schedule, edition, state, expected, rows, bytes, totals, sha256,
            failure, created_at, ended_at";
    FAIL = "update reports set state = 'failed', failure = $3, ended_at = now(), claimed_by = null, claimed_until = null
        where id = $1 and claimed_by = $2 and state = 'running'
        returning id, tenant, kind, format, question, version, schedule, edition, state, expected, rows, bytes, totals, sha256,
            failure, created_at, ended_at";
    READ = "select bytes from report_pieces where report_id = $1 and position = $2
        and ($3::uuid is null or exists (select 1 from reports r where r.id = $1 and r.tenant = $3))";
    // The oldest go first. The newest stays whatever its size.
    FORGET = "delete from reports where id in (
            select k.id from (
                select id, ended_at, sum(bytes) over (order by ended_at desc, id desc) - bytes as newer
                from reports where state in ('done', 'failed')) as k
            where k.ended_at < now() - $1 * interval '1 second' or k.newer >= $2::bigint
            order by k.ended_at limit 100)";
}

/// Reports that may wait to be made; about, since some may be ordered in the same moment.
const WAITING_MAX: i64 = 100;

/// A report to make, as it is ordered.
#[derive(Debug, Clone)]
pub struct ReportOrder {
    /// SHA-256 of all that makes it another report than others.
    pub ordered: [u8; 32],
    /// What it is of.
    pub kind: &'static str,
    /// How it is written.
    pub format: &'static str,
    /// What it is asked, as JSON.
    pub question: String,
    /// Which one of those that are asked for alike; from 1.
    pub version: u32,
    /// The schedule that orders it.
    pub schedule: Option<String>,
}

/// A report on record.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub id: ReportId,
    /// Whose it is, and so whose rows it has; the operator's, with everybody's, where it is none.
    pub tenant: Option<TenantId>,
    /// As of the order.
    pub kind: String,
    /// As of the order.
    pub format: String,
    /// As of the order.
    pub question: String,
    /// As of the order.
    pub version: u64,
    /// As of the order.
    pub schedule: Option<String>,
    /// Which edition of its kind's columns it has; none before it is made, and 1 where it was made by a version that knew one.
    pub edition: Option<u64>,
    /// How far it is.
    pub progress: Progress,
    /// Rows expected, once that is known; more may come.
    pub expected: u64,
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it was done or failed.
    pub ended_at: Option<DateTime<Utc>>,
}

/// How far a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nobody makes it yet.
    Queued,
    /// Somebody makes it.
    Running,
    /// It can be read.
    Done {
        /// SHA-256 of its bytes.
        sha256: [u8; 32],
        /// Its control totals, as JSON.
        totals: String,
    },
    /// It cannot be made.
    Failed {
        /// Why.
        failure: String,
    },
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    id: Uuid,
    tenant: Option<Uuid>,
    kind: String,
    format: String,
    question: String,
    version: i64,
    schedule: Option<String>,
    edition: Option<i64>,
    state: String,
    expected: i64,
    rows: i64,
    bytes: i64,
    totals: Option<String>,
    sha256: Option<Vec<u8>>,
    failure: Option<String>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl ReportRow {
    fn read(self) -> Result<Report, OutOfPlace> {
        let progress = match (self.state.as_str(), self.totals, self.sha256, self.failure) {
            ("queued", None, None, None) => Progress::Queued,
            ("running", None, None, None) => Progress::Running,
            ("done", Some(totals), Some(sha256), None) => Progress::Done {
                sha256: sha256.try_into().map_err(|_| OutOfPlace("sha256"))?,
                totals,
            },
            ("failed", None, None, Some(failure)) => Progress::Failed { failure },
            _ => return Err(OutOfPlace("state")),
        };
        Ok(Report {
            id: ReportId::from_uuid(self.id),
            tenant: self.tenant.map(TenantId::from_uuid),
            kind: self.kind,
            format: self.format,
            question: self.question,
            version: unsigned("version", self.version)?,
            schedule: self.schedule,
            edition: self.edition.map(|it| unsigned("edition", it)).transpose()?,
            progress,
            expected: unsigned("expected", self.expected)?,
            rows: unsigned("rows", self.rows)?,
            bytes: unsigned("bytes", self.bytes)?,
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

fn read(operation: &'static str, row: Option<ReportRow>) -> Result<Option<Report>, StoreFault> {
    row.map(ReportRow::read)
        .transpose()
        .map_err(OutOfPlace::during(operation))
}

fn millis(term: Duration) -> i64 {
    i64::try_from(term.as_millis()).unwrap_or(i64::MAX)
}

/// A piece of a report that is being made.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Rows that the report is expected to have.
    pub expected: u64,
    /// Rows up to and with this piece.
    pub rows: u64,
    /// Which piece; from 0.
    pub position: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What is known of a report once it is whole.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// Its rows.
    pub rows: u64,
    /// Its control totals, as JSON.
    pub totals: &'a str,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Which edition of its kind's columns it has.
    pub edition: u32,
}

/// What is told of a report that has ended.
fn notice(report: &Report) -> Notice {
    let json_of = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut data = json!({
        "report": report.id,
        "reportType": report.kind,
        "format": report.format,
        "filter": json_of(&report.question),
        "version": report.version,
        "schedule": report.schedule,
    });
    let more = match &report.progress {
        Progress::Done { sha256, totals } => json!({
            "edition": report.edition,
            "rows": report.rows,
            "bytes": report.bytes,
            "sha256": hex::encode(sha256),
            "totals": json_of(totals),
            "content": format!("/v1/reports/{}/content", report.id),
        }),
        Progress::Failed { failure } => json!({"reason": failure}),
        Progress::Queued | Progress::Running => Value::Null,
    };
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    Notice {
        kind: match report.progress {
            Progress::Failed { .. } => REPORT_FAILED,
            Progress::Queued | Progress::Running | Progress::Done { .. } => REPORT_READY,
        },
        subject: report.id.to_string(),
        whose: report.tenant.map_or(Whose::Operators, Whose::Of),
        data,
    }
}

impl Store {
    /// Puts an order on record, or finds the report of an equal one; what failed is made again. None when too many wait.
    ///
    /// # Errors
    /// Faults of the store; ordering again does no harm.
    pub async fn report_order(&self, order: &ReportOrder) -> Result<Option<Report>, StoreFault> {
        let operation = "report_order";
        let ordered = self.ordered(order);
        let fault = StoreFault::reading(operation);
        sqlx::query(ORDER)
            .bind(ReportId::mint().as_uuid())
            .bind(ordered)
            .bind(order.kind)
            .bind(order.format)
            .bind(&order.question)
            .bind(i64::from(order.version))
            .bind(&order.schedule)
            .bind(WAITING_MAX)
            .bind(self.seen())
            .execute(&self.pool)
            .await
            .map_err(&fault)?;
        sqlx::query(RETRY)
            .bind(ordered)
            .execute(&self.pool)
            .await
            .map_err(&fault)?;
        let row = sqlx::query_as(BY_ORDER)
            .bind(ordered)
            .fetch_optional(&self.pool)
            .await
            .map_err(&fault)?;
        read(operation, row)
    }

    /// What sets the order apart from all others: two tenants' are never one.
    fn ordered(&self, order: &ReportOrder) -> [u8; 32] {
        let Some(tenant) = self.viewer() else {
            return order.ordered;
        };
        let digest = Sha256::new()
            .chain_update(tenant.as_uuid().as_bytes())
            .chain_update(order.ordered);
        digest.finalize().into()
    }

    /// The report of this id.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn report_get(&self, id: ReportId) -> Result<Option<Report>, StoreFault> {
        let operation = "report_get";
        let row = sqlx::query_as(BY_ID)
            .bind(id.as_uuid())
            .bind(self.seen())
            .fetch_optional(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        read(operation, row)
    }

    /// The oldest report that nobody makes, claimed for this process and begun anew: whoever claimed it before is late with
    /// whatever it still writes.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn report_claim(&self, me: ProcessId, term: Duration) -> Result<Option<Report>, StoreFault> {
        let operation = "report_claim";
        let mut transaction = self.begin(operation).await?;
        let row: Option<ReportRow> = sqlx::query_as(CLAIM)
            .bind(me.0)
            .bind(millis(term))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if let Some(row) = &row {
            sqlx::query(PIECES_DROP)
                .bind(row.id)
                .execute(&mut *transaction)
                .await
                .map_err(StoreFault::reading(operation))?;
        }
        commit(transaction, operation).await?;
        read(operation, row)
    }

    /// Keeps a piece and the claim; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn report_piece(
        &self,
        id: ReportId,
        me: ProcessId,
        piece: Piece<'_>,
        term: Duration,
    ) -> Result<bool, StoreFault> {
        let operation = "report_piece";
        let out_of_place = OutOfPlace::during(operation);
        let written = sqlx::query(PIECE)
            .bind(id.as_uuid())
            .bind(me.0)
            .bind(signed("expected", piece.expected).map_err(&out_of_place)?)
            .bind(signed("rows", piece.rows).map_err(&out_of_place)?)
            .bind(signed("position", piece.position).map_err(&out_of_place)?)
            .bind(piece.bytes)
            .bind(millis(term))
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(written.rows_affected() == 1)
    }

    /// Ends a report that is whole, and tells of it; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn report_done(&self, id: ReportId, me: ProcessId, whole: Whole<'_>) -> Result<bool, StoreFault> {
        let operation = "report_done";
        let done = sqlx::query_as(DONE)
            .bind(id.as_uuid())
            .bind(me.0)
            .bind(signed("rows", whole.rows).map_err(OutOfPlace::during(operation))?)
            .bind(whole.totals)
            .bind(whole.sha256)
            .bind(i64::from(whole.edition));
        self.report_end(operation, done).await
    }

    /// Ends a report that cannot be made, and tells of it; false when the claim was lost.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn report_fail(&self, id: ReportId, me: ProcessId, failure: &str) -> Result<bool, StoreFault> {
        let failed = sqlx::query_as(FAIL).bind(id.as_uuid()).bind(me.0).bind(failure);
        self.report_end("report_fail", failed).await
    }

    async fn report_end(
        &self,
        operation: &'static str,
        end: QueryAs<'_, Postgres, ReportRow, PgArguments>,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin(operation).await?;
        let ended = end.fetch_optional(&mut *transaction).await;
        let Some(report) = read(operation, ended.map_err(StoreFault::reading(operation))?)? else {
            return Ok(false);
        };
        notices::add(&mut transaction, operation, &[notice(&report)]).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(true)
    }

    /// A piece of a report; none after the last.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn report_read(&self, id: ReportId, position: u64) -> Result<Option<Vec<u8>>, StoreFault> {
        let operation = "report_read";
        sqlx::query_scalar(READ)
            .bind(id.as_uuid())
            .bind(signed("position", position).map_err(OutOfPlace::during(operation))?)
            .bind(self.seen())
            .fetch_optional(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))
    }

    /// Forgets some of the reports that ended longer ago than this or have so many bytes of newer ones beside them; true when
    /// there may be more.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn reports_forget(&self, after: Duration, bytes: u64) -> Result<bool, StoreFault> {
        let operation = "reports_forget";
        let gone = sqlx::query(FORGET)
            .bind(i64::try_from(after.as_secs()).unwrap_or(i64::MAX))
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(gone.rows_affected() > 0)
    }
}
