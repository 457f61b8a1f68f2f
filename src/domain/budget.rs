//! What settling may cost: limits in the chain's own coin, on the clock's minutes and days, in all and for each signer, payer
//! and tenant; and what a tenant's payments may move. Pure; the store holds the windows, because only the database sees all
//! processes.

use crate::domain::amount::Amount;
use crate::domain::tenant::TenantId;

/// How long a payer's failed transactions are held against it.
const REVERTS_WITHIN: Span = Span::Hour;

/// What may be spent on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// By all settlements together.
    pub total: Limits,
    /// By each signer.
    pub signer: Limits,
    /// For each payer.
    pub payer: Limits,
    /// How many transactions may fail for one payer within an hour before it is refused until the hour is over; at
    /// least 1.
    pub payer_reverts_max: u32,
}

/// What settling costs on a rail, in the smallest unit of the chain's own coin.
#[derive(Debug, Clone)]
pub struct Purse {
    /// Digits after the point: one coin is 10^decimals of the smallest unit.
    pub decimals: u8,
    /// The most that settling an ordinary payment can cost; more than 0.
    pub settlement_max: Amount,
    /// A signer that holds less takes on no more payments.
    pub balance_min: Amount,
    /// What may be spent.
    pub budget: Budget,
}

/// What may be spent within one minute and within one day of the clock, UTC; none is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Within a minute, in the chain's smallest unit.
    pub minute: Option<Amount>,
    /// Within a day, in the chain's smallest unit.
    pub day: Option<Amount>,
}

/// What a tenant's payments of one asset on one network may cost and move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantBudget {
    /// What settling all of its payments on the network may cost, in the chain's smallest unit.
    pub gas: Limits,
    /// How much may be paid in the asset, in the asset's smallest unit.
    pub value: Limits,
}

/// Whom a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All settlements of the network.
    Total,
    /// Those that one signer sends.
    Signer,
    /// Those of one payer.
    Payer,
    /// Counts the failed transactions of one payer instead of what they cost.
    Reverts,
    /// Those of one tenant.
    Tenant,
    /// Counts what one tenant's payments move in one asset instead of what they cost.
    Value,
}

/// How long a window is. Windows begin at multiples of it since 1970, so that all processes agree on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
}

/// What is taken from one window, and the most that may be taken from it in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Whom the window is for.
    pub scope: Scope,
    /// Who that is: a signer's or payer's address, a tenant, a tenant and an asset; empty for all.
    pub subject: String,
    /// How long the window is.
    pub span: Span,
    /// How much is taken.
    pub amount: Amount,
    /// How much may be taken in all.
    pub limit: Amount,
}

/// The worst case of a settlement, and the windows it is taken from before anything can be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// In the chain's smallest unit.
    pub amount: Amount,
    /// One for each limit.
    pub draws: Vec<Draw>,
    /// What of the payment's own amount is taken from its tenant's windows: all of it, where the tenant has any.
    pub value: Option<Amount>,
}

/// A window that has too little left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct Shortage {
    /// Whom it is for.
    pub scope: Scope,
    /// How long it is.
    pub span: Span,
    /// Seconds until the next one begins; at least 1.
    pub ends_in: u64,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::Total,
        Self::Signer,
        Self::Payer,
        Self::Reverts,
        Self::Tenant,
        Self::Value,
    ];

    /// The scope's stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Signer => "signer",
            Self::Payer => "payer",
            Self::Reverts => "reverts",
            Self::Tenant => "tenant",
            Self::Value => "value",
        }
    }
}

impl Span {
    /// Every span.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long it is.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Budget {
    /// What a payment takes before it is put on record, whose settlement costs `amount` at most.
    #[must_use]
    pub fn reserve(&self, payer: &str, amount: Amount) -> Reserve {
        let mut draws = self.total.draws(Scope::Total, "", amount);
        draws.extend(self.payer.draws(Scope::Payer, payer, amount));
        // Takes nothing: only what failed before counts.
        draws.push(Draw {
            scope: Scope::Reverts,
            subject: payer.to_owned(),
            span: REVERTS_WITHIN,
            amount: Amount::ZERO,
            limit: Amount::from_units(self.payer_reverts_max.saturating_sub(1).into()),
        });
        Reserve {
            amount,
            draws,
            value: None,
        }
    }
}

impl Reserve {
    /// The same, and what it takes of its tenant's that pays this much of the asset.
    #[must_use]
    pub fn within(mut self, budget: &TenantBudget, tenant: TenantId, asset: &str, value: Amount) -> Self {
        // As the database writes it, which takes its part in these windows.
        let tenant = tenant.as_uuid().to_string();
        let moved = budget.value.draws(Scope::Value, &format!("{tenant} {asset}"), value);
        self.value = (!moved.is_empty()).then_some(value);
        let spent = budget.gas.draws(Scope::Tenant, &tenant, self.amount);
        self.draws.extend(spent.into_iter().chain(moved));
        self
    }
}

impl Limits {
    /// What transactions of a signer take before they are signed, that cost `amount` at most together.
    #[must_use]
    pub fn of_signer(&self, signer: &str, amount: Amount) -> Vec<Draw> {
        self.draws(Scope::Signer, signer, amount)
    }

    fn draws(&self, scope: Scope, subject: &str, amount: Amount) -> Vec<Draw> {
        let limits = [(Span::Minute, self.minute), (Span::Day, self.day)];
        let draw = |(span, limit): (Span, Option<Amount>)| {
            Some(Draw {
                scope,
                subject: subject.to_owned(),
                span,
                amount,
                limit: limit?,
            })
        };
        limits.into_iter().filter_map(draw).collect()
    }
}

impl Shortage {
    fn words(&self) -> String {
        let (span, ends_in) = (self.span.word(), self.ends_in);
        let whose = match self.scope {
            Scope::Total => "what may be spent on the network's settlements",
            Scope::Signer => "what every signer of the network may spend",
            Scope::Payer => "what may be spent on this payer's settlements",
            Scope::Reverts => "the number of this payer's transactions that may fail",
            Scope::Tenant => "what may be spent on this tenant's settlements",
            Scope::Value => "what this tenant's payments may move in this asset",
        };
        format!("{whose} within a {span} is used up; nothing was done, try again in {ends_in} s")
    }
}

/// How many settlements of this cost the balance pays for.
#[must_use]
pub fn settlements_left(balance: Amount, each: Amount) -> u64 {
    let left = balance.units().checked_div(each.units()).unwrap_or(u128::MAX);
    left.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limits(minute: Option<u128>, day: Option<u128>) -> Limits {
        const fn amount(units: Option<u128>) -> Option<Amount> {
            match units {
                Some(units) => Some(Amount::from_units(units)),
                None => None,
            }
        }
        Limits {
            minute: amount(minute),
            day: amount(day),
        }
    }

    #[test]
    fn a_payment_takes_its_worst_case_from_every_window_that_has_a_limit() {
        let budget = Budget {
            total: limits(Some(100), Some(1_000)),
            signer: limits(Some(50), None),
            payer: limits(None, Some(30)),
            payer_reverts_max: 3,
        };
        let taken = |draws: &[Draw]| -> Vec<(Scope, String, Span, u128, u128)> {
            let read = |it: &Draw| {
                let subject = it.subject.clone();
                (it.scope, subject, it.span, it.amount.units(), it.limit.units())
            };
            draws.iter().map(read).collect()
        };
        let reserve = budget.reserve("0xPayer", Amount::from_units(7));
        assert_eq!(reserve.amount.units(), 7);
        assert_eq!(
            taken(&reserve.draws),
            [
                (Scope::Total, String::new(), Span::Minute, 7, 100),
                (Scope::Total, String::new(), Span::Day, 7, 1_000),
                (Scope::Payer, "0xPayer".to_owned(), Span::Day, 7, 30),
                // The third failure is one too many for the next payment.
                (Scope::Reverts, "0xPayer".to_owned(), Span::Hour, 0, 2),
            ]
        );
        assert_eq!(reserve.value, None);
        let tenants = TenantBudget {
            gas: limits(Some(8), None),
            value: limits(None, Some(900)),
        };
        let (tenant, value) = (TenantId::SOLE, Amount::from_units(500));
        let subject = tenant.as_uuid().to_string();
        let whole = reserve.clone().within(&tenants, tenant, "0xUsdc", value);
        assert_eq!(whole.value, Some(value));
        assert_eq!(
            taken(&whole.draws)[reserve.draws.len()..],
            [
                (Scope::Tenant, subject.clone(), Span::Minute, 7, 8),
                (Scope::Value, format!("{subject} 0xUsdc"), Span::Day, 500, 900),
            ]
        );
        let without = reserve
            .clone()
            .within(&TenantBudget::default(), tenant, "0xUsdc", value);
        assert_eq!(without, reserve);
        assert_eq!(
            taken(&budget.signer.of_signer("0xSigner", Amount::from_units(9))),
            [(Scope::Signer, "0xSigner".to_owned(), Span::Minute, 9, 50)]
        );
    }

    #[test]
    fn a_shortage_says_whose_it_is_and_when_it_ends() {
        for scope in Scope::ALL {
            let shortage = Shortage {
                scope,
                span: Span::Day,
                ends_in: 12,
            };
            let words = shortage.to_string();
            assert!(words.ends_with("within a day is used up; nothing was done, try again in 12 s"));
        }
    }

    #[test]
    fn a_balance_lasts_for_whole_settlements() {
        for (balance, each, left) in [
            (0, 5, 0),
            (4, 5, 0),
            (5, 5, 1),
            (14, 5, 2),
            (u128::MAX, 1, u64::MAX),
            (1, 0, u64::MAX),
        ] {
            assert_eq!(
                settlements_left(Amount::from_units(balance), Amount::from_units(each)),
                left
            );
        }
    }
}
