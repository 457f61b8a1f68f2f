//! What happened, as it is told: in the feed, on a stream and by webhooks alike, with the same bytes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::id::{NoticeId, PaymentId};

/// Every kind of event there is.
pub const KINDS: [&str; 29] = [
    "payment.reserved",
    "payment.signed",
    "payment.set_back",
    "payment.confirmed",
    "payment.late_settled",
    "payment.reversed",
    "payment.finalized",
    "payment.failed",
    "payment.withdrawn",
    "payment.reopened",
    REFUND_CREATED,
    REFUND_PAID,
    REFUND_CANCELLED,
    REFUND_FAILED,
    STATEMENT_CLOSED,
    EXCEPTION_OPENED,
    EXCEPTION_HANDLED,
    SIGNER_LOW,
    SIGNER_FUNDED,
    NETWORK_WITHDRAWN,
    NETWORK_RESTORED,
    REPORT_READY,
    REPORT_FAILED,
    REPORT_DELIVERY_FAILED,
    SCREENING_DENIED,
    SCREENING_REVIEW,
    SCREENING_CLEARED,
    WEBHOOK_DISABLED,
    WEBHOOK_TEST,
];

/// A refund was recorded.
pub const REFUND_CREATED: &str = "refund.created";
/// A transfer in a finalized block pays it.
pub const REFUND_PAID: &str = "refund.paid";
/// The merchant took it back.
pub const REFUND_CANCELLED: &str = "refund.cancelled";
/// It is proven that we did not pay it and will not.
pub const REFUND_FAILED: &str = "refund.failed";
/// A day of an account was closed.
pub const STATEMENT_CLOSED: &str = "statement.closed";
/// A record, a transfer or a balance needs somebody to look at it.
pub const EXCEPTION_OPENED: &str = "reconciliation.exception.opened";
/// Somebody said what was done about it.
pub const EXCEPTION_HANDLED: &str = "reconciliation.exception.handled";
/// A signer holds less than it must.
pub const SIGNER_LOW: &str = "signer.low_balance";
/// It holds enough again.
pub const SIGNER_FUNDED: &str = "signer.funded";
/// None of a network's signers holds enough.
pub const NETWORK_WITHDRAWN: &str = "network.withdrawn";
/// One does again.
pub const NETWORK_RESTORED: &str = "network.restored";
/// A report that was ordered is made.
pub const REPORT_READY: &str = "report.ready";
/// A report that was ordered cannot be made.
pub const REPORT_FAILED: &str = "report.failed";
/// A scheduled report has not reached where it goes for long, or is given up.
pub const REPORT_DELIVERY_FAILED: &str = "report.delivery_failed";
/// A settlement or a refund was refused, because somebody whom the money has to do with is listed.
pub const SCREENING_DENIED: &str = "screening.denied";
/// Somebody on record has to be looked at: he is listed now, or has paid more in all than a threshold.
pub const SCREENING_REVIEW: &str = "screening.review";
/// Somebody on record is listed no more.
pub const SCREENING_CLEARED: &str = "screening.cleared";
/// An endpoint of ours gets no events any more.
pub const WEBHOOK_DISABLED: &str = "webhook.disabled";
/// An operator tries an endpoint; sent to it alone and on no record.
pub const WEBHOOK_TEST: &str = "webhook.test";

/// The name of an event, the same wherever and however often it is told: `evt_`, 26 digits, and for a payment's `_` and the
/// version that the payment took by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventId {
    /// A payment took this version.
    Payment(PaymentId, i64),
    /// Something else.
    Notice(NoticeId),
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payment(payment, version) => write!(f, "{}_{version}", NoticeId::from_uuid(payment.as_uuid())),
            Self::Notice(id) => write!(f, "{id}"),
        }
    }
}

/// The text is no event's name.
#[derive(Debug, thiserror::Error)]
#[error("expected an event's id: evt_ and what follows")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.get(4..).and_then(|rest| rest.split_once('_')) {
            Some((_, version)) => (text.trim_end_matches(version).trim_end_matches('_'), Some(version)),
            None => (text, None),
        };
        let id: NoticeId = name.parse().map_err(|_| NotAnEventId)?;
        let read = version.map_or(Ok(Self::Notice(id)), |version| {
            let version = version.parse().map_err(|_| NotAnEventId)?;
            Ok(Self::Payment(PaymentId::from_uuid(id.as_uuid()), version))
        })?;
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(NotAnEventId)
        }
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An event. Nothing in it authorizes anything.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// One of [`KINDS`].
    pub kind: String,
    /// When it was put on record, by the database's clock.
    pub at: DateTime<Utc>,
    /// What it was: an object.
    pub data: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: EventId,
    #[serde(rename = "type")]
    kind: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    data: &'a RawValue,
}

impl Event {
    /// The payment and the version that it took by this, where it is a payment's.
    #[must_use]
    pub const fn of_payment(&self) -> Option<(PaymentId, i64)> {
        match self.id {
            EventId::Payment(payment, version) => Some((payment, version)),
            EventId::Notice(_) => None,
        }
    }

    /// The event as JSON, the same bytes each time.
    #[must_use]
    pub fn json(&self) -> String {
        let of = self.of_payment();
        let view = View {
            id: self.id,
            kind: &self.kind,
            created_at: self.at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            payment: of.map(|(payment, _)| payment),
            version: of.map(|(_, version)| version),
            data: &self.data,
        };
        serde_json::to_string(&view).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_nothing_else_parses() {
        let payment: PaymentId = "pay_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap();
        for (id, text) in [
            (EventId::Payment(payment, 12), "evt_01kaf4rza2e38v79e6wbw02jwx_12"),
            (
                EventId::Notice(NoticeId::from_uuid(payment.as_uuid())),
                "evt_01kaf4rza2e38v79e6wbw02jwx",
            ),
        ] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse::<EventId>().unwrap(), id);
        }
        for bad in [
            "",
            "evt",
            "evt_",
            "pay_01kaf4rza2e38v79e6wbw02jwx",
            "evt_01kaf4rza2e38v79e6wbw02jwx_",
            "evt_01kaf4rza2e38v79e6wbw02jwx_01",
            "evt_01kaf4rza2e38v79e6wbw02jwx_1_2",
        ] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }
}
