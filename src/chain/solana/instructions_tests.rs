//! What a transaction may cost, and what may follow its transfer.

use super::*;
use crate::chain::solana::trials::{Draft, compute_limit, compute_price, lighthouse, listing};

#[test]
fn the_highest_price_is_the_last_that_costs_no_more_than_the_bound() {
    for (lamports, units, expected) in [
        (100_000, 20_000, PRICE_MAX),
        (100_000, 400_000, 250_000),
        (100_000, 300_000, 333_333),
        (1, 1_000_001, 0),
        (0, 20_000, 0),
        (100_000, 0, PRICE_MAX),
        (u64::MAX, u32::MAX, PRICE_MAX),
    ] {
        let bounds = Bounds {
            signatures_max: 3,
            compute_units_max: u32::MAX,
            priority_fee_max_lamports: lamports,
        };
        let max = price_max(&bounds, units);
        assert_eq!(max, expected, "{lamports} {units}");
        let cost = |price: u64| (u128::from(units) * u128::from(price)).div_ceil(MICRO_LAMPORTS);
        assert!(cost(max) <= u128::from(lamports));
        assert!(max == PRICE_MAX || cost(max + 1) > u128::from(lamports));
    }
}

#[test]
fn the_fee_is_bounded_by_limit_and_price_and_both() {
    let bounds = listing().bounds;
    let limit_too_high = |found| Flaw::ComputeLimitTooHigh { found, max: 400_000 };
    let price_too_high = |found, max| Flaw::ComputePriceTooHigh { found, max };
    for (units, price, expected) in [
        (20_000, 1, Ok(())),
        (400_000, 250_000, Ok(())),
        (20_000, 5_000_000, Ok(())),
        (0, 0, Ok(())),
        (400_001, 0, Err(limit_too_high(400_001))),
        (u32::MAX, u64::MAX, Err(limit_too_high(u32::MAX))),
        (400_000, 250_001, Err(price_too_high(250_001, 250_000))),
        (20_000, 5_000_001, Err(price_too_high(5_000_001, 5_000_000))),
        (0, u64::MAX, Err(price_too_high(u64::MAX, 5_000_000))),
    ] {
        let mut draft = Draft::good();
        draft.calls[0] = compute_limit(units);
        draft.calls[1] = compute_price(price);
        let transaction = Transaction::parse(&draft.wire()).unwrap();
        let calls: Vec<_> = transaction.instructions().collect();
        assert_eq!(check_fee(&bounds, &calls[0], &calls[1]), expected, "{units} {price}");
    }
}

/// Lighthouse's instructions by their first byte: 0 MemoryWrite, 1 MemoryClose, 2 to 17 assertions (`instruction.rs`).
#[test]
fn of_lighthouse_only_assertions_may_follow() {
    for discriminator in 0..=255 {
        let mut draft = Draft::good();
        draft.calls[3] = lighthouse(discriminator);
        let transaction = Transaction::parse(&draft.wire()).unwrap();
        let calls: Vec<_> = transaction.instructions().collect();
        let is_allowed = check_rest(&calls[3..]).is_ok();
        assert_eq!(is_allowed, (2..=17).contains(&discriminator), "{discriminator}");
    }
}
