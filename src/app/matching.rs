//! A gateway's own list of orders held against the records: what both have, what only one of them has, and what they have
//! differently.

mod lines;

use std::collections::{HashMap, HashSet};

use serde::Serialize;

pub use self::lines::{FileFault, Kind, Line, read};
use crate::app::books::Books;
use crate::domain::id::PaymentId;
use crate::domain::refund::Purpose;
use crate::domain::settlement::State;
use crate::export::Decimals;
use crate::store::{Cursor, Entry, Filter, Name, PAGE_MAX, StoreFault};

/// Lines that are looked up together, and payments, which are kept in memory meanwhile: more where one line names more.
const LINES_AT_ONCE: usize = 500;
const PAYMENTS_AT_ONCE: usize = 2_000;

/// States in which the money has arrived.
const SETTLED: [State; 2] = [State::Confirmed, State::Final];

/// What became of a line, or of a payment that no line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Both have it, alike.
    Matched,
    /// No payment has the line's name.
    GatewayOnly,
    /// No line names the payment.
    FacilitatorOnly,
    /// Both have it, and differ.
    Mismatched,
    /// An earlier line has the payment already.
    Duplicate,
}

/// A line or a payment, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What became of it.
    pub outcome: Outcome,
    /// Which line of the file, from 1 without a header; none of what no line names.
    pub line: Option<u64>,
    /// What the line calls it.
    pub name: Option<String>,
    /// The payment.
    pub payment: Option<PaymentId>,
    /// The keys that differ.
    pub differs: Vec<&'static str>,
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    matched: u64,
    gateway_only: u64,
    facilitator_only: u64,
    mismatched: u64,
    duplicate: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Matched => &mut self.matched,
            Outcome::GatewayOnly => &mut self.gateway_only,
            Outcome::FacilitatorOnly => &mut self.facilitator_only,
            Outcome::Mismatched => &mut self.mismatched,
            Outcome::Duplicate => &mut self.duplicate,
        };
        *count = count.saturating_add(1);
    }

    /// All but those that match.
    #[must_use]
    pub const fn differences(&self) -> u64 {
        self.gateway_only
            .saturating_add(self.facilitator_only)
            .saturating_add(self.mismatched)
            .saturating_add(self.duplicate)
    }
}

/// Holds the lines against the records, and the settled payments that meet `within` against the lines. Tells of each line in
/// order, then of each payment that none of them names.
///
/// # Errors
/// The database could not be asked.
pub async fn match_all(
    books: &Books,
    lines: &[Line],
    within: &Filter,
    mut tell: impl FnMut(Finding),
) -> Result<Counts, StoreFault> {
    let (mut counts, mut taken) = (Counts::default(), HashSet::new());
    let mut rest = lines;
    while !rest.is_empty() {
        let (some, named) = named(books, rest).await?;
        for (line, named) in rest.iter().zip(&named) {
            let named: Vec<&Entry> = named.iter().filter_map(|id| some.get(id)).collect();
            let finding = judge(line, &named, &mut taken, &books.reports().decimals);
            counts.add(finding.outcome);
            tell(finding);
        }
        rest = rest.get(named.len()..).unwrap_or_default();
    }
    let mut after: Option<Cursor> = None;
    loop {
        let within = Filter {
            states: SETTLED.to_vec(),
            ..within.clone()
        };
        let page = books.payments(within, after.as_ref(), PAGE_MAX).await?;
        // No gateway lists what pays a refund among its orders.
        let sold = page.entries.iter().map(|it| &it.record);
        let sold = sold.filter(|it| Purpose::of(&it.references).is_none());
        for payment in sold.map(|it| it.id).filter(|it| !taken.contains(it)) {
            counts.add(Outcome::FacilitatorOnly);
            tell(Finding {
                outcome: Outcome::FacilitatorOnly,
                line: None,
                name: None,
                payment: Some(payment),
                differs: Vec::new(),
            });
        }
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}

/// The payments that the first of these lines name, at least the first line's, and of each of those lines which.
async fn named(books: &Books, lines: &[Line]) -> Result<(HashMap<PaymentId, Entry>, Vec<Vec<PaymentId>>), StoreFault> {
    let names: Vec<&Name> = lines.iter().take(LINES_AT_ONCE).map(|it| &it.name).collect();
    let mut of_lines = books.payments_named(&names).await?;
    let mut payments = HashSet::new();
    let fits = of_lines.iter().take_while(|ids| {
        let is_first = payments.is_empty();
        payments.extend(ids.iter().copied());
        is_first || payments.len() <= PAYMENTS_AT_ONCE
    });
    let fits = fits.count();
    of_lines.truncate(fits);
    let ids: HashSet<PaymentId> = of_lines.iter().flatten().copied().collect();
    let ids: Vec<PaymentId> = ids.into_iter().collect();
    let entries = books.payments_of(&ids).await?;
    Ok((entries.into_iter().map(|it| (it.record.id, it)).collect(), of_lines))
}

fn is_settled(entry: &Entry) -> bool {
    SETTLED.contains(&entry.record.settlement.state())
}

/// What becomes of a line, given the payments of its name. Of those that no earlier line has, the one that is settled is its
/// own: an order may have been tried more than once.
fn judge(line: &Line, named: &[&Entry], taken: &mut HashSet<PaymentId>, decimals: &Decimals) -> Finding {
    let free = || named.iter().filter(|it| !taken.contains(&it.record.id));
    let own = free().find(|it| is_settled(it)).or_else(|| free().next());
    let (outcome, differs) = match own {
        None if named.is_empty() => (Outcome::GatewayOnly, Vec::new()),
        None => (Outcome::Duplicate, Vec::new()),
        Some(entry) => {
            let differs = line.differs(entry, decimals);
            let is_same = differs.is_empty();
            (if is_same { Outcome::Matched } else { Outcome::Mismatched }, differs)
        }
    };
    let payment = own.or(named.first()).map(|it| it.record.id);
    taken.extend(own.map(|it| it.record.id));
    Finding {
        outcome,
        line: Some(line.number),
        name: Some(line.called.clone()),
        payment,
        differs,
    }
}
