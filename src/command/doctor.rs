//! `facilitator doctor`: what keeps the facilitator from serving, and what soon will, in plain words. Changes nothing.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::app::SystemClock;
use crate::app::screening::Screening;
use crate::chain;
use crate::config::Config;
use crate::domain::budget::settlements_left;
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::time::{Clock, Timestamp};
use crate::export::{COIN, Decimals};
use crate::store::Store;
use crate::task::Tasks;

/// How far clocks may be apart, in seconds, before it is worth a word.
const SKEW_MAX: u64 = 2;

/// How old the newest final block may be, in seconds: Ethereum's takes some 15 minutes to become final, all others less.
const FINAL_AGE_MAX: u64 = 3_600;

/// A signer that pays for fewer settlements is worth a word.
const SETTLEMENTS_FEW: u64 = 1_000;

/// An answer of the database that takes longer is worth a word: each settlement waits for a few.
const DATABASE_SLOW: Duration = Duration::from_millis(20);

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Somebody who is to be paid: says whether payments to this address can arrive, on every network that has such
    /// addresses. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pay_to: Vec<String>,
}

/// What was found, said as it is found.
#[derive(Default)]
struct Findings {
    well: usize,
    wrong: usize,
    warnings: usize,
}

impl Findings {
    fn well(&mut self, of: impl Display, what: impl Display) {
        self.well = self.well.saturating_add(1);
        println!("ok       {of}: {what}");
    }

    fn warn(&mut self, of: impl Display, what: impl Display) {
        self.warnings = self.warnings.saturating_add(1);
        println!("warning  {of}: {what}");
    }

    fn wrong(&mut self, of: impl Display, what: impl Display) {
        self.wrong = self.wrong.saturating_add(1);
        println!("wrong    {of}: {what}");
    }
}

/// Looks at everything that serving needs, says what it finds, and goes on past what is wrong. True when nothing is.
pub async fn doctor(config: Config, args: DoctorArgs) -> bool {
    let mut found = Findings::default();
    let networks: Vec<String> = config.network.iter().map(|it| it.id().to_string()).collect();
    found.well("configuration", format_args!("can be read; {}", networks.join(", ")));
    let store = Store::connect(&config.database).await;
    match &store {
        Ok(store) => {
            let is_current = database(store, &mut found).await;
            screening(&config, store, is_current, &mut found).await;
            store.close().await;
        }
        Err(fault) => found.wrong("database", fault),
    }

    let (tasks, decimals) = (Tasks::default(), config.decimals());
    for (settings, connected) in config
        .network
        .iter()
        .zip(chain::connect_each(&config.network, &tasks).await)
    {
        match connected {
            Ok(rail) => network(&*rail, &decimals, &args.pay_to, &mut found).await,
            Err(unservable) => found.wrong(settings.id(), unservable.what),
        }
    }
    tasks.drain(Duration::from_secs(1)).await;

    match config.wallets() {
        Ok(_) => {}
        Err(unservable) => found.wrong("refunds", unservable),
    }
    match config.schedules() {
        Ok(schedules) => {
            for schedule in schedules {
                let of = format!("report schedule {}", schedule.name);
                match schedule.place.probe().await {
                    Ok(()) => found.well(of, "takes files"),
                    Err(astray) => found.wrong(of, astray),
                }
            }
        }
        Err(error) => found.wrong("report schedules", error),
    }
    println!(
        "{} wrong, {} to look at, {} ok",
        found.wrong, found.warnings, found.well
    );
    found.wrong == 0
}

/// Whether its schema is this version's.
async fn database(store: &Store, found: &mut Findings) -> bool {
    let asked = Instant::now();
    match store.clock().await {
        Ok(clock) => {
            let took = asked.elapsed();
            if took > DATABASE_SLOW {
                found.warn(
                    "database",
                    format_args!(
                        "answers after {} ms, and each settlement waits for it a few times",
                        took.as_millis()
                    ),
                );
            } else {
                found.well("database", "answers");
            }
            clocks("database", clock, found);
        }
        Err(fault) => found.wrong("database", fault),
    }
    let schema = store.schema_check().await;
    match &schema {
        Ok(()) => {
            found.well("database", "its schema is this version's");
            match store.feed_is_ahead().await {
                Ok(false) => {}
                Ok(true) => found.wrong(
                    "database",
                    "the records were moved here from another server, and the feed stands still: deploy/DATABASES.md says what to do",
                ),
                Err(fault) => found.wrong("database", fault),
            }
        }
        Err(fault) => found.warn(
            "database",
            format_args!("{fault}; serve and migrate bring it up to date"),
        ),
    }
    schema.is_ok()
}

async fn screening(config: &Config, store: &Store, is_current: bool, found: &mut Findings) {
    let of = "screening";
    let Some(settings) = &config.screening else {
        return found.well(of, "off by configuration: nobody is screened");
    };
    let secret = config.signing.as_ref().map(|it| &it.secret);
    match Screening::new(settings.clone(), store.clone(), secret) {
        Ok(screening) if is_current => match screening.load(SystemClock.now()).await {
            Ok(()) => found.well(of, "its sources can be read"),
            Err(fault) => found.wrong(of, fault),
        },
        Ok(_) => found.well(of, "can be read; its lists are read once the schema is up to date"),
        Err(fault) => found.wrong(of, fault),
    }
}

/// The clock of this machine and another's.
fn clocks(of: &str, theirs: Timestamp, found: &mut Findings) {
    let ours = SystemClock.now();
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart > SKEW_MAX {
        found.warn(
            of,
            format_args!(
                "its clock and this machine's are {apart} s apart: set both by NTP, since payments are judged by this machine's time"
            ),
        );
    } else {
        found.well(of, "its clock and this machine's agree");
    }
}

async fn network(rail: &dyn Rail, decimals: &Decimals, pay_to: &[String], found: &mut Findings) {
    let of = &rail.id().network;
    found.well(of, "its nodes answer, and chain, assets and signers are as configured");
    for key in rail.prove_keys().await {
        let signer = format!("{of}, signer {}", key.address);
        match key.fault {
            None => found.well(signer, format_args!("{} signs with its key", key.keeper)),
            Some(fault) => found.wrong(signer, format_args!("{} {fault}", key.keeper)),
        }
    }
    signers(rail, decimals, found).await;
    match rail.final_until().await {
        Ok(last) => final_blocks(of, last, found),
        Err(fault) => found.warn(of, format_args!("its newest final block could not be read: {fault}")),
    }
    for address in pay_to {
        if rail.canonical_account(address).is_none() {
            continue;
        }
        match rail.hindrances(address).await {
            Ok(all) if all.is_empty() => found.well(of, format_args!("payments to {address} can arrive")),
            Ok(all) => {
                for hindrance in all {
                    found.wrong(of, format_args!("payments to {address} cannot arrive: {hindrance}"));
                }
            }
            Err(fault) => found.warn(
                of,
                format_args!("whether payments to {address} can arrive is unknown: {fault}"),
            ),
        }
    }
}

async fn signers(rail: &dyn Rail, decimals: &Decimals, found: &mut Findings) {
    let of = &rail.id().network;
    let balances = match rail.balances().await {
        Ok(balances) => balances,
        Err(fault) => return found.warn(of, format_args!("what its signers hold could not be read: {fault}")),
    };
    let purse = rail.purse();
    for (lane, balance) in rail.lanes().iter().zip(balances) {
        let left = settlements_left(balance, purse.settlement_max);
        let signer = format!("{of}, signer {}", lane.signer);
        let holds = format!(
            "holds {} of the chain's coin, for {left} settlements at their dearest",
            decimals.write(of, COIN, balance)
        );
        if balance < purse.balance_min {
            found.wrong(signer, format_args!("{holds}: too little to take on any; send it more"));
        } else if left < SETTLEMENTS_FEW {
            found.warn(signer, format_args!("{holds}; send it more soon"));
        } else {
            found.well(signer, holds);
        }
    }
}

fn final_blocks(of: &NetworkId, last: Timestamp, found: &mut Findings) {
    let now = SystemClock.now();
    let ahead = last.since(now);
    let age = now.since(last);
    if ahead > SKEW_MAX {
        found.warn(
            of,
            format_args!("a final block is {ahead} s in the future of this machine's clock: set it by NTP"),
        );
    } else if age > FINAL_AGE_MAX {
        found.warn(
            of,
            format_args!(
                "its newest final block is {} minutes old: the chain stands still, its nodes are behind, or this machine's clock is wrong",
                age / 60
            ),
        );
    } else {
        found.well(of, format_args!("its newest final block is {age} s old"));
    }
}
