//! Good bodies, spoiled at random from a seed: each is answered, none by a fault, and what is still called valid has
//! been signed by its payer for exactly what the merchant asks, by another reckoning than the facilitator's.

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use alloy::sol_types::{Eip712Domain, SolStruct};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::support::contracts::{TransferWithAuthorization, addresses};
use crate::support::payer::{Envelope, Payment};
use crate::support::world::World;

/// How many, when `MUTATIONS` does not say.
const COUNT: u64 = 20_000;

/// Requests at the same time.
const CALLERS: usize = 32;

/// Numbers that look random and follow from the seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is at least 1.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Spoils a body in one way; the second body is another good one.
type Mutator = fn(&mut Dice, &mut Vec<u8>, &[u8]);

const MUTATORS: [Mutator; 8] = [
    // A bit flips.
    |dice, body, _| {
        let at = dice.below(body.len());
        body[at] ^= 1 << dice.below(8);
    },
    // A digit or letter becomes another.
    |dice, body, _| {
        let at = dice.below(body.len());
        body[at] = b"0123456789abcdefxXN\"{}[]:,-+. "[dice.below(30)];
    },
    // The end is missing.
    |dice, body, _| body.truncate(dice.below(body.len())),
    // A part is there twice, as a key may be.
    |dice, body, _| {
        let from = dice.below(body.len());
        let to = (from + dice.below(64)).min(body.len());
        let part = body[from..to].to_vec();
        body.splice(to..to, part);
    },
    // A part is gone.
    |dice, body, _| {
        let from = dice.below(body.len());
        let to = (from + dice.below(16)).min(body.len());
        body.drain(from..to);
    },
    // Half of this, half of another.
    |dice, body, other| {
        let at = dice.below(body.len().min(other.len()));
        body.truncate(at);
        body.extend_from_slice(&other[at..]);
    },
    // A value has another type or size.
    |dice, body, _| {
        let colons: Vec<usize> = (0..body.len()).filter(|i| body[*i] == b':').collect();
        let Some(at) = colons.get(dice.below(colons.len().max(1))) else {
            return;
        };
        let values = [
            "null,\"x\":",
            "1e300,\"x\":",
            "[[[[]]]],\"x\":",
            "\"\\u0000\",\"x\":",
            "-0,\"x\":",
            "{},\"x\":",
        ];
        body.splice(*at + 1..=*at, values[dice.below(values.len())].bytes());
    },
    // Something that is no ASCII.
    |dice, body, _| {
        let at = dice.below(body.len());
        body.splice(
            at..at,
            ["\u{202e}", "０", "\u{feff}", "х", "\u{10ffff}"][dice.below(5)].bytes(),
        );
    },
];

/// Whether the payer signed exactly what the merchant asks for here.
fn is_signed(body: &[u8]) -> Option<bool> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let terms = &body["paymentRequirements"];
    let proof = &body["paymentPayload"]["payload"];
    let text = |at: &str| proof["authorization"][at].as_str();
    let address = |text: Option<&str>| text?.parse::<Address>().ok();
    let number = |text: Option<&str>| text?.parse::<U256>().ok();
    let transfer = TransferWithAuthorization {
        from: address(text("from"))?,
        to: address(terms["payTo"].as_str())?,
        value: number(terms["amount"].as_str().or(terms["maxAmountRequired"].as_str()))?,
        validAfter: number(text("validAfter"))?,
        validBefore: number(text("validBefore"))?,
        nonce: text("nonce")?.parse::<B256>().ok()?,
    };
    let domain = Eip712Domain::new(
        Some("USDC".into()),
        Some("2".into()),
        Some(U256::from(84_532)),
        Some(addresses().usdc),
        None,
    );
    let signature = proof["signature"].as_str()?.parse::<Bytes>().ok()?;
    let signer = Signature::from_raw(&signature).ok()?;
    let signer = signer.recover_address_from_prehash(&transfer.eip712_signing_hash(&domain));
    Some(address(terms["asset"].as_str())? == addresses().usdc && signer.ok()? == transfer.from)
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test]
async fn b01_mutated_bodies_are_answered_and_never_falsely_valid() {
    let (count, seed) = (number("MUTATIONS", COUNT), number("SEED", 1));
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let good: Vec<Vec<u8>> = (1..5)
        .flat_map(|payer| Envelope::BOTH.map(|envelope| Payment::by(payer).body_in(envelope).to_string().into()))
        .collect();
    let bodies = (0..count).map(|i| {
        let mut dice = Dice(seed.wrapping_mul(1 << 40).wrapping_add(i));
        let mut body = good[dice.below(good.len())].clone();
        let other = &good[dice.below(good.len())];
        for _ in 0..=dice.below(3) {
            if !body.is_empty() {
                MUTATORS[dice.below(MUTATORS.len())](&mut dice, &mut body, other);
            }
        }
        body
    });
    let answers = stream::iter(bodies)
        .map(|body| async {
            let answer = caller.post_bytes("/verify", &[], body.clone()).await;
            (body, answer)
        })
        .buffer_unordered(CALLERS);
    let mut valid: u64 = 0;
    tokio::pin!(answers);
    while let Some((body, answer)) = answers.next().await {
        let shown = String::from_utf8_lossy(&body);
        assert!([200, 400].contains(&answer.status), "{}: {shown}", answer.text());
        let verdict = answer.json();
        if verdict["isValid"] == true {
            valid += 1;
            assert_eq!(is_signed(&body), Some(true), "{verdict}: {shown}");
        }
    }
    assert!(!world.facilitator.logs().contains("panicked"));
    assert_eq!(world.db.count("payments").await, 0);
    println!("mutations: {count}, seed {seed}: {valid} still valid, 0 falsely; with 95 % fewer than 3 in {count} are");
    assert!(
        (1..count / 2).contains(&valid),
        "{valid} are still valid: this tests nothing"
    );
}
