//! An S3-compatible store that the operator has named.
//!
//! Its address stands in the operator's own configuration, as those of the database and the nodes do, and is connected to
//! wherever it leads: unlike an endpoint that is added while the service runs, it gives nobody a way to anything that the
//! operator cannot reach anyway, and most such stores are on private networks. Requests are signed (AWS Signature Version 4)
//! in their query by `rusty-s3`, which does no I/O; neither addresses nor what a store says beyond its error's code are shown.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use reqwest::{Client, Method, Response, Url};
use rusty_s3::{Credentials, S3Action, UrlStyle};
use serde::Deserialize;

/// From the connection to the end of the answer, of any one request.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How long a signature is good for; longer than a request takes, and than clocks differ.
const SIGNED_FOR: Duration = Duration::from_mins(15);

/// Bytes of an answer that are read; those that matter are short.
const ANSWER_MAX: usize = 64 * 1024;

/// Bytes of each part but the last: S3 takes 10,000 parts of at least 5 MiB, so that a file may have 78 GiB.
pub const PART: usize = 8 * 1024 * 1024;

/// Where the store is, and what opens it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The store's address without the bucket: `https://s3.eu-central-1.amazonaws.com`.
    pub endpoint: String,
    /// The region that requests are signed for; what a store without regions wants there is often `us-east-1` or `auto`.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What names begin with: `facilitator/reports/`.
    #[serde(default)]
    pub prefix: String,
    /// The bucket stands in the path instead of the host's name.
    #[serde(default)]
    pub path_style: bool,
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A bucket that files can be put into.
#[derive(Clone)]
pub struct Bucket {
    http: Client,
    place: rusty_s3::Bucket,
    credentials: Credentials,
    prefix: String,
}

/// A file that is put there part by part. Nobody sees it before its end.
pub struct Upload<'a> {
    bucket: &'a Bucket,
    object: String,
    id: String,
    etags: Vec<String>,
}

/// Why the store did not do what it was asked, without its address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unput {
    /// It refused.
    #[error("the store answered HTTP {status}{}", spaced(.code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code of S3's error, where it gave one.
        code: String,
    },
    /// It could not be reached, or broke off.
    #[error("the store gave no answer: {0}")]
    Unheard(&'static str),
    /// What it answered makes no sense.
    #[error("the store answered something else than S3 would: {0}")]
    Senseless(&'static str),
}

fn spaced(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" {code}")
    }
}

impl Bucket {
    /// The bucket that these settings name. Nothing is connected to.
    ///
    /// # Errors
    /// Says what was expected of which setting.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        // Fails only when another client installed a provider before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let endpoint: Url = settings
            .endpoint
            .parse()
            .map_err(|_| "endpoint: expected a URL such as https://s3.eu-central-1.amazonaws.com")?;
        if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.query().is_some() {
            return Err("endpoint: expected a URL without user, password and query".to_owned());
        }
        for (key, value) in [
            ("region", &settings.region),
            ("bucket", &settings.bucket),
            ("access_key_id", &settings.access_key_id),
            ("secret_access_key", &settings.secret_access_key),
        ] {
            if value.is_empty() {
                return Err(format!("{key}: expected some text"));
            }
        }
        let style = if settings.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let place = rusty_s3::Bucket::new(endpoint, style, settings.bucket.clone(), settings.region.clone()).map_err(
            |_| "endpoint, bucket: expected http:// or https:// and a bucket's name; path_style with an IP address",
        )?;
        let http = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(10))
            .timeout(PATIENCE)
            .build()
            .map_err(|error| format!("no HTTP client: {}", error.without_url()))?;
        Ok(Self {
            http,
            place,
            credentials: Credentials::new(settings.access_key_id.clone(), settings.secret_access_key.clone()),
            prefix: settings.prefix.clone(),
        })
    }

    /// Asks whether the bucket is there and the key opens it.
    ///
    /// # Errors
    /// [`Unput`].
    pub async fn probe(&self) -> Result<(), Unput> {
        let url = self.place.head_bucket(Some(&self.credentials)).sign(SIGNED_FOR);
        self.ask(Method::HEAD, url, None).await.map(drop)
    }

    /// Puts a whole file there, over one of the same name.
    ///
    /// # Errors
    /// [`Unput`]; it may be there all the same, whole.
    pub async fn put(&self, name: &str, media_type: &'static str, bytes: Vec<u8>) -> Result<(), Unput> {
        let object = self.object(name);
        let url = self.place.put_object(Some(&self.credentials), &object).sign(SIGNED_FOR);
        self.ask(Method::PUT, url, Some((media_type, bytes))).await.map(drop)
    }

    /// Begins to put a file there part by part.
    ///
    /// # Errors
    /// [`Unput`].
    pub async fn begin(&self, name: &str, media_type: &'static str) -> Result<Upload<'_>, Unput> {
        let object = self.object(name);
        let action = self.place.create_multipart_upload(Some(&self.credentials), &object);
        let url = action.sign(SIGNED_FOR);
        let response = self.ask(Method::POST, url, Some((media_type, Vec::new()))).await?;
        let text = read(response).await?;
        let id = element(&text, "UploadId").ok_or(Unput::Senseless("no upload's id"))?;
        Ok(Upload {
            bucket: self,
            object,
            id,
            etags: Vec::new(),
        })
    }

    /// How many bytes the file has that is there.
    ///
    /// # Errors
    /// [`Unput`], also when there is none.
    pub async fn size(&self, name: &str) -> Result<u64, Unput> {
        let object = self.object(name);
        let url = self
            .place
            .head_object(Some(&self.credentials), &object)
            .sign(SIGNED_FOR);
        let response = self.ask(Method::HEAD, url, None).await?;
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
        length.ok_or(Unput::Senseless("no length of a file"))
    }

    fn object(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<(&'static str, Vec<u8>)>) -> Result<Response, Unput> {
        let mut request = self.http.request(method, url);
        if let Some((media_type, bytes)) = body {
            request = request.header(CONTENT_TYPE, media_type).body(bytes);
        }
        let response = request.send().await.map_err(|error| unheard(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let code = code(&read(response).await.unwrap_or_default());
        Err(Unput::Refused {
            status: status.as_u16(),
            code,
        })
    }
}

impl Upload<'_> {
    /// Adds a part: [`PART`] bytes, or fewer for the last.
    ///
    /// # Errors
    /// [`Unput`].
    pub async fn part(&mut self, bytes: Vec<u8>) -> Result<(), Unput> {
        let number = self.etags.len().saturating_add(1);
        let number = u16::try_from(number).map_err(|_| Unput::Senseless("the file has too many parts"))?;
        let (bucket, credentials) = (&self.bucket.place, Some(&self.bucket.credentials));
        let url = bucket
            .upload_part(credentials, &self.object, number, &self.id)
            .sign(SIGNED_FOR);
        let response = self
            .bucket
            .ask(Method::PUT, url, Some(("application/octet-stream", bytes)))
            .await?;
        let etag = response.headers().get(ETAG).and_then(|it| it.to_str().ok());
        self.etags
            .push(etag.ok_or(Unput::Senseless("no ETag of a part"))?.to_owned());
        Ok(())
    }

    /// Makes the parts the file.
    ///
    /// # Errors
    /// [`Unput`]; it may be there all the same, whole.
    pub async fn end(&self) -> Result<(), Unput> {
        let etags = self.etags.iter().map(String::as_str);
        let (bucket, credentials) = (&self.bucket.place, Some(&self.bucket.credentials));
        let action = bucket.complete_multipart_upload(credentials, &self.object, &self.id, etags);
        let url = action.sign(SIGNED_FOR);
        let body = action.body().into_bytes();
        let response = self
            .bucket
            .ask(Method::POST, url, Some(("application/xml", body)))
            .await?;
        // A store that needs long for it says so with status 200, and what became of it in the body.
        let text = read(response).await?;
        if text.contains("<Error") {
            return Err(Unput::Refused {
                status: 200,
                code: code(&text),
            });
        }
        Ok(())
    }

    /// Gives the parts up, so that the store keeps none.
    ///
    /// # Errors
    /// [`Unput`]; the store keeps the parts until its own rules remove them.
    pub async fn abandon(&self) -> Result<(), Unput> {
        let (bucket, credentials) = (&self.bucket.place, Some(&self.bucket.credentials));
        let url = bucket
            .abort_multipart_upload(credentials, &self.object, &self.id)
            .sign(SIGNED_FOR);
        self.bucket.ask(Method::DELETE, url, None).await.map(drop)
    }
}

/// The body, up to a bound.
async fn read(mut response: Response) -> Result<String, Unput> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| unheard(&error))? {
        if bytes.len().saturating_add(part.len()) > ANSWER_MAX {
            return Err(Unput::Senseless("too long an answer"));
        }
        bytes.extend_from_slice(&part);
    }
    String::from_utf8(bytes).map_err(|_| Unput::Senseless("an answer that is no text"))
}

/// The text of the first element of this name. Read by hand, since not every store gives its answers the namespace that S3
/// does, and this is all that is wanted of them.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    let plain = entities
        .into_iter()
        .fold(inner.to_owned(), |text, (entity, character)| {
            text.replace(entity, character)
        });
    Some(plain).filter(|it| !it.is_empty())
}

/// The code of S3's error document: letters and digits only, whatever the store says.
fn code(text: &str) -> String {
    let code = element(text, "Code").unwrap_or_default();
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

fn unheard(error: &reqwest::Error) -> Unput {
    Unput::Unheard(if error.is_timeout() {
        "not in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            endpoint: "https://store.example".into(),
            region: "auto".into(),
            bucket: "reports".into(),
            prefix: String::new(),
            path_style: false,
            access_key_id: "key".into(),
            secret_access_key: "canary".into(),
        }
    }

    #[test]
    fn what_is_no_bucket_is_refused_by_its_setting_and_nothing_secret_is_shown() {
        type Change = fn(&mut Settings);
        let changes: [(&str, Change); 7] = [
            ("endpoint", |it| it.endpoint = "store.example".into()),
            ("endpoint", |it| it.endpoint = "ftp://store.example".into()),
            ("endpoint", |it| {
                it.endpoint = "https://user:canary@store.example".into();
            }),
            ("endpoint", |it| it.endpoint = "http://127.0.0.1:9000".into()),
            ("region", |it| it.region.clear()),
            ("bucket", |it| it.bucket.clear()),
            ("secret_access_key", |it| it.secret_access_key.clear()),
        ];
        for (key, change) in changes {
            let mut wrong = settings();
            change(&mut wrong);
            let said = Bucket::new(&wrong).err().unwrap();
            assert!(said.starts_with(key) && !said.contains("canary"), "{said}");
        }
        let private = Settings {
            endpoint: "http://127.0.0.1:9000".into(),
            path_style: true,
            ..settings()
        };
        assert!(Bucket::new(&settings()).is_ok() && Bucket::new(&private).is_ok());
        assert!(!format!("{:?}", settings()).contains("canary"));
    }

    #[test]
    fn an_errors_code_is_all_that_is_shown_of_it() {
        let body = "<Error><Code>Access Denied\n</Code><Message>canary</Message></Error>";
        assert_eq!(code(body), "AccessDenied");
        assert_eq!(code("<html>"), "");
        assert_eq!(
            element("<UploadId>a&amp;lt;b</UploadId>", "UploadId").as_deref(),
            Some("a&lt;b")
        );
        assert_eq!(element("<UploadId></UploadId>", "UploadId"), None);
    }
}
