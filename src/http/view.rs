//! How a payment on record is shown. No signature and no request body is, so that nothing here lets its reader do
//! more than read.

use std::collections::BTreeMap;
use std::fmt;

use chrono::SecondsFormat;
use serde::{Serialize, Serializer};

use crate::domain::amount::Amount;
use crate::domain::authorization::Window;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::labels::{Label, Metadata};
use crate::domain::rail::ChainPoint;
use crate::domain::reconciliation;
use crate::domain::refund::Purpose;
use crate::domain::settlement::{Setback, Settlement, State};
use crate::store::{DateTime, Entry, Utc};

/// A payment's record as JSON.
pub(super) fn one(entry: &Entry) -> Vec<u8> {
    bytes(&View::of(entry))
}

/// A page of records as JSON.
pub(super) fn page(entries: &[Entry], next: Option<&str>) -> Vec<u8> {
    bytes(&PageView {
        settlements: entries.iter().map(View::of).collect(),
        next_cursor: next,
    })
}

fn bytes(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    settlements: Vec<View<'a>>,
    next_cursor: Option<&'a str>,
}

/// A payment as the API shows it. Every key is always there; what is not known is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: PaymentId,
    state: &'static str,
    network: &'a str,
    scheme: &'a str,
    asset: &'a str,
    payer: &'a str,
    pay_to: &'a str,
    #[serde(serialize_with = "as_text")]
    amount: Amount,
    nonce: &'a str,
    authorization_reference: String,
    valid_after: Option<String>,
    valid_before: Option<String>,
    memo: Option<&'a str>,
    transaction: Option<&'a str>,
    transactions: Vec<&'a str>,
    block: Option<BlockView<'a>>,
    log_index: Option<u64>,
    finality: &'static str,
    failure: Option<FailureView<'a>>,
    setback: Option<SetbackView<'a>>,
    resource: Option<&'a str>,
    references: Vec<ReferenceView<'a>>,
    merchant_reference: Option<&'a str>,
    order_id: Option<&'a str>,
    metadata: Option<&'a BTreeMap<String, String>>,
    reconciliation: Option<&'static str>,
    gas_cost: Option<String>,
    refunded: String,
    refund_pending: String,
    refund: Option<RefundId>,
    refund_of: Option<PaymentId>,
    created_at: String,
    confirmed_at: Option<String>,
    finalized_at: Option<String>,
}

/// What a receipt says of a settlement: what the chain shows, and which purchase it was.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proven<'a> {
    id: PaymentId,
    state: &'static str,
    network: &'a str,
    scheme: &'a str,
    asset: &'a str,
    payer: &'a str,
    pay_to: &'a str,
    #[serde(serialize_with = "as_text")]
    amount: Amount,
    nonce: &'a str,
    authorization_reference: String,
    memo: Option<&'a str>,
    transaction: &'a str,
    block: BlockView<'a>,
    log_index: u64,
    finality: &'static str,
    resource: Option<&'a str>,
    merchant_reference: Option<&'a str>,
    order_id: Option<&'a str>,
    created_at: String,
}

impl<'a> Proven<'a> {
    /// None of a payment that the chain does not show.
    pub(super) fn of(entry: &'a Entry) -> Option<Self> {
        let landed = entry.record.settlement.landed()?;
        let view = View::of(entry);
        Some(Self {
            id: view.id,
            state: view.state,
            network: view.network,
            scheme: view.scheme,
            asset: view.asset,
            payer: view.payer,
            pay_to: view.pay_to,
            amount: view.amount,
            nonce: view.nonce,
            authorization_reference: view.authorization_reference,
            memo: view.memo,
            transaction: &landed.tx.0,
            block: BlockView::of(&landed.block),
            log_index: landed.log_index,
            finality: view.finality,
            resource: view.resource,
            merchant_reference: view.merchant_reference,
            order_id: view.order_id,
            created_at: view.created_at,
        })
    }
}

#[derive(Serialize)]
pub(super) struct BlockView<'a> {
    number: u64,
    hash: &'a str,
    time: Option<String>,
}

#[derive(Serialize)]
struct FailureView<'a> {
    proof: &'static str,
    transaction: Option<&'a str>,
    block: BlockView<'a>,
}

#[derive(Serialize)]
struct SetbackView<'a> {
    kind: &'static str,
    transaction: &'a str,
}

#[derive(Serialize)]
struct ReferenceView<'a> {
    kind: &'static str,
    value: &'a str,
}

impl<'a> View<'a> {
    fn of(entry: &'a Entry) -> Self {
        let record = &entry.record;
        let signed = &record.authorization;
        let (valid_after, valid_before) = match signed.window {
            Window::Time { after, before } => (Some(after.0.to_string()), Some(before.0.to_string())),
            Window::Recent => (None, None),
        };
        let landed = record.settlement.landed();
        let purpose = Purpose::of(&record.references);
        let latest = landed.map(|it| &it.tx).or_else(|| record.txs.last());
        Self {
            id: record.id,
            state: record.settlement.state().as_str(),
            network: record.network.as_str(),
            scheme: record.scheme.as_str(),
            asset: &signed.asset,
            payer: &signed.payer,
            pay_to: &signed.pay_to,
            amount: signed.amount,
            nonce: &signed.nonce,
            authorization_reference: signed.key.to_string(),
            valid_after,
            valid_before,
            memo: signed.memo.as_deref(),
            transaction: latest.map(|tx| tx.0.as_str()),
            transactions: record.txs.iter().map(|tx| tx.0.as_str()).collect(),
            block: landed.map(|it| BlockView::of(&it.block)),
            log_index: landed.map(|it| it.log_index),
            finality: finality(record.settlement.state()),
            failure: failure(&record.settlement),
            setback: setback(&record.settlement),
            resource: record.resource_url.as_deref(),
            references: record
                .references
                .iter()
                .map(|it| ReferenceView {
                    kind: it.kind.as_str(),
                    value: &it.value,
                })
                .collect(),
            merchant_reference: record.labels.merchant_reference.as_ref().map(Label::as_str),
            order_id: record.labels.order_id.as_ref().map(Label::as_str),
            metadata: record.labels.metadata.as_ref().map(Metadata::entries),
            reconciliation: entry.reconciliation.map(reconciliation::State::as_str),
            gas_cost: entry.gas.map(|it| it.to_string()),
            refunded: entry.refunded.to_string(),
            refund_pending: entry.refund_pending.to_string(),
            refund: purpose.map(|it| it.refund),
            refund_of: purpose.map(|it| it.payment),
            created_at: rfc_3339(record.created_at),
            confirmed_at: record.confirmed_at.map(rfc_3339),
            finalized_at: record.final_at.map(rfc_3339),
        }
    }
}

impl<'a> BlockView<'a> {
    pub(super) fn of(block: &'a ChainPoint) -> Self {
        let seconds = i64::try_from(block.time.0).ok();
        Self {
            number: block.height,
            hash: &block.hash,
            time: seconds
                .and_then(|it| DateTime::from_timestamp(it, 0))
                .map(|it| it.to_rfc3339_opts(SecondsFormat::Secs, true)),
        }
    }
}

const fn finality(state: State) -> &'static str {
    match state {
        State::Confirmed => "confirmed",
        State::Final => "finalized",
        State::Reserved | State::InFlight | State::Failed | State::Withdrawn => "none",
    }
}

fn failure(settlement: &Settlement) -> Option<FailureView<'_>> {
    let Settlement::Failed { proof } = settlement else {
        return None;
    };
    Some(FailureView {
        proof: proof.as_str(),
        transaction: proof.tx().map(|tx| tx.0.as_str()),
        block: BlockView::of(proof.block()),
    })
}

fn setback(settlement: &Settlement) -> Option<SetbackView<'_>> {
    let Settlement::InFlight {
        setback: Some(setback), ..
    } = settlement
    else {
        return None;
    };
    let (kind, tx) = match setback {
        Setback::Reverted { tx } => ("reverted", tx),
        Setback::TransferMissing { tx } => ("transfer_missing", tx),
    };
    Some(SetbackView {
        kind,
        transaction: &tx.0,
    })
}

/// Microseconds, as the database keeps them.
pub(super) fn rfc_3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Numbers that a double cannot hold are written as decimal strings.
fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::authorization::{Authorization, PaymentKey};
    use crate::domain::labels::Labels;
    use crate::domain::network::Scheme;
    use crate::domain::rail::TxId;
    use crate::domain::request::{PaymentReference, ReferenceKind};
    use crate::domain::settlement::{CannotLand, Landed};
    use crate::domain::time::Timestamp;
    use crate::store::Record;

    fn record(settlement: Settlement) -> Record {
        let time = |seconds| DateTime::from_timestamp(seconds, 250_000_000).unwrap();
        let (confirmed_at, final_at) = match settlement.state() {
            State::Confirmed => (Some(time(1_795_255_204)), None),
            State::Final => (Some(time(1_795_255_204)), Some(time(1_795_256_100))),
            State::Reserved | State::InFlight | State::Failed | State::Withdrawn => (None, None),
        };
        Record {
            tenant: crate::domain::tenant::TenantId::SOLE,
            id: "pay_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap(),
            network: "eip155:84532".parse().unwrap(),
            scheme: Scheme::exact(),
            authorization: Authorization {
                payer: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".to_owned(),
                pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".to_owned(),
                asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
                amount: Amount::from_units(10_000),
                nonce: "0xe20d3bd1929af68ce704e37dcd37c70086e5467b87db54039bb669ec6bb9cb21".to_owned(),
                window: Window::Time {
                    after: Timestamp(0),
                    before: Timestamp(1_893_456_000),
                },
                signer: None,
                memo: None,
                key: PaymentKey([7; 32]),
                body: b"a bearer instrument".to_vec(),
            },
            settlement,
            version: 3,
            digest: [9; 32],
            envelope: "x402/2".to_owned(),
            resource_url: Some("https://shop.example/report".to_owned()),
            references: vec![PaymentReference {
                kind: ReferenceKind::PaymentIdentifier,
                value: "pay_7d5d747be160e280".to_owned(),
            }],
            labels: Labels {
                merchant_reference: Label::new("INV-2026-11-0007"),
                order_id: Label::new("7"),
                metadata: Metadata::new([("cart".to_owned(), "c7".to_owned())].into()),
            },
            txs: vec![TxId(TX.to_owned())],
            since_height: 1,
            must_go_alone: false,
            tries: 0,
            granted_at: None,
            answer: None,
            created_at: time(1_795_255_200),
            confirmed_at,
            final_at,
        }
    }

    const TX: &str = "0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9";

    fn block() -> ChainPoint {
        ChainPoint {
            height: 33_902_118,
            hash: "0x3f1c0a52d6b4e7980f2d6c1b5a4e39871d0c6f5b2a3e4d7c8b9a0f1e2d3c4b5a".to_owned(),
            time: Timestamp(1_795_255_202),
        }
    }

    #[test]
    fn records_are_shown_as_the_fixtures_have_them() {
        let tx = || TxId(TX.to_owned());
        let landed = Landed {
            tx: tx(),
            log_index: 12,
            block: block(),
            is_deep_enough: true,
            is_final: true,
        };
        let reverted = Settlement::InFlight {
            tx: tx(),
            setback: Some(Setback::Reverted { tx: tx() }),
        };
        let proof = CannotLand::Cancelled {
            tx: tx(),
            block: block(),
        };
        for (settlement, fixture) in [
            (
                Settlement::Final { landed },
                include_str!("../../tests/fixtures/records/final.json"),
            ),
            (reverted, include_str!("../../tests/fixtures/records/set_back.json")),
            (
                Settlement::Failed { proof },
                include_str!("../../tests/fixtures/records/failed.json"),
            ),
        ] {
            let is_final = settlement.state() == State::Final;
            let shown = one(&Entry {
                record: record(settlement),
                reconciliation: is_final.then_some(reconciliation::State::Matched),
                gas: is_final.then(|| Amount::from_units(94_512_000_000)),
                refunded: Amount::from_units(if is_final { 2_500 } else { 0 }),
                refund_pending: Amount::ZERO,
            });
            let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
            let expected: serde_json::Value = serde_json::from_str(fixture).unwrap();
            assert_eq!(shown, expected, "{shown:#}");
        }
    }
}
