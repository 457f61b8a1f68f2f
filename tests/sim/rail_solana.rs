//! The rail on the simulated cluster, as one replica reaches it. It asks as `chain/solana/watch.rs` does, three times
//! within a look and perhaps three nodes; what follows from the answers, the real `sighting` concludes.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use facilitator::chain::solana::Commitment;
use facilitator::chain::solana::sighting::{Answers, Arrival, Details, End, Executed, Level, Search, Status, tx_of};
use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::{Authorization, PaymentKey, Window};
use facilitator::domain::budget::Purse;
use facilitator::domain::flaw::Flaw;
use facilitator::domain::network::{NetworkId, RailId};
use facilitator::domain::rail::{
    Advertised, AuthorizationState, ChainPoint, DataFee, Delivery, Facts, KeptKey, LaneId, Outbid, Pace, Quote, Rail,
    RailFault, Replacement, Sighting, SignedTx, Simulation, Standing, TxId, Unsigned, Watched,
};
use facilitator::domain::reconciliation::{Account, Scan};
use facilitator::domain::refund::{Presented, Repayment};
use facilitator::domain::rejection::{Malformed, Refused};
use facilitator::domain::request::PaymentRequest;
use facilitator::domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::chain_solana::{FEE, Message, View};
use crate::plan::Fault;
use crate::rail_evm::holdings;
use crate::reach::Reach;
use crate::scan;
use crate::world::{Sent, World};

/// How many blocks a transaction must have left.
const LIFETIME_MIN_BLOCKS: usize = 10;

/// How far back a node remembers what became of a transaction without searching, in slots.
const STATUS_SLOTS: u64 = 150;

/// How far behind a node may be, in blocks.
const LAG_BLOCKS: u64 = 60;

/// How late a leader may take up what it was handed, in slots: until the blockhash is nearly too old, or beyond.
const HELD_SLOTS: u64 = 170;

pub(crate) const SLOT_TIME: Duration = Duration::from_millis(400);

pub(crate) struct SimRail {
    pub(crate) reach: Reach,
    pub(crate) id: RailId,
    pub(crate) pace: Pace,
    pub(crate) lanes: Vec<LaneId>,
    pub(crate) purse: Purse,
}

pub(crate) fn network() -> NetworkId {
    "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap()
}

/// As `chain/solana/mod.rs` has it.
pub(crate) fn pace() -> Pace {
    Pace {
        batch_max: 64,
        in_flight_max: 512,
        gather: Duration::ZERO,
        redeliver: Duration::from_secs(2),
        outbid_after: None,
        block_time: SLOT_TIME,
        stalled_after: SLOT_TIME * 75,
        recheck: SLOT_TIME * 8,
        patience: SLOT_TIME * 100,
        poll: SLOT_TIME / 2,
        lifetime_min_seconds: 0,
    }
}

impl SimRail {
    /// Asks a node, which may be behind.
    async fn ask<T>(&self, operation: &'static str, of: impl FnOnce(View<'_>) -> T + Send) -> Result<T, RailFault> {
        let behind = |world: &World| {
            let blocks = if world.strikes(Fault::Lag, 300) {
                world.throw(|dice| dice.below(LAG_BLOCKS))
            } else {
                0
            };
            of(View::behind(&world.solana(), usize::try_from(blocks).unwrap()))
        };
        self.reach.ask(operation, behind).await
    }

    /// How many slots a node remembers; one that was just started remembers little.
    fn memory(&self, usual: u64) -> u64 {
        let world = &self.reach.world;
        if world.strikes(Fault::Forget, 400) {
            world.throw(|dice| dice.below(60))
        } else {
            usual
        }
    }

    async fn look(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault> {
        let recent: Vec<&TxId> = watched.iter().filter_map(tx_of).collect();
        let (cached, kept) = (self.memory(STATUS_SLOTS), self.memory(u64::MAX));
        let first_look = |view: View<'_>| {
            let mut statuses = statuses(view, others.iter(), kept);
            statuses.extend(self::statuses(view, recent.iter().copied(), cached));
            Answers {
                head: slot_at(view, view.confirmed()),
                finalized: slot_at(view, view.finalized()),
                finalized_height: height(view.finalized()),
                statuses,
                ..Answers::default()
            }
        };
        let mut answers = self.ask("observe", first_look).await?;
        if let Some(doubts) = answers.doubts(watched)
            && let Ok((search, found)) = self.ask("search", |view| search(view, doubts, kept)).await
        {
            answers.statuses.extend(found);
            answers.search = Some(search);
        }
        let details = answers.details(watched, others);
        self.ask("fetch", |view| fetch(view, &details, &mut answers)).await?;
        let mut sighting = answers.sighting(watched, Commitment::Confirmed);
        // Their order is chance's, which no seed rules.
        sighting.mined.sort_by(|one, other| one.tx.cmp(&other.tx));
        Ok(sighting)
    }
}

fn height(index: usize) -> u64 {
    index.try_into().unwrap()
}

fn slot_at(view: View<'_>, height: usize) -> u64 {
    view.0[height].point.height
}

/// What a node that remembers so many slots says of these transactions.
fn statuses<'t>(view: View<'_>, txs: impl Iterator<Item = &'t TxId>, slots: u64) -> HashMap<TxId, Status> {
    let first_slot = view.newest().point.height.saturating_sub(slots);
    let receipts = view.receipts();
    let level = |at: usize| match at {
        at if at <= view.finalized() => Level::Finalized,
        at if at <= view.confirmed() => Level::Confirmed,
        _ => Level::Processed,
    };
    let status = |tx: &TxId| {
        let (at, receipt) = receipts.get(tx)?;
        let slot = slot_at(view, *at);
        let status = Status {
            slot,
            is_failed: receipt.is_failed,
            level: level(*at),
        };
        (slot >= first_slot).then(|| (tx.clone(), status))
    };
    txs.filter_map(status).collect()
}

fn search(view: View<'_>, txs: Vec<TxId>, slots: u64) -> (Search, HashMap<TxId, Status>) {
    let first_slot = view.newest().point.height.saturating_sub(slots);
    let first = view
        .0
        .iter()
        .position(|it| it.point.height >= first_slot)
        .unwrap_or_default();
    let found = statuses(view, txs.iter(), slots);
    let search = Search {
        txs: txs.into_iter().collect(),
        finalized: slot_at(view, view.finalized()),
        first_slot: slot_at(view, first),
        first_height: Some(height(first)),
    };
    (search, found)
}

fn fetch(view: View<'_>, details: &Details, answers: &mut Answers) {
    let view = view.as_confirmed();
    let receipts = view.receipts();
    for tx in &details.txs {
        let Some((at, receipt)) = receipts.get(tx) else {
            continue;
        };
        let end = if receipt.is_failed {
            End::Failed
        } else {
            End::Succeeded(Arrival::Exact { index: 2 })
        };
        let executed = Executed {
            slot: slot_at(view, *at),
            fee: FEE,
            end,
        };
        answers.executed.insert(tx.clone(), executed);
    }
    for block in view.0.iter().filter(|it| details.slots.contains(&it.point.height)) {
        answers.blocks.insert(block.point.height, block.point.clone());
    }
}

/// What a trial in the newest confirmed block shows, or in the newest of all where the blockhash is newer.
fn facts(view: View<'_>, message: &Message) -> Facts {
    let confirmed = view.as_confirmed();
    let bank = if confirmed.height_of(&message.blockhash).is_some() {
        confirmed
    } else {
        view
    };
    let at = bank.height_of(&message.blockhash);
    let is_used = bank.receipts().contains_key(&message.id());
    let newest = bank.0.len() - 1;
    let is_old = at.is_none_or(|at| at + 150 < newest + LIFETIME_MIN_BLOCKS);
    let balance = bank.newest().balances.get(&message.payer).copied().unwrap_or_default();
    let is_good = at.is_some() && !is_used && balance >= message.amount;
    Facts {
        height: height(at.unwrap_or(newest)),
        flaw: (is_old && !is_used).then_some(Flaw::BlockhashTooOld),
        payer: None,
        signature_valid: true,
        factory_refused: None,
        asset_deployed: true,
        asset_listed: true,
        asset_misnamed: None,
        authorization: if is_used {
            AuthorizationState::Used
        } else {
            AuthorizationState::Unused
        },
        balance: Amount::from_units(balance.into()),
        transfer: if is_good {
            Simulation::Succeeded {
                received: Amount::from_units(message.amount.into()),
            }
        } else {
            Simulation::Failed {
                reason: "simulated".into(),
            }
        },
        holders: Vec::new(),
        must_go_alone: false,
    }
}

fn key_of(nonce: &str) -> PaymentKey {
    PaymentKey(Sha256::digest(format!("solana {nonce}")).into())
}

#[async_trait]
impl Rail for SimRail {
    fn id(&self) -> &RailId {
        &self.id
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn lanes(&self) -> &[LaneId] {
        &self.lanes
    }

    fn purse(&self) -> &Purse {
        &self.purse
    }

    fn retired(&self) -> &[LaneId] {
        &[]
    }

    fn advertised(&self, able: &[LaneId]) -> Advertised {
        Advertised {
            signers: able.iter().map(|lane| lane.signer.clone()).collect(),
            extra: None,
        }
    }

    fn decode(&self, request: &PaymentRequest) -> Result<Authorization, Refused> {
        let body = request.proof.0.as_bytes();
        let message = Message::read(body);
        let nonce = message.id().0;
        Ok(Authorization {
            payer: message.payer,
            pay_to: message.recipient,
            asset: request.terms.asset.clone(),
            amount: Amount::from_units(message.amount.into()),
            window: Window::Recent,
            signer: Some(message.fee_payer),
            memo: None,
            key: key_of(&nonce),
            nonce,
            body: body.to_vec(),
        })
    }

    fn key_of(&self, _: &str, _: &str, nonce: &str) -> Result<PaymentKey, Malformed> {
        Ok(key_of(nonce))
    }

    fn canonical_account(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    async fn inspect(&self, authorization: &Authorization) -> Result<Facts, RailFault> {
        let message = Message::read(&authorization.body);
        let facts = self.ask("inspect", |view| facts(view, &message)).await?;
        if self.reach.world.solana().drained.contains(&message.fee_payer) {
            return Err(self.reach.fault("inspect", "the fee payer cannot pay the fee"));
        }
        Ok(facts)
    }

    fn cost_max(&self, _: &Authorization, _: bool) -> Result<Amount, RailFault> {
        Ok(Amount::from_units(FEE.into()))
    }

    async fn head(&self) -> Result<u64, RailFault> {
        self.ask("head", |view| view.newest().point.height).await
    }

    fn endpoints(&self) -> Vec<Standing> {
        Vec::new()
    }

    async fn hindrances(&self, _: &str) -> Result<Vec<String>, RailFault> {
        Ok(Vec::new())
    }

    async fn balances(&self) -> Result<Vec<Amount>, RailFault> {
        Ok(holdings(&self.lanes, &self.reach.world.solana().drained))
    }

    async fn quote(&self) -> Result<Quote, RailFault> {
        Ok(Quote {
            floor: 0,
            fee_max: 0,
            tip: 0,
            fee_cap: 0,
            data: DataFee::default(),
        })
    }

    async fn lane_nonce(&self, _: &LaneId) -> Result<Option<u64>, RailFault> {
        Ok(None)
    }

    async fn lane_spent(&self, _: &LaneId) -> Result<Option<u64>, RailFault> {
        Ok(None)
    }

    async fn lane_strangers(
        &self,
        _: &LaneId,
        _: &(dyn for<'t> Fn(&'t TxId) -> bool + Send + Sync),
    ) -> Result<Vec<TxId>, RailFault> {
        Ok(Vec::new())
    }

    async fn prove_keys(&self) -> Vec<KeptKey> {
        Vec::new()
    }

    /// The last of several lanes has its key elsewhere.
    fn signs_elsewhere(&self, lane: &LaneId) -> bool {
        self.lanes.len() > 1 && self.lanes.last() == Some(lane)
    }

    async fn sign_ahead(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, Unsigned> {
        let asked = self.reach.ask("sign", |_| ()).await;
        asked.map_err(Unsigned::Unheard)?;
        self.sign(lane, nonce, cargo, quote).map_err(Unsigned::Unfit)
    }

    fn sign(&self, lane: &LaneId, _: u64, cargo: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, RailFault> {
        let sign = |authorization: &&Authorization| {
            let message = Message::read(&authorization.body);
            if message.fee_payer != lane.signer {
                return Err(self.reach.fault("sign", "another fee payer than the lane's"));
            }
            Ok(SignedTx {
                id: message.id(),
                raw: message.raw(),
                cost_max: Amount::from_units(FEE.into()),
                payments: 1,
            })
        };
        cargo.iter().map(sign).collect()
    }

    async fn outbid(&self, _: &LaneId, _: &[u8], _: Outbid, _: &Quote) -> Result<Option<Replacement>, Unsigned> {
        Ok(None)
    }

    fn is_underpriced(&self, _: &[u8], _: &Quote) -> bool {
        false
    }

    async fn deliver(&self, raw: &[u8]) -> Delivery {
        let message = Message::read(raw);
        let sent = Sent {
            tx: message.id(),
            raw,
            signer: &message.fee_payer,
            nonce: None,
        };
        let offer = |world: &World| {
            let held = if world.strikes(Fault::Hold, 300) {
                world.throw(|dice| dice.below(HELD_SLOTS))
            } else {
                0
            };
            world.solana().offer(raw, held)
        };
        self.reach.deliver(sent, offer).await
    }

    async fn observe(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault> {
        self.reach.observe(watched, || self.look(watched, others)).await
    }

    async fn finalized(&self) -> Result<u64, RailFault> {
        self.ask("finalized", |view| view.0[view.finalized()].point.height)
            .await
    }

    async fn final_until(&self) -> Result<Timestamp, RailFault> {
        self.ask("final until", |view| view.0[view.finalized()].point.time)
            .await
    }

    async fn last_before(&self, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
        self.ask("last before", |view| {
            let final_ones = &view.0[..=view.finalized()];
            let last = final_ones.iter().rfind(|it| it.point.time < time);
            last.map(|it| it.point.clone())
        })
        .await
    }

    fn reads(&self, _: &Account) -> bool {
        true
    }

    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
        self.ask("scan", |view| scan::solana(view.0, accounts, &blocks)).await
    }

    async fn repay(&self, _: &Repayment<'_>) -> Result<Presented, RailFault> {
        unreachable!("no story has a refund")
    }

    async fn is_over(&self, _: u64) -> Result<bool, RailFault> {
        unreachable!("no story has a refund")
    }

    async fn oracle(&self, _: &str, _: &[&str]) -> Result<Vec<bool>, RailFault> {
        unreachable!("no story screens")
    }

    async fn has_signed(&self, _: &str, _: &str, _: &str) -> Result<bool, RailFault> {
        unreachable!("no story claims")
    }

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}
