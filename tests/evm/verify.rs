//! Each way in which a payment can be wrong, as the chain itself has it: through the lens, and by batches of reads.

use alloy::primitives::B256;
use alloy::sol;
use alloy::sol_types::SolCall;
use serde_json::json;

use super::rail::{NOW, Verdict, connect, facts, rail, settings, verify};
use crate::support::anvil::Anvil;
use crate::support::pay::{Payment, hex_of};
use crate::support::proxy::{Fate, Proxy};
use facilitator::domain::rail::Rail;

sol! {
    function deploy(address owner, bytes32 salt) external returns (address wallet);
    function blacklist(address account) external;
    function unBlacklist(address account) external;
    function pause() external;
    function unpause() external;
    function setMode(uint8 mode) external;
}

/// A good payment in USDC by the funded account of this index.
pub(crate) fn good(anvil: &Anvil, account: usize, label: &str) -> Payment {
    Payment::new(
        &anvil.address("usdc"),
        &anvil.address("payTo"),
        &anvil.key(account),
        label,
    )
}

/// The call that deploys the counterfactual wallet.
pub(crate) fn deployment(anvil: &Anvil) -> Vec<u8> {
    deployCall {
        owner: anvil.address("ownerWalletOwner").parse().unwrap(),
        salt: B256::ZERO,
    }
    .abi_encode()
}

/// A good payment by the wallet that is not deployed yet.
pub(crate) fn counterfactual(anvil: &Anvil, factory: &str, label: &str) -> Payment {
    good(anvil, 1, label)
        .by_wallet(
            &anvil.address("counterfactualWallet"),
            &anvil.address("ownerWalletOwnerKey"),
        )
        .wrapped(factory, &deployment(anvil))
}

/// A payment that needs no change of the chain, and its verdict.
type Case = (&'static str, Payment, &'static str);

/// By an account, each wrong in one way.
fn by_accounts(anvil: &Anvil) -> Vec<Case> {
    let changed = |label: &str, change: &dyn Fn(&mut Payment)| {
        let mut payment = good(anvil, 1, label);
        change(&mut payment);
        payment.signed(&anvil.key(1))
    };
    let signature = |label: &str, change: &dyn Fn(&mut String)| {
        let mut payment = good(anvil, 1, label);
        change(&mut payment.signature);
        payment
    };
    let rich = |payment: &mut Payment| (payment.value, payment.amount) = (1 << 60, 1 << 60);
    let stranger = good(anvil, 1, "17").signed(&anvil.key(2));
    vec![
        ("11 a good payment", good(anvil, 1, "11"), "Good"),
        ("15 no domain", changed("15", &|p| p.name.clear()), "MissingDomain"),
        ("16 a flipped bit", signature("16", &|s| flip(s)), "InvalidSignature"),
        ("17 another key", stranger, "InvalidSignature"),
        (
            "18 64 bytes",
            signature("18", &|s| s.truncate(2 + 128)),
            "InvalidSignature",
        ),
        (
            "19 another recipient",
            changed("19", &|p| p.to = anvil.account(5)),
            "RecipientMismatch",
        ),
        ("20 5 s left", changed("20", &|p| p.valid_before = NOW.0 + 5), "Expired"),
        ("20 6 s left", changed("20b", &|p| p.valid_before = NOW.0 + 6), "Good"),
        (
            "21 too early",
            changed("21", &|p| p.valid_after = NOW.0 + 60),
            "NotYetValid",
        ),
        ("22 too little", changed("22", &|p| p.value -= 1), "AmountMismatch"),
        ("22 too much", changed("22b", &|p| p.value += 1), "AmountMismatch"),
        ("27 too poor", changed("27", &|p| rich(p)), "InsufficientBalance"),
        (
            "28 another version",
            changed("28", &|p| p.version = "1".into()),
            "TokenVersionMismatch",
        ),
    ]
}

/// In tokens that are none.
fn in_other_tokens(anvil: &Anvil) -> Vec<Case> {
    let in_token = |label: &str, token: String| {
        let mut payment = good(anvil, 1, label);
        payment.asset = token;
        payment.signed(&anvil.key(1))
    };
    let (nothing, plain) = (anvil.account(6), anvil.address("plainToken"));
    let mut unsigned = in_token("24c", nothing.clone());
    flip(&mut unsigned.signature);
    vec![
        ("24 no contract", in_token("24", nothing.clone()), "AssetNotDeployed"),
        ("24 again", in_token("24b", nothing), "AssetNotDeployed"),
        ("24 and a bad signature", unsigned, "InvalidSignature"),
        (
            "25 no EIP-3009",
            in_token("25", plain.clone()),
            "AuthorizationUnsupported",
        ),
        ("25 again", in_token("25b", plain), "AuthorizationUnsupported"),
    ]
}

/// By wallets that exist.
fn by_wallets(anvil: &Anvil) -> Vec<Case> {
    let owner_key = anvil.address("ownerWalletOwnerKey");
    let wallet = |label: &str, name: &str| good(anvil, 1, label).by_wallet(&anvil.address(name), &owner_key);
    let mut misnamed = wallet("28w", "permissiveWallet");
    misnamed.name = "USD Coin".into();
    let stolen = good(anvil, 1, "30d").by_wallet(&anvil.address("ownerWallet"), &anvil.key(2));
    vec![
        ("28 another name", misnamed, "TokenNameMismatch"),
        ("30 a wallet", wallet("30", "ownerWallet"), "Good"),
        ("30 one that takes anything", wallet("30b", "permissiveWallet"), "Good"),
        (
            "30 one that refuses",
            wallet("30c", "refusingWallet"),
            "InvalidSignature",
        ),
        ("30 another's", stolen, "InvalidSignature"),
        ("one that burns gas", wallet("hog", "gasHogWallet"), "InvalidSignature"),
        (
            "one that returns a flood",
            wallet("bomb", "bombWallet"),
            "InvalidSignature",
        ),
    ]
}

/// With a factory that is to deploy the payer's wallet.
fn by_factories(anvil: &Anvil) -> Vec<Case> {
    let owner_key = anvil.address("ownerWalletOwnerKey");
    let (factory, unlisted) = (anvil.address("walletFactory"), anvil.account(3));
    let reverting = anvil.address("revertingFactory");
    let existing = |label: &str| good(anvil, 1, label).by_wallet(&anvil.address("ownerWallet"), &owner_key);
    let stolen = good(anvil, 1, "33b")
        .by_wallet(&anvil.address("counterfactualWallet"), &anvil.key(2))
        .wrapped(&factory, &deployment(anvil));
    let nonsense = good(anvil, 1, "33d")
        .by_wallet(&anvil.address("counterfactualWallet"), &owner_key)
        .wrapped(&factory, &[1, 2, 3, 4]);
    vec![
        (
            "32 not listed",
            counterfactual(anvil, &unlisted, "32"),
            "FactoryNotAllowed",
        ),
        ("32 not needed", existing("32b").wrapped(&unlisted, &[1]), "Good"),
        ("33 listed", counterfactual(anvil, &factory, "33"), "Good"),
        ("33 another's wallet", stolen, "SimulationFailed"),
        (
            "33 not needed",
            existing("33c").wrapped(&factory, &deployment(anvil)),
            "Good",
        ),
        ("33 deploys nothing", nonsense, "DeploymentFailed"),
        (
            "34 reverts",
            counterfactual(anvil, &reverting, "34"),
            "DeploymentFailed",
        ),
    ]
}

fn cases(anvil: &Anvil) -> Vec<Case> {
    let groups = [by_accounts, in_other_tokens, by_wallets, by_factories];
    groups.iter().flat_map(|group| group(anvil)).collect()
}

/// Another bit of r.
fn flip(signature: &mut String) {
    let other = if &signature[10..11] == "0" { "1" } else { "0" };
    signature.replace_range(10..11, other);
}

async fn check(anvil: &Anvil, rail: &dyn Rail) {
    for (what, payment, expected) in cases(anvil) {
        let verdict = verify(rail, &payment).await;
        assert_eq!(verdict.name(), expected, "{what}: {verdict:?}");
    }
    let poor = facts(rail, &good(anvil, 1, "facts")).await;
    assert_eq!(poor.balance.units(), 1_000_000_000_000);
    assert!(poor.height > 0 && !poor.must_go_alone);
    let wallet =
        good(anvil, 1, "alone").by_wallet(&anvil.address("ownerWallet"), &anvil.address("ownerWalletOwnerKey"));
    assert!(facts(rail, &wallet).await.must_go_alone);
    check_changes(anvil, rail).await;
}

/// What depends on the token's own state.
async fn check_changes(anvil: &Anvil, rail: &dyn Rail) {
    let (admin, usdc) = (anvil.account(0), anvil.address("usdc"));
    let payer = anvil.account(2).parse().unwrap();
    let expect = async |payment: &Payment, words: &str| {
        let Verdict::Bad(rejection) = verify(rail, payment).await else {
            panic!("{words}")
        };
        assert!(rejection.to_string().contains(words), "{rejection}");
    };
    let payment = good(anvil, 2, "29");
    anvil
        .send(&admin, &usdc, &hex_of(&blacklistCall { account: payer }.abi_encode()))
        .await;
    expect(
        &payment,
        "the transfer would fail: Blacklistable: account is blacklisted",
    )
    .await;
    anvil
        .send(&admin, &usdc, &hex_of(&unBlacklistCall { account: payer }.abi_encode()))
        .await;
    anvil.send(&admin, &usdc, &hex_of(&pauseCall {}.abi_encode())).await;
    expect(&payment, "the transfer would fail: Pausable: paused").await;
    anvil.send(&admin, &usdc, &hex_of(&unpauseCall {}.abi_encode())).await;
    assert_eq!(verify(rail, &payment).await, Verdict::Good);

    // A delegated account's own signature counts for nothing once its code refuses (EIP-7702).
    let code = |to: &str| json!([anvil.account(3), format!("0xef0100{}", &anvil.address(to)[2..])]);
    let payment = good(anvil, 3, "31");
    anvil.ask("anvil_setCode", code("refusingWallet")).await;
    assert_eq!(verify(rail, &payment).await.name(), "InvalidSignature");
    anvil.ask("anvil_setCode", code("permissiveWallet")).await;
    assert_eq!(verify(rail, &payment).await, Verdict::Good);
    assert!(facts(rail, &payment).await.must_go_alone);
    anvil.ask("anvil_setCode", json!([anvil.account(3), "0x"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_through_the_lens() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    proxy.methods();
    check(&anvil, &*rail).await;
    let methods = proxy.methods();
    assert!(methods.iter().all(|method| method == "eth_call"), "{methods:?}");

    // Only the lens sees what arrives.
    let trick = anvil.address("trickToken");
    let fee = Payment::new(&trick, &anvil.address("payTo"), &anvil.key(1), "fee");
    assert_eq!(verify(&*rail, &fee).await, Verdict::Good);
    anvil
        .send(
            &anvil.account(0),
            &trick,
            &hex_of(&setModeCall { mode: 6 }.abi_encode()),
        )
        .await;
    let Verdict::Bad(rejection) = verify(&*rail, &fee).await else {
        panic!()
    };
    assert_eq!(
        rejection.to_string(),
        "the transfer would fail: the recipient would receive 9900 of 10000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_where_the_node_does_not_run_the_lens() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    proxy.judge(|call| {
        let runs_code = call["method"] == "eth_call" && call["params"][0]["to"].is_null();
        if runs_code {
            Fate::Fail(-32_000, "contract creation is not supported")
        } else {
            Fate::Pass
        }
    });
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    proxy.requests();
    check(&anvil, &*rail).await;
    proxy.requests();
    verify(&*rail, &good(&anvil, 1, "one round trip")).await;
    assert_eq!(proxy.requests(), 1, "one round trip");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_configured_is_asked_about_once() {
    let (mut anvil, _) = rail().await;
    let mut only_usdc = settings(&anvil, &anvil.url);
    only_usdc["asset"].as_array_mut().unwrap().pop();
    let rail = connect(only_usdc).await.unwrap();
    let trick = |label: &str| {
        Payment::new(
            &anvil.address("trickToken"),
            &anvil.address("payTo"),
            &anvil.key(1),
            label,
        )
    };
    let payments = [trick("a"), trick("b")];
    let first = verify(&*rail, &payments[0]).await;
    let Verdict::Bad(rejection) = &first else {
        panic!("{first:?}")
    };
    assert!(
        rejection
            .to_string()
            .ends_with("is not one this facilitator is configured for")
    );
    let usdc = good(&anvil, 1, "usdc");
    anvil.stop();
    assert_eq!(verify(&*rail, &payments[1]).await, first);
    assert_eq!(verify(&*rail, &usdc).await.name(), "Fault");
}
