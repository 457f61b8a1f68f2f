//! `/v1/reports`: ordered, made in the background, read in one stream.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Stream, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::books::Books;
use crate::app::reports::Kind;
use crate::app::reports::encode::Format;
use crate::domain::id::ReportId;
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::records::malformed;
use crate::http::view::rfc_3339;
use crate::http::{Edge, body};
use crate::store::{Progress, Report, StoreFault};
use crate::wire::NETWORK_UNKNOWN;

/// RFC 9530.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// `POST /v1/reports`.
pub(super) async fn order(Seen(edge): Seen, headers: HeaderMap, body: Body) -> Response {
    match ordered(&edge, &headers, body).await {
        Ok(report) => {
            let mut response = json(StatusCode::ACCEPTED, view(&report));
            if let Ok(place) = HeaderValue::try_from(format!("/v1/reports/{}", report.id)) {
                response.headers_mut().insert(LOCATION, place);
            }
            response
        }
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

async fn ordered(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Report, Denied> {
    let body = body::read(headers, body).await?;
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        let expected = "an object with type, format, filter (an object of strings) and version, and nothing else";
        malformed("body", &format!("{expected} ({error})"))
    })?;
    let kind = Kind::named(&asked.kind).ok_or_else(|| malformed("type", &format!("one of {}", Kind::names())))?;
    let format = Format::named(&asked.format).ok_or_else(|| malformed("format", "csv, json, ndjson or parquet"))?;
    let version = asked.version.unwrap_or(1);
    if version == 0 {
        return Err(malformed("version", "a whole number from 1"));
    }
    let ordered = edge.parts.books.order(kind, format, asked.filter, version).await?;
    ordered.ok_or_else(Denied::too_many_reports)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "type")]
    kind: String,
    format: String,
    #[serde(default)]
    filter: BTreeMap<String, String>,
    version: Option<u32>,
}

/// `GET /v1/reports/{id}`.
pub(super) async fn get(Seen(edge): Seen, id: Result<Path<String>, PathRejection>) -> Response {
    match found(&edge, id).await {
        Ok(report) => json(StatusCode::OK, view(&report)),
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

async fn found(edge: &Edge, id: Result<Path<String>, PathRejection>) -> Result<Report, Denied> {
    let id: ReportId = id
        .ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or_else(|| malformed("id", ReportId::SHAPE))?;
    edge.parts.books.report(id).await?.ok_or_else(Denied::no_such_report)
}

/// `GET /v1/reports/{id}/content`.
pub(super) async fn content(Seen(edge): Seen, id: Result<Path<String>, PathRejection>) -> Response {
    match found(&edge, id).await {
        Ok(report) => match &report.progress {
            Progress::Done { sha256, .. } => streamed(edge.parts.books, &report, sha256),
            Progress::Queued | Progress::Running | Progress::Failed { .. } => {
                Denied::report_not_made().answer(None, NETWORK_UNKNOWN)
            }
        },
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

fn streamed(books: Books, report: &Report, sha256: &[u8; 32]) -> Response {
    let pieces = pieces(books, report.id).inspect_err(|fault| {
        tracing::warn!(error = %fault, "a report could not be read to its end");
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let media_type = Format::named(&report.format).map_or("application/octet-stream", Format::media_type);
    let name = format!(
        "attachment; filename=\"{}-{}.{}\"",
        report.kind, report.id, report.format
    );
    let digest = format!("sha-256=:{}:", STANDARD.encode(sha256));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(report.bytes));
    for (header, value) in [(CONTENT_DISPOSITION, name), (REPR_DIGEST, digest)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(header, value);
        }
    }
    response
}

/// The report's pieces, one read when the last one is gone.
fn pieces(books: Books, id: ReportId) -> impl Stream<Item = Result<Bytes, StoreFault>> {
    stream::try_unfold((books, 0u64), move |(books, position)| async move {
        let piece = books.report_piece(id, position).await?;
        Ok(piece.map(|bytes| (Bytes::from(bytes), (books, position.saturating_add(1)))))
    })
}

/// A report as the API shows it. Every key is always there; what is not known is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: ReportId,
    #[serde(rename = "type")]
    kind: &'a str,
    format: &'a str,
    filter: Option<&'a RawValue>,
    version: u64,
    schedule: Option<&'a str>,
    edition: Option<u64>,
    state: &'static str,
    expected_rows: u64,
    rows: u64,
    bytes: u64,
    sha256: Option<String>,
    totals: Option<&'a RawValue>,
    failure: Option<&'a str>,
    content: Option<String>,
    created_at: String,
    ended_at: Option<String>,
}

fn view(report: &Report) -> Vec<u8> {
    let (mut sha256, mut totals, mut failure) = (None, None, None);
    let state = match &report.progress {
        Progress::Queued => "queued",
        Progress::Running => "running",
        Progress::Done {
            sha256: digest,
            totals: sums,
        } => {
            sha256 = Some(hex::encode(digest));
            totals = serde_json::from_str(sums).ok();
            "done"
        }
        Progress::Failed { failure: why } => {
            failure = Some(why.as_str());
            "failed"
        }
    };
    serde_json::to_vec(&View {
        id: report.id,
        kind: &report.kind,
        format: &report.format,
        filter: serde_json::from_str(&report.question).ok(),
        version: report.version,
        schedule: report.schedule.as_deref(),
        edition: report.edition,
        state,
        expected_rows: report.expected,
        rows: report.rows,
        bytes: report.bytes,
        content: sha256.is_some().then(|| format!("/v1/reports/{}/content", report.id)),
        sha256,
        totals,
        failure,
        created_at: rfc_3339(report.created_at),
        ended_at: report.ended_at.map(rfc_3339),
    })
    .unwrap_or_default()
}
