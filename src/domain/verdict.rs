//! Every rule common to all rails, in one order: the order in which x402's reference facilitator applies them
//! (exact scheme on EVM, "Verify"), except that whatever needs no chain comes first, so that a hopeless payment
//! costs no call.

use crate::domain::authorization::{Authorization, Window};
use crate::domain::rail::{AuthorizationState, Facts, Misnamed, Simulation};
use crate::domain::rejection::Rejection;
use crate::domain::request::PaymentRequest;
use crate::domain::time::Timestamp;
use crate::seeded::Bug;

/// A payment that passed every rule at an instant.
#[derive(Debug, Clone)]
pub struct Verified {
    request: PaymentRequest,
    authorization: Authorization,
    facts: Facts,
}

/// A refusal is an answer, not an error.
pub type Verdict = Result<Verified, Rejection>;

/// The payload must be made for the scheme and the network that are asked for. First of all rules, since everything
/// after them is read by that rail.
///
/// # Errors
/// [`Rejection::SchemeMismatch`] or [`Rejection::NetworkMismatch`].
pub fn check_rail(request: &PaymentRequest) -> Result<(), Rejection> {
    if request.offer.scheme != request.rail.scheme {
        return Err(Rejection::SchemeMismatch {
            expected: request.rail.scheme.to_string(),
            found: request.offer.scheme.to_string(),
        });
    }
    if request.offer.network.as_ref() != Some(&request.rail.network) {
        return Err(Rejection::NetworkMismatch {
            expected: request.rail.network.to_string(),
        });
    }
    Ok(())
}

/// The rules that need the authorization and a clock, but no chain. `canonical` is the rail's way to write an
/// account, of which it accepts several.
///
/// # Errors
/// The first rule broken.
pub fn precheck(
    request: &PaymentRequest,
    authorization: &Authorization,
    now: Timestamp,
    lifetime_min_seconds: u64,
    canonical: impl Fn(&str) -> Option<String>,
) -> Result<(), Rejection> {
    let terms = &request.terms;
    if canonical(&terms.pay_to).as_deref() != Some(&*authorization.pay_to) && !Bug::AnyRecipient.is_on() {
        return Err(Rejection::RecipientMismatch {
            expected: terms.pay_to.clone(),
            found: authorization.pay_to.clone(),
        });
    }
    check_window(authorization, now, lifetime_min_seconds)?;
    let is_more = authorization.amount > terms.amount && Bug::MoreIsEnough.is_on();
    if authorization.amount != terms.amount && !is_more {
        return Err(Rejection::AmountMismatch {
            expected: terms.amount,
            found: authorization.amount,
        });
    }
    check_offer(request, canonical)
}

/// The window must be open now and stay open long enough to settle, as far as a clock can tell.
///
/// # Errors
/// [`Rejection::Expired`] or [`Rejection::NotYetValid`].
pub fn check_window(authorization: &Authorization, now: Timestamp, lifetime_min_seconds: u64) -> Result<(), Rejection> {
    let Window::Time { after, before } = authorization.window else {
        return Ok(());
    };
    let is_late = if Bug::WindowEndsLate.is_on() {
        before.plus(1) < now.plus(lifetime_min_seconds)
    } else if Bug::LifetimeIgnored.is_on() {
        before <= now
    } else {
        before < now.plus(lifetime_min_seconds)
    };
    if is_late {
        return Err(Rejection::Expired {
            before,
            now,
            lifetime_min_seconds,
        });
    }
    if after > now {
        return Err(Rejection::NotYetValid { after, now });
    }
    Ok(())
}

/// What the client accepted and what the merchant asks must agree on all that binds money.
fn check_offer(request: &PaymentRequest, canonical: impl Fn(&str) -> Option<String>) -> Result<(), Rejection> {
    let (offer, terms) = (&request.offer.terms, &request.terms);
    let is_same =
        |one: &str, other: &str| one == other || canonical(one).is_some_and(|it| canonical(other) == Some(it));
    let differs = if !is_same(&offer.asset, &terms.asset) {
        "asset"
    } else if !is_same(&offer.pay_to, &terms.pay_to) {
        "payTo"
    } else if offer.amount != terms.amount {
        "amount"
    } else {
        return Ok(());
    };
    Err(Rejection::Unacceptable(format!(
        "paymentPayload.accepted.{differs} differs from paymentRequirements.{differs}"
    )))
}

impl Verified {
    /// The only constructor: the rules that need the chain, applied to what it said.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn judge(request: PaymentRequest, mut authorization: Authorization, facts: Facts) -> Verdict {
        judge_facts(&authorization, &facts)?;
        if let Some(payer) = &facts.payer {
            authorization.payer.clone_from(payer);
        }
        Ok(Self {
            request,
            authorization,
            facts,
        })
    }

    /// What was asked.
    #[must_use]
    pub const fn request(&self) -> &PaymentRequest {
        &self.request
    }

    /// What was signed.
    #[must_use]
    pub const fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    /// What the chain said.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The rules that need the chain.
///
/// # Errors
/// The first rule broken.
pub fn judge_facts(authorization: &Authorization, facts: &Facts) -> Result<(), Rejection> {
    if let Some(flaw) = &facts.flaw {
        return Err(flaw.clone().into());
    }
    if let Some(factory) = &facts.factory_refused {
        return Err(Rejection::FactoryNotAllowed {
            factory: factory.clone(),
        });
    }
    if !facts.signature_valid {
        return Err(Rejection::InvalidSignature {
            payer: authorization.payer.clone(),
        });
    }
    if !facts.asset_deployed {
        return Err(Rejection::AssetNotDeployed {
            asset: authorization.asset.clone(),
        });
    }
    if !facts.asset_listed {
        return Err(unlisted(authorization, facts));
    }
    match &facts.transfer {
        // A token that moves money on an authorization it calls used, or does not know, is not to be relied on.
        Simulation::Succeeded { received }
            if *received == authorization.amount
                && facts.authorization == AuthorizationState::Unused
                && facts.asset_misnamed.is_none() =>
        {
            Ok(())
        }
        Simulation::Succeeded { .. } | Simulation::Failed { .. } | Simulation::DeploymentFailed => {
            Err(diagnose(authorization, facts))
        }
    }
}

/// Why an asset that is not configured is refused: whatever it says, no payment in it passes.
fn unlisted(authorization: &Authorization, facts: &Facts) -> Rejection {
    match facts.authorization {
        AuthorizationState::Unsupported => Rejection::AuthorizationUnsupported {
            asset: authorization.asset.clone(),
        },
        AuthorizationState::Used | AuthorizationState::Unused => Rejection::Unacceptable(format!(
            "paymentRequirements.asset {} is not one this facilitator is configured for",
            authorization.asset
        )),
    }
}

/// Why the transfer fails: the most telling reason first, the chain's own words last.
fn diagnose(authorization: &Authorization, facts: &Facts) -> Rejection {
    match facts.authorization {
        AuthorizationState::Unsupported => {
            return Rejection::AuthorizationUnsupported {
                asset: authorization.asset.clone(),
            };
        }
        AuthorizationState::Used => {
            return Rejection::NonceUsed {
                nonce: authorization.nonce.clone(),
            };
        }
        AuthorizationState::Unused => {}
    }
    match facts.asset_misnamed.clone() {
        Some(Misnamed::Name { expected, found }) => return Rejection::TokenNameMismatch { expected, found },
        Some(Misnamed::Version { expected, found }) => return Rejection::TokenVersionMismatch { expected, found },
        None => {}
    }
    if facts.balance < authorization.amount {
        return Rejection::InsufficientBalance {
            balance: facts.balance,
            amount: authorization.amount,
        };
    }
    match &facts.transfer {
        Simulation::DeploymentFailed => Rejection::DeploymentFailed,
        Simulation::Failed { reason } => Rejection::SimulationFailed { reason: reason.clone() },
        Simulation::Succeeded { received } => Rejection::SimulationFailed {
            reason: format!("the recipient would receive {received} of {}", authorization.amount),
        },
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
