//! Who has signed a text, as accounts and wallets on a real chain tell.

use alloy::primitives::hex;

use super::*;
use crate::chain::evm::ownership::has_signed;

/// Gas that a wallet may use to judge.
const GAS: u64 = 200_000;

/// The signature of the text as wallets make it.
fn signed(key: &PrivateKeySigner, text: &str) -> String {
    hex::encode_prefixed(key.sign_message_sync(text.as_bytes()).unwrap().as_bytes())
}

#[tokio::test]
async fn an_account_has_signed_what_its_key_signed_or_its_code_says_it_has() {
    let anvil = Anvil::start().await;
    let text = std::fs::read_to_string(env("FACILITATOR_CHAIN_ADDRESSES")).unwrap();
    let at: Value = serde_json::from_str(&text).unwrap();
    let named = |name: &str| at[name].as_str().unwrap().to_owned();
    let (key, stranger): (PrivateKeySigner, PrivateKeySigner) =
        (anvil.keys[1].parse().unwrap(), anvil.keys[2].parse().unwrap());
    let owner: PrivateKeySigner = named("ownerWalletOwnerKey").parse().unwrap();
    let account = key.address().to_string();
    // As that wallet takes them: with a byte of its own in front.
    let (wallet, wrapped) = (named("ownerWallet"), |text: &str| {
        format!("0x01{}", &signed(&owner, text)[2..])
    });
    let good = signed(&key, "mine");
    for (what, account, text, signature, expected) in [
        ("its own", &account, "mine", &good, true),
        ("of another text", &account, "mine ", &good, false),
        ("another's", &account, "mine", &signed(&stranger, "mine"), false),
        ("without 0x", &account, "mine", &good[2..].to_owned(), false),
        ("cut", &account, "mine", &good[..130].to_owned(), false),
        ("none", &account, "mine", &String::new(), false),
        ("too long", &account, "mine", &format!("0x{}", "00".repeat(8193)), false),
        ("of no account", &"0x12".to_owned(), "mine", &good, false),
        ("a wallet's by its owner", &wallet, "mine", &wrapped("mine"), true),
        ("a wallet's of another text", &wallet, "mine", &wrapped("yours"), false),
        ("a wallet's by another", &wallet, "mine", &good, false),
        (
            "a wallet that is not deployed",
            &named("counterfactualWallet"),
            "mine",
            &wrapped("mine"),
            false,
        ),
        ("a wallet that refuses", &named("refusingWallet"), "mine", &good, false),
        ("a wallet that never ends", &named("gasHogWallet"), "mine", &good, false),
        ("a contract that is no wallet", &named("usdc"), "mine", &good, false),
    ] {
        let found = has_signed(&anvil.rpc, account, text, signature, GAS).await.unwrap();
        assert_eq!(found, expected, "{what}");
    }
}
