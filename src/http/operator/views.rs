//! What the operator's page reads beside the public routes. Every answer is an object; every amount is a decimal string.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};

use super::{Counter, PATHS};
use crate::app::desk::{Health, Period, Signer, Volumes};
use crate::app::question::Keys;
use crate::domain::rail::Standing;
use crate::domain::settlement::State as Stage;
use crate::domain::time::Timestamp;
use crate::http::error::Denied;
use crate::http::records::{answer, found, keys, malformed};
use crate::http::view::rfc_3339;
use crate::store::{
    BURN_OVER, COUNTED_MAX, Carried, Cursor, DateTime, Endpoint as Told, EvidenceRow, Glimpse, Grouping, LedgerRow,
    OPEN_COUNTED_MAX, Shown, Standpoint, Telling, Volume,
};

/// Payments on a page when the caller does not say, and at most.
const PAGE_DEFAULT: u16 = 50;
const PAGE_MAX: u16 = 200;

const KNOWN: &str = "one of state, account and nonce, and limit and cursor, each at most once and not empty";
const KNOWN_OF_VOLUME: &str = "of period and by, each at most once and not empty";
const NOTHING: &str = "nothing";

/// The routes of [`PATHS`].
pub(super) fn routes() -> Router<Counter> {
    let handlers: [MethodRouter<Counter>; PATHS.len()] = [
        get(about),
        get(newest),
        get(story),
        get(signers),
        get(networks),
        get(volume),
        get(webhooks),
    ];
    let routes = PATHS.into_iter().zip(handlers);
    routes.fold(Router::new(), |router, (path, handler)| router.route(path, handler))
}

fn written(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A query that asks for nothing.
fn plain(uri: &Uri) -> Result<(), Denied> {
    Ok(keys(uri, NOTHING)?.end(NOTHING)?)
}

/// `GET /v1/operator/about`.
async fn about(State(counter): State<Counter>, uri: Uri) -> Response {
    answer(plain(&uri).map(|()| {
        let networks = counter.desk.networks();
        let coins = counter.desk.coins().iter();
        written(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "receipts": counter.edge.parts.notary.is_some(),
            "networks": networks.map(|(id, decimals)| json!({"id": id.as_str(), "decimals": decimals})).collect::<Vec<_>>(),
            "assets": coins.map(|it| json!({
                "network": it.network.as_str(), "asset": it.asset, "symbol": it.symbol, "decimals": it.decimals,
            })).collect::<Vec<_>>(),
        }))
    }))
}

/// `GET /v1/operator/payments`.
async fn newest(State(counter): State<Counter>, uri: Uri) -> Response {
    answer(listed(&counter, &uri).await)
}

async fn listed(counter: &Counter, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, KNOWN)?;
    let limit = keys.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let before: Option<Cursor> = keys.parsed("cursor", "the nextCursor of an earlier page")?;
    let shown = shown(counter, &mut keys)?;
    keys.end(KNOWN)?;
    let (payments, next) = counter.desk.newest(&shown, before, limit).await?;
    Ok(written(&json!({
        "payments": payments.iter().map(glimpse).collect::<Vec<_>>(),
        "nextCursor": next.map(|it| it.to_string()),
    })))
}

fn shown(counter: &Counter, keys: &mut Keys) -> Result<Shown, Denied> {
    let expected = format!(
        "some of {}, with commas between them",
        Stage::ALL.map(Stage::as_str).join(", ")
    );
    let states = keys.several("state", &expected, Stage::named)?;
    match (keys.take("account"), keys.take("nonce"), states.is_empty()) {
        (None, None, true) => Ok(Shown::All),
        (None, None, false) => Ok(Shown::In(states)),
        (Some(account), None, true) => Ok(Shown::Of(counter.desk.canonical(account))),
        (None, Some(nonce), true) => Ok(Shown::With(nonce)),
        _ => Err(malformed("query", KNOWN)),
    }
}

fn glimpse(it: &Glimpse) -> Value {
    json!({
        "id": it.id,
        "state": it.state,
        "setBack": it.is_set_back,
        "network": it.network.as_str(),
        "asset": it.asset,
        "amount": it.amount.to_string(),
        "payer": it.payer,
        "payTo": it.pay_to,
        "resource": it.resource,
        "merchantReference": it.merchant_reference,
        "orderId": it.order_id,
        "transaction": it.tx,
        "reconciliation": it.reconciliation,
        "createdAt": rfc_3339(it.created_at),
        "confirmedAt": it.confirmed_at.map(rfc_3339),
        "finalizedAt": it.final_at.map(rfc_3339),
    })
}

/// `GET /v1/operator/payments/{id}`.
async fn story(State(counter): State<Counter>, id: Result<Path<String>, PathRejection>) -> Response {
    answer(told(&counter, id).await)
}

async fn told(counter: &Counter, id: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let entry = found(&counter.edge, id).await?;
    let record = &entry.record;
    let story = counter.desk.story(record.id).await?;
    Ok(written(&json!({
        "admission": {
            "protocol": record.envelope,
            "sinceBlock": record.since_height,
            "alone": record.must_go_alone,
            "signer": record.authorization.signer,
            "tries": record.tries,
            "answeredAt": record.granted_at.map(rfc_3339),
        },
        "transactions": story.transactions.iter().map(carried).collect::<Vec<_>>(),
        "evidence": story.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "ledger": story.ledger.iter().map(movement).collect::<Vec<_>>(),
        "deliveries": story.deliveries.iter().map(telling).collect::<Vec<_>>(),
        "reconciliation": story.standpoints.iter().map(standpoint).collect::<Vec<_>>(),
    })))
}

fn carried(it: &Carried) -> Value {
    json!({
        "transaction": it.tx,
        "attempt": it.attempt,
        "signer": it.signer,
        "nonce": it.nonce,
        "seat": it.seat.0,
        "seats": it.seat.1,
        "status": it.status,
        "empty": it.is_empty,
        "cost": it.cost.map(|cost| cost.to_string()),
        "costMax": it.cost_max.to_string(),
        "block": it.block.map(|(number, time)| json!({"number": number, "time": at(Timestamp(time))})),
        "signedAt": rfc_3339(it.created_at),
    })
}

fn evidence(it: &EvidenceRow) -> Value {
    let time = u64::try_from(it.block_time).unwrap_or_default();
    json!({
        "version": it.version,
        "claim": it.claim,
        "transaction": it.tx,
        "logIndex": it.log_index,
        "block": {"number": it.block_height, "hash": it.block_hash, "time": at(Timestamp(time))},
        "ours": it.ours,
        "seenAt": rfc_3339(it.created_at),
    })
}

fn movement(it: &LedgerRow) -> Value {
    json!({
        "version": it.version,
        "purpose": it.purpose,
        "stage": it.stage,
        "debit": it.debit,
        "credit": it.credit,
        "asset": it.asset,
        "amount": it.amount,
        "correction": it.correction,
        "bookedAt": rfc_3339(it.created_at),
    })
}

fn telling(it: &Telling) -> Value {
    json!({
        "endpoint": it.endpoint,
        "event": it.event.map(|event| event.to_string()),
        "type": it.kind,
        "payment": it.payment,
        "state": it.state,
        "attempts": it.attempts,
        "dueAt": (it.state == "pending").then(|| rfc_3339(it.due_at)),
        "outcome": it.outcome,
        "endedAt": it.ended_at.map(rfc_3339),
        "createdAt": rfc_3339(it.created_at),
    })
}

fn standpoint(it: &Standpoint) -> Value {
    let action = it.action.as_ref().map(
        |(action, note, actor, when)| json!({"action": action, "note": note, "actor": actor, "at": rfc_3339(*when)}),
    );
    json!({
        "id": it.id,
        "state": it.state,
        "reason": it.reason,
        "transaction": it.tx,
        "since": rfc_3339(it.since),
        "handled": it.handled,
        "action": action,
    })
}

/// `GET /v1/operator/signers`.
async fn signers(State(counter): State<Counter>, uri: Uri) -> Response {
    let asked = async {
        plain(&uri)?;
        let signers = counter.desk.signers().await?;
        Ok(written(&json!({
            "burnOver": BURN_OVER,
            "signers": signers.iter().map(signer).collect::<Vec<_>>(),
        })))
    };
    answer(asked.await)
}

fn signer(it: &Signer) -> Value {
    let lane = &it.lane;
    json!({
        "network": lane.lane.network.as_str(),
        "signer": lane.lane.signer,
        "configured": it.is_ours,
        "decimals": it.decimals,
        "balance": it.balance.map(|(balance, _)| balance.to_string()),
        "balanceAt": it.balance.map(|(_, when)| at(when)),
        "balanceMin": it.balance_min.map(|least| least.to_string()),
        "settlementsLeft": it.settlements_left,
        "burn": it.burn.as_ref().map(|burn| json!({
            "transactions": burn.mined, "cost": burn.cost.to_string(), "since": burn.since.map(rfc_3339),
        })),
        "nextNonce": lane.next_nonce,
        "inFlight": lane.in_flight,
        "driven": lane.holder.is_some(),
        "quarantinedAt": lane.quarantined_at.map(rfc_3339),
    })
}

/// `GET /v1/operator/networks`.
async fn networks(State(counter): State<Counter>, uri: Uri) -> Response {
    let asked = async {
        plain(&uri)?;
        let networks = counter.desk.health().await?;
        Ok(written(&json!({
            "countedMax": OPEN_COUNTED_MAX,
            "networks": networks.iter().map(health).collect::<Vec<_>>(),
        })))
    };
    answer(asked.await)
}

fn health(it: &Health) -> Value {
    let open = |open: &crate::store::Open| json!({"state": open.state, "payments": open.payments, "since": rfc_3339(open.since)});
    json!({
        "network": it.network.as_str(),
        "newest": it.seen.map(|seen| seen.height),
        "seenSecondsAgo": it.seen.map(|seen| seen.ago.as_secs()),
        "pausedSeconds": it.seen.map(|seen| seen.paused_for.as_secs()),
        "finalized": it.finalized,
        "stalled": it.is_stalled,
        "withdrawn": it.is_withdrawn,
        "endpoints": it.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "reconciled": it.reach.as_ref().map(|reach| json!({"accounts": reach.accounts, "height": reach.height})),
        "open": it.open.iter().map(open).collect::<Vec<_>>(),
        "exceptions": it.exceptions,
    })
}

fn endpoint(it: &Standing) -> Value {
    json!({
        "fit": it.is_fit,
        "foreign": it.is_foreign,
        "faults": it.faults,
        "head": it.head,
        "latencyMs": u64::try_from(it.latency.as_millis()).unwrap_or(u64::MAX),
    })
}

/// `GET /v1/operator/volume`.
async fn volume(State(counter): State<Counter>, uri: Uri) -> Response {
    answer(counted(&counter, &uri).await)
}

async fn counted(counter: &Counter, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, KNOWN_OF_VOLUME)?;
    let period = keys.named("period", "day or month", |name| match name {
        "day" => Some(Period::Day),
        "month" => Some(Period::Month),
        _ => None,
    })?;
    let grouping = keys.named("by", "asset, recipient or tenant", |name| match name {
        "asset" => Some(Grouping::Asset),
        "recipient" => Some(Grouping::Recipient),
        "tenant" => Some(Grouping::Tenant),
        _ => None,
    })?;
    keys.end(KNOWN_OF_VOLUME)?;
    let (period, grouping) = (period.unwrap_or(Period::Day), grouping.unwrap_or(Grouping::Asset));
    let volumes = counter.desk.volume(period, grouping).await?;
    let Volumes {
        since,
        as_of,
        counted_from,
        sums,
    } = &*volumes;
    Ok(written(&json!({
        "since": at(*since),
        "asOf": at(*as_of),
        "spanSeconds": period.span_seconds(),
        "countedMax": COUNTED_MAX,
        "countedFrom": counted_from.map(rfc_3339),
        "sums": sums.iter().map(|it| sum(it, grouping)).collect::<Vec<_>>(),
    })))
}

fn sum(it: &Volume, grouping: Grouping) -> Value {
    let subject = |of: Grouping| it.subject.as_ref().filter(|_| grouping == of);
    json!({
        "network": it.network.as_str(),
        "asset": it.asset,
        "payTo": subject(Grouping::Recipient),
        "tenant": subject(Grouping::Tenant),
        "startsAt": (grouping == Grouping::Asset).then(|| at(Timestamp(it.starts_at))),
        "payments": it.payments,
        "settled": it.settled,
        "failed": it.failed,
        "amount": it.amount,
    })
}

/// `GET /v1/operator/webhooks`.
async fn webhooks(State(counter): State<Counter>, uri: Uri) -> Response {
    let asked = async {
        plain(&uri)?;
        let (endpoints, deliveries) = counter.desk.webhooks().await?;
        Ok(written(&json!({
            "endpoints": endpoints.iter().map(told_of).collect::<Vec<_>>(),
            "deliveries": deliveries.iter().map(telling).collect::<Vec<_>>(),
        })))
    };
    answer(asked.await)
}

/// Never its address: it often holds a key.
fn told_of(it: &Told) -> Value {
    json!({
        "id": it.id,
        "types": it.kinds,
        "disabledBecause": it.disabled_because,
        "waiting": it.waiting,
        "waitingSince": it.waiting_since.map(rfc_3339),
        "createdAt": rfc_3339(it.created_at),
    })
}

/// A time in whole seconds, as RFC 3339.
fn at(time: Timestamp) -> Option<String> {
    let seconds = i64::try_from(time.0).ok()?;
    let time = DateTime::from_timestamp(seconds, 0)?;
    Some(time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
