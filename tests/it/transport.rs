//! Bytes below requests: connections that dribble, idle, flood or say two things at once take nothing from anybody
//! else, and no reading of them differs from a proxy's in front.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::world::World;

/// What a head or a body may take (5 s), and what a loaded machine may add to it.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);

/// More than the process ever needs, far less than what is thrown at it.
const GROWTH_MAX: u64 = 64 << 20;

async fn connect(world: &World) -> TcpStream {
    let address = ("127.0.0.1", world.facilitator.config.port);
    TcpStream::connect(address).await.unwrap()
}

/// All that comes back until the connection ends, in lower case.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end, too.
    while timeout(CLOSED_WITHIN, stream.read_buf(&mut answer))
        .await
        .expect("the connection stays open")
        .is_ok_and(|read| read > 0)
    {}
    String::from_utf8(answer).unwrap().to_lowercase()
}

/// What comes back for these bytes until the other side ends the connection.
async fn said(world: &World, bytes: &[u8]) -> String {
    let mut stream = connect(world).await;
    // Who is answered before the end is not written to any more.
    drop(stream.write_all(bytes).await);
    rest(&mut stream).await
}

/// A byte now and then until the connection ends; how long that took, and what was said last.
async fn dribbled(mut stream: TcpStream, head: &'static [u8]) -> (Duration, String) {
    let began = Instant::now();
    stream.write_all(head).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            read = reader.read_buf(&mut answer) => {
                if !read.is_ok_and(|read| read > 0) {
                    break;
                }
            }
            _ = ticks.tick() => drop(writer.write_all(b"x").await),
        }
    }
    (began.elapsed(), String::from_utf8(answer).unwrap())
}

/// As long as `others` run, somebody who pays is answered as ever.
async fn served_beside<T>(world: &World, others: JoinSet<T>) -> Vec<T>
where
    T: 'static,
{
    let all = others.join_all();
    tokio::pin!(all);
    loop {
        let began = Instant::now();
        world.facilitator.verify(&Payment::by(1).body()).await.valid();
        assert!(began.elapsed() < Duration::from_secs(2), "others are kept waiting");
        tokio::select! {
            ended = &mut all => return ended,
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
}

#[tokio::test]
async fn t01_a_thousand_heads_and_a_thousand_bodies_that_dribble() {
    let world = World::usual().await;
    for (head, last) in [
        (&b"POST /verify HTTP/1.1\r\nHost: x\r\nX-"[..], ""),
        (
            b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
            "HTTP/1.1 408 ",
        ),
        (
            b"POST /settle HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{",
            "HTTP/1.1 408 ",
        ),
    ] {
        let mut dribbling = JoinSet::new();
        for _ in 0..1000 {
            dribbling.spawn(dribbled(connect(&world).await, head));
        }
        for (took, answer) in served_beside(&world, dribbling).await {
            assert!(took < CLOSED_WITHIN, "{took:?}");
            assert!(answer.starts_with(last), "{answer}");
        }
    }
}

#[tokio::test]
async fn t02_idle_connections_are_capped_and_wait_in_the_kernel() {
    const MAX: usize = 100;
    const IDLE: usize = 10_000;
    let mut world = World::prepare(crate::support::world::Setup::default()).await;
    world.facilitator.config.http_connections_max = MAX;
    world.facilitator.start().await;
    let before = world.facilitator.resident();

    let port = world.facilitator.config.port;
    let connecting = (0..IDLE).map(|_| timeout(Duration::from_secs(3), TcpStream::connect(("127.0.0.1", port))));
    let idle: Vec<_> = join_all(connecting).await.into_iter().flatten().flatten().collect();
    assert!(idle.len() > MAX * 2, "only {} connected", idle.len());
    let sockets = world.facilitator.sockets();
    // The listeners and the metrics' reader come on top.
    assert!(sockets < MAX + 100, "{sockets} sockets for {} connections", idle.len());
    let grown = world.facilitator.resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes for {} connections", idle.len());

    drop(idle);
    eventually("others are served again", async || {
        let body = Payment::by(1).body();
        let answer = timeout(
            Duration::from_secs(2),
            world.facilitator.caller().try_post("/verify", &body),
        )
        .await;
        answer.ok().flatten().filter(|answer| answer.status == 200)
    })
    .await
    .valid();
}

#[tokio::test]
async fn t03_http_2_is_not_spoken_and_a_flood_of_it_is_hung_up_on() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// An empty SETTINGS frame (RFC 9113, 6.5).
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// A HEADERS frame that does not end its headers, and a CONTINUATION that does not either.
    const HEADERS: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    const CONTINUATION: &[u8] = &[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x82];
    /// RST_STREAM.
    const RESET: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    let world = World::usual().await;
    let before = world.facilitator.resident();
    let continued = [PREFACE, SETTINGS, HEADERS, &CONTINUATION.repeat(10_000)].concat();
    let reset = [PREFACE, SETTINGS, &[HEADERS, RESET].concat().repeat(5_000)].concat();
    for _ in 0..100 {
        for flood in [PREFACE, &continued, &reset] {
            let answer = said(&world, flood).await;
            assert!(answer.is_empty() || answer.starts_with("http/1.1 400 "), "{answer}");
        }
    }
    // What asks for another protocol goes on in this one.
    let upgrade = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(said(&world, upgrade).await.starts_with("http/1.1 200 "));
    assert!(world.facilitator.resident().saturating_sub(before) < GROWTH_MAX);
    world.facilitator.verify(&Payment::by(1).body()).await.valid();
}

/// Behind what is ambiguous stands a second request, which a server must not see as one.
#[tokio::test]
async fn t04_a_request_that_two_servers_may_read_in_two_ways() {
    let world = World::usual().await;
    let hidden = "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let length = hidden.len() + 5;
    for ambiguous in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!("Content-Length: 0, 0\r\n\r\n{hidden}"),
        format!("Content-Length: +0\r\n\r\n{hidden}"),
        format!("Content-Length : 0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: identity, chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0\n\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n{hidden}"),
        format!("X: y\rContent-Length: 5\r\n\r\n{hidden}"),
        format!("X: y\0\r\n\r\n{hidden}"),
        format!(" X: y\r\nContent-Length: 0\r\n\r\n{hidden}"),
    ] {
        let request = format!("POST /verify HTTP/1.1\r\nHost: x\r\n{ambiguous}");
        let answer = said(&world, request.as_bytes()).await;
        assert!(answer.starts_with("http/1.1 400 "), "{request:?}: {answer:?}");
        assert_eq!(answer.matches("http/1.1 ").count(), 1, "{request:?}: {answer:?}");
    }
    // A lone LF ends a line of a head (RFC 9112, 2.2), here as everywhere.
    let bare = format!("GET /version HTTP/1.1\nHost: x\n\n{hidden}");
    assert_eq!(said(&world, bare.as_bytes()).await.matches("http/1.1 200 ").count(), 2);
}

#[tokio::test]
async fn t05_a_head_over_the_limit() {
    let world = World::usual().await;
    for head in [
        format!("X-Long: {}\r\n", "x".repeat(64 * 1024)),
        "X-Short: x\r\n".repeat(6_000),
        format!("Payment-Signature: {}\r\n", "A".repeat(17 * 1024)),
    ] {
        let answer = said(
            &world,
            format!("GET /version HTTP/1.1\r\nHost: x\r\n{head}\r\n").as_bytes(),
        )
        .await;
        assert!(answer.starts_with("http/1.1 431 "), "{answer}");
    }
    let fits = format!(
        "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {}\r\n\r\n",
        "x".repeat(8 * 1024)
    );
    assert!(said(&world, fits.as_bytes()).await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn t06_content_that_is_not_plain_json() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body().to_string().into_bytes();
    for (header, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/jsonp"),
        ("content-type", ";application/json"),
        ("content-type", "\u{e9}"),
        ("content-encoding", "gzip"),
        ("content-encoding", "identity, br"),
        ("content-encoding", "zstd"),
    ] {
        for (path, said) in [("/verify", "isValid"), ("/settle", "success")] {
            let answer = caller
                .post_bytes(path, &[(header, value.to_owned())], body.clone())
                .await;
            assert_eq!(
                (answer.status, &answer.json()[said]),
                (415, &false.into()),
                "{header}: {value}"
            );
        }
    }
    let plainly = [("content-encoding", "identity".to_owned())];
    caller.post_bytes("/verify", &plainly, body).await.valid();
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn b02_a_body_without_an_end_costs_no_memory() {
    let world = World::usual().await;
    let before = world.facilitator.resident();
    let chunk = [b"10000\r\n", vec![b' '; 0x10000].as_slice(), b"\r\n"].concat();
    for path in ["/verify", "/settle"] {
        let mut stream = connect(&world).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut sent: u64 = 0;
        // As much as is taken of 1 GiB.
        while sent < 1 << 30 && stream.write_all(&chunk).await.is_ok() {
            sent += u64::try_from(chunk.len()).unwrap();
        }
        assert!(sent < 1 << 28, "{sent} bytes were taken");
    }
    for length in [64 * 1024 + 1, 1 << 20, 1 << 30] {
        let head = format!("POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let answer = said(&world, head.as_bytes()).await;
        assert!(answer.starts_with("http/1.1 413 "), "{answer}");
    }
    assert!(world.facilitator.resident().saturating_sub(before) < GROWTH_MAX);
    world.facilitator.verify(&Payment::by(1).body()).await.valid();
}
