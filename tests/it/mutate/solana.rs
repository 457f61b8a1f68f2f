//! The same on Solana, where the payer builds the whole transaction.

use std::collections::HashSet;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

use super::spoil::place;
use super::{Door, Pool, round};
use crate::dice::Dice;
use crate::support::counted::counted;
use crate::support::payer::Envelope;
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::{TOKEN, TOKEN_2022, associated_account};
use crate::support::solana::transaction::{text_of, transaction, wire_in};
use crate::support::solana::world::{Setup, SolanaWorld};

/// `TransferChecked` of both token programs.
const TRANSFER_CHECKED: u8 = 12;

/// Whether the one transfer in the transaction, read by Solana's own crate, is the one that the merchant asks for, signed
/// by whose money it is, and the fee payer is nowhere among what instructions name.
fn is_signed(body: &[u8]) -> Option<bool> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let terms = &body["paymentRequirements"];
    let price = match body["paymentPayload"]["x402Version"].as_u64()? {
        1 => &terms["maxAmountRequired"],
        _ => &terms["amount"],
    };
    let price: u64 = price.as_str()?.parse().ok()?;
    let [asset, pay_to, fee_payer] = [&terms["asset"], &terms["payTo"], &terms["extra"]["feePayer"]]
        .map(|text| text.as_str().and_then(|it| it.parse::<Pubkey>().ok()));
    let (asset, pay_to) = (asset?, pay_to?);

    let wire = wire_in(&body["paymentPayload"]["payload"]["transaction"]);
    let read: VersionedTransaction = wincode::deserialize_exact(&wire).ok()?;
    read.sanitize().ok()?;
    let keys = read.message.static_account_keys();
    let key = |index: u8| keys.get(usize::from(index)).copied();
    let calls = read.message.instructions();
    let named: HashSet<Option<Pubkey>> = calls
        .iter()
        .flat_map(|it| it.accounts.iter().map(|at| key(*at)))
        .collect();
    let is_token = |program| [Some(TOKEN), Some(TOKEN_2022)].contains(&program);
    let transfers: Vec<_> = calls.iter().filter(|it| is_token(key(it.program_id_index))).collect();
    let [transfer] = transfers.as_slice() else {
        return Some(false);
    };
    let program = key(transfer.program_id_index)?;
    let [_, mint, destination, authority] = transfer.accounts[..] else {
        return Some(false);
    };
    let message = read.message.serialize();
    let has_signed = |at: u8| {
        let signature = Signature::from_bytes(read.signatures.get(usize::from(at))?.as_array());
        let key = VerifyingKey::from_bytes(key(at)?.as_array()).ok()?;
        key.verify_strict(&message, &signature).ok()
    };
    Some(
        transfer.data.first() == Some(&TRANSFER_CHECKED)
            && transfer.data.get(1..9) == Some(&price.to_le_bytes())
            && key(mint) == Some(asset)
            && key(destination) == Some(associated_account(pay_to, program, asset))
            && fee_payer == key(0)
            && !named.contains(&fee_payer)
            && has_signed(authority).is_some(),
    )
}

/// The transaction with one to three bytes of its message changed before the payer signs.
fn otherwise(dice: &mut Dice, good: &Payment) -> Vec<u8> {
    let mut message = good.message().bytes();
    for _ in 0..=place(dice, 3) {
        let at = place(dice, message.len());
        message[at] = *dice.pick(&[0, 1, 2, 3, 4, 8, 12, 127, 128, 255, message[at] ^ 1]);
    }
    let signature = good.payer.signer.sign(&message).to_bytes();
    transaction(&[[0; 64], signature], &message)
}

/// Good payments of three payers over the newest block, and more that were signed otherwise.
async fn pool(world: &SolanaWorld, round: usize) -> Pool {
    let mut dice = Dice::new(round.try_into().unwrap());
    let mut bodies = Vec::new();
    for payer in 0..3 {
        for envelope in Envelope::BOTH {
            let good = world.payment(payer).await;
            bodies.push(good.body_in(envelope));
            for _ in 0..4 {
                let wire = otherwise(&mut dice, &good);
                bodies.push(good.body_saying(envelope, &text_of(&wire).into()));
            }
        }
    }
    Pool {
        bodies: bodies.iter().map(|body| body.to_string().into()).collect(),
        is_signed,
    }
}

/// A blockhash lasts for a minute, and so longer than a round.
fn slow() -> Setup {
    Setup {
        slot_ms: 400,
        ..Setup::default()
    }
}

#[tokio::test]
async fn v13_mutated_bodies_are_answered_and_never_falsely_valid() {
    let world = slow().start().await;
    let door = Door::Tcp(world.facilitator.caller());
    counted("V13", 1, super::BODIES, async |number| {
        round(&door, number, &pool(&world, number).await).await;
    })
    .await;
    assert!(!world.facilitator.logs().contains("panicked"));
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn v13_mutated_bodies_in_this_process_are_answered_and_never_falsely_valid() {
    let world = slow().prepare().await;
    let door = Door::Inside(world.facilitator.inside().await);
    counted("V13", 10, super::BODIES, async |number| {
        round(&door, number, &pool(&world, number).await).await;
    })
    .await;
    assert_eq!(world.db.count("payments").await, 0);
    door.stop().await;
}
