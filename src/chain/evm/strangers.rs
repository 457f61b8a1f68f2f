//! Remembers what tokens that are not configured turned out to be, so that payments in them cost the chain
//! little.
//!
//! Nothing passes by what is remembered here: such payments are refused either way, this only says how.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::Address;

use crate::domain::amount::Amount;
use crate::domain::rail::{AuthorizationState, Facts, Simulation};

/// How many are remembered at most. Who fills it up costs the node a call for each payment in another.
const STRANGERS_MAX: usize = 4_096;

/// How long one is remembered: a token may be deployed or upgraded meanwhile.
const FRESH: Duration = Duration::from_mins(15);

/// Tokens that are not configured.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<Address, Stranger>>);

#[derive(Debug, Clone, Copy)]
struct Stranger {
    seen: Instant,
    is_deployed: bool,
    is_supported: bool,
}

impl Strangers {
    /// What the chain would say of a payment in this token that its payer has signed, as far as a refusal needs
    /// it. None when the token was not seen lately.
    pub(super) fn facts(&self, token: &Address) -> Option<Facts> {
        let known = *self.lock().get(token)?;
        if known.seen.elapsed() > FRESH {
            return None;
        }
        Some(Facts {
            height: 0,
            flaw: None,
            payer: None,
            signature_valid: true,
            factory_refused: None,
            asset_deployed: known.is_deployed,
            asset_listed: false,
            asset_misnamed: None,
            authorization: if known.is_supported {
                AuthorizationState::Unused
            } else {
                AuthorizationState::Unsupported
            },
            balance: Amount::ZERO,
            transfer: Simulation::Failed {
                reason: "not tried".into(),
            },
            holders: Vec::new(),
            must_go_alone: true,
        })
    }

    /// Remembers what the chain said of a payment in this token.
    pub(super) fn remember(&self, token: Address, facts: &Facts) {
        let mut strangers = self.lock();
        if strangers.len() >= STRANGERS_MAX && !strangers.contains_key(&token) {
            strangers.retain(|_, stranger| stranger.seen.elapsed() <= FRESH);
            if strangers.len() >= STRANGERS_MAX {
                return;
            }
        }
        let stranger = Stranger {
            seen: Instant::now(),
            is_deployed: facts.asset_deployed,
            is_supported: facts.authorization != AuthorizationState::Unsupported,
        };
        strangers.insert(token, stranger);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Stranger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_remembered_and_their_number_is_bounded() {
        let strangers = Strangers::default();
        let token = Address::repeat_byte(1);
        assert!(strangers.facts(&token).is_none());
        let seen = |is_deployed, authorization| {
            let facts = Strangers::default();
            facts.0.lock().unwrap().insert(
                token,
                Stranger {
                    seen: Instant::now(),
                    is_deployed,
                    is_supported: authorization,
                },
            );
            facts.facts(&token).unwrap()
        };
        strangers.remember(token, &seen(true, false));
        let facts = strangers.facts(&token).unwrap();
        assert!(facts.asset_deployed && !facts.asset_listed);
        assert_eq!(facts.authorization, AuthorizationState::Unsupported);

        for n in 0..2 * STRANGERS_MAX {
            let address = Address::left_padding_from(&n.to_be_bytes());
            strangers.remember(address, &facts);
        }
        assert_eq!(strangers.lock().len(), STRANGERS_MAX);
        assert!(strangers.facts(&token).is_some(), "nobody was pushed out");
    }
}
