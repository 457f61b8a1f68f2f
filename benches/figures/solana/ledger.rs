//! The stub node's chain: a slot every 400 ms, with all transactions in it that were taken since the last.

use std::collections::HashMap;
use std::iter;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use crate::solana::USDC;
use crate::solana::payment::{DECIMALS, Holder, TOKEN, VALUE, sha256};
use crate::solana::stub::HOLDING;

/// Time between slots.
pub(crate) const SLOT: Duration = Duration::from_millis(400);

/// Slots until a block is final.
pub(crate) const FINALIZED_AFTER: u64 = 32;

/// Where the chain begins; some slots before that have no block.
const FIRST_SLOT: u64 = 350_000_000;
const SLOTS_WITHOUT_BLOCK: u64 = 20_000_000;

/// When the first slot was, in seconds since 1970.
const FIRST_SECOND: u64 = 1_750_000_000;

/// What was taken, by the name of the transaction: the slot that it is in, and its bytes in base64.
pub(crate) struct Ledger {
    began: Instant,
    taken: Mutex<HashMap<String, (u64, String)>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            taken: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, String)>> {
        self.taken.lock().unwrap()
    }

    /// The newest confirmed slot.
    pub(crate) fn slot(&self) -> u64 {
        let slots = self.began.elapsed().as_millis() / SLOT.as_millis();
        FIRST_SLOT + u64::try_from(slots).unwrap()
    }

    /// The height of its block.
    pub(crate) fn height(&self) -> u64 {
        self.slot() - SLOTS_WITHOUT_BLOCK
    }

    /// Takes a transaction for the next slot, unless it was taken before, and gives its first signature.
    pub(crate) fn take(&self, transaction: &str) -> Option<String> {
        let wire = BASE64_STANDARD.decode(transaction).ok()?;
        let signature = Signature::try_from(wire.get(1..65)?).ok()?.to_string();
        let slot = self.slot() + 1;
        self.lock()
            .entry(signature.clone())
            .or_insert_with(|| (slot, transaction.to_owned()));
        Some(signature)
    }

    /// How many transactions were taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().len()
    }

    /// The slot and the bytes of a transaction that is confirmed.
    fn confirmed(&self, signature: &str) -> Option<(u64, String)> {
        let found = self.lock().get(signature).cloned();
        found.filter(|(slot, _)| *slot <= self.slot())
    }

    pub(crate) fn status(&self, signature: Option<&str>) -> Value {
        let Some((slot, _)) = signature.and_then(|it| self.confirmed(it)) else {
            return Value::Null;
        };
        let confirmations = self.slot() - slot;
        let is_final = confirmations >= FINALIZED_AFTER;
        json!({
            "confirmationStatus": if is_final { "finalized" } else { "confirmed" },
            "confirmations": if is_final { Value::Null } else { json!(confirmations) },
            "err": null,
            "slot": slot,
            "status": {"Ok": null},
        })
    }

    pub(crate) fn transaction(&self, signature: &str) -> Value {
        let Some((slot, transaction)) = self.confirmed(signature) else {
            return Value::Null;
        };
        json!({
            "blockTime": Self::block_time(slot),
            "meta": meta(),
            "slot": slot,
            "transaction": [transaction, "base64"],
            "version": 0,
        })
    }

    pub(crate) fn block(slot: u64) -> Value {
        let hash = |slot: u64| Hash::new_from_array(sha256(&[b"figures: block", &slot.to_be_bytes()])).to_string();
        json!({
            "blockHeight": slot - SLOTS_WITHOUT_BLOCK,
            "blockTime": Self::block_time(slot),
            "blockhash": hash(slot),
            "parentSlot": slot - 1,
            "previousBlockhash": hash(slot - 1),
        })
    }

    pub(crate) fn block_time(slot: u64) -> u64 {
        FIRST_SECOND + (slot - FIRST_SLOT) * 2 / 5
    }
}

/// What a node says of a payment that went through.
pub(crate) fn meta() -> Value {
    let (payer, seller) = (Holder::of("payer 0").address, Holder::of("payee 0").address);
    let lamports = |paid: u64| json!([10_000_000_000_u64 - paid, 0, 2_039_280, 2_039_280, 1_461_600, 1, 1, 1]);
    json!({
        "computeUnitsConsumed": 19_500,
        "err": null,
        "fee": 10_001,
        "innerInstructions": null,
        "loadedAddresses": {"readonly": [], "writable": []},
        "logMessages": logs(),
        "postBalances": lamports(10_001),
        "postTokenBalances": [balance(2, payer, HOLDING - VALUE), balance(3, seller, HOLDING + VALUE)],
        "preBalances": lamports(0),
        "preTokenBalances": [balance(2, payer, HOLDING), balance(3, seller, HOLDING)],
        "returnData": null,
        "rewards": null,
        "status": {"Ok": null},
    })
}

fn balance(account: u8, owner: Pubkey, amount: u64) -> Value {
    let shown = amount as f64 / 1e6;
    json!({
        "accountIndex": account,
        "mint": USDC.to_string(),
        "owner": owner.to_string(),
        "programId": TOKEN.to_string(),
        "uiTokenAmount": {
            "amount": amount.to_string(),
            "decimals": DECIMALS,
            "uiAmount": shown,
            "uiAmountString": shown.to_string(),
        },
    })
}

fn logs() -> Vec<String> {
    const BUDGET: &str = "ComputeBudget111111111111111111111111111111";
    const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
    let token = TOKEN.to_string();
    let around = |program: &str, inside: Vec<String>| {
        let first = format!("Program {program} invoke [1]");
        let last = format!("Program {program} success");
        iter::once(first).chain(inside).chain([last]).collect::<Vec<_>>()
    };
    let used = |program: &str, units: u32, of: u32| format!("Program {program} consumed {units} of {of} compute units");
    let transfer = "Program log: Instruction: TransferChecked".to_owned();
    let memo = format!("Program log: Memo (len 32): {:?}", "0123456789abcdef".repeat(2));
    [
        around(BUDGET, Vec::new()),
        around(BUDGET, Vec::new()),
        around(&token, vec![transfer, used(&token, 6_200, 19_700)]),
        around(MEMO, vec![memo, used(MEMO, 13_000, 13_500)]),
    ]
    .concat()
}
