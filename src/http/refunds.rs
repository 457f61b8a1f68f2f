//! `/v1/refunds`: money that goes back, recorded against the payment that it is of.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::app::question::{NETWORK, REFUNDS};
use crate::app::refunds::{NoRefund, Told};
use crate::domain::amount::Amount;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::labels::Label;
use crate::domain::refund::{Asked, Note, PaidBy, Stage, claimed};
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::labels::idempotency_key;
use crate::http::payments::REPLAYED;
use crate::http::records::{answer, id, keys, malformed};
use crate::http::view::{BlockView, rfc_3339};
use crate::http::{Edge, body};
use crate::store::{PAGE_MAX, Refund, RefundFilter};
use crate::wire::NETWORK_UNKNOWN;

/// Refunds on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

const ASKED: &str = "an object with amount and, where wanted, reason, merchantReference, and transaction or execute, and \
                     nothing else";

/// `POST /v1/settlements/{id}/refunds`.
pub(super) async fn record(
    Seen(edge): Seen,
    payment: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match recorded(&edge, payment, &headers, body).await {
        Ok(Told { refund, is_replay }) => {
            let mut response = json(StatusCode::CREATED, bytes(&View::of(&refund)));
            if is_replay {
                response
                    .headers_mut()
                    .insert(REPLAYED, HeaderValue::from_static("true"));
            }
            response
        }
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

async fn recorded(
    edge: &Edge,
    payment: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Told, Denied> {
    let payment = id(payment)?;
    let key = idempotency_key(headers)?
        .ok_or_else(|| malformed("Idempotency-Key header", "one, of 1 to 255 visible ASCII characters"))?;
    let body = body::read(headers, body).await?;
    let asked: AskedView = serde_json::from_slice(&body).map_err(|_| malformed("body", ASKED))?;
    let told = edge.parts.refunds.record(key.value, asked.read(payment)?).await;
    told.map_err(|why| denied(why, Denied::no_such_payment()))
}

/// A refund as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedView {
    amount: String,
    reason: Option<String>,
    merchant_reference: Option<String>,
    transaction: Option<String>,
    #[serde(default)]
    execute: bool,
}

impl AskedView {
    fn read(self, payment: PaymentId) -> Result<Asked, Denied> {
        let reason = self
            .reason
            .map(|text| Note::new(&text).ok_or_else(|| malformed("reason", Note::SHAPE)))
            .transpose()?;
        let merchant_reference = self
            .merchant_reference
            .map(|text| Label::new(&text).ok_or_else(|| malformed("merchantReference", Label::SHAPE)))
            .transpose()?;
        let amount: Option<Amount> = self.amount.parse().ok().filter(|it| *it > Amount::ZERO);
        let by = match (self.transaction, self.execute) {
            (Some(_), true) => {
                return Err(malformed(
                    "transaction",
                    "none where execute is true: what pays it is ours then",
                ));
            }
            (Some(text), false) => {
                let tx = claimed(&text).ok_or_else(|| malformed("transaction", "a transaction's hash or signature"))?;
                PaidBy::Merchant(Some(tx))
            }
            (None, false) => PaidBy::Merchant(None),
            (None, true) => PaidBy::Us,
        };
        Ok(Asked {
            payment,
            amount: amount
                .ok_or_else(|| malformed("amount", "a whole number of atomic units as a string, more than 0"))?,
            reason,
            merchant_reference,
            by,
        })
    }
}

/// `GET /v1/settlements/{id}/refunds`.
pub(super) async fn of_payment(Seen(edge): Seen, payment: Result<Path<String>, PathRejection>, uri: Uri) -> Response {
    answer(of_one(&edge, payment, &uri).await)
}

async fn of_one(edge: &Edge, payment: Result<Path<String>, PathRejection>, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let payment = id(payment)?;
    if !edge.parts.refunds.has_payment(payment).await? {
        return Err(Denied::no_such_payment());
    }
    page(edge, uri, Some(payment)).await
}

/// `GET /v1/refunds`.
pub(super) async fn list(Seen(edge): Seen, uri: Uri) -> Response {
    answer(page(&edge, &uri, None).await)
}

async fn page(edge: &Edge, uri: &Uri, payment: Option<PaymentId>) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, REFUNDS)?;
    let limit: u16 = keys.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let after: Option<RefundId> = keys.parsed("cursor", "the nextCursor of an earlier page")?;
    let stages = format!("one of {}", Stage::ALL.map(Stage::as_str).join(", "));
    let filter = RefundFilter {
        payment,
        stage: keys.named("state", &stages, Stage::named)?,
        network: keys.parsed("network", NETWORK)?,
        pay_to: keys
            .take("payTo")
            .map(|it| edge.parts.books.canonical(&it).unwrap_or(it)),
    };
    keys.end(REFUNDS)?;
    let refunds = edge.parts.refunds.find(&filter, after, limit.saturating_add(1)).await?;
    let shown: Vec<View<'_>> = refunds.iter().take(usize::from(limit)).map(View::of).collect();
    let next_cursor = shown.last().filter(|_| refunds.len() > shown.len()).map(|it| it.id);
    Ok(bytes(&PageView {
        refunds: shown,
        next_cursor,
    }))
}

/// `GET /v1/refunds/{id}`.
pub(super) async fn one(Seen(edge): Seen, name: Result<Path<String>, PathRejection>) -> Response {
    answer(found(&edge, name).await)
}

async fn found(edge: &Edge, name: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let refund = edge.parts.refunds.get(refund_id(name)?).await?;
    Ok(bytes(&View::of(&refund.ok_or_else(Denied::no_such_refund)?)))
}

/// `POST /v1/refunds/{id}/cancel`.
pub(super) async fn cancel(Seen(edge): Seen, name: Result<Path<String>, PathRejection>) -> Response {
    answer(cancelled(&edge, name).await)
}

async fn cancelled(edge: &Edge, name: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let cancelled = edge.parts.refunds.cancel(refund_id(name)?).await;
    let refund = cancelled.map_err(|why| denied(why, Denied::no_such_refund()))?;
    Ok(bytes(&View::of(&refund)))
}

fn refund_id(name: Result<Path<String>, PathRejection>) -> Result<RefundId, Denied> {
    let read = name.ok().and_then(|Path(text)| text.parse().ok());
    read.ok_or_else(|| malformed("id", RefundId::SHAPE))
}

fn denied(why: NoRefund, unknown: Denied) -> Denied {
    match why {
        NoRefund::Unknown => unknown,
        NoRefund::Refused(refusal) => refusal.into(),
        NoRefund::Trouble(trouble) => trouble.into(),
    }
}

fn bytes(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    refunds: Vec<View<'a>>,
    next_cursor: Option<RefundId>,
}

/// A refund as the API shows it. Every key is always there; what there is not is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: RefundId,
    payment: PaymentId,
    state: &'static str,
    network: &'a str,
    asset: &'a str,
    pay_to: &'a str,
    recipient: &'a str,
    amount: String,
    reason: Option<&'a str>,
    merchant_reference: Option<&'a str>,
    claimed_transaction: Option<&'a str>,
    wallet: Option<&'a str>,
    attempts: u64,
    settlement: Option<PaymentId>,
    problem: Option<&'a str>,
    transaction: Option<&'a str>,
    block: Option<BlockView<'a>>,
    log_index: Option<u64>,
    created_at: String,
    ended_at: Option<String>,
}

impl<'a> View<'a> {
    fn of(refund: &'a Refund) -> Self {
        let paid = refund.paid.as_ref();
        Self {
            id: refund.id,
            payment: refund.payment,
            state: refund.stage.as_str(),
            network: refund.network.as_str(),
            asset: &refund.asset,
            pay_to: &refund.pay_to,
            recipient: &refund.recipient,
            amount: refund.amount.to_string(),
            reason: refund.reason.as_deref(),
            merchant_reference: refund.merchant_reference.as_deref(),
            claimed_transaction: refund.claimed.as_ref().map(|tx| tx.0.as_str()),
            wallet: refund.wallet.as_deref(),
            attempts: refund.attempts,
            settlement: refund.settlement,
            problem: refund.problem.as_deref(),
            transaction: paid.map(|it| it.tx.0.as_str()),
            block: paid.map(|it| BlockView::of(&it.block)),
            log_index: paid.map(|it| it.log_index),
            created_at: rfc_3339(refund.created_at),
            ended_at: refund.ended_at.map(rfc_3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<Asked, Denied> {
        let asked: AskedView = serde_json::from_str(body).map_err(|_| malformed("body", ASKED))?;
        asked.read("pay_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap())
    }

    #[test]
    fn a_refund_is_asked_for_in_whole_units_and_paid_by_one() {
        let full = asked(
            r#"{"amount":"10000","reason":"damaged","merchantReference":"R-7","transaction":"0xABcd","execute":false}"#,
        )
        .unwrap();
        assert_eq!(full.amount, Amount::from_units(10_000));
        assert_eq!(full.by, PaidBy::Merchant(claimed("0xabcd")));
        assert_eq!(asked(r#"{"amount":"1","execute":true}"#).unwrap().by, PaidBy::Us);
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"amount":1}"#,
            r#"{"amount":"0"}"#,
            r#"{"amount":"-1"}"#,
            r#"{"amount":"1.5"}"#,
            r#"{"amount":"340282366920938463463374607431768211456"}"#,
            r#"{"amount":"1","colour":"red"}"#,
            r#"{"amount":"1","reason":""}"#,
            r#"{"amount":"1","merchantReference":"é"}"#,
            r#"{"amount":"1","transaction":""}"#,
            r#"{"amount":"1","transaction":"0x 1"}"#,
            r#"{"amount":"1","transaction":"0x1","execute":true}"#,
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }
}
