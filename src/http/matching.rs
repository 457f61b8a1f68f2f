//! `/v1/reconciliation/gateway-files`: a gateway's own list of orders held against the records.

use axum::body::Body;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;

use crate::app::matching::{Counts, Finding, Kind, Outcome, match_all, read};
use crate::app::question::FILTERS;
use crate::http::access::Seen;
use crate::http::error::Denied;
use crate::http::records::{answer, keys, malformed};
use crate::http::{Edge, body};

/// Media types of files.
const TYPES: [(&str, Kind); 2] = [("text/csv", Kind::Csv), ("application/x-ndjson", Kind::Ndjson)];

/// Differences that one answer shows.
const SHOWN_MAX: usize = 1000;

/// `POST /v1/reconciliation/gateway-files`.
pub(super) async fn file(Seen(edge): Seen, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    answer(matched(&edge, &uri, &headers, body).await)
}

async fn matched(edge: &Edge, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, FILTERS)?;
    let within = keys.filter()?;
    keys.end(FILTERS)?;
    if !within.states.is_empty() {
        return Err(malformed("state", "nothing: what has not arrived is on no list"));
    }
    let (kind, bytes) = body::read_file(headers, body, &TYPES).await?;
    let lines = read(kind, &bytes).map_err(|fault| malformed("body", &format!("a file of orders; {fault}")))?;
    let mut differences = Vec::new();
    let tell = |finding: Finding| {
        if finding.outcome != Outcome::Matched && differences.len() < SHOWN_MAX {
            differences.push(finding);
        }
    };
    let counts = match_all(&edge.parts.books, &lines, &within, tell).await?;
    let shown = Answer { counts, differences };
    Ok(serde_json::to_vec(&shown).unwrap_or_default())
}

#[derive(Serialize)]
struct Answer {
    counts: Counts,
    differences: Vec<Finding>,
}
