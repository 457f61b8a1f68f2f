//! What is configured is proven before anything is served.

use serde_json::{Value, json};

use super::rail::{connect, settings};
use crate::support::anvil::Anvil;

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_not_what_the_settings_say_is_not_served() {
    let anvil = Anvil::start(&[]).await;
    let good = settings(&anvil, &anvil.url);
    connect(good.clone()).await.unwrap();
    let with = |pointer: &str, value: Value| {
        let mut settings = good.clone();
        *settings.pointer_mut(pointer).unwrap() = value;
        settings
    };
    let poor = "0x00000000000000000000000000000000000000000000000000000000000000aa";
    let delegated = anvil.account(8);
    let designator = format!("0xef0100{}", &anvil.address("permissiveWallet")[2..]);
    anvil.ask("anvil_setCode", json!([delegated, designator])).await;
    for (settings, complaint) in [
        (
            with("/id", json!("eip155:8453")),
            "expected chain id 8453, the node says 84532",
        ),
        (with("/asset/0/name", json!("USD Coin")), "expected DOMAIN_SEPARATOR()"),
        (with("/asset/0/decimals", json!(18)), "expected 18 decimals, found 6"),
        (
            with("/asset/0/address", json!(anvil.account(7))),
            "expected a token, found no contract",
        ),
        (
            with("/asset/1/address", json!(anvil.address("plainToken"))),
            "DOMAIN_SEPARATOR()",
        ),
        (
            with("/signers", json!([poor])),
            "expected a balance to pay gas with, found 0",
        ),
        (
            with("/signers", json!([anvil.key(8)])),
            "expected an account without code",
        ),
        (with("/signers", json!(["0xsecret"])), "signers[0]:"),
        (
            with("/signers", json!([anvil.key(0), anvil.key(0)])),
            "signers[1]: expected each key once",
        ),
        (
            with("/rpc_url", json!("http://127.0.0.1:1/secret-key")),
            "eip155:84532: ",
        ),
    ] {
        let error = connect(settings).await.err().unwrap().to_string();
        assert!(error.contains(complaint), "{error}");
        assert!(error.starts_with("eip155:8"), "{error}");
        assert!(!error.contains("secret") && !error.contains("127.0.0.1"), "{error}");
    }
}
