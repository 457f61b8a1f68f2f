//! Bodies spoiled at random from a seed: each is answered in the protocol's shape, none by a fault, the same bytes in the
//! same way, and what is called valid has been signed by its payer for exactly what the merchant asks, by another
//! reckoning than the facilitator's.

mod evm;
mod solana;
mod spoil;

use std::sync::LazyLock;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::dice::Dice;
use crate::schema::faults;
use crate::support::facilitator::Caller;
use crate::support::http::Answer;
use crate::support::inside::Inside;

/// In a round, which has payments of its own.
const BODIES: usize = 1000;

/// Requests at the same time.
const CALLERS: usize = 32;

/// Of so many bodies one is sent twice.
const TWICE: usize = 8;

/// Where bodies go in.
enum Door {
    Tcp(Caller),
    Inside(Inside),
}

impl Door {
    async fn verify(&self, body: Vec<u8>) -> Answer {
        match self {
            Self::Tcp(caller) => caller.post_bytes("/verify", &[], body).await,
            Self::Inside(facilitator) => facilitator.post("/verify", body).await,
        }
    }

    async fn stop(self) {
        if let Self::Inside(facilitator) = self {
            facilitator.stop().await;
        }
    }
}

/// Whole bodies, good ones and such as their payers have signed otherwise; and whether a payer has signed exactly what the
/// merchant asks for in a body, none where that cannot be read.
struct Pool {
    bodies: Vec<Vec<u8>>,
    is_signed: fn(&[u8]) -> Option<bool>,
}

/// Spoils a round of bodies and holds what is said of them to what is true of it.
async fn round(door: &Door, number: usize, pool: &Pool) {
    let spoiled = (0..BODIES).map(|index| {
        let mut dice = Dice::new(u64::try_from(number * BODIES + index).unwrap()).apart();
        (index, spoil::body(&mut dice, &pool.bodies))
    });
    let verdicts: Vec<bool> = stream::iter(spoiled)
        .map(|(index, body)| async move {
            let answer = door.verify(body.clone()).await;
            let is_valid = judge(&body, &answer, pool);
            if index.is_multiple_of(TWICE) {
                let again = door.verify(body.clone()).await;
                assert_eq!(told(&again), told(&answer), "{}", String::from_utf8_lossy(&body));
            }
            is_valid
        })
        .buffer_unordered(CALLERS)
        .collect()
        .await;
    let valid = verdicts.iter().filter(|is_valid| **is_valid).count();
    assert!(
        (1..BODIES / 2).contains(&valid),
        "{valid} are still valid: this tests nothing"
    );
}

/// Whether a body was called valid.
fn judge(body: &[u8], answer: &Answer, pool: &Pool) -> bool {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let text = std::fs::read_to_string("openapi.yaml").unwrap();
        serde_norway::from_str(&text).unwrap()
    });
    let shown = || format!("{}: {}", answer.text(), String::from_utf8_lossy(body));
    assert!([200, 400].contains(&answer.status), "{} {}", answer.status, shown());
    let verdict = answer.json();
    let shape = &DOCUMENT["components"]["schemas"]["VerifyAnswer"];
    assert_eq!(faults(&DOCUMENT, shape, &verdict, "answer"), [""; 0], "{}", shown());
    let is_valid = verdict["isValid"] == true;
    assert_eq!(is_valid, verdict.get("invalidReason").is_none(), "{}", shown());
    if is_valid {
        assert_eq!(answer.status, 200, "{}", shown());
        assert_eq!((pool.is_signed)(body), Some(true), "{}", shown());
    }
    is_valid
}

/// What an answer says; its message may name the time.
fn told(answer: &Answer) -> (u16, Value) {
    let mut verdict = answer.json();
    verdict["invalidMessage"].take();
    (answer.status, verdict)
}
