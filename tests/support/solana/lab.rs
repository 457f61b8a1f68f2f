//! One world for all tests that are to change nothing on the chain: started for the first of them, gone with the last
//! that runs beside it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Builder, Runtime};

use super::transaction::{message_in, wire_in};
use super::world::{Setup, SolanaWorld};
use crate::support::payer::Envelope;
use crate::support::proxy::Call;

use super::payer::Payment;

/// The world, and the runtime on which everything in it lives.
struct Lab {
    world: Option<SolanaWorld>,
    runtime: Runtime,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _runtime = self.runtime.enter();
        self.world = None;
    }
}

static LAB: Mutex<Weak<Lab>> = Mutex::new(Weak::new());

fn lab() -> Arc<Lab> {
    let mut held = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    held.upgrade().unwrap_or_else(|| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let setup = Setup {
            slot_ms: 400,
            mints: &["usdc", "pyusd", "ousd"],
            ..Setup::default()
        };
        let world = Some(runtime.block_on(setup.start()));
        let lab = Arc::new(Lab { world, runtime });
        *held = Arc::downgrade(&lab);
        lab
    })
}

/// Runs a test in the world that others use too, and sees that no money and no lamports have moved.
pub(crate) fn without_a_trace(test: impl AsyncFnOnce(&SolanaWorld)) {
    let lab = lab();
    let world = lab.world.as_ref().unwrap();
    lab.runtime.block_on(async {
        test(world).await;
        assert_eq!(world.db.count("payments").await, 0);
        assert_eq!(world.lamports_spent().await, 0);
        for (name, mint) in &world.node.at.mints {
            assert_eq!(world.node.tokens(mint.seller_account).await, 0, "{name}");
        }
    });
}

/// x402's word for a refusal in both versions, our own code, and whether the chain is asked before it is given.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    v1: String,
    v2: String,
    code: &'static str,
    is_asked: bool,
}

/// The same word in both versions, without its usual beginning.
pub(crate) fn word(word: &str, code: &'static str) -> Refusal {
    let word = format!("invalid_exact_svm_{word}");
    Refusal {
        v1: word.clone(),
        v2: word,
        code,
        is_asked: false,
    }
}

/// A word that has its beginning in version 2 only.
pub(crate) fn shorter_in_v1(short: &str, code: &'static str) -> Refusal {
    Refusal {
        v1: short.into(),
        ..word(short, code)
    }
}

/// The chain was asked, and would not do it.
pub(crate) fn failing(code: &'static str) -> Refusal {
    Refusal {
        is_asked: true,
        ..shorter_in_v1("transaction_simulation_failed", code)
    }
}

/// The requirements are none that anybody could meet.
pub(crate) fn unacceptable() -> Refusal {
    let word = "invalid_payment_requirements";
    Refusal {
        v1: word.into(),
        v2: word.into(),
        code: "unacceptable",
        is_asked: false,
    }
}

/// Questions to the node that show it this transaction, whoever signed it.
pub(crate) fn shown(world: &SolanaWorld, wire: &[u8]) -> usize {
    fn shows(call: &Call) -> bool {
        matches!(call.method.as_str(), "simulateTransaction" | "sendTransaction")
    }
    let message = message_in(wire);
    let shown = world.proxy.calls(shows);
    shown
        .iter()
        .filter(|call| message_in(&wire_in(&call.params[0])) == message)
        .count()
}

/// The transaction is refused for this reason at both doors in both versions; nobody signs it, and the node sees it
/// only where it has to.
pub(crate) async fn refused(world: &SolanaWorld, case: &str, payment: &Payment, wire: &[u8], refusal: &Refusal) {
    for envelope in Envelope::BOTH {
        let body = payment.body_with(envelope, wire);
        refused_body(world, case, &body, envelope, refusal).await;
    }
    let is_shown = !message_in(wire).is_empty() && shown(world, wire) > 0;
    assert_eq!(is_shown, refusal.is_asked, "{case}: shown to the node");
}

/// The body is refused for this reason at both doors.
pub(crate) async fn refused_body(
    world: &SolanaWorld,
    case: &str,
    body: &serde_json::Value,
    envelope: Envelope,
    refusal: &Refusal,
) {
    let reason = match envelope {
        Envelope::V1 => &refusal.v1,
        Envelope::V2 => &refusal.v2,
    };
    let said = world.facilitator.verify(body).await.verdict(200);
    assert_eq!(said["isValid"], false, "{case}: {said}");
    assert_eq!(said["invalidReason"], reason.as_str(), "{case}: {said}");
    let begins = |message: &serde_json::Value| message.as_str().unwrap().starts_with(&format!("{}: ", refusal.code));
    assert!(
        begins(&said["invalidMessage"]),
        "{case}: expected {}: {said}",
        refusal.code
    );
    let said = world.facilitator.settle(body).await.outcome(200);
    assert_eq!(said["success"], false, "{case}: {said}");
    assert_eq!(said["errorReason"], reason.as_str(), "{case}: {said}");
    assert!(
        begins(&said["errorMessage"]),
        "{case}: expected {}: {said}",
        refusal.code
    );
    assert_eq!(said["transaction"], "", "{case}: {said}");
}

/// The transaction is found valid in both versions, and its payer named.
pub(crate) async fn valid(world: &SolanaWorld, case: &str, payment: &Payment, wire: &[u8]) {
    for envelope in Envelope::BOTH {
        let said = world
            .facilitator
            .verify(&payment.body_with(envelope, wire))
            .await
            .verdict(200);
        assert_eq!(said["isValid"], true, "{case}: {said}");
        assert_eq!(said["payer"], payment.payer.address.to_string(), "{case}: {said}");
    }
}
