//! A network's endpoints as one node: reads go to one that is fit and over to another when it fails, bytes go to all
//! of them, and evidence counts as soon as enough of them show the same.
//!
//! Only reads are asked again, and what is asked in one look goes to one endpoint, so that it is one picture.

mod agreement;
mod broadcast;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::endpoint::{Dialect, Endpoint, Unproven};
use super::quorum::{self, Seen};
use super::rpc::{Call, Rpc, RpcError, TIMEOUT_DEFAULT};
use super::urls::Urls;
use crate::domain::network::NetworkId;
use crate::domain::rail::{RailFault, Sighting, Standing, Watched};
use crate::task::Tasks;

/// At how many endpoints a read is tried: each may take a whole timeout.
const TRIES_MAX: usize = 3;

/// How long the others may take once enough endpoints have shown what they see.
const GRACE: Duration = Duration::from_millis(500);

/// An endpoint that is behind the best by more than so much of the chain's time, and by more than these blocks, is
/// passed over.
const LAG_MAX: Duration = Duration::from_secs(30);
const LAG_BLOCKS_MIN: u64 = 3;

/// How often several endpoints are asked how far they are: each block, within these bounds.
const LOOK_UP_MIN: Duration = Duration::from_secs(2);
const LOOK_UP_MAX: Duration = Duration::from_secs(12);

/// All endpoints of one network, or a view of a single one of them.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    only: Option<usize>,
}

#[derive(Debug)]
struct Shared {
    network: NetworkId,
    /// At least one; an endpoint's place is its label.
    endpoints: Vec<Arc<Endpoint>>,
    /// How many must show the same for it to count.
    quorum: usize,
    dialect: Box<dyn Dialect>,
    /// By how many blocks an endpoint may be behind the best.
    lag_max: u64,
    /// The place of the endpoint that is asked while it is fit.
    current: AtomicUsize,
    /// The endpoints contradicted one another at the last look.
    is_disputed: AtomicBool,
    tasks: Tasks,
}

impl Pool {
    /// A network's endpoints, once as many as have to agree have shown that they are of the right chain. One that
    /// cannot be asked now is left out until it can. Of several, `tasks` keeps seeing how far each is.
    ///
    /// # Errors
    /// What was expected and what was found, by the endpoint's place in the list and never by its address.
    pub(super) async fn open(
        network: &NetworkId,
        urls: &Urls,
        quorum: usize,
        dialect: impl Dialect + 'static,
        block_time: Duration,
        tasks: &Tasks,
    ) -> Result<Self, String> {
        let client = |(place, url)| {
            let rpc = Rpc::new(network.clone(), place, url, TIMEOUT_DEFAULT);
            rpc.map(|rpc| Arc::new(Endpoint::new(rpc)))
                .map_err(|what| format!("rpc_url[{place}]: {what}"))
        };
        let endpoints: Vec<Arc<Endpoint>> = urls.expose().enumerate().map(client).collect::<Result<_, _>>()?;
        let pool = Self::of(network, endpoints, quorum, Box::new(dialect), block_time, tasks);
        pool.prove().await?;
        if pool.shared.endpoints.len() > 1 {
            pool.shared.look_up().await;
            let (shared, stop) = (Arc::clone(&pool.shared), tasks.stop_signal());
            let pause = block_time.clamp(LOOK_UP_MIN, LOOK_UP_MAX);
            tasks.spawn("endpoints", async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => shared.look_up().await,
                    }
                }
            });
        }
        Ok(pool)
    }

    fn of(
        network: &NetworkId,
        endpoints: Vec<Arc<Endpoint>>,
        quorum: usize,
        dialect: Box<dyn Dialect>,
        block_time: Duration,
        tasks: &Tasks,
    ) -> Self {
        let blocks = LAG_MAX
            .as_millis()
            .checked_div(block_time.as_millis())
            .and_then(|blocks| u64::try_from(blocks).ok())
            .unwrap_or(u64::MAX);
        Self {
            shared: Arc::new(Shared {
                network: network.clone(),
                endpoints,
                quorum,
                dialect,
                lag_max: blocks.max(LAG_BLOCKS_MIN),
                current: AtomicUsize::new(0),
                is_disputed: AtomicBool::new(false),
                tasks: tasks.clone(),
            }),
            only: None,
        }
    }

    /// Proves the chain of each endpoint that answers; as many as have to agree must.
    async fn prove(&self) -> Result<(), String> {
        let shared = &self.shared;
        let proofs = join_all(shared.endpoints.iter().map(|it| it.prove(&*shared.dialect))).await;
        let mut away = Vec::new();
        for (place, proof) in proofs.into_iter().enumerate() {
            match proof {
                Ok(()) => {}
                Err(Unproven::Foreign(what)) => return Err(format!("rpc_url[{place}]: {what}")),
                Err(Unproven::Away(fault)) => away.push((place, fault)),
            }
        }
        let answering = shared.endpoints.len().saturating_sub(away.len());
        if let Some((place, fault)) = away.first()
            && answering < shared.quorum
        {
            return Err(format!(
                "expected {} endpoint(s) that answer, found {answering}; rpc_url[{place}]: {}",
                shared.quorum, fault.cause
            ));
        }
        for (place, fault) in away {
            tracing::warn!(endpoint = place, error = %fault, "an endpoint cannot be asked: left out until it can");
        }
        Ok(())
    }

    /// The network.
    pub(super) fn network(&self) -> &NetworkId {
        &self.shared.network
    }

    /// As [`Rpc::next_id`].
    pub(super) fn next_id(&self) -> u64 {
        self.main().rpc().next_id()
    }

    /// The endpoint of a view, or any.
    fn main(&self) -> &Endpoint {
        let place = self.only.unwrap_or_default();
        #[expect(
            clippy::indexing_slicing,
            reason = "there is at least one, and a view is of one that there is"
        )]
        &self.shared.endpoints[place]
    }

    /// A view of each single endpoint whose last request was answered.
    pub(super) fn each(&self) -> Vec<Self> {
        let endpoints = self.shared.endpoints.iter().enumerate();
        let answering = endpoints.filter(|(_, it)| it.is_answering());
        answering.map(|(place, _)| self.view(place)).collect()
    }

    /// How each endpoint stands.
    pub(super) fn standings(&self) -> Vec<Standing> {
        self.shared.endpoints.iter().map(|it| it.standing()).collect()
    }

    fn view(&self, place: usize) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            only: Some(place),
        }
    }

    /// As [`Rpc::fault`], freed of every endpoint's address.
    pub(super) fn fault(&self, operation: &'static str, cause: &str) -> RailFault {
        let endpoints = self.shared.endpoints.iter();
        let cause = endpoints.fold(cause.to_owned(), |cause, it| it.rpc().cleaned(&cause));
        RailFault {
            operation,
            network: self.network().clone(),
            cause,
        }
    }

    /// As [`Rpc::refused`].
    pub(super) fn refused(&self, operation: &'static str, error: RpcError) -> RailFault {
        self.main().rpc().refused(operation, error)
    }

    /// As [`Rpc::read`].
    ///
    /// # Errors
    /// A fault when it has another shape.
    pub(super) fn read<T: DeserializeOwned>(&self, operation: &'static str, result: &RawValue) -> Result<T, RailFault> {
        self.main().rpc().read(operation, result)
    }

    /// As [`Rpc::call`].
    ///
    /// # Errors
    /// As [`Rpc::call`], from the last endpoint that was asked.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        method: &'static str,
        params: &(impl Serialize + Sync),
    ) -> Result<Box<RawValue>, RpcError> {
        self.ask(|it| async move { it.rpc().call(operation, method, params).await })
            .await
    }

    /// As [`Rpc::call_as`].
    ///
    /// # Errors
    /// As [`Rpc::call_as`], from the last endpoint that was asked.
    pub(super) async fn call_as<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: &'static str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, RpcError> {
        self.ask(|it| async move { it.rpc().call_as(operation, method, params).await })
            .await
    }

    /// As [`Rpc::call_raw`], with an id from [`Pool::next_id`].
    ///
    /// # Errors
    /// As [`Rpc::call_raw`], from the last endpoint that was asked.
    pub(super) async fn call_raw(
        &self,
        operation: &'static str,
        method: &'static str,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Box<RawValue>, RpcError> {
        let body = &body;
        self.ask(|it| async move { it.rpc().call_raw(operation, method, id, body.clone()).await })
            .await
    }

    /// As [`Rpc::batch`].
    ///
    /// # Errors
    /// As [`Rpc::batch`], from the last endpoint that was asked.
    pub(super) async fn batch(
        &self,
        operation: &'static str,
        calls: &[Call],
    ) -> Result<Vec<Result<Box<RawValue>, RpcError>>, RailFault> {
        self.ask(|it| async move { Ok(it.rpc().batch(operation, calls).await?) })
            .await
            .map_err(|error| self.refused(operation, error))
    }

    /// Asks one endpoint, and another where that one fails. One that works instead of another is asked from then on.
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Endpoint>) -> F + Send) -> Result<T, RpcError>
    where
        F: Future<Output = Result<T, RpcError>> + Send,
    {
        let mut last = None;
        for place in self.places().into_iter().take(TRIES_MAX) {
            let Some(endpoint) = self.shared.endpoints.get(place) else {
                continue;
            };
            let outcome = endpoint.ask(&*self.shared.dialect, ask(Arc::clone(endpoint))).await;
            let is_refused = endpoint.rpc().is_resting();
            match outcome {
                Err(error) if is_refused || matches!(error, RpcError::Fault(_)) => last = Some(error),
                outcome => {
                    if self.only.is_none() {
                        self.shared.current.store(place, Ordering::Relaxed);
                    }
                    return outcome;
                }
            }
        }
        Err(last.unwrap_or_else(|| self.fault("ask", "there is no endpoint").into()))
    }

    /// The endpoints to ask, best first: those that are fit and not behind; then those that are behind; and those that
    /// failed last, whose pause is over first.
    fn places(&self) -> Vec<usize> {
        match self.only {
            Some(place) => vec![place],
            None => self.shared.places(),
        }
    }

    /// What the chain shows of these payments: what enough endpoints show alike. `look` looks at it through one of
    /// them.
    ///
    /// Where one is enough, only one is asked, and the others only about what it could be wrong or late with; what one
    /// shows then stands against what another does not.
    ///
    /// # Errors
    /// Fewer endpoints than have to agree could be asked.
    pub(super) async fn observe<F>(
        &self,
        watched: &[Watched<'_>],
        look: impl Fn(Self) -> F + Send + Sync,
    ) -> Result<Sighting, RailFault>
    where
        F: Future<Output = Result<Sighting, RailFault>> + Send,
    {
        let shared = &self.shared;
        if shared.quorum > 1 {
            let seen = self.looks(&self.fit_places(), shared.quorum, &look).await?;
            return Ok(self.agreed(&seen, watched));
        }
        let mut places = shared.places();
        let mut outcome = Err(self.fault("observe", "there is no endpoint"));
        while outcome.is_err() && !places.is_empty() {
            outcome = self.looks(&[places.remove(0)], 1, &look).await;
        }
        let mut seen = outcome?;
        let is_doubtful = seen.iter().any(|it| quorum::is_doubtful(&it.sighting, watched));
        places.retain(|place| shared.is_fit(*place));
        if is_doubtful && !places.is_empty() {
            // Whoever cannot be asked has no say.
            seen.extend(self.looks(&places, 1, &look).await.unwrap_or_default());
        }
        Ok(self.agreed(&seen, watched))
    }

    /// The endpoints to ask where several have to agree: those that are fit, or all where that is too few.
    fn fit_places(&self) -> Vec<usize> {
        let mut places = self.shared.places();
        let fit = places.iter().filter(|place| self.shared.is_fit(**place)).count();
        if fit >= self.shared.quorum {
            // Those that are fit come first.
            places.truncate(fit);
        }
        places
    }

    /// How far the endpoint is that is asked now.
    ///
    /// # Errors
    /// No endpoint could be asked.
    pub(super) async fn head(&self) -> Result<u64, RailFault> {
        const OPERATION: &str = "head";
        let dialect = &self.shared.dialect;
        let said = self.call(OPERATION, dialect.head(), &[(); 0]).await;
        let said = said.map_err(|error| self.refused(OPERATION, error))?;
        let height = dialect.height(&said);
        height.ok_or_else(|| self.fault(OPERATION, "the endpoint does not say how far it is"))
    }

    /// Looks through all these endpoints at once; at least `enough` must show something.
    async fn looks<F>(
        &self,
        places: &[usize],
        enough: usize,
        look: &(impl Fn(Self) -> F + Send + Sync),
    ) -> Result<Vec<Seen>, RailFault>
    where
        F: Future<Output = Result<Sighting, RailFault>> + Send,
    {
        let one = |place: usize| {
            let looking = look(self.view(place));
            async move { looking.await.map(|sighting| Seen { place, sighting }) }
        };
        let mut looking: FuturesUnordered<_> = places.iter().copied().map(one).collect();
        let (mut seen, mut fault) = (Vec::new(), None);
        while seen.len() < enough {
            match looking.next().await {
                Some(Ok(sighting)) => seen.push(sighting),
                Some(Err(error)) => fault = Some(error),
                None => {
                    let cause = "fewer endpoints than have to agree could be asked";
                    return Err(fault.unwrap_or_else(|| self.fault("observe", cause)));
                }
            }
        }
        let the_others = async {
            while let Some(sighting) = looking.next().await {
                seen.extend(sighting);
            }
        };
        // Whoever is slower has no say.
        drop(tokio::time::timeout(GRACE, the_others).await);
        Ok(seen)
    }

    /// What enough endpoints show alike; tells when they contradict one another.
    fn agreed(&self, seen: &[Seen], watched: &[Watched<'_>]) -> Sighting {
        let agreed = quorum::agreed(seen, self.shared.quorum, watched);
        let disputed = agreed.disputes.first();
        let was_disputed = self.shared.is_disputed.swap(disputed.is_some(), Ordering::Relaxed);
        if let (Some(payment), false) = (disputed, was_disputed) {
            tracing::error!(
                network = %self.network(), payment.id = %payment, endpoints = ?agreed.dissenters,
                "endpoints contradict one another: only what enough of them show alike counts"
            );
        }
        for endpoint in agreed.dissenters.iter().filter_map(|it| self.shared.endpoints.get(*it)) {
            endpoint.count("facilitator_endpoint_disagreements_total");
        }
        agreed.sighting
    }
}

impl Shared {
    fn places(&self) -> Vec<usize> {
        let best = self.best_head();
        let current = self.current.load(Ordering::Relaxed);
        let mut places: Vec<usize> = (0..self.endpoints.len()).collect();
        places.sort_by_cached_key(|place| {
            self.endpoints.get(*place).map(|it| {
                let is_behind = it.head().is_some_and(|head| best.saturating_sub(head) > self.lag_max);
                let (is_fit, is_current) = (it.is_fit(), *place == current);
                let away = it.away_until().filter(|_| !is_fit);
                (!is_fit, away, is_behind, !is_current, Reverse(it.head()), it.latency())
            })
        });
        places
    }

    fn is_fit(&self, place: usize) -> bool {
        self.endpoints.get(place).is_some_and(|it| it.is_fit())
    }

    fn best_head(&self) -> u64 {
        self.endpoints
            .iter()
            .filter_map(|it| it.head())
            .max()
            .unwrap_or_default()
    }

    /// Sees how far every endpoint is that is not passed over; one whose pause is over is tried by this.
    async fn look_up(&self) {
        let fit = self.endpoints.iter().filter(|it| it.is_fit());
        join_all(fit.map(|it| it.look_up(&*self.dialect))).await;
        let best = self.best_head();
        for endpoint in &self.endpoints {
            if let Some(head) = endpoint.head() {
                endpoint.show_lag(best.saturating_sub(head));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
