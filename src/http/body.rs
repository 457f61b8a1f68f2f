//! Reading a request's body, bounded in size and time, without copying it when it comes in one piece.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use futures_util::StreamExt;

use crate::http::error::Denied;

/// Bytes in a body. Real requests have 1 to 3 KiB; extensions with schemas are the longest.
const BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes in a file, and how long one may take to arrive.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
const FILE_PATIENCE: Duration = Duration::from_mins(1);

/// The whole body of a request that claims to be JSON, or claims nothing.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Denied> {
    let is_json = claimed(headers).is_none_or(|it| it.eq_ignore_ascii_case(b"application/json"));
    if !is_json || !is_plain(headers) {
        return Err(Denied::wrong_content_type());
    }
    within(body, BYTES_MAX, PATIENCE, Denied::too_large, Denied::too_slow).await
}

/// A file of one of these media types, and which of them it is.
pub(super) async fn read_file<T: Copy>(
    headers: &HeaderMap,
    body: Body,
    types: &[(&str, T)],
) -> Result<(T, Bytes), Denied> {
    let claimed = claimed(headers).unwrap_or_default();
    let known = types
        .iter()
        .find(|(name, _)| claimed.eq_ignore_ascii_case(name.as_bytes()));
    let (_, kind) = known
        .filter(|_| is_plain(headers))
        .ok_or_else(Denied::wrong_file_type)?;
    let (large, slow) = (Denied::file_too_large, Denied::file_too_slow);
    Ok((*kind, within(body, FILE_BYTES_MAX, FILE_PATIENCE, large, slow).await?))
}

/// The whole body of a request that is not let in before it is read; as long as a file's where the endpoint takes one.
pub(super) async fn read_unseen(body: Body, is_file: bool) -> Result<Bytes, Denied> {
    if is_file {
        return within(
            body,
            FILE_BYTES_MAX,
            FILE_PATIENCE,
            Denied::file_too_large,
            Denied::file_too_slow,
        )
        .await;
    }
    within(body, BYTES_MAX, PATIENCE, Denied::too_large, Denied::too_slow).await
}

async fn within(
    body: Body,
    bytes_max: usize,
    patience: Duration,
    large: fn() -> Denied,
    slow: fn() -> Denied,
) -> Result<Bytes, Denied> {
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(large());
    }
    match tokio::time::timeout(patience, collect(body, bytes_max, large)).await {
        Ok(read) => read,
        Err(_) => Err(slow()),
    }
}

/// The media type that the request claims, without its parameters.
fn claimed(headers: &HeaderMap) -> Option<&[u8]> {
    let claimed = headers.get(CONTENT_TYPE)?.as_bytes();
    Some(
        claimed
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii(),
    )
}

/// Nothing compressed is taken: what it unpacks to has no bound.
fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn collect(body: Body, bytes_max: usize, large: fn() -> Denied) -> Result<Bytes, Denied> {
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Denied::cut_off())?;
        let length = first.len().saturating_add(rest.len()).saturating_add(piece.len());
        if length > bytes_max {
            return Err(large());
        }
        if first.is_empty() {
            first = piece;
        } else {
            rest.extend_from_slice(&piece);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([first.as_ref(), &rest].concat().into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{HeaderValue, StatusCode};
    use futures_util::stream;

    use super::*;
    use crate::http::Endpoint;

    fn pieces(pieces: &[&'static [u8]]) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|it| Ok::<_, Infallible>(Bytes::from_static(it)))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    fn status(read: Result<Bytes, Denied>) -> StatusCode {
        read.unwrap_err().answer(Some(Endpoint::Verify), "").status()
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        let headers = HeaderMap::new();
        for (given, whole) in [
            (pieces(&[]), &b""[..]),
            (pieces(&[b"{}"]), b"{}"),
            (pieces(&[b"", b"{", b"", b"}"]), b"{}"),
            (Body::from("{}"), b"{}"),
        ] {
            assert_eq!(read(&headers, given).await.unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
        static HALF: [u8; BYTES_MAX / 2] = [b' '; BYTES_MAX / 2];
        let headers = HeaderMap::new();
        assert!(read(&headers, pieces(&[&HALF, &HALF])).await.is_ok());
        let over = pieces(&[&HALF, &HALF, b" "]);
        assert_eq!(status(read(&headers, over).await), StatusCode::PAYLOAD_TOO_LARGE);
        let over = Body::from(vec![b' '; BYTES_MAX + 1]);
        assert_eq!(status(read(&headers, over).await), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_file_is_of_a_known_kind_and_bounded() {
        let types = [("text/csv", 1), ("application/x-ndjson", 2)];
        let claiming = |claimed| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(claimed))]);
        let read = async |claimed, body| read_file(&claiming(claimed), body, &types).await;
        let (kind, bytes) = read("Text/CSV; header=present", Body::from("id")).await.unwrap();
        assert_eq!((kind, &bytes[..]), (1, &b"id"[..]));
        let status = |read: Result<_, Denied>| read.map(|_: (i32, Bytes)| ()).unwrap_err().answer(None, "").status();
        let unknown = read("application/json", Body::from("id")).await;
        assert_eq!(status(unknown), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let large = read("text/csv", Body::from(vec![b' '; FILE_BYTES_MAX + 1])).await;
        assert_eq!(status(large), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(
            status(read(&HeaderMap::new(), never).await),
            StatusCode::REQUEST_TIMEOUT
        );
    }

    #[tokio::test]
    async fn another_kind_of_content_is_refused() {
        for (claimed, is_taken) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(claimed))]);
            assert_eq!(read(&headers, Body::from("{}")).await.is_ok(), is_taken, "{claimed}");
        }
    }
}
