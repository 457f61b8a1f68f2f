//! Every common rule by itself, and which of two broken rules is named.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::authorization::PaymentKey;
use crate::domain::flaw::Flaw;
use crate::domain::network::{NetworkId, RailId, Scheme};
use crate::domain::request::{Offer, Proof, Resource, Terms};

const NOW: Timestamp = Timestamp(1000);

fn network(name: &str) -> NetworkId {
    name.parse().unwrap()
}

fn terms() -> Terms {
    Terms {
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
        amount: Amount::from_units(100),
        timeout_seconds: 60,
        extra: None,
    }
}

fn request() -> PaymentRequest {
    PaymentRequest {
        rail: RailId {
            scheme: Scheme::exact(),
            network: network("eip155:1"),
        },
        offer: Offer {
            scheme: Scheme::exact(),
            network: Some(network("eip155:1")),
            terms: terms(),
        },
        terms: terms(),
        proof: Proof("{}".into()),
        resource: Resource::default(),
        references: Vec::new(),
        labels: crate::domain::labels::Labels::default(),
        tenant: crate::domain::tenant::TenantId::SOLE,
        envelope: "test",
    }
}

fn window(after: u64, before: u64) -> Window {
    Window::Time {
        after: Timestamp(after),
        before: Timestamp(before),
    }
}

fn authorization() -> Authorization {
    Authorization {
        payer: "0xPayer".into(),
        pay_to: "0xMERCHANT".into(),
        asset: "0xASSET".into(),
        amount: Amount::from_units(100),
        nonce: "0x01".into(),
        window: window(900, 1006),
        signer: None,
        memo: None,
        key: PaymentKey([1; 32]),
        body: vec![1],
    }
}

fn facts() -> Facts {
    Facts {
        height: 7,
        flaw: None,
        payer: None,
        signature_valid: true,
        factory_refused: None,
        asset_deployed: true,
        asset_listed: true,
        asset_misnamed: None,
        authorization: AuthorizationState::Unused,
        balance: Amount::from_units(100),
        transfer: Simulation::Succeeded {
            received: Amount::from_units(100),
        },
        holders: Vec::new(),
        must_go_alone: false,
    }
}

fn failing() -> Facts {
    Facts {
        transfer: Simulation::Failed {
            reason: "paused".into(),
        },
        ..facts()
    }
}

/// A rejection's name, without its data.
fn name(rejection: &Rejection) -> String {
    let text = format!("{rejection:?}");
    text.split([' ', '(', '{']).next().unwrap().to_owned()
}

#[test]
fn each_local_rule_is_named_in_its_order() {
    type Break = fn(&mut PaymentRequest, &mut Authorization);
    let rules: [(&str, Break); 8] = [
        ("RecipientMismatch", |_, a| a.pay_to = "0xOther".into()),
        ("Expired", |_, a| a.window = window(900, 1005)),
        ("NotYetValid", |_, a| a.window = window(1001, 1006)),
        ("AmountMismatch", |_, a| a.amount = Amount::from_units(99)),
        ("AmountMismatch", |_, a| a.amount = Amount::from_units(101)),
        ("Unacceptable", |r, _| r.offer.terms.asset = "0xOther".into()),
        ("Unacceptable", |r, _| r.offer.terms.pay_to = "0xOther".into()),
        ("Unacceptable", |r, _| r.offer.terms.amount = Amount::from_units(101)),
    ];
    let check = |request: &PaymentRequest, authorization: &Authorization| {
        precheck(request, authorization, NOW, 6, |text| {
            Some(text.to_uppercase().replace("0X", "0x"))
        })
    };
    assert_eq!(check(&request(), &authorization()), Ok(()));
    for (i, (first, break_first)) in rules.iter().enumerate() {
        for (_, break_second) in &rules[i..] {
            let (mut request, mut authorization) = (request(), authorization());
            break_second(&mut request, &mut authorization);
            break_first(&mut request, &mut authorization);
            assert_eq!(name(&check(&request, &authorization).unwrap_err()), *first);
        }
    }
}

#[test]
fn the_window_must_be_open_now_and_for_the_least_lifetime() {
    for (after, before, ok) in [
        (1000, 1006, true),
        (1001, 1006, false),
        (1000, 1005, false),
        (0, u64::MAX, true),
    ] {
        let window = window(after, before);
        assert_eq!(
            check_window(
                &Authorization {
                    window,
                    ..authorization()
                },
                NOW,
                6
            )
            .is_ok(),
            ok,
            "{window:?}"
        );
    }
}

#[test]
fn a_window_of_blocks_is_not_a_clocks_to_judge() {
    let authorization = Authorization {
        window: Window::Recent,
        ..authorization()
    };
    assert_eq!(check_window(&authorization, NOW, 6), Ok(()));
}

#[test]
fn scheme_and_network_must_agree_the_scheme_first() {
    let mut request = request();
    assert_eq!(check_rail(&request), Ok(()));
    request.offer.network = None;
    assert_eq!(name(&check_rail(&request).unwrap_err()), "NetworkMismatch");
    request.offer.scheme = Scheme::named("upto");
    assert_eq!(name(&check_rail(&request).unwrap_err()), "SchemeMismatch");
}

#[test]
fn who_pays_is_the_chains_word_where_only_the_chain_can_tell() {
    let facts = Facts {
        payer: Some("vault".into()),
        ..facts()
    };
    let verified = Verified::judge(request(), authorization(), facts).unwrap();
    assert_eq!(verified.authorization().payer, "vault");
}

#[test]
fn each_fact_is_judged_in_its_order() {
    let listed = |it: Facts| Facts {
        asset_listed: false,
        ..it
    };
    let misnamed = |misnamed: fn(String, String) -> Misnamed| Some(misnamed("USDC".into(), "USD Coin".into()));
    let by_name = misnamed(|expected, found| Misnamed::Name { expected, found });
    let by_version = misnamed(|expected, found| Misnamed::Version { expected, found });
    #[rustfmt::skip]
    let table = [
        (Facts { flaw: Some(Flaw::BlockhashTooOld), signature_valid: false, ..facts() }, "Flawed"),
        (Facts { factory_refused: Some("0xF".into()), signature_valid: false, ..facts() }, "FactoryNotAllowed"),
        (Facts { signature_valid: false, asset_deployed: false, ..facts() }, "InvalidSignature"),
        (Facts { asset_deployed: false, ..failing() }, "AssetNotDeployed"),
        (listed(facts()), "Unacceptable"),
        (listed(Facts { authorization: AuthorizationState::Unsupported, ..failing() }), "AuthorizationUnsupported"),
        (Facts { authorization: AuthorizationState::Unsupported, ..failing() }, "AuthorizationUnsupported"),
        (Facts { authorization: AuthorizationState::Used, balance: Amount::ZERO, ..failing() }, "NonceUsed"),
        (listed(Facts { authorization: AuthorizationState::Unsupported, ..facts() }), "AuthorizationUnsupported"),
        (Facts { authorization: AuthorizationState::Used, ..facts() }, "NonceUsed"),
        (Facts { authorization: AuthorizationState::Used, asset_misnamed: by_name.clone(), ..failing() }, "NonceUsed"),
        (Facts { asset_misnamed: by_name, balance: Amount::ZERO, ..failing() }, "TokenNameMismatch"),
        (Facts { asset_misnamed: by_version, ..facts() }, "TokenVersionMismatch"),
        (Facts { balance: Amount::from_units(99), ..failing() }, "InsufficientBalance"),
        (Facts { transfer: Simulation::DeploymentFailed, ..facts() }, "DeploymentFailed"),
        (failing(), "SimulationFailed"),
        (Facts { transfer: Simulation::Succeeded { received: Amount::from_units(99) }, ..facts() }, "SimulationFailed"),
    ];
    assert!(Verified::judge(request(), authorization(), facts()).is_ok());
    for (facts, expected) in table {
        assert_eq!(
            name(&judge_facts(&authorization(), &facts).unwrap_err()),
            expected,
            "{facts:?}"
        );
    }
}
