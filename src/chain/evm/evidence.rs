//! What a receipt and its logs prove about a payment. Pure: the watcher fetches, this judges.
//!
//! A status proves nothing by itself: some tokens swallow a used nonce without failing. A payment has landed
//! where the token says, in one transaction, that this authorization was used and then that exactly its amount
//! went from its payer to its recipient.

use alloy::primitives::{Address, B256, Bytes, U64, U128, U256, b256};
use serde::Deserialize;

use super::eip3009::MULTICALL3;
use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::time::Timestamp;
use crate::seeded::Bug;

/// `AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)` (EIP-3009).
pub(super) const AUTHORIZATION_USED: B256 = b256!("98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5");

/// `AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce)` (EIP-3009).
pub(super) const AUTHORIZATION_CANCELED: B256 =
    b256!("1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81");

/// `Transfer(address indexed from, address indexed to, uint256 value)` (ERC-20).
pub(super) const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// What the chain's logs must say for a payment to have landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The token.
    pub(super) asset: Address,
    /// Who signed.
    pub(super) payer: Address,
    /// Who must receive.
    pub(super) pay_to: Address,
    /// Exactly how much, in atomic units.
    pub(super) value: U256,
    /// The authorization's nonce.
    pub(super) nonce: B256,
}

impl Target {
    /// The target of an authorization that this rail decoded; nothing when its texts are not of this rail's form.
    pub(super) fn of(authorization: &Authorization) -> Option<Self> {
        Some(Self {
            asset: authorization.asset.parse().ok()?,
            payer: authorization.payer.parse().ok()?,
            pay_to: authorization.pay_to.parse().ok()?,
            value: U256::from(authorization.amount.units()),
            nonce: authorization.nonce.parse().ok()?,
        })
    }

    fn is_used_by(&self, log: &Log) -> bool {
        (log.address == self.asset || Bug::AnyTokenLands.is_on())
            && log.topics == [AUTHORIZATION_USED, self.payer.into_word(), self.nonce]
    }

    /// Whether the log says that the payer cancelled this authorization.
    pub(super) fn is_canceled_by(&self, log: &Log) -> bool {
        log.address == self.asset && log.topics == [AUTHORIZATION_CANCELED, self.payer.into_word(), self.nonce]
    }

    /// Whether the log says that this authorization is gone, one way or the other.
    pub(super) fn is_spent_by(&self, log: &Log) -> bool {
        self.is_used_by(log) || self.is_canceled_by(log)
    }

    fn is_paid_by(&self, log: &Log) -> bool {
        log.topics == [TRANSFER, self.payer.into_word(), self.pay_to.into_word()]
            && (log.data.as_ref() == self.value.to_be_bytes::<32>() || Bug::AnyAmountLands.is_on())
    }
}

/// A log as nodes give it (Ethereum JSON-RPC, `Log`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    /// Which contract says it.
    pub(super) address: Address,
    /// What, and its indexed fields.
    pub(super) topics: Vec<B256>,
    /// Its other fields.
    pub(super) data: Bytes,
    /// Its place in the block.
    #[serde(rename = "logIndex")]
    pub(super) index: U64,
    /// The block's number.
    pub(super) block_number: U64,
    /// The block's hash.
    pub(super) block_hash: B256,
    /// The transaction.
    pub(super) transaction_hash: B256,
    /// The node has undone it.
    #[serde(default)]
    pub(super) removed: bool,
}

/// A receipt as nodes give it (Ethereum JSON-RPC, `ReceiptInfo`); `l1Fee` is the OP stack's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    /// The transaction.
    pub(super) transaction_hash: B256,
    /// The block's number.
    pub(super) block_number: U64,
    /// The block's hash.
    pub(super) block_hash: B256,
    /// Who sent it, as every node says.
    pub(super) from: Option<Address>,
    /// What it called; absent where it deployed.
    pub(super) to: Option<Address>,
    /// 1 when it succeeded, 0 when it failed and was undone.
    pub(super) status: U64,
    /// The gas that was paid for.
    pub(super) gas_used: U64,
    /// What each unit of it cost, in wei.
    pub(super) effective_gas_price: U128,
    /// What the data cost on the underlying chain, in wei.
    pub(super) l1_fee: Option<U128>,
    /// What the contracts said, in order.
    pub(super) logs: Vec<Log>,
}

impl Receipt {
    /// The transaction succeeded. Whether it did what it was for is another matter.
    pub(super) fn is_success(&self) -> bool {
        self.status == U64::from(1)
    }

    /// It carried its payments through Multicall3, so that each could fail by itself.
    pub(super) fn is_batch(&self) -> bool {
        self.to == Some(MULTICALL3)
    }

    /// Everything the transaction cost, in wei. An OP chain's operator fee is not in receipts as an amount and
    /// not counted; it is zero on Base and OP Mainnet.
    pub(super) fn cost(&self) -> Amount {
        if Bug::CostIsZero.is_on() {
            return Amount::ZERO;
        }
        let gas = u128::from(self.gas_used.to::<u64>());
        let price = self.effective_gas_price.to::<u128>();
        let l1_fee = self.l1_fee.filter(|_| !Bug::DataFeeLeftOut.is_on());
        let l1_fee = l1_fee.unwrap_or_default().to::<u128>();
        Amount::from_units(gas.saturating_mul(price).saturating_add(l1_fee))
    }

    /// The transaction's name.
    pub(super) fn tx(&self) -> TxId {
        TxId(self.transaction_hash.to_string())
    }
}

/// A block's header, as much as is needed (Ethereum JSON-RPC, `Block`).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Header {
    number: U64,
    hash: B256,
    timestamp: U64,
}

impl From<Header> for ChainPoint {
    fn from(header: Header) -> Self {
        Self {
            height: header.number.to(),
            hash: header.hash.to_string(),
            time: Timestamp(header.timestamp.to()),
        }
    }
}

/// What one transaction did with one authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing, or it was undone.
    None,
    /// Used it for exactly the payment: the transfer's place in the block.
    Paid {
        /// The `Transfer` log's index within the block.
        log_index: u64,
    },
    /// Used it, and the transfer that followed is not the payment, or none followed.
    Otherwise,
}

/// What the transaction did with the authorization. The transfer that belongs to a use is the token's next
/// `Transfer` after it, and none when the token reports another use before (FiatToken emits the two next to
/// each other: circlefin/stablecoin-evm, `v2/EIP3009.sol` `_transferWithAuthorization`).
pub(super) fn use_in(receipt: &Receipt, target: &Target) -> Use {
    if !receipt.is_success() {
        return Use::None;
    }
    if Bug::SuccessOnStatus.is_on() {
        return Use::Paid { log_index: 0 };
    }
    let mut rest = receipt
        .logs
        .iter()
        .filter(|log| !log.removed && (log.address == target.asset || Bug::AnyTokenLands.is_on()));
    if !rest.any(|log| target.is_used_by(log)) {
        return Use::None;
    }
    let next = rest.find(|log| {
        log.topics
            .first()
            .is_some_and(|event| *event == TRANSFER || *event == AUTHORIZATION_USED)
    });
    match next {
        Some(log) if target.is_paid_by(log) => Use::Paid {
            log_index: log.index.to(),
        },
        Some(_) | None => Use::Otherwise,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TX: B256 = B256::repeat_byte(0xAA);
    const BLOCK: B256 = B256::repeat_byte(0xBB);

    fn target() -> Target {
        Target {
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            value: U256::from(10_000),
            nonce: B256::repeat_byte(4),
        }
    }

    fn log(address: Address, topics: &[B256], value: Option<u64>) -> Value {
        let data = value.map_or(Bytes::new(), |value| U256::from(value).to_be_bytes::<32>().into());
        json!({"address": address, "topics": topics, "data": data})
    }

    fn used(nonce: u8) -> Value {
        let it = target();
        log(
            it.asset,
            &[AUTHORIZATION_USED, it.payer.into_word(), B256::repeat_byte(nonce)],
            None,
        )
    }

    fn moved(from: u8, to: u8, value: u64) -> Value {
        let (from, to) = (Address::repeat_byte(from), Address::repeat_byte(to));
        log(
            target().asset,
            &[TRANSFER, from.into_word(), to.into_word()],
            Some(value),
        )
    }

    /// A receipt as geth writes it, with the logs numbered from 7.
    fn receipt(status: &str, logs: Vec<Value>) -> Receipt {
        let logs: Vec<Value> = logs
            .into_iter()
            .zip(7..)
            .map(|(mut log, index)| {
                log["logIndex"] = json!(format!("{index:#x}"));
                log["blockNumber"] = json!("0x10");
                log["blockHash"] = json!(BLOCK);
                log["transactionHash"] = json!(TX);
                log["transactionIndex"] = json!("0x0");
                log["removed"] = json!(false);
                log
            })
            .collect();
        serde_json::from_value(json!({
            "transactionHash": TX, "blockHash": BLOCK, "blockNumber": "0x10", "transactionIndex": "0x0",
            "from": Address::repeat_byte(9), "to": MULTICALL3, "contractAddress": null, "type": "0x2",
            "status": status, "gasUsed": "0x186a0", "cumulativeGasUsed": "0x186a0",
            "effectiveGasPrice": "0x3b9aca00", "l1Fee": "0x5", "logsBloom": "0x00", "logs": logs,
        }))
        .unwrap()
    }

    #[test]
    fn a_payment_is_its_use_and_the_transfer_that_belongs_to_it() {
        let paid = Use::Paid { log_index: 8 };
        let elsewhere = log(Address::repeat_byte(8), &[TRANSFER], Some(1));
        let cases = [
            (vec![used(4), moved(2, 3, 10_000)], paid),
            (vec![moved(2, 3, 10_000), used(4)], Use::Otherwise),
            (vec![used(4)], Use::Otherwise),
            (vec![moved(2, 3, 10_000)], Use::None),
            (vec![], Use::None),
            (vec![used(5), moved(2, 3, 10_000)], Use::None),
            (vec![used(4), moved(2, 3, 9_999)], Use::Otherwise),
            (vec![used(4), moved(2, 9, 10_000)], Use::Otherwise),
            (vec![used(4), moved(9, 3, 10_000)], Use::Otherwise),
            // A second payment of the same payer does not lend its transfer.
            (vec![used(4), used(5), moved(2, 3, 10_000)], Use::Otherwise),
            (vec![used(4), moved(2, 9, 1), moved(2, 3, 10_000)], Use::Otherwise),
            // Another contract's words between the two mean nothing.
            (
                vec![used(4), elsewhere, moved(2, 3, 10_000)],
                Use::Paid { log_index: 9 },
            ),
            (
                vec![used(5), moved(2, 3, 1), used(4), moved(2, 3, 10_000)],
                Use::Paid { log_index: 10 },
            ),
        ];
        for (logs, expected) in cases {
            assert_eq!(use_in(&receipt("0x1", logs.clone()), &target()), expected, "{logs:?}");
            assert_eq!(use_in(&receipt("0x0", logs), &target()), Use::None);
        }
    }

    #[test]
    fn another_contract_cannot_speak_for_the_token() {
        let mut logs = vec![used(4), moved(2, 3, 10_000)];
        for log in &mut logs {
            log["address"] = json!(Address::repeat_byte(8));
        }
        assert_eq!(use_in(&receipt("0x1", logs), &target()), Use::None);
        let removed = Receipt {
            logs: receipt("0x1", vec![used(4), moved(2, 3, 10_000)])
                .logs
                .into_iter()
                .map(|log| Log { removed: true, ..log })
                .collect(),
            ..receipt("0x1", Vec::new())
        };
        assert_eq!(use_in(&removed, &target()), Use::None);
    }

    #[test]
    fn a_cancellation_is_spent_and_not_used() {
        let it = target();
        let topics = [AUTHORIZATION_CANCELED, it.payer.into_word(), it.nonce];
        let receipt = receipt("0x1", vec![log(it.asset, &topics, None), used(4), used(5)]);
        let [canceled, used, another] = receipt.logs.as_slice() else {
            panic!()
        };
        assert!(it.is_canceled_by(canceled) && it.is_spent_by(canceled));
        assert!(!it.is_canceled_by(used) && it.is_spent_by(used));
        assert!(!it.is_spent_by(another));
    }

    #[test]
    fn a_cost_is_gas_times_price_and_the_l1_fee() {
        let receipt = receipt("0x1", Vec::new());
        assert_eq!(receipt.cost().units(), 100_000 * 1_000_000_000 + 5);
        assert!(receipt.is_batch() && receipt.is_success());
    }
}
