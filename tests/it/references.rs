//! An order's name on the chain: derived by the merchant, signed by the payer, told by the transfer.

use std::path::PathBuf;
use std::process::Command;

use crate::support::books::books_agree;
use crate::support::payer::{NETWORK, Payment};
use crate::support::solana::books;
use crate::support::solana::payer::NETWORK as SOLANA;
use crate::support::solana::world::Setup;
use crate::support::world::World;

/// A file with a merchant's salt, gone with this value.
struct SaltFile(PathBuf);

impl SaltFile {
    fn of(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("facilitator-salt-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for SaltFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Runs `facilitator reference`: its status, and what it says.
fn reference(what: &str, order: [&str; 3], salt: &SaltFile, seen: &[&str]) -> (Option<i32>, String) {
    let [network, pay_to, name] = order;
    let output = Command::new(env!("CARGO_BIN_EXE_facilitator"))
        .args([
            "reference",
            what,
            "--network",
            network,
            "--pay-to",
            pay_to,
            "--order",
            name,
        ])
        .arg("--salt-file")
        .arg(&salt.0)
        .args(seen)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap().trim().to_owned())
}

#[tokio::test]
async fn a_transfer_says_which_order_it_pays_to_whoever_knows_the_salt() {
    let world = World::usual().await;
    let salt = SaltFile::of("evm", &"5a".repeat(16));
    let pay_to = Payment::by(1).pay_to.to_string();
    let order = [NETWORK, pay_to.as_str(), "order 7"];
    let (status, nonce) = reference("derive", order, &salt, &[]);
    assert_eq!(status, Some(0), "{nonce}");
    let payment = Payment {
        nonce: nonce.parse().unwrap(),
        ..Payment::by(1)
    };
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    // AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce).
    let logs = world.node.receipt(&tx).await["logs"].clone();
    let seen: Vec<&str> = logs
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["topics"][2].as_str())
        .collect();
    assert!(seen.contains(&nonce.as_str()), "{seen:?}");
    let lower = pay_to.to_lowercase();
    assert_eq!(
        reference("check", [NETWORK, &lower, "order 7"], &salt, &[&nonce]).0,
        Some(0)
    );
    for other in [[NETWORK, &pay_to, "order 8"], ["eip155:1", &pay_to, "order 7"]] {
        assert_eq!(reference("check", other, &salt, &[&nonce]).0, Some(1), "{other:?}");
    }
    let guessed = SaltFile::of("guessed", &"00".repeat(16));
    assert_eq!(reference("check", order, &guessed, &[&nonce]).0, Some(1));
    books_agree(&world).await;
}

#[tokio::test]
async fn a_memo_says_it_on_solana() {
    let world = Setup::default().start().await;
    let salt = SaltFile::of("solana", &"5a".repeat(32));
    let pay_to = world.payment(0).await.pay_to.to_string();
    let order = [SOLANA, pay_to.as_str(), "order 7"];
    let (status, memo) = reference("derive", order, &salt, &[]);
    assert_eq!(status, Some(0), "{memo}");
    let payment = world.payment(0).await.remembering(&memo);
    world.facilitator.settle(&payment.body()).await.settled();
    let found = world
        .facilitator
        .get(&format!("/payments/lookup?memo={memo}"))
        .await
        .json();
    assert_eq!(found["settlements"][0]["memo"], memo);
    assert_eq!(reference("check", order, &salt, &[&memo]).0, Some(0));
    books::books_agree(&world).await;
}

#[test]
fn what_cannot_be_told_is_neither_yes_nor_no() {
    let salt = SaltFile::of("short", &"5a".repeat(15));
    let pay_to = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let (status, said) = reference("check", [NETWORK, pay_to, "7"], &salt, &["0x00"]);
    assert!(
        status == Some(2) && said.contains("expected 32 to 128"),
        "{status:?} {said}"
    );
    let salt = SaltFile::of("good", &"5a".repeat(16));
    for (order, place) in [
        ([NETWORK, "merchant", "7"], "--pay-to"),
        ([NETWORK, pay_to, " 7"], "--order"),
        (["cosmos:hub", pay_to, "7"], "--network"),
    ] {
        let (status, said) = reference("derive", order, &salt, &[]);
        assert!(status == Some(2) && said.contains(place), "{status:?} {said}");
    }
}
