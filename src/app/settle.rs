//! `/settle`: reserve, hand over, wait, and say what is true. The effects on the chain are `drive`'s and `watch`'s;
//! dropping this future changes nothing but who hears the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::app::board::{Granted, News, Subscription};
use crate::app::{App, Track, Trouble, verify};
use crate::domain::authorization::Authorization;
use crate::domain::budget::{Reserve, Shortage};
use crate::domain::outcome::Outcome;
use crate::domain::rejection::Rejection;
use crate::domain::request::{PaymentReference, PaymentRequest, ReferenceKind};
use crate::domain::screening::Stage;
use crate::domain::settlement::{Landed, Settlement};
use crate::domain::tenant::TenantId;
use crate::domain::verdict::Verified;
use crate::seeded::Bug;
use crate::store::{NewPayment, Record, Reservation, StoreFault};
use crate::trace;

/// Puts an outcome into the words of the caller's dialect. What it returns for a success is what is recorded and
/// replayed, byte for byte.
pub type Encode = Arc<dyn Fn(&Outcome) -> Vec<u8> + Send + Sync>;

/// Who asks for a settlement: for what, under which names, and in which words the answer is to be.
#[derive(Clone)]
pub struct Caller {
    tenant: TenantId,
    digest: [u8; 32],
    references: Vec<PaymentReference>,
    /// Puts the outcome into the caller's words.
    pub encode: Encode,
}

impl Caller {
    /// Whether the payment is on record for this caller's request: of its tenant, and under a name that both have, or both without. What was
    /// withdrawn may be presented anew for another; once it is signed for, that changes no more.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        let is_for_same = record.digest == self.digest || Bug::OtherRequestJoins.is_on();
        let mut names = self.references.iter();
        let is_unkeyed_twin = self.references.is_empty() && record.references.is_empty();
        self.tenant == record.tenant
            && is_for_same
            && (is_unkeyed_twin || names.any(|it| record.references.contains(it)))
    }
}

/// The answer to `/settle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleAnswer {
    /// What is true now, and the encoded body.
    Fresh(Outcome, Vec<u8>),
    /// The body recorded for the same keyed request.
    Replayed(Vec<u8>),
}

/// Settles a payment, or finds the settlement that an earlier request began.
///
/// # Errors
/// The request is malformed, its idempotency key belongs to another request, the payer's are too many, or a dependency
/// could not be asked.
/// After the reservation is on record no fault is reported any more: the answer is then at worst "pending".
pub async fn settle(app: &Arc<App>, request: PaymentRequest, encode: Encode) -> Result<SettleAnswer, Trouble> {
    let fresh = |outcome: Outcome| {
        let body = encode(&outcome);
        Ok(SettleAnswer::Fresh(outcome, body))
    };
    let (track, authorization) = match verify::read(app, &request)? {
        Ok(read) => read,
        Err(rejection) => return fresh(Outcome::Refused { payer: None, rejection }),
    };
    app.pass_payer(request.tenant, &authorization.payer)?;
    let ask = Ask::of(app, &request, &authorization, Arc::clone(&encode));
    if !request.references.is_empty()
        && let Some(taken) = app.store.reference_find(request.tenant, &request.references).await?
        && taken.digest != ask.caller.digest
        && !Bug::KeyTakenTwice.is_on()
    {
        return Err(conflict(&taken, &request.references));
    }
    if let Some(record) = app.store.payment_find(&authorization.key).await?
        && !ask.may_begin_anew(&record)
    {
        return ask.join(track, record).await;
    }

    let (payer, key) = (Some(authorization.payer.clone()), authorization.key);
    let verified = match verify::judge(app, track, request, authorization, Stage::Settle).await? {
        Ok(verified) => verified,
        // What is refused may have been settled by a twin since we looked: then that is what there is to say.
        Err(rejection) => match app.store.payment_find(&key).await? {
            Some(record) if !ask.may_begin_anew(&record) => return ask.join(track, record).await,
            Some(_) | None => return fresh(Outcome::Refused { payer, rejection }),
        },
    };
    if track.is_stalled() {
        return Err(Trouble::Stalled(track.rail.id().network.clone()));
    }
    let new = NewPayment {
        id: app.clock.mint(),
        reserve: reserve_for(app, track, &verified).await?,
        verified,
        digest: ask.caller.digest,
    };
    let began = Instant::now();
    let reserved = reserve(app, track, new, ask.caller.clone()).instrument(trace::step("reserve"));
    match reserved.await? {
        Reserved::Ours(record, news) => {
            let network = record.network.to_string();
            trace::stage(record.id, "payment.reserved", began.elapsed(), &[("network", &network)]);
            ask.wait(record, news)
                .instrument(trace::step("wait for the chain"))
                .await
        }
        Reserved::Seen(record) => ask.join(track, record).await,
        Reserved::Short(shortage) => Err(exhausted(track, shortage)),
        Reserved::ReferenceTaken(reference) => Err(Trouble::Conflict(words_for(reference.kind))),
    }
}

enum Reserved {
    Ours(Record, Subscription),
    Seen(Record),
    ReferenceTaken(PaymentReference),
    Short(Shortage),
}

/// The worst case of the settlement. None is begun while no signer that could send it may spend anything.
async fn reserve_for(app: &App, track: &Track, verified: &Verified) -> Result<Reserve, Trouble> {
    let (rail, authorization) = (&track.rail, verified.authorization());
    let able = track.able(authorization)?;
    if let Some(shortage) = track.board.shortage(&able) {
        return Err(exhausted(track, shortage));
    }
    let amount = rail.cost_max(authorization, verified.facts().must_go_alone)?;
    let reserve = rail.purse().budget.reserve(&authorization.payer, amount);
    let (tenant, asset) = (verified.request().tenant, &authorization.asset);
    // Where there are no others, the network's budget is its budget.
    if tenant == TenantId::SOLE {
        return Ok(reserve);
    }
    let budget = app.store.tenant_budget(tenant, &rail.id().network, asset).await?;
    Ok(reserve.within(&budget, tenant, asset, authorization.amount))
}

fn exhausted(track: &Track, shortage: Shortage) -> Trouble {
    let network = track.rail.id().network.to_string();
    metrics::counter!(
        "facilitator_budget_exhausted_total",
        "network" => network.clone(),
        "scope" => shortage.scope.as_str()
    )
    .increment(1);
    tracing::warn!(
        network,
        scope = shortage.scope.as_str(),
        ends_in = shortage.ends_in,
        "budget exhausted"
    );
    shortage.into()
}

/// Puts the payment on record and hands it to the lanes, both or neither, whether or not the client stays.
async fn reserve(app: &Arc<App>, track: &Track, new: NewPayment, caller: Caller) -> Result<Reserved, StoreFault> {
    let (owner, board) = (Arc::clone(app), Arc::clone(&track.board));
    let work = async move {
        let reservation = owner.store.payment_reserve(&new).await.inspect_err(|_| board.doubt())?;
        Ok(match reservation {
            Reservation::New(record) | Reservation::Reopened(record) => {
                let news = board.subscribe(record.id, caller);
                board.admit(record.clone(), owner.clock.now());
                Reserved::Ours(record, news)
            }
            Reservation::Seen(record) => Reserved::Seen(record),
            Reservation::Short(shortage) => Reserved::Short(shortage),
            Reservation::ReferenceTaken(reference) => Reserved::ReferenceTaken(reference),
        })
    };
    let lost = StoreFault::Corrupt {
        operation: "payment_reserve",
        what: "the task that reserves",
    };
    app.tasks.finish("reserve", work).await.unwrap_or(Err(lost))
}

fn conflict(taken: &Record, asked: &[PaymentReference]) -> Trouble {
    let shared = asked.iter().find(|reference| taken.references.contains(reference));
    Trouble::Conflict(shared.map_or("the idempotency key", |reference| words_for(reference.kind)))
}

const fn words_for(kind: ReferenceKind) -> &'static str {
    match kind {
        ReferenceKind::PaymentIdentifier => "the payment-identifier id",
        ReferenceKind::IdempotencyKey => "the Idempotency-Key",
    }
}

/// What one caller asked, as far as it decides which answer it may get.
struct Ask {
    app: Arc<App>,
    caller: Caller,
    deadline: Instant,
}

impl Ask {
    fn of(app: &Arc<App>, request: &PaymentRequest, authorization: &Authorization, encode: Encode) -> Self {
        let patience = Duration::from_secs(app.settings.wait_seconds.min(request.terms.timeout_seconds));
        let now = Instant::now();
        Self {
            app: Arc::clone(app),
            caller: Caller {
                tenant: request.tenant,
                digest: request.digest(authorization),
                references: request.references.clone(),
                encode,
            },
            deadline: now.checked_add(patience).unwrap_or(now),
        }
    }

    /// Nothing of it was signed, and it is this caller's tenant's to present again.
    fn may_begin_anew(&self, record: &Record) -> bool {
        record.settlement == Settlement::Withdrawn && record.tenant == self.caller.tenant
    }

    /// The payment is on record already: who asks decides what it may be told (single grant, keyed replay).
    async fn join(&self, track: &Track, record: Record) -> Result<SettleAnswer, Trouble> {
        let is_same = self.caller.is_of(&record);
        match (&record.answer, is_same && self.is_keyed()) {
            (Some(answer), true) => return Ok(SettleAnswer::Replayed(answer.clone())),
            (Some(answer), false) if Bug::SuccessReplayedToAll.is_on() => {
                return Ok(SettleAnswer::Replayed(answer.clone()));
            }
            (Some(_), false) => return Ok(self.duplicate(&record)),
            (None, _) if !is_same => return Ok(self.duplicate(&record)),
            (None, _) => {}
        }
        // Another process may have reserved it: what becomes of it is heard here only if it is known here.
        track.board.learn(vec![record.clone()]);
        let news = track.board.subscribe(record.id, self.caller.clone());
        // Read again after subscribing, so that no change falls between the two.
        match self.app.store.payment_get(record.id).await {
            Ok(Some(current)) => self.wait(current, news).await,
            Ok(None) | Err(_) => self.wait(record, news).await,
        }
    }

    fn is_keyed(&self) -> bool {
        !self.caller.references.is_empty()
    }

    /// Waits until the settlement can be answered for, or until the deadline, or until this process has to stop; then says
    /// what is true.
    async fn wait(&self, mut record: Record, mut news: Subscription) -> Result<SettleAnswer, Trouble> {
        let mut left = std::pin::pin!(self.app.left());
        loop {
            if let Some(answer) = self.answer(&record, &mut news).await {
                return Ok(answer);
            }
            let heard = tokio::select! {
                heard = tokio::time::timeout_at(self.deadline, news.next()) => heard.ok().flatten(),
                () = left.as_mut() => None,
            };
            match heard {
                Some(News::Moved(settlement)) => record.settlement = settlement,
                Some(News::Withdrawn(rejection)) => {
                    let payer = Some(record.authorization.payer);
                    return Ok(self.fresh(Outcome::Refused { payer, rejection }));
                }
                None => return Ok(self.unless_granted(&mut news, pending(&record)).await),
            }
        }
    }

    /// Leaves with this, unless a grant to this caller has begun: that is waited for, a moment at most, and must not be
    /// left behind, since nobody else will get it.
    async fn unless_granted(&self, news: &mut Subscription, otherwise: Outcome) -> SettleAnswer {
        match news.granted().await {
            Granted::To(settled, body) => SettleAnswer::Fresh(settled, body),
            Granted::NotAsked | Granted::Unknown => self.fresh(otherwise),
        }
    }

    /// What can be said for good about the settlement, if anything can.
    async fn answer(&self, record: &Record, news: &mut Subscription) -> Option<SettleAnswer> {
        let (payment, payer) = (record.id, record.authorization.payer.clone());
        match &record.settlement {
            Settlement::Confirmed { landed, .. } | Settlement::Final { landed } => {
                Some(self.grant(record, landed, news).await)
            }
            Settlement::InFlight {
                setback: Some(setback), ..
            } => {
                let setback = setback.clone();
                Some(
                    self.unless_granted(
                        news,
                        Outcome::SetBack {
                            payment,
                            payer,
                            setback,
                        },
                    )
                    .await,
                )
            }
            Settlement::Failed { proof } => Some(self.fresh(Outcome::Failed {
                payment,
                payer,
                proof: proof.clone(),
            })),
            // Withdrawn between our two looks: nothing of it was signed, and presenting it again begins anew.
            Settlement::Withdrawn => {
                let reason = "it was refused a moment ago; present it again".into();
                let rejection = Rejection::SimulationFailed { reason };
                Some(self.fresh(Outcome::Refused {
                    payer: Some(payer),
                    rejection,
                }))
            }
            Settlement::Reserved | Settlement::InFlight { setback: None, .. } => None,
        }
    }

    /// The money has moved: exactly one un-keyed caller, ever, is told success; keyed callers share one answer.
    async fn grant(&self, record: &Record, landed: &Landed, news: &mut Subscription) -> SettleAnswer {
        let settled = Outcome::Settled {
            payment: record.id,
            payer: record.authorization.payer.clone(),
            tx: landed.tx.clone(),
        };
        let claim = news.granted().await;
        if let Granted::To(settled, body) = claim {
            return SettleAnswer::Fresh(settled, body);
        }
        let Ok(Some(current)) = self.app.store.payment_get(record.id).await else {
            return self.fresh(pending(record));
        };
        if !self.caller.is_of(&current) {
            return self.duplicate(&current);
        }
        let body = (self.caller.encode)(&settled);
        match self.app.store.settlement_grant(record.id, &body).await {
            Ok(true) => SettleAnswer::Fresh(settled, body),
            Ok(false) if Bug::GrantWithoutClaim.is_on() => SettleAnswer::Fresh(settled, body),
            // It may be this very caller's grant that nobody heard of: then it is not somebody else's payment.
            Ok(false) if !self.is_keyed() && matches!(claim, Granted::Unknown) => self.fresh(pending(record)),
            Ok(false) if !self.is_keyed() => self.duplicate(record),
            Ok(false) => self.recorded(record).await,
            // It may or may not have been granted to us: nobody may be told success now.
            Err(fault) => {
                tracing::warn!(payment.id = %record.id, error = %fault, "grant not recorded");
                self.fresh(pending(record))
            }
        }
    }

    async fn recorded(&self, record: &Record) -> SettleAnswer {
        match self.app.store.payment_get(record.id).await {
            Ok(Some(Record {
                answer: Some(answer), ..
            })) => SettleAnswer::Replayed(answer),
            Ok(_) | Err(_) => self.fresh(pending(record)),
        }
    }

    /// Another tenant is told what the chain shows and no more.
    fn duplicate(&self, record: &Record) -> SettleAnswer {
        let landed = record.settlement.landed();
        let sent = record.txs.last().filter(|_| record.tenant == self.caller.tenant);
        self.fresh(Outcome::Duplicate {
            payer: record.authorization.payer.clone(),
            tx: landed.map(|it| &it.tx).or(sent).cloned(),
            is_settled: landed.is_some(),
        })
    }

    fn fresh(&self, outcome: Outcome) -> SettleAnswer {
        let body = (self.caller.encode)(&outcome);
        SettleAnswer::Fresh(outcome, body)
    }
}

fn pending(record: &Record) -> Outcome {
    let tx = match &record.settlement {
        Settlement::InFlight { tx, .. } => Some(tx.clone()),
        Settlement::Confirmed { landed, .. } | Settlement::Final { landed } => Some(landed.tx.clone()),
        Settlement::Reserved | Settlement::Failed { .. } | Settlement::Withdrawn => record.txs.last().cloned(),
    };
    Outcome::Pending {
        payment: record.id,
        payer: record.authorization.payer.clone(),
        tx,
    }
}
