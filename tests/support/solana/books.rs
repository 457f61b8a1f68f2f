//! Our books held against a Solana chain: what every test that settles anything there ends with.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::payer::NETWORK;
use super::programs::associated_account;
use super::surfpool::Surfpool;
use super::world::SolanaWorld;
use crate::support::books::records_agree;

/// Where the official client's layout has the transfer.
const TRANSFER_AT: i64 = 2;

#[derive(Debug, sqlx::FromRow)]
struct Payment {
    state: String,
    asset: String,
    payer: String,
    pay_to: String,
    amount: String,
    landed_tx: Option<String>,
    landed_log_index: Option<i64>,
    landed_height: Option<i64>,
    landed_hash: Option<String>,
    evidence: i64,
    /// What carries it; the same message has the same name, so there is never a second.
    txs: Vec<String>,
    /// What the ledger says that carrying it has cost, in lamports.
    gas: String,
}

const PAYMENTS: &str = "select s.state, p.asset, p.payer, p.pay_to, p.amount::text as amount,
        s.landed_tx, s.landed_log_index, s.landed_height, s.landed_hash,
        (select count(*) from evidence e where e.payment_id = p.id and e.claim = 'landed' and e.tx = s.landed_tx
            and e.log_index = s.landed_log_index and e.block_hash = s.landed_hash) as evidence,
        array(select t.tx from settlement_attempts a join chain_transactions t
            on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce where a.payment_id = p.id) as txs,
        (select coalesce(sum(amount), 0)::text from ledger_entries e
            where e.payment_id = p.id and e.purpose = 'gas') as gas
    from payments p join settlements s on s.payment_id = p.id where p.network = $1";

/// Holds the books against the chain; panics at the first difference.
pub(crate) async fn books_agree(world: &SolanaWorld) {
    records_agree(&world.db).await;
    let payments: Vec<Payment> = sqlx::query_as(PAYMENTS)
        .bind(NETWORK)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    for payment in &payments {
        payment_agrees(&world.node, payment).await;
    }
    accounts_agree(&world.node, &payments).await;
    fees_agree(world).await;
}

/// A payment that counts as paid stands in the chain where the record says; one that counts as unpaid for good does
/// not stand there.
async fn payment_agrees(node: &Surfpool, payment: &Payment) {
    assert!(payment.txs.len() < 2, "carried twice: {payment:?}");
    let mut found = None;
    if let Some(tx) = payment.txs.first() {
        found = node.transaction(tx).await;
    }
    let moved = found.as_ref().is_some_and(|it| has_moved(it, payment));
    match payment.state.as_str() {
        "confirmed" | "final" => {
            assert!(moved, "not paid: {payment:?}: {found:?}");
            let found = found.unwrap();
            assert_eq!(payment.landed_tx.as_ref(), payment.txs.first(), "{payment:?}");
            assert_eq!(payment.landed_log_index, Some(TRANSFER_AT), "{payment:?}");
            assert_eq!(payment.landed_height, found["slot"].as_i64(), "{payment:?}");
            let how = json!({"commitment": "confirmed", "transactionDetails": "none", "rewards": false});
            let block = node.call("getBlock", json!([found["slot"], how])).await;
            assert_eq!(
                payment.landed_hash.as_deref(),
                block["blockhash"].as_str(),
                "{payment:?}"
            );
            assert!(payment.evidence > 0, "no evidence for {payment:?}");
        }
        "failed" | "withdrawn" => assert!(!moved, "paid after all: {payment:?}"),
        "reserved" | "in_flight" => {}
        other => panic!("no such state: {other}"),
    }
    if matches!(payment.state.as_str(), "final" | "failed") {
        let fee = match payment.txs.first() {
            Some(tx) => node.transaction(tx).await.map_or(0, |it| fee_of(&it)),
            None => 0,
        };
        assert_eq!(payment.gas, fee.to_string(), "{payment:?}");
    }
}

fn fee_of(transaction: &Value) -> u64 {
    transaction["meta"]["fee"].as_u64().unwrap()
}

/// Whether the transaction succeeded and the recipient then had exactly the amount more, the payer that much less.
fn has_moved(transaction: &Value, payment: &Payment) -> bool {
    let amount: i128 = payment.amount.parse().unwrap();
    let change = |owner: &str| {
        let sum = |balances: &Value| -> i128 {
            let of_owner = balances.as_array().into_iter().flatten();
            of_owner
                .filter(|it| it["owner"] == owner && it["mint"] == payment.asset.as_str())
                .map(|it| it["uiTokenAmount"]["amount"].as_str().unwrap().parse::<i128>().unwrap())
                .sum()
        };
        sum(&transaction["meta"]["postTokenBalances"]) - sum(&transaction["meta"]["preTokenBalances"])
    };
    transaction["meta"]["err"].is_null() && change(&payment.pay_to) == amount && change(&payment.payer) == -amount
}

/// Every recipient has what the payments that stand in the chain brought, and nothing came from elsewhere.
async fn accounts_agree(node: &Surfpool, payments: &[Payment]) {
    let programs: HashMap<Pubkey, Pubkey> = node.at.mints.values().map(|it| (it.address, it.program)).collect();
    let mut by_account: BTreeMap<Pubkey, Vec<&Payment>> = BTreeMap::new();
    for payment in payments {
        let (owner, mint): (Pubkey, Pubkey) = (payment.pay_to.parse().unwrap(), payment.asset.parse().unwrap());
        let account = associated_account(owner, programs[&mint], mint);
        by_account.entry(account).or_default().push(payment);
    }
    for (account, payments) in by_account {
        let expected: HashMap<&str, u64> = payments
            .iter()
            .filter_map(|it| Some((it.txs.first()?.as_str(), it.amount.parse().unwrap())))
            .collect();
        let mut brought = 0;
        let mut succeeded = HashSet::new();
        for (tx, has_failed) in node.history(account).await {
            if has_failed {
                continue;
            }
            let amount = expected
                .get(tx.as_str())
                .unwrap_or_else(|| panic!("not on record: {tx}"));
            brought += amount;
            assert!(succeeded.insert(tx.clone()), "listed twice: {tx}");
        }
        assert_eq!(node.tokens(account).await, brought, "{account}: {payments:?}");
    }
}

#[derive(Debug, sqlx::FromRow)]
struct Transaction {
    tx: String,
    status: String,
    block_hash: Option<String>,
    cost: Option<String>,
}

/// The chain shows no transaction of our fee payers that is not on record, and each at the cost on record. What they
/// have spent is what the transactions cost; this node's word on a cost leaves out the price paid for compute units,
/// which is 1 lamport in the official client's layout.
async fn fees_agree(world: &SolanaWorld) {
    let sql = "select tx, status, block_hash, cost::text as cost from chain_transactions where network = $1";
    let recorded: Vec<Transaction> = sqlx::query_as(sql)
        .bind(NETWORK)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    let recorded: HashMap<&str, &Transaction> = recorded.iter().map(|it| (it.tx.as_str(), it)).collect();
    let at = &world.node.at;
    let (mut fees, mut count) = (0, 0);
    for key in at.fee_payers.iter().chain([&at.retired_fee_payer]) {
        for (tx, _) in world.node.history(key.address).await {
            let known = recorded
                .get(tx.as_str())
                .unwrap_or_else(|| panic!("not on record: {tx}"));
            let found = world.node.transaction(&tx).await.unwrap();
            fees += fee_of(&found);
            count += 1;
            assert_ne!(known.status, "dead", "{known:?}");
            if known.status == "mined" {
                assert_eq!(known.cost, Some(fee_of(&found).to_string()), "{known:?}");
                assert!(known.block_hash.is_some(), "{known:?}");
            }
        }
    }
    let spent = world.lamports_spent().await;
    assert!(
        (fees..=fees + count).contains(&spent),
        "spent {spent}, for fees of {fees}"
    );
}
