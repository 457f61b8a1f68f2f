//! A rail: one way to pay, and everything that crosses between it and the rest.
//!
//! A rail reports what the chain says; it never decides whether that is good enough. Its only judgement is
//! whether bytes are an authorization at all.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey};
use crate::domain::budget::Purse;
pub use crate::domain::custody::{KeptKey, Unsigned};
pub use crate::domain::facts::{AuthorizationState, Facts, Misnamed, Simulation};
use crate::domain::id::PaymentId;
use crate::domain::network::{NetworkId, RailId};
pub use crate::domain::quote::{DataFee, Quote};
use crate::domain::reconciliation::{Account, Scan};
use crate::domain::refund::{Presented, Repayment};
use crate::domain::rejection::{Malformed, Refused};
use crate::domain::request::PaymentRequest;
use crate::domain::settlement::{CannotLand, Landed, Setback};
use crate::domain::time::Timestamp;

/// One way to pay: a scheme on a network.
#[async_trait]
pub trait Rail: Send + Sync {
    /// Which way to pay this is.
    fn id(&self) -> &RailId;

    /// The rail's limits and rhythm.
    fn pace(&self) -> &Pace;

    /// The signers that settle here, one lane each. Includes those that are being retired.
    fn lanes(&self) -> &[LaneId];

    /// Those of the lanes that take on no more payments: what they have sent is seen to its end.
    fn retired(&self) -> &[LaneId];

    /// What settling costs here, and what it may cost.
    fn purse(&self) -> &Purse;

    /// What clients and merchants are told of this rail while these of its lanes can pay.
    fn advertised(&self, able: &[LaneId]) -> Advertised;

    /// Reads the proof and the terms: shape, encodings, and every check that needs no chain and no clock.
    ///
    /// # Errors
    /// [`Refused::Malformed`] names the field and what belongs there; [`Refused::Rejected`] names the rule.
    fn decode(&self, request: &PaymentRequest) -> Result<Authorization, Refused>;

    /// The key of the authorization with these coordinates, as a caller writes them, for looking a payment up.
    ///
    /// # Errors
    /// Names the coordinate that is not of this rail's form.
    fn key_of(&self, asset: &str, payer: &str, nonce: &str) -> Result<PaymentKey, Malformed>;

    /// An account or asset in the rail's canonical text, as records hold it; none when the text is not one.
    fn canonical_account(&self, text: &str) -> Option<String>;

    /// Everything the chain must say about the payment, in one round trip shared with concurrent callers.
    ///
    /// # Errors
    /// The chain could not be asked; nothing is known about the payment.
    async fn inspect(&self, authorization: &Authorization) -> Result<Facts, RailFault>;

    /// The most that settling this payment can cost, in the chain's smallest unit: of its own transaction or its share of
    /// one, at the highest price that may be paid, and of a second try where it may have one.
    ///
    /// # Errors
    /// The authorization's body is not one this rail made.
    fn cost_max(&self, authorization: &Authorization, must_go_alone: bool) -> Result<Amount, RailFault>;

    /// The newest block's height: only another one shows that the chain goes on.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn head(&self) -> Result<u64, RailFault>;

    /// What keeps payments to this recipient from arriving, in plain words; nothing where they arrive in every asset.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn hindrances(&self, pay_to: &str) -> Result<Vec<String>, RailFault>;

    /// What each lane's signer holds of the chain's own coin, in the order of [`Rail::lanes`].
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn balances(&self) -> Result<Vec<Amount>, RailFault>;

    /// What a transaction costs now.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn quote(&self) -> Result<Quote, RailFault>;

    /// The lane's next nonce as the latest block has it; none where the chain counts no nonces, so that the lane
    /// numbers its transactions by itself.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn lane_nonce(&self, lane: &LaneId) -> Result<Option<u64>, RailFault>;

    /// The lane's next nonce as the newest finalized block has it: those below are spent for good. None where the chain
    /// counts no nonces or does not say what is final.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn lane_spent(&self, lane: &LaneId) -> Result<Option<u64>, RailFault>;

    /// Transactions that the lane's signer has paid for and that are not known, where the chain lists them by signer; none
    /// where it counts nonces instead. For an audit: it reads the signer's whole history.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn lane_strangers(
        &self,
        lane: &LaneId,
        is_known: &(dyn for<'t> Fn(&'t TxId) -> bool + Send + Sync),
    ) -> Result<Vec<TxId>, RailFault>;

    /// Has each key that is kept elsewhere, those of refunds' wallets included, sign a message that is nothing else.
    async fn prove_keys(&self) -> Vec<KeptKey>;

    /// Whether the lane's key is kept elsewhere, so that [`Rail::sign_ahead`] signs with it and [`Rail::sign`] cannot.
    fn signs_elsewhere(&self, lane: &LaneId) -> bool;

    /// Signed transactions that carry these payments, in their order: the first carries the first of them, with
    /// `nonce`, the next what follows, with the next nonce, until none is left. Pure: the bytes go nowhere.
    ///
    /// # Errors
    /// The lane is not this rail's, its key is elsewhere or may not sign this, or an authorization's body is not one this
    /// rail made.
    fn sign(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, RailFault>;

    /// The same, by whoever keeps the lane's key: within seconds, and never with a database transaction open. Whoever it is
    /// may keep the bytes, too; they are of no use to anybody before they are on record, and are dropped if they never are.
    ///
    /// # Errors
    /// [`Unsigned`].
    async fn sign_ahead(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: &Quote,
    ) -> Result<Vec<SignedTx>, Unsigned>;

    /// Bytes that take the place of these, an earlier transaction of this lane that is not mined: the same nonce,
    /// for so much more that nodes take them instead, and at least today's price. None when that would be more than
    /// may be paid or would still not be enough, and where the chain has no fee market. The bytes go nowhere.
    ///
    /// # Errors
    /// [`Unsigned`]; also where the bytes are not a transaction that this rail signed.
    async fn outbid(
        &self,
        lane: &LaneId,
        raw: &[u8],
        cargo: Outbid,
        quote: &Quote,
    ) -> Result<Option<Replacement>, Unsigned>;

    /// Whether these bytes, signed by this rail, offer less than the chain asks for now, so that no block can hold
    /// them. Never where the chain has no fee market.
    fn is_underpriced(&self, raw: &[u8], quote: &Quote) -> bool;

    /// Hands the bytes to the chain. Safe to repeat.
    async fn deliver(&self, raw: &[u8]) -> Delivery;

    /// What the chain shows of these payments now, and which of these other transactions of ours are mined.
    ///
    /// # Errors
    /// The chain could not be asked; nothing changed.
    async fn observe(&self, watched: &[Watched<'_>], others: &[TxId]) -> Result<Sighting, RailFault>;

    /// The newest finalized block's height.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn finalized(&self) -> Result<u64, RailFault>;

    /// The time of the newest finalized block: of what came before it nothing can change any more.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn final_until(&self) -> Result<Timestamp, RailFault>;

    /// The last finalized block before this time; none when the chain began later.
    ///
    /// # Errors
    /// The chain could not be asked, or does not know its blocks of that time any more.
    async fn last_before(&self, time: Timestamp) -> Result<Option<ChainPoint>, RailFault>;

    /// Whether the account's transfers can be read: its asset is one of this rail's.
    fn reads(&self, account: &Account) -> bool;

    /// The transfers into and out of these accounts, whoever sent them, in the first of these blocks, as many as one
    /// step may read; all of them are to be finalized.
    ///
    /// # Errors
    /// The chain could not be asked, or contradicts itself; nothing is known.
    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault>;

    /// How each endpoint that this rail asks stands, in the order of the configuration.
    fn endpoints(&self) -> Vec<Standing>;

    /// What a payer would present who pays this refund: the wallet's signature over a payment that nobody has seen. To be
    /// put on record before it is used.
    ///
    /// # Errors
    /// The wallet or the asset is not one of this rail's, or the chain could not be asked.
    async fn repay(&self, repayment: &Repayment<'_>) -> Result<Presented, RailFault>;

    /// Whether a payment that was [good until then](Presented::good_until) can land no more, as of a finalized block.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn is_over(&self, good_until: u64) -> Result<bool, RailFault>;

    /// Which of these accounts a contract knows to be sanctioned that answers `isSanctioned(address)`, in their order.
    ///
    /// # Errors
    /// The chain could not be asked, there is no such contract, or there can be none on this chain.
    async fn oracle(&self, oracle: &str, accounts: &[&str]) -> Result<Vec<bool>, RailFault>;

    /// Whether whoever owns this account has signed the text as wallets of this chain sign one. The signature is in the
    /// chain's own text: hexadecimal with `0x` on EVM, base58 on Solana; what is none is of nobody.
    ///
    /// # Errors
    /// The chain could not be asked.
    async fn has_signed(&self, account: &str, text: &str, signature: &str) -> Result<bool, RailFault>;

    /// Resolves when the chain has told, without being asked, that something delivered may have landed. Only a hint
    /// to look; never resolves where the chain tells nothing.
    async fn hint(&self);
}

/// How an endpoint stands, as far as its answers tell. Never where it is: the address may hold a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It is asked; one that is not has failed again and again, asked to be left alone or is of another chain.
    pub is_fit: bool,
    /// It is of another chain.
    pub is_foreign: bool,
    /// How many requests in a row brought no answer.
    pub faults: u32,
    /// The newest block that it was seen to have; looked at only where there are several endpoints.
    pub head: Option<u64>,
    /// How long its last answer took.
    pub latency: Duration,
}

/// What clients and merchants are told of a rail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The signers that may send a payment, canonical text.
    pub signers: Vec<String>,
    /// What the requirements' `extra` must hold for payments to be possible: a JSON object.
    pub extra: Option<Box<str>>,
}

/// A rail's limits and rhythm.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many payments are signed together, in one transaction or in one each; at least 1.
    pub batch_max: usize,
    /// How many unmined transactions a lane may have; at least 1.
    pub in_flight_max: usize,
    /// How long a lane gathers payments for each transaction that it already has in flight.
    pub gather: Duration,
    /// How often bytes that are not in a block are handed to the chain again.
    pub redeliver: Duration,
    /// How long a transaction may be out while blocks go by without it, before it is replaced by one that pays more.
    /// None where there is no fee market.
    pub outbid_after: Option<Duration>,
    /// The usual time between blocks.
    pub block_time: Duration,
    /// After how long without a new block the chain counts as standing still.
    pub stalled_after: Duration,
    /// The pause between two looks at what nobody waits for: confirmed payments until they are final, and those that
    /// were set back.
    pub recheck: Duration,
    /// How long a payment may be under way before it is also searched for where searching is dear.
    pub patience: Duration,
    /// The longest pause between two looks at the chain while something is in flight.
    pub poll: Duration,
    /// The least remaining lifetime of an authorization, in seconds.
    pub lifetime_min_seconds: u64,
}

/// A signer on a network: the unit of order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId {
    /// The network.
    pub network: NetworkId,
    /// The signer's address in canonical text.
    pub signer: String,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.signer, self.network)
    }
}

/// A transaction's name on its chain, canonical text (EVM: `0x` and 64 lower-case hexadecimal digits; Solana: its
/// first signature in base58).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId(pub String);

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A block of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainPoint {
    /// Its number (Solana: its slot).
    pub height: u64,
    /// Its hash, canonical text.
    pub hash: String,
    /// Its timestamp.
    pub time: Timestamp,
}

/// A transaction ready to go.
#[derive(Clone)]
pub struct SignedTx {
    /// Its name, known before anybody has seen it.
    pub id: TxId,
    /// The exact bytes.
    pub raw: Vec<u8>,
    /// The most that it, or what takes its place, can cost, in the chain's own coin.
    pub cost_max: Amount,
    /// How many payments it carries; at least 1.
    pub payments: usize,
}

impl fmt::Debug for SignedTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTx").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a transaction does that takes another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbid {
    /// The same as the one it replaces.
    Same,
    /// Nothing: it only uses the nonce up, so that those behind it can be mined.
    Nothing,
}

/// A transaction ready to take the place of an earlier one with the same nonce.
#[derive(Clone)]
pub struct Replacement {
    /// Its name, known before anybody has seen it.
    pub id: TxId,
    /// The exact bytes.
    pub raw: Vec<u8>,
    /// The most it can cost, in the chain's own coin.
    pub cost_max: Amount,
    /// What it does.
    pub cargo: Outbid,
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Replacement");
        shown
            .field("id", &self.id)
            .field("cargo", &self.cargo)
            .finish_non_exhaustive()
    }
}

/// What a node said on being handed a transaction. Never evidence: only the chain's blocks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The node took it.
    Accepted,
    /// The node had it already.
    Known,
    /// The node will not take it: what its words seem to mean, and the words (bounded, without the endpoint's address).
    Refused(Refusal, String),
    /// No telling: it may or may not be out.
    Unknown(String),
}

/// Why a node will not take a transaction, as far as its words tell. A hint where to look and what to send, no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its nonce is spent: by itself, by another of ours, or by somebody else's.
    NonceSpent,
    /// The node misses transactions with lower nonces.
    NonceAhead,
    /// The node has another one with the same nonce that pays as much or nearly so.
    NotOutbid,
    /// The signer cannot pay for it.
    OutOfFunds,
    /// Something else.
    Other,
}

/// A payment to look for on the chain.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// The payment.
    pub payment: PaymentId,
    /// What was signed.
    pub authorization: &'a Authorization,
    /// The transactions of ours that carry it or have carried it in a block. Of several with one nonce at most one is
    /// ever mined; once that is known the others are left out.
    pub txs: &'a [TxId],
    /// Where its money was last seen to land.
    pub landed: Option<&'a Landed>,
    /// A block at which the authorization was still unused: search from here.
    pub since_height: u64,
    /// Also search for it in other people's transactions (a log query; not needed at every look).
    pub seek: bool,
}

/// What the chain shows at one look.
#[derive(Debug, Clone, Default)]
pub struct Sighting {
    /// The newest block when the look began.
    pub head: u64,
    /// One observation for each watched payment.
    pub payments: HashMap<PaymentId, Observation>,
    /// Our transactions that are in a canonical block.
    pub mined: Vec<Mined>,
    /// Our transactions that will never be in a block, as of a finalized one.
    pub dead: Vec<TxId>,
}

/// What the chain shows of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Its transfer stands in a canonical block, in our transaction or anybody's.
    Landed(Landed),
    /// It is proven that it can never land.
    CannotLand(CannotLand),
    /// The newest of our transactions was mined without moving its money, and so was every older one.
    SetBack {
        /// How.
        setback: Setback,
        /// The whole transaction failed and had carried others too, so that this payment may be innocent.
        shared: bool,
    },
    /// Nothing yet, as of this block.
    Unseen {
        /// The newest block looked at.
        head: u64,
    },
    /// Nothing, and none of our transactions that carried it can be mined any more: others have spent their nonces. No
    /// rail reports it, since only the lanes' records tell.
    Stranded,
}

/// A transaction of ours in a canonical block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    /// Which.
    pub tx: TxId,
    /// Where.
    pub block: ChainPoint,
    /// What it cost in all, in the chain's own coin.
    pub cost: Amount,
}

/// The chain could not be asked. Says which operation failed and why, never the endpoint's address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} on {network}: {cause}")]
pub struct RailFault {
    /// What was being done.
    pub operation: &'static str,
    /// On which network.
    pub network: NetworkId,
    /// What went wrong, bounded, without addresses or keys.
    pub cause: String,
}
