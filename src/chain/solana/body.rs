//! The rail's own encoding of an authorization: the payer's transaction, and what of the terms does not stand in it.
//!
//! It is stored with the payment and outlives the process and its configuration, so it is versioned, refuses
//! whatever it did not write itself, has one form for each content, and says nothing twice.

use solana_pubkey::Pubkey;

use super::instructions::{TRANSFER_INDEX, Transfer};
use super::listing::Asset;
use super::settings::TokenProgram;
use super::transaction::Transaction;

/// The encoding's version, its first byte.
const VERSION: u8 = 1;

const KIND_STATIC: u8 = 0;
const KIND_SMART_WALLET: u8 = 1;

const PROGRAM_TOKEN: u8 = 0;
const PROGRAM_TOKEN_2022: u8 = 1;

/// A payment's transaction and what it is to do. A bearer instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// Where its transfer stands.
    pub(super) kind: Kind,
    /// What the payer built and signed.
    pub(super) transaction: Transaction,
    /// The token account that is debited, where the transaction shows it.
    pub(super) source: Option<Pubkey>,
    /// The token account that is credited: the owner's associated one.
    pub(super) destination: Pubkey,
    /// Who is paid.
    pub(super) owner: Pubkey,
    /// In what, as it was configured when the payment was made or, where the transaction shows it, as stands there.
    pub(super) asset: Asset,
}

/// Where the transfer of a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Among the transaction's own instructions.
    Static,
    /// Within what a smart wallet does, so that only execution shows it.
    SmartWallet,
}

/// The bytes are not a body of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authorization's body is not of this rail's encoding, version {VERSION}")]
pub(super) struct NotABody;

impl Body {
    /// The body of a payment whose transfer stands among the transaction's own instructions.
    pub(super) const fn of(transaction: Transaction, transfer: &Transfer, owner: Pubkey) -> Self {
        Self {
            kind: Kind::Static,
            transaction,
            source: Some(transfer.source),
            destination: transfer.destination,
            owner,
            asset: transfer.asset(),
        }
    }

    /// The canonical bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let wire = self.transaction.wire();
        let mut out = Vec::with_capacity(wire.len().saturating_add(100));
        out.push(VERSION);
        match self.kind {
            Kind::Static => {
                out.push(KIND_STATIC);
                out.extend_from_slice(self.owner.as_ref());
            }
            Kind::SmartWallet => {
                out.push(KIND_SMART_WALLET);
                out.extend_from_slice(self.owner.as_ref());
                out.extend_from_slice(self.destination.as_ref());
                out.extend_from_slice(self.asset.mint.as_ref());
                out.push(match self.asset.program {
                    TokenProgram::Token => PROGRAM_TOKEN,
                    TokenProgram::Token2022 => PROGRAM_TOKEN_2022,
                });
                out.push(self.asset.decimals);
            }
        }
        out.extend_from_slice(wire);
        out
    }

    /// Reads what [`Body::encode`] wrote.
    ///
    /// # Errors
    /// [`NotABody`] for anything else, bytes left over included.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotABody> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return Err(NotABody);
        }
        match rest.byte()? {
            KIND_STATIC => {
                let owner = rest.address()?;
                let transaction = rest.transaction()?;
                let transfer = transaction.instructions().nth(TRANSFER_INDEX);
                let transfer = transfer
                    .and_then(|it| Transfer::read(&transaction, &it))
                    .ok_or(NotABody)?;
                Ok(Self::of(transaction, &transfer, owner))
            }
            KIND_SMART_WALLET => Ok(Self {
                kind: Kind::SmartWallet,
                source: None,
                owner: rest.address()?,
                destination: rest.address()?,
                asset: Asset {
                    mint: rest.address()?,
                    program: match rest.byte()? {
                        PROGRAM_TOKEN => TokenProgram::Token,
                        PROGRAM_TOKEN_2022 => TokenProgram::Token2022,
                        _ => return Err(NotABody),
                    },
                    decimals: rest.byte()?,
                },
                transaction: rest.transaction()?,
            }),
            _ => Err(NotABody),
        }
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotABody> {
        let (head, tail) = self.0.split_first_chunk().ok_or(NotABody)?;
        self.0 = tail;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, NotABody> {
        self.array().map(|[byte]| byte)
    }

    fn address(&mut self) -> Result<Pubkey, NotABody> {
        self.array().map(Pubkey::new_from_array)
    }

    /// All that is left.
    fn transaction(&mut self) -> Result<Transaction, NotABody> {
        let transaction = Transaction::parse(self.0).map_err(|_| NotABody)?;
        if transaction.wire() == self.0 {
            Ok(transaction)
        } else {
            Err(NotABody)
        }
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
