//! What two tenants do to one another: nothing.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::{Gateway, NAMES, hosted, tenant};
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::http::Answer;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World};

#[tokio::test]
async fn x04_of_two_tenants_with_one_authorization_only_the_first_is_paid() {
    let world = hosted(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let (_, a) = tenant(&world, "a").await;
    let (_, b) = tenant(&world, "b").await;
    let payment = Payment::by(1);
    let settling = {
        let (a, payment) = (a.clone(), payment.clone());
        tokio::spawn(async move { a.settle(&payment, &NAMES).await })
    };
    world.is_waiting(1).await;
    // Not by the same names either, which are each tenant's own.
    for names in [&NAMES[..], &[]] {
        let second = b.settle(&payment, names).await;
        let said = second.unsettled();
        assert_eq!(said, ("duplicate_settlement".to_owned(), String::new()));
        assert!(!second.text().contains("pay_"), "{}", second.text());
    }
    world.node.mine(1).await;
    let tx = settling.await.unwrap().settled();
    let second = b.settle(&payment, &NAMES).await;
    assert_eq!(second.unsettled().1, tx, "what the chain shows is everybody's");
    assert!(!second.text().contains("pay_"), "{}", second.text());
    assert_eq!(b.ids("/v1/settlements", "settlements").await.len(), 0);
    assert_eq!(a.ids("/v1/settlements", "settlements").await.len(), 1);
    // The names that the other had asked by are free.
    let own = Payment::by(2);
    let settling = tokio::spawn(async move { b.settle(&own, &NAMES).await });
    world.is_waiting(1).await;
    world.node.mine(1).await;
    settling.await.unwrap().settled();
    books_agree(&world).await;
}

/// A day of A's: everything that it is answered, in words that are the same on another day.
async fn day_of_a(world: &World, a: &Gateway, between: &[(&Gateway, Payment)]) -> Vec<Value> {
    let mut heard = Vec::new();
    let (mut others, mut is_first) = (between.iter(), true);
    let mut interlude = async || {
        if let Some((b, payment)) = others.next() {
            // B names its payments as A does; the first one by the same key, too.
            let names = if is_first { &NAMES[..] } else { &NAMES[1..] };
            is_first = false;
            b.settle(payment, names).await.settled();
            b.get("/v1/settlements").await;
        }
    };
    let first = Payment::by(1);
    let mut hear = |answer: Answer| heard.push(json!([answer.status, answer.json()]));
    hear(a.post("/verify", &[], &first.body()).await);
    interlude().await;
    hear(a.settle(&first, &NAMES).await);
    interlude().await;
    hear(a.settle(&first, &NAMES).await);
    // Another payment under the same name.
    hear(a.settle(&Payment::by(2), &NAMES).await);
    interlude().await;
    let second = Payment::by(2);
    hear(a.settle(&second, &[]).await);
    world.node.mine(6).await;
    for payment in [&first, &second] {
        world.reaches(payment, "final").await;
    }
    for path in [
        "/v1/settlements",
        "/payments/lookup?orderId=order-1",
        "/payments/lookup?idempotencyKey=key-1",
        "/v1/refunds",
        "/v1/events?limit=1000",
        "/v1/reconciliation/exceptions",
        "/v1/statements",
    ] {
        hear(a.get(path).await);
    }
    heard.iter_mut().for_each(forget_names);
    heard
}

/// Takes out what differs from day to day by itself: our names, times, hashes, blocks, and the order of things.
fn forget_names(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| {
                !matches!(
                    key.as_str(),
                    "block" | "nextCursor" | "gasCost" | "resource" | "reconciliation" | "validBefore"
                )
            });
            members.values_mut().for_each(forget_names);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(forget_names);
            items.sort_by_key(ToString::to_string);
        }
        Value::String(text) => {
            let is_ours = ["pay_", "evt_", "rfd_"].iter().any(|it| text.starts_with(it));
            let is_time = text.len() >= 20 && text.ends_with('Z');
            let is_hash = text.len() >= 64 && text.trim_start_matches("0x").bytes().all(|it| it.is_ascii_hexdigit());
            if is_ours || is_time || is_hash {
                *text = String::new();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn i22_a_tenants_answers_are_the_same_with_and_without_anothers_traffic() {
    let setup = || Setup {
        epoch: Some(1),
        ..Setup::default()
    };
    let alone = hosted(setup()).await;
    let (_, a) = tenant(&alone, "a").await;
    let quiet = day_of_a(&alone, &a, &[]).await;
    assert!(
        quiet[0][1]["isValid"] == true && quiet[1][1]["success"] == true,
        "{quiet:?}"
    );
    assert_eq!(quiet[3][0], 409);

    let shared = hosted(setup()).await;
    let (_, a) = tenant(&shared, "a").await;
    let (_, b) = tenant(&shared, "b").await;
    let elsewhere = |payer| Payment {
        to: other_shop(),
        pay_to: other_shop(),
        ..Payment::by(payer)
    };
    let traffic = [(&b, elsewhere(3)), (&b, elsewhere(4)), (&b, elsewhere(5))];
    let loud = day_of_a(&shared, &a, &traffic).await;
    assert_eq!(loud.len(), quiet.len());
    for (loud, quiet) in loud.iter().zip(&quiet) {
        assert_eq!(loud, quiet);
    }
    assert_eq!(b.ids("/v1/settlements", "settlements").await.len(), 3);
}

fn other_shop() -> Address {
    addresses().accounts[7].address
}
