//! A chain that is a table of transfers, written beforehand beside the records that they belong to, with discrepancies planted
//! in both.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::{Authorization, PaymentKey};
use facilitator::domain::budget::{Budget, Limits, Purse};
use facilitator::domain::network::{RailId, Scheme};
use facilitator::domain::quote::Quote;
use facilitator::domain::rail::{
    Advertised, ChainPoint, Delivery, Facts, KeptKey, LaneId, Outbid, Pace, Rail, RailFault, Replacement, Sighting,
    SignedTx, Standing, TxId, Unsigned, Watched,
};
use facilitator::domain::reconciliation::{Account, Direction, Held, Scan, Transfer};
use facilitator::domain::refund::{Presented, Repayment};
use facilitator::domain::rejection::{Malformed, Refused};
use facilitator::domain::request::PaymentRequest;
use facilitator::domain::time::Timestamp;

use crate::support::network;

/// Every kind that can be planted, each in its own records.
pub(crate) const KINDS: [&str; 9] = [
    "missing_on_chain",
    "unknown_on_chain",
    "amount_mismatch",
    "asset_mismatch",
    "party_mismatch",
    "status_mismatch",
    "duplicate",
    "orphaned_reorg",
    "balance_mismatch",
];

const ASSETS: [&str; 2] = ["0xAsset", "0xOther"];

/// Records in a block.
const BLOCK: u64 = 10;

/// How many records there are, to how many holders (each in two assets), and how many of each kind are planted.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) records: u64,
    pub(crate) holders: u64,
    pub(crate) planted: u64,
}

impl Size {
    /// What is planted in this record.
    pub(crate) fn kind(self, number: u64) -> Option<&'static str> {
        let kinds = u64::try_from(KINDS.len()).unwrap();
        // Only in what has a record of the same account before it.
        let after = number.checked_sub(2 * self.holders).filter(|_| self.planted > 0)?;
        let stride = (self.records - 2 * self.holders) / (kinds * self.planted + 1);
        let place = after / stride;
        let is_planted = after.is_multiple_of(stride) && (1..=kinds * self.planted).contains(&place);
        is_planted.then(|| KINDS[usize::try_from(place % kinds).unwrap()])
    }

    pub(crate) fn planted(self, kind: &str) -> Vec<u64> {
        (0..self.records).filter(|it| self.kind(*it) == Some(kind)).collect()
    }

    /// Whose record it is. Neighbours have different holders, and both assets have a record of every holder.
    pub(crate) fn account(self, number: u64) -> Account {
        let asset = ASSETS[usize::try_from(number / self.holders % 2).unwrap()];
        account(asset, number % self.holders)
    }

    fn last_block(self) -> u64 {
        1 + self.records / BLOCK
    }
}

fn account(asset: &str, holder: u64) -> Account {
    Account {
        asset: asset.to_owned(),
        holder: format!("0xholder{holder}"),
    }
}

fn height(number: u64) -> u64 {
    1 + number / BLOCK
}

fn block(height: u64) -> ChainPoint {
    ChainPoint {
        height,
        hash: format!("0xblock{height}"),
        time: Timestamp(1_700_000_000 + 2 * height),
    }
}

/// The transfer that makes this record true.
pub(crate) fn transfer(size: Size, number: u64) -> Transfer {
    Transfer {
        account: size.account(number),
        direction: Direction::Credit,
        counterparty: Some(format!("0xpayer{}", number % 100_000)),
        amount: Amount::from_units(10_000 + u128::from(number % 90_000)),
        tx: TxId(format!("0xtx{number}")),
        index: number % BLOCK,
        block: block(height(number)),
        authorizer: Some(format!("0xpayer{}", number % 100_000)),
        nonce: Some(format!("0x{number:064x}")),
        memo: None,
        sender: "0xSigner".to_owned(),
    }
}

/// What the chain shows where the record says this.
fn shown(size: Size, number: u64) -> Vec<Transfer> {
    let right = transfer(size, number);
    let more = Amount::from_units(right.amount.units() + 1);
    match size.kind(number) {
        Some("missing_on_chain") => Vec::new(),
        Some("unknown_on_chain") => {
            let stray = Transfer {
                tx: TxId(format!("0xstray{number}")),
                authorizer: None,
                nonce: None,
                ..right.clone()
            };
            vec![right, stray]
        }
        Some("amount_mismatch") => vec![Transfer { amount: more, ..right }],
        Some("asset_mismatch") => {
            let other = ASSETS.into_iter().find(|it| *it != right.account.asset).unwrap();
            let account = account(other, number % size.holders);
            vec![Transfer { account, ..right }]
        }
        Some("party_mismatch") => {
            let account = account(&right.account.asset, (number + 1) % size.holders);
            vec![Transfer { account, ..right }]
        }
        Some("orphaned_reorg") => vec![Transfer {
            tx: TxId(format!("0xmoved{number}")),
            ..right
        }],
        _ => vec![right],
    }
}

/// A chain on which these transfers have happened, all of it final.
pub(crate) struct Shown {
    id: RailId,
    pace: Pace,
    purse: Purse,
    size: Size,
    pub(crate) transfers: HashMap<Account, Vec<Transfer>>,
    /// Accounts that have got something without a transfer.
    gained: BTreeSet<Account>,
    /// The newest finalized block.
    pub(crate) height: u64,
    /// How often it was asked for transfers, and how often it answers.
    pub(crate) scans: Arc<AtomicUsize>,
    pub(crate) scans_max: usize,
    /// The most transfers that it gives at once, unless one block has more.
    pub(crate) transfers_max: usize,
}

impl Shown {
    pub(crate) fn new(size: Size) -> Self {
        let mut transfers: HashMap<Account, Vec<Transfer>> = HashMap::new();
        for transfer in (0..size.records).flat_map(|number| shown(size, number)) {
            transfers.entry(transfer.account.clone()).or_default().push(transfer);
        }
        let second = Duration::from_secs(1);
        Self {
            id: RailId {
                scheme: Scheme::exact(),
                network: network(),
            },
            pace: Pace {
                batch_max: 1,
                in_flight_max: 1,
                gather: second,
                redeliver: second,
                outbid_after: None,
                block_time: second,
                stalled_after: second,
                recheck: second,
                patience: second,
                poll: second,
                lifetime_min_seconds: 1,
            },
            purse: Purse {
                decimals: 18,
                settlement_max: Amount::ZERO,
                balance_min: Amount::ZERO,
                budget: Budget {
                    total: Limits::default(),
                    signer: Limits::default(),
                    payer: Limits::default(),
                    payer_reverts_max: 0,
                },
            },
            size,
            transfers,
            gained: size
                .planted("balance_mismatch")
                .iter()
                .map(|it| size.account(*it))
                .collect(),
            height: size.last_block(),
            scans: Arc::default(),
            scans_max: usize::MAX,
            transfers_max: 2_000,
        }
    }

    fn of(&self, account: &Account) -> &[Transfer] {
        self.transfers.get(account).map(Vec::as_slice).unwrap_or_default()
    }

    /// After this block.
    fn holds(&self, account: &Account, height: u64) -> Amount {
        let came = self.of(account).iter().filter(|it| it.block.height <= height);
        let gained = u128::from(self.gained.contains(account) && height >= self.size.last_block() / 2);
        Amount::from_units(gained + came.map(|it| it.amount.units()).sum::<u128>())
    }
}

#[async_trait]
impl Rail for Shown {
    fn endpoints(&self) -> Vec<Standing> {
        Vec::new()
    }

    async fn repay(&self, _: &Repayment<'_>) -> Result<Presented, RailFault> {
        unreachable!("nothing is paid back here")
    }

    async fn is_over(&self, _: u64) -> Result<bool, RailFault> {
        unreachable!("nothing is paid back here")
    }

    fn id(&self) -> &RailId {
        &self.id
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn lanes(&self) -> &[LaneId] {
        &[]
    }

    fn purse(&self) -> &Purse {
        &self.purse
    }

    fn retired(&self) -> &[LaneId] {
        &[]
    }

    fn advertised(&self, _: &[LaneId]) -> Advertised {
        unreachable!("nobody pays here")
    }

    fn decode(&self, _: &PaymentRequest) -> Result<Authorization, Refused> {
        unreachable!("nobody pays here")
    }

    fn key_of(&self, _: &str, _: &str, _: &str) -> Result<PaymentKey, Malformed> {
        unreachable!("nobody pays here")
    }

    fn canonical_account(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    async fn inspect(&self, _: &Authorization) -> Result<Facts, RailFault> {
        unreachable!("nobody pays here")
    }

    fn cost_max(&self, _: &Authorization, _: bool) -> Result<Amount, RailFault> {
        unreachable!("nobody pays here")
    }

    async fn head(&self) -> Result<u64, RailFault> {
        self.finalized().await
    }

    async fn hindrances(&self, _: &str) -> Result<Vec<String>, RailFault> {
        Ok(Vec::new())
    }

    async fn balances(&self) -> Result<Vec<Amount>, RailFault> {
        Ok(Vec::new())
    }

    async fn quote(&self) -> Result<Quote, RailFault> {
        unreachable!("nobody pays here")
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

    fn signs_elsewhere(&self, _: &LaneId) -> bool {
        unreachable!("nobody pays here")
    }

    async fn sign_ahead(&self, _: &LaneId, _: u64, _: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, Unsigned> {
        unreachable!("nobody pays here")
    }

    fn sign(&self, _: &LaneId, _: u64, _: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, RailFault> {
        unreachable!("nobody pays here")
    }

    async fn outbid(&self, _: &LaneId, _: &[u8], _: Outbid, _: &Quote) -> Result<Option<Replacement>, Unsigned> {
        unreachable!("nobody pays here")
    }

    fn is_underpriced(&self, _: &[u8], _: &Quote) -> bool {
        false
    }

    async fn deliver(&self, _: &[u8]) -> Delivery {
        unreachable!("nobody pays here")
    }

    async fn observe(&self, _: &[Watched<'_>], _: &[TxId]) -> Result<Sighting, RailFault> {
        Ok(Sighting::default())
    }

    async fn finalized(&self) -> Result<u64, RailFault> {
        Ok(self.height)
    }

    async fn final_until(&self) -> Result<Timestamp, RailFault> {
        Ok(block(self.size.last_block()).time)
    }

    async fn last_before(&self, _: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
        Ok(None)
    }

    fn reads(&self, account: &Account) -> bool {
        ASSETS.contains(&account.asset.as_str())
    }

    async fn scan(&self, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
        if self.scans.fetch_add(1, Ordering::Relaxed) >= self.scans_max {
            return Err(RailFault {
                operation: "scan",
                network: network(),
                cause: "asked too often".to_owned(),
            });
        }
        let all = accounts.iter().flat_map(|it| self.of(it));
        let mut transfers: Vec<&Transfer> = all.filter(|it| blocks.contains(&it.block.height)).collect();
        transfers.sort_by_key(|it| (it.block.height, it.index));
        // Whole blocks, at least one.
        let cut = transfers
            .get(self.transfers_max)
            .map(|it| it.block.height.saturating_sub(1).max(*blocks.start()));
        let until = cut.unwrap_or(*blocks.end());
        let held = |account| Held {
            before: Some(self.holds(account, blocks.start().saturating_sub(1))),
            after: Some(self.holds(account, until)),
        };
        Ok(Scan {
            until,
            transfers: transfers
                .into_iter()
                .filter(|it| it.block.height <= until)
                .cloned()
                .collect(),
            balances: accounts.iter().map(held).collect(),
        })
    }

    async fn oracle(&self, _: &str, _: &[&str]) -> Result<Vec<bool>, RailFault> {
        unreachable!()
    }

    async fn has_signed(&self, _: &str, _: &str, _: &str) -> Result<bool, RailFault> {
        unreachable!()
    }

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}
