//! A real node for tests: surfpool with everything in place (`tests/stack/solana.mjs`).
//!
//! `./dev test` sets what it needs: `FACILITATOR_STACK` (the folder `tests/stack`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ed25519_dalek::SigningKey;
use serde_json::Value;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::node::{BLOCKHASH_BLOCKS, InContext, LatestBlockhash, Node, latest_blockhash_call};
use super::programs::associated_token_account;
use super::settings::TokenProgram;
use super::trials::{Call, Draft, compute_limit, compute_price, memo, reads, signs, writes};
use crate::chain::pool::Pool;
use crate::chain::rpc::{Rpc, TIMEOUT_DEFAULT};

/// A node that ends with the test, and all that is on it: what it said when it was ready.
pub(super) struct Surfpool {
    child: Child,
    pub(super) at: Value,
}

impl Drop for Surfpool {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the stack tells its place to tests only so")]
fn stack() -> String {
    std::env::var("FACILITATOR_STACK").expect("FACILITATOR_STACK is set")
}

impl Surfpool {
    /// A node with a slot each so many milliseconds.
    pub(super) fn start(slot_ms: u64) -> Self {
        let mut child = Command::new("node")
            .arg(Path::new(&stack()).join("solana.mjs"))
            .arg(slot_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let at = serde_json::from_str(&line).unwrap();
        Self { child, at }
    }

    /// A client of it.
    pub(super) fn rpc(&self) -> Pool {
        let network = self.text("/network").parse().unwrap();
        Pool::alone(Rpc::new(network, 0, self.text("/rpcUrl"), TIMEOUT_DEFAULT).unwrap())
    }

    /// What is at this JSON pointer.
    pub(super) fn text(&self, path: &str) -> &str {
        self.at.pointer(path).and_then(Value::as_str).expect(path)
    }

    /// The address at this JSON pointer.
    pub(super) fn address(&self, path: &str) -> Pubkey {
        self.text(path).parse().unwrap()
    }

    /// The key at this JSON pointer.
    pub(super) fn key(&self, path: &str) -> SigningKey {
        let bytes: Signature = self.text(path).parse().unwrap();
        SigningKey::from_keypair_bytes(bytes.as_ref().try_into().unwrap()).unwrap()
    }

    /// The program that keeps the mint of this name.
    pub(super) fn program(&self, mint: &str) -> TokenProgram {
        serde_json::from_value(self.at["mints"][mint]["program"].clone()).unwrap()
    }

    /// The newest blockhash and its block's height.
    pub(super) async fn latest(&self) -> (Hash, u64) {
        let node = Node::new(self.rpc(), false);
        let answer = node.ask("trial", &[latest_blockhash_call()]).await.unwrap().pop();
        let latest: InContext<LatestBlockhash> = node.read("trial", answer).unwrap();
        let height = latest.value.last_valid_block_height.saturating_sub(BLOCKHASH_BLOCKS);
        (latest.value.blockhash, height)
    }

    /// What the official client builds: a payment of the first payer's to this owner in the mint of this name, its fee
    /// paid by the first fee payer.
    pub(super) async fn draft(&self, mint: &str, owner: Pubkey, amount: u64, note: &str) -> Draft {
        let program = self.program(mint);
        let mint_address = self.address(&format!("/mints/{mint}/address"));
        let decimals = u8::try_from(self.at["mints"][mint]["decimals"].as_u64().unwrap()).unwrap();
        let payer = self.address("/payers/0/address");
        let account_of = |owner| writes(associated_token_account(owner, program, &mint_address));
        let transfer = Call {
            program: program.id(),
            accounts: vec![
                account_of(&payer),
                reads(mint_address),
                account_of(&owner),
                signs(payer),
            ],
            data: [&[12][..], &amount.to_le_bytes(), &[decimals]].concat(),
        };
        Draft {
            fee_payer: self.address("/feePayers/0/address"),
            blockhash: self.latest().await.0,
            calls: vec![compute_limit(20_000), compute_price(1), transfer, memo(note)],
            keys: vec![self.key("/payers/0/key")],
            ..Draft::good()
        }
    }
}
