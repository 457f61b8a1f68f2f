//! What is seen of payments that were really sent.

use alloy::primitives::{B256, Bytes, U64, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use super::*;
use crate::domain::settlement::{CannotLand, Setback};

#[tokio::test]
async fn a_payment_lands_deepens_and_becomes_final() {
    let anvil = Anvil::start().await;
    let mut payment = anvil.payment(1, 10_000, "one", FAR);
    let tx = anvil.sign(0, &[&payment]).await;
    payment.txs.push(tx.id.clone());
    assert_eq!(
        anvil.see(&payment).await,
        Observation::Unseen {
            head: anvil.height().await
        }
    );
    assert_eq!(deliver(&anvil.rpc, &tx.raw).await, Delivery::Accepted);
    assert_eq!(deliver(&anvil.rpc, &tx.raw).await, Delivery::Known);
    anvil.mine(1).await;

    let sighting = anvil.look(&[&payment]).await;
    let first = landed(sighting.payments[&payment.id].clone());
    assert!(!first.is_deep_enough && !first.is_final);
    assert_eq!((&first.tx, first.block.height), (&tx.id, anvil.height().await));
    assert_eq!(sighting.mined.len(), 1);
    assert!(sighting.mined[0].cost > Amount::ZERO && sighting.mined[0].cost <= tx.cost_max);
    let unborn = TxId(B256::ZERO.to_string());
    let others = observe(&anvil.rpc, &[], &[tx.id.clone(), unborn], 2).await.unwrap();
    assert_eq!(others.mined, sighting.mined);
    assert!(matches!(
        deliver(&anvil.rpc, &tx.raw).await,
        Delivery::Refused(..) | Delivery::Known
    ));

    anvil.mine(1).await;
    let second = landed(anvil.see(&payment).await);
    assert!(second.is_deep_enough && !second.is_final);
    payment.landed = Some(second.clone());
    assert_eq!(landed(anvil.see(&payment).await), second);
    anvil.mine(80).await;
    assert!(landed(anvil.see(&payment).await).is_final);
}

#[tokio::test]
async fn a_landing_that_is_reorganized_away_is_unseen() {
    let anvil = Anvil::start().await;
    let mut payment = anvil.payment(1, 10_000, "one", FAR);
    let tx = anvil.sign(0, &[&payment]).await;
    assert_eq!(deliver(&anvil.rpc, &tx.raw).await, Delivery::Accepted);
    anvil.mine(2).await;
    payment.txs.push(tx.id.clone());
    payment.landed = Some(landed(anvil.see(&payment).await));
    anvil.ask("anvil_reorg", json!([2, []])).await;
    anvil.mine(1).await;
    assert_eq!(
        anvil.see(&payment).await,
        Observation::Unseen {
            head: anvil.height().await
        }
    );
    // The same bytes bring it back, in another block.
    assert_eq!(deliver(&anvil.rpc, &tx.raw).await, Delivery::Accepted);
    anvil.mine(1).await;
    let again = landed(anvil.see(&payment).await);
    assert_eq!(again.tx, tx.id);
    assert_ne!(again.block.hash, payment.landed.unwrap().block.hash);
}

#[tokio::test]
async fn a_setback_of_ours_never_hides_a_landing_by_another() {
    let anvil = Anvil::start().await;
    let mut taken = anvil.payment(1, 10_000, "taken", FAR);
    let mut poor = anvil.payment(2, u128::MAX >> 8, "poor", FAR);
    let mut good = anvil.payment(3, 10_000, "good", FAR);
    let (foreign, _) = anvil.settle(9, &[&taken]).await;
    assert_eq!(
        anvil.see(&taken).await,
        Observation::Unseen {
            head: anvil.height().await
        }
    );
    taken.seek = true;
    assert_eq!(landed(anvil.see(&taken).await).tx, foreign);
    taken.seek = false;

    let (ours, _) = anvil.settle(0, &[&taken, &poor, &good]).await;
    for payment in [&mut taken, &mut poor, &mut good] {
        payment.txs.push(ours.clone());
    }
    let seen = anvil.look(&[&taken, &poor, &good]).await.payments;
    assert_eq!(landed(seen[&taken.id].clone()).tx, foreign);
    assert_eq!(landed(seen[&good.id].clone()).tx, ours);
    let setback = Setback::Reverted { tx: ours };
    assert_eq!(seen[&poor.id], Observation::SetBack { setback, shared: false });

    let mut alone = anvil.payment(4, u128::MAX >> 8, "alone", FAR);
    let (ours, _) = anvil.settle(0, &[&alone]).await;
    alone.txs.push(ours.clone());
    let setback = Setback::Reverted { tx: ours };
    assert_eq!(anvil.see(&alone).await, Observation::SetBack { setback, shared: false });
}

#[tokio::test]
async fn who_shared_a_failed_batch_is_innocent_once() {
    let anvil = Anvil::start().await;
    let mut good = anvil.payment(1, 10_000, "good", FAR);
    let mut hog = by_contract(&anvil, "hog");
    let (batch, _) = anvil.settle(0, &[&hog, &good]).await;
    hog.txs.push(batch.clone());
    good.txs.push(batch.clone());
    let seen = anvil.look(&[&hog, &good]).await.payments;
    for id in [hog.id, good.id] {
        assert_eq!(seen[&id], reverted(&batch, true));
    }
    // While the second try is on its way there is nothing to do, and after it no third.
    let retry = anvil.sign(0, &[&good]).await;
    good.txs.push(retry.id.clone());
    let unseen = Observation::Unseen {
        head: anvil.height().await,
    };
    assert_eq!(anvil.see(&good).await, unseen);
    let (alone, _) = anvil.settle(0, &[&hog]).await;
    hog.txs.push(alone.clone());
    assert_eq!(anvil.see(&hog).await, reverted(&alone, false));

    // A payment with its wallet's deployment looks like a batch even by itself.
    let poor = anvil.payment(2, u128::MAX >> 8, "poor", FAR);
    let mut poor = Payment::of(&Body {
        wallet: Wallet::Deployable {
            factory: anvil.pay_to,
            call: Bytes::new(),
        },
        ..Body::decode(&poor.authorization.body).unwrap()
    });
    for shared in [true, false] {
        let (tx, _) = anvil.settle(0, &[&poor]).await;
        poor.txs.push(tx.clone());
        assert_eq!(anvil.see(&poor).await, reverted(&tx, shared));
    }
}

#[tokio::test]
async fn who_was_starved_within_a_batch_is_innocent() {
    let anvil = Anvil::start().await;
    // The payer burns all but so much: its own payment lands, the batch succeeds, its neighbour is starved.
    for leave in (65_000..75_000).step_by(100) {
        let code = format!("0x5b62{leave:06x}5a11600057631626ba7e60e01b60005260206000f3");
        anvil.ask("anvil_setCode", json!([anvil.gas_hog, code])).await;
        let mut hog = by_contract(&anvil, &format!("hog {leave}"));
        let mut good = anvil.payment(1, 10_000, &format!("good {leave}"), FAR);
        let (batch, _) = anvil.settle(0, &[&hog, &good]).await;
        hog.txs.push(batch.clone());
        good.txs.push(batch.clone());
        let seen = anvil.look(&[&hog, &good]).await.payments;
        if matches!(seen[&hog.id], Observation::Landed(_)) {
            assert_eq!(seen[&good.id], reverted(&batch, true));
            return;
        }
    }
    panic!("no such amount of gas");
}

/// A payment by the wallet that burns gas on being asked for its signature.
fn by_contract(anvil: &Anvil, label: &str) -> Payment {
    let own = anvil.payment(2, 10_000, label, FAR);
    Payment::of(&Body {
        from: anvil.gas_hog,
        is_recovered: false,
        ..Body::decode(&own.authorization.body).unwrap()
    })
}

fn reverted(tx: &TxId, shared: bool) -> Observation {
    Observation::SetBack {
        setback: Setback::Reverted { tx: tx.clone() },
        shared,
    }
}

#[tokio::test]
async fn only_a_finalized_block_proves_that_a_payment_cannot_land() {
    let anvil = Anvil::start().await;
    let head = anvil.ask("eth_getBlockByNumber", json!(["latest", false])).await;
    let now: U64 = serde_json::from_value(head["timestamp"].clone()).unwrap();
    let mut late = anvil.payment(1, 10_000, "late", now.to::<u64>() + 30);
    late.txs.push(anvil.sign(0, &[&late]).await.id);
    let mut other = anvil.payment(2, 10_000, "other", FAR);
    other.seek = true;
    let (misuse, _) = anvil.settle(9, &[&anvil.payment(2, 9_999, "other", FAR)]).await;
    let mut cancelled = anvil.payment(3, 10_000, "cancelled", FAR);
    cancelled.seek = true;
    anvil.send(3, cancellation(&anvil, 3, keccak256("cancelled"))).await;

    let seen = anvil.look(&[&late, &other, &cancelled]).await;
    let unseen = Observation::Unseen {
        head: anvil.height().await,
    };
    assert_eq!(seen.payments[&late.id], unseen);
    assert_eq!(seen.payments[&cancelled.id], unseen);
    let setback = Setback::TransferMissing { tx: misuse.clone() };
    assert_eq!(
        seen.payments[&other.id],
        Observation::SetBack { setback, shared: false }
    );

    anvil.mine(80).await;
    let seen = anvil.look(&[&late, &other, &cancelled]).await;
    let finalized = anvil.finalized_height().await;
    let proof = |payment: &Payment| {
        let Observation::CannotLand(proof) = &seen.payments[&payment.id] else {
            panic!("{:?}", seen.payments[&payment.id])
        };
        proof.clone()
    };
    assert!(matches!(proof(&late), CannotLand::WindowClosed { block } if block.height == finalized));
    assert!(matches!(proof(&other), CannotLand::UsedOtherwise { tx, .. } if tx == misuse));
    assert!(matches!(proof(&cancelled), CannotLand::Cancelled { block, .. } if block.height <= finalized));
}

/// `cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)` with the payer's signature.
fn cancellation(anvil: &Anvil, account: usize, nonce: B256) -> Bytes {
    let key: PrivateKeySigner = anvil.keys[account].parse().unwrap();
    let domain = Domain {
        name: "USDC".into(),
        version: "2".into(),
    };
    let content = [
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"),
        key.address().into_word(),
        nonce,
    ];
    let separator = domain_separator(&domain, CHAIN_ID, anvil.usdc);
    let digest = keccak256(
        [
            &[0x19, 0x01],
            separator.as_slice(),
            keccak256(content.concat()).as_slice(),
        ]
        .concat(),
    );
    let signature = key.sign_hash_sync(&digest).unwrap().as_bytes();
    let mut input = keccak256("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)")[..4].to_vec();
    input.extend_from_slice(key.address().into_word().as_slice());
    input.extend_from_slice(nonce.as_slice());
    input.extend_from_slice(B256::with_last_byte(signature[64]).as_slice());
    input.extend_from_slice(&signature[..64]);
    input.into()
}
