//! Looking payments up, by any name they have.

use crate::app::{App, Trouble};
use crate::domain::id::{ExceptionId, PaymentId};
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::rejection::Malformed;
use crate::store::{Action, Cursor, Exception, ExceptionFilter, Filter, Page, Record, StoreFault};

/// The payment of this id.
///
/// # Errors
/// The database could not be asked.
pub async fn get(app: &App, id: PaymentId) -> Result<Option<Record>, StoreFault> {
    app.store.payment_get(id).await
}

/// The payment that an authorization makes, found by what the payer signed: possible before, during and after
/// its settlement, by anybody who knows these four.
///
/// # Errors
/// A coordinate is malformed or its network is not served, or the database could not be asked.
pub async fn by_coordinates(
    app: &App,
    network: &NetworkId,
    asset: &str,
    payer: &str,
    nonce: &str,
) -> Result<Option<Record>, Trouble> {
    let track = app.track_on(network).ok_or_else(|| Malformed {
        path: "network".into(),
        expected: "a network that this facilitator serves; see /supported".into(),
    })?;
    let key = track.rail.key_of(asset, payer, nonce)?;
    Ok(app.store.payment_find(&key).await?)
}

/// The payments that a transaction carried or landed.
///
/// # Errors
/// The database could not be asked.
pub async fn by_transaction(app: &App, tx: &TxId) -> Result<Vec<Record>, StoreFault> {
    app.store.payments_by_transaction(tx).await
}

/// A page of payments in the order of their creation. Accounts in the filter may be written in any of the rails'
/// ways.
///
/// # Errors
/// The database could not be asked.
pub async fn list(app: &App, mut filter: Filter, after: Option<&Cursor>, limit: u16) -> Result<Page, StoreFault> {
    for account in [&mut filter.asset, &mut filter.payer, &mut filter.pay_to]
        .into_iter()
        .flatten()
    {
        let canonical = app.rails().find_map(|rail| rail.canonical_account(account));
        *account = canonical.unwrap_or_else(|| std::mem::take(account));
    }
    app.store.payments_list(&filter, after, limit).await
}

/// The reconciliation's exceptions. The recipient in the filter may be written in any of the rails' ways.
///
/// # Errors
/// The database could not be asked.
pub async fn exceptions(
    app: &App,
    mut filter: ExceptionFilter,
    after: Option<ExceptionId>,
    limit: u16,
) -> Result<Vec<Exception>, StoreFault> {
    if let Some(account) = &mut filter.pay_to {
        let canonical = app.rails().find_map(|rail| rail.canonical_account(account));
        *account = canonical.unwrap_or_else(|| std::mem::take(account));
    }
    app.store.exceptions_list(&filter, after, limit).await
}

/// Puts on record what somebody did about an exception; false when there is none of this id.
///
/// # Errors
/// The database could not be asked.
pub async fn exception_act(
    app: &App,
    id: ExceptionId,
    action: Action,
    note: &str,
    actor: &str,
) -> Result<bool, StoreFault> {
    app.store.exception_act(id, action, note, actor).await
}
