//! One of a network's endpoints: its client, what has become of its requests, and so whether it is fit to be asked.
//!
//! A circuit breaker: after a few faults in a row the endpoint is passed over for a pause that grows with every
//! further one. Whatever failed, the endpoint must show that it is still of the right chain before it is believed
//! again: behind the same address may be another node.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::SharedString;
use serde_json::value::RawValue;

use super::rpc::{Rpc, RpcError};
use crate::domain::rail::{RailFault, Standing};

/// After how many faults in a row an endpoint is passed over.
const FAULTS_MAX: u32 = 3;

/// For how long it is passed over at first; twice as long after each further fault.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// For how long the proof of the right chain counts while nothing fails.
const PROOF_HOLDS: Duration = Duration::from_hours(1);

const OPERATION: &str = "identity";

/// How a family's nodes say which chain they are of, and how far it has come. Both questions have no parameters.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// The method that tells the chain.
    fn identity(&self) -> &'static str;

    /// Whether the chain is the right one.
    ///
    /// # Errors
    /// What was expected and what was found.
    fn judge(&self, identity: &RawValue) -> Result<(), String>;

    /// The method that tells the newest block.
    fn head(&self) -> &'static str;

    /// The newest block's number; none when that is not what was said.
    fn height(&self, head: &RawValue) -> Option<u64>;
}

/// Why an endpoint is not known to be of the right chain.
#[derive(Debug)]
pub(super) enum Unproven {
    /// It could not be asked.
    Away(RailFault),
    /// It is of another: what was expected and what was found.
    Foreign(String),
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    rpc: Rpc,
    health: Mutex<Health>,
}

/// What is known of an endpoint.
#[derive(Debug, Default)]
struct Health {
    /// When it was seen to be of the right chain, unless something has failed since.
    proven: Option<Instant>,
    is_foreign: bool,
    /// How many requests in a row brought no answer.
    faults: u32,
    /// Until when it is passed over.
    away: Option<Instant>,
    head: Option<u64>,
    /// How long its last answer took.
    latency: Duration,
}

impl Health {
    fn answered(&mut self, took: Duration) {
        (self.faults, self.away, self.latency) = (0, None, took);
    }

    fn failed(&mut self, now: Instant) {
        self.proven = None;
        self.faults = self.faults.saturating_add(1);
        if let Some(opened) = self.faults.checked_sub(FAULTS_MAX) {
            let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(opened)).min(PAUSE_MAX);
            self.away = now.checked_add(pause);
        }
    }

    fn condemned(&mut self, now: Instant) {
        (self.proven, self.is_foreign, self.away) = (None, true, now.checked_add(PAUSE_MAX));
    }

    fn proven(&mut self, now: Instant) {
        (self.proven, self.is_foreign) = (Some(now), false);
    }

    fn is_away(&self, now: Instant) -> bool {
        self.away.is_some_and(|until| now < until)
    }

    fn is_proven(&self, now: Instant) -> bool {
        self.proven
            .is_some_and(|since| now.saturating_duration_since(since) < PROOF_HOLDS)
    }
}

impl Endpoint {
    /// An endpoint of which nothing is known.
    pub(super) fn new(rpc: Rpc) -> Self {
        Self {
            rpc,
            health: Mutex::default(),
        }
    }

    /// The client.
    pub(super) const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Takes it to be of the right chain, as of now.
    #[cfg(test)]
    pub(super) fn believe(&self) {
        self.health().proven(Instant::now());
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Nothing panics while holding it.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is to be asked: it has not just failed, nor asked to be left alone.
    pub(super) fn is_fit(&self) -> bool {
        !self.rpc.is_resting() && !self.health().is_away(Instant::now())
    }

    /// Whether its last request was answered.
    pub(super) fn is_answering(&self) -> bool {
        self.health().faults == 0
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        let is_fit = self.is_fit();
        let health = self.health();
        Standing {
            is_fit,
            is_foreign: health.is_foreign,
            faults: health.faults,
            head: health.head,
            latency: health.latency,
        }
    }

    /// Until when it is passed over, if it is.
    pub(super) fn away_until(&self) -> Option<Instant> {
        self.health().away
    }

    /// The newest block that it was seen to have.
    pub(super) fn head(&self) -> Option<u64> {
        self.health().head
    }

    /// How long its last answer took.
    pub(super) fn latency(&self) -> Duration {
        self.health().latency
    }

    /// Carries out `ask`, once the endpoint is known to be of the right chain, and remembers how it went.
    ///
    /// # Errors
    /// Those of `ask`; a fault when the endpoint is not known to be of the right chain.
    pub(super) async fn ask<T>(
        &self,
        dialect: &dyn Dialect,
        ask: impl Future<Output = Result<T, RpcError>>,
    ) -> Result<T, RpcError> {
        if !self.health().is_proven(Instant::now()) {
            self.prove(dialect).await.map_err(|unproven| match unproven {
                Unproven::Away(fault) => fault,
                Unproven::Foreign(what) => self.rpc.fault(OPERATION, &what),
            })?;
        }
        self.noted(ask).await
    }

    /// Asks which chain the endpoint is of.
    ///
    /// # Errors
    /// It does not say, or it is of another.
    pub(super) async fn prove(&self, dialect: &dyn Dialect) -> Result<(), Unproven> {
        let said = self.noted(self.rpc.call(OPERATION, dialect.identity(), &[(); 0])).await;
        let said = said.map_err(|error| Unproven::Away(self.rpc.refused(OPERATION, error)))?;
        if let Err(what) = dialect.judge(&said) {
            let what = self.rpc.cleaned(&what);
            let was_foreign = {
                let mut health = self.health();
                let was_foreign = health.is_foreign;
                health.condemned(Instant::now());
                was_foreign
            };
            self.show_breaker();
            if !was_foreign {
                tracing::error!(
                    network = %self.rpc.network(), endpoint = %self.rpc.label(), error = what,
                    "an endpoint is of another chain: not asked until it is of the right one"
                );
            }
            return Err(Unproven::Foreign(what));
        }
        self.health().proven(Instant::now());
        Ok(())
    }

    /// Asks for the newest block and remembers it.
    pub(super) async fn look_up(&self, dialect: &dyn Dialect) {
        const OPERATION: &str = "head";
        let said = self.ask(dialect, self.rpc.call(OPERATION, dialect.head(), &[(); 0]));
        if let Ok(said) = said.await
            && let Some(height) = dialect.height(&said)
        {
            self.health().head = Some(height);
        }
    }

    /// Remembers how a request went.
    pub(super) async fn noted<T>(&self, request: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
        let began = Instant::now();
        let outcome = request.await;
        let opened = {
            let mut health = self.health();
            let before = health.away;
            match &outcome {
                Ok(_) | Err(RpcError::Node { .. }) => health.answered(began.elapsed()),
                Err(RpcError::Fault(_)) => health.failed(Instant::now()),
            }
            (before != health.away).then(|| (before.is_none(), health.away.is_some()))
        };
        if let Err(RpcError::Fault(fault)) = &outcome {
            self.count("facilitator_endpoint_faults_total");
            if opened == Some((true, true)) {
                tracing::warn!(
                    endpoint = %self.rpc.label(), error = %fault,
                    "an endpoint fails again and again: passed over for a while"
                );
            }
        }
        if opened.is_some() {
            self.show_breaker();
        }
        outcome
    }

    /// Counts one of what the metric counts for each endpoint.
    pub(super) fn count(&self, metric: &'static str) {
        metrics::counter!(metric, "network" => self.network(), "endpoint" => self.rpc.label()).increment(1);
    }

    /// Shows by how many blocks the endpoint is behind.
    pub(super) fn show_lag(&self, blocks: u64) {
        metrics::gauge!(
            "facilitator_endpoint_head_lag_blocks",
            "network" => self.network(),
            "endpoint" => self.rpc.label()
        )
        .set(u32::try_from(blocks).unwrap_or(u32::MAX));
    }

    /// Shows whether the endpoint is passed over.
    fn show_breaker(&self) {
        let is_away = self.health().away.is_some();
        metrics::gauge!(
            "facilitator_endpoint_passed_over",
            "network" => self.network(),
            "endpoint" => self.rpc.label()
        )
        .set(u32::from(is_away));
    }

    fn network(&self) -> SharedString {
        SharedString::from(self.rpc.network().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_opens_after_three_faults_in_a_row_for_a_growing_bounded_pause() {
        let now = Instant::now();
        let mut health = Health::default();
        let pauses: Vec<u64> = (0..12)
            .map(|_| {
                health.failed(now);
                health.away.map_or(0, |until| (until - now).as_secs())
            })
            .collect();
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert!(health.is_away(now + Duration::from_secs(59)));
        assert!(!health.is_away(now + PAUSE_MAX));
        health.answered(Duration::ZERO);
        assert!(!health.is_away(now));
        health.failed(now);
        health.failed(now);
        assert!(!health.is_away(now), "an answer in between closes it");
    }

    #[test]
    fn a_proof_holds_for_an_hour_and_until_the_next_fault() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(!health.is_proven(now));
        health.proven(now);
        assert!(health.is_proven(now + Duration::from_mins(59)));
        assert!(!health.is_proven(now + PROOF_HOLDS));
        health.failed(now);
        assert!(!health.is_proven(now));
        health.proven(now);
        health.condemned(now);
        assert!(!health.is_proven(now) && health.is_away(now));
    }
}
