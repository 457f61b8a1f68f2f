//! The page's files: part of the binary, the same for everybody, and asked for again only once they have changed.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use sha2::{Digest, Sha256};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal, $kind:expr, $file:literal;)*) => {
        /// Where each file is found, what it is, and what is in it.
        const FILES: &[(&str, &str, &str)] = &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

files! {
    "/", HTML, "index.html";
    "/assets/style.css", CSS, "style.css";
    "/assets/icon.svg", SVG, "icon.svg";
    "/assets/main.js", JS, "main.js";
    "/assets/theme.js", JS, "theme.js";
    "/assets/api.js", JS, "api.js";
    "/assets/live.js", JS, "live.js";
    "/assets/dom.js", JS, "dom.js";
    "/assets/format.js", JS, "format.js";
    "/assets/chains.js", JS, "chains.js";
    "/assets/chart.js", JS, "chart.js";
    "/assets/keys.js", JS, "keys.js";
    "/assets/payments.js", JS, "payments.js";
    "/assets/story.js", JS, "story.js";
    "/assets/search.js", JS, "search.js";
    "/assets/exceptions.js", JS, "exceptions.js";
    "/assets/signers.js", JS, "signers.js";
    "/assets/networks.js", JS, "networks.js";
    "/assets/volume.js", JS, "volume.js";
    "/assets/webhooks.js", JS, "webhooks.js";
}

/// A route for each file.
pub(super) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, (path, kind, text)| {
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        let tag = HeaderValue::try_from(format!("\"{}\"", digest.get(..32).unwrap_or_default()));
        let tag = tag.unwrap_or(HeaderValue::from_static("\"\""));
        router.route(
            path,
            get(async move |headers: HeaderMap| file(&headers, kind, text, tag)),
        )
    })
}

fn file(headers: &HeaderMap, kind: &'static str, text: &'static str, tag: HeaderValue) -> Response {
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| {
        let known = known.to_str().unwrap_or_default();
        let mut tags = known.split(',').map(|it| it.trim().trim_start_matches("W/"));
        tags.any(|it| it == "*" || it.as_bytes() == tag.as_bytes())
    });
    let body = if is_known {
        Body::empty()
    } else {
        Body::from(Bytes::from_static(text.as_bytes()))
    };
    let mut response = Response::new(body);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let sent = response.headers_mut();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Kept, and asked after each time: a new version of the program is a new page at once.
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    sent.insert(ETAG, tag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let tag = HeaderValue::from_static("\"a\"");
        for (known, status) in [
            ("\"a\"", StatusCode::NOT_MODIFIED),
            ("\"b\", W/\"a\"", StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("\"b\"", StatusCode::OK),
            ("a", StatusCode::OK),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, known.parse().unwrap())]);
            let response = file(&headers, CSS, "b {}", tag.clone());
            assert_eq!(
                (response.status(), &response.headers()[ETAG]),
                (status, &tag),
                "{known}"
            );
        }
    }

    #[test]
    fn the_page_is_small_and_leads_nowhere_else() {
        let bytes: usize = FILES.iter().map(|(.., text)| text.len()).sum();
        assert!(bytes < 128 * 1024, "{bytes} bytes");
        for (path, kind, text) in FILES {
            let loads = [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=\"",
                "<script>",
            ];
            let found = loads.iter().find(|word| text.contains(**word));
            assert!(found.is_none(), "{path}: {found:?}");
            if *kind == JS {
                let imports = text.lines().filter(|line| line.starts_with("import "));
                for line in imports {
                    let named = line.rsplit('"').nth(1).map(|it| it.replace("./", "/assets/"));
                    let is_ours = FILES.iter().any(|(path, ..)| Some(*path) == named.as_deref());
                    assert!(is_ours, "{path}: {line}");
                }
            }
        }
    }
}
