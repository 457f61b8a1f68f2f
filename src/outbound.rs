//! The one door out to addresses that others name: HTTP to whoever is public, and to nobody else. Beside it, the operator's own
//! stores ([`bucket`]).
//!
//! A name may lead anywhere, and elsewhere the next time. So names are resolved here, every address that they lead to is
//! checked, and the connection is made to those that were checked. No proxy, no credentials in the address, no redirect but to
//! a file that is read; an answer is read up to a bound.

mod address;
pub mod bucket;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, StatusCode, Url};

/// From the first look at the name to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read; what is longer is cut off.
const ANSWER_MAX: usize = 64 * 1024;

/// Redirects that are followed to a file. None is where something is sent.
const REDIRECTS_MAX: usize = 3;

/// The longest address, in bytes.
const URL_MAX: usize = 2048;

/// Sends to addresses that others have named.
#[derive(Clone)]
pub struct Outbound {
    http: Client,
    allow_private: bool,
}

/// An address that may be sent to, as far as it can be told without resolving its name. Never shown: it often holds a key.
#[derive(Clone)]
pub struct Target(Url);

/// Why an address may not be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Unfit(&'static str);

/// What came back.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the other side wants to be left alone, where it says so.
    pub retry_after: Option<RetryAfter>,
}

/// A `Retry-After` header (RFC 9110, section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// For so long.
    For(Duration),
    /// Until then.
    Until(DateTime<Utc>),
}

impl RetryAfter {
    /// A number of seconds, or a date in any of the three forms of RFC 9110, section 5.6.7.
    fn read(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Self::For(Duration::from_secs(seconds)));
        }
        let forms = [
            "%a, %d %b %Y %H:%M:%S GMT",
            "%A, %d-%b-%y %H:%M:%S GMT",
            "%a %b %e %H:%M:%S %Y",
        ];
        let date = forms
            .into_iter()
            .find_map(|it| NaiveDateTime::parse_from_str(text, it).ok())?;
        Some(Self::Until(date.and_utc()))
    }

    /// How long that is from this time on.
    #[must_use]
    pub fn from(self, now: DateTime<Utc>) -> Duration {
        match self {
            Self::For(term) => term,
            Self::Until(then) => then.signed_duration_since(now).to_std().unwrap_or_default(),
        }
    }
}

/// Why nothing came back, without the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// The name leads to an address that is not public. Nothing was connected to.
    #[error("not a public address")]
    Private,
    /// No answer in time.
    #[error("no answer in time")]
    TooSlow,
    /// The connection was not made.
    #[error("no connection")]
    NoConnection,
    /// The connection was made and broke.
    #[error("the connection broke")]
    Broken,
}

impl Outbound {
    /// A way out; with `allow_private` to addresses that are not public, too, and without TLS.
    ///
    /// # Errors
    /// The machine's TLS roots cannot be used.
    pub fn new(allow_private: bool) -> Result<Self, String> {
        // Fails only when another client installed a provider before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Checked { allow_private })
            .pool_max_idle_per_host(8)
            .pool_idle_timeout(Duration::from_secs(20))
            .timeout(PATIENCE)
            .default_headers(HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (USER_AGENT, HeaderValue::from_static("x402-facilitator")),
            ]))
            .build()
            .map_err(|error| format!("no HTTP client: {}", error.without_url()))?;
        Ok(Self { http, allow_private })
    }

    /// The address, if it is one to send to. Its name is resolved with each connection anew, and may still lead to one that
    /// is not.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn target(&self, text: &str) -> Result<Target, Unfit> {
        if text.len() > URL_MAX {
            return Err(Unfit("at most 2048 bytes"));
        }
        // Reads addresses as browsers do: whatever way an IP address is spelled in, it is one after that.
        let url: Url = text.parse().map_err(|_| Unfit("a URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            _ => return Err(Unfit("an https:// URL")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unfit("no user and no password in the URL"));
        }
        if url.fragment().is_some() {
            return Err(Unfit("no fragment in the URL"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_private = host.parse().is_ok_and(|ip| !address::is_public(ip));
        if host.is_empty() || url.port() == Some(0) || (is_private && !self.allow_private) {
            return Err(Unfit("a public host"));
        }
        Ok(Target(url))
    }

    /// Sends the body, once.
    ///
    /// # Errors
    /// Nothing came back; it may have arrived all the same.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Answer, Unheard> {
        let request = self.http.post(target.0.clone()).headers(named(headers)).body(body);
        let mut response = request.send().await.map_err(|error| unheard(&error))?;
        let answer = Answer {
            status: response.status().as_u16(),
            retry_after: response.headers().get(RETRY_AFTER).and_then(RetryAfter::read),
        };
        // What says no more is kept open for the next one.
        let mut rest = ANSWER_MAX;
        while let Ok(Some(part)) = response.chunk().await {
            let Some(left) = rest.checked_sub(part.len()) else {
                break;
            };
            rest = left;
        }
        Ok(answer)
    }

    /// Sends the body, once, and reads what is answered within this time: the HTTP status, and up to 64 KiB.
    ///
    /// # Errors
    /// Nothing came back in time, or more; it may have arrived all the same.
    pub async fn ask(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: String,
        patience: Duration,
    ) -> Result<(u16, Vec<u8>), Unheard> {
        let request = self.http.post(target.0.clone()).headers(named(headers)).body(body);
        let mut response = request
            .timeout(patience)
            .send()
            .await
            .map_err(|error| unheard(&error))?;
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| unheard(&error))? {
            if answer.len().saturating_add(part.len()) > ANSWER_MAX {
                return Err(Unheard::Broken);
            }
            answer.extend_from_slice(&part);
        }
        Ok((response.status().as_u16(), answer))
    }

    /// Reads a file of at most `bytes_max` bytes, within `patience` in all. Follows up to three redirects, each to an address
    /// that could be named here.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn read(&self, address: &str, bytes_max: u64, patience: Duration) -> Result<Incoming, Unread> {
        let mut target = self.target(address)?;
        for _ in 0..=REDIRECTS_MAX {
            let request = self.http.get(target.0.clone()).timeout(patience);
            let response = request.send().await.map_err(|error| unheard(&error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(Incoming {
                    response,
                    left: bytes_max,
                });
            }
            let leads = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
            let leads = leads
                .filter(|_| status.is_redirection())
                .and_then(|it| target.0.join(it).ok());
            target = self.target(leads.ok_or(Unread::Status(status.as_u16()))?.as_str())?;
        }
        Err(Unread::Status(StatusCode::LOOP_DETECTED.as_u16()))
    }
}

fn named(headers: &[(&'static str, String)]) -> HeaderMap {
    let named = headers
        .iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)));
    named.collect()
}

/// A file that is being read from elsewhere.
pub struct Incoming {
    response: reqwest::Response,
    left: u64,
}

/// Why a file could not be read, without its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not one to ask, or leads to one that is not.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Nothing came back, or it broke off.
    #[error(transparent)]
    Unheard(#[from] Unheard),
    /// Something else than the file came back.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The file is longer than it may be.
    #[error("longer than a file may be")]
    TooLong,
}

impl Incoming {
    /// The next bytes of it; none after its end.
    ///
    /// # Errors
    /// It broke off, or is too long.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        let part = self.response.chunk().await.map_err(|error| unheard(&error))?;
        let Some(part) = part else {
            return Ok(None);
        };
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or(Unread::TooLong)?;
        Ok(Some(part.to_vec()))
    }
}

fn unheard(error: &reqwest::Error) -> Unheard {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(it) = cause {
        if it.is::<NotPublic>() {
            return Unheard::Private;
        }
        cause = it.source();
    }
    if error.is_timeout() {
        Unheard::TooSlow
    } else if error.is_connect() {
        Unheard::NoConnection
    } else {
        Unheard::Broken
    }
}

/// Resolves names to addresses that may be connected to, or not at all.
struct Checked {
    allow_private: bool,
}

#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl Error for NotPublic {}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !allow_private && !found.iter().all(|it| address::is_public(it.ip())) {
                return Err(NotPublic.into());
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn s03_an_address_that_is_not_public_is_refused_however_it_is_spelled() {
        let public = Outbound::new(false).unwrap();
        for bad in [
            "http://shop.example/hook",
            "ftp://shop.example/hook",
            "/hook",
            "https://",
            "https://user@shop.example/",
            "https://user:word@shop.example/",
            "https://shop.example@127.0.0.1/",
            "https://shop.example/#part",
            "https://shop.example:0/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://0x7f000001/",
            "https://127.0.0.1./",
            "https://１２７.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1:8443/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[fd00:ec2::254]/",
        ] {
            assert!(public.target(bad).is_err(), "{bad}");
        }
        for good in [
            "https://shop.example/hook?key=1",
            "https://shop.example:8443/",
            "https://93.184.216.34/",
        ] {
            assert!(public.target(good).is_ok(), "{good}");
        }
        assert!(
            public
                .target(&format!("https://shop.example/{}", "a".repeat(URL_MAX)))
                .is_err()
        );
        let private = Outbound::new(true).unwrap();
        assert!(private.target("http://127.0.0.1:8080/").is_ok());
    }

    #[test]
    fn a_pause_is_read_in_seconds_and_as_any_date_of_http() {
        let read = |text: &str| RetryAfter::read(&HeaderValue::from_str(text).unwrap());
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let pause = |text: &str| read(text).map(|it| it.from(now).as_secs());
        for (text, seconds) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120)),
            ("Sun Nov  6 08:51:37 1994", Some(120)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 +0100", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(pause(text), seconds, "{text}");
        }
    }

    #[tokio::test]
    async fn s03_a_name_that_leads_to_an_address_that_is_not_public_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let public = Outbound::new(false).unwrap();
        // Not every machine's resolver knows the second one.
        for (name, unheard) in [
            ("localhost", &[Unheard::Private][..]),
            ("localhost.", &[Unheard::Private, Unheard::NoConnection]),
        ] {
            let target = public.target(&format!("https://{name}:{port}/")).unwrap();
            let answer = public.post(&target, &[], String::new()).await;
            assert!(unheard.contains(&answer.unwrap_err()), "{name}");
        }
        let met = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(met.is_err(), "nothing was connected to");
    }
}
