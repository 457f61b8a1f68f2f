//! Bodies and their bytes.

use super::*;
use crate::chain::solana::trials::{Draft, MINT, MINT_2022, PAY_TO, destination, source};

fn transaction(mint: Pubkey, program: TokenProgram) -> Transaction {
    Transaction::parse(&Draft::paying(mint, program).wire()).unwrap()
}

fn open(mint: Pubkey, program: TokenProgram) -> Body {
    let decimals = 6;
    Body {
        kind: Kind::Static,
        transaction: transaction(mint, program),
        source: Some(source(mint, program)),
        destination: destination(mint, program),
        owner: PAY_TO,
        asset: Asset {
            mint,
            program,
            decimals,
        },
    }
}

fn bodies() -> Vec<Body> {
    let plain = open(MINT, TokenProgram::Token);
    let other = open(MINT_2022, TokenProgram::Token2022);
    let hidden = |body: &Body| Body {
        kind: Kind::SmartWallet,
        source: None,
        ..body.clone()
    };
    vec![hidden(&plain), hidden(&other), plain, other]
}

#[test]
fn a_body_survives_its_bytes_and_nothing_else_is_one() {
    for body in bodies() {
        let bytes = body.encode();
        assert_eq!(Body::decode(&bytes), Ok(body.clone()));
        for cut in 0..bytes.len() {
            assert!(Body::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Body::decode(&longer).is_err());
        for (place, byte) in [(0, 0), (0, 2), (1, 2)] {
            let mut other = bytes.clone();
            other[place] = byte;
            assert!(Body::decode(&other).is_err(), "{place}");
        }
    }
}

#[test]
fn a_body_never_holds_the_fee_payers_signature() {
    for body in bodies() {
        let bytes = body.encode();
        let slot_0 = bytes.len() - body.transaction.wire().len() + 1;
        let mut other = bytes.clone();
        other[slot_0] = 1;
        assert!(Body::decode(&other).is_err());
    }
}

#[test]
fn a_transaction_without_an_open_transfer_is_no_open_payment() {
    let mut draft = Draft::good();
    draft.calls.remove(0);
    let body = Body {
        transaction: Transaction::parse(&draft.wire()).unwrap(),
        ..open(MINT, TokenProgram::Token)
    };
    assert_eq!(Body::decode(&body.encode()), Err(NotABody));
}
