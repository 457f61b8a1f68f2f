//! A gateway's own list of orders, held against the records: every difference is told, and nothing else.

use serde_json::{Value, json};

use crate::support::books::books_agree;
use crate::support::payer::{Payment, with};
use crate::support::world::World;

/// Orders 1 to 5 of these amounts, paid; the ids of their payments.
async fn paid(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for order in 1..=5_usize {
        let (payment, name) = (Payment::by(order % 3 + 1), format!("order {order}"));
        let answer = world
            .facilitator
            .caller()
            .settle_named(&payment.body(), &[("order-id", &name)])
            .await;
        answer.settled();
        ids.push(answer.json()["extra"]["paymentId"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn every_difference_between_a_gateways_list_and_the_records_is_told() {
    let world = World::usual().await;
    let ids = paid(&world).await;
    let failed = with(
        Payment::by(1).body(),
        "/paymentPayload/payload/signature",
        json!(format!("0x{}", "11".repeat(65))),
    );
    assert_eq!(world.facilitator.settle(&failed).await.json()["success"], false);
    let file = format!(
        "order_id,amount,pay_to,payer,note\r\n\
         order 1,0.01,{pay_to},,x\r\n\
         order 2,0.010000,,,\r\n\
         order 3,0.02,,0x0000000000000000000000000000000000000001,\r\n\
         order 3,0.01,,,\r\n\
         order 9,0.01,,,\r\n\
         order 5,,,,\r\n",
        pay_to = Payment::by(1).pay_to.to_string().to_lowercase(),
    );
    let expected = json!([
        {"outcome": "mismatched", "line": 3, "name": "order 3", "payment": ids[2], "differs": ["payer", "amount"]},
        {"outcome": "duplicate", "line": 4, "name": "order 3", "payment": ids[2], "differs": []},
        {"outcome": "gateway_only", "line": 5, "name": "order 9", "payment": null, "differs": []},
        {"outcome": "facilitator_only", "line": null, "name": null, "payment": ids[3], "differs": []},
    ]);
    let counts = json!({"matched": 3, "gatewayOnly": 1, "facilitatorOnly": 1, "mismatched": 1, "duplicate": 1});
    let csv = [("content-type", "text/csv".to_owned())];
    let caller = world.facilitator.caller();
    let place = "/v1/reconciliation/gateway-files";
    let answer = caller.post_bytes(place, &csv, file.clone().into()).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"counts": counts, "differences": expected}))
    );
    // What is not asked for is not missed.
    let elsewhere = caller
        .post_bytes(&format!("{place}?network=eip155:1"), &csv, file.clone().into())
        .await;
    assert_eq!(elsewhere.json()["counts"]["facilitatorOnly"], 0);

    let refused = caller
        .post_bytes(&format!("{place}?state=failed"), &csv, file.clone().into())
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text());

    let lines = ["order 1", "order 2", "order 3", "order 4", "order 5"]
        .map(|it| json!({"orderId": it, "amountAtomic": 10_000}).to_string());
    let ndjson = [("content-type", "application/x-ndjson".to_owned())];
    let alike = caller.post_bytes(place, &ndjson, lines.join("\n").into()).await.json();
    assert_eq!(alike["differences"], json!([]));

    let path = std::env::temp_dir().join(format!("facilitator-orders-{}.csv", std::process::id()));
    std::fs::write(&path, &file).unwrap();
    let (status, said) = world.facilitator.run("match", &[path.to_str().unwrap()]).await;
    std::fs::remove_file(&path).unwrap();
    let told: Vec<Value> = said.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
    assert_eq!(status.code(), Some(1), "{said}");
    for finding in expected.as_array().unwrap() {
        assert!(told.contains(finding), "{finding}: {said}");
    }
    let (status, said) = world.facilitator.run("match", &["/nowhere.csv"]).await;
    assert!(
        status.code() == Some(2) && said.contains("/nowhere.csv"),
        "{status} {said}"
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_with_its_line() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    for (kind, file, status, place) in [
        ("text/csv", "amount\n1\n", 400, "line 1"),
        ("application/x-ndjson", "{\"id\":\"pay_7\"}", 400, "line 1"),
        ("application/x-ndjson", "{\"memo\":\"a\\u0000\"}", 400, "line 1"),
        ("application/json", "[]", 415, "text/csv"),
    ] {
        let headers = [("content-type", kind.to_owned())];
        let answer = caller
            .post_bytes("/v1/reconciliation/gateway-files", &headers, file.into())
            .await;
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            answer.status == status && said.contains(place),
            "{file}: {} {said}",
            answer.status
        );
    }
}
