//! `/v1/statements`: closed statements, their lines with proofs, and the forms that bookkeeping takes.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::SemaphorePermit;

use crate::app::question::{Keys, NETWORK};
use crate::domain::id::{PaymentId, RefundId, StatementId};
use crate::domain::time::Timestamp;
use crate::export::json::{LineView, StatementView};
use crate::export::{Document, Format};
use crate::http::access::Seen;
use crate::http::error::Denied;
use crate::http::records::{answer, keys, malformed};
use crate::http::{Edge, accept};
use crate::store::{Closed, PAGE_MAX, StatementFilter};

/// Statements or lines on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

/// The most lines of a statement that is exported or searched for a proof: it is held in memory as a whole.
const WHOLE_MAX: u64 = 100_000;

/// As many statements are held as a whole at once; the next request waits for its turn.
pub(super) const WHOLE_AT_ONCE: usize = 2;

const KNOWN: &str = "of network, asset, payTo, from, to, limit and cursor, each at most once and not empty";
const KNOWN_OF_ONE: &str = "format or nothing";
const KNOWN_OF_LINES: &str = "of limit and cursor, each at most once and not empty";

/// `GET /v1/statements`.
pub(super) async fn list(Seen(edge): Seen, uri: Uri) -> Response {
    answer(page(&edge, &uri).await)
}

async fn page(edge: &Edge, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, KNOWN)?;
    let limit: u16 = keys.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let after: Option<StatementId> = keys.parsed("cursor", "the nextCursor of an earlier page")?;
    let filter = StatementFilter {
        network: keys.parsed("network", NETWORK)?,
        asset: keys.take("asset"),
        pay_to: keys.take("payTo"),
        from: time(&mut keys, "from")?,
        before: time(&mut keys, "to")?,
    };
    keys.end(KNOWN)?;
    let found = edge
        .parts
        .books
        .statements(filter, after, limit.saturating_add(1))
        .await?;
    let shown: Vec<StatementView<'_>> = found.iter().take(limit.into()).map(|it| view(edge, it)).collect();
    let is_last = found.len() == shown.len();
    let next_cursor = found.get(shown.len().saturating_sub(1)).filter(|_| !is_last);
    Ok(written(&PageView {
        statements: shown,
        next_cursor: next_cursor.map(|it| it.statement.id),
    }))
}

/// `GET /v1/statements/{id}`.
pub(super) async fn one(
    Seen(edge): Seen,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let mut response = match whole(&edge, id, &headers, &uri).await {
        Ok((body, media_type)) => {
            let mut response = answer(Ok(body));
            let media_type = HeaderValue::from_static(media_type);
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            response
        }
        Err(denied) => answer(Err(denied)),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

async fn whole(
    edge: &Edge,
    id: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(Vec<u8>, &'static str), Denied> {
    let mut keys = keys(uri, KNOWN_OF_ONE)?;
    let forms = format!("one of {}", Format::ALL.map(Format::as_str).join(", "));
    let format = keys.named("format", &forms, Format::named)?;
    keys.end(KNOWN_OF_ONE)?;
    let format = match format {
        None => accepted(headers)?,
        named => named,
    };
    let closed = found(edge, &id.map(|Path(id)| id)).await?;
    let Some(format) = format else {
        return Ok((written(&view(edge, &closed)), Format::Json.media_type()));
    };
    let _turn = turn(edge, &closed).await?;
    let details = edge.parts.books.statement_details(closed.statement.id).await?;
    let document = Document {
        statement: &closed.statement,
        hash: &closed.hash,
        closed_at: closed.at,
        details: &details,
    };
    let text = format
        .write(&document, &edge.parts.style)
        .map_err(|_| Denied::no_decimals())?;
    Ok((text.into_bytes(), format.media_type()))
}

/// The form that the client accepts, where it names none: the statement without its lines as JSON, or one of those whose media
/// type says which it is. Journals are CSV as well, and are had by their names only.
fn accepted(headers: &HeaderMap) -> Result<Option<Format>, Denied> {
    let offered = ["application/json", "text/csv", "application/xml"];
    match accept::preferred(headers, &offered) {
        Some("application/json") => Ok(None),
        Some("text/csv") => Ok(Some(Format::Csv)),
        Some("application/xml") => Ok(Some(Format::Camt053)),
        _ => Err(Denied::not_acceptable()),
    }
}

/// `GET /v1/statements/{id}/lines`.
pub(super) async fn lines(Seen(edge): Seen, id: Result<Path<String>, PathRejection>, uri: Uri) -> Response {
    answer(lines_page(&edge, id, &uri).await)
}

async fn lines_page(edge: &Edge, id: Result<Path<String>, PathRejection>, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, KNOWN_OF_LINES)?;
    let limit: u16 = keys.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let first: u64 = keys
        .parsed("cursor", "the nextCursor of an earlier page")?
        .unwrap_or_default();
    keys.end(KNOWN_OF_LINES)?;
    let statement = found(edge, &id.map(|Path(id)| id)).await?.statement;
    let first = first.min(statement.lines);
    let details = edge.parts.books.statement_lines(statement.id, first, limit).await?;
    let next = first.saturating_add(u64::try_from(details.len()).unwrap_or(u64::MAX));
    Ok(written(&LinesView {
        lines: LineView::all(&details, first),
        next_cursor: (next < statement.lines).then(|| next.to_string()),
    }))
}

/// `GET /v1/statements/{id}/lines/{payment}`.
pub(super) async fn proof(Seen(edge): Seen, names: Result<Path<(String, String)>, PathRejection>) -> Response {
    answer(proven(&edge, names).await)
}

async fn proven(edge: &Edge, names: Result<Path<(String, String)>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let (id, payment) = match names {
        Ok(Path((id, payment))) => (Ok(id), payment),
        Err(rejection) => (Err(rejection), String::new()),
    };
    let is_name = payment.parse::<PaymentId>().is_ok() || payment.parse::<RefundId>().is_ok();
    if !is_name {
        let expected = format!("{}; or {}", PaymentId::SHAPE, RefundId::SHAPE);
        return Err(malformed("payment", &expected));
    }
    let closed = found(edge, &id).await?;
    let _turn = turn(edge, &closed).await?;
    let proof = edge
        .parts
        .books
        .statement_proof(closed.statement.id, &payment)
        .await?
        .ok_or_else(Denied::not_on_statement)?;
    let position = u64::try_from(proof.position).unwrap_or(u64::MAX);
    let line = LineView::all(std::slice::from_ref(&proof.detail), position).pop();
    Ok(written(&ProofView {
        statement: closed.statement.id,
        line,
        lines: proof.lines,
        path: proof.path.iter().map(hex::encode).collect(),
        merkle_root: hex::encode(closed.statement.merkle_root),
    }))
}

async fn found(edge: &Edge, id: &Result<String, PathRejection>) -> Result<Closed, Denied> {
    let id: StatementId = id
        .as_ref()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| malformed("id", StatementId::SHAPE))?;
    let closed = edge.parts.books.statement(id).await?;
    closed.ok_or_else(Denied::no_such_statement)
}

/// The right to hold the whole statement.
async fn turn<'a>(edge: &'a Edge, closed: &Closed) -> Result<Option<SemaphorePermit<'a>>, Denied> {
    if closed.statement.lines > WHOLE_MAX {
        return Err(Denied::too_many_lines());
    }
    // Nobody closes it.
    Ok(edge.whole.acquire().await.ok())
}

fn view<'a>(edge: &Edge, closed: &'a Closed) -> StatementView<'a> {
    let account = &closed.statement.account;
    let places = edge.parts.style.decimals.of(&account.network, &account.asset);
    StatementView::of(&closed.statement, &closed.hash, closed.at, places)
}

fn time(keys: &mut Keys, key: &str) -> Result<Option<Timestamp>, Denied> {
    let time = keys.time(key)?;
    Ok(time.and_then(|it| u64::try_from(it.timestamp()).ok()).map(Timestamp))
}

fn written(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    statements: Vec<StatementView<'a>>,
    next_cursor: Option<StatementId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinesView<'a> {
    lines: Vec<LineView<'a>>,
    next_cursor: Option<String>,
}

/// What a verifier needs beside the root that he trusts: RFC 9162 section 2.1.3.2.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProofView<'a> {
    statement: StatementId,
    line: Option<LineView<'a>>,
    lines: usize,
    path: Vec<String>,
    merkle_root: String,
}
