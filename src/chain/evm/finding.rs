//! From what the chain showed of a payment to the facts that the domain judges.

use alloy::primitives::U256;

use super::body::{Body, Domain, Wallet};
use super::eip3009;
use super::lens::Finding;
use super::listing::{Asset, checksummed};
use crate::domain::amount::Amount;
use crate::domain::rail::{AuthorizationState, Facts, Misnamed, Simulation};

/// The longest reason that is passed on, in characters.
const REASON_CHARS_MAX: usize = 160;

/// The selector of Solidity's `Error(string)`, what `require` and `revert` with a text give.
const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];

/// The selector of Solidity's `Panic(uint256)`, what failed assertions and arithmetic give.
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// What the finding means for the payment; `is_listed` says that its token is configured.
pub(super) fn facts(body: &Body, finding: &Finding, is_listed: bool) -> Facts {
    let is_wrapped = body.wallet != Wallet::AsIs;
    let signature_valid = if finding.payer_has_code {
        // As the token judges it: an account with code is asked, even one that could have signed itself
        // (FiatToken `SignatureChecker.isValidSignatureNow`).
        finding.is_accepted
    } else {
        match &body.wallet {
            // Nobody can be asked before the deployment: the trial deploys, and the token asks then.
            Wallet::Deployable { .. } => true,
            Wallet::AsIs | Wallet::Refused { .. } => body.is_recovered,
        }
    };
    let factory_refused = match &body.wallet {
        Wallet::Refused { factory } if !finding.payer_has_code => Some(checksummed(factory)),
        Wallet::Refused { .. } | Wallet::AsIs | Wallet::Deployable { .. } => None,
    };
    Facts {
        height: finding.height,
        flaw: None,
        payer: None,
        signature_valid,
        factory_refused,
        asset_deployed: finding.token_has_code,
        asset_listed: is_listed,
        asset_misnamed: None,
        authorization: finding.authorization,
        balance: Amount::from_units(finding.balance),
        holders: Vec::new(),
        must_go_alone: finding.payer_has_code || is_wrapped,
        transfer: simulation(body, finding),
    }
}

/// The facts of a payment whose requirements misname a listed token, known without asking the chain: whatever
/// was signed under their words is nothing to the token. None when they name it rightly.
pub(super) fn misnamed(body: &Body, asset: &Asset) -> Option<Facts> {
    let Domain { name, version } = body.stated.as_ref()?;
    let misnamed = if *name == asset.domain.name {
        Misnamed::Version {
            expected: asset.domain.version.clone(),
            found: version.clone(),
        }
    } else {
        Misnamed::Name {
            expected: asset.domain.name.clone(),
            found: name.clone(),
        }
    };
    Some(Facts {
        height: 0,
        flaw: None,
        payer: None,
        signature_valid: true,
        factory_refused: None,
        asset_deployed: true,
        asset_listed: true,
        asset_misnamed: Some(misnamed),
        authorization: AuthorizationState::Unused,
        balance: Amount::ZERO,
        transfer: Simulation::Failed {
            reason: "signed under another domain".into(),
        },
        holders: Vec::new(),
        must_go_alone: true,
    })
}

fn simulation(body: &Body, finding: &Finding) -> Simulation {
    let received = Amount::from_units(finding.received);
    if !matches!(body.wallet, Wallet::Deployable { .. }) {
        return if finding.is_transferred {
            Simulation::Succeeded { received }
        } else {
            Simulation::Failed {
                reason: reason(&finding.returned),
            }
        };
    }
    // Multicall3 itself fails only out of gas, which only a factory can make it be.
    let ends = eip3009::trial_ends(&finding.returned).filter(|_| finding.is_transferred);
    match ends {
        Some([_, (true, _)]) => Simulation::Succeeded { received },
        Some([(false, _), _]) if !finding.payer_has_code => Simulation::DeploymentFailed,
        Some([_, (false, returned)]) => Simulation::Failed {
            reason: reason(returned),
        },
        // More was returned than is kept. What arrived decides.
        None if finding.is_transferred && finding.received == body.value => Simulation::Succeeded { received },
        None if finding.payer_has_code => Simulation::Failed { reason: reason(&[]) },
        None => Simulation::DeploymentFailed,
    }
}

/// What a revert says, in at most 160 printable characters.
pub(super) fn reason(returned: &[u8]) -> String {
    let said = match returned.split_at_checked(4) {
        None => String::new(),
        Some((selector, rest)) if selector == ERROR => text(rest),
        Some((selector, rest)) if selector == PANIC => {
            format!("panic {:#x}", U256::try_from_be_slice(rest).unwrap_or_default())
        }
        Some((selector, _)) => format!("custom error 0x{}", hex::encode(selector)),
    };
    if said.is_empty() {
        "reverted without a reason".to_owned()
    } else {
        said
    }
}

/// The printable part of an ABI-encoded string, of which the end may have been cut off.
fn text(encoded: &[u8]) -> String {
    let length = encoded
        .get(32..64)
        .map(U256::from_be_slice)
        .unwrap_or_default()
        .saturating_to::<usize>();
    let rest = encoded.get(64..).unwrap_or_default();
    let bytes = rest.get(..length).unwrap_or(rest);
    String::from_utf8_lossy(bytes)
        .chars()
        .take(REASON_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, Bytes};
    use alloy::sol_types::{Revert, SolError, SolValue};

    use super::eip3009::Ended;
    use super::*;

    fn body(wallet: Wallet, is_recovered: bool) -> Body {
        Body {
            token: Address::repeat_byte(1),
            from: Address::repeat_byte(2),
            to: Address::repeat_byte(3),
            value: 100,
            valid_after: 0,
            valid_before: 1,
            nonce: B256::ZERO,
            signature: Bytes::new(),
            is_recovered,
            wallet,
            stated: None,
        }
    }

    fn finding() -> Finding {
        Finding {
            height: 5,
            payer_has_code: false,
            token_has_code: true,
            is_accepted: false,
            authorization: AuthorizationState::Unused,
            is_transferred: true,
            balance: 1_000,
            received: 100,
            returned: vec![],
        }
    }

    fn deployable() -> Wallet {
        Wallet::Deployable {
            factory: Address::repeat_byte(4),
            call: Bytes::new(),
        }
    }

    fn refused() -> Wallet {
        Wallet::Refused {
            factory: Address::repeat_byte(4),
        }
    }

    #[test]
    fn who_judges_a_signature_depends_on_code() {
        for (wallet, is_recovered, payer_has_code, is_accepted, expected) in [
            (Wallet::AsIs, true, false, false, (true, false, false)),
            (Wallet::AsIs, false, false, false, (false, false, false)),
            // A delegated account's own signature counts for nothing once its code refuses.
            (Wallet::AsIs, true, true, false, (false, false, true)),
            (Wallet::AsIs, false, true, true, (true, false, true)),
            (deployable(), false, false, false, (true, false, true)),
            (deployable(), false, true, false, (false, false, true)),
            (deployable(), false, true, true, (true, false, true)),
            (refused(), false, false, false, (false, true, true)),
            (refused(), false, true, true, (true, false, true)),
        ] {
            let facts = facts(
                &body(wallet, is_recovered),
                &Finding {
                    payer_has_code,
                    is_accepted,
                    ..finding()
                },
                true,
            );
            let found = (
                facts.signature_valid,
                facts.factory_refused.is_some(),
                facts.must_go_alone,
            );
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_trial_with_deployment_tells_which_part_failed() {
        let ended = |deployed: bool, moved: bool| {
            let part = |success: bool, reason: &str| Ended {
                success,
                returnData: if success {
                    vec![]
                } else {
                    Revert::from(reason).abi_encode()
                }
                .into(),
            };
            vec![part(deployed, "no deployment"), part(moved, "no transfer")].abi_encode()
        };
        let succeeded = Simulation::Succeeded {
            received: Amount::from_units(100),
        };
        let failed = |reason: &str| Simulation::Failed { reason: reason.into() };
        for (payer_has_code, is_transferred, returned, received, expected) in [
            (false, true, ended(true, true), 100, succeeded.clone()),
            (true, true, ended(false, true), 100, succeeded.clone()),
            (false, true, ended(false, false), 0, Simulation::DeploymentFailed),
            (false, true, ended(true, false), 0, failed("no transfer")),
            (true, true, ended(false, false), 0, failed("no transfer")),
            (false, true, vec![0; 512], 100, succeeded),
            (false, true, vec![0; 512], 0, Simulation::DeploymentFailed),
            (false, false, vec![], 0, Simulation::DeploymentFailed),
            (true, false, vec![], 0, failed("reverted without a reason")),
        ] {
            let found = Finding {
                payer_has_code,
                is_transferred,
                received,
                returned,
                ..finding()
            };
            assert_eq!(simulation(&body(deployable(), false), &found), expected);
        }
    }

    #[test]
    fn reasons_are_bounded_and_printable() {
        assert_eq!(
            reason(&Revert::from("FiatToken: paused").abi_encode()),
            "FiatToken: paused"
        );
        assert_eq!(reason(&Revert::from("a\nb\u{7f}").abi_encode()), "a b ");
        let long = Revert::from("x".repeat(600)).abi_encode();
        assert_eq!(reason(&long[..512]), "x".repeat(160));
        let mut panic = PANIC.to_vec();
        panic.extend(U256::from(0x11).to_be_bytes::<32>());
        assert_eq!(reason(&panic), "panic 0x11");
        assert_eq!(reason(&[1, 2, 3, 4, 5]), "custom error 0x01020304");
        for nothing in [&[][..], &[1, 2, 3], &ERROR] {
            assert_eq!(reason(nothing), "reverted without a reason");
        }
        let mut lying = ERROR.to_vec();
        lying.extend([0xff; 70]);
        assert_eq!(reason(&lying).chars().count(), 6, "a length beyond the end");
    }
}
