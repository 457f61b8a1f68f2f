//! A transaction as the payer built it: its bytes, and what stands in them.
//!
//! Only what a validator would take is a transaction here, in its only right encoding: whatever follows may rely on
//! every index. The bytes are kept as they came, since signatures and the payment's identity are over them; only
//! slot 0, the fee payer's, is made zero, because whoever hands a transaction on can write there what he likes.
//! Knows nothing of payments.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_message::v0::MessageAddressTableLookup;
use solana_pubkey::Pubkey;

use super::programs::SYSTEM;

use crate::seeded::Bug;

/// The longest transaction that the network carries (agave, `PACKET_DATA_SIZE`).
pub(super) const BYTES_MAX: usize = 1232;

/// Slot 0 of the signatures: behind the one byte that counts them.
const SLOT_0: std::ops::Range<usize> = 1..65;

const SIGNATURE_BYTES: usize = 64;

/// A sanitized legacy or version 0 transaction. Its Debug form shows nothing that would let another submit it.
#[derive(Clone)]
pub(super) struct Transaction {
    /// The count of signatures in one byte, the signatures with zeros in slot 0, the message.
    wire: Vec<u8>,
    /// The same message, read.
    message: VersionedMessage,
}

/// One instruction of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instruction<'a> {
    /// Whom it calls.
    pub(super) program: &'a Pubkey,
    /// With which accounts: indexes as [`Transaction::account`] takes them.
    pub(super) accounts: &'a [u8],
    /// With what.
    pub(super) data: &'a [u8],
}

impl Transaction {
    /// Reads a transaction from its wire format. What slot 0 holds makes no difference.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn parse(wire: &[u8]) -> Result<Self, &'static str> {
        if wire.len() > BYTES_MAX {
            return Err("it is longer than 1232 bytes");
        }
        // A compact count of at most 19, all that fit, is one byte. Version 1 has its version in this place.
        let count = match wire.first() {
            None => return Err("it is empty"),
            Some(0) => return Err("it has no signatures"),
            Some(count) if *count >= 0x80 => return Err("it is neither a legacy nor a version 0 transaction"),
            Some(count) => *count,
        };
        let message_bytes = wire.get(message_at(count)..).ok_or("it ends within its signatures")?;
        // Compact lengths are read strictly, so that what is read has these bytes as its only encoding.
        let message: VersionedMessage = read_message(message_bytes).map_err(|_| "its message is not well-formed")?;
        if !matches!(message, VersionedMessage::Legacy(_) | VersionedMessage::V0(_)) {
            return Err("it is neither a legacy nor a version 0 transaction");
        }
        // Holds the header to the accounts, and every index to its bounds; a program is not the fee payer.
        message
            .sanitize()
            .map_err(|_| "its header or an index is out of bounds")?;
        if message.header().num_required_signatures != count {
            return Err("it has more or fewer signatures than it requires");
        }
        if has_duplicates(message.static_account_keys()) {
            return Err("it names an account twice");
        }
        Ok(Self {
            wire: with_slot_0(wire.to_vec(), [0; SIGNATURE_BYTES]),
            message,
        })
    }

    /// The transaction's own accounts, the fee payer first, then the other required signers. No two are the same.
    pub(super) fn static_keys(&self) -> &[Pubkey] {
        self.message.static_account_keys()
    }

    /// The account that an instruction's index stands for; none for one out of a lookup table.
    pub(super) fn account(&self, index: u8) -> Option<&Pubkey> {
        self.static_keys().get(usize::from(index))
    }

    /// Whether the account at an instruction's index must sign.
    pub(super) fn is_signer(&self, index: u8) -> bool {
        usize::from(index) < self.required_signatures()
    }

    /// Who pays the fee: the first account.
    pub(super) fn fee_payer(&self) -> &Pubkey {
        // A sanitized message has a first account.
        self.account(0).unwrap_or(&SYSTEM)
    }

    /// How many signatures it needs, the fee payer's included; at least 1, at most 19.
    pub(super) fn required_signatures(&self) -> usize {
        usize::from(self.message.header().num_required_signatures)
    }

    /// The block whose hash it names; it can land in the 150 blocks after that one.
    pub(super) fn blockhash(&self) -> &Hash {
        self.message.recent_blockhash()
    }

    /// What it does, in order.
    pub(super) fn instructions(&self) -> impl ExactSizeIterator<Item = Instruction<'_>> {
        self.message.instructions().iter().map(|it| Instruction {
            // A sanitized message has its programs among its static accounts.
            program: self.account(it.program_id_index).unwrap_or(&SYSTEM),
            accounts: &it.accounts,
            data: &it.data,
        })
    }

    /// The tables from which it takes further accounts.
    pub(super) fn lookups(&self) -> &[MessageAddressTableLookup] {
        self.message.address_table_lookups().unwrap_or_default()
    }

    /// What its signers sign.
    pub(super) fn message_bytes(&self) -> &[u8] {
        let count = self.message.header().num_required_signatures;
        self.wire.get(message_at(count)..).unwrap_or_default()
    }

    /// SHA-256 of [`Transaction::message_bytes`]: what it is, whoever has signed it.
    pub(super) fn message_hash(&self) -> [u8; 32] {
        Sha256::digest(self.message_bytes()).into()
    }

    /// Every required signature but the fee payer's must be its account's, as strictly as validators see it.
    ///
    /// # Errors
    /// The first account whose signature is missing or wrong.
    pub(super) fn check_signatures(&self) -> Result<(), Pubkey> {
        let message = self.message_bytes();
        let (signatures, _) = self.wire.get(1..).unwrap_or_default().as_chunks::<SIGNATURE_BYTES>();
        let required = self.static_keys().iter().take(self.required_signatures());
        for (account, signature) in required.zip(signatures).skip(1) {
            if Bug::SignatureLeftToChain.is_on() {
                continue;
            }
            VerifyingKey::from_bytes(account.as_array())
                .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
                .map_err(|_| *account)?;
        }
        Ok(())
    }

    /// The whole transaction, with zeros in slot 0. A bearer instrument.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The whole transaction, with the fee payer's signature in slot 0: ready to be sent.
    pub(super) fn sealed(&self, signature: [u8; SIGNATURE_BYTES]) -> Vec<u8> {
        with_slot_0(self.wire.clone(), signature)
    }
}

fn read_message(bytes: &[u8]) -> wincode::ReadResult<VersionedMessage> {
    if Bug::TrailingBytesTaken.is_on() {
        return wincode::deserialize(bytes);
    }
    wincode::deserialize_exact(bytes)
}

fn with_slot_0(mut wire: Vec<u8>, signature: [u8; SIGNATURE_BYTES]) -> Vec<u8> {
    // There is a slot 0: no transaction without signatures is read.
    if let Some(slot) = wire.get_mut(SLOT_0) {
        slot.copy_from_slice(&signature);
    }
    wire
}

/// Where the message begins behind so many signatures.
fn message_at(signatures: u8) -> usize {
    usize::from(signatures)
        .saturating_mul(SIGNATURE_BYTES)
        .saturating_add(1)
}

/// The chain refuses transactions that name an account twice; they would also make one account's index ambiguous.
fn has_duplicates(keys: &[Pubkey]) -> bool {
    let mut rest = keys;
    while let Some((key, others)) = rest.split_first() {
        if others.contains(key) {
            return true;
        }
        rest = others;
    }
    false
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.wire == other.wire
    }
}

impl Eq for Transaction {}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("fee_payer", self.fee_payer())
            .field("message_hash", &hex::encode(self.message_hash()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
