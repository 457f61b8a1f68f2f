//! The rail on the simulated chain, as one replica reaches it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::{Authorization, PaymentKey, Window};
use facilitator::domain::budget::{Budget, Limits, Purse};
use facilitator::domain::network::{NetworkId, RailId};
use facilitator::domain::rail::{
    Advertised, ChainPoint, DataFee, Delivery, Facts, KeptKey, LaneId, Outbid, Pace, Quote, Rail, RailFault,
    Replacement, Sighting, SignedTx, Standing, TxId, Unsigned, Watched,
};
use facilitator::domain::reconciliation::{Account, Scan};
use facilitator::domain::refund::{Presented, Repayment};
use facilitator::domain::rejection::{Malformed, Refused};
use facilitator::domain::request::PaymentRequest;
use facilitator::domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::chain_evm::{Block, Pay, SimTx, at};
use crate::plan::Fault;
use crate::reach::Reach;
use crate::scan;
use crate::sighting_evm::sighting;
use crate::world::{Sent, World};

/// The most to pay for a unit of gas.
const FEE_CAP: u64 = 4_000;

pub(crate) const BLOCK_TIME: Duration = Duration::from_secs(2);

pub(crate) struct SimRail {
    pub(crate) reach: Reach,
    pub(crate) id: RailId,
    pub(crate) pace: Pace,
    pub(crate) lanes: Vec<LaneId>,
    pub(crate) purse: Purse,
}

pub(crate) fn network() -> NetworkId {
    "eip155:84532".parse().unwrap()
}

pub(crate) fn pace() -> Pace {
    Pace {
        batch_max: 8,
        in_flight_max: 4,
        gather: Duration::from_millis(5),
        redeliver: Duration::from_secs(5),
        outbid_after: Some(Duration::from_secs(8)),
        block_time: BLOCK_TIME,
        stalled_after: BLOCK_TIME * 15,
        recheck: BLOCK_TIME,
        patience: BLOCK_TIME * 2,
        poll: Duration::from_millis(500),
        lifetime_min_seconds: 6,
    }
}

/// What the lanes' signers hold when these have been drained.
pub(crate) fn holdings(lanes: &[LaneId], drained: &BTreeSet<String>) -> Vec<Amount> {
    let held = |lane: &LaneId| if drained.contains(&lane.signer) { 0 } else { u128::MAX };
    lanes.iter().map(|lane| Amount::from_units(held(lane))).collect()
}

/// Without limits: what holds those is told elsewhere.
pub(crate) fn purse() -> Purse {
    Purse {
        decimals: 18,
        settlement_max: Amount::from_units(1),
        balance_min: Amount::from_units(1),
        budget: Budget {
            total: Limits::default(),
            signer: Limits::default(),
            payer: Limits::default(),
            payer_reverts_max: u32::MAX,
        },
    }
}

impl SimRail {
    /// Asks a node: it may not answer, and what it shows may be some blocks old.
    async fn ask<T>(
        &self,
        operation: &'static str,
        of: impl FnOnce(&[Block], u64) -> T + Send,
    ) -> Result<T, RailFault> {
        let shown = |world: &World| {
            let lag = if world.strikes(Fault::Lag, 300) {
                world.throw(|dice| dice.below(4))
            } else {
                0
            };
            let chain = world.evm();
            let kept = usize::try_from(chain.finalized).unwrap() + 1;
            let seen = chain
                .blocks
                .len()
                .saturating_sub(usize::try_from(lag).unwrap())
                .max(kept);
            of(&chain.blocks[..seen], chain.finalized)
        };
        self.reach.ask(operation, shown).await
    }
}

pub(crate) fn pay_of(authorization: &Authorization) -> Pay {
    serde_json::from_slice(&authorization.body).unwrap()
}

fn sealed(tx: &SimTx) -> (TxId, Vec<u8>, Amount) {
    let gas = 21 + 50 * u128::try_from(tx.calls.len()).unwrap();
    (tx.id(), tx.raw(), Amount::from_units(u128::from(tx.fee) * gas))
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

    fn retired(&self) -> &[LaneId] {
        &[]
    }

    fn advertised(&self, _: &[LaneId]) -> Advertised {
        Advertised {
            signers: Vec::new(),
            extra: None,
        }
    }

    fn decode(&self, request: &PaymentRequest) -> Result<Authorization, Refused> {
        let pay: Pay = serde_json::from_str(&request.proof.0).unwrap();
        let key = Sha256::digest(format!("{} {}", pay.payer, pay.nonce));
        Ok(Authorization {
            payer: pay.payer.clone(),
            pay_to: pay.recipient.clone(),
            asset: request.terms.asset.clone(),
            amount: Amount::from_units(pay.amount.into()),
            nonce: pay.nonce.to_string(),
            window: Window::Time {
                after: Timestamp(pay.after),
                before: Timestamp(pay.before),
            },
            signer: None,
            memo: None,
            key: PaymentKey(key.into()),
            body: request.proof.0.as_bytes().to_vec(),
        })
    }

    fn key_of(&self, _: &str, payer: &str, nonce: &str) -> Result<PaymentKey, Malformed> {
        Ok(PaymentKey(Sha256::digest(format!("{payer} {nonce}")).into()))
    }

    fn canonical_account(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    async fn inspect(&self, authorization: &Authorization) -> Result<Facts, RailFault> {
        let pay = pay_of(authorization);
        self.ask("inspect", |blocks, _| pay.facts(blocks.last().unwrap())).await
    }

    async fn quote(&self) -> Result<Quote, RailFault> {
        let floor = self.ask("quote", |blocks, _| blocks.last().unwrap().base_fee).await?;
        let fee_max = (2 * floor + 10).min(FEE_CAP);
        Ok(Quote {
            floor: floor.into(),
            fee_max: fee_max.into(),
            tip: 10,
            fee_cap: FEE_CAP.into(),
            data: DataFee::default(),
        })
    }

    fn purse(&self) -> &Purse {
        &self.purse
    }

    fn cost_max(&self, _: &Authorization, _: bool) -> Result<Amount, RailFault> {
        Ok(self.purse.settlement_max)
    }

    async fn head(&self) -> Result<u64, RailFault> {
        self.ask("head", |blocks, _| blocks.last().unwrap().point.height).await
    }

    fn endpoints(&self) -> Vec<Standing> {
        Vec::new()
    }

    async fn hindrances(&self, _: &str) -> Result<Vec<String>, RailFault> {
        Ok(Vec::new())
    }

    async fn balances(&self) -> Result<Vec<Amount>, RailFault> {
        Ok(holdings(&self.lanes, &self.reach.world.evm().drained))
    }

    async fn lane_nonce(&self, lane: &LaneId) -> Result<Option<u64>, RailFault> {
        self.ask("lane nonce", |blocks, _| {
            Some(blocks.last().unwrap().nonce_of(&lane.signer))
        })
        .await
    }

    async fn lane_spent(&self, lane: &LaneId) -> Result<Option<u64>, RailFault> {
        let spent = |blocks: &[Block], finalized: u64| Some(at(blocks, finalized).nonce_of(&lane.signer));
        self.ask("lane spent", spent).await
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
        self.ask("sign", |_, _| ()).await.map_err(Unsigned::Unheard)?;
        self.sign(lane, nonce, cargo, quote).map_err(Unsigned::Unfit)
    }

    fn sign(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, RailFault> {
        if !quote.is_affordable() {
            let (fee, floor) = (quote.fee_max, quote.floor);
            self.reach
                .world
                .violated(format!("signed for a fee of {fee}, which no block takes below {floor}"));
        }
        let tx = SimTx {
            signer: lane.signer.clone(),
            nonce,
            fee: quote.fee_max.try_into().unwrap(),
            tip: quote.tip.try_into().unwrap(),
            calls: cargo.iter().map(|it| pay_of(it)).collect(),
        };
        let (id, raw, cost_max) = sealed(&tx);
        let payments = cargo.len();
        Ok(vec![SignedTx {
            id,
            raw,
            cost_max,
            payments,
        }])
    }

    async fn outbid(
        &self,
        lane: &LaneId,
        raw: &[u8],
        cargo: Outbid,
        quote: &Quote,
    ) -> Result<Option<Replacement>, Unsigned> {
        if self.signs_elsewhere(lane) {
            self.ask("outbid", |_, _| ()).await.map_err(Unsigned::Unheard)?;
        }
        let mut tx = SimTx::read(raw);
        let raised = |it: u64| it + it.div_ceil(8).max(1);
        tx.fee = raised(tx.fee).max(quote.fee_max.try_into().unwrap());
        tx.tip = raised(tx.tip).max(quote.tip.try_into().unwrap());
        if tx.fee > FEE_CAP || u128::from(tx.fee) < quote.floor {
            return Ok(None);
        }
        if cargo == Outbid::Nothing {
            tx.calls.clear();
        }
        let (id, raw, cost_max) = sealed(&tx);
        Ok(Some(Replacement {
            id,
            raw,
            cost_max,
            cargo,
        }))
    }

    fn is_underpriced(&self, raw: &[u8], quote: &Quote) -> bool {
        u128::from(SimTx::read(raw).fee) < quote.floor
    }

    async fn deliver(&self, raw: &[u8]) -> Delivery {
        let tx = SimTx::read(raw);
        let sent = Sent {
            tx: tx.id(),
            raw,
            signer: &tx.signer,
            nonce: Some(tx.nonce),
        };
        self.reach.deliver(sent, |world| world.evm().offer(raw)).await
    }

    async fn observe(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault> {
        let look = || {
            self.ask("observe", |blocks, finalized| {
                sighting(blocks, finalized, watched, others)
            })
        };
        self.reach.observe(watched, look).await
    }

    async fn finalized(&self) -> Result<u64, RailFault> {
        self.ask("finalized", |_, finalized| finalized).await
    }

    async fn final_until(&self) -> Result<Timestamp, RailFault> {
        self.ask("final until", |blocks, finalized| at(blocks, finalized).point.time)
            .await
    }

    async fn last_before(&self, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
        self.ask("last before", |blocks, finalized| {
            let is_before = |it: &&Block| it.point.height <= finalized && it.point.time < time;
            blocks.iter().rfind(is_before).map(|it| it.point.clone())
        })
        .await
    }

    fn reads(&self, _: &Account) -> bool {
        true
    }

    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
        self.ask("scan", |shown, _| scan::evm(shown, accounts, &blocks)).await
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
