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
use solana_message::v0::MessageAddressTableLookup;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

use super::blockhashes::Lifetime;
use super::body::{Body, Kind};
use super::evidence::{Arrival, Meta, Target};
use super::finding::{self, Finding, Trial};
use super::instructions;
use super::listing::Listing;
use super::node::{Account, Simulated};
use super::payload as exact;
use super::programs::{TOKEN, TOKEN_2022};
use super::settings::{Settings, TokenProgram};
use super::terms::Asked;
use super::transaction::{BYTES_MAX, Instruction, Transaction};
use super::{lookup_tables, mint, smart_wallet};
use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::rail::Simulation;
use crate::domain::rejection::Refused;
use crate::domain::request::PaymentRequest;

/// The public half of the key whose every byte is 1: the fee payer that the corpus names.
const FEE_PAYER: Pubkey = Pubkey::from_str_const("AKnL4NNf3DGWZJS6cPknBuEGnVsV4A4m5tgebLHaRSZ9");

/// Whom the corpus pays.
const SELLER: Pubkey = Pubkey::from_str_const("2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4");

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

/// The usual one, and one that takes smart wallets too.
fn listings() -> &'static [Listing; 2] {
    static LISTINGS: OnceLock<[Listing; 2]> = OnceLock::new();
    LISTINGS.get_or_init(|| [listing(false), listing(true)])
}

/// What the corpus asks for.
fn asked() -> Asked<'static> {
    Asked {
        fee_payer: FEE_PAYER,
        asset: listings()[0].assets[0].mint,
        pay_to: SELLER,
        amount: Amount::from_units(10_000),
        memo: None,
    }
}

/// What is read is the authorization's own: its key is that of its message, and its body reads back.
///
/// # Errors
/// As the rail's `decode`.
pub fn payload(request: &PaymentRequest) -> Result<Authorization, Refused> {
    let [usual, lenient] = listings();
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
    let signed = official.signatures.iter().skip(1).flat_map(AsRef::as_ref);
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

/// Of what its payer may have signed, what passes as a payment moves what is asked for to where it is asked for, once;
/// nothing in it names the fee payer, and what it can cost is bounded.
pub fn rules(wire: &[u8]) {
    let Ok(transaction) = Transaction::parse(wire) else {
        return;
    };
    let ([usual, lenient], asked) = (listings(), asked());
    // That is judged before, with the signatures.
    if *transaction.fee_payer() != asked.fee_payer {
        return;
    }
    let names_fee_payer = |it: Instruction<'_>| it.accounts.contains(&0) || *it.program == FEE_PAYER;
    if instructions::judge(usual, &asked, &transaction).is_ok() {
        let is_token = |it: &Instruction<'_>| [TOKEN, TOKEN_2022].contains(it.program);
        let transfers: Vec<_> = transaction.instructions().filter(is_token).collect();
        let [transfer] = transfers.as_slice() else {
            panic!("{transfers:?}");
        };
        assert_eq!(
            transfer.data,
            [&[12], 10_000_u64.to_le_bytes().as_slice(), &[6]].concat()
        );
        let destination = usual.token_account(&SELLER, &usual.assets[0]);
        assert_eq!(transaction.account(transfer.accounts[1]), Some(&asked.asset));
        assert_eq!(transaction.account(transfer.accounts[2]), Some(&destination));
        assert!(!transaction.instructions().any(names_fee_payer));
        let signatures = u128::try_from(transaction.required_signatures()).unwrap() * 5_000;
        let cost = instructions::cost_max(&transaction);
        assert!(
            cost <= signatures + u128::from(usual.bounds.priority_fee_max_lamports),
            "{cost}"
        );
    }
    if smart_wallet::decode(lenient, &transaction, None).is_ok() {
        assert!(!transaction.instructions().any(names_fee_payer));
    }
}

/// A trial's outcome is told in few printable words, and a payment counts as tried with success only when no error is told;
/// who pays is never the facilitator.
pub fn simulation(bytes: &[u8]) {
    let Ok(simulated) = serde_json::from_slice::<Simulated>(bytes) else {
        return;
    };
    let (listing, asked, failed) = (&listings()[1], asked(), simulated.err.is_some());
    let asset = listing.assets[0];
    let destination = listing.token_account(&SELLER, &asset);
    let body = Body {
        kind: Kind::SmartWallet,
        transaction: Transaction::parse(include_bytes!("../../../tests/fuzz/corpus/solana_rules/v0")).unwrap(),
        source: None,
        destination,
        owner: SELLER,
        asset,
    };
    let authorization = exact::authorization(listing, &asked, &SELLER, &body);
    let finding = Finding {
        trial: Trial::Ran(simulated),
        source: None,
        destination: Some(token_account(asset.mint)),
        mint: None,
        tables: Vec::new(),
        lifetime: Lifetime {
            height: 7,
            blocks_left: 150,
        },
    };
    let Ok(facts) = finding::facts(listing, &authorization, &body, &finding, 1) else {
        assert!(failed);
        return;
    };
    match &facts.transfer {
        Simulation::Succeeded { .. } => assert!(!failed),
        Simulation::Failed { reason } => {
            assert!(failed && reason.chars().count() <= 160, "{reason}");
            assert!(!reason.chars().any(char::is_control), "{reason:?}");
        }
        Simulation::DeploymentFailed => panic!("nothing is deployed here"),
    }
    assert_ne!(facts.payer, Some(FEE_PAYER.to_string()));
    assert!(facts.payer.is_none() || facts.flaw.is_none());
}

/// An empty token account.
fn token_account(mint: Pubkey) -> Account {
    let mut data = mint.to_bytes().to_vec();
    data.resize(165, 0);
    Account {
        lamports: 1,
        owner: TOKEN,
        data,
    }
}

/// A mint is one only as its program has it, and a lookup table gives what stands in it.
pub fn account(data: &[u8]) {
    for program in [TokenProgram::Token, TokenProgram::Token2022] {
        let account = Account {
            lamports: 1,
            owner: program.id(),
            data: data.to_vec(),
        };
        if let Ok(mint) = mint::read(&account, program) {
            assert_eq!(&data[44..46], &[mint.decimals, 1]);
        }
    }
    let table = Account {
        lamports: 1,
        owner: lookup_tables::PROGRAM,
        data: data.to_vec(),
    };
    let lookup = MessageAddressTableLookup {
        account_key: SELLER,
        writable_indexes: vec![1],
        readonly_indexes: vec![0],
    };
    if let Ok(taken) = lookup_tables::resolve(&[lookup], &[Some(table)]) {
        assert_eq!(taken[0].as_ref(), &data[88..120]);
        assert_eq!(taken[1].as_ref(), &data[56..88]);
    }
}
