//! A stub node for EVM chains. It answers the lens without running it.

use std::fmt::Write;
use std::sync::OnceLock;

use alloy::primitives::{Address, B256, U256, address};
use alloy::sol_types::SolValue;
use serde_json::{Value, json};

use crate::evm::payment::{Chain, VALUE};
use crate::http;
use crate::stub::{self, Node};

/// The init code that examines payments; what follows it in a call are its arguments.
const LENS: &str = include_str!("../../../src/chain/evm/lens.hex").trim_ascii_end();

/// More items than the lens itself can answer for.
const ITEMS_MAX: usize = 128;

/// Hexadecimal digits of a word.
const WORD: usize = 64;

/// Where a chain would be asked for the price of its data; this one asks none.
const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");

const HEIGHT: u64 = 1_000;

/// What it takes to answer as a node of the prepared chain.
struct Stub {
    separator: B256,
    decimals: U256,
    name: String,
    version: String,
    signer: Address,
    /// The lens' answer for each number of payments.
    answers: Vec<OnceLock<String>>,
    /// The lens' answer when it is itself on trial.
    proof: String,
}

/// Serves until the process that started this one has gone.
pub(crate) fn serve() {
    let chain = Chain::load();
    let separator = chain.separator();
    stub::serve(Stub {
        separator,
        decimals: U256::from(6),
        name: chain.usdc_name.clone(),
        version: chain.usdc_version.clone(),
        signer: chain.accounts[0].address,
        answers: (0..ITEMS_MAX).map(|_| OnceLock::new()).collect(),
        proof: lens_answer(1, &separator[..]),
    });
}

impl Node for Stub {
    fn answer(&self, body: &str, answer: &mut String) -> u64 {
        if let Some(asked) = Asked::read(body) {
            let result = match asked {
                Asked::Separator => &self.proof,
                Asked::Payments(count) => self.answers[count].get_or_init(|| lens_answer(count, &[])),
            };
            let id = id_of(body);
            write!(answer, r#"{{"jsonrpc":"2.0","id":{id},"result":"{result}"}}"#).unwrap();
            return 1;
        }
        let (value, calls) = match serde_json::from_str(body) {
            Ok(Value::Array(calls)) => {
                let answers = calls.iter().map(|call| self.answer_call(call)).collect();
                (answers, calls.len())
            }
            Ok(call) => (self.answer_call(&call), 1),
            Err(_) => (
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "not JSON"}}),
                1,
            ),
        };
        *answer = value.to_string();
        u64::try_from(calls).unwrap()
    }
}

impl Stub {
    fn answer_call(&self, call: &Value) -> Value {
        let method = call["method"].as_str().unwrap_or_default();
        match self.result(method, &call["params"]) {
            Some(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
            None => json!({
                "jsonrpc": "2.0", "id": call["id"],
                "error": {"code": -32601, "message": format!("the stub has no {method}")},
            }),
        }
    }

    fn result(&self, method: &str, params: &Value) -> Option<Value> {
        Some(match method {
            "eth_chainId" => json!("0x14a34"),
            "eth_blockNumber" => json!(format!("{HEIGHT:#x}")),
            "eth_gasPrice" | "eth_maxPriorityFeePerGas" => json!("0xf4240"),
            "eth_getBalance" => json!("0x56bc75e2d63100000"),
            "eth_getTransactionCount" => json!("0x0"),
            "eth_getCode" if is_at(params, self.signer) || is_at(params, GAS_PRICE_ORACLE) => json!("0x"),
            "eth_getCode" => json!("0x60806040"),
            "eth_getLogs" => json!([]),
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" => Value::Null,
            "eth_getBlockByNumber" => block(),
            "eth_call" => {
                let call = &params[0];
                let input = call["input"].as_str().or(call["data"].as_str())?;
                json!(format!("0x{}", hex::encode(self.token(input)?)))
            }
            _ => return None,
        })
    }

    /// What the token says to this call.
    fn token(&self, input: &str) -> Option<Vec<u8>> {
        Some(match input.get(..10)? {
            // DOMAIN_SEPARATOR, decimals, name, version; balanceOf, authorizationState
            "0x3644e515" => self.separator.abi_encode(),
            "0x313ce567" => self.decimals.abi_encode(),
            "0x06fdde03" => self.name.abi_encode(),
            "0x54fd4d50" => self.version.abi_encode(),
            "0x70a08231" | "0xe94a0102" => U256::ZERO.abi_encode(),
            _ => return None,
        })
    }
}

fn is_at(params: &Value, address: Address) -> bool {
    params[0].as_str().and_then(|it| it.parse().ok()) == Some(address)
}

/// What a call of the lens is about.
#[derive(Clone, Copy)]
enum Asked {
    /// This many payments.
    Payments(usize),
    /// What the token's separator is, to find out whether the node runs the lens at all.
    Separator,
}

impl Asked {
    /// None when it is another call. Scans, since the text is long and all that matters stands at its front.
    fn read(body: &str) -> Option<Self> {
        const SEPARATOR_CALL: &str = "3644e51500000000000000000000000000000000000000000000000000000000";
        let arguments = body.find(&LENS[..WORD]).and_then(|at| body.get(at + LENS.len()..))?;
        let word = |at: usize| usize::from_str_radix(arguments.get(at * WORD + 48..(at + 1) * WORD)?, 16).ok();
        // Three caps, then where the list of items is; its first word is their number.
        let list = word(3)? / 32;
        let count = word(list).filter(|count| *count < ITEMS_MAX)?;
        if count == 1 && arguments.split('"').next()?.ends_with(SEPARATOR_CALL) {
            return Some(Self::Separator);
        }
        Some(Self::Payments(count))
    }
}

/// The request's id, as it stands there.
fn id_of(body: &str) -> &str {
    const NAME: &str = "\"id\":";
    let near = body.get(..100).and_then(|it| it.find(NAME));
    let at = near
        .or_else(|| body.rfind(NAME))
        .map_or(body.len(), |at| at + NAME.len());
    let rest = &body[at..];
    rest[..rest.find([',', '}']).unwrap_or(0)].trim()
}

/// `abi.encode(block.number, block.timestamp, Result[])`, every result good; each trial returned these bytes.
fn lens_answer(count: usize, returned: &[u8]) -> String {
    let number = |it: usize| u64::try_from(it).unwrap();
    let size = 10 * 32 + returned.len();
    let mut words: Vec<u64> = vec![HEIGHT, now(), 3 * 32, number(count)];
    words.extend((0..count).map(|it| number(32 * count + it * size)));
    let mut answer = format!("0x{}", digits(&words));
    for _ in 0..count {
        // starved, code at the payer, code at the token, signature, authorization, transferred,
        // balance, received, where the returned bytes are, their length
        let good = [0, 0, 1, 0, 0, 1, 1_000_000_000_000, VALUE, 9 * 32];
        answer += &digits(&good);
        answer += &digits(&[number(returned.len())]);
        answer += &hex::encode(returned);
    }
    answer
}

fn digits(words: &[u64]) -> String {
    words
        .iter()
        .fold(String::new(), |text, word| text + &format!("{word:064x}"))
}

fn block() -> Value {
    json!({
        "number": format!("{HEIGHT:#x}"),
        "hash": B256::repeat_byte(0x11),
        "parentHash": B256::repeat_byte(0x10),
        "timestamp": format!("{:#x}", now()),
        "baseFeePerGas": "0xf4240",
        "gasLimit": "0x3938700",
        "gasUsed": "0x0",
        "transactions": [],
    })
}

fn now() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.unwrap().as_secs()
}

/// A call of the lens about one payment, as a request to the stub.
pub(crate) fn lens_request() -> Vec<u8> {
    // The caps, the list's place and length, and as many words as a payment takes.
    let arguments = digits(&[60_000, 150_000, 300_000, 128, 1]) + &digits(&[0; 23]);
    let call = json!([{"data": format!("{LENS}{arguments}")}, "latest"]);
    http::post(
        "/",
        &json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": call}).to_string(),
    )
}
