//! The feed of all that happens: pages and streams say the same, in order, and whoever comes back misses nothing.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::books::books_agree;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::world::World;

/// All events after this cursor, read to the end, and the cursor there.
async fn events(world: &World, after: Option<&str>, query: &str) -> (Vec<Value>, String) {
    let (mut found, mut cursor) = (Vec::new(), after.map(str::to_owned));
    loop {
        let after = cursor.as_ref().map_or(String::new(), |it| format!("&after={it}"));
        let page = world
            .facilitator
            .get(&format!("/v1/events?limit=2{query}{after}"))
            .await
            .json();
        found.extend(page["events"].as_array().unwrap().iter().cloned());
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if page["hasMore"] == false {
            return (found, cursor.unwrap());
        }
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|it| it["type"].as_str().unwrap()).collect()
}

const PAID: [&str; 3] = ["payment.reserved", "payment.signed", "payment.confirmed"];

/// Settles, and waits until all of it is shown: other tests' transactions hold the feed up as well.
async fn paid(world: &World, after: Option<&str>) -> (Vec<Value>, String) {
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    eventually("the feed has it", async || {
        let (found, cursor) = events(world, after, "").await;
        (found.len() == 3).then_some((found, cursor))
    })
    .await
}

#[tokio::test]
async fn the_feed_goes_on_where_a_page_ended() {
    let world = World::usual().await;
    let (first, cursor) = paid(&world, None).await;
    assert_eq!(types(&first), PAID);
    assert_eq!(events(&world, Some(&cursor), "").await, (Vec::new(), cursor.clone()));
    let (second, end) = paid(&world, Some(&cursor)).await;
    assert_eq!(types(&second), PAID);
    assert_ne!(first[0]["payment"], second[0]["payment"]);
    let both = [first.clone(), second].concat();
    assert_eq!(events(&world, None, "").await, (both, end.clone()));
    let (confirmed, at) = events(&world, None, "&type=payment.confirmed,statement.closed").await;
    assert_eq!((types(&confirmed), at), (vec!["payment.confirmed"; 2], end));
    let now = world.facilitator.get("/v1/events?after=now").await.json();
    assert_eq!(now["events"], json!([]));
    for (query, place) in [
        ("type=lunch", "type"),
        ("after=1", "after"),
        ("after=7fffffffffffffff000000000000000000", "after"),
        ("limit=0", "limit"),
        ("colour=red", "query"),
    ] {
        let answer = world.facilitator.get(&format!("/v1/events?{query}")).await;
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && said.starts_with(place), "{query}: {said}");
    }
    books_agree(&world).await;
}

/// The types of what is told in the feed and is no payment's, once it is this much.
pub(crate) async fn notices(world: &World, count: usize) -> Vec<String> {
    eventually("all is told", async || {
        let (told, _) = events(world, None, "").await;
        let kinds = types(&told).into_iter().filter(|it| !it.starts_with("payment."));
        Some(kinds.map(str::to_owned).collect::<Vec<_>>()).filter(|it| it.len() >= count)
    })
    .await
}

/// A stream of events, read event by event.
struct Listener {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
    text: String,
}

impl Listener {
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        let mut request = client
            .get(format!("{}/v1/events{query}", world.facilitator.base()))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let parts = futures_util::stream::unfold(response, async |mut response| {
            let part = response.chunk().await.transpose()?;
            Some((part.map(|it| it.to_vec()), response))
        });
        Self {
            bytes: Box::pin(parts),
            text: String::new(),
        }
    }

    /// The next event: its id and its data, as it is written. None at the end of the stream.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                self.text = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    return Some((id, data));
                }
                continue;
            }
            let part = self.bytes.next().await?.unwrap();
            self.text += std::str::from_utf8(&part).unwrap();
        }
    }
}

#[tokio::test]
async fn a_stream_tells_what_the_pages_tell_and_resumes_where_it_was_dropped() {
    let mut world = World::usual().await;
    let mut stream = Listener::open(&world, "?after=now", None).await;
    let (first, _) = paid(&world, None).await;
    let (mut streamed, mut last) = (Vec::new(), String::new());
    for _ in 0..2 {
        let (id, data) = stream.next().await.unwrap();
        streamed.push(data);
        last = id;
    }
    drop(stream);
    let (both, _) = {
        world.facilitator.settle(&Payment::by(2).body()).await.settled();
        eventually("the feed has both", async || {
            let found = events(&world, None, "").await;
            (found.0.len() == 6).then_some(found)
        })
        .await
    };
    assert_eq!(types(&first), PAID);
    let mut stream = Listener::open(&world, "?after=now", Some(&last)).await;
    for _ in 0..4 {
        streamed.push(stream.next().await.unwrap().1);
    }
    let page = world.facilitator.get("/v1/events").await.text();
    for (event, data) in both.iter().zip(&streamed) {
        assert_eq!(serde_json::from_str::<Value>(data).unwrap(), *event);
        assert!(page.contains(data.as_str()), "the same bytes: {data}");
    }
    // A process that is to stop does not wait for its streams.
    world.facilitator.terminate();
    assert_eq!(stream.next().await, None);
    assert!(world.facilitator.ended().await.success());
}
