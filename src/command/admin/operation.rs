//! What is under way: lanes and exceptions, changed with who and why.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Signed;
use crate::app::admin::Office;
use crate::chain;
use crate::config::Config;
use crate::domain::id::ExceptionId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, Rail};
use crate::store::{Action, Store};
use crate::task::Tasks;

/// What to do with lanes; `facilitator lanes` lists them.
#[derive(Debug, Subcommand)]
pub enum Lanes {
    /// Let nothing new be signed in a lane, by any process. What was signed before is seen to its end.
    Close(Lane),
    /// Let a closed lane be signed in again, from the nonce that the chain has now. Find out first who else has its key.
    Readmit(Lane),
}

/// Which lane, who and why.
#[derive(Debug, Args)]
pub struct Lane {
    /// The network (CAIP-2).
    network: NetworkId,
    /// The signer's address, as listed.
    signer: String,
    #[command(flatten)]
    signed: Signed,
}

/// What to do with exceptions; `facilitator report --type reconciliation_exceptions` lists them.
#[derive(Debug, Subcommand)]
pub enum Exceptions {
    /// Say that an exception was put right, or is as it should be; why is its note.
    Act {
        /// Which.
        exception: ExceptionId,
        /// resolve or ignore.
        #[arg(value_parser = action)]
        action: Action,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
}

fn action(text: &str) -> Result<Action, &'static str> {
    Action::named(text).ok_or("expected resolve or ignore")
}

pub(super) async fn lanes(config: &Config, store: Store, what: Lanes) -> Result<(), Box<dyn Error>> {
    let (is_opened, it) = match what {
        Lanes::Close(it) => (false, it),
        Lanes::Readmit(it) => (true, it),
    };
    let (network, signer) = (it.network, it.signer);
    let (lane, deed) = (LaneId { network, signer }, it.signed.deed()?);
    if !is_opened {
        office(store, Vec::new()).close(&lane, &deed).await?;
        println!("{lane} is closed");
        return Ok(());
    }
    let tasks = Tasks::default();
    let rails = chain::connect(&config.network, &tasks).await?;
    let readmitted = office(store, rails).readmit(&lane, &deed).await;
    tasks.drain(Duration::from_secs(1)).await;
    readmitted?;
    println!("{lane} may be signed in again");
    Ok(())
}

pub(super) async fn exceptions(store: &Store, what: Exceptions) -> Result<(), Box<dyn Error>> {
    let Exceptions::Act {
        exception,
        action,
        signed,
    } = what;
    let deed = signed.deed()?;
    let is_known = store.exception_act(exception, action, &deed).await?;
    Ok(is_known.then_some(()).ok_or("there is no such exception")?)
}

pub(super) const fn office(store: Store, rails: Vec<Arc<dyn Rail>>) -> Office {
    Office {
        store,
        pepper: None,
        rails,
    }
}
