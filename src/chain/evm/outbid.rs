//! Replacing a transaction that does not get mined by one that pays more. Pure: what is replaced is read from its own
//! bytes, so that nothing about it needs to be remembered.

use alloy::consensus::{TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Bytes, TxKind, U256};

use super::lane::{Sealed, Signer, seal};
use crate::domain::rail::{Outbid, Quote, Replacement};
use crate::seeded::Bug;

/// A transaction with the nonce of `raw` that nodes take in its place. None when that would cost more than `fee_cap`
/// wei for a unit of gas, or would still be below the chain's base fee.
///
/// # Errors
/// The bytes are no transaction that a lane signs, or are another signer's.
pub(super) fn outbid(
    signer: &Signer,
    raw: &[u8],
    cargo: Outbid,
    quote: Quote,
    fee_cap: u128,
) -> Result<Option<Replacement>, String> {
    let mut tx = decoded(raw).ok_or("the bytes are no transaction of a lane")?;
    let Some(fees) = higher(&tx, quote, fee_cap) else {
        return Ok(None);
    };
    (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = fees;
    match cargo {
        Outbid::Same if Bug::ReplacementChangesCalls.is_on() => tx.input = Bytes::new(),
        Outbid::Same => {}
        // With the gas of the one it replaces: what is not used is not paid for, and what even an empty transaction
        // takes differs between chains.
        Outbid::Nothing => {
            (tx.to, tx.value, tx.input) = (TxKind::Call(signer.address()), U256::ZERO, Bytes::new());
        }
    }
    let Sealed { id, raw, cost_max } = seal(signer, tx)?;
    Ok(Some(Replacement {
        id,
        raw,
        cost_max,
        cargo,
    }))
}

/// Whether no block can hold the bytes at this base fee.
pub(super) fn is_underpriced(raw: &[u8], quote: Quote) -> bool {
    decoded(raw).is_some_and(|tx| tx.max_fee_per_gas < quote.floor)
}

fn decoded(raw: &[u8]) -> Option<TxEip1559> {
    match TxEnvelope::decode_2718_exact(raw).ok()? {
        TxEnvelope::Eip1559(signed) => Some(signed.strip_signature()),
        TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip4844(_) | TxEnvelope::Eip7702(_) => None,
    }
}

/// The least fee and tip that replace the transaction's and are not below today's.
fn higher(tx: &TxEip1559, quote: Quote, fee_cap: u128) -> Option<(u128, u128)> {
    let fee = raised(tx.max_fee_per_gas)?.max(quote.fee_max);
    let tip = raised(tx.max_priority_fee_per_gas)?.max(quote.tip);
    ((fee <= fee_cap || Bug::CapIgnored.is_on()) && fee >= quote.floor).then_some((fee, tip))
}

/// An eighth more, rounded up: nodes ask for a tenth more of both fields (geth `txpool.pricebump`, reth
/// `DEFAULT_PRICE_BUMP`), some for an eighth.
fn raised(fee: u128) -> Option<u128> {
    if Bug::RaisedTooLittle.is_on() {
        return fee.checked_add(1);
    }
    fee.checked_add(fee.div_ceil(8).max(1))
}

#[cfg(test)]
mod tests {
    use alloy::consensus::Transaction;
    use alloy::primitives::{Address, keccak256};

    use super::*;
    use crate::chain::evm::lane::{TRANSFER_GAS_MAX, TransferCall, sign};
    use crate::domain::rail::DataFee;

    /// Anvil's second published account.
    const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

    fn quote(floor: u128, fee_max: u128, tip: u128) -> Quote {
        Quote {
            floor,
            fee_max,
            tip,
            fee_cap: fee_max,
            data: DataFee::default(),
        }
    }

    fn signed(signer: &Signer, at: Quote) -> Vec<u8> {
        let call = |n: u8| TransferCall {
            target: Address::repeat_byte(n),
            input: vec![n; 292].into(),
            gas_max: TRANSFER_GAS_MAX,
        };
        sign(signer, 84_532, 7, &[call(1), call(2)], at).unwrap().raw
    }

    #[test]
    fn the_same_calls_for_more_take_the_same_nonce() {
        let signer = Signer::from_key(KEY).unwrap();
        let raw = signed(&signer, quote(500, 1_001, 9));
        let first = decoded(&raw).unwrap();
        let today = quote(500, 1_001, 9);
        let replacement = outbid(&signer, &raw, Outbid::Same, today, 2_000).unwrap().unwrap();
        let second = decoded(&replacement.raw).unwrap();
        assert_eq!((second.max_fee_per_gas, second.max_priority_fee_per_gas), (1_127, 11));
        assert_eq!(replacement.id.0, keccak256(&replacement.raw).to_string());
        assert_eq!(replacement.cost_max.units(), 1_127 * u128::from(first.gas_limit));
        let as_before = TxEip1559 {
            max_fee_per_gas: first.max_fee_per_gas,
            max_priority_fee_per_gas: first.max_priority_fee_per_gas,
            ..second
        };
        assert_eq!(as_before, first);
    }

    #[test]
    fn nothing_is_a_transfer_of_nothing_to_oneself() {
        let signer = Signer::from_key(KEY).unwrap();
        let today = quote(500, 1_001, 9);
        let raw = signed(&signer, today);
        let empty = outbid(&signer, &raw, Outbid::Nothing, today, 2_000).unwrap().unwrap();
        let tx = TxEnvelope::decode_2718_exact(&empty.raw).unwrap();
        assert_eq!(
            (tx.to(), tx.nonce(), tx.chain_id()),
            (Some(signer.address()), 7, Some(84_532))
        );
        assert!(tx.value().is_zero() && tx.input().is_empty());
        // And can be outbid itself.
        let again = outbid(&signer, &empty.raw, Outbid::Same, today, 2_000)
            .unwrap()
            .unwrap();
        assert!(decoded(&again.raw).unwrap().input.is_empty());
    }

    #[test]
    fn a_bid_is_an_eighth_more_or_todays_price_within_the_cap() {
        let signer = Signer::from_key(KEY).unwrap();
        let old = quote(0, 800, 80);
        for (today, cap, expected) in [
            (quote(400, 800, 80), 10_000, Some((900, 90))),
            (quote(400, 880, 200), 10_000, Some((900, 200))),
            (quote(1_000, 2_080, 80), 10_000, Some((2_080, 90))),
            (quote(400, 800, 80), 900, Some((900, 90))),
            (quote(400, 800, 80), 899, None),
            // All that may be paid is not enough.
            (quote(1_001, 1_000, 80), 1_000, None),
            (quote(u128::MAX, u128::MAX, 80), u128::MAX, Some((u128::MAX, 90))),
        ] {
            let raw = signed(&signer, old);
            let bid = outbid(&signer, &raw, Outbid::Same, today, cap).unwrap();
            let fees = bid.map(|it| decoded(&it.raw).unwrap());
            let fees = fees.map(|tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas));
            assert_eq!(fees, expected, "{today:?} {cap}");
        }
        let free = signed(&signer, quote(0, 1, 0));
        let bid = outbid(&signer, &free, Outbid::Same, quote(0, 0, 0), 10)
            .unwrap()
            .unwrap();
        let tx = decoded(&bid.raw).unwrap();
        assert_eq!(
            (tx.max_fee_per_gas, tx.max_priority_fee_per_gas),
            (2, 1),
            "both are more"
        );
        let dear = signed(&signer, quote(0, u128::MAX, 0));
        assert!(outbid(&signer, &dear, Outbid::Same, old, u128::MAX).unwrap().is_none());
    }

    #[test]
    fn what_offers_less_than_the_base_fee_is_underpriced() {
        let signer = Signer::from_key(KEY).unwrap();
        let raw = signed(&signer, quote(0, 800, 80));
        assert!(is_underpriced(&raw, quote(801, 2_000, 0)));
        assert!(!is_underpriced(&raw, quote(800, 2_000, 0)));
        assert!(!is_underpriced(b"?", quote(800, 2_000, 0)));
    }

    #[test]
    fn bytes_that_no_lane_signed_are_not_outbid() {
        let signer = Signer::from_key(KEY).unwrap();
        assert!(outbid(&signer, b"\x02?", Outbid::Same, quote(0, 1, 1), 9).is_err());
        assert!(outbid(&signer, b"", Outbid::Nothing, quote(0, 1, 1), 9).is_err());
    }
}
