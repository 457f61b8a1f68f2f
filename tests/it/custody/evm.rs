//! Whole payments on a real chain, signed by each keeper.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::keeper::{CANARY, Keeper, Key, Manner, Service};
use super::{kept, prepared};
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::send;
use crate::support::world::{Setup, World};

#[tokio::test]
async fn each_keeper_signs_whole_payments() {
    for service in Service::EVM {
        let setup = Setup {
            epoch: Some(1),
            log_filter: "trace",
            ..Setup::default()
        };
        let (world, keeper) = kept(service, setup).await;
        let payment = Payment::by(1);
        world.facilitator.verify(&payment.body()).await.valid();
        assert_eq!(
            keeper.asked(),
            1,
            "only at start: a payment that is verified is not signed"
        );
        world.facilitator.settle(&payment.body()).await.settled();
        // With s in either half: it is lowered where it has to be.
        keeper.behave(Manner::SignsHigh);
        let others: Vec<Payment> = (2..=6).map(Payment::by).collect();
        let settling = others.iter().map(|payment| world.settling(payment));
        for answer in join_all(settling).await {
            answer.unwrap().settled();
        }
        assert_eq!(world.received().await, 60_000, "{service:?}");
        keeper.was_asked_well();
        books_agree(&world).await;
        let told = world.facilitator.logs() + &world.facilitator.metrics().await;
        assert!(!told.contains(CANARY), "{service:?} is told a secret of");
        assert!(
            told.contains("facilitator_custody_duration_seconds_count"),
            "{service:?}"
        );
    }
}

/// Next to a key that is here, neither waits for the other.
#[tokio::test]
async fn a_key_that_is_here_goes_on_while_the_keeper_of_another_hangs() {
    let setup = Setup {
        signers: 2,
        ..Setup::default()
    };
    let (world, keeper) = kept(Service::Remote, setup).await;
    keeper.behave(Manner::Hangs);
    for payer in 1..=6 {
        world.facilitator.settle(&Payment::by(payer).body()).await.settled();
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn what_is_stuck_is_replaced_by_the_keepers_signature_once_it_gives_one() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    let (world, keeper) = kept(Service::Socket, setup).await;
    let payment = Payment::by(1);
    let first = world.facilitator.settle(&payment.body()).await.pending();
    keeper.behave(Manner::Hangs);
    let mine_dear = async || {
        let fee = format!("{:#x}", 50_000_000_000_u64);
        world.node.call("anvil_setNextBlockBaseFeePerGas", json!([fee])).await;
        world.node.mine(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    // At start, for the payment, and for what is to replace it.
    eventually("the keeper is asked for a replacement", async || {
        mine_dear().await;
        (keeper.asked() >= 3).then_some(())
    })
    .await;
    // Meanwhile the chain is looked at.
    world.is_looked_at().await;
    keeper.behave(Manner::Signs);
    eventually("it is replaced and mined", async || {
        mine_dear().await;
        world.is_paid(&payment).await.then_some(())
    })
    .await;
    assert_eq!(world.db.count("chain_transactions").await, 2);
    let landed: String = world.db.one("select landed_tx from settlements").await;
    assert_ne!(landed, first);
    assert_eq!(world.received().await, 10_000);
    keeper.was_asked_well();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_signer_is_replaced_without_a_payment_lost() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    let (mut world, old) = prepared(Service::Remote, setup).await;
    world.facilitator.start().await;
    let before = Payment::by(1);
    let tx = world.facilitator.settle(&before.body()).await.pending();
    world.facilitator.kill();

    let new = Keeper::start(Service::Turnkey, Key::of(&addresses().accounts[8])).await;
    let network = &mut world.facilitator.config.evm[0];
    let retired: &'static str = format!("retired_signers = [{}]", old.source()).leak();
    (network.sources, network.key) = (vec![new.source()], retired);
    network.signers = vec![addresses().accounts[8].clone()];
    world.facilitator.start_with(&["lane ready", "lane ready"]).await;
    let said = world.facilitator.get("/supported").await.json()["signers"].to_string();
    assert!(said.contains(&addresses().accounts[8].address.to_string()), "{said}");
    assert!(!said.contains(&addresses().accounts[9].address.to_string()), "{said}");

    let (asked, after) = (old.asked(), Payment::by(2));
    let second = world.facilitator.settle(&after.body()).await.pending();
    assert_ne!(second, tx);
    let is_sent = async || (world.node.waiting().await == 2).then_some(());
    eventually("both are with the node", is_sent).await;
    world.node.mine(1).await;
    world.reaches(&before, "confirmed").await;
    world.reaches(&after, "confirmed").await;
    assert_eq!(old.asked(), asked, "the retired key signs nothing new");
    assert_eq!(world.node.sent_by(addresses().accounts[8].address).await, 1);
    assert!(world.proxy.calls(send).len() >= 2);
    books_agree(&world).await;
}

/// A keystore as the tools of the trade write it, with as little work as may be.
fn keystore(world: &World, password: &str) -> String {
    use aes::cipher::{KeyIvInit, StreamCipher};
    use alloy::primitives::keccak256;

    let mut key = addresses().accounts[9].key.0;
    let mut derived = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password.as_bytes(), &[1; 32], 2, &mut derived);
    let mut cipher = ctr::Ctr128BE::<aes::Aes128>::new(derived[..16].into(), &[2; 16].into());
    cipher.apply_keystream(&mut key);
    let hex = |bytes: &[u8]| alloy::hex::encode(bytes);
    let file = json!({"version": 3, "id": "a", "address": "0", "crypto": {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": hex(&[2; 16])}, "ciphertext": hex(&key), "kdf": "pbkdf2",
        "kdfparams": {"c": 2, "dklen": 32, "prf": "hmac-sha256", "salt": hex(&[1; 32])},
        "mac": hex(keccak256([&derived[16..], &key[..]].concat()).as_slice()),
    }});
    let path = std::env::temp_dir().join(format!(
        "keystore-{}-{}",
        std::process::id(),
        world.facilitator.config.port
    ));
    std::fs::write(&path, file.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_keystore_is_opened_at_start_and_signs_like_a_key() {
    let mut world = World::prepare(Setup::default()).await;
    let path = keystore(&world, "correct horse");
    let address = addresses().accounts[9].address;
    let source = |address: &str, password: &str| {
        vec![format!(
            "{{ source = \"keystore\", address = \"{address}\", path = \"{path}\", password = \"{password}\" }}"
        )]
    };
    for (address, password, complaint) in [
        (
            address.to_string(),
            CANARY,
            "signers[0]: password: it does not open the keystore",
        ),
        (
            addresses().accounts[8].address.to_string(),
            "correct horse",
            "the keystore holds the key of",
        ),
    ] {
        world.facilitator.config.evm[0].sources = source(&address, password);
        for subcommand in ["serve", "doctor"] {
            let (status, said) = world.facilitator.run(subcommand, &[]).await;
            assert!(!status.success() && said.contains(complaint), "{said}");
            assert!(!said.contains(CANARY) && !said.contains("correct horse"), "{said}");
        }
    }
    world.facilitator.config.evm[0].sources = source(&address.to_string(), "correct horse");
    world.facilitator.start().await;
    std::fs::remove_file(&path).unwrap();
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    books_agree(&world).await;
}
