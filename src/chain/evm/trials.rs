//! The lane and the watcher against a real node: anvil with the prepared chain (`tests/stack/chain.mjs`).
//!
//! They run with `cargo test -- --ignored` and `FACILITATOR_STACK` (the folder `tests/stack`),
//! `FACILITATOR_CHAIN_STATE` and `FACILITATOR_CHAIN_ADDRESSES` (what `chain.mjs` wrote).

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U64, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};

use super::body::{Body, Domain, Wallet};
use super::eip3009::{digest, domain_separator, transfer_call};
use super::lane::{Fees, Signer, TRANSFER_GAS_MAX, TransferCall, deliver, lane_nonce, sign};
use super::rpc::{Rpc, TIMEOUT_DEFAULT};
use super::watch::observe;
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::id::PaymentId;
use crate::domain::rail::{Delivery, Observation, Quote, Sighting, SignedTx, TxId, Watched};
use crate::domain::settlement::{CannotLand, Landed, Setback};
use crate::domain::time::Timestamp;

const CHAIN_ID: u64 = 84_532;
const FAR: u64 = 1 << 40;

struct Anvil {
    child: Child,
    rpc: Rpc,
    usdc: Address,
    pay_to: Address,
    gas_hog: Address,
    keys: Vec<String>,
    fees: Fees,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

struct Payment {
    id: PaymentId,
    authorization: Authorization,
    call: TransferCall,
    txs: Vec<TxId>,
    landed: Option<Landed>,
    since_height: u64,
    seek: bool,
}

#[expect(clippy::disallowed_methods, reason = "the stack tells its place to tests only so")]
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

impl Anvil {
    async fn start() -> Self {
        let text = std::fs::read_to_string(env("FACILITATOR_CHAIN_ADDRESSES")).unwrap();
        let at: Value = serde_json::from_str(&text).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(Path::new(&env("FACILITATOR_STACK")).join("node_modules/.bin/anvil"))
            .args(["--port", &port.to_string(), "--chain-id", &CHAIN_ID.to_string()])
            .args([
                "--silent",
                "--no-mining",
                "--load-state",
                &env("FACILITATOR_CHAIN_STATE"),
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let network = format!("eip155:{CHAIN_ID}").parse().unwrap();
        let rpc = Rpc::new(network, &format!("http://127.0.0.1:{port}"), TIMEOUT_DEFAULT).unwrap();
        let address = |name: &str| at[name].as_str().unwrap().parse().unwrap();
        let keys = at["accounts"].as_array().unwrap().iter();
        let this = Self {
            child,
            rpc,
            usdc: address("usdc"),
            pay_to: address("payTo"),
            gas_hog: address("gasHogWallet"),
            keys: keys.map(|it| it["key"].as_str().unwrap().to_owned()).collect(),
            fees: Fees::new(u128::MAX, Duration::ZERO),
        };
        for _ in 0..400 {
            if this.rpc.call("start", "eth_chainId", &[(); 0]).await.is_ok() {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("anvil did not answer within 10 s");
    }

    async fn ask(&self, method: &'static str, params: Value) -> Value {
        self.rpc.call_as("trial", method, &params).await.unwrap()
    }

    async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    async fn height(&self) -> u64 {
        let height: U64 = self.rpc.call_as("trial", "eth_blockNumber", &[(); 0]).await.unwrap();
        height.to()
    }

    /// A payment by one of the funded accounts; the nonce is made from `label`.
    fn payment(&self, account: usize, value: u128, label: &str, before: u64) -> Payment {
        let key: PrivateKeySigner = self.keys[account].parse().unwrap();
        self.payment_by(&key, self.pay_to, value, label, before)
    }

    fn payment_by(&self, key: &PrivateKeySigner, to: Address, value: u128, label: &str, before: u64) -> Payment {
        let mut body = Body {
            token: self.usdc,
            from: key.address(),
            to,
            value,
            valid_after: 0,
            valid_before: before,
            nonce: keccak256(label),
            signature: Bytes::new(),
            is_recovered: true,
            wallet: Wallet::AsIs,
            stated: None,
        };
        let domain = Domain {
            name: "USDC".into(),
            version: "2".into(),
        };
        let digest = digest(&body, domain_separator(&domain, CHAIN_ID, self.usdc));
        body.signature = key.sign_hash_sync(&digest).unwrap().as_bytes().to_vec().into();
        Payment::of(&body)
    }

    async fn sign(&self, account: usize, cargo: &[&Payment]) -> SignedTx {
        let signer = Signer::from_key(&self.keys[account]).unwrap();
        let nonce = lane_nonce(&self.rpc, signer.address()).await.unwrap();
        let quote = self.fees.quote(&self.rpc).await.unwrap();
        let cargo: Vec<_> = cargo.iter().map(|payment| payment.call.clone()).collect();
        sign(&signer, CHAIN_ID, nonce, &cargo, quote).unwrap()
    }

    /// Signs, delivers and mines; gives the transaction and the gas it took.
    async fn settle(&self, account: usize, cargo: &[&Payment]) -> (TxId, u64) {
        let tx = self.sign(account, cargo).await;
        assert_eq!(deliver(&self.rpc, &tx.raw).await, Delivery::Accepted);
        self.mine(1).await;
        let receipt = self.ask("eth_getTransactionReceipt", json!([tx.id.0])).await;
        let gas: U64 = serde_json::from_value(receipt["gasUsed"].clone()).unwrap();
        (tx.id, gas.to())
    }

    async fn send(&self, account: usize, input: Bytes) {
        let call = TransferCall {
            target: self.usdc,
            input,
            gas_max: TRANSFER_GAS_MAX,
        };
        let signer = Signer::from_key(&self.keys[account]).unwrap();
        let nonce = lane_nonce(&self.rpc, signer.address()).await.unwrap();
        let quote = self.fees.quote(&self.rpc).await.unwrap();
        let tx = sign(&signer, CHAIN_ID, nonce, &[call], quote).unwrap();
        assert_eq!(deliver(&self.rpc, &tx.raw).await, Delivery::Accepted);
        self.mine(1).await;
    }

    async fn look(&self, payments: &[&Payment]) -> Sighting {
        let watched: Vec<_> = payments.iter().map(|payment| payment.watched()).collect();
        observe(&self.rpc, &watched, 2).await.unwrap()
    }

    async fn see(&self, payment: &Payment) -> Observation {
        self.look(&[payment]).await.payments[&payment.id].clone()
    }
}

impl Payment {
    fn of(body: &Body) -> Self {
        let (target, input) = transfer_call(body);
        Self {
            id: PaymentId::mint(),
            authorization: Authorization {
                payer: body.from.to_string(),
                pay_to: body.to.to_string(),
                asset: body.token.to_string(),
                amount: Amount::from_units(body.value),
                nonce: body.nonce.to_string(),
                window: Window {
                    after: Timestamp(body.valid_after),
                    before: Timestamp(body.valid_before),
                },
                key: PaymentKey([0; 32]),
                body: body.encode(),
            },
            call: TransferCall {
                target,
                input,
                gas_max: TRANSFER_GAS_MAX,
            },
            txs: Vec::new(),
            landed: None,
            since_height: 0,
            seek: false,
        }
    }

    fn watched(&self) -> Watched<'_> {
        Watched {
            payment: self.id,
            authorization: &self.authorization,
            txs: &self.txs,
            landed: self.landed.as_ref(),
            since_height: self.since_height,
            seek: self.seek,
        }
    }
}

fn landed(seen: Observation) -> Landed {
    let Observation::Landed(landed) = seen else {
        panic!("{seen:?}")
    };
    landed
}

#[tokio::test]
#[ignore = "needs the local chain"]
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
    assert!(matches!(
        deliver(&anvil.rpc, &tx.raw).await,
        Delivery::Refused(_) | Delivery::Known
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
#[ignore = "needs the local chain"]
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
#[ignore = "needs the local chain"]
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
#[ignore = "needs the local chain"]
async fn who_shared_a_drained_batch_is_innocent_once() {
    let anvil = Anvil::start().await;
    let mut good = anvil.payment(1, 10_000, "good", FAR);
    let hog = Body::decode(&anvil.payment(2, 10_000, "hog", FAR).authorization.body).unwrap();
    let mut hog = Payment::of(&Body {
        from: anvil.gas_hog,
        is_recovered: false,
        ..hog
    });
    let (batch, _) = anvil.settle(0, &[&hog, &good]).await;
    hog.txs.push(batch.clone());
    good.txs.push(batch.clone());
    let seen = anvil.look(&[&hog, &good]).await.payments;
    let setback = Setback::Reverted { tx: batch };
    for id in [hog.id, good.id] {
        assert_eq!(
            seen[&id],
            Observation::SetBack {
                setback: setback.clone(),
                shared: true
            }
        );
    }
    // While the second try is on its way there is nothing to do, and after it no third.
    let retry = anvil.sign(0, &[&good]).await;
    good.txs.push(retry.id.clone());
    assert_eq!(
        anvil.see(&good).await,
        Observation::Unseen {
            head: anvil.height().await
        }
    );
    let (alone, _) = anvil.settle(0, &[&hog]).await;
    hog.txs.push(alone.clone());
    let setback = Setback::Reverted { tx: alone };
    assert_eq!(anvil.see(&hog).await, Observation::SetBack { setback, shared: false });
}

#[tokio::test]
#[ignore = "needs the local chain"]
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
    let unseen = Observation::Unseen { head: seen.head.height };
    assert_eq!(seen.payments[&late.id], unseen);
    assert_eq!(seen.payments[&cancelled.id], unseen);
    let setback = Setback::TransferMissing { tx: misuse.clone() };
    assert_eq!(
        seen.payments[&other.id],
        Observation::SetBack { setback, shared: false }
    );

    anvil.mine(80).await;
    let seen = anvil.look(&[&late, &other, &cancelled]).await;
    let proof = |payment: &Payment| {
        let Observation::CannotLand(proof) = &seen.payments[&payment.id] else {
            panic!("{:?}", seen.payments[&payment.id])
        };
        proof.clone()
    };
    assert!(matches!(proof(&late), CannotLand::WindowClosed { block } if block == seen.finalized));
    assert!(matches!(proof(&other), CannotLand::UsedOtherwise { tx, .. } if tx == misuse));
    assert!(matches!(proof(&cancelled), CannotLand::Cancelled { block, .. } if block.height <= seen.finalized.height));
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

#[tokio::test]
#[ignore = "needs the local chain"]
async fn sharing_a_transaction_saves_a_third_of_the_gas() {
    let anvil = Anvil::start().await;
    // 102 payers, then 50 recipients of their own.
    let people: Vec<PrivateKeySigner> = (0..152)
        .map(|n: u8| PrivateKeySigner::from_bytes(&keccak256([n])).unwrap())
        .collect();
    let rich: PrivateKeySigner = anvil.keys[1].parse().unwrap();
    for some in people.chunks(76) {
        let funding: Vec<_> = some
            .iter()
            .map(|it| anvil.payment_by(&rich, it.address(), 1_000_000, &it.address().to_string(), FAR))
            .collect();
        anvil.settle(0, &funding.iter().collect::<Vec<_>>()).await;
    }
    let pay = |n: usize, to| anvil.payment_by(&people[n], to, 10_000, &format!("pay {n}"), FAR);

    let (_, to_new) = anvil.settle(0, &[&pay(0, Address::repeat_byte(0xEE))]).await;
    anvil.settle(0, &[&anvil.payment(2, 1, "first", FAR)]).await;
    let (_, alone) = anvil.settle(0, &[&pay(1, anvil.pay_to)]).await;
    let to_one: Vec<_> = (2..52).map(|n| pay(n, anvil.pay_to)).collect();
    let to_many: Vec<_> = (52..102).map(|n| pay(n, people[n + 50].address())).collect();
    println!("alone {alone}, to a new account {to_new}");
    assert!(to_new < 21_000 + TRANSFER_GAS_MAX);
    for (name, batch) in [("one seller", to_one), ("50 sellers", to_many)] {
        let (tx, together) = anvil.settle(0, &batch.iter().collect::<Vec<_>>()).await;
        let receipt = anvil.ask("eth_getTransactionReceipt", json!([tx.0])).await;
        assert_eq!(receipt["logs"].as_array().unwrap().len(), 100);
        let each = together / 50;
        println!("each of 50 to {name} {each}: {}/1000", each * 1000 / alone);
        assert!(each * 100 <= alone * 65, "{each} of {alone}");
    }
}

#[tokio::test]
#[ignore = "needs the local chain"]
async fn a_fee_under_the_chain_s_own_is_a_fault_that_says_so() {
    let anvil = Anvil::start().await;
    let fault = Fees::new(1, Duration::ZERO).quote(&anvil.rpc).await.unwrap_err();
    assert!(fault.cause.contains("fee cap of 1 wei"), "{fault}");
    let fees = Fees::new(u128::MAX, Duration::from_mins(1));
    let Quote { fee_max, tip } = fees.quote(&anvil.rpc).await.unwrap();
    assert!(tip <= fee_max);
}
