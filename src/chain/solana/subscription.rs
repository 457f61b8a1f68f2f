//! Hears from the node, over a WebSocket, that a transaction of ours may have landed. Only a hint to look: whatever is
//! missed here is found by polling, so nothing is repeated, nothing waits for it, and what does not fit is dropped.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use solana_signature::Signature;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::chain::Secret;
use crate::domain::network::NetworkId;
use crate::task::Tasks;

/// The most subscriptions at a time, and the most transactions that wait for one. Further ones are only polled for.
const SUBSCRIPTIONS_MAX: usize = 1_024;

/// How long a transaction is listened for: longer than its blockhash is good.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the node may take to let us connect, or to answer a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The pause after a connection broke; twice as long each time that the next one does not last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The subscriptions at one node.
#[derive(Debug)]
pub(super) struct Subscriptions {
    wanted: mpsc::Sender<(Signature, Instant)>,
    heard: Arc<Notify>,
}

impl Subscriptions {
    /// Connects to the node's WebSocket endpoint (`ws` or `wss`), and stays connected, in `tasks`. An `Rpc` must exist
    /// by then: it chooses the process's TLS provider.
    pub(super) fn start(network: NetworkId, url: &Secret, tasks: &Tasks) -> Self {
        let (wanted, requests) = mpsc::channel(SUBSCRIPTIONS_MAX);
        let heard = Arc::new(Notify::new());
        let ear = Ear {
            network,
            url: url.clone(),
            heard: Arc::clone(&heard),
            stop: tasks.stop_signal(),
            open: HashMap::new(),
            requests,
        };
        tasks.spawn("subscriptions", ear.run());
        Self { wanted, heard }
    }

    /// From now on, and for at most 90 s, listens for this transaction: its bytes, of which only the first signature is
    /// read.
    pub(super) fn listen_for(&self, raw: &[u8]) {
        let wanted = first_signature(raw).zip(Instant::now().checked_add(PATIENCE));
        // No room, or nobody who listens any more: it is polled for in any case.
        if wanted.is_some_and(|wanted| self.wanted.try_send(wanted).is_err()) {
            tracing::debug!("one transaction more than can be listened for");
        }
    }

    /// Resolves when something that is listened for may have landed, or when so much may have been missed that a look
    /// is due. What happens while nobody waits is told to the next who does.
    pub(super) async fn heard(&self) {
        self.heard.notified().await;
    }
}

/// The bytes begin with the number of signatures, which is a single byte below 128, and the fee payer's signature.
fn first_signature(raw: &[u8]) -> Option<Signature> {
    raw.get(1..65)?.try_into().ok()
}

/// Whoever listens.
struct Ear {
    network: NetworkId,
    url: Secret,
    heard: Arc<Notify>,
    stop: CancellationToken,
    /// What is listened for and until when; outlives a connection.
    open: HashMap<Signature, Instant>,
    requests: mpsc::Receiver<(Signature, Instant)>,
}

/// What became of a subscription.
enum End {
    /// The node says that the transaction is there.
    Told,
    /// Nothing came of it.
    Over,
    /// It ended with its connection.
    Broken,
}

impl Ear {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut pause = PAUSE_FIRST;
        loop {
            let began = Instant::now();
            let broken = tokio::select! {
                () = stop.cancelled() => return,
                broken = self.hold() => broken,
            };
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(
                network = %self.network, error = broken, pause.seconds = pause.as_secs(),
                "not listening to the node, only polling it"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Connects and listens until the connection breaks; says why it did.
    async fn hold(&mut self) -> String {
        let client = match timeout(ANSWER_TIME_MAX, PubsubClient::new(self.url.expose())).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return cause_of(&error),
            Err(_) => return "no connection in time".to_owned(),
        };
        tracing::info!(network = %self.network, "listening to the node");
        let mut subscriptions = FuturesUnordered::new();
        let now = Instant::now();
        self.open.retain(|_, until| *until > now);
        for (&signature, &until) in &self.open {
            subscriptions.push(subscribe(&client, signature, until));
        }
        // Something may have landed while nobody listened.
        self.heard.notify_one();
        loop {
            tokio::select! {
                Some((signature, end)) = subscriptions.next() => match end {
                    Ok(End::Told) => {
                        self.open.remove(&signature);
                        self.heard.notify_one();
                    }
                    Ok(End::Over) => drop(self.open.remove(&signature)),
                    Ok(End::Broken) => return "the connection ended".to_owned(),
                    Err(cause) => return cause,
                },
                Some((signature, until)) = self.requests.recv(), if self.open.len() < SUBSCRIPTIONS_MAX => {
                    if until > Instant::now() && self.open.insert(signature, until).is_none() {
                        subscriptions.push(subscribe(&client, signature, until));
                    }
                }
            }
        }
    }
}

/// One transaction's subscription, from request to end. Never dropped half-way unless the connection is: an answer that
/// nobody waits for ends the client's connection.
async fn subscribe(client: &PubsubClient, signature: Signature, until: Instant) -> (Signature, Result<End, String>) {
    (signature, listen(client, &signature, until).await)
}

async fn listen(client: &PubsubClient, signature: &Signature, until: Instant) -> Result<End, String> {
    // The type of these settings has no name here: it stands in a crate of its own. Without them the node would wait
    // until the transaction is final.
    let how = serde_json::from_value(json!({"commitment": "confirmed"})).map_err(|error| error.to_string())?;
    let asked = timeout(ANSWER_TIME_MAX, client.signature_subscribe(signature, Some(how)));
    let (mut notifications, unsubscribe) = match asked.await {
        Ok(Ok(subscription)) => subscription,
        Ok(Err(PubsubClientError::SubscribeFailed { .. })) => return Ok(End::Over),
        Ok(Err(error)) => return Err(cause_of(&error)),
        Err(_) => return Err("no answer in time".to_owned()),
    };
    match timeout_at(until, notifications.next()).await {
        // The node ends the subscription by itself.
        Ok(Some(_)) => Ok(End::Told),
        Ok(None) => Ok(End::Broken),
        Err(_) => match timeout(ANSWER_TIME_MAX, unsubscribe()).await {
            Ok(()) => Ok(End::Over),
            Err(_) => Err("no answer in time".to_owned()),
        },
    }
}

/// What went wrong, without the words of the client, which may name the endpoint.
fn cause_of(error: &PubsubClientError) -> String {
    let (what, cause): (_, Option<&dyn Error>) = match error {
        PubsubClientError::UrlParseError(_) => ("the endpoint is not a URL", None),
        PubsubClientError::ConnectionError(cause) => ("cannot connect", Some(cause)),
        PubsubClientError::WsError(cause) => ("the connection broke", Some(cause)),
        PubsubClientError::ConnectionClosed(_) => ("the connection ended", None),
        PubsubClientError::JsonParseError(_)
        | PubsubClientError::UnexpectedMessageError(_)
        | PubsubClientError::UnexpectedSubscriptionResponse(_)
        | PubsubClientError::UnexpectedGetVersionResponse(_) => ("the node's answer cannot be read", None),
        PubsubClientError::SubscribeFailed { .. }
        | PubsubClientError::RequestFailed { .. }
        | PubsubClientError::RequestError(_) => ("the node refuses", None),
    };
    let mut next = cause;
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return format!("{what}: {}", io.kind());
        }
        next = cause.source();
    }
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signature_stands_behind_the_count() {
        let mut raw = vec![2];
        raw.extend([7; 64]);
        assert_eq!(first_signature(&raw), Some(Signature::from([7; 64])));
        raw.pop();
        assert_eq!(first_signature(&raw), None);
        assert_eq!(first_signature(&[]), None);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_the_endpoint() {
        for (url, expected) in [
            ("ws://127.0.0.1:1/secret-key", "cannot connect: connection refused"),
            ("secret-key", "cannot connect"),
        ] {
            let error = PubsubClient::new(url).await.err().unwrap();
            assert_eq!(cause_of(&error), expected, "{url}");
        }
    }
}
