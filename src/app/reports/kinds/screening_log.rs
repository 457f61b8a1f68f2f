//! Whoever was screened: each decision that let a payment or an attempt at a refund go on, each that refused one, and what
//! was found when a list changed, with the evidence.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, maybe, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::id::ScreeningId;
use crate::domain::rejection::Malformed;
use crate::domain::screening::{Decision, Stage};
use crate::export::Decimals;
use crate::store::{PAGE_MAX, Screening, ScreeningFilter, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "screening_log",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of decision, stage, network, createdFrom, createdBefore, each at most once and not empty",
    period: Some(["createdFrom", "createdBefore"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 12] = [
    text("id"),
    time("created_at"),
    text("stage"),
    text("decision"),
    text("network"),
    text("payment_id"),
    text("refund_id"),
    text("policy"),
    text("subjects"),
    text("sources"),
    text("findings"),
    text("seal"),
];

fn filter(keys: &mut Keys) -> Result<ScreeningFilter, Malformed> {
    Ok(ScreeningFilter {
        decision: keys.named("decision", "clear, not_checked or denied", |name| {
            Decision::named(name).filter(|it| *it != Decision::Off)
        })?,
        stage: keys.named("stage", "verify, settle, refund or review", Stage::named)?,
        network: keys.parsed("network", NETWORK)?,
        from: keys.time("createdFrom")?,
        before: keys.time("createdBefore")?,
    })
}

#[async_trait]
impl Find for ScreeningFilter {
    type Row = Screening;
    type Place = ScreeningId;

    async fn find(&self, store: &Store, after: Option<&ScreeningId>) -> Result<Vec<Screening>, StoreFault> {
        store.screenings_find(self, after.copied(), PAGE_MAX).await
    }

    fn place(row: Screening) -> ScreeningId {
        row.evidence.id
    }

    fn sum(row: &Screening, totals: &mut Totals) {
        let decision = ("decision", row.evidence.decision.as_str());
        totals.of(&row.evidence.network, "", decision).add(Amount::ZERO);
    }

    fn cells<'r>(row: &'r Screening, _: &Decimals) -> Vec<Cell<'r>> {
        cells(row)
    }
}

fn cells(it: &Screening) -> Vec<Cell<'_>> {
    let evidence = &it.evidence;
    let body: serde_json::Value = serde_json::from_str(&evidence.body).unwrap_or_default();
    let part = |name: &str| maybe(body.get(name).map(ToString::to_string));
    vec![
        Cell::text(evidence.id.to_string()),
        Cell::Time(it.at),
        of(evidence.stage.as_str()),
        of(evidence.decision.as_str()),
        of(evidence.network.as_str()),
        maybe(it.payment.map(|id| id.to_string())),
        maybe(it.refund.map(|id| id.to_string())),
        of(&evidence.policy),
        part("subjects"),
        part("sources"),
        part("findings"),
        Cell::text(hex::encode(&it.seal)),
    ]
}
