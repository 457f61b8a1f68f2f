//! What is under way: lanes, exceptions and webhooks, changed with who and why.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;

use super::Signed;
use crate::app::admin::Office;
use crate::chain;
use crate::config::Config;
use crate::domain::id::{EndpointId, ExceptionId};
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, Rail};
use crate::store::{Action, Store};
use crate::task::Tasks;

/// What to do with lanes; `facilitator lanes` lists them.
#[derive(Debug, Subcommand)]
pub enum Lanes {
    /// Let a closed lane be signed in again, from the nonce that the chain has now. Find out first who else has its key.
    Readmit {
        /// The network (CAIP-2).
        network: NetworkId,
        /// The signer's address, as listed.
        signer: String,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
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

/// What to do with endpoints; `facilitator webhook` lists, adds and removes them.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Tell an endpoint again, beginning where it was left.
    Enable {
        /// Which.
        endpoint: EndpointId,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// Tell an endpoint no more. What happens meanwhile waits.
    Disable {
        /// Which.
        endpoint: EndpointId,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
}

fn action(text: &str) -> Result<Action, &'static str> {
    Action::named(text).ok_or("expected resolve or ignore")
}

pub(super) async fn lanes(config: &Config, store: Store, what: Lanes) -> Result<(), Box<dyn Error>> {
    let Lanes::Readmit {
        network,
        signer,
        signed,
    } = what;
    let (lane, deed, tasks) = (LaneId { network, signer }, signed.deed()?, Tasks::default());
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
    let acted = store.exception_act(exception, action, &deed.because, &deed.by, Some(&deed));
    let is_known = acted.await?;
    Ok(is_known.then_some(()).ok_or("there is no such exception")?)
}

pub(super) async fn webhooks(store: Store, what: Webhooks) -> Result<(), Box<dyn Error>> {
    let (endpoint, on, signed) = match what {
        Webhooks::Enable { endpoint, signed } => (endpoint, true, signed),
        Webhooks::Disable { endpoint, signed } => (endpoint, false, signed),
    };
    let deed = signed.deed()?;
    Ok(office(store, Vec::new()).webhook_turn(endpoint, on, &deed).await?)
}

const fn office(store: Store, rails: Vec<Arc<dyn Rail>>) -> Office {
    Office {
        store,
        pepper: None,
        rails,
    }
}
