//! A gateway between hostile clients and the facilitator: `deploy/gateway-example.mjs` as it is shipped. Whatever a client, the
//! network or the gateway's own server does, an order is charged once, and whoever paid is served.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::payer::{NETWORK, Payment};
use crate::support::process::Process;
use crate::support::world::{Setup, World};

/// The server behind the gateway; gone with this value.
struct Upstream {
    url: String,
    /// What it answers.
    status: Arc<AtomicU16>,
    server: tokio::task::JoinHandle<()>,
}

impl Upstream {
    async fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/{order}", get(sold))
            .with_state(Arc::clone(&status));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, status, server }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn sold(State(status): State<Arc<AtomicU16>>, Path(order): Path<String>) -> (StatusCode, String) {
    let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
    (status, format!("what {order} is for"))
}

/// The gateway, and what it stands between.
struct Shop {
    world: World,
    upstream: Upstream,
    gateway: Process,
    url: String,
}

impl Shop {
    async fn open(setup: Setup) -> Self {
        let world = World::start(setup).await;
        let upstream = Upstream::start().await;
        let (gateway, url) = gateway(&world, &upstream).await;
        Self {
            world,
            upstream,
            gateway,
            url,
        }
    }

    /// Another process in its place, which remembers nothing.
    async fn restarts(&mut self) {
        self.gateway.kill();
        (self.gateway, self.url) = gateway(&self.world, &self.upstream).await;
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Asks for the order without paying: the terms that it is told.
    async fn told_to_pay(&self, order: &str) -> Value {
        let answer = Client::new()
            .get(&format!("{}/orders/{order}", self.url))
            .await
            .unwrap();
        assert_eq!(answer.status, 402, "{}", answer.text());
        decoded(&answer, "payment-required")["accepts"][0].clone()
    }

    /// Asks for the order with this payment.
    async fn pays(&self, order: &str, payment: &Payment) -> Answer {
        buys(&self.url, order, payment).await
    }

    /// There is this one charge, on the chain and on record.
    async fn has_charged_once(&self) {
        assert_eq!(self.world.db.count("payments").await, 1);
        assert_eq!(self.world.received().await, 10_000);
        assert_eq!(self.world.proxy.transactions().len(), 1);
        books_agree(&self.world).await;
    }
}

/// The order was delivered, with the receipt of this payment.
fn served(order: &str, answer: &Answer, payment: &Payment) {
    assert_eq!((answer.status, answer.text()), (200, format!("what {order} is for")));
    let receipt = decoded(answer, "payment-response");
    assert_eq!(
        (&receipt["success"], &receipt["payer"]),
        (&json!(true), &json!(payment.from.to_string()))
    );
}

async fn gateway(world: &World, upstream: &Upstream) -> (Process, String) {
    let at = addresses();
    let settings = [
        ("FACILITATOR_URL", world.facilitator.base()),
        ("UPSTREAM_URL", upstream.url.clone()),
        ("NETWORK", NETWORK.to_owned()),
        ("ASSET", at.usdc.to_string()),
        ("ASSET_NAME", "USDC".to_owned()),
        ("ASSET_VERSION", "2".to_owned()),
        ("PAY_TO", at.pay_to.to_string()),
        ("PRICE", "10000".to_owned()),
    ];
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gateway-example.mjs"));
    let mut gateway = Process::spawn("the gateway", node.envs(settings));
    let line = gateway.says("listening on", 1).await;
    (gateway, line.trim().rsplit(' ').next().unwrap().to_owned())
}

fn decoded(answer: &Answer, header: &str) -> Value {
    let text = answer
        .header(header)
        .unwrap_or_else(|| panic!("no {header}: {}", answer.text()));
    serde_json::from_slice(&BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// The payment as a client sends it.
fn header(payment: &Payment) -> String {
    BASE64_STANDARD.encode(payment.body()["paymentPayload"].to_string())
}

async fn buys(url: &str, order: &str, payment: &Payment) -> Answer {
    let headers = [("payment-signature", header(payment))];
    let url = format!("{url}/orders/{order}");
    Client::new().get_with(&url, &headers).await.unwrap()
}

#[tokio::test]
async fn s09_a_client_that_pays_and_hangs_up_is_served_when_it_asks_again_and_charged_once() {
    let shop = Shop::open(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    assert_eq!(shop.told_to_pay("a").await["amount"], "10000");
    let payment = Payment::by(1);
    let mut line = TcpStream::connect(shop.address()).await.unwrap();
    let request = format!(
        "GET /orders/a HTTP/1.1\r\nhost: shop\r\npayment-signature: {}\r\n\r\n",
        header(&payment)
    );
    line.write_all(request.as_bytes()).await.unwrap();
    shop.world.is_waiting(1).await;
    drop(line);
    let (url, again) = (shop.url.clone(), payment.clone());
    let asking = tokio::spawn(async move { buys(&url, "a", &again).await });
    shop.world.node.mine(1).await;
    served("a", &asking.await.unwrap(), &payment);
    shop.has_charged_once().await;
}

#[tokio::test]
async fn s09_what_is_not_known_in_time_is_asked_for_again_and_charged_once() {
    let shop = Shop::open(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    // Neither served nor refused: another payment now might be the second.
    for payer in [1, 1, 2] {
        let asked = if payer == 1 {
            payment.clone()
        } else {
            Payment::by(payer)
        };
        let answer = shop.pays("a", &asked).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    shop.world.node.mine(1).await;
    let answer = eventually("the order is served", async || {
        let answer = shop.pays("a", &payment).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    served("a", &answer, &payment);
    shop.has_charged_once().await;
}

#[tokio::test]
async fn s09_what_was_paid_and_not_delivered_is_delivered_later_and_charged_once() {
    let mut shop = Shop::open(Setup::default()).await;
    let payment = Payment::by(1);
    shop.upstream.answers(500);
    for _ in 0..2 {
        assert_eq!(shop.pays("a", &payment).await.status, 502);
    }
    // Neither does a gateway that has lost its memory charge for it again.
    shop.restarts().await;
    assert_eq!(shop.pays("a", &payment).await.status, 502);
    shop.upstream.answers(200);
    for _ in 0..2 {
        served("a", &shop.pays("a", &payment).await, &payment);
    }
    shop.has_charged_once().await;
}

#[tokio::test]
async fn s09_a_client_that_is_told_twice_to_pay_and_signs_twice_is_charged_once() {
    let mut shop = Shop::open(Setup::default()).await;
    assert_eq!(shop.told_to_pay("a").await, shop.told_to_pay("a").await);
    // Both at once, then one after the other, and at a gateway that remembers nothing.
    let (first, second) = (Payment::by(1), Payment::by(1));
    let (one, other) = tokio::join!(shop.pays("a", &first), shop.pays("a", &second));
    for answer in [
        &one,
        &other,
        &shop.pays("a", &second).await,
        &shop.pays("a", &first).await,
    ] {
        served("a", answer, &first);
        assert_eq!(answer.header("payment-response"), one.header("payment-response"));
    }
    shop.restarts().await;
    shop.told_to_pay("a").await;
    for payment in [&second, &first, &Payment::by(2)] {
        served("a", &shop.pays("a", payment).await, &first);
    }
    shop.has_charged_once().await;
}

#[tokio::test]
async fn s09_a_payment_buys_one_order_and_an_order_that_was_not_paid_may_be_paid_otherwise() {
    let shop = Shop::open(Setup::default()).await;
    let payment = Payment::by(1);
    served("a", &shop.pays("a", &payment).await, &payment);
    let refused = shop.pays("b", &payment).await;
    assert_eq!(refused.status, 402, "{}", refused.text());
    let cheap = Payment::of(&addresses().accounts[1], 9_999);
    assert_eq!(shop.pays("b", &cheap).await.status, 402);
    shop.has_charged_once().await;
    let good = Payment::by(2);
    served("b", &shop.pays("b", &good).await, &good);
    assert_eq!(shop.world.received().await, 20_000);
    books_agree(&shop.world).await;
}
