//! A gateway that settles one payment: at several replicas at once or one after the other, again when it hears nothing
//! certain, sometimes once more after success; with or without a key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facilitator::app::settle::{SettleAnswer, settle};
use facilitator::app::verify::verify;
use facilitator::domain::amount::Amount;
use facilitator::domain::network::{RailId, Scheme};
use facilitator::domain::outcome::Outcome;
use facilitator::domain::request::{Offer, PaymentReference, PaymentRequest, Proof, ReferenceKind, Resource, Terms};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::chain_evm::{Pay, Use};
use crate::chain_solana::{Message, View};
use crate::plan::{Fault, Network};
use crate::world::World;
use crate::{rail_evm, rail_solana};

/// The successes that were told of one payment: how often each body (I4).
type Successes = Arc<Mutex<BTreeMap<Vec<u8>, u32>>>;

/// Pays, and lets happen to the payment what its payer and others do.
pub(crate) async fn pay(world: Arc<World>, number: u64) {
    sleep(world.throw(|dice| dice.up_to(Duration::from_secs(40)))).await;
    let signed = Signed::draw(&world, number);
    let is_keyed = world.throw(|dice| dice.chance(400));
    let successes = Successes::default();
    let mut twins = JoinSet::new();
    // Each at a replica of its own: of several who wait for one payment at one replica, chance that no seed rules decides
    // who hears first.
    let first = world.throw(|dice| dice.within(0, 2));
    for at in first..first + world.throw(|dice| dice.within(1, 3)) {
        let mut request = signed.request(is_keyed);
        if world.strikes(Fault::Resale, 300) {
            request.resource.url = Some("another".into());
        }
        twins.spawn(ask(
            Arc::clone(&world),
            usize::try_from(at).unwrap(),
            request,
            Arc::clone(&successes),
        ));
    }
    signed.meddle(&world).await;
    while let Some(done) = twins.join_next().await {
        if let Err(panic) = done {
            world.violated(format!("a caller panicked: {panic}"));
        }
    }
    let told = successes.lock().unwrap_or_else(PoisonError::into_inner);
    let is_one = told.len() <= 1 && (is_keyed || told.values().all(|count| *count == 1));
    if !is_one {
        world.violated(format!(
            "I4: payment {number} (keyed: {is_keyed}) had successes {told:?}"
        ));
    }
}

/// Settles until something certain is heard, or for so many times.
async fn ask(world: Arc<World>, place: usize, request: PaymentRequest, successes: Successes) {
    if world.throw(|dice| dice.chance(500)) {
        let replica = world.replica(place);
        tokio::select! {
            biased;
            () = replica.gate.dies() => {}
            _ = verify(&replica.app, request.clone()) => {}
        }
    }
    for _ in 0..6 {
        let replica = world.replica(place);
        let encode = Arc::new(|outcome: &Outcome| format!("{outcome:?}").into_bytes());
        let patience = world.throw(|dice| {
            if dice.chance(200) {
                dice.up_to(Duration::from_secs(4))
            } else {
                Duration::from_secs(30)
            }
        });
        let heard = tokio::select! {
            biased;
            () = replica.gate.dies() => None,
            answer = timeout(patience, settle(&replica.app, request.clone(), encode)) => answer.ok(),
        };
        let heard = heard.filter(|_| !replica.gate.is_dead());
        let again = match &heard {
            Some(Ok(SettleAnswer::Fresh(Outcome::Settled { .. }, body) | SettleAnswer::Replayed(body))) => {
                let mut told = successes.lock().unwrap_or_else(PoisonError::into_inner);
                *told.entry(body.clone()).or_default() += 1;
                drop(told);
                world.succeeded(&request);
                world.throw(|dice| dice.chance(300))
            }
            Some(Ok(SettleAnswer::Fresh(Outcome::Pending { .. }, _)) | Err(_)) | None => true,
            Some(Ok(SettleAnswer::Fresh(..))) => false,
        };
        if !again {
            return;
        }
        sleep(world.throw(|dice| dice.up_to(Duration::from_secs(5)))).await;
    }
}

/// What a payer signed.
enum Signed {
    Evm(Pay),
    Solana(Message),
}

impl Signed {
    fn draw(world: &World, number: u64) -> Self {
        let networks: Vec<Network> = world.plan.networks.iter().copied().collect();
        let network = match *networks {
            [only] => only,
            _ => world.throw(|dice| *dice.pick(&networks)),
        };
        match network {
            Network::Evm => {
                let now = world.time();
                Self::Evm(world.throw(|dice| Pay {
                    payer: format!("payer{}", dice.below(4)),
                    recipient: format!("shop{}", dice.below(2)),
                    amount: dice.within(1, 200),
                    nonce: number,
                    after: now - 60,
                    before: now + dice.within(30, 180),
                }))
            }
            Network::Solana => {
                let signers: Vec<String> = world.signers().collect();
                let age = world.throw(|dice| if dice.chance(300) { dice.below(150) } else { 0 });
                let blockhash = {
                    let cluster = world.solana();
                    let seen = View::behind(&cluster, 0).as_confirmed().0;
                    let at = seen.len().saturating_sub(1 + usize::try_from(age).unwrap());
                    seen[at].point.hash.clone()
                };
                Self::Solana(world.throw(|dice| Message {
                    fee_payer: dice.pick(&signers).clone(),
                    blockhash,
                    payer: format!("payer{}", dice.below(4)),
                    recipient: format!("shop{}", dice.below(2)),
                    amount: dice.within(1, 200),
                    memo: number,
                }))
            }
        }
    }

    /// What the payer and others do with what was signed.
    async fn meddle(&self, world: &World) {
        sleep(world.throw(|dice| dice.up_to(Duration::from_secs(6)))).await;
        match self {
            Self::Evm(pay) => {
                if world.strikes(Fault::Cancel, 150) {
                    world.evm().others.push(Use::Cancelled {
                        payer: pay.payer.clone(),
                        nonce: pay.nonce,
                    });
                }
                if world.strikes(Fault::Broke, 150) {
                    let amount = world.evm().head().accounts.balances[&pay.payer];
                    let away = Pay {
                        recipient: "elsewhere".into(),
                        amount,
                        nonce: pay.nonce + 1_000_000,
                        ..pay.clone()
                    };
                    world.evm().others.push(Use::Paid(away));
                }
            }
            Self::Solana(message) => {
                if world.strikes(Fault::Broke, 150) {
                    world.solana().spenders.insert(message.payer.clone());
                }
            }
        }
    }

    fn request(&self, is_keyed: bool) -> PaymentRequest {
        let (network, proof, recipient, amount, number) = match self {
            Self::Evm(pay) => (rail_evm::network(), pay.proof(), &pay.recipient, pay.amount, pay.nonce),
            Self::Solana(it) => (rail_solana::network(), it.proof(), &it.recipient, it.amount, it.memo),
        };
        let rail = RailId {
            scheme: Scheme::exact(),
            network,
        };
        let terms = Terms {
            asset: "coin".into(),
            pay_to: recipient.clone(),
            amount: Amount::from_units(amount.into()),
            timeout_seconds: 60,
            extra: None,
        };
        let key = PaymentReference {
            kind: ReferenceKind::IdempotencyKey,
            value: format!("key {number}"),
        };
        PaymentRequest {
            offer: Offer {
                scheme: rail.scheme.clone(),
                network: Some(rail.network.clone()),
                terms: terms.clone(),
            },
            rail,
            terms,
            proof: Proof(proof.into()),
            resource: Resource::default(),
            references: if is_keyed { vec![key] } else { Vec::new() },
            labels: facilitator::domain::labels::Labels::default(),
            tenant: facilitator::domain::tenant::TenantId::SOLE,
            envelope: "second",
        }
    }
}
