//! `facilitator screening`: refreshes OFAC's list, shows how it is, and what a vendor checks our questions with.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::screening::{OFAC, OfacSettings, Refreshed, fetch, load};
use crate::app::webhooks::sign::Keys;
use crate::config::Config;
use crate::outbound::Outbound;
use crate::store::{Edition, ListReplaced, Store};

/// What to do about screening.
#[derive(Debug, Subcommand)]
pub enum ScreeningCommand {
    /// Fetch OFAC's list, or read it from a file, and make it the newest edition: every running process has it within
    /// seconds.
    Refresh(RefreshArgs),
    /// List the editions of OFAC's list as CSV, newest first: the first of them is the one that counts.
    Editions {
        /// At most this many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Print what a vendor checks the signatures of our questions with.
    Keys,
}

/// Where the list comes from.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Read this file instead of fetching: SDN.XML or SDN_ADVANCED.XML.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take a list that has less than half of what the last one had.
    #[arg(long)]
    believe: bool,
}

/// Does it.
///
/// # Errors
/// The list cannot be read, or the database not asked; the list stays as it was.
pub async fn screening(config: Config, what: ScreeningCommand) -> Result<(), Box<dyn Error>> {
    if let ScreeningCommand::Keys = what {
        let signing = config
            .signing
            .ok_or("signing: expected a secret: it is what the keys are derived from")?;
        let keys = Keys::of_screening(&signing.secret);
        println!("{}\n{}", keys.secret(), keys.public());
        return Ok(());
    }
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    match what {
        ScreeningCommand::Refresh(args) => {
            let settings = config.screening.and_then(|it| it.ofac).unwrap_or_default();
            told(refresh(&settings, &store, &args).await?)
        }
        ScreeningCommand::Editions { limit } => {
            println!("edition,recorded_at,published,addresses,added,removed,sha256");
            for it in store.screening_editions(OFAC, limit).await? {
                println!("{}", line(&it));
            }
            Ok(())
        }
        ScreeningCommand::Keys => Ok(()),
    }
}

async fn refresh(settings: &OfacSettings, store: &Store, args: &RefreshArgs) -> Result<Refreshed, Box<dyn Error>> {
    if let Some(file) = &args.file {
        return Ok(load(file, store, args.believe).await?);
    }
    let outbound = Outbound::new(settings.allow_private)?;
    Ok(fetch(settings, &outbound, store, args.believe).await?)
}

fn told(refreshed: Refreshed) -> Result<(), Box<dyn Error>> {
    let Refreshed {
        sha256,
        published,
        entries,
        became,
    } = refreshed;
    println!(
        "published {published}, {entries} addresses, sha256 {}",
        hex::encode(sha256)
    );
    match became {
        ListReplaced::Same => println!("the list is that already"),
        ListReplaced::New(edition) => println!(
            "edition {}: {} added, {} removed",
            edition.number, edition.added, edition.removed
        ),
        ListReplaced::Shrunk { had, has } => {
            return Err(format!("not taken: it has {has} addresses and the list {had}; --believe takes it").into());
        }
    }
    Ok(())
}

fn line(edition: &Edition) -> String {
    format!(
        "{},{},{},{},{},{},{}",
        edition.number,
        edition.created_at.to_rfc3339(),
        edition.published.replace(',', " "),
        edition.entries,
        edition.added,
        edition.removed,
        hex::encode(&edition.sha256)
    )
}
