//! Payments as an official client makes them. A test takes a good one and breaks one thing: a field, an instruction,
//! a number in the message, a byte on the wire, or the body.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::programs::{self, Transfer, associated_account};
use super::surfpool::{Mint, Surfpool};
use super::transaction::{Instruction, Key, Message, nonce_of, text_of};
use crate::support::payer::Envelope;
use crate::support::world::Payable;

pub(crate) const NETWORK: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
const NETWORK_IN_V1: &str = "solana-devnet";

/// What official clients set.
const COMPUTE_UNITS: u32 = 20_000;
const COMPUTE_PRICE: u64 = 1;

/// A payment about to be signed: good as it is made.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// What the transaction does.
    pub(crate) payer: Key,
    pub(crate) fee_payer: Pubkey,
    pub(crate) transfer: Transfer,
    pub(crate) amount: u64,
    pub(crate) decimals: u8,
    pub(crate) memo: String,
    pub(crate) blockhash: [u8; 32],
    /// What the merchant asks for.
    pub(crate) asset: String,
    pub(crate) pay_to: Pubkey,
    pub(crate) price: String,
    pub(crate) extra: Value,
    pub(crate) resource: String,
}

impl Payment {
    /// 10,000 atomic USDC from payer `payer` to the seller, by way of the first fee payer, over the newest block.
    pub(crate) async fn by(node: &Surfpool, payer: usize) -> Self {
        Self::in_mint(node, payer, node.mint("usdc")).await
    }

    /// The same in another token.
    pub(crate) async fn in_mint(node: &Surfpool, payer: usize, mint: Mint) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let payer = node.at.payers[payer].clone();
        let fee_payer = node.at.fee_payers[0].address;
        let transfer = Transfer {
            program: mint.program,
            source: associated_account(payer.address, mint.program, mint.address),
            mint: mint.address,
            destination: mint.seller_account,
            authority: payer.address,
        };
        Self {
            payer,
            fee_payer,
            transfer,
            amount: 10_000,
            decimals: mint.decimals,
            memo: format!("{count:032x}"),
            blockhash: node.blockhash().await,
            asset: mint.address.to_string(),
            pay_to: node.at.seller.address,
            price: "10000".into(),
            extra: json!({"feePayer": fee_payer.to_string()}),
            resource: format!("https://shop.example/report/{count}"),
        }
    }

    /// By way of another fee payer, asked for and named.
    pub(crate) fn through(self, fee_payer: Pubkey) -> Self {
        Self {
            fee_payer,
            extra: json!({"feePayer": fee_payer.to_string()}),
            ..self
        }
    }

    /// With a memo that the merchant asks for.
    pub(crate) fn remembering(mut self, memo: &str) -> Self {
        memo.clone_into(&mut self.memo);
        self.extra["memo"] = memo.into();
        self
    }

    /// To another owner, whose account may not be there.
    pub(crate) fn to(mut self, owner: Pubkey) -> Self {
        self.pay_to = owner;
        self.transfer.destination = associated_account(owner, self.transfer.program, self.transfer.mint);
        self
    }

    /// Limit, price, transfer, memo: the official client's layout.
    pub(crate) fn instructions(&self) -> Vec<Instruction> {
        vec![
            programs::compute_limit(COMPUTE_UNITS),
            programs::compute_price(COMPUTE_PRICE),
            self.transfer.checked(self.amount, self.decimals),
            programs::memo(&self.memo),
        ]
    }

    pub(crate) fn message(&self) -> Message {
        self.message_of(&self.instructions())
    }

    pub(crate) fn message_of(&self, instructions: &[Instruction]) -> Message {
        Message::new(self.fee_payer, instructions, self.blockhash, &[])
    }

    /// The transaction as it goes out: signed by the payer, with zeros for the fee payer's signature.
    pub(crate) fn wire(&self) -> Vec<u8> {
        self.message().signed_by(&[&self.payer])
    }

    /// The transaction with other instructions.
    pub(crate) fn wire_with(&self, change: impl FnOnce(&mut Vec<Instruction>)) -> Vec<u8> {
        let mut instructions = self.instructions();
        change(&mut instructions);
        self.message_of(&instructions).signed_by(&[&self.payer])
    }

    /// The transaction with other numbers in its message.
    pub(crate) fn wire_in(&self, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = self.message();
        change(&mut message);
        message.signed_by(&[&self.payer])
    }

    /// The network as requests and answers in this version name it.
    pub(crate) fn network_in(envelope: Envelope) -> &'static str {
        match envelope {
            Envelope::V1 => NETWORK_IN_V1,
            Envelope::V2 => NETWORK,
        }
    }

    /// The request body for `/verify` and `/settle`, in version 2.
    pub(crate) fn body(&self) -> Value {
        self.body_in(Envelope::V2)
    }

    pub(crate) fn body_in(&self, envelope: Envelope) -> Value {
        self.body_with(envelope, &self.wire())
    }

    /// The body with this transaction.
    pub(crate) fn body_with(&self, envelope: Envelope, wire: &[u8]) -> Value {
        self.body_saying(envelope, text_of(wire).into())
    }

    /// The body with this in place of the transaction.
    pub(crate) fn body_saying(&self, envelope: Envelope, transaction: Value) -> Value {
        let proof = json!({"transaction": transaction});
        let terms = json!({
            "scheme": "exact",
            "network": Self::network_in(envelope),
            "asset": self.asset,
            "payTo": self.pay_to.to_string(),
            "maxTimeoutSeconds": 60,
            "extra": self.extra,
        });
        crate::support::payer::enveloped(envelope, &proof, terms, &self.price, &self.resource)
    }
}

impl Payable for Payment {
    fn nonce(&self) -> String {
        nonce_of(&self.wire())
    }

    fn body(&self) -> Value {
        Self::body(self)
    }
}
