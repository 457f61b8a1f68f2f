//! What fee payers have left.

use solana_pubkey::Pubkey;

use super::node::{ACCOUNTS_MAX, Account, InContext, Node, accounts_call};
use crate::domain::amount::Amount;
use crate::domain::rail::RailFault;

const OPERATION: &str = "fee payers' balances";

/// Each fee payer's lamports, in their order.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn read(node: &Node, fee_payers: &[Pubkey]) -> Result<Vec<Amount>, RailFault> {
    let calls: Vec<_> = fee_payers.chunks(ACCOUNTS_MAX).map(accounts_call).collect();
    let mut balances = Vec::with_capacity(fee_payers.len());
    for answer in node.ask(OPERATION, &calls).await? {
        let accounts: InContext<Vec<Option<Account>>> = node.read(OPERATION, Some(answer))?;
        // An account that does not exist is one with nothing in it.
        let lamports = accounts.value.iter().map(|it| it.as_ref().map_or(0, |it| it.lamports));
        balances.extend(lamports.map(|it| Amount::from_units(it.into())));
    }
    if balances.len() == fee_payers.len() {
        Ok(balances)
    } else {
        let cause = "the node answers for another number of accounts";
        Err(node.rpc().fault(OPERATION, cause))
    }
}
