//! What `/settle` has to say: one truthful answer, before any dialect puts it into words.

use crate::domain::id::PaymentId;
use crate::domain::rail::TxId;
use crate::domain::rejection::Rejection;
use crate::domain::settlement::{CannotLand, Setback};

/// The answer to one request to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The money moved as the terms ask, and this caller is the one to be told so.
    Settled {
        /// Our name for the payment.
        payment: PaymentId,
        /// Who paid.
        payer: String,
        /// The transaction that moved the money: ours or anybody's.
        tx: TxId,
    },
    /// Refused; nothing of ours was broadcast.
    Refused {
        /// Who would have paid, when that could be read.
        payer: Option<String>,
        /// The rule broken.
        rejection: Rejection,
    },
    /// Our transaction was mined without moving the money. The authorization may still be alive.
    SetBack {
        /// Our name for the payment.
        payment: PaymentId,
        /// Who would have paid.
        payer: String,
        /// What happened, with the transaction.
        setback: Setback,
    },
    /// Proven: it can never land.
    Failed {
        /// Our name for the payment.
        payment: PaymentId,
        /// Who would have paid.
        payer: String,
        /// The proof.
        proof: CannotLand,
    },
    /// This payment belongs to an earlier request.
    Duplicate {
        /// Who paid or would pay.
        payer: String,
        /// Its transaction, as far as one is known.
        tx: Option<TxId>,
        /// The money has moved.
        is_settled: bool,
    },
    /// Not known yet: the same request later finds the same settlement.
    Pending {
        /// Our name for the payment.
        payment: PaymentId,
        /// Who pays.
        payer: String,
        /// The transaction that may land, if one is signed.
        tx: Option<TxId>,
    },
}
