//! A plain HTTP client: bytes out, an answer in.

use std::sync::Once;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// One client for each world: connections are reused as a gateway's would be.
#[derive(Clone)]
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        // Nothing here leaves the machine, so no certificates are needed.
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .retry(reqwest::retry::never());
        Self(builder.redirect(reqwest::redirect::Policy::none()).build().unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, reqwest::Error> {
        self.get_with(url, &[]).await
    }

    pub(crate) async fn get_with(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, reqwest::Error> {
        let named = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        read(self.0.get(url).headers(named.collect()).send().await?).await
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut map = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        read(self.0.post(url).headers(map).body(body).send().await?).await
    }
}

async fn read(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer {
        status,
        headers,
        body: response.bytes().await?.to_vec(),
    })
}
