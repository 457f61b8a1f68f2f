//! Whether a mint's tokens arrive in full, whoever sends them.
//!
//! A merchant is owed an exact amount, so a mint may not take a part of it, let another program have a say in it, or
//! keep it in the dark. What an issuer may do to holders besides (freeze, pause, seize) is the risk of holding the
//! token at all, and is the merchant's to take. An issuer may change its mind at any time, so a Token-2022 mint is
//! judged anew at every payment. Layouts: solana-program/token `state::Mint`, solana-program/token-2022
//! `extension::ExtensionType` and its modules.

use solana_pubkey::Pubkey;

use super::node::Account;
use super::settings::TokenProgram;

/// Bytes of a mint without extensions, under either program.
const MINT_BYTES: usize = 82;

/// Where a mint's decimals stand, and after them whether it is initialized.
const DECIMALS_AT: usize = 44;

/// Where the kind of account stands in an account with extensions: behind the bytes of a token account, whatever
/// the account is.
const KIND_AT: usize = 165;

/// The kind of account that a mint is (`AccountType::Mint`).
const KIND_MINT: u8 = 1;

/// What a mint is, as far as payments are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mint {
    /// Digits after the point.
    pub(super) decimals: u8,
    /// Why its tokens cannot be relied on to arrive in full.
    pub(super) unfit: Option<Unfit>,
}

/// What about a mint keeps its tokens from arriving in full. Display says what the mint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// It takes a part of each transfer, now or from some epoch on.
    #[error("the mint takes a transfer fee of {basis_points} basis points")]
    TransferFee {
        /// The higher of the fee that applies and the one that will.
        basis_points: u16,
    },
    /// A program of the issuer's takes part in each transfer.
    #[error("the mint has a transfer hook")]
    TransferHook,
    /// It cannot be transferred at all.
    #[error("the mint's tokens cannot be transferred")]
    NonTransferable,
    /// Its supply is known to nobody, so that amounts move in confidence only.
    #[error("the mint's tokens are confidential")]
    Confidential,
    /// It does something that was not known when this was written.
    #[error("the mint has the extension {number}, which this facilitator does not know")]
    Unknown {
        /// Its number among the program's extensions.
        number: u16,
    },
}

/// Reads a mint's account.
///
/// # Errors
/// What the account is instead.
pub(super) fn read(account: &Account, program: TokenProgram) -> Result<Mint, &'static str> {
    if account.owner != program.id() {
        return Err("belongs to another program");
    }
    let mint = account.data.get(..MINT_BYTES).ok_or("is no mint")?;
    let extensions = extensions_of(&account.data, program)?;
    match mint.get(DECIMALS_AT..).and_then(|rest| rest.first_chunk()) {
        Some(&[decimals, 1]) => Ok(Mint {
            decimals,
            unfit: extensions.map(judge).find_map(Result::err),
        }),
        Some(_) | None => Err("is no initialized mint"),
    }
}

/// The extensions' numbers and values; none for a mint without.
fn extensions_of(data: &[u8], program: TokenProgram) -> Result<Extensions<'_>, &'static str> {
    if data.len() == MINT_BYTES {
        return Ok(Extensions(&[]));
    }
    match (program, data.get(KIND_AT..).and_then(<[u8]>::split_first)) {
        (TokenProgram::Token2022, Some((&KIND_MINT, extensions))) => Ok(Extensions(extensions)),
        (TokenProgram::Token | TokenProgram::Token2022, _) => Err("is no mint"),
    }
}

/// A mint's extensions: each a number and a length, two bytes little-endian each, then its value
/// (solana-program/token-2022 `extension`, "TLV").
struct Extensions<'a>(&'a [u8]);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, rest) = self.0.split_first_chunk()?;
        let number = u16::from_le_bytes(*number);
        let extension = rest.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::from(u16::from_le_bytes(*length));
            rest.split_at_checked(length)
        });
        // Number 0 says that nothing follows. Of an extension that is cut off no more than the number is known.
        let (value, rest) = extension.filter(|_| number > 0).unwrap_or_default();
        self.0 = rest;
        (number > 0).then_some((number, value))
    }
}

/// Whether a mint with this extension passes on what is sent.
fn judge((number, value): (u16, &[u8])) -> Result<(), Unfit> {
    match number {
        1 => judge_fee(value),
        9 => Err(Unfit::NonTransferable),
        14 => judge_hook(value),
        24 => Err(Unfit::Confidential),
        // Who may close the mint, confidential transfers beside open ones (and their fees), accounts that begin
        // frozen, interest and other scales for display, a delegate for all accounts, pointers and descriptions,
        // groups, pauses, permissions to burn.
        3 | 4 | 6 | 10 | 12 | 16 | 18..=23 | 25 | 26 | 28 => Ok(()),
        _ => Err(Unfit::Unknown { number }),
    }
}

/// Two authorities and the amount withheld, then the older and the newer fee: from which epoch on, at most how much,
/// and how many basis points (`TransferFeeConfig`).
fn judge_fee(value: &[u8]) -> Result<(), Unfit> {
    const FEE_BYTES: usize = 18;
    let fees = value.get(72..).filter(|fees| fees.len() == 2 * FEE_BYTES);
    let unreadable = Unfit::Unknown { number: 1 };
    let taken = fees
        .ok_or(unreadable)?
        .chunks_exact(FEE_BYTES)
        .filter(|fee| fee.get(8..16) != Some(&[0; 8]))
        .filter_map(|fee| fee.last_chunk().copied().map(u16::from_le_bytes))
        .max();
    match taken {
        None | Some(0) => Ok(()),
        Some(basis_points) => Err(Unfit::TransferFee { basis_points }),
    }
}

/// An authority, and the program; all zeros for none (`TransferHook`).
fn judge_hook(value: &[u8]) -> Result<(), Unfit> {
    match value.get(32..) {
        Some(program) if program == Pubkey::default().as_ref() => Ok(()),
        Some(_) | None => Err(Unfit::TransferHook),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: TokenProgram = TokenProgram::Token;
    const TOKEN_2022: TokenProgram = TokenProgram::Token2022;

    fn account(program: TokenProgram, data: Vec<u8>) -> Account {
        Account {
            lamports: 1,
            owner: program.id(),
            data,
        }
    }

    /// A mint of six decimals, initialized.
    fn plain() -> Vec<u8> {
        let mut data = vec![0x11; MINT_BYTES];
        data[DECIMALS_AT] = 6;
        data[DECIMALS_AT + 1] = 1;
        data
    }

    fn extended(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut data = plain();
        data.resize(KIND_AT, 0);
        data.push(KIND_MINT);
        for (number, value) in extensions {
            data.extend(number.to_le_bytes());
            data.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            data.extend(value);
        }
        data
    }

    fn fee(older: (u64, u16), newer: (u64, u16)) -> Vec<u8> {
        let mut value = vec![0x22; 72];
        for (most, basis_points) in [older, newer] {
            value.extend(7_u64.to_le_bytes());
            value.extend(most.to_le_bytes());
            value.extend(basis_points.to_le_bytes());
        }
        value
    }

    fn hook(program: u8) -> Vec<u8> {
        [[0x33; 32], [program; 32]].concat()
    }

    fn unfit(extensions: &[(u16, Vec<u8>)]) -> Option<Unfit> {
        read(&account(TOKEN_2022, extended(extensions)), TOKEN_2022)
            .unwrap()
            .unfit
    }

    #[test]
    fn a_mint_is_one_of_its_program_s_and_initialized() {
        for program in [TOKEN, TOKEN_2022] {
            let mint = read(&account(program, plain()), program).unwrap();
            assert_eq!((mint.decimals, mint.unfit), (6, None));
        }
        let mut unborn = plain();
        unborn[DECIMALS_AT + 1] = 0;
        let mut token_account = extended(&[]);
        token_account[KIND_AT] = 2;
        let mut padded = plain();
        padded.push(0);
        for (holder, program, data) in [
            (TOKEN, TOKEN_2022, plain()),
            (TOKEN_2022, TOKEN, plain()),
            (TOKEN, TOKEN, extended(&[])),
            (TOKEN, TOKEN, vec![1; 165]),
            (TOKEN, TOKEN, Vec::new()),
            (TOKEN, TOKEN, plain()[..MINT_BYTES - 1].to_vec()),
            (TOKEN, TOKEN, unborn.clone()),
            (TOKEN, TOKEN, padded),
            (TOKEN_2022, TOKEN_2022, vec![1; 165]),
            (TOKEN_2022, TOKEN_2022, token_account),
            (TOKEN_2022, TOKEN_2022, unborn),
        ] {
            assert!(read(&account(holder, data.clone()), program).is_err(), "{data:?}");
        }
    }

    #[test]
    fn what_takes_a_part_of_a_payment_or_a_say_in_it_is_unfit() {
        let takes = |basis_points| Some(Unfit::TransferFee { basis_points });
        for (extension, expected) in [
            ((1, fee((u64::MAX, 0), (u64::MAX, 0))), None),
            ((1, fee((0, 100), (0, 100))), None),
            ((1, fee((1, 100), (u64::MAX, 0))), takes(100)),
            ((1, fee((u64::MAX, 0), (1, 1))), takes(1)),
            ((1, fee((0, 100), (9, 50))), takes(50)),
            ((1, vec![0; 107]), Some(Unfit::Unknown { number: 1 })),
            ((9, vec![]), Some(Unfit::NonTransferable)),
            ((14, hook(0)), None),
            ((14, hook(1)), Some(Unfit::TransferHook)),
            ((14, vec![0; 63]), Some(Unfit::TransferHook)),
            ((24, vec![0; 196]), Some(Unfit::Confidential)),
            ((27, vec![]), Some(Unfit::Unknown { number: 27 })),
            ((29, vec![]), Some(Unfit::Unknown { number: 29 })),
        ] {
            assert_eq!(unfit(std::slice::from_ref(&extension)), expected, "{extension:?}");
            // Wherever it stands.
            let among = [(12, vec![1; 32]), extension.clone(), (26, vec![0; 33])];
            assert_eq!(unfit(&among), expected, "{extension:?} among others");
        }
    }

    #[test]
    fn what_an_issuer_may_do_to_holders_besides_is_allowed() {
        for number in [3, 4, 6, 10, 12, 16, 18, 19, 20, 21, 22, 23, 25, 26, 28] {
            assert_eq!(unfit(&[(number, vec![0xff; 40])]), None, "{number}");
        }
    }

    #[test]
    fn the_end_of_the_extensions_is_the_end() {
        let mut ended = extended(&[]);
        ended.extend([0, 0, 0, 0, 9, 0, 0, 0]);
        let mut cut_off = extended(&[(12, vec![0; 32])]);
        cut_off.extend([14, 0, 64, 0, 0]);
        let mut lone_byte = extended(&[]);
        lone_byte.push(9);
        for (data, expected) in [(ended, None), (cut_off, Some(Unfit::TransferHook)), (lone_byte, None)] {
            assert_eq!(read(&account(TOKEN_2022, data), TOKEN_2022).unwrap().unfit, expected);
        }
    }
}
