//! `facilitator refund`: records refunds, lists them, and takes them back.

use std::error::Error;
use std::io::{self, BufWriter, Write};

use clap::{Args, Subcommand};

use crate::app::refunds::Refunds;
use crate::chain;
use crate::config::Config;
use crate::domain::amount::Amount;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::refund::{Asked, Note, PaidBy, Stage, claimed};
use crate::export::{Decimals, csv};
use crate::store::{PAGE_MAX, Refund, RefundFilter, Store};

const COLUMNS: [&str; 21] = [
    "id",
    "payment",
    "state",
    "network",
    "asset",
    "pay_to",
    "recipient",
    "amount_atomic",
    "amount",
    "reason",
    "merchant_reference",
    "claimed_transaction",
    "wallet",
    "attempts",
    "settlement",
    "problem",
    "transaction",
    "log_index",
    "block_number",
    "created_at",
    "ended_at",
];

/// What to do with refunds.
#[derive(Debug, Subcommand)]
pub enum RefundCommand {
    /// Record a refund against a final payment.
    Create(CreateArgs),
    /// List refunds as CSV, oldest first.
    List(ListArgs),
    /// Print one refund as CSV.
    Show {
        /// Which.
        #[arg(long)]
        id: RefundId,
    },
    /// Take a refund back, as long as nothing was sent for it.
    Cancel {
        /// Which.
        #[arg(long)]
        id: RefundId,
    },
}

/// A refund to record.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The payment.
    #[arg(long)]
    payment: PaymentId,
    /// How much goes back, in atomic units.
    #[arg(long)]
    amount: Amount,
    /// Your name for this request: the same one records nothing twice.
    #[arg(long, value_parser = key)]
    key: String,
    /// Why.
    #[arg(long, value_parser = note)]
    reason: Option<Note>,
    /// Your name for the refund.
    #[arg(long, value_parser = label)]
    reference: Option<Label>,
    /// The transaction that pays it.
    #[arg(long, value_parser = transaction, conflicts_with = "execute")]
    transaction: Option<TxId>,
    /// Have the service pay it from the wallet that is configured for it.
    #[arg(long)]
    execute: bool,
}

/// Which refunds.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this payment.
    #[arg(long)]
    payment: Option<PaymentId>,
    /// Only in this state.
    #[arg(long, value_parser = stage)]
    state: Option<Stage>,
    /// Only of this network (CAIP-2).
    #[arg(long)]
    network: Option<NetworkId>,
    /// Only of payments to this recipient.
    #[arg(long)]
    pay_to: Option<String>,
}

fn key(text: &str) -> Result<String, &'static str> {
    let is_key = (1..=255).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
    is_key
        .then(|| text.to_owned())
        .ok_or("expected 1 to 255 visible ASCII characters")
}

fn note(text: &str) -> Result<Note, &'static str> {
    Note::new(text).ok_or(Note::SHAPE)
}

fn label(text: &str) -> Result<Label, &'static str> {
    Label::new(text).ok_or(Label::SHAPE)
}

fn transaction(text: &str) -> Result<TxId, &'static str> {
    claimed(text).ok_or("expected a transaction's hash or signature")
}

fn stage(name: &str) -> Result<Stage, String> {
    Stage::named(name).ok_or_else(|| format!("expected one of {}", Stage::ALL.map(Stage::as_str).join(", ")))
}

/// Does it.
///
/// # Errors
/// The database does not answer, there is no such payment or refund, or a rule forbids it.
pub async fn refund(config: Config, command: RefundCommand) -> Result<(), Box<dyn Error>> {
    let decimals = config.decimals();
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let refunds = Refunds::new(store, config.wallets()?);
    match command {
        RefundCommand::Create(args) => {
            let by = if args.execute {
                PaidBy::Us
            } else {
                PaidBy::Merchant(args.transaction)
            };
            let asked = Asked {
                payment: args.payment,
                amount: Some(args.amount)
                    .filter(|it| *it > Amount::ZERO)
                    .ok_or("--amount: expected more than 0")?,
                reason: args.reason,
                merchant_reference: args.reference,
                by,
            };
            print(&[refunds.record(args.key, asked).await?.refund], &decimals)
        }
        RefundCommand::List(args) => list(&refunds, args, &decimals).await,
        RefundCommand::Show { id } => {
            let refund = refunds.get(id).await?.ok_or("there is no such refund")?;
            print(&[refund], &decimals)
        }
        RefundCommand::Cancel { id } => print(&[refunds.cancel(id).await?], &decimals),
    }
}

async fn list(refunds: &Refunds, args: ListArgs, decimals: &Decimals) -> Result<(), Box<dyn Error>> {
    let filter = RefundFilter {
        payment: args.payment,
        stage: args.state,
        network: args.network,
        pay_to: args.pay_to.map(|text| chain::canonical_account(&text).unwrap_or(text)),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(csv::row(&COLUMNS).as_bytes())?;
    let mut after = None;
    loop {
        let page = refunds.find(&filter, after, PAGE_MAX).await?;
        for refund in &page {
            out.write_all(row(refund, decimals).as_bytes())?;
        }
        after = page.last().map(|it| it.id);
        if after.is_none() {
            break;
        }
    }
    Ok(out.flush()?)
}

fn print(refunds: &[Refund], decimals: &Decimals) -> Result<(), Box<dyn Error>> {
    let rows: String = refunds.iter().map(|it| row(it, decimals)).collect();
    Ok(io::stdout().write_all(format!("{}{rows}", csv::row(&COLUMNS)).as_bytes())?)
}

fn row(refund: &Refund, decimals: &Decimals) -> String {
    let paid = refund.paid.as_ref();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    csv::row(&[
        refund.id.to_string(),
        refund.payment.to_string(),
        refund.stage.as_str().to_owned(),
        refund.network.to_string(),
        refund.asset.clone(),
        refund.pay_to.clone(),
        refund.recipient.clone(),
        refund.amount.to_string(),
        decimals.write(&refund.network, &refund.asset, refund.amount),
        text(&refund.reason),
        text(&refund.merchant_reference),
        refund.claimed.as_ref().map(|tx| tx.0.clone()).unwrap_or_default(),
        text(&refund.wallet),
        refund.attempts.to_string(),
        refund.settlement.map(|it| it.to_string()).unwrap_or_default(),
        text(&refund.problem),
        paid.map(|it| it.tx.0.clone()).unwrap_or_default(),
        paid.map(|it| it.log_index.to_string()).unwrap_or_default(),
        paid.map(|it| it.block.height.to_string()).unwrap_or_default(),
        time(refund.created_at),
        refund.ended_at.map(time).unwrap_or_default(),
    ])
}
