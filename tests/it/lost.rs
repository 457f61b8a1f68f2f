//! Words that are lost on the way: the database has done what it was told and nobody hears, or nobody waits to hear.
//! What is on record is found there again and goes on.

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::database::Obstacle;
use crate::support::gate::Loss;
use crate::support::http::Answer;
use crate::support::payer::Payment;
use crate::support::proxy::{Call, Fault, lens, receipt, send};
use crate::support::world::{Setup, World};
use crate::support::{eventually, now};

const USED: &str = "invalid_exact_evm_nonce_already_used";

async fn loses(world: &World, loss: Loss) {
    world.gate.lose(loss);
    let what = "the answer to be lost is lost";
    eventually(what, async || world.gate.has_lost().then_some(())).await;
}

/// The transaction that paid, by the first answer or by those to whoever goes on asking.
async fn paid(world: &World, payment: &Payment, first: Answer) -> String {
    let is_known = first.json()["success"] == true;
    let answer = if is_known {
        first
    } else {
        world.facilitator.caller().settle_until_known(&payment.body()).await
    };
    answer.settled()
}

/// Settles a payment while the database's answer at that point is lost; whoever asks next is told the truth.
async fn survives(loss_for: fn(&Payment) -> Loss) {
    let setup = Setup {
        wait_seconds: 3,
        ..Setup::default()
    };
    survives_in(World::start(setup).await, loss_for).await;
}

/// The same in this world.
pub(crate) async fn survives_in(world: World, loss_for: impl Fn(&Payment) -> Loss) {
    let payment = Payment::by(1);
    let settling = world.settling(&payment);
    loses(&world, loss_for(&payment)).await;
    let tx = paid(&world, &payment, settling.await.unwrap()).await;
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    assert_eq!(world.db.count("settlements where granted_at is not null").await, 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn d03_the_answer_to_the_reservation_is_lost() {
    survives(|payment| Loss::Statement(payment.resource.clone())).await;
}

#[tokio::test]
async fn d03_the_answer_to_the_commit_of_the_signed_bytes_is_lost() {
    survives(|_| Loss::Commit("insert into chain_transactions")).await;
}

/// The database refuses to put the signed bytes on record: what leaves afterwards is on record by then.
#[tokio::test]
async fn signed_bytes_whose_record_fails_do_not_leave() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let (writing, sending) = (
        world.db.obstruct(Obstacle::WritesTo("chain_transactions")).await,
        world.proxy.fault(send, Fault::HoldRequest),
    );
    let settling = world.settling(&payment);
    writing.met().await;
    writing.remove_with_the_waiting().await;
    sending.met(1).await;
    assert_eq!(world.db.count("chain_transactions").await, 1);
    sending.release();
    let tx = settling.await.unwrap().settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn d03_the_answer_to_the_commit_of_the_evidence_is_lost() {
    survives(|_| Loss::Commit("insert into evidence")).await;
}

/// The first caller went away before the money moved. Nobody can tell whether the second one's grant is on record, so
/// nobody is told success, not even later; who named the request gets the answer that was recorded.
#[tokio::test]
async fn d03_the_answer_to_the_grant_is_lost() {
    let world = World::usual().await;
    for key in [None, Some("order-7")] {
        let payment = Payment::by(1);
        let (caller, body) = (world.facilitator.caller(), payment.body());
        let ask = move || {
            let (caller, body) = (caller.clone(), body.clone());
            async move {
                match key {
                    None => caller.post("/settle", &body).await,
                    Some(key) => caller.settle_keyed(&body, key).await,
                }
            }
        };
        let sending = world.proxy.fault(send, Fault::HoldRequest);
        let first = tokio::spawn(ask());
        sending.met(1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        // The connection is seen to be gone before the money moves.
        world.facilitator.get("/health/live").await;
        sending.release();
        world.reaches(&payment, "confirmed").await;

        world.gate.lose(Loss::Statement("\"success\":true".into()));
        let tx = ask().await.pending();
        assert!(world.gate.has_lost());
        let again = ask().await;
        match key {
            None => assert_eq!(again.unsettled(), (USED.into(), tx)),
            Some(_) => assert_eq!(again.settled(), tx),
        }
    }
    books_agree(&world).await;
}

/// The grant shares the commit of the evidence: where its statement is lost, nothing is on record, and it is made
/// again.
#[tokio::test]
async fn the_answer_to_the_statement_of_the_grant_is_lost() {
    survives(|_| Loss::Statement("\"success\":true".into())).await;
}

/// The grant may share a commit with the confirmation; a caller whose time is up meanwhile must not leave with
/// "pending" and take the payment's one success along.
#[tokio::test]
async fn a_deadline_that_passes_while_the_confirmation_is_written() {
    let setup = Setup {
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let payment = Payment::by(1);
    let writing = world.db.obstruct(Obstacle::WritesTo("evidence")).await;
    let settling = world.settling(&payment);
    writing.met().await;
    let then = now() + 3;
    eventually("the caller's time is up", async || (now() >= then).then_some(())).await;
    writing.remove().await;
    let tx = paid(&world, &payment, settling.await.unwrap()).await;
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_its_reservation_is_written() {
    let world = World::start(Setup {
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let writing = world.db.obstruct(Obstacle::WritesTo("payments")).await;
    let client = world.settling(&payment);
    writing.met().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    // The connection is seen to be gone before the database goes on.
    world.facilitator.get("/health/live").await;
    writing.remove().await;
    world.reaches(&payment, "confirmed").await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn x08_clients_that_hang_up_at_any_time_lose_nothing_but_the_answer() {
    let setup = Setup {
        mining: Mining::EverySecond,
        wait_seconds: 5,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let payments: Vec<Payment> = (0..=300).map(|i| Payment::by(1 + i % 6)).collect();
    let hanging_up = (0..).step_by(10).zip(&payments).map(async |(milliseconds, payment)| {
        let client = world.settling(payment);
        // The point is not how long this is but that it differs.
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        client.abort();
    });
    futures_util::future::join_all(hanging_up).await;
    for payment in &payments {
        let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
        let tx = answer.outcome(200)["transaction"].clone();
        assert!(tx.as_str().unwrap().starts_with("0x"), "{}", answer.text());
    }
    assert_eq!(world.received().await, 3_010_000);
    books_agree(&world).await;
}

/// The node's word comes after the facilitator has stopped waiting for it.
#[tokio::test]
async fn r26_a_word_that_comes_too_late() {
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let late = world.proxy.fault(send, Fault::HoldAnswer);
    let settling = world.settling(&payment);
    late.met(1).await;
    let first = settling.await.unwrap().outcome(200);
    late.release();
    world.reaches(&payment, "confirmed").await;
    let [tx] = world.proxy.transactions().try_into().unwrap();
    assert_eq!(first["transaction"], tx);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// Answers that come twice, in another order, or to the question before: their numbers tell whose they are.
#[tokio::test]
async fn r26_answers_that_are_duplicated_reordered_or_anothers() {
    fn of_transactions(call: &Call) -> bool {
        send(call) || receipt(call)
    }
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let poor = Payment::of(&addresses().accounts[1], 1_000_000_000_001);
    for (paid_before, fault) in [
        Fault::Rearrange(|answers| answers.reverse()),
        Fault::Rearrange(|answers| answers.extend(answers.clone())),
        Fault::Displace,
    ]
    .into_iter()
    .enumerate()
    {
        let payment = Payment::by(1);
        let judging = world.proxy.fault(lens, fault);
        for judged in [&payment, &poor] {
            world.facilitator.verify(&judged.body()).await;
        }
        let verdict = world.facilitator.verify(&poor.body()).await.json();
        assert_eq!(verdict["isValid"], false, "{fault:?}");
        judging.release();

        let sending = world.proxy.fault(of_transactions, fault);
        let settling = world.settling(&payment);
        sending.met(2).await;
        let first = settling.await.unwrap();
        sending.release();
        let tx = paid(&world, &payment, first).await;
        assert_eq!(world.proxy.transactions()[paid_before..], [tx], "{fault:?}");
        books_agree(&world).await;
    }
    assert_eq!(world.received().await, 30_000);
}
