//! What a key of ours may sign on one cluster, whoever keeps it: a fee payer's, the message of a payment that passes the
//! rules for payments again, in which it stands nowhere but as fee payer; a refund's wallet's, the transfer that pays one
//! back. What [`Policy`] does not know is refused.
//!
//! It reads the very bytes that are signed, so that a fault anywhere before it costs no more than a payment that waits.
//! Only what it has allowed can be handed to a key: [`Allowed`] is made nowhere else.

use std::borrow::Cow;

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::body::{Body, Kind};
use super::listing::Listing;
use super::terms::Asked;
use super::transaction::Transaction;
use super::{instructions, smart_wallet};
use crate::chain::custody::{Compact, Permit, Wanted};
use crate::domain::authorization::Authorization;
use crate::domain::rail::TxId;

/// What may be signed on one cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<'l>(&'l Listing);

/// A message that the policy has allowed to be signed.
pub(super) struct Allowed(Vec<u8>);

/// A transaction that the policy has allowed its fee payer to sign.
pub(super) struct AllowedTx {
    transaction: Transaction,
    allowed: Allowed,
}

/// A transaction with all its signatures.
pub(super) struct Sealed {
    /// Its name: the fee payer's signature.
    pub(super) id: TxId,
    /// The exact bytes.
    pub(super) raw: Vec<u8>,
}

/// Why something must not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key's policy does not allow {0}")]
pub(super) struct Forbidden(String);

impl<'l> Policy<'l> {
    /// The policy of a cluster that accepts this.
    pub(super) const fn of(listing: &'l Listing) -> Self {
        Self(listing)
    }

    /// Allows `fee_payer` to complete the payment's transaction.
    ///
    /// # Errors
    /// The first rule broken.
    pub(super) fn payment(
        self,
        fee_payer: &Pubkey,
        authorization: &Authorization,
        body: Body,
    ) -> Result<AllowedTx, Forbidden> {
        let Self(listing) = self;
        let transaction = body.transaction;
        if transaction.fee_payer() != fee_payer {
            return Err(forbidden("a transaction that names another fee payer than the lane's"));
        }
        if transaction.required_signatures() > listing.bounds.signatures_max {
            return Err(forbidden("so many signatures"));
        }
        let unsigned = |signer| forbidden(&format!("a transaction that {signer} has not signed"));
        transaction.check_signatures().map_err(unsigned)?;
        let asked = Asked {
            fee_payer: *fee_payer,
            asset: body.asset.mint,
            pay_to: body.owner,
            amount: authorization.amount,
            memo: authorization.memo.as_deref().map(Cow::Borrowed),
        };
        let judged = match body.kind {
            Kind::Static => instructions::judge(listing, &asked, &transaction).map(drop),
            Kind::SmartWallet => smart_wallet::decode(listing, &transaction, asked.memo.as_deref())
                .map(drop)
                .map_err(Into::into),
        };
        judged.map_err(|broken| forbidden(&format!("this: {broken}")))?;
        Ok(AllowedTx {
            allowed: Allowed(transaction.message_bytes().to_vec()),
            transaction,
        })
    }

    /// Allows a refund's wallet to sign the transaction that pays the refund and does nothing else.
    ///
    /// # Errors
    /// The first rule broken.
    pub(super) fn refund(
        self,
        wallet: &Pubkey,
        asked: &Asked<'_>,
        transaction: &Transaction,
    ) -> Result<Allowed, Forbidden> {
        let Self(listing) = self;
        let is_ours = listing.is_ours(&asked.fee_payer) && *transaction.fee_payer() == asked.fee_payer;
        if !is_ours || transaction.required_signatures() != 2 {
            return Err(forbidden("a refund whose fee somebody else pays"));
        }
        let transfer = instructions::judge(listing, asked, transaction);
        let transfer = transfer.map_err(|broken| forbidden(&format!("this: {broken}")))?;
        if transfer.authority != *wallet {
            return Err(forbidden("a refund of somebody else's money"));
        }
        Ok(Allowed(transaction.message_bytes().to_vec()))
    }

    /// The message that shows at start whose key a key is. Its first byte makes it one of a version that no transaction
    /// has.
    pub(super) fn trial(self) -> Allowed {
        let text = format!("x402 facilitator: whose key signs on {}?", self.0.network);
        Allowed([&[0xff][..], text.as_bytes()].concat())
    }
}

fn forbidden(what: &str) -> Forbidden {
    Forbidden(what.to_owned())
}

impl Allowed {
    /// The message.
    pub(super) fn message(&self) -> &[u8] {
        &self.0
    }
}

impl Permit for Allowed {
    fn wanted(&self) -> Wanted<'_> {
        Wanted::Ed25519 { message: &self.0 }
    }
}

impl AllowedTx {
    /// What is to be signed.
    pub(super) const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The transaction as the payer built it.
    pub(super) const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The transaction with its fee payer's signature.
    pub(super) fn sealed(&self, signature: Compact) -> Sealed {
        Sealed {
            id: TxId(Signature::from(signature).to_string()),
            raw: self.transaction.sealed(signature),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
