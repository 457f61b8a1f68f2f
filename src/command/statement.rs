//! `facilitator statement`: closes days, lists what was closed, and exports one statement once it has proven itself.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::app::books::Books;
use crate::app::reports::Reports;
use crate::app::statements::Closing;
use crate::chain;
use crate::config::Config;
use crate::domain::id::StatementId;
use crate::domain::merkle::{Hash, root};
use crate::domain::network::NetworkId;
use crate::domain::statement::Detail;
use crate::export::{COLUMNS, Document, Format, Style, csv, summary};
use crate::store::{Closed, StatementFilter, Store};
use crate::task::Tasks;

/// How many statements are read at a time.
const PAGE: u16 = 1000;

/// What to do with the statements.
#[derive(Debug, Subcommand)]
pub enum StatementCommand {
    /// Close every day that is over, final and read by the reconciliation, as serve does each minute, and list what was
    /// closed as CSV.
    Close,
    /// List statements as CSV, in the order in which they were closed.
    List(ListArgs),
    /// Print one statement, after checking its lines and its hash; exits with 1 when they do not agree.
    Export {
        /// Which: the id that list shows.
        #[arg(long)]
        id: StatementId,
        /// In which form: json, csv, quickbooks, xero or camt053.
        #[arg(long, default_value = "csv", value_parser = format)]
        format: Format,
    },
}

/// Whose statements.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this network (CAIP-2).
    #[arg(long)]
    network: Option<NetworkId>,
    /// Only of this asset's address.
    #[arg(long)]
    asset: Option<String>,
    /// Only of this recipient's address.
    #[arg(long)]
    pay_to: Option<String>,
}

impl ListArgs {
    fn filter(self) -> StatementFilter {
        let canonical = |text: String| chain::canonical_account(&text).unwrap_or(text);
        StatementFilter {
            network: self.network,
            asset: self.asset.map(canonical),
            pay_to: self.pay_to.map(canonical),
            ..StatementFilter::default()
        }
    }
}

fn format(name: &str) -> Result<Format, &'static str> {
    Format::named(name).ok_or("expected json, csv, quickbooks, xero or camt053")
}

/// Does it.
///
/// # Errors
/// The database or a chain does not answer, there is no such statement, or it is not what was closed.
pub async fn statement(config: Config, command: StatementCommand) -> Result<(), Box<dyn Error>> {
    let style = config.style();
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    match command {
        StatementCommand::Close => close(config, store, &style).await,
        StatementCommand::List(args) => list(&store, &args.filter(), &style).await,
        StatementCommand::Export { id, format } => export(store, id, format, &style).await,
    }
}

async fn close(config: Config, store: Store, style: &Style) -> Result<(), Box<dyn Error>> {
    let tasks = Tasks::default();
    let closing = Closing {
        store,
        rails: chain::connect(&config.network, &tasks).await?,
        calendar: style.settings.time_zone,
    };
    let mut out = io::stdout();
    out.write_all(csv::row(&COLUMNS).as_bytes())?;
    for rail in closing.networks() {
        for it in closing.close_due(rail).await? {
            let places = style.decimals.of(&it.account.network, &it.account.asset);
            out.write_all(summary(&it, &it.hash(), places).as_bytes())?;
        }
    }
    tasks.drain(Duration::from_secs(1)).await;
    Ok(())
}

async fn list(store: &Store, filter: &StatementFilter, style: &Style) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(csv::row(&COLUMNS).as_bytes())?;
    let mut after = None;
    loop {
        let page = store.statements_find(filter, after, PAGE).await?;
        for Closed { statement, hash, .. } in &page {
            let places = style.decimals.of(&statement.account.network, &statement.account.asset);
            out.write_all(summary(statement, hash, places).as_bytes())?;
        }
        after = page.last().map(|it| it.statement.id);
        if after.is_none() {
            break;
        }
    }
    out.flush()?;
    Ok(())
}

async fn export(store: Store, id: StatementId, format: Format, style: &Style) -> Result<(), Box<dyn Error>> {
    let decimals = style.decimals.clone();
    let books = Books::new(Reports { store, decimals }, Vec::new());
    let closed = books.statement(id).await?.ok_or("there is no such statement")?;
    let details = books.statement_details(id).await?;
    check(&closed, &details)?;
    let document = Document {
        statement: &closed.statement,
        hash: &closed.hash,
        closed_at: closed.at,
        details: &details,
    };
    io::stdout().write_all(format.write(&document, style)?.as_bytes())?;
    Ok(())
}

/// Holds what is stored to what was closed.
fn check(closed: &Closed, details: &[Detail]) -> Result<(), &'static str> {
    let leaves: Vec<Hash> = details.iter().map(|it| it.line.leaf()).collect();
    if root(&leaves) != closed.statement.merkle_root {
        return Err("the lines are not those that the statement was closed with");
    }
    if closed.statement.hash() != closed.hash {
        return Err("the statement is not what was closed");
    }
    Ok(())
}
