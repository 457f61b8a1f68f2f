//! Whoever was screened: each decision that let a payment or an attempt at a refund go on, each that refused one, and what
//! was found when a list changed, with the evidence.

use async_trait::async_trait;

use super::{Asked, Listing, Question, Rows};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::Reports;
use crate::app::reports::table::{Cell, Column, maybe, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::id::ScreeningId;
use crate::domain::rejection::Malformed;
use crate::domain::screening::{Decision, Stage};
use crate::store::{PAGE_MAX, Screening, ScreeningFilter, StoreFault};

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

impl Question for ScreeningFilter {
    fn pages(&self) -> Box<dyn Rows> {
        Box::new(Pages {
            filter: self.clone(),
            after: None,
            is_over: false,
        })
    }
}

struct Pages {
    filter: ScreeningFilter,
    after: Option<ScreeningId>,
    is_over: bool,
}

#[async_trait]
impl Rows for Pages {
    async fn next(&mut self, reports: &Reports, totals: &mut Totals) -> Result<Option<Vec<Vec<Cell>>>, StoreFault> {
        if self.is_over {
            return Ok(None);
        }
        let found = reports
            .store
            .screenings_find(&self.filter, self.after, PAGE_MAX)
            .await?;
        for Screening { evidence, .. } in &found {
            let decision = ("decision", evidence.decision.as_str());
            totals.of(&evidence.network, "", decision).add(Amount::ZERO);
        }
        self.after = found.last().map(|it| it.evidence.id);
        self.is_over = self.after.is_none();
        Ok(Some(found.iter().map(row).collect()))
    }
}

fn row(it: &Screening) -> Vec<Cell> {
    let evidence = &it.evidence;
    let body: serde_json::Value = serde_json::from_str(&evidence.body).unwrap_or_default();
    let part = |name: &str| of(&body.get(name).map(ToString::to_string).unwrap_or_default());
    vec![
        Cell::Text(evidence.id.to_string()),
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
        Cell::Text(hex::encode(&it.seal)),
    ]
}
