//! `facilitator statement`: closes days, lists what was closed, and prints one statement with its proof.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::app::reports::format::Decimals;
use crate::app::statements::Closing;
use crate::chain;
use crate::command::report::{decimals, escape, rfc3339};
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::domain::statement::{Account, Hash, Line, Statement, root};
use crate::domain::time::Timestamp;
use crate::store::{Closed, DateTime, Store};
use crate::task::Tasks;

/// How many statements or lines are read at a time.
const PAGE: u16 = 1000;

/// What to do with the statements.
#[derive(Debug, Subcommand)]
pub enum StatementCommand {
    /// Close every day that is over and final, as serve does each minute, and list what was closed as CSV.
    Close,
    /// List an account's statements as CSV, oldest first.
    List(AccountArgs),
    /// Print the lines of one statement as CSV, after checking them and its hash; exits with 1 when they do not agree.
    Show {
        /// Whose.
        #[command(flatten)]
        account: AccountArgs,
        /// Which of the account's statements, from 1.
        #[arg(long)]
        sequence: u64,
    },
}

/// Whose statements.
#[derive(Debug, Args)]
pub struct AccountArgs {
    /// The network (CAIP-2).
    #[arg(long)]
    network: NetworkId,
    /// The asset's address.
    #[arg(long)]
    asset: String,
    /// The recipient's address.
    #[arg(long)]
    pay_to: String,
}

impl AccountArgs {
    fn account(self) -> Account {
        let canonical = |text: String| chain::canonical_account(&text).unwrap_or(text);
        Account {
            network: self.network,
            asset: canonical(self.asset),
            pay_to: canonical(self.pay_to),
        }
    }
}

/// Columns of a list of statements. Additions go at the end.
const COLUMNS: &str =
    "network,asset,pay_to,sequence,starts,ends,opening,credits,closing,lines,late,merkle_root,previous,hash";

/// Columns of a statement's lines. Additions go at the end.
const LINE_COLUMNS: &str =
    "position,payment_id,amount_atomic,amount,transaction,log_index,block_number,block_hash,block_time,leaf";

/// Does it.
///
/// # Errors
/// The database or a chain does not answer, there is no such statement, or it is not what was closed.
pub async fn statement(config: Config, command: StatementCommand) -> Result<(), Box<dyn Error>> {
    let decimals = decimals(&config);
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    match command {
        StatementCommand::Close => close(config, store).await,
        StatementCommand::List(account) => list(&store, &account.account()).await,
        StatementCommand::Show { account, sequence } => show(&store, &account.account(), sequence, &decimals).await,
    }
}

async fn close(config: Config, store: Store) -> Result<(), Box<dyn Error>> {
    let tasks = Tasks::default();
    let closing = Closing {
        store,
        rails: chain::connect(&config.network, &tasks).await?,
        calendar: config.statements.time_zone,
    };
    println!("{COLUMNS}");
    for rail in closing.networks() {
        for statement in closing.close_due(rail).await? {
            println!("{}", row(&statement, &statement.hash()));
        }
    }
    tasks.drain(Duration::from_secs(1)).await;
    Ok(())
}

async fn list(store: &Store, account: &Account) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{COLUMNS}\r")?;
    let mut after = Some(0);
    while let Some(sequence) = after {
        let page = store.statements_list(account, sequence, PAGE).await?;
        for it in &page {
            writeln!(out, "{}\r", row(&it.statement, &it.hash))?;
        }
        after = page.last().map(|it| it.statement.sequence);
    }
    out.flush()?;
    Ok(())
}

fn row(statement: &Statement, hash: &Hash) -> String {
    let account = &statement.account;
    [
        account.network.to_string(),
        account.asset.clone(),
        account.pay_to.clone(),
        statement.sequence.to_string(),
        time(statement.period.starts),
        time(statement.period.ends),
        statement.opening.to_string(),
        statement.credits.to_string(),
        statement.closing.to_string(),
        statement.lines.to_string(),
        statement.late.to_string(),
        hex::encode(statement.merkle_root),
        statement.previous.map(hex::encode).unwrap_or_default(),
        hex::encode(hash),
    ]
    .map(|field| escape(&field))
    .join(",")
}

async fn show(store: &Store, account: &Account, sequence: u64, decimals: &Decimals) -> Result<(), Box<dyn Error>> {
    let before = sequence.checked_sub(1).ok_or("--sequence counts from 1")?;
    let page = store.statements_list(account, before, 1).await?;
    let closed = page.into_iter().find(|it| it.statement.sequence == sequence);
    let closed = closed.ok_or("there is no such statement")?;
    let mut lines = Vec::new();
    loop {
        let position = u64::try_from(lines.len())?;
        let page = store.statement_lines(account, sequence, position, PAGE).await?;
        if page.is_empty() {
            break;
        }
        lines.extend(page);
    }
    let leaves: Vec<Hash> = lines.iter().map(Line::leaf).collect();
    check(&closed, &leaves)?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{LINE_COLUMNS}\r")?;
    for ((position, line), leaf) in lines.iter().enumerate().zip(&leaves) {
        let fields = [
            position.to_string(),
            line.payment.to_string(),
            line.amount.to_string(),
            decimals.write(&account.network, &account.asset, line.amount),
            line.tx.to_string(),
            line.log_index.to_string(),
            line.block.height.to_string(),
            line.block.hash.clone(),
            time(line.block.time),
            hex::encode(leaf),
        ];
        writeln!(out, "{}\r", fields.map(|field| escape(&field)).join(","))?;
    }
    out.flush()?;
    Ok(())
}

/// Holds what is stored to what was closed.
fn check(closed: &Closed, leaves: &[Hash]) -> Result<(), &'static str> {
    let statement = &closed.statement;
    if root(leaves) != statement.merkle_root {
        return Err("the lines are not those that the statement was closed with");
    }
    if statement.hash() != closed.hash {
        return Err("the statement is not what was closed");
    }
    Ok(())
}

fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).ok();
    seconds
        .and_then(|it| DateTime::from_timestamp(it, 0))
        .map_or_else(|| at.0.to_string(), rfc3339)
}
