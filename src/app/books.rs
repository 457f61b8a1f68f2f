//! What the records say to those who keep the books: payments by any name they have, the
//! reconciliation's exceptions, and statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::Trouble;
use crate::app::reports::encode::Format;
use crate::app::reports::{Kind, Order, Reports};
use crate::domain::id::{ExceptionId, PaymentId, ReportId, StatementId};
use crate::domain::merkle::{Hash, inclusion};
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::rejection::Malformed;
use crate::domain::statement::Detail;
use crate::domain::tenant::TenantId;
use crate::store::{
    Action, Closed, Cursor, Deed, Entry, Exception, ExceptionFilter, Filter, Name, PAGE_MAX, Page, Report,
    StatementFilter, Store, StoreFault, in_time,
};

/// The records of these rails, to be read. Accounts may be asked for in any of the rails' ways of writing them.
#[derive(Clone)]
pub struct Books {
    reports: Reports,
    rails: Vec<Arc<dyn Rail>>,
}

/// What shows that a payment or a refund is on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The line.
    pub detail: Detail,
    /// Its place, from 0.
    pub position: usize,
    /// How many lines there are.
    pub lines: usize,
    /// The hashes beside its way to the root, the nearest first.
    pub path: Vec<Hash>,
}

impl Books {
    /// The books that reports are made of.
    #[must_use]
    pub const fn new(reports: Reports, rails: Vec<Arc<dyn Rail>>) -> Self {
        Self { reports, rails }
    }

    /// The same books, of which it shows this tenant's alone.
    #[must_use]
    pub fn seen_by(&self, tenant: TenantId) -> Self {
        Self {
            reports: self.reports.seen_by(tenant),
            rails: self.rails.clone(),
        }
    }

    /// The payment of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn payment(&self, id: PaymentId) -> Result<Option<Entry>, StoreFault> {
        let filter = Filter {
            name: Some(Name::Id(id)),
            ..Filter::default()
        };
        Ok(self.payments(filter, None, 1).await?.entries.pop())
    }

    /// The name of the payment that an authorization makes, by what the payer signed: known before, during and after its
    /// settlement, by anybody who knows these four.
    ///
    /// # Errors
    /// A coordinate is malformed or its network is not served.
    pub fn name_of(&self, network: &NetworkId, asset: &str, payer: &str, nonce: &str) -> Result<Name, Trouble> {
        let rail = self.rails.iter().find(|it| it.id().network == *network);
        let rail = rail.ok_or_else(|| Malformed {
            path: "network".into(),
            expected: "a network that this facilitator serves; see /supported".into(),
        })?;
        Ok(Name::Key(rail.key_of(asset, payer, nonce)?))
    }

    /// A page of payments in the order of their creation.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn payments(&self, mut filter: Filter, after: Option<&Cursor>, limit: u16) -> Result<Page, StoreFault> {
        for account in [&mut filter.asset, &mut filter.payer, &mut filter.pay_to] {
            self.canonicalize(account);
        }
        in_time("payments_list", self.store().payments_list(&filter, after, limit)).await
    }

    /// The payments of each of these names, in their order: of each, the first [`PAGE_MAX`] that were reserved.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn payments_named(&self, names: &[&Name]) -> Result<Vec<Vec<PaymentId>>, StoreFault> {
        in_time("payments_named", self.store().payments_named(names)).await
    }

    /// These payments, a page's at a time.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn payments_of(&self, ids: &[PaymentId]) -> Result<Vec<Entry>, StoreFault> {
        let mut entries = Vec::new();
        for some in ids.chunks(PAGE_MAX.into()) {
            entries.extend(in_time("payments_entries", self.store().payments_entries(some)).await?);
        }
        Ok(entries)
    }

    /// The reconciliation's exceptions, oldest first.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn exceptions(
        &self,
        mut filter: ExceptionFilter,
        after: Option<ExceptionId>,
        limit: u16,
    ) -> Result<Vec<Exception>, StoreFault> {
        self.canonicalize(&mut filter.pay_to);
        in_time("exceptions_list", self.store().exceptions_list(&filter, after, limit)).await
    }

    /// Puts on record what somebody did about an exception; false when there is none of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn exception_act(&self, id: ExceptionId, action: Action, deed: &Deed) -> Result<bool, StoreFault> {
        in_time("exception_act", self.store().exception_act(id, action, deed)).await
    }

    /// Puts an order for a report on record, or finds the report of an equal one; none when too many wait.
    ///
    /// # Errors
    /// A condition is not what it must be, or the database could not be asked.
    pub async fn order(
        &self,
        kind: Kind,
        format: Format,
        question: BTreeMap<String, String>,
        version: u32,
    ) -> Result<Option<Report>, Trouble> {
        if self.store().viewer().is_some() && !kind.is_of_tenants() {
            return Err(Trouble::Malformed(Malformed {
                path: "type".into(),
                expected: format!("one of {}: the others are the operator's", Kind::names_of_tenants()),
            }));
        }
        let order = Order::new(kind, format, question, |text| self.canonical(text))?;
        Ok(in_time("report_order", self.reports.order(&order, version)).await?)
    }

    /// The report of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn report(&self, id: ReportId) -> Result<Option<Report>, StoreFault> {
        in_time("report_get", self.store().report_get(id)).await
    }

    /// A piece of a report; none after the last.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn report_piece(&self, id: ReportId, position: u64) -> Result<Option<Vec<u8>>, StoreFault> {
        in_time("report_read", self.store().report_read(id, position)).await
    }

    /// The ways to pay.
    #[must_use]
    pub fn rails(&self) -> &[Arc<dyn Rail>] {
        &self.rails
    }

    /// What reports are made of.
    #[must_use]
    pub const fn reports(&self) -> &Reports {
        &self.reports
    }

    const fn store(&self) -> &Store {
        &self.reports.store
    }

    /// The account in its rail's canonical text; none when no rail knows such a text.
    #[must_use]
    pub fn canonical(&self, account: &str) -> Option<String> {
        self.rails.iter().find_map(|rail| rail.canonical_account(account))
    }

    /// Closed statements, in the order in which they were closed.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn statements(
        &self,
        mut filter: StatementFilter,
        after: Option<StatementId>,
        limit: u16,
    ) -> Result<Vec<Closed>, StoreFault> {
        for account in [&mut filter.asset, &mut filter.pay_to] {
            self.canonicalize(account);
        }
        in_time("statements_find", self.store().statements_find(&filter, after, limit)).await
    }

    /// The statement of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn statement(&self, id: StatementId) -> Result<Option<Closed>, StoreFault> {
        in_time("statement_get", self.store().statement_get(id)).await
    }

    /// Its lines from this position on.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn statement_lines(&self, id: StatementId, position: u64, limit: u16) -> Result<Vec<Detail>, StoreFault> {
        in_time("statement_lines", self.store().statement_lines(id, position, limit)).await
    }

    /// All lines of a statement, in their order, a page at a time.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn statement_details(&self, id: StatementId) -> Result<Vec<Detail>, StoreFault> {
        let mut details = Vec::new();
        loop {
            let position = u64::try_from(details.len()).unwrap_or(u64::MAX);
            let page = self.statement_lines(id, position, PAGE_MAX).await?;
            if page.is_empty() {
                return Ok(details);
            }
            details.extend(page);
        }
    }

    /// What shows that a payment or a refund of this name is on a statement; none when it is not. Reads all lines.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn statement_proof(&self, id: StatementId, name: &str) -> Result<Option<Proof>, StoreFault> {
        let details = self.statement_details(id).await?;
        let leaves: Vec<Hash> = details.iter().map(|it| it.line.leaf()).collect();
        let position = details.iter().position(|it| it.line.name() == name);
        let found = position.and_then(|position| {
            Some(Proof {
                detail: details.get(position)?.clone(),
                position,
                lines: leaves.len(),
                path: inclusion(&leaves, position)?,
            })
        });
        Ok(found)
    }

    fn canonicalize(&self, account: &mut Option<String>) {
        if let Some(text) = account
            && let Some(canonical) = self.canonical(text)
        {
            *text = canonical;
        }
    }
}
