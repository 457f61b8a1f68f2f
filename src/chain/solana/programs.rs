//! The programs that payments on Solana call, and the token accounts that one of them derives.
//!
//! Addresses are the same on every cluster. Nothing here knows a payment.

use solana_pubkey::Pubkey;

use super::settings::TokenProgram;

/// Makes the accounts of system-owned wallets; moves lamports.
pub(super) const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
/// SPL Token (solana-program/token).
pub(super) const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Token-2022 (solana-program/token-2022).
pub(super) const TOKEN_2022: Pubkey = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
/// Associated Token Account (solana-program/associated-token-account).
pub(super) const ASSOCIATED_TOKEN: Pubkey = Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// Compute Budget, part of the validator.
pub(super) const COMPUTE_BUDGET: Pubkey = Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
/// Memo, its second version (solana-program/memo); the only one that `exact` on SVM names.
pub(super) const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Lighthouse (Jac0xb/lighthouse): assertions with which wallets guard what they sign.
pub(super) const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");
/// The account in which the validator lists the last 150 blockhashes (sysvar `recent_blockhashes`).
pub(super) const RECENT_BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");

impl TokenProgram {
    /// The program's address.
    pub(super) const fn id(self) -> Pubkey {
        match self {
            Self::Token => TOKEN,
            Self::Token2022 => TOKEN_2022,
        }
    }

    /// The token program at this address, if it is one.
    pub(super) fn at(address: &Pubkey) -> Option<Self> {
        [Self::Token, Self::Token2022]
            .into_iter()
            .find(|program| program.id() == *address)
    }
}

/// The one account in which wallets look for this owner's tokens of this mint (Associated Token Account program,
/// `get_associated_token_address_with_program_id`). A search for a point off the curve: some 10 µs.
pub(super) fn associated_token_account(owner: &Pubkey, program: TokenProgram, mint: &Pubkey) -> Pubkey {
    let program = program.id();
    let seeds = [owner.as_ref(), program.as_ref(), mint.as_ref()];
    // Each of 255 tries fails with even odds, so that not finding one is not a case.
    let (address, _) = Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with @solana-program/token 0.9 (`findAssociatedTokenPda`).
    #[test]
    fn associated_token_accounts_are_those_of_the_official_client() {
        let owner = Pubkey::from_str_const("2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4");
        let mint = Pubkey::from_str_const("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU");
        for (program, expected) in [
            (TokenProgram::Token, "A6cvo72FWB5PKDznP79KJv64DbT1aw7YbEfCm4AALHg8"),
            (TokenProgram::Token2022, "5eD3tSGEa4krDehZJuKTkS3N8RZUDkob8FKv9qcPXG9o"),
        ] {
            assert_eq!(associated_token_account(&owner, program, &mint).to_string(), expected);
        }
    }

    #[test]
    fn a_token_program_is_known_by_its_address() {
        for program in [TokenProgram::Token, TokenProgram::Token2022] {
            assert_eq!(TokenProgram::at(&program.id()), Some(program));
        }
        for other in [SYSTEM, ASSOCIATED_TOKEN, COMPUTE_BUDGET, MEMO, LIGHTHOUSE] {
            assert_eq!(TokenProgram::at(&other), None);
        }
    }
}
