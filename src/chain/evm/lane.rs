//! A lane: one signer's transactions on one network, from fee to delivery.
//!
//! Knows nothing of payments beyond their calls, and keeps no count of nonces: the order of a lane is the
//! store's. Signing asks no node, so that bytes can be stored before anybody has seen them; the gas limit is
//! therefore a bound that is known beforehand, not an estimate.

use std::time::{Duration, Instant};

use alloy::consensus::TxEip1559;
use alloy::primitives::{Address, Bytes, TxKind, U64, U128, U256};
use alloy::sol_types::SolCall;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::cost::{self, Prices};
use super::eip3009::{Call3, MULTICALL3, Multicall3};
use super::node::INVALID_PARAMS;
use super::policy::Sealed;
use super::words;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::amount::Amount;
use crate::domain::rail::{DataFee, Delivery, Quote, RailFault, SignedTx};

/// The most gas of a transaction: 2^24, the protocol's own limit (EIP-7825).
pub(super) const TX_GAS_MAX: u64 = 16_777_216;

/// The most gas that a FiatToken transfer by an account without code takes, calldata apart. Cold slots for a
/// fresh nonce and a fresh recipient, `ecrecover`, proxy and logs come to 79,000 on the local FiatTokenV2_2;
/// the rest is for tokens with more to do.
pub(super) const TRANSFER_GAS_MAX: u64 = 120_000;

/// What Multicall3 itself does for each call: copy it in, copy its result out.
const AGGREGATE_GAS_EACH: u64 = 10_000;

/// What every transaction costs before it does anything (EIP-2028, EIP-2930).
const INTRINSIC_GAS: u64 = 21_000;

/// The tip where the node has no opinion, in wei.
const TIP_FALLBACK: u128 = 1_000_000_000;

/// The least that [`TIP_FALLBACK`] is cut down to on a cheap chain, in wei: the default tip of OP nodes.
const TIP_FALLBACK_MIN: u128 = 1_000_000;

/// The call that executes one payment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TransferCall {
    /// The token, or what deploys the payer's wallet first.
    pub(super) target: Address,
    /// The call data, selector first.
    pub(super) input: Bytes,
    /// The most gas the call may take, calldata apart: [`TRANSFER_GAS_MAX`] where no code but the token's runs.
    pub(super) gas_max: u64,
}

/// What a transaction costs, remembered for half a block so that signing a batch asks the node for nothing.
#[derive(Debug)]
pub(super) struct Fees {
    prices: Prices,
    fresh_for: Duration,
    /// Held while asking, so that concurrent callers share one question.
    last: tokio::sync::Mutex<Option<(Instant, Quote)>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHeader {
    base_fee_per_gas: Option<U128>,
}

impl Fees {
    /// Fees of at most these prices on a chain with this usual time between blocks. It charges for data where that may
    /// cost something.
    pub(super) fn new(prices: Prices, block_time: Duration) -> Self {
        Self {
            prices,
            fresh_for: block_time.checked_div(2).unwrap_or_default(),
            last: tokio::sync::Mutex::new(None),
        }
    }

    /// Twice the latest base fee and the tip, as far as the cap allows: enough for five full blocks in a row,
    /// since the base fee rises by an eighth a block at most (EIP-1559).
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn quote(&self, rpc: &Pool) -> Result<Quote, RailFault> {
        const OPERATION: &str = "quote";
        let mut last = self.last.lock().await;
        if let Some((at, quote)) = *last
            && at.elapsed() < self.fresh_for
        {
            return Ok(quote);
        }
        let mut calls = vec![
            Call {
                method: "eth_getBlockByNumber",
                params: json!(["latest", false]),
            },
            Call {
                method: "eth_maxPriorityFeePerGas",
                params: json!([]),
            },
        ];
        if self.prices.data > 0 {
            calls.push(cost::data_fee_call());
        }
        let mut answers = rpc.batch(OPERATION, &calls).await?.into_iter();
        let (Some(header), Some(tip)) = (answers.next(), answers.next()) else {
            return Err(rpc.fault(OPERATION, "the batch came back short"));
        };
        let header = header.map_err(|e| rpc.refused(OPERATION, e))?;
        let base_fee = rpc
            .read::<FeeHeader>(OPERATION, &header)?
            .base_fee_per_gas
            .ok_or_else(|| rpc.fault(OPERATION, "the latest block has no base fee"))?
            .to::<u128>();
        let tip = match tip {
            Ok(tip) => Some(rpc.read::<U128>(OPERATION, &tip)?.to::<u128>()),
            Err(RpcError::Node { .. }) => None,
            Err(RpcError::Fault(fault)) => return Err(fault),
        };
        let data_fee = match answers.next() {
            None => 0,
            Some(Ok(answer)) => cost::data_fee(&rpc.read(OPERATION, &answer)?)
                .ok_or_else(|| rpc.fault(OPERATION, "the chain does not say what it charges for data"))?,
            Some(Err(error)) => return Err(rpc.refused(OPERATION, error)),
        };
        let quote = quote_of(self.prices, base_fee, tip, data_fee);
        *last = Some((Instant::now(), quote));
        Ok(quote)
    }
}

fn quote_of(prices: Prices, base_fee: u128, tip: Option<u128>, data_fee: u128) -> Quote {
    let fee_cap = prices.gas;
    // A tip that dwarfs the base fee would be mere waste on a cheap chain.
    let tip = tip.unwrap_or_else(|| TIP_FALLBACK.min(base_fee.max(TIP_FALLBACK_MIN)));
    let fee_max = base_fee.saturating_mul(2).saturating_add(tip).min(fee_cap);
    Quote {
        floor: base_fee,
        fee_max,
        tip: tip.min(fee_max),
        fee_cap,
        // Twice, since it may rise until the transaction is mined and no transaction can state the most it pays.
        data: DataFee {
            now: data_fee.saturating_mul(2),
            max: prices.data,
        },
    }
}

/// The account's next nonce as the latest block has it; what is only in a mempool does not count.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn lane_nonce(rpc: &Pool, account: Address) -> Result<u64, RailFault> {
    const OPERATION: &str = "lane nonce";
    rpc.call_as::<U64>(OPERATION, "eth_getTransactionCount", &(account, "latest"))
        .await
        .map(|nonce| nonce.to())
        .map_err(|e| rpc.refused(OPERATION, e))
}

/// The account's next nonce as of the newest finalized block; none on a node that knows no finality.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn lane_spent(rpc: &Pool, account: Address) -> Result<Option<u64>, RailFault> {
    const OPERATION: &str = "lane nonce";
    let answer = rpc
        .call_as::<U64>(OPERATION, "eth_getTransactionCount", &(account, "finalized"))
        .await;
    match answer {
        Ok(nonce) => Ok(Some(nonce.to())),
        Err(RpcError::Node { code, .. }) if code == INVALID_PARAMS => Ok(None),
        Err(other) => Err(rpc.refused(OPERATION, other)),
    }
}

/// What these accounts hold of the chain's own coin, as the latest block has it, in wei.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn balances(rpc: &Pool, accounts: &[Address]) -> Result<Vec<Amount>, RailFault> {
    const OPERATION: &str = "balances";
    let question = |account: &Address| Call {
        method: "eth_getBalance",
        params: json!([account, "latest"]),
    };
    let calls: Vec<Call> = accounts.iter().map(question).collect();
    let answers = rpc.batch(OPERATION, &calls).await?;
    let read = |answer: Result<Box<RawValue>, RpcError>| {
        let answer = answer.map_err(|error| rpc.refused(OPERATION, error))?;
        let wei: U256 = rpc.read(OPERATION, &answer)?;
        Ok(Amount::from_units(wei.try_into().unwrap_or(u128::MAX)))
    };
    answers.into_iter().map(read).collect()
}

/// One EIP-1559 transaction, to be signed: the call itself for one payment, a Multicall3 `aggregate3` in which each
/// call may fail by itself for several. The same arguments always give the same transaction.
///
/// # Errors
/// No payment, or more than one transaction may carry ([`TX_GAS_MAX`]).
pub(super) fn unsigned(chain_id: u64, nonce: u64, cargo: &[TransferCall], quote: Quote) -> Result<TxEip1559, String> {
    let (target, input) = match cargo {
        [] => return Err("a transaction carries at least one payment".to_owned()),
        [only] => (only.target, only.input.clone()),
        several => (MULTICALL3, aggregate(several)),
    };
    let gas_limit = gas_limit(cargo, &input);
    if gas_limit > TX_GAS_MAX {
        return Err(format!(
            "{} payments may take {gas_limit} gas, and a transaction has {TX_GAS_MAX} at most",
            cargo.len()
        ));
    }
    Ok(TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: quote.fee_max,
        max_priority_fee_per_gas: quote.tip,
        to: TxKind::Call(target),
        value: U256::ZERO,
        access_list: alloy::eips::eip2930::AccessList::default(),
        input,
    })
}

/// The signed transaction with as much gas as carrier of so many payments, and the most that it, or what takes its place,
/// can cost.
pub(super) fn carrier(sealed: Sealed, gas_limit: u64, payments: usize, quote: Quote) -> SignedTx {
    let prices = Prices {
        gas: quote.fee_cap,
        data: quote.data.max,
    };
    SignedTx {
        cost_max: prices.of(gas_limit, sealed.raw.len()),
        id: sealed.id,
        raw: sealed.raw,
        payments,
    }
}

/// The call data of a transaction that carries several payments.
pub(super) fn aggregate(cargo: &[TransferCall]) -> Bytes {
    let calls = cargo
        .iter()
        .map(|call| Call3 {
            target: call.target,
            allowFailure: true,
            callData: call.input.clone(),
        })
        .collect();
    Multicall3::aggregate3Call { calls }.abi_encode().into()
}

/// Enough for every call to take all it may. What calls leave over is a reserve for nobody: unused gas is not
/// paid for.
pub(super) fn gas_limit(cargo: &[TransferCall], input: &[u8]) -> u64 {
    let (zeros, others) = input.iter().fold((0_u64, 0_u64), |(zeros, others), byte| match byte {
        0 => (zeros.saturating_add(1), others),
        _ => (zeros, others.saturating_add(1)),
    });
    // Calldata is 4 gas a zero byte and 16 any other (EIP-2028), and the whole transaction never less than
    // 10 and 40 (EIP-7623).
    let calldata = zeros.saturating_mul(4).saturating_add(others.saturating_mul(16));
    let floor = zeros.saturating_mul(10).saturating_add(others.saturating_mul(40));
    let mut execution = 0_u64;
    for call in cargo {
        execution = execution.saturating_add(call.gas_max);
        if cargo.len() > 1 {
            execution = execution.saturating_add(AGGREGATE_GAS_EACH);
        }
    }
    if cargo.len() > 1 {
        // A call is handed 63/64 of what is left (EIP-150), and the last one must get its all too.
        execution = execution.saturating_add(execution >> 5);
    }
    calldata
        .saturating_add(execution)
        .max(floor)
        .saturating_add(INTRINSIC_GAS)
}

/// Hands signed bytes to the node. Safe to repeat; what the node says is a hint, never evidence.
pub(super) async fn deliver(rpc: &Pool, raw: &[u8]) -> Delivery {
    let params = json!([format!("0x{}", hex::encode(raw))]);
    rpc.deliver("eth_sendRawTransaction", params, words::said).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: Quote = Quote {
        floor: 1_000_000,
        fee_max: 2_000_000_000,
        tip: 1_000_000,
        fee_cap: 3_000_000_000,
        data: DataFee { now: 0, max: 5_000 },
    };

    fn call(n: u8) -> TransferCall {
        TransferCall {
            target: Address::repeat_byte(n),
            input: vec![n; 292].into(),
            gas_max: TRANSFER_GAS_MAX,
        }
    }

    fn built(cargo: &[TransferCall]) -> TxEip1559 {
        let tx = unsigned(84_532, 7, cargo, QUOTE).unwrap();
        assert_eq!((tx.chain_id, tx.nonce), (84_532, 7));
        assert_eq!(tx.max_fee_per_gas, QUOTE.fee_max);
        assert_eq!(tx.max_priority_fee_per_gas, QUOTE.tip);
        assert_eq!(tx.value, U256::ZERO);
        tx
    }

    #[test]
    fn one_payment_is_the_call_itself() {
        let tx = built(&[call(1)]);
        assert_eq!(tx.to, TxKind::Call(Address::repeat_byte(1)));
        assert_eq!(tx.input, call(1).input);
        assert_eq!(tx.gas_limit, 21_000 + 292 * 16 + 120_000);
        assert_eq!(tx, built(&[call(1)]), "the same arguments give the same transaction");
    }

    #[test]
    fn several_payments_share_a_multicall_in_which_each_may_fail() {
        let cargo: Vec<_> = (1..=64).map(call).collect();
        let tx = built(&cargo);
        assert_eq!(tx.to, TxKind::Call(MULTICALL3));
        let calls = Multicall3::aggregate3Call::abi_decode(&tx.input).unwrap().calls;
        assert_eq!(calls.len(), 64);
        for (carried, given) in calls.iter().zip(&cargo) {
            assert!(carried.allowFailure);
            assert_eq!((carried.target, &carried.callData), (given.target, &given.input));
        }
        assert!(tx.gas_limit > 64 * 130_000 && tx.gas_limit < TX_GAS_MAX);
    }

    #[test]
    fn an_impossible_transaction_is_not_built() {
        let unsigned = |cargo: &[TransferCall]| unsigned(1, 0, cargo, QUOTE);
        assert!(unsigned(&[]).is_err());
        assert!(unsigned(&vec![call(1); 200]).unwrap_err().contains("200 payments"));
        let starved = TransferCall {
            gas_max: 1,
            ..call(255)
        };
        let tx = unsigned(&[starved]).unwrap();
        assert_eq!(tx.gas_limit, 21_000 + 292 * 40, "calldata has a least price");
    }

    #[test]
    fn what_a_carrier_can_cost_is_at_the_dearest() {
        let sealed = Sealed {
            id: crate::domain::rail::TxId("0x".into()),
            raw: vec![0; 1_500],
            cost_max: Amount::ZERO,
        };
        let tx = carrier(sealed, 100, 3, QUOTE);
        assert_eq!((tx.payments, tx.raw.len()), (3, 1_500));
        assert_eq!(tx.cost_max.units(), 100 * QUOTE.fee_cap + 2 * QUOTE.data.max);
    }

    #[test]
    fn a_quote_covers_two_base_fees_under_the_cap() {
        const GWEI: u128 = 1_000_000_000;
        let cases = [
            // cap, base fee, tip -> fee, tip
            (100 * GWEI, 10 * GWEI, Some(2 * GWEI), (22 * GWEI, 2 * GWEI)),
            (15 * GWEI, 10 * GWEI, Some(2 * GWEI), (15 * GWEI, 2 * GWEI)),
            (10 * GWEI, 10 * GWEI, Some(20 * GWEI), (10 * GWEI, 10 * GWEI)),
            (100 * GWEI, 10 * GWEI, None, (21 * GWEI, GWEI)),
            (100 * GWEI, 5_000_000, None, (15_000_000, 5_000_000)),
            (100 * GWEI, 0, None, (1_000_000, 1_000_000)),
            (9 * GWEI, 10 * GWEI, Some(0), (9 * GWEI, 0)),
            (u128::MAX, u128::MAX, Some(1), (u128::MAX, 1)),
        ];
        for (cap, base_fee, tip, expected) in cases {
            let prices = Prices { gas: cap, data: 10 };
            let quote = quote_of(prices, base_fee, tip, 0);
            assert_eq!((quote.fee_max, quote.tip), expected);
            assert_eq!((quote.floor, quote.is_affordable()), (base_fee, cap >= base_fee));
        }
    }
}
