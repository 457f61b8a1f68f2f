//! The lane and the watcher against a real node: anvil with the prepared chain (`tests/stack/chain.mjs`).
//!
//! `./dev test` sets what they need: `FACILITATOR_STACK` (the folder `tests/stack`),
//! `FACILITATOR_CHAIN_STATE` and `FACILITATOR_CHAIN_ADDRESSES` (what `chain.mjs` wrote).

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::consensus::SignableTransaction;
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Bytes, U64, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};

use super::body::{Body, Domain, Wallet};
use super::cost::Prices;
use super::eip3009::{digest, domain_separator, transfer_call};
use super::lane::{Fees, TRANSFER_GAS_MAX, TransferCall, carrier, deliver, lane_nonce, unsigned};
use super::policy::Sealed;
use super::watch::observe;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Rpc, TIMEOUT_DEFAULT};
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::id::PaymentId;
use crate::domain::rail::{Delivery, Observation, Sighting, SignedTx, TxId, Watched};
use crate::domain::settlement::Landed;
use crate::domain::time::Timestamp;

mod lane;
mod ownership;
mod scan;
mod watch;

/// At most this much wei for a unit of gas, and nothing for data.
const fn prices(gas: u128) -> Prices {
    Prices { gas, data: 0 }
}

const CHAIN_ID: u64 = 84_532;
const FAR: u64 = 1 << 40;

struct Anvil {
    child: Child,
    rpc: Pool,
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
        let rpc = Rpc::new(network, 0, &format!("http://127.0.0.1:{port}"), TIMEOUT_DEFAULT).unwrap();
        let address = |name: &str| at[name].as_str().unwrap().parse().unwrap();
        let keys = at["accounts"].as_array().unwrap().iter();
        let this = Self {
            child,
            rpc: Pool::alone(rpc),
            usdc: address("usdc"),
            pay_to: address("payTo"),
            gas_hog: address("gasHogWallet"),
            keys: keys.map(|it| it["key"].as_str().unwrap().to_owned()).collect(),
            fees: Fees::new(prices(u128::MAX), Duration::ZERO),
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
        let calls: Vec<_> = cargo.iter().map(|payment| payment.call.clone()).collect();
        self.signed(account, &calls).await
    }

    /// Signed by an account of the chain's, whatever our policy thinks of it.
    async fn signed(&self, account: usize, calls: &[TransferCall]) -> SignedTx {
        let key: PrivateKeySigner = self.keys[account].parse().unwrap();
        let nonce = lane_nonce(&self.rpc, key.address()).await.unwrap();
        let quote = self.fees.quote(&self.rpc).await.unwrap();
        let tx = unsigned(CHAIN_ID, nonce, calls, quote).unwrap();
        let (gas_limit, signature) = (tx.gas_limit, key.sign_hash_sync(&tx.signature_hash()).unwrap());
        let signed = tx.into_signed(signature);
        let sealed = Sealed {
            id: TxId(signed.hash().to_string()),
            raw: signed.encoded_2718(),
            cost_max: Amount::ZERO,
        };
        carrier(sealed, gas_limit, calls.len(), quote)
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
        let tx = self.signed(account, &[call]).await;
        assert_eq!(deliver(&self.rpc, &tx.raw).await, Delivery::Accepted);
        self.mine(1).await;
    }

    async fn look(&self, payments: &[&Payment]) -> Sighting {
        let watched: Vec<_> = payments.iter().map(|payment| payment.watched()).collect();
        observe(&self.rpc, &watched, &[], 2).await.unwrap()
    }

    async fn finalized_height(&self) -> u64 {
        let block = self
            .ask("eth_getBlockByNumber", serde_json::json!(["finalized", false]))
            .await;
        let height: U64 = serde_json::from_value(block["number"].clone()).unwrap();
        height.to()
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
                window: Window::Time {
                    after: Timestamp(body.valid_after),
                    before: Timestamp(body.valid_before),
                },
                signer: None,
                memo: None,
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
