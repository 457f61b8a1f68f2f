//! Whoever reads the logs or the metrics can pay with nothing that they find there.

use crate::support::contracts::{Trick, addresses};
use crate::support::payer::{Envelope, Payment, with};
use crate::support::proxy::{Fault, SECRET, anything, send};
use crate::support::world::{Setup, World};

/// Everything that can happen to a payment, told at the most talkative level. Gives the signatures that were used.
async fn everything_happens(world: &World) -> Vec<Vec<u8>> {
    let mut signatures = Vec::new();
    let mut used = |payment: &Payment| signatures.push(payment.signature());
    for envelope in Envelope::BOTH {
        let payment = Payment::by(1);
        used(&payment);
        world.facilitator.verify(&payment.body_in(envelope)).await.valid();
        world.facilitator.settle(&payment.body_in(envelope)).await.settled();
        world.facilitator.settle(&payment.body_in(envelope)).await.unsettled();
        world
            .facilitator
            .caller()
            .settle_keyed(&payment.body_in(envelope), "order-7")
            .await;
    }
    let forged = Payment {
        key: addresses().accounts[2].key,
        ..Payment::by(1)
    };
    used(&forged);
    world.facilitator.settle(&forged.body()).await.unsettled();
    let garbled = with(forged.body(), "/paymentPayload/payload/authorization/nonce", "0x");
    world.facilitator.settle(&garbled).await.outcome(400);

    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    let reverted = Payment::in_trick_token(1);
    used(&reverted);
    world.facilitator.settle(&reverted.body()).await.unsettled();

    let late = Payment::by(2);
    used(&late);
    for fault in [Fault::Status(500), Fault::LoseRequest, Fault::Garbage("{")] {
        let down = world.proxy.fault(anything, fault);
        world.facilitator.settle(&late.body()).await.outcome(503);
        down.release();
    }
    let lying = world.proxy.fault(send, Fault::Error(-32_000, "insufficient funds"));
    let settling = world.settling(&late);
    lying.met(1).await;
    lying.release();
    settling.await.unwrap();
    world.gate.shut();
    world.facilitator.settle(&Payment::by(3).body()).await.outcome(503);
    world.facilitator.get("/health/ready").await;
    world.gate.open();
    signatures
}

#[tokio::test]
async fn neither_logs_nor_metrics_tell_a_secret() {
    let setup = Setup {
        wait_seconds: 1,
        log_filter: "trace,sqlx=debug,hyper=debug,h2=debug",
        ..Setup::default()
    };
    let mut world = World::start(setup).await;
    let signatures = everything_happens(&world).await;
    let metrics = world.facilitator.metrics().await;
    world.facilitator.terminate();
    assert!(world.facilitator.ended().await.success());
    let said = format!("{}{metrics}", world.facilitator.logs()).to_lowercase();
    assert!(said.contains("payment.confirmed"), "there is something to search");

    let mut secrets = vec![
        ("the node's key", SECRET.to_owned()),
        ("the database's password", world.db.password()),
        ("a signer's key", hex::encode(addresses().accounts[9].key)),
    ];
    for signature in signatures {
        secrets.push(("a signature", hex::encode(&signature[..64])));
        secrets.push(("a signature's half", hex::encode(&signature[32..64])));
    }
    for call in world.proxy.calls(send) {
        let raw = call.params[0].as_str().unwrap().trim_start_matches("0x").to_lowercase();
        secrets.push(("signed bytes", raw[raw.len() - 64..].to_owned()));
        secrets.push(("signed bytes", raw));
    }
    for (what, secret) in secrets {
        let place = said.lines().find(|line| line.contains(&secret.to_lowercase()));
        assert!(place.is_none(), "{what} is told: {}", place.unwrap_or_default());
    }
}
