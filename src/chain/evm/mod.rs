//! The `exact` scheme on EVM chains: EIP-3009 transfers that the payer signs and we send.
//!
//! Reading a payment (`payload`), asking the chain about it (`reader`, `lens`), paying for it (`lane`)
//! and seeing what became of it (`watch`) are separate and meet only here. They share one thing: the
//! authorization's stored form (`body`).

mod body;
mod cost;
mod eip3009;
mod evidence;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod lane;
mod lens;
mod listing;
mod node;
mod oracle;
mod outbid;
mod ownership;
mod payload;
mod policy;
mod probe;
mod reader;
mod refund;
mod scan;
mod search;
mod settings;
mod signature;
mod signer;
mod signing;
mod strangers;
#[cfg(test)]
mod trials;
mod watch;
mod words;

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;

use self::body::{Body, Wallet};
use self::cost::Prices;
use self::lane::{Fees, TransferCall};
use self::lens::{Caps, Question};
use self::listing::{Listing, checksummed};
use self::policy::Policy;
use self::probe::Chain;
use self::reader::Reader;
use self::refund::Wallets;
pub use self::settings::{AssetSettings, DECIMALS as COIN_DECIMALS, Settings, Wei};
use self::signer::Signer;
use self::strangers::Strangers;
use super::Unservable;
use super::coalesce::Coalescer;
use super::pool::Pool;
use super::stalled_after;
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey};
use crate::domain::budget::Purse;
use crate::domain::network::{RailId, Scheme};
use crate::domain::rail::{
    Advertised, ChainPoint, Delivery, Facts, KeptKey, LaneId, Outbid, Pace, Quote, Rail, RailFault, Replacement,
    Sighting, SignedTx, Standing, TxId, Unsigned, Watched,
};
use crate::domain::reconciliation::{Account, Scan};
use crate::domain::refund::{Presented, Repayment};
use crate::domain::rejection::{Malformed, Refused};
use crate::domain::request::PaymentRequest;
use crate::domain::time::Timestamp;
use crate::task::Tasks;

/// How long a lane gathers payments for each transaction that it already has in flight. An idle lane adds no delay;
/// a busy one packs more into each transaction, and sixteen transactions last for more than half a second.
const GATHER_PER_TRANSACTION: Duration = Duration::from_millis(5);

/// A node keeps what it has accepted, so handing it over again is only for those that lost it.
const REDELIVER_EVERY: Duration = Duration::from_secs(5);

/// Four blocks of the chains with the usual two seconds: a price that was right when it was signed is mined by then.
const OUTBID_AFTER: Duration = Duration::from_secs(8);

/// `exact` on one EVM network.
#[derive(Debug)]
pub struct EvmRail {
    id: RailId,
    pace: Pace,
    purse: Purse,
    lanes: Vec<LaneId>,
    /// One for each lane, in the same order; those that are retired come last.
    signers: Vec<Signer>,
    policy: Policy,
    wallets: Wallets,
    listing: Listing,
    coalescer: Coalescer<Reader>,
    strangers: Strangers,
    fees: Fees,
    prices: Prices,
    confirmations: u64,
    caps: Caps,
    gas_deployment_max: u64,
}

impl EvmRail {
    /// The rail of this network, once the network is proven to be what the settings say.
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
        let chain_id = settings.chain_id().unwrap_or_default();
        let signers = signing::signers(settings)?;
        let wallets = Wallets::of(settings)?;
        let listing = Listing::new(settings, chain_id, signers.iter().map(Signer::address).collect());
        let policy = Policy::of(&listing, settings.fee_max_gwei.0);
        let caps = Caps {
            read: settings.gas_read_max,
            signature: settings.gas_signature_max,
            transfer: settings.gas_transfer_max,
        };
        let prices = Prices {
            gas: settings.fee_max_gwei.0,
            data: settings.data_fee_max_gwei.0,
        };
        let purse = purse(settings, prices)?;
        let block_time = Duration::from_millis(settings.block_time_ms);
        let (urls, quorum, chain) = (&settings.rpc_url, settings.quorum, Chain { id: chain_id });
        let pool = Pool::open(&settings.id, urls, quorum, chain, block_time, tasks).await?;
        let reader = Reader::new(pool, caps, settings.gas_deployment_max);
        probe::prove(&reader, &listing, prices.data > 0).await?;
        Ok(Self {
            id: RailId {
                scheme: Scheme::exact(),
                network: settings.id.clone(),
            },
            pace: Pace {
                batch_max: settings.batch_max,
                in_flight_max: settings.in_flight_max,
                gather: GATHER_PER_TRANSACTION,
                redeliver: REDELIVER_EVERY,
                outbid_after: Some(OUTBID_AFTER),
                recheck: block_time,
                patience: block_time.saturating_mul(2),
                stalled_after: stalled_after(settings.stalled_after_seconds, block_time),
                block_time,
                poll: Duration::from_millis(settings.poll_ms()),
                lifetime_min_seconds: settings.lifetime_min_seconds,
            },
            purse,
            lanes: listing
                .signers
                .iter()
                .map(|signer| LaneId {
                    network: settings.id.clone(),
                    signer: checksummed(signer),
                })
                .collect(),
            signers,
            policy,
            wallets,
            listing,
            coalescer: Coalescer::new(reader, tasks.clone()),
            strangers: Strangers::default(),
            fees: Fees::new(prices, block_time),
            prices,
            confirmations: settings.confirmations,
            caps,
            gas_deployment_max: settings.gas_deployment_max,
        })
    }

    fn rpc(&self) -> &Pool {
        self.coalescer.reader().rpc()
    }

    /// The authorization's body, as today's allowlist has it: a factory that has been taken off is not called.
    fn body(&self, operation: &'static str, authorization: &Authorization) -> Result<Body, RailFault> {
        let mut body =
            Body::decode(&authorization.body).map_err(|error| self.rpc().fault(operation, &error.to_string()))?;
        if let Wallet::Deployable { factory, .. } = body.wallet
            && !self.listing.factories.contains(&factory)
        {
            body.wallet = Wallet::Refused { factory };
        }
        Ok(body)
    }

    fn transfer_call(&self, body: &Body) -> TransferCall {
        let (target, input) = eip3009::transfer_call(body);
        // The signature of an account without code takes no code but the token's to check. If the account has
        // code by now, its signature is judged by that, within a wallet's allowance.
        let gas_max = match &body.wallet {
            Wallet::AsIs if body.is_recovered => lane::TRANSFER_GAS_MAX,
            Wallet::AsIs | Wallet::Refused { .. } => self.caps.transfer,
            Wallet::Deployable { .. } => self.caps.transfer.saturating_add(self.gas_deployment_max),
        };
        TransferCall { target, input, gas_max }
    }

    /// Alone it may be tried with all that a wallet may take: gas that is not used is not paid for.
    fn alone(&self, call: TransferCall) -> TransferCall {
        TransferCall {
            gas_max: call.gas_max.max(self.caps.transfer),
            ..call
        }
    }
}

/// An address in EIP-55's mixed case, however it was written; none when the text is not one.
#[must_use]
pub fn canonical_account(text: &str) -> Option<String> {
    text.strip_prefix("0x")?.parse().ok().as_ref().map(checksummed)
}

fn purse(settings: &Settings, prices: Prices) -> Result<Purse, String> {
    let settlement_max = prices.of_ordinary(settings.gas_transfer_max, settings.batch_max > 1);
    let balance_min = settings
        .balance_min
        .map_or(settlement_max, |wei| Amount::from_units(wei.0));
    Ok(Purse {
        decimals: settings::DECIMALS,
        settlement_max,
        balance_min,
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
impl Rail for EvmRail {
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
        let active = self.lanes.len().saturating_sub(self.listing.retired);
        self.lanes.get(active..).unwrap_or_default()
    }

    fn purse(&self) -> &Purse {
        &self.purse
    }

    fn advertised(&self, able: &[LaneId]) -> Advertised {
        Advertised {
            signers: able.iter().map(|lane| lane.signer.clone()).collect(),
            extra: None,
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
        let asset = self.listing.asset(&body.token);
        let known = match asset {
            Some(asset) => finding::misnamed(&body, asset),
            // Who has not signed is told so, before anything about the token.
            None if body.is_recovered => self.strangers.facts(&body.token),
            None => None,
        };
        if let Some(facts) = known {
            return Ok(facts);
        }
        let Some(separator) = self.listing.separator(body.token, body.stated.as_ref()) else {
            return Err(self.rpc().fault(OPERATION, "the asset is not configured any more"));
        };
        let question = Question::of(&body, eip3009::digest(&body, separator));
        let finding = self.coalescer.ask(question).await?;
        let facts = finding::facts(&body, &finding, asset.is_some());
        if asset.is_none() {
            self.strangers.remember(body.token, &facts);
        }
        Ok(facts)
    }

    fn cost_max(&self, authorization: &Authorization, must_go_alone: bool) -> Result<Amount, RailFault> {
        let shared = self.transfer_call(&self.body("cost", authorization)?);
        let alone = self.alone(shared.clone());
        let is_shared = !must_go_alone && self.pace.batch_max > 1;
        Ok(self.prices.of_settlement(&alone, is_shared.then_some(&shared)))
    }

    async fn head(&self) -> Result<u64, RailFault> {
        self.rpc().head().await
    }

    fn endpoints(&self) -> Vec<Standing> {
        self.rpc().standings()
    }

    async fn hindrances(&self, pay_to: &str) -> Result<Vec<String>, RailFault> {
        let said = match settings::parse_address(pay_to) {
            None => "it is no address of an EVM chain",
            Some(address) if address.is_zero() => "it is nobody's: tokens are not sent to the zero address",
            Some(address) if self.listing.asset(&address).is_some() => "it is a token's own contract",
            Some(address) if self.listing.signers.contains(&address) => "it is one of this facilitator's signers",
            Some(_) => return Ok(Vec::new()),
        };
        Ok(vec![said.to_owned()])
    }

    async fn balances(&self) -> Result<Vec<Amount>, RailFault> {
        let signers: Vec<_> = self.signers.iter().map(Signer::address).collect();
        lane::balances(self.rpc(), &signers).await
    }

    async fn quote(&self) -> Result<Quote, RailFault> {
        self.fees.quote(self.rpc()).await
    }

    async fn lane_nonce(&self, lane: &LaneId) -> Result<Option<u64>, RailFault> {
        const OPERATION: &str = "lane nonce";
        let signer = self.signer(OPERATION, lane)?;
        let address = signer.address();
        let ask = |rpc| async move { lane::lane_nonce(&rpc, address).await };
        self.rpc().reached(ask).await.map(Some)
    }

    async fn lane_spent(&self, lane: &LaneId) -> Result<Option<u64>, RailFault> {
        const OPERATION: &str = "lane nonce";
        let signer = self.signer(OPERATION, lane)?;
        let address = signer.address();
        self.rpc()
            .reached(|rpc| async move { lane::lane_spent(&rpc, address).await })
            .await
    }

    async fn lane_strangers(
        &self,
        _: &LaneId,
        _: &(dyn for<'t> Fn(&'t TxId) -> bool + Send + Sync),
    ) -> Result<Vec<TxId>, RailFault> {
        Ok(Vec::new())
    }

    async fn prove_keys(&self) -> Vec<KeptKey> {
        signer::prove(self.signers.iter().chain(self.wallets.iter()), &self.policy).await
    }

    fn signs_elsewhere(&self, lane: &LaneId) -> bool {
        self.signer("sign", lane).is_ok_and(|signer| !signer.is_here())
    }

    fn sign(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, RailFault> {
        self.sign_here(lane, nonce, cargo, *quote)
    }

    async fn sign_ahead(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, Unsigned> {
        self.have_signed(lane, nonce, cargo, *quote).await
    }

    async fn outbid(
        &self,
        lane: &LaneId,
        raw: &[u8],
        cargo: Outbid,
        quote: &Quote,
    ) -> Result<Option<Replacement>, Unsigned> {
        self.replacement(lane, raw, cargo, *quote).await
    }

    fn is_underpriced(&self, raw: &[u8], quote: &Quote) -> bool {
        outbid::is_underpriced(raw, *quote)
    }

    async fn deliver(&self, raw: &[u8]) -> Delivery {
        lane::deliver(self.rpc(), raw).await
    }

    async fn observe(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault> {
        let look = |rpc| async move { watch::observe(&rpc, watched, others, self.confirmations).await };
        self.rpc().observe(watched, look).await
    }

    async fn finalized(&self) -> Result<u64, RailFault> {
        self.rpc()
            .reached(|rpc| async move { scan::newest_final(&rpc).await.map(|block| block.height) })
            .await
    }

    async fn final_until(&self) -> Result<Timestamp, RailFault> {
        self.rpc()
            .reached(|rpc| async move { scan::newest_final(&rpc).await.map(|block| block.time) })
            .await
    }

    async fn last_before(&self, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
        self.rpc()
            .alike(|rpc| async move { scan::last_before(&rpc, time).await })
            .await
    }

    fn reads(&self, account: &Account) -> bool {
        scan::place(account).is_some()
    }

    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
        let scan = |rpc| {
            let blocks = blocks.clone();
            async move { scan::scan(&rpc, accounts, blocks).await }
        };
        self.rpc().alike(scan).await
    }

    async fn repay(&self, repayment: &Repayment<'_>) -> Result<Presented, RailFault> {
        let signed = self.wallets.sign(&self.listing, &self.policy, repayment).await;
        signed.map_err(|cause| self.rpc().fault("repay", &cause))
    }

    async fn is_over(&self, good_until: u64) -> Result<bool, RailFault> {
        Ok(self.final_until().await? >= Timestamp(good_until))
    }

    async fn oracle(&self, oracle: &str, accounts: &[&str]) -> Result<Vec<bool>, RailFault> {
        oracle::ask(self.rpc(), oracle, accounts).await
    }

    async fn has_signed(&self, account: &str, text: &str, signature: &str) -> Result<bool, RailFault> {
        ownership::has_signed(self.rpc(), account, text, signature, self.caps.signature).await
    }

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}
