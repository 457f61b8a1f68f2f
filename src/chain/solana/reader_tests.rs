//! The reader against a node that answers by script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use solana_hash::Hash;

use super::super::node::BLOCKHASH_BLOCKS;
use super::super::programs::TOKEN;
use super::super::trials::{Draft, MINT, OURS, account, destination, listing, request, source};
use super::super::{Listing, payload};
use super::*;
use crate::chain::pool::Pool;
use crate::chain::rpc::tests::node;

const NEWEST: u64 = 1_000;

fn hash(block: u64) -> Hash {
    let mut bytes = [0xaa; 32];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    Hash::new_from_array(bytes)
}

fn sysvar(newest: u64) -> Vec<u8> {
    let mut data = 150_u64.to_le_bytes().to_vec();
    for block in (newest.checked_sub(149).unwrap()..=newest).rev() {
        data.extend(hash(block).to_bytes());
        data.extend(5_000_u64.to_le_bytes());
    }
    data
}

fn latest(block: u64) -> LatestBlockhash {
    LatestBlockhash {
        blockhash: hash(block),
        last_valid_block_height: block.checked_add(BLOCKHASH_BLOCKS).unwrap(),
    }
}

/// A payment whose transaction names this block.
fn body(block: u64) -> Body {
    let draft = Draft {
        blockhash: hash(block),
        ..Draft::good()
    };
    let listing: Listing = listing();
    let request = request(&draft.wire(), &json!({ "feePayer": account(OURS).to_string() }));
    Body::decode(&payload::decode(&listing, &request).unwrap().body).unwrap()
}

fn in_context(value: &Value) -> Value {
    json!({ "result": { "context": { "slot": 1 }, "value": value } })
}

fn trial(err: &Value) -> Value {
    in_context(&json!({ "err": err, "logs": [] }))
}

fn shown(owner: &Pubkey, data: &[u8]) -> Value {
    json!({ "lamports": 1, "owner": owner.to_string(), "data": [STANDARD.encode(data), "base64"] })
}

/// The answers to one batch, whose ids go on from `first`.
fn batch(first: u64, answers: &[Value]) -> (u16, String) {
    let answers = answers.iter().zip(first..).map(|(answer, id)| {
        let mut answer = answer.clone();
        answer["id"] = id.into();
        answer
    });
    (200, Value::Array(answers.collect()).to_string())
}

fn reader(script: Vec<(u16, String)>, block_time: Duration) -> Reader {
    let mut blockhashes = Blockhashes::default();
    blockhashes.learn(latest(NEWEST), &sysvar(NEWEST)).unwrap();
    Reader::new(
        Arc::new(Node::new(Pool::alone(node(script)), true)),
        blockhashes,
        block_time,
    )
}

const LONG: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_payment_with_a_known_blockhash_is_read_with_its_accounts_alone() {
    let body = body(NEWEST - 10);
    // Each with the first byte of its address.
    let mut addresses = [
        source(MINT, TokenProgram::Token),
        destination(MINT, TokenProgram::Token),
    ];
    addresses.sort();
    let accounts: Vec<Value> = addresses.iter().map(|it| shown(&TOKEN, &it.as_ref()[..1])).collect();
    let answers = [in_context(&accounts.into()), trial(&Value::Null)];
    let reader = reader(vec![batch(1, &answers)], LONG);
    let findings = reader.read(&[&body]).await.unwrap();
    let [Some(finding)] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    let data = |account: &Option<Account>| account.as_ref().unwrap().data.clone();
    assert_eq!(data(&finding.source), [source(MINT, TokenProgram::Token).as_ref()[0]]);
    assert_eq!(
        data(&finding.destination),
        [destination(MINT, TokenProgram::Token).as_ref()[0]]
    );
    assert_eq!(
        (finding.lifetime.height, finding.lifetime.blocks_left),
        (NEWEST - 10, 140)
    );
    assert!(matches!(&finding.trial, Trial::Ran(simulated) if simulated.err.is_none()));
}

#[tokio::test]
async fn blockhashes_are_asked_for_when_one_is_not_known_or_time_has_passed() {
    for (block, block_time) in [(NEWEST + 5, LONG), (NEWEST, Duration::ZERO)] {
        let mut addresses = [
            source(MINT, TokenProgram::Token),
            destination(MINT, TokenProgram::Token),
            RECENT_BLOCKHASHES,
        ];
        addresses.sort();
        let accounts: Vec<Value> = addresses
            .iter()
            .map(|it| {
                if *it == RECENT_BLOCKHASHES {
                    shown(&TOKEN, &sysvar(NEWEST + 20))
                } else {
                    Value::Null
                }
            })
            .collect();
        let newest = json!({
            "blockhash": hash(NEWEST + 20).to_string(),
            "lastValidBlockHeight": NEWEST + 20 + BLOCKHASH_BLOCKS,
        });
        let answers = [in_context(&newest), in_context(&accounts.into()), trial(&Value::Null)];
        let reader = reader(vec![batch(1, &answers)], block_time);
        let findings = reader.read(&[&body(block)]).await.unwrap();
        let lifetime = findings[0].as_ref().unwrap().lifetime;
        assert_eq!((lifetime.height, lifetime.blocks_left), (block, block + 130 - NEWEST));
    }
}

#[tokio::test]
async fn a_blockhash_that_the_confirmed_block_does_not_know_is_tried_in_the_newest_one() {
    let (old, good) = (body(NEWEST - 1), body(NEWEST - 2));
    let not_found = trial(&json!("BlockhashNotFound"));
    let accounts = in_context(&json!([null, null]));
    for (second, is_forgotten) in [(trial(&Value::Null), false), (not_found.clone(), true)] {
        let (status, body) = batch(4, &[second]);
        let alone = body.trim_start_matches('[').trim_end_matches(']').to_owned();
        let first = [accounts.clone(), not_found.clone(), trial(&Value::Null)];
        let reader = reader(vec![batch(1, &first), (status, alone)], LONG);
        let findings = reader.read(&[&old, &good]).await.unwrap();
        let forgotten: Vec<_> = findings.iter().flatten().map(|it| it.trial.is_forgotten()).collect();
        assert_eq!(forgotten, [is_forgotten, false]);
    }
}

#[tokio::test]
async fn a_node_that_cannot_answer_is_a_fault_and_one_that_cannot_read_the_transaction_is_not() {
    let body = body(NEWEST);
    let accounts = in_context(&json!([null, null]));
    let error = |code: i64| json!({ "error": { "code": code, "message": "no" } });
    let good = trial(&Value::Null);
    for (answers, is_fault) in [
        ([accounts.clone(), error(INVALID_PARAMS)], false),
        ([accounts.clone(), error(-32_005)], true),
        ([accounts.clone(), error(-32_603)], true),
        ([accounts.clone(), json!({ "result": null })], true),
        ([accounts.clone(), in_context(&json!(null))], true),
        ([error(INVALID_PARAMS), good.clone()], true),
        ([in_context(&json!([null])), good.clone()], true),
        ([in_context(&json!([null, null, null])), good.clone()], true),
        ([in_context(&json!([null, { "lamports": 1 }])), good.clone()], true),
        ([in_context(&json!([null, shown(&TOKEN, &[])])), good], false),
    ] {
        let reader = reader(vec![batch(1, &answers)], LONG);
        let outcome = reader.read(&[&body]).await;
        assert_eq!(outcome.is_err(), is_fault, "{answers:?}: {outcome:?}");
    }
}
