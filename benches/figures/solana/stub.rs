//! A stub node for Solana: every transfer is a success, and confirmed with the next slot. Answers are as long as those
//! of a real node, and cut down where the question says so. Its blockhashes never age.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_pubkey::{Pubkey, pubkey};

use crate::http;
use crate::solana::ledger::{self, FINALIZED_AFTER, Ledger};
use crate::solana::payment::{DECIMALS, Holder, Mint, TOKEN, Terms, sha256, token_account};
use crate::solana::{NETWORK, USDC};
use crate::stub::{self, Node};

/// The whole genesis hash of the cluster.
const GENESIS: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";

const SYSTEM: Pubkey = pubkey!("11111111111111111111111111111111");
const SYSVAR: Pubkey = pubkey!("Sysvar1111111111111111111111111111111111111");
const RECENT_BLOCKHASHES: Pubkey = pubkey!("SysvarRecentB1ockHashes11111111111111111111");

/// How many blockhashes the cluster keeps.
const BLOCKHASHES: u64 = 150;

/// As many payers as a busy hour has.
const PAYERS: usize = 512;
const PAYEES: usize = 16;
/// What everybody has of the token.
pub(crate) const HOLDING: u64 = 1_000_000_000_000;

/// Pays for the facilitator's transactions.
pub(crate) fn fee_payer() -> Holder {
    Holder::of("fee payer")
}

/// Makes payments that the stub finds good.
pub(crate) fn mint() -> Mint {
    Mint::new(Terms {
        network: NETWORK.to_owned(),
        mint: USDC,
        fee_payer: fee_payer().address,
        payers: (0..PAYERS).map(|it| Holder::of(&format!("payer {it}"))).collect(),
        payees: (0..PAYEES)
            .map(|it| Holder::of(&format!("payee {it}")).address)
            .collect(),
    })
}

/// The blockhashes that are good for a new transaction, the newest first.
pub(crate) fn blockhashes() -> Vec<Hash> {
    let hash = |age: u64| Hash::new_from_array(sha256(&[b"figures: blockhash", &age.to_be_bytes()]));
    (0..BLOCKHASHES).map(hash).collect()
}

/// What it takes to answer as a node of the cluster.
struct Stub {
    ledger: Ledger,
    blockhash: String,
    /// The accounts with an address that is known; any other is somebody's token account.
    accounts: Vec<(String, Account)>,
    somebodys: Account,
    simulation: String,
}

struct Account {
    owner: Pubkey,
    lamports: u64,
    data: Vec<u8>,
}

/// Serves until the process that started this one has gone.
pub(crate) fn serve() {
    let account = |address: Pubkey, owner, lamports, data| (address.to_string(), Account { owner, lamports, data });
    stub::serve(Stub {
        ledger: Ledger::new(),
        blockhash: blockhashes()[0].to_string(),
        accounts: vec![
            account(USDC, TOKEN, 1_461_600, mint_data()),
            account(fee_payer().address, SYSTEM, 10_000_000_000, Vec::new()),
            account(RECENT_BLOCKHASHES, SYSVAR, 42_706_560, recent_blockhashes_data()),
        ],
        somebodys: Account {
            owner: TOKEN,
            lamports: 2_039_280,
            data: token_account_data(),
        },
        simulation: simulation().to_string(),
    });
}

impl Node for Stub {
    fn answer(&self, body: &str, answer: &mut String) -> u64 {
        if let Ok(call) = serde_json::from_str::<Call<'_>>(body) {
            self.answer_call(&call, answer);
            return 1;
        }
        let calls: Vec<Call<'_>> = serde_json::from_str(body).unwrap_or_default();
        let mut before = '[';
        for call in &calls {
            answer.push(before);
            self.answer_call(call, answer);
            before = ',';
        }
        answer.push(']');
        u64::try_from(calls.len()).unwrap()
    }
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// What is asked of an account.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    data_slice: Option<Slice>,
}

#[derive(Clone, Copy, Deserialize)]
struct Slice {
    offset: usize,
    length: usize,
}

impl Stub {
    fn answer_call(&self, call: &Call<'_>, answer: &mut String) {
        write!(answer, r#"{{"jsonrpc":"2.0","id":{},"#, call.id).unwrap();
        let params = call.params.map_or("[]", RawValue::get);
        let start = answer.len();
        answer.push_str(r#""result":"#);
        if self.result(call.method, params, answer).is_none() {
            answer.truncate(start);
            let message = format!("the stub has no such {}", call.method);
            write!(answer, r#""error":{{"code":-32601,"message":"{message}"}}"#).unwrap();
        }
        answer.push('}');
    }

    fn result(&self, method: &str, params: &str, answer: &mut String) -> Option<()> {
        match method {
            "simulateTransaction" => {
                let (context, value) = (self.context(), &self.simulation);
                write!(answer, r#"{{"context":{context},"value":{value}}}"#).unwrap();
            }
            "getMultipleAccounts" => {
                let (addresses, shape): (Vec<&str>, Shape) = serde_json::from_str(params).ok()?;
                write!(answer, r#"{{"context":{},"value":["#, self.context()).unwrap();
                for (place, address) in addresses.iter().enumerate() {
                    if place > 0 {
                        answer.push(',');
                    }
                    self.account(address).write(shape.data_slice, answer);
                }
                answer.push_str("]}");
            }
            "getAccountInfo" => {
                let (address, shape): (&str, Shape) = serde_json::from_str(params).ok()?;
                write!(answer, r#"{{"context":{},"value":"#, self.context()).unwrap();
                self.account(address).write(shape.data_slice, answer);
                answer.push('}');
            }
            _ => {
                let params = serde_json::from_str(params).ok()?;
                write!(answer, "{}", self.small_result(method, &params)?).unwrap();
            }
        }
        Some(())
    }

    fn small_result(&self, method: &str, params: &Value) -> Option<Value> {
        let in_context =
            |value: Value| json!({"context": {"apiVersion": "3.0.10", "slot": self.ledger.slot()}, "value": value});
        let trailing = |commitment: &Value| if commitment == "finalized" { FINALIZED_AFTER } else { 0 };
        let text = || params[0].as_str();
        Some(match method {
            "getGenesisHash" => json!(GENESIS),
            "getVersion" => json!({"feature-set": 3_604_001_754_u32, "solana-core": "3.0.10"}),
            "getHealth" => json!("ok"),
            "getSlot" => json!(self.ledger.slot() - trailing(&params[0]["commitment"])),
            "getBlockHeight" => json!(self.ledger.height() - trailing(&params[0]["commitment"])),
            "getLatestBlockhash" => in_context(json!({
                "blockhash": self.blockhash,
                "lastValidBlockHeight": self.ledger.height() + BLOCKHASHES,
            })),
            "getBalance" => in_context(json!(self.account(text()?).lamports)),
            "sendTransaction" => json!(self.ledger.take(text()?)?),
            "getTransactionCount" => json!(self.ledger.taken()),
            "getSignatureStatuses" => {
                let signatures = params[0].as_array()?.iter();
                in_context(signatures.map(|it| self.ledger.status(it.as_str())).collect())
            }
            "getTransaction" => self.ledger.transaction(text()?),
            "getBlock" => Ledger::block(params[0].as_u64()?),
            "getBlockTime" => json!(Ledger::block_time(params[0].as_u64()?)),
            _ => return None,
        })
    }

    fn context(&self) -> String {
        format!(r#"{{"apiVersion":"3.0.10","slot":{}}}"#, self.ledger.slot())
    }

    fn account(&self, address: &str) -> &Account {
        let known = self.accounts.iter().find(|(it, _)| it == address);
        known.map_or(&self.somebodys, |(_, account)| account)
    }
}

impl Account {
    fn write(&self, slice: Option<Slice>, answer: &mut String) {
        let (owner, lamports, space) = (self.owner, self.lamports, self.data.len());
        let data = slice.map_or(self.data.as_slice(), |it| {
            let from = it.offset.min(space);
            &self.data[from..(from + it.length).min(space)]
        });
        answer.push_str(r#"{"data":[""#);
        BASE64_STANDARD.encode_string(data, answer);
        write!(
            answer,
            r#"","base64"],"executable":false,"lamports":{lamports},"owner":"{owner}","rentEpoch":18446744073709551615,"space":{space}}}"#
        )
        .unwrap();
    }
}

/// Mint authority, supply, decimals, is initialized, freeze authority.
fn mint_data() -> Vec<u8> {
    let authority = [&[1, 0, 0, 0][..], &sha256(&[b"authority"])].concat();
    let supply = HOLDING * 1_000;
    [&authority, &supply.to_le_bytes()[..], &[DECIMALS, 1], &authority].concat()
}

/// Mint, owner, amount, no delegate, is initialized, and three things that it has not.
fn token_account_data() -> Vec<u8> {
    let owner = sha256(&[b"somebody"]);
    let rest = [&[0; 36][..], &[1], &[0; 12], &[0; 8], &[0; 36]].concat();
    [USDC.as_array().as_slice(), &owner, &HOLDING.to_le_bytes(), &rest].concat()
}

/// A count, then each blockhash with its fee in lamports.
fn recent_blockhashes_data() -> Vec<u8> {
    let entries = blockhashes().into_iter();
    let entries = entries.flat_map(|it| [it.as_bytes().as_slice(), &5_000_u64.to_le_bytes()].concat());
    BLOCKHASHES.to_le_bytes().into_iter().chain(entries).collect()
}

/// What a node says of a payment that would go through.
fn simulation() -> Value {
    let mut said = ledger::meta();
    let of_a_trial = [
        ("accounts", Value::Null),
        ("loadedAccountsDataSize", json!(250_000)),
        ("logs", said["logMessages"].take()),
        ("replacementBlockhash", Value::Null),
        ("unitsConsumed", said["computeUnitsConsumed"].take()),
    ];
    let said = said.as_object_mut().unwrap();
    said.retain(|name, _| !["logMessages", "computeUnitsConsumed", "rewards", "status"].contains(&name.as_str()));
    said.extend(of_a_trial.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(std::mem::take(said))
}

/// A question about one payment, as the facilitator asks it.
pub(crate) fn question() -> Vec<u8> {
    let transaction = mint().sign(&fee_payer().address, blockhashes()[0]).offered();
    let accounts = ["payer 0", "payee 0"].map(|it| token_account(&Holder::of(it).address, &USDC).to_string());
    let simulated = json!([transaction, {
        "commitment": "confirmed", "encoding": "base64", "replaceRecentBlockhash": false, "sigVerify": false,
    }]);
    let read = json!([accounts, {
        "commitment": "confirmed", "dataSlice": {"length": 8, "offset": 64}, "encoding": "base64",
    }]);
    let call =
        |id: u8, method: &str, params: &Value| json!({"id": id, "jsonrpc": "2.0", "method": method, "params": params});
    let calls = json!([
        call(0, "simulateTransaction", &simulated),
        call(1, "getMultipleAccounts", &read)
    ]);
    http::post("/", &calls.to_string())
}
