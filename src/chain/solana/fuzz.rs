//! What is always true of what a Solana payer or node sends, however it is spoiled.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a property that does not hold has to end the run"
)]

use std::collections::HashSet;
use std::sync::OnceLock;

use serde_json::{Value, json};
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

use super::body::Body;
use super::evidence::{Arrival, Meta, Target};
use super::listing::Listing;
use super::payload as exact;
use super::settings::Settings;
use super::transaction::{BYTES_MAX, Transaction};
use crate::domain::authorization::Authorization;
use crate::domain::rejection::Refused;
use crate::domain::request::PaymentRequest;

/// The public half of the key whose every byte is 1: the fee payer that the corpus names.
const FEE_PAYER: Pubkey = Pubkey::from_str_const("AKnL4NNf3DGWZJS6cPknBuEGnVsV4A4m5tgebLHaRSZ9");

fn listing(smart_wallets: bool) -> Listing {
    let settings: Settings = serde_json::from_value(json!({
        "id": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "rpc_url": "http://localhost", "signers": [""],
        "smart_wallets": smart_wallets,
        "budget": {
            "total": {"minute": "unlimited", "day": "unlimited"},
            "signer": {"minute": "unlimited", "day": "unlimited"},
            "payer": {"minute": "unlimited", "day": "unlimited"},
        },
        "asset": [
            {
                "address": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", "symbol": "USDC", "decimals": 6,
                "program": "token",
            },
            {
                "address": "CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM", "symbol": "PYUSD", "decimals": 6,
                "program": "token-2022",
            },
        ],
    }))
    .unwrap();
    Listing::of(&settings, vec![FEE_PAYER])
}

/// What is read is the authorization's own: its key is that of its message, and its body reads back.
///
/// # Errors
/// As the rail's `decode`.
pub fn payload(request: &PaymentRequest) -> Result<Authorization, Refused> {
    static LISTINGS: OnceLock<[Listing; 2]> = OnceLock::new();
    let [usual, lenient] = LISTINGS.get_or_init(|| [listing(false), listing(true)]);
    let judged = exact::decode(usual, request);
    let authorization = match (judged, exact::decode(lenient, request)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.key, other.key);
            one
        }
        (Err(refused), Err(_)) => return Err(refused),
        (Err(_), Ok(only)) => only,
        (Ok(one), Err(refused)) => panic!("{one:?} is refused where more is taken: {refused:?}"),
    };
    let Authorization {
        asset, payer, nonce, ..
    } = &authorization;
    assert_eq!(exact::key_of(usual, asset, payer, nonce).ok(), Some(authorization.key));
    let body = Body::decode(&authorization.body).unwrap();
    assert_eq!(body.encode(), authorization.body);
    assert_eq!(*body.transaction.fee_payer(), FEE_PAYER);
    assert_eq!(body.transaction.check_signatures(), Ok(()));
    Ok(authorization)
}

/// The transaction as Solana's own crate reads it, and takes it to be sound, where it could be a payment.
fn official(wire: &[u8]) -> Option<VersionedTransaction> {
    let read: VersionedTransaction = wincode::deserialize_exact(wire).ok()?;
    read.sanitize().ok()?;
    let is_known = matches!(read.message, VersionedMessage::Legacy(_) | VersionedMessage::V0(_));
    let keys = read.message.static_account_keys();
    let are_distinct = keys.iter().collect::<HashSet<_>>().len() == keys.len();
    (is_known && are_distinct && wire.len() <= BYTES_MAX).then_some(read)
}

/// A transaction has one encoding, and is one to Solana's own crate too; slot 0 is not part of it, and everything that an
/// index names is there.
pub fn transaction(wire: &[u8]) {
    let official = official(wire);
    let Ok(transaction) = Transaction::parse(wire) else {
        assert!(official.is_none(), "{official:?}");
        return;
    };
    let official = official.unwrap();
    assert_eq!(official.message.serialize(), transaction.message_bytes());
    assert_eq!(official.message.static_account_keys(), transaction.static_keys());
    assert_eq!(official.message.recent_blockhash(), transaction.blockhash());
    let signed = official.signatures.iter().skip(1).flat_map(|it| it.as_ref());
    assert!(signed.eq(&wire[65..wire.len() - transaction.message_bytes().len()]));
    assert!(wire.len() <= BYTES_MAX);
    assert_eq!(transaction.wire().len(), wire.len());
    assert_eq!(
        transaction.message_bytes(),
        &wire[wire.len() - transaction.message_bytes().len()..]
    );
    let sealed = Transaction::parse(&transaction.sealed([7; 64])).unwrap();
    assert_eq!(sealed, transaction);
    assert_eq!(sealed.message_hash(), transaction.message_hash());
    assert!((1..=19).contains(&transaction.required_signatures()));
    assert!(transaction.account(0).is_some());
    let loaded = transaction
        .lookups()
        .iter()
        .map(|it| it.writable_indexes.len() + it.readonly_indexes.len());
    let all = transaction.static_keys().len() + loaded.sum::<usize>();
    for instruction in transaction.instructions() {
        assert!(instruction.accounts.iter().all(|index| usize::from(*index) < all));
        assert!(transaction.static_keys().contains(instruction.program));
    }
    // Whether it holds or not, it is said of an account that must sign.
    if let Err(signer) = transaction.check_signatures() {
        assert!(transaction.static_keys()[1..transaction.required_signatures()].contains(&signer));
    }
}

/// A stored body that can be read is written the same way.
pub fn body(bytes: &[u8]) {
    if let Ok(body) = Body::decode(bytes) {
        let written = body.encode();
        assert_eq!(Body::decode(&written).map(|it| it.encode()), Ok(written));
    }
}

/// A payment shows in what the recipient's account held before and after, and in nothing else.
pub fn meta(bytes: &[u8]) {
    let target = Target::sample();
    let arrival = |value: &Value| {
        let meta = serde_json::from_value::<Meta>(value.clone()).ok()?;
        Some(target.arrival(&meta))
    };
    let Ok(mut told) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    if let Some(Arrival::Exact { .. }) = arrival(&told) {
        told["postTokenBalances"] = json!([]);
        assert_eq!(arrival(&told), Some(Arrival::Otherwise));
        told["preTokenBalances"] = Value::Null;
        assert_eq!(arrival(&told), Some(Arrival::Untold));
    }
}
