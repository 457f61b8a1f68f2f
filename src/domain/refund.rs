//! Refunds: money that goes back to who paid, recorded against the payment. Pure and total.
//!
//! A refund is paid by one transfer in a finalized block, and a transfer pays one refund. The merchant makes it himself, and
//! it is found on the chain; or we make it from a wallet of his, as a payment like any other.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::reconciliation::{Direction, State, Transfer, Verdict};
use crate::domain::request::{PaymentReference, Proof, ReferenceKind};
use crate::domain::settlement::{Landed, Settlement};
use crate::domain::time::Timestamp;

/// Bytes of a claimed transaction's name. The longest is a Solana signature in base58.
const TX_MAX: usize = 128;

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Recorded; the merchant pays it himself.
    Awaiting,
    /// Recorded; we pay it.
    Executing,
    /// A transfer in a finalized block pays it.
    Paid,
    /// The merchant took it back before anything was sent.
    Cancelled,
    /// We could not pay it, which is proven for every attempt.
    Failed,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Awaiting,
        Self::Executing,
        Self::Paid,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The stage's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Executing => "executing",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The stage of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// What a merchant asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of which payment.
    pub payment: PaymentId,
    /// How much goes back, in atomic units: more than nothing.
    pub amount: Amount,
    /// Why.
    pub reason: Option<Note>,
    /// The merchant's own name for it.
    pub merchant_reference: Option<Label>,
    /// We pay it, or the merchant does.
    pub by: PaidBy,
}

/// Words for people: 1 to 500 bytes without control characters, not only blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// What a note looks like, for complaints.
    pub const SHAPE: &'static str = "1 to 500 bytes that say something, without control characters";

    /// The text as a note, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_note = (1..=500).contains(&text.len()) && !text.trim().is_empty() && !text.chars().any(char::is_control);
        is_note.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who pays a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaidBy {
    /// The merchant himself; with this transaction, where he says so.
    Merchant(Option<TxId>),
    /// We do, from a wallet.
    Us,
}

impl Asked {
    /// SHA-256 of all of it: two that are alike ask for the same refund, under one idempotency key.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let by = match &self.by {
            PaidBy::Merchant(claimed) => claimed.as_ref().map(|tx| tx.0.clone()).unwrap_or_default(),
            PaidBy::Us => "us".to_owned(),
        };
        let parts = [
            self.payment.to_string(),
            self.amount.to_string(),
            self.reason
                .as_ref()
                .map_or_else(String::new, |it| it.as_str().to_owned()),
            self.merchant_reference
                .as_ref()
                .map_or_else(String::new, |it| it.as_str().to_owned()),
            by,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            // Length first, so that no two lists of parts run together into the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The transaction of this name as records hold it: hexadecimal digits in lower case. None when no transaction is named so.
#[must_use]
pub fn claimed(text: &str) -> Option<TxId> {
    let is_name = (1..=TX_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric());
    let is_hex = text.starts_with("0x");
    is_name.then(|| {
        TxId(if is_hex {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        })
    })
}

/// Why a refund is not recorded or not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The payment may still be undone, or has failed.
    NotFinal,
    /// The payment is itself one that pays a refund.
    IsRefund,
    /// All refunds of the payment would be more than the payment.
    Exceeds,
    /// No wallet refunds payments to this recipient.
    NoWallet,
    /// It is under way, paid or over.
    NotCancellable,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::NotFinal,
        Self::IsRefund,
        Self::Exceeds,
        Self::NoWallet,
        Self::NotCancellable,
    ];

    /// The reason's public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFinal => "payment_not_final",
            Self::IsRefund => "payment_is_refund",
            Self::Exceeds => "refund_exceeds_payment",
            Self::NoWallet => "no_refund_wallet",
            Self::NotCancellable => "refund_not_cancellable",
        }
    }

    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotFinal => "only a payment that is final can be refunded",
            Self::IsRefund => "the payment is itself a refund",
            Self::Exceeds => "all refunds of a payment together may not exceed it",
            Self::NoWallet => "no refund wallet is configured for the payment's recipient",
            Self::NotCancellable => "the refund is under way, paid or over",
        }
    }
}

/// Where the payment that is to be refunded landed.
///
/// # Errors
/// [`Refusal::NotFinal`] or [`Refusal::IsRefund`].
pub fn refundable<'a>(settlement: &'a Settlement, references: &[PaymentReference]) -> Result<&'a Landed, Refusal> {
    match settlement {
        _ if Purpose::of(references).is_some() => Err(Refusal::IsRefund),
        Settlement::Final { landed } => Ok(landed),
        Settlement::Reserved
        | Settlement::InFlight { .. }
        | Settlement::Confirmed { .. }
        | Settlement::Failed { .. }
        | Settlement::Withdrawn => Err(Refusal::NotFinal),
    }
}

/// What a payment of ours is for that pays a refund. It stands in the payment's own idempotency key, in words with spaces
/// between them, which no caller's key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// The refund.
    pub refund: RefundId,
    /// The payment that is refunded.
    pub payment: PaymentId,
    /// Which attempt, from 1.
    pub attempt: u64,
}

impl Purpose {
    /// The name that says so.
    #[must_use]
    pub fn reference(self) -> PaymentReference {
        let Self {
            refund,
            payment,
            attempt,
        } = self;
        PaymentReference {
            kind: ReferenceKind::IdempotencyKey,
            value: format!("{refund} of {payment} attempt {attempt}"),
        }
    }

    /// What a payment with these names is for, where it pays a refund.
    #[must_use]
    pub fn of(references: &[PaymentReference]) -> Option<Self> {
        references.iter().find_map(|it| {
            let words: Vec<&str> = it.value.split(' ').collect();
            let [refund, "of", payment, "attempt", attempt] = words.as_slice() else {
                return None;
            };
            let is_name = it.kind == ReferenceKind::IdempotencyKey;
            is_name.then_some(Self {
                refund: refund.parse().ok()?,
                payment: payment.parse().ok()?,
                attempt: attempt.parse().ok()?,
            })
        })
    }
}

/// The wallets that refunds are paid from, of each network.
#[derive(Debug, Clone, Default)]
pub struct Wallets(HashMap<(NetworkId, String), String>);

impl Wallets {
    /// These: network, recipient whose payments it refunds, wallet.
    #[must_use]
    pub fn new(wallets: impl IntoIterator<Item = (NetworkId, String, String)>) -> Self {
        let keyed = wallets
            .into_iter()
            .map(|(network, pay_to, wallet)| ((network, pay_to), wallet));
        Self(keyed.collect())
    }

    /// The wallet that refunds payments to this recipient.
    #[must_use]
    pub fn of(&self, network: &NetworkId, authorization: &Authorization) -> Option<&str> {
        let name = (network.clone(), authorization.pay_to.clone());
        self.0.get(&name).map(String::as_str)
    }
}

/// A refund to pay from a wallet.
#[derive(Debug, Clone, Copy)]
pub struct Repayment<'a> {
    /// Which.
    pub refund: RefundId,
    /// Which attempt, from 1.
    pub attempt: u64,
    /// Who pays; canonical text of the rail, as all accounts here.
    pub wallet: &'a str,
    /// Who gets it.
    pub recipient: &'a str,
    /// The asset.
    pub asset: &'a str,
    /// How much.
    pub amount: Amount,
    /// A signer of ours that could send it now.
    pub signer: &'a str,
    /// The present time.
    pub now: Timestamp,
}

impl Repayment<'_> {
    /// What makes the attempt unique for its wallet, where the payer chooses that (EIP-3009): SHA-256 over, one after the
    /// other, the 11 ASCII bytes `x402 refund`, the 16 bytes of the refund's UUID and the attempt as 8 bytes, big-endian.
    #[must_use]
    pub fn nonce(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update("x402 refund")
            .chain_update(self.refund.as_uuid().as_bytes())
            .chain_update(self.attempt.to_be_bytes())
            .finalize()
            .into()
    }
}

/// What a payer presents.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The scheme's payload.
    pub proof: Proof,
    /// The scheme's own data in the terms: a JSON object.
    pub extra: Box<str>,
    /// The end of its window: a block's time on EVM, a block's height on Solana.
    pub good_until: u64,
}

/// A refund that the merchant pays himself, as far as it decides which transfer pays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Which.
    pub id: RefundId,
    /// Who is to get it.
    pub recipient: String,
    /// How much.
    pub amount: Amount,
    /// The transaction that the merchant says pays it.
    pub claimed: Option<TxId>,
    /// The height of the payment's block: what pays it comes later.
    pub after: u64,
}

impl Awaited {
    /// Whether the transfer, out of the payment's own account and of its asset, pays it.
    ///
    /// # Errors
    /// How it differs.
    pub fn paid_by(&self, transfer: &Transfer) -> Result<(), Verdict> {
        let differs = |state, what: &str, expected: &str, found: &str| {
            let reason = format!("the claimed transaction {} {what} {found}, not {expected}", transfer.tx);
            Err(Verdict { state, reason })
        };
        if transfer.direction != Direction::Debit || transfer.block.height <= self.after {
            return differs(State::StatusMismatch, "is", "a later transfer back", "none");
        }
        if transfer.counterparty.as_ref() != Some(&self.recipient) {
            let found = transfer.counterparty.as_deref().unwrap_or("several");
            return differs(State::PartyMismatch, "pays", &self.recipient, found);
        }
        if transfer.amount != self.amount {
            let (expected, found) = (self.amount.to_string(), transfer.amount.to_string());
            return differs(State::AmountMismatch, "moves", &expected, &found);
        }
        match &self.claimed {
            Some(claimed) if *claimed != transfer.tx => differs(State::StatusMismatch, "is", &claimed.0, "another"),
            Some(_) | None => Ok(()),
        }
    }
}

/// Which transfer pays which refund.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matching {
    /// Refunds that are paid, each by one of the transfers given.
    pub paid: Vec<(RefundId, Transfer)>,
    /// Claims that none of the transfers of their transaction bears out.
    pub belied: Vec<(RefundId, Verdict)>,
}

/// Matches refunds with transfers that may pay them. `pairs` has each refund with each transfer that none is matched with
/// yet and that its claim names, or that could pay it where it claims none. Claims come first, then the oldest refund, then
/// the chain's order; a transfer is used once.
#[must_use]
pub fn matched(pairs: &[(Awaited, Transfer)]) -> Matching {
    let mut ordered: Vec<&(Awaited, Transfer)> = pairs.iter().collect();
    ordered.sort_by_key(|(refund, transfer)| {
        (
            refund.claimed.is_none(),
            refund.id,
            transfer.block.height,
            transfer.index,
            transfer.tx.clone(),
        )
    });
    let (mut refunds, mut transfers) = (HashSet::new(), HashSet::new());
    let mut matching = Matching::default();
    for (refund, transfer) in &ordered {
        let place = (&transfer.tx, transfer.index);
        let is_free = !refunds.contains(&refund.id) && !transfers.contains(&place);
        if is_free && refund.paid_by(transfer).is_ok() {
            refunds.insert(refund.id);
            transfers.insert(place);
            matching.paid.push((refund.id, transfer.clone()));
        }
    }
    for (refund, transfer) in ordered.into_iter().filter(|(refund, _)| refund.claimed.is_some()) {
        if refunds.insert(refund.id) {
            let used = || Verdict {
                state: State::Duplicate,
                reason: format!("the claimed transaction {} pays another refund", transfer.tx),
            };
            matching
                .belied
                .push((refund.id, refund.paid_by(transfer).err().unwrap_or_else(used)));
        }
    }
    matching
}

#[cfg(test)]
#[path = "refund_tests.rs"]
mod tests;
