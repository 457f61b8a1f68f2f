//! Pays refunds from the merchants' own wallets, each as a payment like any other: presented to `/settle` from inside, with
//! its key, budgets, lanes and proofs.
//!
//! What is presented is on record before it is used, and the next attempt is made only once the last is proven to be over:
//! failed as its settlement says, or past its window and by the chain's word not sent by anybody else. So a refund is paid
//! once, whatever stops or runs twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::app::settle::SettleAnswer;
use crate::app::{App, AskFault, Track, Trouble, settle};
use crate::domain::authorization::Authorization;
use crate::domain::id::RefundId;
use crate::domain::labels::{Label, Labels};
use crate::domain::outcome::Outcome;
use crate::domain::rail::{Observation, RailFault, Watched};
use crate::domain::refund::{Presented, Purpose, Repayment};
use crate::domain::request::{Offer, PaymentRequest, Resource, Terms};
use crate::domain::screening::{Payout, Stage};
use crate::domain::settlement::Settlement;
use crate::store::{Attempt, NewAttempt, Refund, Store};
use crate::task::{Tasks, guarded};

/// The pause between two looks at what is to be paid.
const EVERY: Duration = Duration::from_secs(2);

/// How many refunds are looked at together, and how many of them at once.
const PAGE: u16 = 100;
const AT_ONCE: usize = 16;

/// How often a refund is tried.
const ATTEMPTS_MAX: u64 = 5;

/// The envelope of these requests. Nobody else's has it.
const ENVELOPE: &str = "refund/1";

/// Pays what is to be paid on every rail in the background, until told to stop.
pub fn start(app: &Arc<App>, store: &Store, tasks: &Tasks) {
    for track in app.rails.values() {
        let repaying = Repaying {
            app: Arc::clone(app),
            store: store.clone(),
            track: track.clone(),
        };
        let stop = tasks.stop_signal();
        tasks.spawn("repay", async move { repaying.run(&stop).await });
    }
}

struct Repaying {
    app: Arc<App>,
    store: Store,
    track: Track,
}

impl Repaying {
    async fn run(&self, stop: &CancellationToken) {
        let mut after = None;
        loop {
            if let Some(Err(fault)) = guarded(self.round(&mut after)).await {
                tracing::warn!(rail.id = %self.track.rail.id(), error = %fault, "could not look at refunds");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn round(&self, after: &mut Option<RefundId>) -> Result<(), AskFault> {
        let network = &self.track.rail.id().network;
        let refunds = self.store.refunds_executing(network, *after, PAGE).await?;
        *after = refunds
            .last()
            .map(|it| it.id)
            .filter(|_| refunds.len() == usize::from(PAGE));
        let steps: Vec<_> = refunds.iter().map(|refund| self.tried(refund)).collect();
        let done: Vec<Result<(), AskFault>> = stream::iter(steps).buffer_unordered(AT_ONCE).collect().await;
        done.into_iter().collect()
    }

    /// The same for one of them; what stands in the way is kept with it.
    async fn tried(&self, refund: &Refund) -> Result<(), AskFault> {
        if let Err(trouble) = self.step(refund).await {
            let problem = trouble.to_string();
            tracing::warn!(refund.id = %refund.id, error = problem, "a refund could not be paid now");
            self.store.refunds_trouble(&[(refund.id, Some(problem))]).await?;
        }
        Ok(())
    }

    /// What is to be done for one refund now.
    async fn step(&self, refund: &Refund) -> Result<(), Trouble> {
        if refund.is_out {
            let attempt = self.store.refund_attempt(refund.id, refund.attempts).await?;
            return match attempt {
                Some(attempt) => self.look(refund, &attempt).await,
                None => Ok(()),
            };
        }
        if refund.attempts >= ATTEMPTS_MAX {
            return Ok(self.store.refund_fail(refund.id, refund.attempts).await?);
        }
        match self.begin(refund).await? {
            Some(attempt) => self.present(refund, &attempt).await,
            None => Ok(()),
        }
    }

    /// Puts the next attempt on record; none when somebody else did.
    async fn begin(&self, refund: &Refund) -> Result<Option<Attempt>, Trouble> {
        let rail = &self.track.rail;
        let payout = Payout {
            refund: refund.id,
            network: refund.network.clone(),
            wallet: refund.wallet.clone().unwrap_or_default(),
            recipient: refund.recipient.clone(),
        };
        let now = self.app.clock.now();
        let screened = self
            .app
            .screening
            .ticket(Stage::Refund, payout, &**rail, Some(refund.id), now);
        let payout = match screened.await {
            Ok(ticket) => ticket,
            Err(rejection) => {
                let problem = Some(rejection.to_string());
                self.store.refunds_trouble(&[(refund.id, problem)]).await?;
                return Ok(None);
            }
        };
        let able = self.track.board.able(rail.lanes());
        let signer = rail.advertised(&able).signers.into_iter().next();
        let signer = signer.ok_or_else(|| Trouble::Unfunded(refund.network.clone()))?;
        let attempt = refund.attempts.saturating_add(1);
        let repayment = Repayment {
            refund: refund.id,
            attempt,
            wallet: refund.wallet.as_deref().unwrap_or_default(),
            recipient: &refund.recipient,
            asset: &refund.asset,
            amount: refund.amount,
            signer: &signer,
            now,
        };
        let presented = rail.repay(&repayment).await?;
        let authorization = self.decoded(refund, attempt, &presented)?;
        let attempt = Attempt {
            attempt,
            key: authorization.key,
            presented,
        };
        let new = NewAttempt {
            payout,
            attempt: attempt.clone(),
            nonce: authorization.nonce,
        };
        Ok(self.store.refund_begin(&new).await?.then_some(attempt))
    }

    fn decoded(&self, refund: &Refund, attempt: u64, presented: &Presented) -> Result<Authorization, Trouble> {
        let request = self.request(refund, attempt, presented);
        self.track.rail.decode(&request).map_err(|why| {
            Trouble::Rail(RailFault {
                operation: "repay",
                network: refund.network.clone(),
                cause: why.to_string(),
            })
        })
    }

    /// What became of the attempt.
    async fn look(&self, refund: &Refund, attempt: &Attempt) -> Result<(), Trouble> {
        let unsent = match self.app.store.payment_find(&attempt.key).await?.map(|it| it.settlement) {
            Some(Settlement::Final { landed }) => {
                self.store.refunds_pay(&[(refund.id, landed.into())]).await?;
                false
            }
            Some(Settlement::Failed { proof }) => {
                let why = format!("attempt {} failed: {}", attempt.attempt, proof.as_str());
                self.store.refund_end(refund.id, attempt.attempt, &why).await?;
                false
            }
            Some(Settlement::Reserved | Settlement::InFlight { .. } | Settlement::Confirmed { .. }) => false,
            Some(Settlement::Withdrawn) | None => true,
        };
        if !unsent {
            return Ok(());
        }
        if !self.track.rail.is_over(attempt.presented.good_until).await? {
            return self.present(refund, attempt).await;
        }
        // Whoever of us had it sent would have put it on record before its window closed.
        match self.app.store.payment_find(&attempt.key).await?.map(|it| it.settlement) {
            Some(Settlement::Withdrawn) | None => self.lapse(refund, attempt).await,
            Some(_) => Ok(()),
        }
    }

    /// What became of an attempt that we never sent, now that its window is over: somebody who saw it while it was tried may
    /// have sent it, unless it lacks our signature.
    async fn lapse(&self, refund: &Refund, attempt: &Attempt) -> Result<(), Trouble> {
        let authorization = self.decoded(refund, attempt.attempt, &attempt.presented)?;
        let seen = match authorization.signer {
            Some(_) => None,
            None => Some(self.seen(refund, &authorization).await?),
        };
        match seen {
            None | Some(Some(Observation::CannotLand(_))) => {
                let why = refund
                    .problem
                    .as_deref()
                    .unwrap_or("its time was over before it was sent");
                Ok(self.store.refund_end(refund.id, attempt.attempt, why).await?)
            }
            Some(Some(Observation::Landed(landed))) if landed.block.height <= self.track.rail.finalized().await? => {
                self.store.refunds_pay(&[(refund.id, landed.into())]).await?;
                Ok(())
            }
            Some(_) => {
                let problem = "whether somebody else has sent it is not proven yet".to_owned();
                Ok(self.store.refunds_trouble(&[(refund.id, Some(problem))]).await?)
            }
        }
    }

    /// What the chain shows of it, in anybody's transaction.
    async fn seen(&self, refund: &Refund, authorization: &Authorization) -> Result<Option<Observation>, Trouble> {
        let name = self.app.clock.mint();
        let watched = Watched {
            payment: name,
            authorization,
            txs: &[],
            landed: None,
            since_height: refund.after,
            seek: true,
        };
        Ok(self.track.rail.observe(&[watched], &[]).await?.payments.remove(&name))
    }

    /// Hands the attempt to `/settle`, which knows it by its key.
    async fn present(&self, refund: &Refund, attempt: &Attempt) -> Result<(), Trouble> {
        let request = self.request(refund, attempt.attempt, &attempt.presented);
        let answer = format!("{{\"refund\":\"{}\"}}", refund.id).into_bytes();
        let encode: settle::Encode = Arc::new(move |_| answer.clone());
        let problem = match settle::settle(&self.app, request, encode).await? {
            SettleAnswer::Fresh(Outcome::Refused { rejection, .. }, _) => Some(rejection.to_string()),
            SettleAnswer::Fresh(..) | SettleAnswer::Replayed(_) => None,
        };
        Ok(self.store.refunds_trouble(&[(refund.id, problem)]).await?)
    }

    fn request(&self, refund: &Refund, attempt: u64, presented: &Presented) -> PaymentRequest {
        let rail = self.track.rail.id().clone();
        let terms = Terms {
            asset: refund.asset.clone(),
            pay_to: refund.recipient.clone(),
            amount: refund.amount,
            // Nobody waits: what becomes of it is on record.
            timeout_seconds: 1,
            extra: Some(presented.extra.clone()),
        };
        let purpose = Purpose {
            refund: refund.id,
            payment: refund.payment,
            attempt,
        };
        PaymentRequest {
            offer: Offer {
                scheme: rail.scheme.clone(),
                network: Some(rail.network.clone()),
                terms: terms.clone(),
            },
            rail,
            terms,
            proof: presented.proof.clone(),
            resource: Resource::default(),
            references: vec![purpose.reference()],
            tenant: refund.tenant,
            labels: Labels {
                merchant_reference: refund.merchant_reference.as_deref().and_then(Label::new),
                ..Labels::default()
            },
            envelope: ENVELOPE,
        }
    }
}
