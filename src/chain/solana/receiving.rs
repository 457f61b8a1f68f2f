//! Whether a recipient can be paid: the token accounts that payments to it would arrive in.

use solana_pubkey::Pubkey;

use super::finding::{OWNER_AT, TOKEN_ACCOUNT_BYTES};
use super::listing::{Asset, Listing};
use super::node::{ACCOUNTS_MAX, Account, InContext, Node, accounts_call};
use crate::domain::rail::RailFault;

const OPERATION: &str = "recipient's token accounts";

/// Where a token account says how it stands (solana-program/token `state::Account`).
const STATE_AT: usize = 108;
const FROZEN: u8 = 2;

/// What keeps payments to this owner from arriving, in plain words, once for each asset of which that is so.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn hindrances(node: &Node, listing: &Listing, owner: &Pubkey) -> Result<Vec<String>, RailFault> {
    let wanted = listing.assets.iter().map(|it| listing.token_account(owner, it));
    let wanted: Vec<Pubkey> = wanted.collect();
    let calls: Vec<_> = wanted.chunks(ACCOUNTS_MAX).map(accounts_call).collect();
    let mut accounts = Vec::with_capacity(wanted.len());
    for answer in node.ask(OPERATION, &calls).await? {
        let some: InContext<Vec<Option<Account>>> = node.read(OPERATION, Some(answer))?;
        accounts.extend(some.value);
    }
    if accounts.len() != wanted.len() {
        return Err(node
            .rpc()
            .fault(OPERATION, "the node answers for another number of accounts"));
    }
    let each = listing.assets.iter().zip(&wanted).zip(&accounts);
    Ok(each
        .filter_map(|((asset, address), account)| {
            let what = hindrance(asset, owner, account.as_ref())?;
            Some(format!("its token account {address} for {} {what}", asset.mint))
        })
        .collect())
}

fn hindrance(asset: &Asset, owner: &Pubkey, account: Option<&Account>) -> Option<&'static str> {
    let Some(account) = account else {
        return Some("does not exist: its owner has to create it");
    };
    if account.owner != asset.program.id() || account.data.len() < TOKEN_ACCOUNT_BYTES {
        return Some("is no account of the asset's token program");
    }
    if account
        .data
        .get(OWNER_AT..)
        .is_none_or(|it| !it.starts_with(owner.as_ref()))
    {
        return Some("was given to another owner");
    }
    (account.data.get(STATE_AT) == Some(&FROZEN)).then_some("is frozen by the token's issuer")
}

#[cfg(test)]
mod tests {
    use super::super::settings::TokenProgram;
    use super::*;

    #[test]
    fn an_account_takes_payments_if_it_is_the_owners_own_and_not_frozen() {
        let asset = Asset {
            mint: Pubkey::new_from_array([1; 32]),
            program: TokenProgram::Token2022,
            decimals: 6,
        };
        let owner = Pubkey::new_from_array([7; 32]);
        let account = |change: fn(&mut Account)| {
            let mut data = vec![0; TOKEN_ACCOUNT_BYTES];
            data[OWNER_AT..][..32].fill(7);
            data[STATE_AT] = 1;
            let mut account = Account {
                lamports: 1,
                owner: asset.program.id(),
                data,
            };
            change(&mut account);
            hindrance(&asset, &owner, Some(&account)).map(|it| it.split(' ').nth(1).unwrap())
        };
        assert_eq!(account(|_| ()), None);
        assert_eq!(account(|it| it.data[STATE_AT] = FROZEN), Some("frozen"));
        assert_eq!(account(|it| it.data[OWNER_AT] = 8), Some("given"));
        assert_eq!(account(|it| it.owner = Pubkey::default()), Some("no"));
        assert_eq!(account(|it| it.data.truncate(100)), Some("no"));
        assert!(hindrance(&asset, &owner, None).is_some());
    }
}
