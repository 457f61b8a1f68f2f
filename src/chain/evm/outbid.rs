//! Replacing a transaction that does not get mined by one that pays more. Pure: what is replaced is read from its own
//! bytes, so that nothing about it needs to be remembered.

use alloy::consensus::{TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, Bytes, TxKind, U256};

use crate::domain::rail::{Outbid, Quote};
use crate::seeded::Bug;

/// A transaction of `signer` with the nonce of `raw` that nodes take in its place, to be signed. None when that would cost
/// more than `fee_cap` wei for a unit of gas, or would still be below the chain's base fee.
///
/// # Errors
/// The bytes are no transaction that a lane signs.
pub(super) fn outbid(
    signer: Address,
    raw: &[u8],
    cargo: Outbid,
    quote: Quote,
    fee_cap: u128,
) -> Result<Option<TxEip1559>, &'static str> {
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
            (tx.to, tx.value, tx.input) = (TxKind::Call(signer), U256::ZERO, Bytes::new());
        }
    }
    Ok(Some(tx))
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
    use alloy::consensus::SignableTransaction;
    use alloy::eips::eip2718::Encodable2718;
    use alloy::primitives::Signature;

    use super::*;
    use crate::chain::evm::lane::{TRANSFER_GAS_MAX, TransferCall, unsigned};
    use crate::domain::rail::DataFee;

    const SIGNER: Address = Address::repeat_byte(0x51);

    fn quote(floor: u128, fee_max: u128, tip: u128) -> Quote {
        Quote {
            floor,
            fee_max,
            tip,
            fee_cap: fee_max,
            data: DataFee::default(),
        }
    }

    /// As its bytes are on record, whoever has signed them.
    fn raw(tx: TxEip1559) -> Vec<u8> {
        tx.into_signed(Signature::test_signature()).encoded_2718()
    }

    fn signed(at: Quote) -> Vec<u8> {
        let call = |n: u8| TransferCall {
            target: Address::repeat_byte(n),
            input: vec![n; 292].into(),
            gas_max: TRANSFER_GAS_MAX,
        };
        raw(unsigned(84_532, 7, &[call(1), call(2)], at).unwrap())
    }

    #[test]
    fn the_same_calls_for_more_take_the_same_nonce() {
        let today = quote(500, 1_001, 9);
        let raw = signed(today);
        let first = decoded(&raw).unwrap();
        let second = outbid(SIGNER, &raw, Outbid::Same, today, 2_000).unwrap().unwrap();
        assert_eq!((second.max_fee_per_gas, second.max_priority_fee_per_gas), (1_127, 11));
        let as_before = TxEip1559 {
            max_fee_per_gas: first.max_fee_per_gas,
            max_priority_fee_per_gas: first.max_priority_fee_per_gas,
            ..second
        };
        assert_eq!(as_before, first);
    }

    #[test]
    fn nothing_is_a_transfer_of_nothing_to_oneself() {
        let today = quote(500, 1_001, 9);
        let empty = outbid(SIGNER, &signed(today), Outbid::Nothing, today, 2_000);
        let empty = empty.unwrap().unwrap();
        assert_eq!(
            (empty.to, empty.nonce, empty.chain_id),
            (TxKind::Call(SIGNER), 7, 84_532)
        );
        assert!(empty.value.is_zero() && empty.input.is_empty());
        // And can be outbid itself.
        let again = outbid(SIGNER, &raw(empty), Outbid::Same, today, 2_000)
            .unwrap()
            .unwrap();
        assert!(again.input.is_empty());
    }

    #[test]
    fn a_bid_is_an_eighth_more_or_todays_price_within_the_cap() {
        let old = quote(0, 800, 80);
        let fees = |raw: &[u8], today: Quote, cap: u128| {
            let bid = outbid(SIGNER, raw, Outbid::Same, today, cap).unwrap();
            bid.map(|tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas))
        };
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
            assert_eq!(fees(&signed(old), today, cap), expected, "{today:?} {cap}");
        }
        let free = signed(quote(0, 1, 0));
        assert_eq!(fees(&free, quote(0, 0, 0), 10), Some((2, 1)), "both are more");
        let dear = signed(quote(0, u128::MAX, 0));
        assert_eq!(fees(&dear, old, u128::MAX), None);
    }

    #[test]
    fn what_offers_less_than_the_base_fee_is_underpriced() {
        let raw = signed(quote(0, 800, 80));
        assert!(is_underpriced(&raw, quote(801, 2_000, 0)));
        assert!(!is_underpriced(&raw, quote(800, 2_000, 0)));
        assert!(!is_underpriced(b"?", quote(800, 2_000, 0)));
    }

    #[test]
    fn bytes_that_no_lane_signed_are_not_outbid() {
        assert!(outbid(SIGNER, b"\x02?", Outbid::Same, quote(0, 1, 1), 9).is_err());
        assert!(outbid(SIGNER, b"", Outbid::Nothing, quote(0, 1, 1), 9).is_err());
    }
}
