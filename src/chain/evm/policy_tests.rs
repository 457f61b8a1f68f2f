//! What a key may sign, and everything beside it that it may not, one thing changed at a time.

use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::primitives::U256;

use super::super::body::{Domain, Wallet};
use super::super::eip3009::Call3;
use super::super::lane::{TRANSFER_GAS_MAX, TransferCall, unsigned};
use super::super::listing::Asset;
use super::*;
use crate::domain::rail::{DataFee, Quote};

const CHAIN_ID: u64 = 84_532;
const SIGNER: Address = Address::repeat_byte(0x51);
const TOKEN: Address = Address::repeat_byte(0x70);
const FACTORY: Address = Address::repeat_byte(0xfa);
const STRANGER: Address = Address::repeat_byte(0x99);
const CAP: u128 = 1_000;
const NOW: Timestamp = Timestamp(1_000_000);

/// Spoils a good one.
type Change<T> = fn(&mut T);

fn listing() -> Listing {
    Listing {
        network: "eip155:84532".parse().unwrap(),
        chain_id: CHAIN_ID,
        assets: vec![Asset {
            address: TOKEN,
            domain: Domain {
                name: "USDC".into(),
                version: "2".into(),
            },
            separator: B256::repeat_byte(7),
            decimals: 6,
        }],
        factories: vec![FACTORY],
        signers: vec![SIGNER],
        retired: 0,
    }
}

/// The policy of a network with one token and one factory.
pub(in crate::chain::evm) fn policy() -> Policy {
    Policy::of(&listing(), CAP)
}

fn body(wallet: Wallet, signature: usize) -> Body {
    Body {
        token: TOKEN,
        from: Address::repeat_byte(1),
        to: Address::repeat_byte(2),
        value: 10_000,
        valid_after: 0,
        valid_before: NOW.0 + 60,
        nonce: B256::repeat_byte(3),
        signature: vec![4; signature].into(),
        is_recovered: false,
        wallet,
        stated: None,
    }
}

fn deployable() -> Wallet {
    Wallet::Deployable {
        factory: FACTORY,
        call: vec![5; 36].into(),
    }
}

fn carrying(bodies: &[Body]) -> TxEip1559 {
    let quote = Quote {
        floor: 1,
        fee_max: CAP,
        tip: 10,
        fee_cap: CAP,
        data: DataFee::default(),
    };
    let calls = bodies.iter().map(|body| {
        let (target, input) = eip3009::transfer_call(body);
        TransferCall {
            target,
            input,
            gas_max: TRANSFER_GAS_MAX,
        }
    });
    unsigned(CHAIN_ID, 7, &calls.collect::<Vec<_>>(), quote).unwrap()
}

fn ordinary() -> TxEip1559 {
    carrying(&[body(Wallet::AsIs, 65)])
}

fn refused(tx: TxEip1559) -> &'static str {
    policy().transaction(SIGNER, tx).err().map_or("nothing", |it| it.0)
}

fn batch(calls: &[(Address, Bytes)]) -> Bytes {
    let calls = calls.iter().map(|(target, input)| Call3 {
        target: *target,
        allowFailure: true,
        callData: input.clone(),
    });
    let calls = calls.collect();
    Multicall3::aggregate3Call { calls }.abi_encode().into()
}

#[test]
fn what_lanes_send_is_allowed() {
    let empty = TxEip1559 {
        to: TxKind::Call(SIGNER),
        input: Bytes::new(),
        ..ordinary()
    };
    for (what, tx) in [
        ("a payment", ordinary()),
        ("one by a wallet", carrying(&[body(Wallet::AsIs, 100)])),
        (
            "one by a wallet that is deployed first",
            carrying(&[body(deployable(), 65)]),
        ),
        (
            "several",
            carrying(&[body(Wallet::AsIs, 65), body(Wallet::AsIs, 80), body(deployable(), 65)]),
        ),
        ("nothing, to itself", empty),
    ] {
        let hash = tx.signature_hash();
        let allowed = policy().transaction(SIGNER, tx.clone());
        let allowed = allowed.unwrap_or_else(|forbidden| panic!("{what}: {forbidden}"));
        assert_eq!(*allowed.allowed().digest(), hash, "{what}: of these very bytes");
        let sealed = allowed.sealed(Signature::test_signature());
        assert_eq!(
            sealed.raw,
            tx.into_signed(Signature::test_signature()).encoded_2718(),
            "{what}"
        );
    }
}

#[test]
fn a_transaction_that_no_lane_sends_is_not() {
    let items = vec![AccessListItem::default()];
    let cases: [(&str, Change<TxEip1559>); 7] = [
        ("another chain", |tx| tx.chain_id = 1),
        ("a transfer of the chain's coin", |tx| tx.value = U256::from(1)),
        ("so much gas", |tx| tx.gas_limit = TX_GAS_MAX + 1),
        ("a price above the cap", |tx| tx.max_fee_per_gas = CAP + 1),
        ("a tip above the price", |tx| tx.max_priority_fee_per_gas = CAP + 1),
        ("the creation of a contract", |tx| tx.to = TxKind::Create),
        ("a call of a contract that is not configured", |tx| {
            tx.to = TxKind::Call(STRANGER);
        }),
    ];
    for (what, change) in cases {
        let mut tx = ordinary();
        change(&mut tx);
        assert_eq!(refused(tx), what);
    }
    let mut tx = ordinary();
    tx.access_list = AccessList(items);
    assert_eq!(refused(tx), "an access list");
}

#[test]
fn a_call_that_moves_no_payment_is_not_signed() {
    const NO_TRANSFER: &str = "a call of a token that is no transfer with authorization";
    const NO_BATCH: &str = "a call of Multicall3 that is no batch";
    const UNKNOWN: &str = "a call of a contract that is not configured";
    let good = ordinary().input;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut input = good.to_vec();
        change(&mut input);
        Bytes::from(input)
    };
    let nested = batch(&[(MULTICALL3, batch(&[(MULTICALL3, batch(&[(TOKEN, good.clone())]))]))]);
    for (what, target, input, complaint) in [
        // `transfer` and `approve` of ERC-20.
        (
            "another function",
            TOKEN,
            with(&|it| it[..4].copy_from_slice(&[0xa9, 0x05, 0x9c, 0xbb])),
            NO_TRANSFER,
        ),
        (
            "an approval",
            TOKEN,
            with(&|it| it[..4].copy_from_slice(&[0x09, 0x5e, 0xa7, 0xb3])),
            NO_TRANSFER,
        ),
        ("no function", TOKEN, Bytes::new(), NO_TRANSFER),
        ("a cut call", TOKEN, with(&|it| it.truncate(200)), NO_TRANSFER),
        ("bytes left over", TOKEN, with(&|it| it.push(0)), NO_TRANSFER),
        ("a dirty address", TOKEN, with(&|it| it[4] = 1), NO_TRANSFER),
        ("an empty call of somebody else", STRANGER, Bytes::new(), UNKNOWN),
        ("a call of itself", SIGNER, good.clone(), UNKNOWN),
        ("a factory alone", FACTORY, vec![1; 36].into(), UNKNOWN),
        ("an empty batch", MULTICALL3, batch(&[]), NO_BATCH),
        ("no batch", MULTICALL3, good.clone(), NO_BATCH),
        (
            "a stranger in a batch",
            MULTICALL3,
            batch(&[(TOKEN, good.clone()), (STRANGER, good.clone())]),
            UNKNOWN,
        ),
        (
            "an approval in a batch",
            MULTICALL3,
            batch(&[(TOKEN, vec![9; 68].into())]),
            NO_TRANSFER,
        ),
        ("too deep", MULTICALL3, nested, UNKNOWN),
    ] {
        let tx = TxEip1559 {
            to: TxKind::Call(target),
            input,
            ..ordinary()
        };
        assert_eq!(refused(tx), complaint, "{what}");
    }
}

#[test]
fn a_refund_is_the_wallets_own_transfer_within_half_an_hour() {
    const WALLET: Address = Address::repeat_byte(1);
    let policy = policy();
    let allowed = policy.refund(WALLET, &body(Wallet::AsIs, 0), NOW).unwrap();
    let digest = eip3009::digest(&body(Wallet::AsIs, 0), B256::repeat_byte(7));
    assert_eq!(*allowed.digest(), digest);
    let cases: [(&str, Change<Body>); 7] = [
        ("another token", |it| it.token = STRANGER),
        ("somebody else's money", |it| it.from = STRANGER),
        ("a transfer to nobody", |it| it.to = Address::ZERO),
        ("a transfer to nobody", |it| it.to = TOKEN),
        ("a transfer to itself", |it| it.to = WALLET),
        ("a transfer of nothing", |it| it.value = 0),
        ("so long a window", |it| it.valid_before = NOW.0 + GOOD_FOR + 1),
    ];
    for (what, change) in cases {
        let mut changed = body(Wallet::AsIs, 0);
        change(&mut changed);
        assert_eq!(policy.refund(WALLET, &changed, NOW).err(), Some(Forbidden(what)));
    }
}

#[test]
fn what_is_signed_at_start_is_neither_a_transaction_nor_typed_data() {
    let allowed = policy().trial();
    let Wanted::Secp256k1 { message, digest } = allowed.wanted() else {
        panic!("of another kind");
    };
    assert!(message.starts_with(b"\x19Ethereum Signed Message:\n") && message.ends_with(b"eip155:84532?"));
    assert_eq!(digest, keccak256(message).0);
}
