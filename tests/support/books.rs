//! Our books held against the chain: what every test that settles anything ends with.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;
use serde_json::{Value, json};

use super::anvil::{Anvil, number, parse};
use super::contracts::Token;
use super::database::Database;
use super::payer::NETWORK;
use super::world::World;

#[derive(Debug, sqlx::FromRow)]
struct Payment {
    state: String,
    asset: String,
    payer: String,
    pay_to: String,
    amount: String,
    nonce: String,
    landed_tx: Option<String>,
    landed_log_index: Option<i64>,
    landed_hash: Option<String>,
    evidence: i64,
}

const PAYMENTS: &str = "select s.state, p.asset, p.payer, p.pay_to, p.amount::text as amount, p.nonce,
        s.landed_tx, s.landed_log_index, s.landed_hash,
        (select count(*) from evidence e where e.payment_id = p.id and e.claim = 'landed' and e.tx = s.landed_tx
            and e.log_index = s.landed_log_index and e.block_hash = s.landed_hash) as evidence
    from payments p join settlements s on s.payment_id = p.id where p.network = $1";

/// Rules that the database can be asked for alone; each names the rows that break it.
const RULES: [(&str, &str); 7] = [
    (
        "every payment has a settlement",
        "select p.id::text from payments p left join settlements s on s.payment_id = p.id where s.payment_id is null",
    ),
    (
        "a lane's slots are contiguous, from its first nonce to its next",
        "select l.signer from lanes l left join slots s on s.network = l.network and s.signer = l.signer
            group by l.network, l.signer, l.first_nonce, l.next_nonce
            having count(s.nonce) <> l.next_nonce - l.first_nonce
                or min(s.nonce) <> l.first_nonce or max(s.nonce) <> l.next_nonce - 1",
    ),
    (
        "every slot has signed bytes on record, unless somebody else has spent it",
        "select s.signer || '/' || s.nonce from slots s where s.consumed_by is distinct from 'foreign' and not exists (select 1 from chain_transactions t
            where t.network = s.network and t.signer = s.signer and t.nonce = s.nonce)",
    ),
    (
        "the ledger's open and posted movements are those that the states ask for",
        "select p.id::text from payments p join settlements s on s.payment_id = p.id
            left join ledger_entries e on e.payment_id = p.id and e.purpose = 'payment'
            group by p.id, s.state
            having count(*) filter (where e.stage = 'posted') <> (s.state = 'final')::int
                or count(*) filter (where e.stage = 'pending') - count(*) filter (where e.stage = 'voided')
                    <> (s.state in ('confirmed', 'final'))::int",
    ),
    (
        "the ledger moves what was paid, from the payer to the merchant, and a refund back",
        "select e.id::text from ledger_entries e join payments p on p.id = e.payment_id
            left join refund_attempts a on a.key = p.key
            where e.purpose = 'payment' and (e.amount <> p.amount or e.asset <> p.asset
                or e.debit <> case when a.key is null then 'payer:' else 'merchant:' end || p.payer
                or e.credit <> case when a.key is null then 'merchant:' else 'payer:' end || p.pay_to)",
    ),
    (
        "what is refunded is within the payment, and is what its refunds say",
        "select p.id::text from payments p left join refund_totals t on t.payment_id = p.id
            left join refunds r on r.payment_id = p.id
            group by p.id, p.amount, t.recorded, t.paid
            having coalesce(t.recorded, 0) > p.amount
                or coalesce(t.recorded, 0)
                    <> coalesce(sum(r.amount) filter (where r.state in ('awaiting', 'executing', 'paid')), 0)
                or coalesce(t.paid, 0) <> coalesce(sum(r.amount) filter (where r.state = 'paid'), 0)",
    ),
    (
        "every version that a settlement took has its event",
        "select s.payment_id::text from settlements s left join events e on e.payment_id = s.payment_id
            group by s.payment_id, s.version
            having count(e.seq) <> max(e.version) - min(e.version) + 1 or max(e.version) <> s.version",
    ),
];

/// Holds the books against the chain; panics at the first difference.
pub(crate) async fn books_agree(world: &World) {
    books_agree_on(world, NETWORK, &world.node).await;
}

/// Holds the books of one network against its chain.
pub(crate) async fn books_agree_on<N>(world: &World<N>, network: &str, anvil: &Anvil) {
    records_agree(&world.db).await;
    let payments: Vec<Payment> = sqlx::query_as(PAYMENTS)
        .bind(network)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    for payment in &payments {
        payment_agrees(anvil, payment).await;
    }
    transactions_agree(world, network, anvil).await;
}

/// Holds the records against one another.
pub(crate) async fn records_agree(db: &Database) {
    for (rule, sql) in RULES {
        let broken: Vec<String> = sqlx::query_scalar(sql).fetch_all(&db.pool).await.unwrap();
        assert!(broken.is_empty(), "broken: {rule}: {broken:?}");
    }
}

/// A payment that counts as paid stands in the chain exactly once, where the record says; one that counts as
/// unpaid for good does not.
async fn payment_agrees(anvil: &Anvil, payment: &Payment) {
    let transfers = transfers_of(anvil, payment).await;
    match payment.state.as_str() {
        "confirmed" | "final" => {
            let [(used, transfer)] = transfers.as_slice() else {
                panic!("{} transfers on the chain for {payment:?}", transfers.len());
            };
            assert_eq!(
                used["transactionHash"].as_str(),
                payment.landed_tx.as_deref(),
                "{payment:?}"
            );
            assert_eq!(
                used["blockHash"].as_str(),
                payment.landed_hash.as_deref(),
                "{payment:?}"
            );
            assert_eq!(
                i64::try_from(number(&transfer["logIndex"])).ok(),
                payment.landed_log_index,
                "{payment:?}"
            );
            assert!(payment.evidence > 0, "no evidence for {payment:?}");
        }
        "failed" | "withdrawn" => assert!(transfers.is_empty(), "paid after all: {payment:?}"),
        "reserved" | "in_flight" => assert!(transfers.len() < 2, "paid twice: {payment:?}"),
        other => panic!("no such state: {other}"),
    }
}

/// Each use of the payment's authorization in the chain, with the transfer of exactly its amount to its recipient
/// that follows in the same transaction before anybody else's use.
async fn transfers_of(anvil: &Anvil, payment: &Payment) -> Vec<(Value, Value)> {
    let token: Address = payment.asset.parse().unwrap();
    let (payer, nonce): (Address, B256) = (payment.payer.parse().unwrap(), payment.nonce.parse().unwrap());
    let uses = anvil
        .logs(
            token,
            json!([Token::AuthorizationUsed::SIGNATURE_HASH, payer.into_word(), nonce]),
        )
        .await;
    let mut found = Vec::new();
    for used in uses {
        let receipt = anvil.receipt(used["transactionHash"].as_str().unwrap()).await;
        let logs = receipt["logs"].as_array().unwrap();
        let rest = logs
            .iter()
            .filter(|log| number(&log["logIndex"]) > number(&used["logIndex"]));
        let until_next_use = rest.take_while(|log| topic(log, 0) != Token::AuthorizationUsed::SIGNATURE_HASH);
        let transfer = until_next_use.into_iter().find(|log| {
            parse::<Address>(&log["address"]) == token
                && topic(log, 0) == Token::Transfer::SIGNATURE_HASH
                && topic(log, 1) == payer.into_word()
                && topic(log, 2) == payment.pay_to.parse::<Address>().unwrap().into_word()
                && parse::<U256>(&log["data"]) == payment.amount.parse::<U256>().unwrap()
        });
        found.extend(transfer.map(|transfer| (used.clone(), transfer.clone())));
    }
    found
}

fn topic(log: &Value, index: usize) -> B256 {
    parse(&log["topics"][index])
}

#[derive(Debug, sqlx::FromRow)]
struct Transaction {
    tx: String,
    nonce: i64,
    block_hash: Option<String>,
}

/// The chain shows no transaction of our signers that is not on record, as ours or as somebody else's, and each where the
/// record says.
async fn transactions_agree<N>(world: &World<N>, network: &str, anvil: &Anvil) {
    let sql = "select tx, nonce, block_hash from chain_transactions where network = $1";
    let recorded: Vec<Transaction> = sqlx::query_as(sql)
        .bind(network)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    let recorded: HashMap<&str, &Transaction> = recorded.iter().map(|it| (it.tx.as_str(), it)).collect();
    let signers: Vec<Address> = world.facilitator.config.evm[0]
        .signers
        .iter()
        .map(|it| it.address)
        .collect();
    let sql = "select signer, nonce from slots where network = $1 and consumed_by = 'foreign'";
    let foreign: Vec<(String, i64)> = sqlx::query_as(sql)
        .bind(network)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    let foreign: Vec<(Address, i64)> = foreign
        .iter()
        .map(|(signer, nonce)| (signer.parse().unwrap(), *nonce))
        .collect();
    for height in 0..=anvil.block_number().await {
        let block = anvil
            .call("eth_getBlockByNumber", json!([format!("{height:#x}"), true]))
            .await;
        for tx in block["transactions"].as_array().into_iter().flatten() {
            if !signers.contains(&parse(&tx["from"])) {
                continue;
            }
            let Some(known) = recorded.get(tx["hash"].as_str().unwrap()) else {
                let place = (parse(&tx["from"]), i64::try_from(number(&tx["nonce"])).unwrap());
                assert!(foreign.contains(&place), "not on record: {tx}");
                continue;
            };
            assert_eq!(i64::try_from(number(&tx["nonce"])).ok(), Some(known.nonce), "{known:?}");
            let block_hash = tx["blockHash"].as_str();
            assert!(
                known.block_hash.as_deref().is_none_or(|hash| Some(hash) == block_hash),
                "{known:?}"
            );
        }
    }
}
