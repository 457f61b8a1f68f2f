//! Whoever reads the logs or the metrics can pay with nothing that they find there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::payer::Envelope;
use crate::support::proxy::{Fault, SECRET, anything, send};
use crate::support::solana::payer::Payment;
use crate::support::solana::simulation;
use crate::support::solana::transaction::wire_in;
use crate::support::solana::world::{Setup, SolanaWorld};

/// What can happen to a payment, told at the most talkative level.
async fn everything_happens(world: &SolanaWorld) {
    for envelope in Envelope::BOTH {
        let payment = world.payment(0).await;
        world.facilitator.verify(&payment.body_in(envelope)).await.valid();
        world.facilitator.settle(&payment.body_in(envelope)).await.settled();
        world.facilitator.settle(&payment.body_in(envelope)).await.unsettled();
    }
    let late = Payment {
        blockhash: [7; 32],
        ..world.payment(1).await
    };
    world.facilitator.settle(&late.body()).await.unsettled();
    let garbled = world.payment(1).await;
    let wire = [garbled.wire(), vec![0]].concat();
    world
        .facilitator
        .settle(&garbled.body_with(Envelope::V2, &wire))
        .await
        .unsettled();
    for fault in [Fault::Status(500), Fault::LoseRequest, Fault::Garbage("{")] {
        let down = world.proxy.fault(anything, fault);
        world
            .facilitator
            .settle(&world.payment(2).await.body())
            .await
            .outcome(503);
        down.release();
    }
    let broke = world.payment(3).await;
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let settling = world.settling(&broke);
    sending.met(1).await;
    world.node.set_tokens(broke.transfer.source, 0).await;
    sending.release();
    settling.await.unwrap().unsettled();
    let refusing = world.proxy.fault(send, Fault::Error(-32_005, "Node is unhealthy"));
    let settling = world.settling(&world.payment(4).await);
    refusing.met(1).await;
    refusing.release();
    settling.await.unwrap();
}

#[tokio::test]
async fn neither_logs_nor_metrics_tell_a_secret() {
    let setup = Setup {
        wait_seconds: 5,
        log_filter: "trace,sqlx=debug,hyper=debug,h2=debug,tungstenite=debug",
        ..Setup::default()
    };
    let mut world = setup.prepare().await;
    // A provider's key stands in this address, too.
    let ws_url = world.facilitator.config.solana[0].ws_url.as_mut().unwrap();
    ws_url.push_str(&format!("/{SECRET}"));
    world.facilitator.start().await;
    everything_happens(&world).await;
    let metrics = world.facilitator.metrics().await;
    world.facilitator.terminate();
    assert!(world.facilitator.ended().await.success());
    let said = format!("{}{metrics}", world.facilitator.logs());
    let is_told = said.contains("payment.confirmed") && said.contains("listening to the node");
    assert!(is_told, "there is something to search");
    let mut secrets = vec![
        ("the node's key", SECRET.to_owned()),
        ("the database's password", world.db.password()),
    ];
    for key in [&world.node.at.fee_payers[0], &world.node.at.retired_fee_payer] {
        secrets.push(("a fee payer's key", key.text.clone()));
        secrets.push(("a fee payer's key", hex::encode(key.signer.to_bytes())));
    }
    for call in world.proxy.calls(|call| send(call) || simulation(call)) {
        let text = call.params[0].as_str().unwrap().to_owned();
        let wire = wire_in(&call.params[0]);
        // The payer's signature, which is all that the fee payer's lacks.
        let payers: [u8; 64] = wire[65..129].try_into().unwrap();
        secrets.push((
            "a payer's signature",
            solana_signature::Signature::from(payers).to_string(),
        ));
        secrets.push(("a payer's signature", hex::encode(payers)));
        secrets.push(("a payer's signature", STANDARD.encode(&payers[..48])));
        secrets.push(("a transaction", text));
    }
    for (what, secret) in secrets {
        let place = said.lines().find(|line| line.contains(&secret));
        assert!(place.is_none(), "{what} is told: {}", place.unwrap_or_default());
    }
}
