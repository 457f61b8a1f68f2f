//! One replica's way to the nodes of one network, and what may go wrong on it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use facilitator::chain::quorum::{Seen, agreed};
use facilitator::domain::network::NetworkId;
use facilitator::domain::rail::{Delivery, RailFault, Sighting, Watched};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::liar::lie;
use crate::line::Gate;
use crate::plan::Fault;
use crate::world::{Sent, World};

/// Where one endpoint may lie, how many there are and how many must show the same.
const ENDPOINTS: usize = 3;
const QUORUM: usize = 2;

pub(crate) struct Reach {
    pub(crate) world: Arc<World>,
    pub(crate) gate: Gate,
    pub(crate) network: NetworkId,
}

impl Reach {
    pub(crate) fn fault(&self, operation: &'static str, cause: &str) -> RailFault {
        RailFault {
            operation,
            network: self.network.clone(),
            cause: cause.to_owned(),
        }
    }

    /// Asks a node: it may not answer, and it answers of what it knew when it was asked.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        of: impl FnOnce(&World) -> T + Send,
    ) -> Result<T, RailFault> {
        self.gate.pass().await;
        sleep(self.world.throw(|dice| dice.up_to(Duration::from_millis(30)))).await;
        self.gate.pass().await;
        if self.world.strikes(Fault::NodeDown, 80) {
            return Err(self.fault(operation, "simulated"));
        }
        let shown = of(&self.world);
        sleep(self.world.throw(|dice| dice.up_to(Duration::from_millis(30)))).await;
        self.gate.pass().await;
        Ok(shown)
    }

    /// What the network shows through `look`: one endpoint's word, or, where one of several may lie, what the real quorum
    /// makes of them.
    pub(crate) async fn observe<F>(
        &self,
        watched: &[Watched<'_>],
        look: impl Fn() -> F + Send + Sync,
    ) -> Result<Sighting, RailFault>
    where
        F: Future<Output = Result<Sighting, RailFault>> + Send,
    {
        if !self.world.plan.has(Fault::Liar) {
            return look().await;
        }
        let liar = usize::try_from(self.world.plan.seed).unwrap() % ENDPOINTS;
        let (mut seen, mut fault) = (Vec::new(), None);
        for (place, shown) in join_all((0..ENDPOINTS).map(|_| look())).await.into_iter().enumerate() {
            match shown {
                Ok(mut sighting) => {
                    if place == liar && self.world.strikes(Fault::Liar, 600) {
                        self.world.throw(|dice| lie(&mut sighting, watched, dice));
                    }
                    seen.push(Seen { place, sighting });
                }
                Err(error) => fault = Some(error),
            }
        }
        if let Some(fault) = fault.filter(|_| seen.len() < QUORUM) {
            return Err(fault);
        }
        let mut sighting = agreed(&seen, QUORUM, watched).sighting;
        // Their order is chance's, which no seed rules.
        sighting.dead.sort();
        Ok(sighting)
    }

    /// Hands bytes over: they may not arrive, and the answer may not.
    pub(crate) async fn deliver(&self, sent: Sent<'_>, offer: impl FnOnce(&World) -> Delivery + Send) -> Delivery {
        self.gate.pass().await;
        self.world.sent(&sent);
        sleep(self.world.throw(|dice| dice.up_to(Duration::from_millis(60)))).await;
        let is_lost = self.world.strikes(Fault::Send, 250);
        if is_lost && self.world.throw(|dice| dice.chance(500)) {
            return Delivery::Unknown("simulated".into());
        }
        let said = offer(&self.world);
        self.gate.pass().await;
        if is_lost {
            Delivery::Unknown("simulated".into())
        } else {
            said
        }
    }
}
