//! The most that a settlement can cost, known before anything is signed: its gas at the highest price that may be paid, a
//! second try where it may have one, and the fee for its data where the chain underneath charges for that. Pure.

use alloy::primitives::{Address, Bytes, U256, address};
use alloy::sol;
use alloy::sol_types::SolCall;
use serde_json::json;

use super::lane::{TRANSFER_GAS_MAX, TransferCall, aggregate, gas_limit};
use crate::chain::rpc::Call;
use crate::domain::amount::Amount;

/// Where OP chains keep the price of their data (OP Stack specification, "Predeploys": `GasPriceOracle`).
pub(super) const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");

/// The bytes that a fee for data is quoted and bounded for at a time.
const DATA_UNIT: usize = 1_024;

/// The most bytes of a signed EIP-1559 transaction beside its call data: ten fields, none longer than 33 bytes.
const ENVELOPE_BYTES: usize = 256;

/// The call data of a transfer with the payer's own signature: a selector and nine words (EIP-3009).
const TRANSFER_BYTES: usize = 292;

sol! {
    /// The part of an OP chain's `GasPriceOracle` that is used here (since Fjord).
    interface GasPriceOracle {
        function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
    }
}

/// The highest prices that may be paid, in wei.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    /// For a unit of gas.
    pub(super) gas: u128,
    /// For each 1,024 bytes of a transaction.
    pub(super) data: u128,
}

impl Prices {
    /// The most that a transaction of this many bytes can cost.
    pub(super) fn of(self, gas: u64, bytes: usize) -> Amount {
        let data = u128::try_from(bytes.div_ceil(DATA_UNIT)).unwrap_or(u128::MAX);
        let work = self.gas.saturating_mul(gas.into());
        Amount::from_units(work.saturating_add(self.data.saturating_mul(data)))
    }

    /// The most that settling a payment can cost: alone by `alone`, and where it may first share a transaction, by `shared`,
    /// its share of that too, since a failed batch gives each of its payments a second try.
    pub(super) fn of_settlement(self, alone: &TransferCall, shared: Option<&TransferCall>) -> Amount {
        let bytes = alone.input.len().saturating_add(ENVELOPE_BYTES);
        let own = self.of(gas_limit(std::slice::from_ref(alone), &alone.input), bytes);
        let Some(call) = shared else { return own };
        // Of the shares in batches of equals, the one in a batch of two is the largest: the more share what a batch has
        // once, the less it is for each.
        let pair = [call.clone(), call.clone()];
        let input = aggregate(&pair);
        let gas = gas_limit(&pair, &input).div_ceil(2);
        let bytes = input.len().saturating_add(ENVELOPE_BYTES).div_ceil(2);
        let both = own.checked_add(self.of(gas, bytes));
        both.unwrap_or(Amount::from_units(u128::MAX))
    }

    /// The most that settling an ordinary payment can cost, where transactions are shared or not.
    pub(super) fn of_ordinary(self, gas_transfer_max: u64, is_shared: bool) -> Amount {
        let call = |gas_max: u64| TransferCall {
            target: Address::repeat_byte(0xFF),
            input: Bytes::from(vec![0xFF; TRANSFER_BYTES]),
            gas_max,
        };
        let shared = call(TRANSFER_GAS_MAX);
        let alone = call(TRANSFER_GAS_MAX.max(gas_transfer_max));
        self.of_settlement(&alone, is_shared.then_some(&shared))
    }
}

/// Asks what the chain charges for 1,024 bytes.
pub(super) fn data_fee_call() -> Call {
    let data = GasPriceOracle::getL1FeeUpperBoundCall {
        unsignedTxSize: U256::from(DATA_UNIT),
    };
    let data = Bytes::from(data.abi_encode());
    Call {
        method: "eth_call",
        params: json!([{ "to": GAS_PRICE_ORACLE, "data": data }, "latest"]),
    }
}

/// Its answer, in wei; none when it is not one.
pub(super) fn data_fee(answer: &Bytes) -> Option<u128> {
    U256::try_from_be_slice(answer)
        .filter(|_| answer.len() == 32)?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(bytes: usize, gas_max: u64) -> TransferCall {
        TransferCall {
            target: Address::repeat_byte(7),
            input: vec![0xAB; bytes].into(),
            gas_max,
        }
    }

    /// What is reserved for the payments of any batch covers the batch and a second try of each.
    #[test]
    fn what_is_reserved_covers_every_batch_and_a_second_try_of_each() {
        let prices = Prices {
            gas: 1_000_000_000,
            data: 77_000_000_000,
        };
        let kinds = [
            call(292, 120_000),
            call(420, 300_000),
            call(1_700, 1_000_000),
            call(292, 1),
        ];
        for count in 2..=100 {
            let cargo: Vec<TransferCall> = kinds.iter().cycle().take(count).cloned().collect();
            for cargo in [cargo, vec![kinds[0].clone(); count], vec![kinds[3].clone(); count]] {
                let input = aggregate(&cargo);
                let batch = prices
                    .of(gas_limit(&cargo, &input), input.len() + ENVELOPE_BYTES)
                    .units();
                let mut alone = 0;
                let mut reserved = 0;
                for it in &cargo {
                    let gas = gas_limit(std::slice::from_ref(it), &it.input);
                    alone += prices.of(gas, it.input.len() + ENVELOPE_BYTES).units();
                    reserved += prices.of_settlement(it, Some(it)).units();
                }
                assert!(batch + alone <= reserved, "{count}: {batch} + {alone} > {reserved}");
            }
        }
    }

    #[test]
    fn a_settlement_costs_its_gas_its_data_and_its_share_of_a_batch() {
        let prices = Prices { gas: 10, data: 1_000 };
        let alone = call(292, 300_000);
        let gas = 21_000 + 292 * 16 + 300_000;
        assert_eq!(prices.of_settlement(&alone, None).units(), 10 * gas + 1_000);
        let shared = call(292, 120_000);
        assert!(prices.of_settlement(&alone, Some(&shared)).units() > 10 * gas + 1_000 + 10 * 120_000 + 1_000);
        assert_eq!(
            prices.of_ordinary(300_000, true).units(),
            prices
                .of_settlement(
                    &TransferCall {
                        input: vec![0xFF; 292].into(),
                        ..alone
                    },
                    Some(&TransferCall {
                        input: vec![0xFF; 292].into(),
                        ..shared
                    })
                )
                .units()
        );
    }

    #[test]
    fn an_oracles_answer_is_one_word() {
        let word = |value: u128| Bytes::from(U256::from(value).to_be_bytes::<32>());
        assert_eq!(data_fee(&word(5_000)), Some(5_000));
        assert_eq!(data_fee(&Bytes::new()), None);
        assert_eq!(data_fee(&Bytes::from(vec![0xFF; 32])), None);
    }
}
