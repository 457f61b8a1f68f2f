//! What each event moves in the ledger: one row is one balanced movement from one account to another.

use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::refund::Purpose;
use crate::domain::request::PaymentReference;
use crate::domain::settlement::Event;
use crate::seeded::Bug;

/// Which way a movement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Seen on the chain, may still be undone.
    Pending,
    /// Can no longer be undone; resolves a pending movement.
    Posted,
    /// Was undone; resolves a pending movement.
    Voided,
}

impl Stage {
    /// The stage's stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Posted => "posted",
            Self::Voided => "voided",
        }
    }
}

/// One movement of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Which way it stands. Posted and voided movements resolve the payment's open pending one.
    pub stage: Stage,
    /// The account that is charged, as [`sides`] has it.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// The asset's address.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
}

/// The account that a payment charges and the one that receives: `payer:<address>` and `merchant:<address>`, and the other
/// way round where it pays a refund.
#[must_use]
pub fn sides(authorization: &Authorization, references: &[PaymentReference]) -> [String; 2] {
    let [from, to] = match Purpose::of(references) {
        None => ["payer", "merchant"],
        Some(_) => ["merchant", "payer"],
    };
    [
        format!("{from}:{}", authorization.payer),
        format!("{to}:{}", authorization.pay_to),
    ]
}

/// The movement that an event of a payment makes, if it makes one.
#[must_use]
pub fn posting(authorization: &Authorization, references: &[PaymentReference], event: &Event) -> Option<Posting> {
    let stage = match event {
        Event::Confirmed(_) | Event::LateSettled(_) => Stage::Pending,
        Event::Finalized(_) => Stage::Posted,
        Event::Reversed if Bug::ReversalNotVoided.is_on() => return None,
        Event::Reversed => Stage::Voided,
        Event::Signed(_) | Event::SetBack(_) | Event::Failed(_) | Event::Withdrawn | Event::Reopened => return None,
    };
    let [debit, credit] = sides(authorization, references);
    Some(Posting {
        stage,
        debit,
        credit,
        asset: authorization.asset.clone(),
        amount: authorization.amount,
    })
}
