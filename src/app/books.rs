//! What the records say to those who keep the books: payments by any name they have, and the reconciliation's exceptions.

use std::sync::Arc;

use crate::app::Trouble;
use crate::domain::id::{ExceptionId, PaymentId};
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::rejection::Malformed;
use crate::store::{Action, Cursor, Entry, Exception, ExceptionFilter, Filter, Name, Page, Store, StoreFault, in_time};

/// The records of these rails, to be read. Accounts may be asked for in any of the rails' ways of writing them.
#[derive(Clone)]
pub struct Books {
    store: Store,
    rails: Vec<Arc<dyn Rail>>,
}

impl Books {
    /// The books that the store keeps.
    #[must_use]
    pub const fn new(store: Store, rails: Vec<Arc<dyn Rail>>) -> Self {
        Self { store, rails }
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
        in_time("payments_list", self.store.payments_list(&filter, after, limit)).await
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
        in_time("exceptions_list", self.store.exceptions_list(&filter, after, limit)).await
    }

    /// Puts on record what somebody did about an exception; false when there is none of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn exception_act(
        &self,
        id: ExceptionId,
        action: Action,
        note: &str,
        actor: &str,
    ) -> Result<bool, StoreFault> {
        in_time("exception_act", self.store.exception_act(id, action, note, actor)).await
    }

    fn canonicalize(&self, account: &mut Option<String>) {
        if let Some(text) = account
            && let Some(canonical) = self.rails.iter().find_map(|rail| rail.canonical_account(text))
        {
            *text = canonical;
        }
    }
}
