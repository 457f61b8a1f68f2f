//! How x402 says it: bytes to domain values and back, in both versions of the protocol.
//!
//! Knows JSON and x402's words; knows no HTTP, no chain and no clock. Versions end here: the two differ only in
//! their envelope, so one [`Dialect`] value, carried beside the request, is all that anybody else needs to have
//! the answer said in the words the question was asked in.

mod answer;
mod extensions;
mod json;
mod names;
mod reason;
mod v1;
mod v2;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

pub use self::answer::{encode_settle, encode_settle_error, encode_supported, encode_verify, encode_verify_error};
use self::json::{DEPTH_MAX, Field};
pub use self::reason::Complaint;
use crate::domain::rejection::{Malformed, Rejection};
use crate::domain::request::PaymentRequest;

/// Bytes in an asset's or a recipient's address.
const ADDRESS_MAX: usize = 128;
/// Bytes in the resource's URL.
const URL_MAX: usize = 2048;
/// Bytes of a scheme's own data in the requirements.
const EXTRA_MAX: usize = 4096;
/// Bytes in the name of a scheme or, in version 1, a network. The longest in use has 19.
const NAME_MAX: usize = 64;

/// The network in an answer to a request whose network could not be read: the reference server's word
/// (`@x402/core` 2.27.0).
pub const NETWORK_UNKNOWN: &str = "unknown:unknown";

/// The version of the protocol that a request speaks and its answer must speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `x402Version` 1.
    V1,
    /// `x402Version` 2.
    V2,
}

impl Dialect {
    /// The name under which the dialect enters a request's digest.
    const fn envelope(self) -> &'static str {
        match self {
            Self::V1 => "x402/1",
            Self::V2 => "x402/2",
        }
    }
}

/// A request that could be read.
#[derive(Debug)]
pub struct Envelope {
    /// What it is written in.
    pub dialect: Dialect,
    /// The merchant's network as the request writes it, up to 64 bytes: an answer repeats it so.
    pub network_text: String,
    /// The payment, or why nothing by this description can be served. A refusal is an answer like any other.
    pub request: Result<PaymentRequest, Rejection>,
}

/// A request that cannot be read: the caller's developer must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{malformed}")]
pub struct DecodeError {
    /// What kind of fault it is.
    pub complaint: Complaint,
    /// Which field, and what belongs there.
    pub malformed: Malformed,
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        Self {
            complaint: Complaint::about(&malformed),
            malformed,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer<'a> {
    #[serde(borrow, rename = "x402Version")]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_payload: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_requirements: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow, rename = "x402Version")]
    version: Option<&'a RawValue>,
}

/// Reads the body of `/verify` or `/settle`. Unknown keys are ignored, `null` is absent; the scheme's data is
/// carried as text, unread.
///
/// # Errors
/// The body is not JSON, lacks a part, or a field is missing or not of its form; the first such field is named.
pub fn decode(body: &[u8]) -> Result<Envelope, DecodeError> {
    let outer = read_outer(body)?;
    let payload = Field::new("", "paymentPayload", outer.payment_payload);
    let requirements = Field::new("", "paymentRequirements", outer.payment_requirements);
    for part in [payload, requirements] {
        if part.is_absent() {
            return Err(DecodeError {
                complaint: Complaint::MissingParameters,
                malformed: part.malformed("an object"),
            });
        }
    }

    let Versioned { version } = payload.object()?;
    let version = Field::new("paymentPayload", "x402Version", version).whole_number()?;
    let stated = Field::new("", "x402Version", outer.version);
    if !stated.is_absent() && stated.whole_number()? != version {
        return Err(stated
            .malformed("the version that paymentPayload.x402Version gives")
            .into());
    }
    let envelope = match version {
        1 => v1::read(payload, requirements),
        2 => v2::read(payload, requirements),
        _ => Ok(Envelope {
            dialect: Dialect::V2,
            network_text: network_in(requirements),
            request: Err(Rejection::UnsupportedVersion),
        }),
    };
    Ok(envelope?)
}

fn read_outer(body: &[u8]) -> Result<Outer<'_>, DecodeError> {
    let broken = |complaint, expected: &str| DecodeError {
        complaint,
        malformed: Malformed {
            path: "body".into(),
            expected: expected.into(),
        },
    };
    let text = std::str::from_utf8(body).map_err(|_| broken(Complaint::InvalidJson, "JSON in UTF-8"))?;
    if !json::is_shallow(text) {
        let expected = format!("at most {DEPTH_MAX} levels of arrays and objects");
        return Err(broken(Complaint::InvalidPayload, &expected));
    }
    let outer: Outer<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => broken(Complaint::InvalidJson, "JSON"),
        Category::Data if is_object(text) => broken(Complaint::InvalidPayload, "no known key twice"),
        Category::Data => broken(Complaint::MissingParameters, "an object"),
    })?;
    // serde takes an array for a struct, field by field.
    if is_object(text) {
        Ok(outer)
    } else {
        Err(broken(Complaint::MissingParameters, "an object"))
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// The network that a request names, as far as that can be told from a body that need not be readable otherwise;
/// else [`NETWORK_UNKNOWN`]. For the answers to broken requests.
#[must_use]
pub fn network_text(body: &[u8]) -> String {
    match read_outer(body) {
        Ok(outer) => network_in(Field::new("", "paymentRequirements", outer.payment_requirements)),
        Err(_) => NETWORK_UNKNOWN.to_owned(),
    }
}

fn network_in(requirements: Field<'_>) -> String {
    #[derive(Deserialize)]
    struct Placed<'a> {
        #[serde(borrow)]
        network: Option<&'a RawValue>,
    }
    requirements
        .object::<Placed<'_>>()
        .and_then(|it| Field::new("paymentRequirements", "network", it.network).text(NAME_MAX))
        .map_or_else(|_| NETWORK_UNKNOWN.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;
