//! The `exact` scheme on Solana: transactions that the payer builds and signs, and we pay the fee of.
//!
//! Reading and judging what the payer built (`payload`, `instructions`), asking the chain about it (`reader`,
//! `finding`), completing it (`fee_payer`), handing it over (`deliver`) and seeing what became of it (`watch`) are
//! separate and meet only here. They share one thing: the authorization's stored form (`body`). The payer's signature
//! is over the fee payer, so there is one lane for each fee payer, and each payment has the lane that it was made
//! out to.

mod balance;
mod blockhashes;
mod body;
mod deliver;
mod evidence;
mod fee_payer;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod history;
mod inner;
mod inner_transfer;
mod instructions;
mod listing;
mod lookup_tables;
mod mint;
mod node;
mod ownership;
mod payload;
mod policy;
mod probe;
mod programs;
#[cfg(test)]
mod rail_trials;
mod reader;
mod receiving;
mod recipients;
mod refund;
mod scan;
mod settings;
pub mod sighting;
mod signing;
mod smart_wallet;
#[cfg(test)]
mod smart_wallet_trials;
mod subscription;
#[cfg(test)]
mod surfpool;
mod terms;
mod transaction;
#[cfg(test)]
mod trials;
mod watch;
#[cfg(test)]
mod watch_trials;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use solana_pubkey::Pubkey;

use self::body::Body;
use self::fee_payer::FeePayer;
use self::listing::Listing;
use self::node::{BLOCKHASH_BLOCKS, Node};
use self::policy::Policy;
use self::probe::Cluster;
use self::reader::Reader;
use self::refund::Wallets;
pub use self::settings::{AssetSettings, Commitment, DECIMALS as COIN_DECIMALS, Settings, TokenProgram};
use self::subscription::Subscriptions;
use super::Unservable;
use super::coalesce::Coalescer;
use super::pool::Pool;
use super::secret::Secret;
use super::stalled_after;
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey};
use crate::domain::budget::Purse;
use crate::domain::network::{RailId, Scheme};
use crate::domain::rail::{
    Advertised, ChainPoint, DataFee, Delivery, Facts, KeptKey, LaneId, Outbid, Pace, Quote, Rail, RailFault,
    Replacement, Sighting, SignedTx, Standing, TxId, Unsigned, Watched,
};
use crate::domain::reconciliation::{Account, Scan};
use crate::domain::refund::{Presented, Repayment};
use crate::domain::rejection::{Malformed, Refused};
use crate::domain::request::PaymentRequest;
use crate::domain::time::Timestamp;
use crate::task::Tasks;

/// How many transactions are signed with one commit. Each is on its own: only the commit is shared.
const BATCH_MAX: usize = 64;

/// How many transactions of a fee payer may be out at once. None waits for another.
const IN_FLIGHT_MAX: usize = 512;

/// A leader that is not at hand drops what it is sent, so what is not in a block is sent again soon.
const REDELIVER_EVERY: Duration = Duration::from_secs(2);

/// How many blocks apart two looks at a confirmed payment are: some four until it is final.
const RECHECK_BLOCKS: u32 = 8;

/// After how many blocks a payment under way is also searched for in the node's history: the node keeps what is
/// newer at hand.
const PATIENCE_BLOCKS: u32 = 100;

/// `exact` on one Solana cluster.
#[derive(Debug)]
pub struct SolanaRail {
    id: RailId,
    pace: Pace,
    purse: Purse,
    lanes: Vec<LaneId>,
    /// One for each lane, in the same order; those that are advertised no more come last.
    fee_payers: Vec<FeePayer>,
    wallets: Wallets,
    /// How many of them are advertised.
    advertised: usize,
    listing: Listing,
    node: Arc<Node>,
    coalescer: Coalescer<Reader>,
    subscriptions: Option<Subscriptions>,
    commitment: Commitment,
    lifetime_min_blocks: u64,
}

impl SolanaRail {
    /// The rail of this cluster, once it is proven to be what the settings say.
    ///
    /// # Errors
    /// What was expected and what was found. Never repeats a key or the endpoint's address.
    pub async fn connect(settings: &Settings, tasks: &Tasks) -> Result<Self, Unservable> {
        Self::proven(settings, tasks).await.map_err(|what| Unservable {
            network: settings.id.clone(),
            what,
        })
    }

    async fn proven(settings: &Settings, tasks: &Tasks) -> Result<Self, String> {
        settings.check()?;
        let fee_payers = signing::fee_payers(settings)?;
        let wallets = Wallets::of(settings)?;
        let addresses: Vec<Pubkey> = fee_payers.iter().map(|it| *it.address()).collect();
        let advertised: Vec<Pubkey> = addresses.iter().take(settings.signers.len()).copied().collect();
        let listing = Listing::of(settings, addresses);
        let block_time = Duration::from_millis(settings.block_time_ms);
        let genesis_hash = settings.genesis_hash.as_deref().unwrap_or(settings.id.reference());
        let cluster = Cluster {
            genesis_hash: genesis_hash.to_owned(),
        };
        let (urls, quorum) = (&settings.rpc_url, settings.quorum);
        let pool = Pool::open(&settings.id, urls, quorum, cluster, block_time, tasks).await?;
        let (node, blockhashes) = probe::prove(pool, &listing, &advertised).await?;
        let node = Arc::new(node);
        let purse = purse(settings)?;
        let lane = |fee_payer: &FeePayer| LaneId {
            network: settings.id.clone(),
            signer: fee_payer.address().to_string(),
        };
        let reader = Reader::new(Arc::clone(&node), blockhashes, block_time);
        let subscribe = |url: &Secret| Subscriptions::start(settings.id.clone(), url, tasks);
        Ok(Self {
            id: RailId {
                scheme: Scheme::exact(),
                network: settings.id.clone(),
            },
            pace: Pace {
                batch_max: BATCH_MAX,
                in_flight_max: IN_FLIGHT_MAX,
                gather: Duration::ZERO,
                redeliver: REDELIVER_EVERY,
                outbid_after: None,
                recheck: block_time.saturating_mul(RECHECK_BLOCKS),
                patience: block_time.saturating_mul(PATIENCE_BLOCKS),
                stalled_after: stalled_after(settings.stalled_after_seconds, block_time),
                block_time,
                poll: Duration::from_millis(settings.poll_ms()),
                // Counted in blocks, and only the chain knows how many are left.
                lifetime_min_seconds: 0,
            },
            purse,
            lanes: fee_payers.iter().map(lane).collect(),
            fee_payers,
            wallets,
            advertised: advertised.len(),
            listing,
            coalescer: Coalescer::new(reader, tasks.clone()),
            node,
            subscriptions: settings.ws_url.as_ref().map(subscribe),
            commitment: settings.commitment,
            lifetime_min_blocks: settings.lifetime_min_blocks,
        })
    }

    fn fault(&self, operation: &'static str, cause: &str) -> RailFault {
        self.node.rpc().fault(operation, cause)
    }

    fn body(&self, operation: &'static str, authorization: &Authorization) -> Result<Body, RailFault> {
        Body::decode(&authorization.body).map_err(|error| self.fault(operation, &error.to_string()))
    }
}

/// An address in base58, if the text is one.
#[must_use]
pub fn canonical_account(text: &str) -> Option<String> {
    text.parse::<Pubkey>().ok().map(|address| address.to_string())
}

/// An ordinary payment has as many signatures and offers as much as one may.
fn purse(settings: &Settings) -> Result<Purse, String> {
    let settlement_max = instructions::cost_bound(settings.signatures_max, settings.priority_fee_max_lamports);
    let settlement_max = Amount::from_units(settlement_max);
    Ok(Purse {
        decimals: settings::DECIMALS,
        settlement_max,
        balance_min: Amount::from_units(settings.balance_min_lamports.into()),
        budget: settings.budget.budget(settings::DECIMALS, settlement_max)?,
    })
}

/// Which wallet refunds the payments to which recipient.
///
/// # Errors
/// Names the key and what was expected there.
pub fn refund_wallets(settings: &Settings) -> Result<Vec<(String, String)>, String> {
    refund::assigned(settings, &signing::addresses(settings)?)
}

#[async_trait]
impl Rail for SolanaRail {
    fn id(&self) -> &RailId {
        &self.id
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn lanes(&self) -> &[LaneId] {
        &self.lanes
    }

    /// None: whoever holds requirements that name a fee payer may still pay by it, whether it is advertised or not.
    fn retired(&self) -> &[LaneId] {
        &[]
    }

    fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Payments are to be made out to the first fee payer that can pay. Always the same one while it can: official servers
    /// ask more than once for one purchase, and refuse their own client when they hear of another in between.
    fn advertised(&self, able: &[LaneId]) -> Advertised {
        let offered = self.lanes.iter().take(self.advertised);
        let signers: Vec<String> = offered
            .filter(|lane| able.contains(lane))
            .map(|lane| lane.signer.clone())
            .collect();
        Advertised {
            extra: signers.first().map(|it| json!({ "feePayer": it }).to_string().into()),
            signers,
        }
    }

    fn decode(&self, request: &PaymentRequest) -> Result<Authorization, Refused> {
        payload::decode(&self.listing, request)
    }

    fn key_of(&self, asset: &str, payer: &str, nonce: &str) -> Result<PaymentKey, Malformed> {
        payload::key_of(&self.listing, asset, payer, nonce)
    }

    fn canonical_account(&self, text: &str) -> Option<String> {
        canonical_account(text)
    }

    async fn inspect(&self, authorization: &Authorization) -> Result<Facts, RailFault> {
        const OPERATION: &str = "inspect";
        let body = self.body(OPERATION, authorization)?;
        let finding = self.coalescer.ask(body.clone()).await?;
        finding::facts(&self.listing, authorization, &body, &finding, self.lifetime_min_blocks)
            .map_err(|cause| self.fault(OPERATION, &cause))
    }

    fn cost_max(&self, authorization: &Authorization, _: bool) -> Result<Amount, RailFault> {
        let body = self.body("cost", authorization)?;
        Ok(Amount::from_units(instructions::cost_max(&body.transaction)))
    }

    async fn head(&self) -> Result<u64, RailFault> {
        self.node.rpc().head().await
    }

    fn endpoints(&self) -> Vec<Standing> {
        self.node.rpc().standings()
    }

    async fn hindrances(&self, pay_to: &str) -> Result<Vec<String>, RailFault> {
        match pay_to.parse::<Pubkey>() {
            Ok(owner) => receiving::hindrances(&self.node, &self.listing, &owner).await,
            Err(_) => Ok(vec!["it is no address of Solana's".to_owned()]),
        }
    }

    async fn balances(&self) -> Result<Vec<Amount>, RailFault> {
        let fee_payers: Vec<Pubkey> = self.fee_payers.iter().map(|it| *it.address()).collect();
        balance::read(&self.node, &fee_payers).await
    }

    /// What a transaction costs stands in it, and is bounded before it is accepted.
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
        lane: &LaneId,
        is_known: &(dyn for<'t> Fn(&'t TxId) -> bool + Send + Sync),
    ) -> Result<Vec<TxId>, RailFault> {
        history::strangers(&self.node, &lane.signer, is_known).await
    }

    async fn prove_keys(&self) -> Vec<KeptKey> {
        fee_payer::prove(
            self.fee_payers.iter().chain(self.wallets.iter()),
            Policy::of(&self.listing),
        )
        .await
    }

    fn signs_elsewhere(&self, lane: &LaneId) -> bool {
        self.fee_payer(lane).is_ok_and(|fee_payer| !fee_payer.is_here())
    }

    fn sign(&self, lane: &LaneId, _: u64, cargo: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, RailFault> {
        self.sign_here(lane, cargo)
    }

    async fn sign_ahead(
        &self,
        lane: &LaneId,
        _: u64,
        cargo: &[&Authorization],
        _: &Quote,
    ) -> Result<Vec<SignedTx>, Unsigned> {
        self.have_signed(lane, cargo).await
    }

    /// The payer's signature is over the fee: no other can be offered.
    async fn outbid(&self, _: &LaneId, _: &[u8], _: Outbid, _: &Quote) -> Result<Option<Replacement>, Unsigned> {
        Ok(None)
    }

    fn is_underpriced(&self, _: &[u8], _: &Quote) -> bool {
        false
    }

    async fn deliver(&self, raw: &[u8]) -> Delivery {
        if let Some(subscriptions) = &self.subscriptions {
            subscriptions.listen_for(raw);
        }
        deliver::deliver(&self.node, raw).await
    }

    async fn observe(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault> {
        let look = |rpc| async move {
            let node = self.node.through(rpc);
            watch::observe(&node, watched, others, self.commitment).await
        };
        self.node.rpc().observe(watched, look).await
    }

    async fn finalized(&self) -> Result<u64, RailFault> {
        let ask = |rpc| async move { scan::finalized(&self.node.through(rpc)).await };
        self.node.rpc().reached(ask).await
    }

    async fn final_until(&self) -> Result<Timestamp, RailFault> {
        let ask = |rpc| async move { scan::final_until(&self.node.through(rpc)).await };
        self.node.rpc().reached(ask).await
    }

    async fn last_before(&self, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
        let ask = |rpc| async move { scan::last_before(&self.node.through(rpc), time).await };
        self.node.rpc().alike(ask).await
    }

    fn reads(&self, account: &Account) -> bool {
        scan::TokenAccount::of(&self.listing, account).is_ok()
    }

    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
        let held = accounts.iter().map(|it| scan::TokenAccount::of(&self.listing, it));
        let held: Vec<scan::TokenAccount> = held
            .collect::<Result<_, _>>()
            .map_err(|cause| self.fault("scan", cause))?;
        let scan = |rpc| {
            let (blocks, held) = (blocks.clone(), &held);
            async move { scan::scan(&self.node.through(rpc), held, blocks).await }
        };
        self.node.rpc().alike(scan).await
    }

    async fn repay(&self, repayment: &Repayment<'_>) -> Result<Presented, RailFault> {
        let latest = refund::latest_blockhash(&self.node).await?;
        let signed = self.wallets.sign(&self.listing, repayment, latest).await;
        signed.map_err(|cause| self.fault("repay", &cause))
    }

    async fn is_over(&self, good_until: u64) -> Result<bool, RailFault> {
        let ask = |rpc| async move { refund::finalized_height(&self.node.through(rpc)).await };
        let finalized = self.node.rpc().reached(ask).await?;
        // As many blocks more as keep one node's word from another's.
        Ok(finalized > good_until.saturating_add(BLOCKHASH_BLOCKS))
    }

    async fn oracle(&self, _: &str, _: &[&str]) -> Result<Vec<bool>, RailFault> {
        Err(self.fault("oracle", "there is no such contract on this chain"))
    }

    async fn has_signed(&self, account: &str, text: &str, signature: &str) -> Result<bool, RailFault> {
        Ok(ownership::has_signed(account, text, signature))
    }

    async fn hint(&self) {
        match &self.subscriptions {
            Some(subscriptions) => subscriptions.heard().await,
            None => std::future::pending().await,
        }
    }
}
