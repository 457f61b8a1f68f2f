//! The token accounts of recipients, remembered: deriving one costs more than all else that is done to a payment
//! before its signatures are checked, and merchants are few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use solana_pubkey::Pubkey;

use super::listing::Asset;
use super::programs::associated_token_account;

/// How many are remembered. A caller who names ever new recipients makes everybody derive again, and nothing worse.
const KNOWN_MAX: usize = 4096;

/// Associated token accounts by owner and mint.
#[derive(Debug, Default)]
pub(super) struct Recipients(Mutex<HashMap<(Pubkey, Pubkey), Pubkey>>);

impl Recipients {
    /// The owner's associated token account for the asset.
    pub(super) fn token_account(&self, owner: &Pubkey, asset: &Asset) -> Pubkey {
        let coordinates = (*owner, asset.mint);
        if let Some(account) = self.known().get(&coordinates) {
            return *account;
        }
        let account = associated_token_account(owner, asset.program, &asset.mint);
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(coordinates, account);
        account
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Pubkey, Pubkey), Pubkey>> {
        // Nothing is left half done by a holder that panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::solana::trials::{MINT, MINT_2022, PAY_TO, listing};

    #[test]
    fn what_is_remembered_is_what_is_derived() {
        let (listing, recipients) = (listing(), Recipients::default());
        for _ in 0..2 {
            for mint in [MINT, MINT_2022] {
                let asset = listing.asset(&mint).unwrap();
                let expected = associated_token_account(&PAY_TO, asset.program, &mint);
                assert_eq!(recipients.token_account(&PAY_TO, asset), expected);
            }
        }
        assert_eq!(recipients.known().len(), 2);
    }

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let (listing, recipients) = (listing(), Recipients::default());
        let asset = listing.asset(&MINT).unwrap();
        for number in 0..KNOWN_MAX + 10 {
            let mut owner = [0; 32];
            owner[..8].copy_from_slice(&number.to_le_bytes());
            recipients.token_account(&Pubkey::new_from_array(owner), asset);
            assert!(recipients.known().len() <= KNOWN_MAX);
        }
        assert_eq!(recipients.known().len(), 10);
    }
}
