//! Handing signed bytes to all endpoints at once: one that takes them is enough, and none that does not hides it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::Pool;
use crate::chain::endpoint::Endpoint;
use crate::chain::rpc::RpcError;
use crate::domain::rail::{Delivery, Refusal};

impl Pool {
    /// Hands signed bytes to every endpoint at once, and gives what the first says that takes them; where none does,
    /// the most telling of what they say. What the others say is still heard, in the background. `said` reads a node's
    /// words; `params` are the method's.
    pub(in crate::chain) async fn deliver(
        &self,
        method: &'static str,
        params: Value,
        said: fn(&str) -> Delivery,
    ) -> Delivery {
        let fit: Vec<_> = self.shared.endpoints.iter().filter(|it| it.is_fit()).collect();
        let takers = if fit.is_empty() {
            self.shared.endpoints.iter().collect()
        } else {
            fit
        };
        if let [only] = takers.as_slice() {
            return hand_over(only, method, &params, said).await;
        }
        let (tell, mut told) = mpsc::channel(takers.len());
        let params = Arc::new(params);
        for taker in takers {
            let (taker, tell, params) = (Arc::clone(taker), tell.clone(), Arc::clone(&params));
            self.shared.tasks.spawn("deliver", async move {
                let delivery = hand_over(&taker, method, &params, said).await;
                // Nobody listens any more once one has taken them.
                drop(tell.send(delivery).await);
            });
        }
        drop(tell);
        let mut best = Delivery::Unknown("no endpoint was asked".to_owned());
        let mut best_rank = u8::MAX;
        while let Some(delivery) = told.recv().await {
            let rank = rank(&delivery);
            if rank < best_rank {
                (best, best_rank) = (delivery, rank);
            }
            if best_rank == 0 {
                break;
            }
        }
        best
    }
}

async fn hand_over(endpoint: &Endpoint, method: &'static str, params: &Value, said: fn(&str) -> Delivery) -> Delivery {
    match endpoint.noted(endpoint.rpc().call("deliver", method, params)).await {
        Ok(_) => Delivery::Accepted,
        Err(RpcError::Node { message, .. }) => said(&message),
        Err(RpcError::Fault(fault)) => Delivery::Unknown(fault.cause),
    }
}

/// How much what one endpoint says counts when none has taken the bytes, the most first: what says that one of ours is
/// out, then what can be acted on; that the signer has no money only when nobody knows better.
const fn rank(delivery: &Delivery) -> u8 {
    match delivery {
        Delivery::Accepted | Delivery::Known => 0,
        Delivery::Refused(Refusal::NotOutbid, _) => 1,
        Delivery::Refused(Refusal::NonceSpent, _) => 2,
        Delivery::Refused(Refusal::NonceAhead, _) => 3,
        Delivery::Unknown(_) => 4,
        Delivery::Refused(Refusal::Other, _) => 5,
        Delivery::Refused(Refusal::OutOfFunds, _) => 6,
    }
}
