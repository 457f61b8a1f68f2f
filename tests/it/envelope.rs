//! Requests as requests: what cannot be read as a payment is refused with the field's path, in the shape that
//! official clients read, and what can be read is read leniently only where that is harmless.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::contracts::addresses;
use crate::support::http::Answer;
use crate::support::payer::{Envelope, NETWORK, Payment, with, without};
use crate::support::world::World;

const PROOF: &str = "/paymentPayload/payload";
const TWO_TO_THE_64TH: &str = "18446744073709551616";
const TWO_TO_THE_256TH: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
const TWO_TO_THE_256TH_LESS_ONE: &str =
    "115792089237316195423570985008687907853269984665640564039457584007913129639935";
const AUTHORIZATION: &str = "/paymentPayload/payload/authorization";

/// The answers of both endpoints to these bytes.
async fn both(world: &World, body: &[u8]) -> [Answer; 2] {
    let caller = world.facilitator.caller();
    [
        caller.post_bytes("/verify", &[], body.to_vec()).await,
        caller.post_bytes("/settle", &[], body.to_vec()).await,
    ]
}

/// Both endpoints answer with this status, this reason and a message that names this place.
async fn denied(world: &World, body: &[u8], status: u16, reason: &str, place: &str) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    let [verify, settle] = both(world, body).await;
    let (verdict, outcome) = (verify.verdict(status), settle.outcome(status));
    assert_eq!(
        (&verdict["isValid"], &outcome["success"]),
        (&json!(false), &json!(false)),
        "{shown}"
    );
    assert_eq!(outcome["transaction"], "", "{shown}");
    for (answer, reason_key, message_key) in [
        (&verdict, "invalidReason", "invalidMessage"),
        (&outcome, "errorReason", "errorMessage"),
    ] {
        assert_eq!(answer[reason_key], reason, "{shown}: {answer}");
        let message = answer[message_key].as_str().unwrap();
        assert!(message.contains(place), "{place} is not in {message:?}; {shown}");
    }
}

/// Both endpoints refuse the payment for this reason, with status 200.
async fn refused(world: &World, body: &Value, reason: &str) {
    let [verify, settle] = both(world, body.to_string().as_bytes()).await;
    assert_eq!(verify.invalid(), reason, "{body}");
    assert_eq!(settle.unsettled(), (reason.to_owned(), String::new()), "{body}");
}

/// Nothing came of any of it.
async fn untouched(world: &World) {
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
}

#[tokio::test]
async fn b16_case_1_a_body_that_is_not_json() {
    let world = World::usual().await;
    let good = Payment::by(1).body().to_string();
    let cut = &good.as_bytes()[..good.len() - 1];
    let trailing = format!("{good} x");
    for body in [
        &b""[..],
        b"{",
        b"not json",
        b"\xff\xfe{}",
        cut,
        trailing.as_bytes(),
        b"{'a':1}",
    ] {
        denied(&world, body, 400, "invalid_json", "body").await;
    }
    let [_, settle] = both(&world, b"{").await;
    assert_eq!(settle.json()["network"], "unknown:unknown");
    untouched(&world).await;
}

#[tokio::test]
async fn b16_texts_that_no_name_has() {
    let world = World::usual().await;
    let good = Payment::by(1).body().to_string();
    let long = "x".repeat(1_000_000);
    for (text, status) in [("\\u0000", 400), ("\\ud800", 400), ("\0", 400), (long.as_str(), 413)] {
        let body = good.replacen("https://shop.example", text, 1);
        assert_ne!(body, good);
        for answer in both(&world, body.as_bytes()).await {
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
    let marked = [b"\xef\xbb\xbf", good.as_bytes()].concat();
    denied(&world, &marked, 400, "invalid_json", "body").await;
    untouched(&world).await;
}

#[tokio::test]
async fn case_2_a_request_without_its_parts() {
    let world = World::usual().await;
    for envelope in Envelope::BOTH {
        let good = Payment::by(1).body_in(envelope);
        for part in ["paymentRequirements", "paymentPayload"] {
            let pointer = format!("/{part}");
            for body in [
                without(good.clone(), &pointer),
                with(good.clone(), &pointer, Value::Null),
            ] {
                denied(&world, body.to_string().as_bytes(), 400, "missing_parameters", part).await;
            }
        }
    }
    for body in ["{}", "[]", "null", "7", "\"text\""] {
        denied(&world, body.as_bytes(), 400, "missing_parameters", "").await;
    }
}

#[tokio::test]
async fn b12_cases_3_to_6_and_14_what_this_facilitator_does_not_serve() {
    let world = World::usual().await;
    let v2 = || Payment::by(1).body();
    let v1 = || Payment::by(1).body_in(Envelope::V1);
    let in_both = |body: Value, key: &str, value: &str| {
        let body = with(body, &format!("/paymentRequirements/{key}"), value);
        let pointer = if body["x402Version"] == 1 {
            "/paymentPayload"
        } else {
            "/paymentPayload/accepted"
        };
        with(body, &format!("{pointer}/{key}"), value)
    };
    let version_3 = with(with(v2(), "/x402Version", 3), "/paymentPayload/x402Version", 3);
    for (body, reason) in [
        (version_3, "invalid_x402_version"),
        (in_both(v2(), "scheme", "foo"), "unsupported_scheme"),
        (in_both(v1(), "scheme", "foo"), "unsupported_scheme"),
        (in_both(v2(), "network", "eip155:999999"), "invalid_network"),
        (in_both(v2(), "network", "cloudflare:402"), "invalid_network"),
        (in_both(v1(), "network", "arbitrum"), "invalid_network"),
        (in_both(v1(), "network", "base"), "invalid_network"),
        (in_both(v1(), "network", NETWORK), "invalid_network"),
    ] {
        refused(&world, &body, reason).await;
    }
    untouched(&world).await;
}

#[tokio::test]
async fn case_7_null_is_as_good_as_absent_and_unknown_keys_are_ignored() {
    let world = World::usual().await;
    let good = || Payment::by(1).body();
    for body in [
        with(good(), "/paymentPayload/resource", Value::Null),
        with(good(), "/paymentPayload/extensions", Value::Null),
        without(good(), "/paymentPayload/resource"),
        without(good(), "/x402Version"),
        with(good(), "/paymentPayload/accepted/extra", Value::Null),
        with(good(), "/paymentPayload/resource/iconUrl", Value::Null),
        with(
            good(),
            "/paymentPayload/extensions",
            json!({"bazaar": {"info": {}, "schema": {}}, "x": null}),
        ),
        with(good(), "/colour", "red"),
        with(good(), "/paymentPayload/colour", json!({"deep": [{"er": 1}]})),
        with(good(), "/paymentPayload/payload/colour", 1),
        with(good(), "/paymentPayload/payload/authorization/colour", 1),
        with(good(), "/paymentRequirements/colour", 1),
        with(good(), "/paymentRequirements/extra/colour", 1),
        with(
            Payment::by(1).body_in(Envelope::V1),
            "/paymentRequirements/outputSchema",
            Value::Null,
        ),
        without(Payment::by(1).body_in(Envelope::V1), "/paymentRequirements/mimeType"),
    ] {
        let answer = world.facilitator.verify(&body).await;
        assert_eq!(answer.json()["isValid"], true, "{} {body}", answer.text());
    }
}

#[tokio::test]
async fn b02_case_8_a_body_over_the_limit() {
    let world = World::usual().await;
    let padded = |bytes: usize| {
        let body = Payment::by(1).body();
        let missing = bytes - with(body.clone(), "/pad", "").to_string().len();
        with(body, "/pad", "x".repeat(missing)).to_string()
    };
    let fits = padded(64 * 1024);
    assert_eq!(fits.len(), 64 * 1024);
    world
        .facilitator
        .caller()
        .post_bytes("/verify", &[], fits.into())
        .await
        .valid();
    for (path, reason) in [("/verify", "invalidReason"), ("/settle", "errorReason")] {
        let answer = announced(&world, path, 64 * 1024 + 1).await;
        assert!(answer.starts_with("http/1.1 413 "), "{answer}");
        assert!(
            answer.contains(&format!("\"{}\":\"invalid_payload\"", reason.to_lowercase())),
            "{answer}"
        );
        assert!(answer.contains("64 kib"), "{answer}");
    }
    untouched(&world).await;
}

/// The answer, in lower case, to a request that has announced a body of so many bytes and not sent any of it yet.
async fn announced(world: &World, path: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.facilitator.config.port))
        .await
        .unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "cut off");
    }
    String::from_utf8(answer).unwrap().to_lowercase()
}

/// The connection cannot be used again, and a client that is not told so loses its next request on it: a POST, which
/// no client repeats by itself.
#[tokio::test]
async fn an_answer_that_leaves_a_body_unread_says_that_the_connection_ends() {
    let world = World::usual().await;
    for path in ["/verify", "/settle"] {
        let answer = announced(&world, path, 64 * 1024 + 1).await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn case_9_supported_lists_each_network_in_both_versions() {
    let world = World::usual().await;
    let answer = world.facilitator.get("/supported").await;
    assert_eq!(answer.status, 200);
    let signer = addresses().accounts[9].address.to_string();
    assert_eq!(
        answer.json(),
        json!({
            "kinds": [
                {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
                {"x402Version": 1, "scheme": "exact", "network": "base-sepolia"},
            ],
            "extensions": ["payment-identifier"],
            "signers": {"eip155:*": [signer]},
        })
    );
}

/// Every field of the request with something that does not belong there, in version 2.
fn broken_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("/x402Version", json!(1)),
        ("/x402Version", json!("2")),
        ("/paymentPayload", json!([])),
        ("/paymentPayload/x402Version", json!("2")),
        ("/paymentPayload/x402Version", Value::Null),
        ("/paymentPayload/accepted", Value::Null),
        ("/paymentPayload/accepted", json!([])),
        ("/paymentPayload/accepted/amount", json!(10_000)),
        ("/paymentPayload/accepted/network", json!("base")),
        ("/paymentPayload/payload", Value::Null),
        ("/paymentPayload/payload", json!("0x")),
        ("/paymentPayload/resource", json!("https://shop.example")),
        ("/paymentPayload/resource/url", json!(7)),
        ("/paymentPayload/resource/url", json!("x".repeat(2049))),
        ("/paymentPayload/extensions", json!([])),
        (
            "/paymentPayload/extensions",
            json!({"payment-identifier": {"info": {"required": true}}}),
        ),
        ("/paymentRequirements/scheme", json!(1)),
        ("/paymentRequirements/network", json!("eip155")),
        ("/paymentRequirements/payTo", json!("merchant")),
        ("/paymentRequirements/asset", json!("USD")),
        ("/paymentRequirements/maxTimeoutSeconds", json!("60")),
        ("/paymentRequirements/maxTimeoutSeconds", json!(0)),
        ("/paymentRequirements/maxTimeoutSeconds", json!(1.5)),
        ("/paymentRequirements/extra", json!("USDC")),
        ("/paymentRequirements/extra/name", json!(7)),
    ]
}

#[tokio::test]
async fn b17_every_400_names_the_field() {
    let world = World::usual().await;
    for (pointer, value) in broken_fields() {
        let body = with(Payment::by(1).body(), pointer, value);
        let place = pointer[1..].replace('/', ".");
        let reason = if place.starts_with("paymentRequirements") {
            "invalid_payment_requirements"
        } else {
            "invalid_payload"
        };
        denied(&world, body.to_string().as_bytes(), 400, reason, &place).await;
    }
    for field in ["from", "to", "value", "validAfter", "validBefore", "nonce"] {
        let body = without(Payment::by(1).body(), &format!("{AUTHORIZATION}/{field}"));
        denied(&world, body.to_string().as_bytes(), 400, "invalid_payload", field).await;
    }
    let places = [
        "scheme",
        "network",
        "maxAmountRequired",
        "resource",
        "payTo",
        "maxTimeoutSeconds",
        "asset",
    ];
    for key in places {
        let body = without(
            Payment::by(1).body_in(Envelope::V1),
            &format!("/paymentRequirements/{key}"),
        );
        let place = format!("paymentRequirements.{key}");
        denied(
            &world,
            body.to_string().as_bytes(),
            400,
            "invalid_payment_requirements",
            &place,
        )
        .await;
    }
    untouched(&world).await;
}

#[tokio::test]
async fn b05_numbers_are_canonical_decimal_strings() {
    let world = World::usual().await;
    let too_large = (u128::MAX.to_string() + "0", "340282366920938463463374607431768211456");
    let mut bad = vec![
        "",
        "-1",
        "+1",
        "010000",
        "00012",
        "1e18",
        "1e4",
        "1.0",
        " 1",
        "1 ",
        "1_000",
        "0x10",
        "NaN",
        "１００００",
    ];
    bad.extend([
        too_large.0.as_str(),
        too_large.1,
        TWO_TO_THE_256TH,
        TWO_TO_THE_256TH_LESS_ONE,
    ]);
    for text in bad {
        for field in ["value", "validAfter", "validBefore"] {
            let body = with(Payment::by(1).body(), &format!("{AUTHORIZATION}/{field}"), text);
            let place = format!("paymentPayload.payload.authorization.{field}");
            denied(&world, body.to_string().as_bytes(), 400, "invalid_payload", &place).await;
        }
        let body = with(Payment::by(1).body(), "/paymentRequirements/amount", text);
        let place = "paymentRequirements.amount";
        denied(
            &world,
            body.to_string().as_bytes(),
            400,
            "invalid_payment_requirements",
            place,
        )
        .await;
    }
    let untold = ["value", "validAfter", "validBefore", "nonce", "from", "to"].map(|field| (field, json!(1)));
    let too_late = ["validAfter", "validBefore"].map(|field| (field, json!(TWO_TO_THE_64TH)));
    for (field, value) in untold.into_iter().chain(too_late) {
        let body = with(Payment::by(1).body(), &format!("{AUTHORIZATION}/{field}"), value);
        let place = format!("paymentPayload.payload.authorization.{field}");
        denied(&world, body.to_string().as_bytes(), 400, "invalid_payload", &place).await;
    }
}

#[tokio::test]
async fn b06_b08_addresses_nonces_and_signatures_are_hexadecimal_of_their_length() {
    let world = World::usual().await;
    let address = "036CbD53842c5426634e7929541eC2318f3dCF7e";
    let wrong = [
        address.to_owned(),
        format!("0X{address}"),
        format!("0x{}", &address[1..]),
        format!("0x{address}0"),
        format!("0x{}g", &address[1..]),
        format!(" 0x{address}"),
        format!("0х{address}"),
        format!("0x{}３", &address[1..]),
        String::new(),
    ];
    for text in &wrong {
        for field in ["from", "to"] {
            let body = with(
                Payment::by(1).body(),
                &format!("{AUTHORIZATION}/{field}"),
                text.as_str(),
            );
            let place = format!("paymentPayload.payload.authorization.{field}");
            denied(&world, body.to_string().as_bytes(), 400, "invalid_payload", &place).await;
        }
    }
    let nonces = [
        "",
        "0x",
        "0x01",
        &"0".repeat(64),
        &format!("0x{}", "0".repeat(63)),
        &format!("0x{}", "0".repeat(62)),
        &format!("0x{}", "0".repeat(66)),
    ];
    for text in nonces {
        let body = with(Payment::by(1).body(), &format!("{AUTHORIZATION}/nonce"), text);
        let place = "paymentPayload.payload.authorization.nonce";
        denied(&world, body.to_string().as_bytes(), 400, "invalid_payload", place).await;
    }
    for text in ["0x1", "1234", "0xzz", &format!("0x{}", "00".repeat(16 * 1024 + 1))] {
        let body = with(Payment::by(1).body(), &format!("{PROOF}/signature"), text);
        denied(
            &world,
            body.to_string().as_bytes(),
            400,
            "invalid_payload",
            "paymentPayload.payload.signature",
        )
        .await;
    }
}

#[tokio::test]
async fn b04_a_key_may_not_be_given_twice() {
    let world = World::usual().await;
    let good = Payment::by(1).body().to_string();
    for (key, place) in [
        ("\"paymentRequirements\":{", "body"),
        ("\"amount\":\"10000\"", ""),
        ("\"payTo\":", ""),
        ("\"signature\":", "paymentPayload.payload"),
        ("\"value\":\"10000\"", "paymentPayload.payload"),
        ("\"validBefore\":", "paymentPayload.payload"),
        ("\"url\":", "paymentPayload.resource"),
    ] {
        let name = &key[..key.find(':').unwrap()];
        assert!(good.contains(key), "{key}");
        // Also with its first letter escaped, which is the same key.
        let letter = name.as_bytes()[1];
        let escaped = format!("\"\\u{letter:04x}{}", &name[2..]);
        for twin in [name.to_owned(), escaped] {
            let body = good.replacen(key, &format!("{twin}:\"0\",{key}"), 1);
            let [verify, settle] = both(&world, body.as_bytes()).await;
            let (verdict, outcome) = (verify.verdict(400), settle.outcome(400));
            assert!(verdict["invalidMessage"].as_str().unwrap().contains(place), "{verdict}");
            assert_eq!(outcome["success"], false, "{outcome}");
        }
    }
    untouched(&world).await;
}

#[tokio::test]
async fn b03_a_body_nests_only_so_deep() {
    let world = World::usual().await;
    for levels in [128, 20_000] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let body = Payment::by(1)
            .body()
            .to_string()
            .replacen('{', &format!("{{\"deep\":{deep},"), 1);
        denied(&world, body.as_bytes(), 400, "invalid_payload", "body").await;
    }
}

#[tokio::test]
async fn only_json_is_taken_and_only_where_it_belongs() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body();
    let plain = [("content-type", "text/plain".to_owned())];
    let answer = caller.post_bytes("/verify", &plain, body.to_string().into()).await;
    assert_eq!(answer.verdict(415)["isValid"], false);
    let with_charset = [("content-type", "application/json; charset=utf-8".to_owned())];
    caller
        .post_bytes("/verify", &with_charset, body.to_string().into())
        .await
        .valid();
    assert_eq!(world.facilitator.get("/verify").await.status, 405);
    assert_eq!(world.facilitator.get("/nothing/here").await.status, 404);
    untouched(&world).await;
}
