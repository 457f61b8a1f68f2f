//! A record for every transfer and a transfer for every record, but for what was planted: reconciliation finds all of that
//! and nothing else, and a gateway's file does.
//!
//! The comparing, the records and what was read of the chain are the real ones. The chain is a table of transfers that was
//! written beforehand, because no local node makes a million of them in minutes.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use facilitator::app::books::Books;
use facilitator::app::matching::{self, Kind};
use facilitator::app::reconcile::Reconciliation;
use facilitator::app::reports::Reports;
use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::{Authorization, PaymentKey};
use facilitator::domain::budget::{Budget, Limits, Purse};
use facilitator::domain::network::{RailId, Scheme};
use facilitator::domain::quote::Quote;
use facilitator::domain::rail::{
    Advertised, ChainPoint, Delivery, Facts, LaneId, Outbid, Pace, Rail, RailFault, Replacement, Sighting, SignedTx,
    TxId, Watched,
};
use facilitator::domain::reconciliation::{Account, Direction, Held, Scan, Transfer};
use facilitator::domain::rejection::{Malformed, Refused};
use facilitator::domain::request::PaymentRequest;
use facilitator::domain::time::Timestamp;
use facilitator::export::Decimals;
use facilitator::store::Filter;

use tokio::runtime::Handle;

use crate::support::{Database, execute, network, on_database};

/// Every kind that can be planted, each in its own records.
const KINDS: [&str; 9] = [
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

/// The most transfers that one scan gives.
const SCAN_MAX: usize = 2_000;

/// How many records there are, to how many holders (each in two assets), and how many of each kind are planted.
#[derive(Clone, Copy)]
struct Size {
    records: u64,
    holders: u64,
    planted: u64,
}

impl Size {
    /// What is planted in this record.
    fn kind(self, number: u64) -> Option<&'static str> {
        let kinds = u64::try_from(KINDS.len()).unwrap();
        // Only in what has a record of the same account before it.
        let after = number.checked_sub(2 * self.holders).filter(|_| self.planted > 0)?;
        let stride = (self.records - 2 * self.holders) / (kinds * self.planted + 1);
        let place = after / stride;
        let is_planted = after.is_multiple_of(stride) && (1..=kinds * self.planted).contains(&place);
        is_planted.then(|| KINDS[usize::try_from(place % kinds).unwrap()])
    }

    fn planted(self, kind: &str) -> Vec<u64> {
        (0..self.records).filter(|it| self.kind(*it) == Some(kind)).collect()
    }

    /// Whose record it is. Neighbours have different holders, and both assets have a record of every holder.
    fn account(self, number: u64) -> Account {
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
fn transfer(size: Size, number: u64) -> Transfer {
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
struct Shown {
    id: RailId,
    pace: Pace,
    purse: Purse,
    size: Size,
    transfers: HashMap<Account, Vec<Transfer>>,
    /// Accounts that have got something without a transfer.
    gained: BTreeSet<Account>,
}

impl Shown {
    fn new(size: Size) -> Self {
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

    fn sign(&self, _: &LaneId, _: u64, _: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, RailFault> {
        unreachable!("nobody pays here")
    }

    fn outbid(&self, _: &LaneId, _: &[u8], _: Outbid, _: &Quote) -> Result<Option<Replacement>, RailFault> {
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
        Ok(self.size.last_block())
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
        let all = accounts.iter().flat_map(|it| self.of(it));
        let mut transfers: Vec<&Transfer> = all.filter(|it| blocks.contains(&it.block.height)).collect();
        transfers.sort_by_key(|it| (it.block.height, it.index));
        // Whole blocks, at least one.
        let cut = transfers
            .get(SCAN_MAX)
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

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}

/// Records `$FIRST` to `$LAST`, all final but for those that say that nothing moved.
const LOAD: &str = "
    set session_replication_role = replica;
    create temporary table part as
        select n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id, sha256(n::text::bytea) as key,
            timestamptz '2026-01-01T00:00:00Z' + n * interval '1 millisecond' as at, '0xtx' || n as tx, 1 + n / 10 as height,
            not n = any($WITHDRAWN) as is_final
        from generate_series($FIRST::bigint, $LAST::bigint) n;
    insert into payments (id, key, scheme, network, payer, pay_to, asset, amount, nonce, valid_after, valid_before, body, digest,
            envelope, since_height, must_go_alone, created_at, order_id)
        select id, key, 'exact', 'eip155:84532', '0xpayer' || n % 100000, '0xholder' || n % $HOLDERS,
            case n / $HOLDERS % 2 when 0 then '0xAsset' else '0xOther' end, 10000 + n % 90000, '0x' || lpad(to_hex(n), 64, '0'), 0,
            2000000000, key, key, 'second', 0, false, at, 'order ' || n
        from part;
    insert into settlements (payment_id, state, version, created_at, landed_tx, landed_log_index, landed_height, landed_hash,
            landed_time, landed_is_deep_enough, landed_is_final, confirmed_at, final_at)
        select id, 'final', 3, at, tx, n % 10, height, '0xblock' || height, 1700000000 + 2 * height, true, true, at, at
        from part where is_final
        union all
        select id, 'withdrawn', 3, at, null, null, null, null, null, null, null, null, null from part where not is_final;
    insert into evidence (payment_id, version, claim, tx, log_index, block_height, block_hash, block_time, ours, created_at)
        select id, 3, 'landed', tx, n % 10, height, '0xblock' || height, 1700000000 + 2 * height, true, at from part where is_final;
    drop table part";

async fn load(db: &Database, size: Size) {
    let mut raw = db.raw().await;
    let withdrawn = format!("array{:?}::bigint[]", size.planted("status_mismatch"));
    for first in (0..size.records).step_by(250_000) {
        let load = LOAD
            .replace("$FIRST", &first.to_string())
            .replace("$LAST", &(first + 249_999).min(size.records - 1).to_string())
            .replace("$HOLDERS", &size.holders.to_string())
            .replace("$WITHDRAWN", &withdrawn);
        execute(&mut raw, load).await.unwrap();
    }
    // A second payment for an order, by the same payer and of the same amount; both have landed.
    for number in size.planted("duplicate") {
        let before = number - 2 * size.holders;
        let twin = format!(
            "update payments set memo = encode(key, 'hex') where nonce = '0x{before:064x}';
            update payments p set payer = o.payer, amount = o.amount, order_id = o.order_id, memo = o.memo
                from payments o where p.nonce = '0x{number:064x}' and o.nonce = '0x{before:064x}'"
        );
        execute(&mut raw, twin).await.unwrap();
    }
    execute(&mut raw, "vacuum analyze".into()).await.unwrap();
}

async fn finds_all_and_invents_nothing(size: Size) {
    on_database(async move |db| {
        load(&db, size).await;
        let mut shown = Shown::new(size);
        for number in size.planted("duplicate") {
            let first = transfer(size, number - 2 * size.holders);
            let of_account = shown.transfers.get_mut(&size.account(number)).unwrap();
            let second = of_account.iter_mut().find(|it| it.tx.0 == format!("0xtx{number}"));
            let second = second.unwrap();
            (second.amount, second.authorizer) = (first.amount, first.authorizer);
        }
        let (store, began) = (db.store.clone(), Instant::now());
        // What it is told on the way is not to be told between threads.
        let whole = move || {
            let (store, rail) = (&store, &shown);
            Handle::current().block_on(Reconciliation { store, rail }.whole(None, |_, _| {}))
        };
        tokio::task::spawn_blocking(whole).await.unwrap().unwrap();
        println!(
            "{} records and as many transfers reconciled in {:?}",
            size.records,
            began.elapsed()
        );
        let planted: BTreeSet<String> = (0..size.records)
            .filter_map(|number| Some(named(size, size.kind(number)?, number)))
            .collect();
        let found: BTreeSet<String> = db.texts(FOUND).await.into_iter().collect();
        let all = KINDS.len() * usize::try_from(size.planted).unwrap();
        println!(
            "{} of {all} planted found, {} invented",
            planted.intersection(&found).count(),
            found.difference(&planted).count()
        );
        assert_eq!(planted.len(), all);
        assert_eq!(found, planted);
        let rest = db.count("reconciliations where state = 'matched'").await;
        // What is planted beside a record leaves the record as it is.
        assert_eq!(u64::try_from(rest).unwrap(), size.records - 7 * size.planted);
    })
    .await;
}

/// What each exception is about.
const FOUND: &str = "select r.state || ' ' || case r.state when 'unknown_on_chain' then r.tx
        when 'balance_mismatch' then r.asset || ' ' || r.pay_to else p.nonce end
    from reconciliations r left join payments p on p.id = r.payment_id where r.state <> 'matched'";

/// The same of what was planted.
fn named(size: Size, kind: &str, number: u64) -> String {
    let about = match kind {
        "unknown_on_chain" => format!("0xstray{number}"),
        "balance_mismatch" => {
            let Account { asset, holder } = size.account(number);
            format!("{asset} {holder}")
        }
        _ => format!("0x{number:064x}"),
    };
    format!("{kind} {about}")
}

#[tokio::test]
async fn reconciliation_finds_all_that_was_planted_and_invents_nothing() {
    let size = Size {
        records: 3_500,
        holders: 90,
        planted: 3,
    };
    finds_all_and_invents_nothing(size).await;
}

/// Prints how long it takes: `./dev test --release --test store -- --ignored --nocapture million`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_records_of_a_hundred_thousand_accounts_are_reconciled() {
    let size = Size {
        records: 1_000_000,
        holders: 50_000,
        planted: 100,
    };
    finds_all_and_invents_nothing(size).await;
}

/// Holds a gateway's list of these records against them. Of each difference, `planted` are in it: a line without a payment, a
/// payment without a line, another amount, a line twice.
async fn finds_what_a_file_has_differently(records: u64, planted: u64) {
    on_database(async move |db| {
        let size = Size {
            records,
            holders: 100,
            planted: 0,
        };
        load(&db, size).await;
        let stride = records / (3 * planted);
        let mut file = "orderId,amountAtomic\n".to_owned();
        for number in 0..records {
            let amount = 10_000 + number % 90_000;
            let line = |order: &str, amount: u64| format!("{order},{amount}\n");
            let order = format!("order {number}");
            file += &match (number.is_multiple_of(stride), number / stride % 3) {
                (true, 0) => line(&format!("lost {number}"), amount),
                (true, 1) => line(&order, amount + 1),
                (true, _) => line(&order, amount) + &line(&order, amount),
                (false, _) => line(&order, amount),
            };
        }
        let lines = matching::read(Kind::Csv, file.as_bytes()).unwrap();
        let reports = Reports {
            store: db.store.clone(),
            decimals: Decimals::default(),
        };
        let began = Instant::now();
        let books = Books::new(reports, Vec::new());
        let counts = matching::match_all(&books, &lines, &Filter::default(), drop)
            .await
            .unwrap();
        println!(
            "{} lines held against {records} payments in {:?}",
            lines.len(),
            began.elapsed()
        );
        let expected = serde_json::json!({
            "matched": records - 2 * planted, "gatewayOnly": planted, "facilitatorOnly": planted,
            "mismatched": planted, "duplicate": planted,
        });
        assert_eq!(serde_json::to_value(counts).unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn a_gateways_file_is_matched_line_by_line_and_both_ways() {
    finds_what_a_file_has_differently(1_800, 3).await;
}

/// Prints how long it takes: `./dev test --release --test store -- --ignored --nocapture largest`.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_largest_file_of_a_gateway_is_matched() {
    finds_what_a_file_has_differently(99_900, 100).await;
}
