//! One request to whoever keeps a key, and its answer: bounded in time and size, never repeated here, and told of without
//! the address, which may hold a key.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;

/// Bytes of an answer that are read: a signature and what stands around it.
const ANSWER_MAX: usize = 64 * 1024;

/// The longest word of an error that is passed on, in characters.
const WORD_MAX: usize = 80;

/// Connections to one place.
pub(super) struct Http(Client);

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// For requests to this address.
    ///
    /// # Errors
    /// The machine's TLS roots cannot be used.
    pub(super) fn to(url: &Url) -> Result<Self, String> {
        let mut builder = builder();
        if url.scheme() == "http" {
            // Who is on the same machine must not need a certificate store.
            builder = builder.tls_certs_only([]);
        }
        built(builder)
    }

    /// For requests to whoever listens at this Unix socket, whatever host they name.
    ///
    /// # Errors
    /// There is no HTTP client.
    pub(super) fn at_socket(path: &Path) -> Result<Self, String> {
        built(builder().tls_certs_only([]).unix_socket(path))
    }

    /// Asks once.
    ///
    /// # Errors
    /// Nothing came back.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Answer, String> {
        let request = self.0.request(method, url).headers(named(headers)?).body(body);
        let mut response = request.send().await.map_err(|error| unheard(&error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| unheard(&error))? {
            if body.len().saturating_add(part.len()) > ANSWER_MAX {
                return Err("answered more than 64 KiB".to_owned());
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The answer, if it was a success. `said` finds the word by which an error names itself.
    ///
    /// # Errors
    /// The status and that word.
    pub(super) fn read<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        said: impl Fn(E) -> String,
    ) -> Result<T, String> {
        if !(200..300).contains(&self.status) {
            let word = serde_json::from_slice(&self.body).ok().map(said);
            return Err(refusal(self.status, word.as_deref()));
        }
        serde_json::from_slice(&self.body).map_err(|_| "answered something else than it is documented to".to_owned())
    }
}

/// What a refusal is told as: the status, and what of its word cannot be a secret or break a line.
pub(super) fn refusal(status: u16, word: Option<&str>) -> String {
    let word = word.unwrap_or_default().chars();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_-.: ".contains(*c);
    let word: String = word.filter(is_plain).take(WORD_MAX).collect();
    if word.is_empty() {
        format!("answered HTTP {status}")
    } else {
        format!("answered HTTP {status} {word}")
    }
}

/// Where somebody is asked.
///
/// # Errors
/// What was expected.
pub(super) fn url(key: &str, text: &str) -> Result<Url, String> {
    let expected = || format!("{key}: expected an http:// or https:// URL without query");
    let url: Url = text.trim_end_matches('/').parse().map_err(|_| expected())?;
    let is_fit = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if is_fit { Ok(url) } else { Err(expected()) }
}

/// The address with this path behind its own.
///
/// # Errors
/// The path cannot stand in an address.
pub(super) fn below(url: &Url, path: &str) -> Result<Url, String> {
    let whole = format!("{}{path}", url.as_str().trim_end_matches('/'));
    whole
        .parse()
        .map_err(|_| "cannot be asked: its address is no URL".to_owned())
}

/// Since the Unix epoch. Requests are dated by the machine's clock, as whoever checks them dates them by his.
pub(super) fn now() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "only dates requests; no rule of ours depends on it"
    )]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn builder() -> reqwest::ClientBuilder {
    // Fails only when another client installed a provider before, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(8)
        .pool_idle_timeout(Duration::from_secs(20))
}

fn built(builder: reqwest::ClientBuilder) -> Result<Http, String> {
    let client = builder.build();
    client
        .map(Http)
        .map_err(|error| format!("no HTTP client: {}", error.without_url()))
}

fn named(headers: &[(&'static str, String)]) -> Result<HeaderMap, String> {
    let mut named = HeaderMap::new();
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("{name}: cannot stand in a header"))?;
        value.set_sensitive(true);
        named.insert(HeaderName::from_static(name), value);
    }
    Ok(named)
}

fn unheard(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "gave no answer in time"
    } else if error.is_connect() {
        "could not be connected to"
    } else {
        "broke off the connection"
    };
    what.to_owned()
}
