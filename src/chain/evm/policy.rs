//! What a key of ours may sign on one network, whoever keeps it: calls that carry payments in the tokens configured, within
//! the caps on gas and price; the empty transaction that uses up a nonce; a refund. What [`Policy`] does not know is refused.
//!
//! It reads the very bytes that are signed, not what they were made of, so that a fault anywhere before it costs no more
//! than a payment that waits. Only what it has allowed can be handed to a key: [`Allowed`] is made nowhere else.

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, Signature, TxKind, keccak256};
use alloy::sol_types::SolCall;

use super::body::Body;
use super::eip3009::{self, MULTICALL3, Multicall3, TransferBytes, TransferParts};
use super::lane::TX_GAS_MAX;
use super::listing::Listing;
use super::refund::GOOD_FOR;
use crate::chain::custody::{Permit, Wanted};
use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::time::Timestamp;

/// A call of a batch may itself be a batch: the deployment of a payer's wallet and its transfer.
const DEPTH_MAX: u8 = 2;

/// What may be signed on one network.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    network: NetworkId,
    chain_id: u64,
    /// Each token with the separator of its EIP-712 domain.
    tokens: Vec<(Address, B256)>,
    factories: Vec<Address>,
    /// The highest price of a unit of gas, tip included, in wei.
    fee_max: u128,
}

/// A message that the policy has allowed to be signed.
pub(super) struct Allowed {
    message: Vec<u8>,
    digest: B256,
}

/// A transaction that the policy has allowed to be signed.
pub(super) struct AllowedTx {
    tx: TxEip1559,
    allowed: Allowed,
}

/// A signed transaction.
pub(super) struct Sealed {
    /// Its hash.
    pub(super) id: TxId,
    /// Its bytes (EIP-2718).
    pub(super) raw: Vec<u8>,
    /// All its gas at its highest price, in wei.
    pub(super) cost_max: Amount,
}

/// Why something must not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key's policy does not allow {0}")]
pub(super) struct Forbidden(&'static str);

impl Policy {
    /// The policy of a network that accepts this, at no higher price than `fee_max` wei for a unit of gas.
    pub(super) fn of(listing: &Listing, fee_max: u128) -> Self {
        let tokens = listing.assets.iter().map(|asset| (asset.address, asset.separator));
        Self {
            network: listing.network.clone(),
            chain_id: listing.chain_id,
            tokens: tokens.collect(),
            factories: listing.factories.clone(),
            fee_max,
        }
    }

    /// Allows `signer` to sign the transaction, if it is one that a lane sends.
    ///
    /// # Errors
    /// The first rule broken.
    pub(super) fn transaction(&self, signer: Address, tx: TxEip1559) -> Result<AllowedTx, Forbidden> {
        let TxKind::Call(target) = tx.to else {
            return Err(Forbidden("the creation of a contract"));
        };
        let rules = [
            (tx.chain_id == self.chain_id, "another chain"),
            (tx.value.is_zero(), "a transfer of the chain's coin"),
            (tx.access_list.is_empty(), "an access list"),
            (tx.gas_limit <= TX_GAS_MAX, "so much gas"),
            (tx.max_fee_per_gas <= self.fee_max, "a price above the cap"),
            (
                tx.max_priority_fee_per_gas <= tx.max_fee_per_gas,
                "a tip above the price",
            ),
        ];
        if let Some((_, what)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(Forbidden(what));
        }
        let uses_nonce_up = target == signer && tx.input.is_empty();
        if !uses_nonce_up {
            self.call(target, &tx.input, 0)?;
        }
        let mut message = Vec::with_capacity(tx.payload_len_for_signature());
        tx.encode_for_signing(&mut message);
        Ok(AllowedTx {
            tx,
            allowed: Allowed::new(message),
        })
    }

    /// Allows a wallet to authorize the transfer that refunds a payment.
    ///
    /// # Errors
    /// The first rule broken.
    pub(super) fn refund(&self, wallet: Address, body: &Body, now: Timestamp) -> Result<Allowed, Forbidden> {
        let token = self.tokens.iter().find(|(token, _)| *token == body.token);
        let Some((_, separator)) = token else {
            return Err(Forbidden("another token"));
        };
        let rules = [
            (body.from == wallet, "somebody else's money"),
            (!body.to.is_zero() && body.to != body.token, "a transfer to nobody"),
            (body.to != wallet, "a transfer to itself"),
            (body.value > 0, "a transfer of nothing"),
            (body.valid_before <= now.plus(GOOD_FOR).0, "so long a window"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(Forbidden(what)),
            None => Ok(Allowed::new(eip3009::signed_message(body, *separator))),
        }
    }

    /// The message that shows at start whose key a key is. No transaction and no typed data begins as it does (EIP-191,
    /// version 0x45).
    pub(super) fn trial(&self) -> Allowed {
        let text = format!("x402 facilitator: whose key signs on {}?", self.network);
        Allowed::new(format!("\x19Ethereum Signed Message:\n{}{text}", text.len()).into_bytes())
    }

    fn call(&self, target: Address, input: &Bytes, depth: u8) -> Result<(), Forbidden> {
        if self.tokens.iter().any(|(token, _)| *token == target) {
            let is_transfer = is_call::<TransferParts::transferWithAuthorizationCall>(input)
                || is_call::<TransferBytes::transferWithAuthorizationCall>(input);
            return if is_transfer {
                Ok(())
            } else {
                Err(Forbidden("a call of a token that is no transfer with authorization"))
            };
        }
        if depth > 0 && self.factories.contains(&target) {
            return Ok(());
        }
        if target != MULTICALL3 || depth >= DEPTH_MAX {
            return Err(Forbidden("a call of a contract that is not configured"));
        }
        let batch = Multicall3::aggregate3Call::abi_decode_validate(input).ok();
        let batch = batch.filter(|batch| !batch.calls.is_empty() && batch.abi_encode() == input.as_ref());
        let batch = batch.ok_or(Forbidden("a call of Multicall3 that is no batch"))?;
        let depth = depth.saturating_add(1);
        let mut calls = batch.calls.iter();
        calls.try_for_each(|call| self.call(call.target, &call.callData, depth))
    }
}

/// Whether these are the bytes of such a call, in their only encoding.
fn is_call<C: SolCall>(input: &Bytes) -> bool {
    C::abi_decode_validate(input).is_ok_and(|call| call.abi_encode() == input.as_ref())
}

impl Allowed {
    fn new(message: Vec<u8>) -> Self {
        let digest = keccak256(&message);
        Self { message, digest }
    }

    /// The message's Keccak-256, which is what is signed.
    pub(super) const fn digest(&self) -> &B256 {
        &self.digest
    }
}

impl Permit for Allowed {
    fn wanted(&self) -> Wanted<'_> {
        Wanted::Secp256k1 {
            message: &self.message,
            digest: self.digest.0,
        }
    }
}

impl AllowedTx {
    /// What is to be signed.
    pub(super) const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The gas it may use.
    pub(super) const fn gas_limit(&self) -> u64 {
        self.tx.gas_limit
    }

    /// The transaction with its signature.
    pub(super) fn sealed(self, signature: Signature) -> Sealed {
        let tx = self.tx;
        let cost_max = Amount::from_units(tx.max_fee_per_gas.saturating_mul(tx.gas_limit.into()));
        let sealed = tx.into_signed(signature);
        Sealed {
            id: TxId(sealed.hash().to_string()),
            raw: sealed.encoded_2718(),
            cost_max,
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
pub(super) mod tests;
