//! Requests that get no answer of their kind: what to say, in the shape that the endpoint's clients read.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use crate::app::Trouble;
use crate::app::gate::NotLetIn;
use crate::app::turnstile::{self, Rate, Whose};
use crate::domain::refund::Refusal;
use crate::domain::rejection::Malformed;
use crate::http::{Endpoint, rates};
use crate::store::StoreFault;
use crate::wire::{self, Complaint, DecodeError};

/// Why a request is denied. Not a refusal of a payment: that is an answer, with status 200.
#[derive(Debug)]
pub(super) struct Denied {
    status: StatusCode,
    /// How `/verify` and `/settle` put it.
    complaint: Complaint,
    /// How all other endpoints put it.
    code: &'static str,
    message: Cow<'static, str>,
    /// Seconds after which asking again may help.
    retry_after: Option<u64>,
    /// The rate that it was more than.
    rate: Option<(Whose, Rate)>,
}

impl Denied {
    const fn because(status: StatusCode, complaint: Complaint, code: &'static str, message: Cow<'static, str>) -> Self {
        Self {
            status,
            complaint,
            code,
            message,
            retry_after: match status {
                StatusCode::SERVICE_UNAVAILABLE => Some(1),
                _ => None,
            },
            rate: None,
        }
    }

    const fn fixed(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self::because(status, Complaint::InvalidPayload, code, Cow::Borrowed(message))
    }

    pub(super) const fn no_such_route() -> Self {
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    pub(super) const fn from_elsewhere() -> Self {
        Self::fixed(
            StatusCode::FORBIDDEN,
            "from_elsewhere",
            "the operator's page answers under its own address, localhost and the names in operator.hosts, and only to itself",
        )
    }

    pub(super) const fn of_admin(status: StatusCode, code: &'static str, message: String) -> Self {
        Self::because(status, Complaint::InvalidPayload, code, Cow::Owned(message))
    }

    pub(super) const fn no_such_payment() -> Self {
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is no such payment on record")
    }

    pub(super) const fn no_such_refund() -> Self {
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is no such refund")
    }

    pub(super) const fn no_such_exception() -> Self {
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is no such exception")
    }

    pub(super) const fn no_such_report() -> Self {
        Self::fixed(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such report, or not any more",
        )
    }

    pub(super) fn too_many_reports() -> Self {
        Self {
            retry_after: Some(60),
            ..Self::fixed(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_reports",
                "a hundred reports wait to be made; order again once there are fewer",
            )
        }
    }

    pub(super) const fn report_not_made() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "report_not_made",
            "the report is not made yet, or could not be; its state says which",
        )
    }

    pub(super) const fn no_notary() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "no_receipt",
            "this facilitator signs no receipts: it has no signing secret",
        )
    }

    pub(super) const fn not_settled() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "no_receipt",
            "there is a receipt only of what is confirmed or final",
        )
    }

    pub(super) const fn no_tenants() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "no_tenants",
            "there are no tenants here, so that nobody has to claim an account",
        )
    }

    pub(super) const fn unproven(message: String) -> Self {
        Self::because(
            StatusCode::FORBIDDEN,
            Complaint::Forbidden,
            "unproven",
            Cow::Owned(message),
        )
    }

    pub(super) const fn conflict(code: &'static str, message: String) -> Self {
        Self::because(StatusCode::CONFLICT, Complaint::Conflict, code, Cow::Owned(message))
    }

    pub(super) const fn no_such_statement() -> Self {
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is no such statement")
    }

    pub(super) const fn not_on_statement() -> Self {
        Self::fixed(
            StatusCode::NOT_FOUND,
            "not_found",
            "the statement has no line of this payment",
        )
    }

    pub(super) const fn too_many_lines() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "too_many_lines",
            "the statement has more lines than are exported here: read them by the page, or export it with the command",
        )
    }

    pub(super) const fn no_decimals() -> Self {
        Self::fixed(
            StatusCode::CONFLICT,
            "asset_not_configured",
            "the asset is not configured, so that its decimals are not known: json and csv can be exported",
        )
    }

    pub(super) const fn not_acceptable() -> Self {
        Self::fixed(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "a statement is had as application/json, text/csv or application/xml, or with ?format= as one of json, csv, \
             quickbooks, xero and camt053",
        )
    }

    pub(super) const fn wrong_method() -> Self {
        Self::fixed(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path has other methods; see the Allow header",
        )
    }

    pub(super) const fn wrong_content_type() -> Self {
        Self::fixed(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be application/json without a content encoding",
        )
    }

    pub(super) const fn too_large() -> Self {
        Self::fixed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body must be at most 64 KiB",
        )
    }

    pub(super) const fn wrong_file_type() -> Self {
        Self::fixed(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be text/csv or application/x-ndjson without a content encoding",
        )
    }

    pub(super) const fn file_too_large() -> Self {
        Self::fixed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the file must be at most 8 MiB; split it",
        )
    }

    pub(super) const fn file_too_slow() -> Self {
        Self::fixed(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the file must arrive within a minute",
        )
    }

    pub(super) const fn too_slow() -> Self {
        Self::fixed(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the body must arrive within 5 s",
        )
    }

    pub(super) const fn cut_off() -> Self {
        Self::fixed(StatusCode::BAD_REQUEST, "cut_off", "the body ended before its end")
    }

    pub(super) const fn too_busy() -> Self {
        Self::because(
            StatusCode::SERVICE_UNAVAILABLE,
            Complaint::Unexpected,
            "too_busy",
            Cow::Borrowed("too many requests are under way; try again"),
        )
    }

    pub(super) const fn bug() -> Self {
        Self::because(
            StatusCode::INTERNAL_SERVER_ERROR,
            Complaint::Unexpected,
            "internal",
            Cow::Borrowed("the facilitator failed; whether anything was done is on record"),
        )
    }

    /// The answer, in the endpoint's shape. `network` is the request's, as far as it could be read.
    pub(super) fn answer(self, endpoint: Option<Endpoint>, network: &str) -> Response {
        let body = match endpoint {
            Some(Endpoint::Verify) => wire::encode_verify_error(self.complaint, &self.message),
            Some(Endpoint::Settle) => wire::encode_settle_error(self.complaint, &self.message, network),
            Some(
                Endpoint::Supported
                | Endpoint::Lookup
                | Endpoint::Payment
                | Endpoint::Settlements
                | Endpoint::Settlement
                | Endpoint::History
                | Endpoint::Receipt
                | Endpoint::RefundRecord
                | Endpoint::PaymentRefunds
                | Endpoint::Refunds
                | Endpoint::Refund
                | Endpoint::RefundCancel
                | Endpoint::Keys
                | Endpoint::ClaimText
                | Endpoint::Claim
                | Endpoint::Events
                | Endpoint::Exceptions
                | Endpoint::ReportOrder
                | Endpoint::Report
                | Endpoint::ReportContent
                | Endpoint::ExceptionActions
                | Endpoint::GatewayFile
                | Endpoint::Statements
                | Endpoint::Statement
                | Endpoint::StatementLines
                | Endpoint::StatementLine
                | Endpoint::Live
                | Endpoint::Ready
                | Endpoint::Version,
            )
            | None => self.plain(),
        };
        let mut response = json(self.status, body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let (Some((whose, rate)), Some(seconds)) = (self.rate, self.retry_after) {
            rates::tell(headers, whose, rate, seconds);
        }
        if self.leaves_body_unread() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What is left of the body stands in the way of the next request, so the client must open another connection.
    fn leaves_body_unread(&self) -> bool {
        [
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
        ]
        .contains(&self.status)
    }

    fn plain(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Fault<'a> {
            code: &'a str,
            message: &'a str,
        }
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: Fault<'a>,
        }
        let error = Fault {
            code: self.code,
            message: &self.message,
        };
        serde_json::to_vec(&Envelope { error }).unwrap_or_default()
    }
}

impl From<DecodeError> for Denied {
    fn from(error: DecodeError) -> Self {
        let message = error.to_string().into();
        Self::because(StatusCode::BAD_REQUEST, error.complaint, "malformed", message)
    }
}

impl From<Malformed> for Denied {
    fn from(malformed: Malformed) -> Self {
        DecodeError::from(malformed).into()
    }
}

impl From<StoreFault> for Denied {
    /// Logs the fault: the one place where a request's fault is logged.
    fn from(fault: StoreFault) -> Self {
        let source = std::error::Error::source(&fault).map(tracing::field::display);
        match &fault {
            StoreFault::Unavailable { .. } | StoreFault::OutcomeUnknown { .. } => {
                tracing::warn!(error = %fault, error.source = source, "the database did not answer");
                Self::because(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Complaint::Unexpected,
                    "database_unavailable",
                    "the database did not answer; try again with the same request".into(),
                )
            }
            StoreFault::Settings
            | StoreFault::Session(_)
            | StoreFault::Refused { .. }
            | StoreFault::Schema(_)
            | StoreFault::Corrupt { .. } => {
                tracing::error!(error = %fault, error.source = source, "the database is not as it must be");
                Self::bug()
            }
        }
    }
}

impl From<turnstile::Refusal> for Denied {
    fn from(refusal: turnstile::Refusal) -> Self {
        Self {
            retry_after: Some(refusal.ends_in),
            rate: Some((refusal.whose, refusal.rate)),
            ..Self::because(
                StatusCode::TOO_MANY_REQUESTS,
                Complaint::RateLimited,
                "rate_limited",
                format!("rate_limited ({}): {refusal}", refusal.whose.as_str()).into(),
            )
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::fixed(StatusCode::CONFLICT, refusal.as_str(), refusal.words())
    }
}

impl From<NotLetIn> for Denied {
    fn from(why: NotLetIn) -> Self {
        let message = match &why {
            NotLetIn::Barred(barred) => format!("paymentRequirements.{barred}"),
            NotLetIn::Unknown | NotLetIn::Token(_) | NotLetIn::NotFor(_) | NotLetIn::Store(_) => why.to_string(),
        };
        match why {
            NotLetIn::Unknown | NotLetIn::Token(_) => Self::because(
                StatusCode::UNAUTHORIZED,
                Complaint::Unauthorized,
                "unauthorized",
                message.into(),
            ),
            NotLetIn::NotFor(_) | NotLetIn::Barred(_) => {
                Self::because(StatusCode::FORBIDDEN, Complaint::Forbidden, "forbidden", message.into())
            }
            NotLetIn::Store(fault) => fault.into(),
        }
    }
}

impl From<Trouble> for Denied {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Malformed(malformed) => malformed.into(),
            Trouble::Conflict(_) => Self::because(
                StatusCode::CONFLICT,
                Complaint::Conflict,
                "conflict",
                trouble.to_string().into(),
            ),
            Trouble::Short(shortage) => Self {
                retry_after: Some(shortage.ends_in),
                ..Self::because(
                    StatusCode::TOO_MANY_REQUESTS,
                    Complaint::BudgetExhausted,
                    "budget_exhausted",
                    format!("budget_exhausted ({}): {shortage}", shortage.scope.as_str()).into(),
                )
            },
            Trouble::Limited(refusal) => refusal.into(),
            Trouble::Unfunded(_) => Self::because(
                StatusCode::SERVICE_UNAVAILABLE,
                Complaint::Unexpected,
                "network_unavailable",
                trouble.to_string().into(),
            ),
            Trouble::Stalled(_) => Self::because(
                StatusCode::SERVICE_UNAVAILABLE,
                Complaint::ChainStalled,
                "chain_stalled",
                trouble.to_string().into(),
            ),
            Trouble::Rail(fault) => {
                tracing::warn!(error = %fault, "the chain did not answer");
                Self::because(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Complaint::Unexpected,
                    "chain_unavailable",
                    format!("{} did not answer; nothing was done, try again", fault.network).into(),
                )
            }
            Trouble::Store(fault) => fault.into(),
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
