//! A key that is not the one named, or that nobody can be asked for, keeps the facilitator from starting, and `doctor` says
//! so in plain words.

use super::keeper::{CANARY, Keeper, Key, Manner, Service};
use super::{kept, prepared};
use crate::support::contracts::addresses;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World};

/// Neither `serve` nor `doctor` goes through, and both say this.
async fn refused(case: &str, world: &World, complaint: &str) {
    for subcommand in ["serve", "doctor"] {
        let (status, said) = world.facilitator.run(subcommand, &[]).await;
        assert!(!status.success(), "{case}: {subcommand} goes through: {said}");
        assert!(said.contains(complaint), "{case}: {subcommand}: {said}");
        assert!(!said.contains(CANARY), "{case}: {said}");
    }
}

#[tokio::test]
async fn whoever_does_not_sign_with_the_key_that_is_named_stops_the_start() {
    let (mut world, keeper) = prepared(Service::Aws, Setup::default()).await;
    let address = addresses().accounts[9].address;
    for (manner, complaint) in [
        (Manner::SignsAsAnother, "AWS KMS answered a signature that is not of"),
        (Manner::SignsAnother, "AWS KMS answered a signature that is not of"),
        (Manner::Babbles, "AWS KMS answered something that is no signature"),
        (Manner::Status(400), "AWS KMS answered HTTP 400 Throttled"),
        (
            Manner::Raves,
            "AWS KMS answered something else than it is documented to",
        ),
        (Manner::Hangs, "AWS KMS gave no answer in time"),
    ] {
        keeper.behave(manner);
        refused(
            &format!("{manner:?}"),
            &world,
            &format!("signer {address}: {complaint}"),
        )
        .await;
    }
    keeper.behave(Manner::Signs);
    let another = keeper.source_of(&addresses().accounts[8].address.to_string());
    world.facilitator.config.evm[0].sources = vec![another];
    refused("another address", &world, "AWS KMS answered a signature that is not of").await;
    keeper.was_asked_well();
    drop(keeper);
    refused("nobody there", &world, "AWS KMS could not be connected to").await;
}

#[tokio::test]
async fn a_source_that_cannot_be_is_refused_by_key() {
    let (mut world, keeper) = prepared(Service::Remote, Setup::default()).await;
    let (good, address) = (keeper.source(), addresses().accounts[9].address);
    for (source, complaint) in [
        (
            good.replace("source = \"remote\"", "source = \"paper\""),
            "network[0].signers[0]",
        ),
        (good.replace("url =", "colour = \"red\", url ="), "colour"),
        (good.replace("http://", "ftp://"), "signers[0]: url:"),
        (good.replace(&address.to_string(), "0x12"), "signers[0]: address:"),
        ("{ source = \"remote\", address = \"0x\" }".into(), "url"),
        (
            format!("{{ source = \"remote\", address = \"{address}\", url = \"unix:signer.sock\" }}"),
            "signers[0]: url: expected unix: and an absolute path",
        ),
        (
            format!(
                "{{ source = \"vault\", address = \"{address}\", url = \"http://v\", key = \"k\", token = \"{CANARY}\" }}"
            ),
            "signers[0]: source: Vault has no keys of EVM chains",
        ),
        (
            format!(
                "{{ source = \"keystore\", address = \"{address}\", path = \"/nowhere\", password = \"{CANARY}\" }}"
            ),
            "signers[0]: path: the file cannot be read",
        ),
    ] {
        world.facilitator.config.evm[0].sources = vec![source];
        refused("a source", &world, complaint).await;
    }
    world.facilitator.config.evm[0].sources = vec![good.clone(), good];
    refused("twice", &world, "signers[1]: expected each key once").await;
}

/// A wallet's key may be kept elsewhere as a signer's may.
#[tokio::test]
async fn a_refund_is_signed_by_whoever_keeps_the_wallets_key() {
    let wallet = Keeper::start(Service::Turnkey, Key::of(&addresses().accounts[6])).await;
    let table: &'static str = format!(
        "[[network.refund_wallet]]\nkey = {}\npay_to = [\"{}\"]",
        wallet.source(),
        addresses().pay_to
    )
    .leak();
    let (world, payment) = crate::refunds::paid_world(table).await;
    let body = serde_json::json!({"amount": "2500", "execute": true});
    let refund = crate::refunds::recorded(&world, &payment, "k", &body).await;
    crate::refunds::reaches(&world, &refund, "paid").await;
    wallet.was_asked_well();
}

#[tokio::test]
async fn a_keeper_is_asked_once_at_start_and_for_nothing_that_is_only_verified() {
    let (world, keeper) = kept(Service::GcpMachine, Setup::default()).await;
    for payer in 1..=3 {
        world.facilitator.verify(&Payment::by(payer).body()).await.valid();
    }
    assert_eq!(keeper.asked(), 1);
    keeper.was_asked_well();
}
