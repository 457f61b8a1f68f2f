//! What one node has shown during one look: blocks by number, receipts by transaction.
//!
//! Fetches in batches and keeps what it got, so that a look asks for nothing twice and judges one picture.

use std::collections::{BTreeSet, HashMap};

use alloy::primitives::{B256, Bytes, U64, U256};
use alloy::sol_types::SolCall;
use serde::Deserialize;
use serde_json::json;

use super::eip3009::Token;
use super::evidence::{Header, Receipt, Target};
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::{ChainPoint, RailFault};

pub(super) const OPERATION: &str = "observe";

/// JSON-RPC's "invalid params": what a node answers that does not know the tag `finalized`.
pub(super) const INVALID_PARAMS: i64 = -32602;

/// How far below the head a block counts as finalized on a node that knows no finality: two epochs, the least
/// that proof-of-stake Ethereum takes.
const FINALITY_BLOCKS: u64 = 64;

/// What the node has shown so far.
pub(super) struct Node<'a> {
    rpc: &'a Pool,
    head: ChainPoint,
    finalized: ChainPoint,
    /// Canonical blocks: each was asked for by its number.
    headers: HashMap<u64, ChainPoint>,
    receipts: HashMap<B256, Receipt>,
}

#[derive(Deserialize)]
struct Sent {
    gas: U64,
}

impl<'a> Node<'a> {
    /// Asks in one batch for the newest and the newest finalized block, the blocks of these heights and the
    /// receipts of these transactions.
    ///
    /// # Errors
    /// The node could not be asked or has no finalized block. Only where it does not know the word is the
    /// block 64 below the head taken instead.
    pub(super) async fn look(rpc: &'a Pool, heights: BTreeSet<u64>, txs: BTreeSet<B256>) -> Result<Self, RailFault> {
        let mut calls = vec![header_call("latest"), header_call("finalized")];
        calls.extend(heights.iter().map(|height| header_call(&quantity(*height))));
        calls.extend(txs.iter().map(receipt_call));
        let mut answers = rpc.batch(OPERATION, &calls).await?.into_iter();
        let (Some(latest), Some(finalized)) = (answers.next(), answers.next()) else {
            return Err(rpc.fault(OPERATION, "the batch came back short"));
        };
        let refused = |e| rpc.refused(OPERATION, e);
        let head: ChainPoint = rpc.read::<Header>(OPERATION, &latest.map_err(refused)?)?.into();
        let mut headers = HashMap::from([(head.height, head.clone())]);
        for (height, answer) in heights.iter().zip(answers.by_ref()) {
            let header: Option<Header> = rpc.read(OPERATION, &answer.map_err(refused)?)?;
            // The head's own header goes first: it belongs to what else was seen at it.
            if let Some(block) = header.map(ChainPoint::from)
                && block.height == *height
            {
                headers.entry(*height).or_insert(block);
            }
        }
        let mut receipts = HashMap::new();
        for (tx, answer) in txs.iter().zip(answers) {
            let receipt: Option<Receipt> = rpc.read(OPERATION, &answer.map_err(refused)?)?;
            keep(rpc, &mut receipts, *tx, receipt)?;
        }
        let finalized = match finalized {
            Ok(header) => rpc.read::<Header>(OPERATION, &header)?.into(),
            Err(RpcError::Node { code, .. }) if code == INVALID_PARAMS => assumed_final(rpc, head.height).await?,
            Err(other) => return Err(refused(other)),
        };
        if finalized.height > head.height {
            return Err(rpc.fault(OPERATION, "the finalized block is above the newest"));
        }
        headers.insert(finalized.height, finalized.clone());
        Ok(Self {
            rpc,
            head,
            finalized,
            headers,
            receipts,
        })
    }

    /// The node behind this picture.
    pub(super) fn rpc(&self) -> &'a Pool {
        self.rpc
    }

    /// The newest block when the look began: what was not seen was not seen as of it.
    pub(super) fn head(&self) -> &ChainPoint {
        &self.head
    }

    /// The newest block seen during the look.
    pub(super) fn newest(&self) -> &ChainPoint {
        self.headers
            .values()
            .max_by_key(|block| block.height)
            .unwrap_or(&self.head)
    }

    /// The newest block that can no longer be undone.
    pub(super) fn finalized(&self) -> &ChainPoint {
        &self.finalized
    }

    /// Whether this canonical block can no longer be undone.
    pub(super) fn is_final(&self, block: &ChainPoint) -> bool {
        block.height <= self.finalized.height
    }

    /// The canonical block of this height, if it was fetched and exists.
    pub(super) fn header(&self, height: u64) -> Option<&ChainPoint> {
        self.headers.get(&height)
    }

    /// The block of this hash, if it was fetched and is the canonical one of its height.
    pub(super) fn canonical(&self, hash: &B256, height: u64) -> Option<&ChainPoint> {
        self.header(height).filter(|block| block.hash == hash.to_string())
    }

    /// The transaction's receipt and block, if it was fetched and is in a canonical one.
    pub(super) fn mined(&self, tx: &B256) -> Option<(&Receipt, &ChainPoint)> {
        let receipt = self.receipts.get(tx)?;
        Some((receipt, self.canonical(&receipt.block_hash, receipt.block_number.to())?))
    }

    /// Fetches the receipts that are not here yet. One that does not exist leaves no trace.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn fetch_receipts(&mut self, txs: Vec<B256>) -> Result<(), RailFault> {
        let missing: BTreeSet<B256> = txs.into_iter().filter(|tx| !self.receipts.contains_key(tx)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = missing.iter().map(receipt_call).collect();
        let answers = self.rpc.batch(OPERATION, &calls).await?;
        for (tx, answer) in missing.into_iter().zip(answers) {
            let result = answer.map_err(|e| self.rpc.refused(OPERATION, e))?;
            let receipt: Option<Receipt> = self.rpc.read(OPERATION, &result)?;
            keep(self.rpc, &mut self.receipts, tx, receipt)?;
        }
        Ok(())
    }

    /// Fetches the receipt of somebody's transaction. It may be as large as its sender liked to make it, so it
    /// is asked for by itself, and a failure is this transaction's alone.
    pub(super) async fn fetch_foreign(&mut self, tx: B256) {
        if self.receipts.contains_key(&tx) {
            return;
        }
        let answer = self.rpc.call_as(OPERATION, "eth_getTransactionReceipt", &[tx]).await;
        let kept = answer
            .map_err(|e| self.rpc.refused(OPERATION, e))
            .and_then(|receipt| keep(self.rpc, &mut self.receipts, tx, receipt));
        if let Err(fault) = kept {
            tracing::warn!(tx.id = %tx, error = %fault, "the receipt of another's transaction could not be read");
        }
    }

    /// Fetches the blocks of all receipts here.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn fetch_headers_of_receipts(&mut self) -> Result<(), RailFault> {
        let heights = self
            .receipts
            .values()
            .map(|receipt| receipt.block_number.to())
            .collect();
        self.fetch_headers(heights).await
    }

    /// Fetches the blocks of these heights that are not here yet.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn fetch_headers(&mut self, heights: BTreeSet<u64>) -> Result<(), RailFault> {
        let missing: Vec<u64> = heights
            .into_iter()
            .filter(|height| self.header(*height).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = missing.iter().map(|height| header_call(&quantity(*height))).collect();
        let answers = self.rpc.batch(OPERATION, &calls).await?;
        for (height, answer) in missing.into_iter().zip(answers) {
            let result = answer.map_err(|e| self.rpc.refused(OPERATION, e))?;
            let header: Option<Header> = self.rpc.read(OPERATION, &result)?;
            if let Some(block) = header.map(ChainPoint::from)
                && block.height == height
            {
                self.headers.insert(height, block);
            }
        }
        Ok(())
    }

    /// The gas limits of these transactions, as far as the node knows them.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn gas_limits(&self, txs: Vec<B256>) -> Result<Vec<(B256, u64)>, RailFault> {
        if txs.is_empty() {
            return Ok(Vec::new());
        }
        let calls: Vec<Call> = txs
            .iter()
            .map(|tx| Call {
                method: "eth_getTransactionByHash",
                params: json!([tx]),
            })
            .collect();
        let answers = self.rpc.batch(OPERATION, &calls).await?;
        let mut limits = Vec::new();
        for (tx, answer) in txs.into_iter().zip(answers) {
            let result = answer.map_err(|e| self.rpc.refused(OPERATION, e))?;
            if let Some(sent) = self.rpc.read::<Option<Sent>>(OPERATION, &result)? {
                limits.push((tx, sent.gas.to()));
            }
        }
        Ok(limits)
    }

    /// Whether each of these authorizations, named by any number, was spent by the finalized block. Those for
    /// which the node has no clear answer are left out.
    ///
    /// A node that has dropped the finalized block's state is asked about the head instead: an authorization
    /// never becomes unspent again, so one that is unspent at the head was so at every block below it. Of one
    /// that is spent at the head nothing follows.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn authorization_states(
        &self,
        targets: &[(usize, &Target)],
    ) -> Result<Vec<(usize, bool)>, RailFault> {
        let mut states = Vec::new();
        let mut refused = Vec::new();
        for (target, answer) in self.states_at(self.finalized.height, targets).await? {
            match answer {
                Some(used) => states.push((target.0, used)),
                None => refused.push(target),
            }
        }
        let at_head = self.states_at(self.head.height, &refused).await?;
        states.extend(
            at_head
                .into_iter()
                .filter(|(_, answer)| *answer == Some(false))
                .map(|(target, _)| (target.0, false)),
        );
        Ok(states)
    }

    async fn states_at<'t>(
        &self,
        height: u64,
        targets: &[(usize, &'t Target)],
    ) -> Result<Vec<((usize, &'t Target), Option<bool>)>, RailFault> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let calls: Vec<Call> = targets.iter().map(|(_, target)| state_call(target, height)).collect();
        let answers = self.rpc.batch(OPERATION, &calls).await?;
        let mut states = Vec::with_capacity(targets.len());
        for (target, answer) in targets.iter().zip(answers) {
            let state = match answer {
                Ok(word) => flag(&self.rpc.read(OPERATION, &word)?),
                Err(RpcError::Node { .. }) => None,
                Err(RpcError::Fault(fault)) => return Err(fault),
            };
            states.push((*target, state));
        }
        Ok(states)
    }
}

async fn assumed_final(rpc: &Pool, head: u64) -> Result<ChainPoint, RailFault> {
    let height = head.saturating_sub(FINALITY_BLOCKS);
    rpc.call_as::<Header>(OPERATION, "eth_getBlockByNumber", &(quantity(height), false))
        .await
        .map(ChainPoint::from)
        .map_err(|e| rpc.refused(OPERATION, e))
}

fn keep(
    rpc: &Pool,
    receipts: &mut HashMap<B256, Receipt>,
    tx: B256,
    receipt: Option<Receipt>,
) -> Result<(), RailFault> {
    if let Some(receipt) = receipt {
        if receipt.transaction_hash != tx {
            return Err(rpc.fault(OPERATION, "the receipt is another transaction's"));
        }
        receipts.insert(tx, receipt);
    }
    Ok(())
}

/// A Solidity `bool`: one whole word, 0 or 1.
fn flag(word: &Bytes) -> Option<bool> {
    let word: [u8; 32] = word.as_ref().try_into().ok()?;
    match U256::from_be_bytes(word) {
        U256::ZERO => Some(false),
        U256::ONE => Some(true),
        _ => None,
    }
}

/// A number as the Ethereum JSON-RPC writes it.
pub(super) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn header_call(block: &str) -> Call {
    Call {
        method: "eth_getBlockByNumber",
        params: json!([block, false]),
    }
}

fn receipt_call(tx: &B256) -> Call {
    Call {
        method: "eth_getTransactionReceipt",
        params: json!([tx]),
    }
}

fn state_call(target: &Target, height: u64) -> Call {
    let input = Token::authorizationStateCall {
        authorizer: target.payer,
        nonce: target.nonce,
    };
    let input = Bytes::from(input.abi_encode());
    Call {
        method: "eth_call",
        params: json!([{"to": target.asset, "input": input, "data": input}, quantity(height)]),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use serde_json::Value;

    use super::*;
    use crate::chain::rpc::tests::node;

    fn block(height: u64) -> Value {
        json!({"number": quantity(height), "hash": B256::with_last_byte(9), "timestamp": "0x64", "transactions": []})
    }

    /// A first look with nothing to look for: the newest block is 100, `finalized` as given.
    fn opening(finalized: &Value) -> (u16, String) {
        let mut second = json!({"id": 2});
        second
            .as_object_mut()
            .unwrap()
            .extend(finalized.as_object().unwrap().clone());
        (200, json!([{"id": 1, "result": block(100)}, second]).to_string())
    }

    async fn finalized(answers: Vec<(u16, String)>) -> Result<u64, RailFault> {
        let rpc = Pool::alone(node(answers));
        let look = Node::look(&rpc, BTreeSet::new(), BTreeSet::new()).await?;
        Ok(look.finalized().height)
    }

    #[tokio::test]
    async fn finality_is_assumed_only_of_a_node_that_does_not_know_the_word() {
        let error = |code: i64| json!({"error": {"code": code, "message": "no"}});
        let assumed = (200, json!({"id": 3, "result": block(36)}).to_string());
        let known = finalized(vec![opening(&json!({"result": block(90)}))]).await;
        assert_eq!(known.unwrap(), 90);
        let unknown = finalized(vec![opening(&error(INVALID_PARAMS)), assumed]).await;
        assert_eq!(unknown.unwrap(), 36);
        for answer in [
            error(-39001),
            error(-32005),
            json!({"result": null}),
            json!({"result": block(101)}),
        ] {
            assert!(finalized(vec![opening(&answer)]).await.is_err(), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_dropped_state_is_made_up_for_by_an_unspent_one_at_the_head() {
        let target = Target {
            asset: Address::ZERO,
            payer: Address::ZERO,
            pay_to: Address::ZERO,
            value: U256::ZERO,
            nonce: B256::ZERO,
        };
        let (no, yes, odd) = (B256::ZERO, B256::with_last_byte(1), B256::with_last_byte(2));
        let refusal = json!({"code": -32000, "message": "missing trie node"});
        let first = json!([
            {"id": 3, "result": no}, {"id": 4, "result": yes}, {"id": 5, "result": odd},
            {"id": 6, "error": refusal}, {"id": 7, "error": refusal}, {"id": 8, "result": "0x"},
        ]);
        let second = json!([
            {"id": 9, "result": odd}, {"id": 10, "result": no}, {"id": 11, "result": yes},
            {"id": 12, "error": refusal},
        ]);
        let opening = opening(&json!({"result": block(90)}));
        let rpc = Pool::alone(node(vec![opening, (200, first.to_string()), (200, second.to_string())]));
        let look = Node::look(&rpc, BTreeSet::new(), BTreeSet::new()).await.unwrap();
        let asked: Vec<_> = (0..6).map(|at| (at, &target)).collect();
        let states = look.authorization_states(&asked).await.unwrap();
        assert_eq!(states, [(0, false), (1, true), (3, false)]);
    }
}
