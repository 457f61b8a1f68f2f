//! From what the node showed of a payment to the facts that the domain judges.
//!
//! Pure. Three parties can be at fault when a transaction fails, and each hears something else: the payer that the
//! payment is not good, the merchant that it has no account to be paid into, and whoever runs this facilitator that a
//! fee payer is empty or the node not in order, which is never held against the payment.

use serde::Deserialize;
use serde_json::Value;
use solana_pubkey::Pubkey;

use super::blockhashes::Lifetime;
use super::body::{self, Body};
use super::inner::InnerInstructions;
use super::inner_transfer;
use super::listing::Listing;
use super::lookup_tables;
use super::mint::{self, Unfit};
use super::node::{Account, Simulated};
use super::settings::TokenProgram;
use super::smart_wallet;
use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};
use crate::domain::rail::{AuthorizationState, Facts, Simulation};

/// The longest reason that is passed on, in characters.
const REASON_CHARS_MAX: usize = 160;

/// Bytes of a token account without extensions, under either program; its owner stands at 32, its amount at 64
/// (solana-program/token `state::Account`).
pub(super) const TOKEN_ACCOUNT_BYTES: usize = 165;
pub(super) const OWNER_AT: usize = 32;
const AMOUNT_AT: usize = 64;

/// Failures that say nothing of the payment, but of the node or of the block that it would have been in
/// (agave `TransactionError`).
const NOT_OF_THE_PAYMENT: [&str; 9] = [
    "AccountInUse",
    "ClusterMaintenance",
    "WouldExceedMaxBlockCostLimit",
    "WouldExceedMaxAccountCostLimit",
    "WouldExceedMaxVoteCostLimit",
    "WouldExceedAccountDataBlockLimit",
    "WouldExceedAccountDataTotalLimit",
    "ProgramCacheHitMaxLimit",
    "CommitCancelled",
];

/// Failures by which the runtime says that the fee payer cannot pay.
const FEE_PAYER_EMPTY: [&str; 3] = ["AccountNotFound", "InsufficientFundsForFee", "InvalidAccountForFee"];

/// What the node showed of one payment.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// What happened when it was tried.
    pub(super) trial: Trial,
    /// The account that is debited.
    pub(super) source: Option<Account>,
    /// The account that is credited.
    pub(super) destination: Option<Account>,
    /// The mint, where its rules may have changed since it was configured.
    pub(super) mint: Option<Account>,
    /// The lookup tables that it names, in its order.
    pub(super) tables: Vec<Option<Account>>,
    /// How long the transaction has left, if the chain takes it.
    pub(super) lifetime: Lifetime,
}

/// What happened when a transaction was tried.
#[derive(Debug, Clone)]
pub(super) enum Trial {
    /// The node tried it.
    Ran(Simulated),
    /// The node would not try it, for its bytes: the node's words.
    Refused(String),
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Succeeded,
    Failed {
        reason: String,
    },
    /// The transaction is in a block already.
    Used,
    /// The chain does not know the blockhash, or has forgotten it.
    Forgotten,
    /// The fee payer cannot pay.
    Unpayable,
    /// The failure says nothing of the payment.
    Beside {
        kind: String,
    },
}

/// What the finding means for the payment. A transaction must be good for `blocks_min` more blocks.
///
/// # Errors
/// What keeps the payment from being judged, which is not its own fault.
pub(super) fn facts(
    listing: &Listing,
    authorization: &Authorization,
    body: &Body,
    finding: &Finding,
    blocks_min: u64,
) -> Result<Facts, String> {
    let ended = finding.trial.ended();
    let transfer = match &ended {
        Ended::Succeeded => match unfit(body, finding) {
            None => Simulation::Succeeded {
                received: authorization.amount,
            },
            Some(reason) => Simulation::Failed { reason },
        },
        Ended::Failed { reason } => Simulation::Failed { reason: reason.clone() },
        Ended::Used => Simulation::Failed {
            reason: "the transaction is in a block already".into(),
        },
        Ended::Forgotten => Simulation::Failed {
            reason: "the chain does not know the blockhash".into(),
        },
        Ended::Unpayable => {
            let fee_payer = body.transaction.fee_payer();
            return Err(format!("the fee payer {fee_payer} cannot pay the fee: send it SOL"));
        }
        Ended::Beside { kind } => return Err(format!("the node could not try the transaction: {kind}")),
    };
    let payer = shown_payer(listing, authorization, body, finding, &ended);
    Ok(Facts {
        height: finding.lifetime.height,
        flaw: flaw(body, finding, &ended, blocks_min).or_else(|| payer.as_ref().err().cloned()),
        payer: payer.ok().flatten().map(|payer| payer.to_string()),
        signature_valid: true,
        factory_refused: None,
        asset_deployed: true,
        asset_listed: true,
        asset_misnamed: None,
        authorization: match ended {
            Ended::Used => AuthorizationState::Used,
            Ended::Succeeded | Ended::Failed { .. } | Ended::Forgotten | Ended::Unpayable | Ended::Beside { .. } => {
                AuthorizationState::Unused
            }
        },
        balance: balance(authorization, body, finding),
        transfer,
        holders: holders(body, finding),
        must_go_alone: false,
    })
}

impl Trial {
    /// The chain does not know the blockhash, or has forgotten it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.ended() == Ended::Forgotten
    }

    /// What happened inside, as far as the node shows it.
    fn inner(&self) -> Option<Vec<InnerInstructions>> {
        match self {
            Self::Ran(simulated) => serde_json::from_str(simulated.inner.as_ref()?.get()).ok(),
            Self::Refused(_) => None,
        }
    }

    fn ended(&self) -> Ended {
        let simulated = match self {
            Self::Ran(simulated) => simulated,
            Self::Refused(words) => return Ended::Failed { reason: bounded(words) },
        };
        let Some(err) = &simulated.err else {
            return Ended::Succeeded;
        };
        let kind = kind_of(err.get());
        match kind.name.as_str() {
            "AlreadyProcessed" => Ended::Used,
            "BlockhashNotFound" => Ended::Forgotten,
            "InsufficientFundsForRent" if kind.is_of_fee_payer => Ended::Unpayable,
            name if FEE_PAYER_EMPTY.contains(&name) => Ended::Unpayable,
            name if NOT_OF_THE_PAYMENT.contains(&name) => Ended::Beside { kind: kind.name },
            _ => Ended::Failed {
                reason: reason(err.get(), simulated.logs.as_deref().unwrap_or_default()),
            },
        }
    }
}

/// The rule that the transaction breaks as of now, where it is one that only the chain can show.
fn flaw(body: &Body, finding: &Finding, ended: &Ended, blocks_min: u64) -> Option<Flaw> {
    if *ended == Ended::Used {
        return None;
    }
    if *ended == Ended::Forgotten || finding.lifetime.blocks_left < blocks_min {
        return Some(Flaw::BlockhashTooOld);
    }
    let has_account = finding.destination.as_ref().and_then(|it| tokens(it, body)).is_some();
    (!has_account).then(|| Flaw::DestinationMissing {
        owner: body.owner.to_string(),
        mint: body.asset.mint.to_string(),
        account: body.destination.to_string(),
    })
}

/// Who pays, where only the trial shows it: in a payment of a smart wallet.
///
/// # Errors
/// The rule that the payment breaks.
fn shown_payer(
    listing: &Listing,
    authorization: &Authorization,
    body: &Body,
    finding: &Finding,
    ended: &Ended,
) -> Result<Option<Pubkey>, Flaw> {
    if body.kind == body::Kind::Static {
        return Ok(None);
    }
    let loaded = lookup_tables::resolve(body.transaction.lookups(), &finding.tables)?;
    smart_wallet::check_loaded(listing, &loaded)?;
    match ended {
        Ended::Succeeded => {
            inner_transfer::judge(listing, body, authorization.amount, finding.trial.inner().as_deref()).map(Some)
        }
        Ended::Failed { reason } => Err(SmartWalletFlaw::SimulationFailed { reason: reason.clone() }.into()),
        Ended::Used | Ended::Forgotten | Ended::Unpayable | Ended::Beside { .. } => Ok(None),
    }
}

/// What the debited account holds. Which one a smart wallet debits is not known before; a trial that succeeded has
/// shown that it holds enough.
fn balance(authorization: &Authorization, body: &Body, finding: &Finding) -> Amount {
    if body.source.is_none() {
        return authorization.amount;
    }
    let held = finding.source.as_ref().and_then(|it| tokens(it, body));
    Amount::from_units(held.unwrap_or_default().into())
}

/// Why the mint's tokens would not arrive in full, as of now.
fn unfit(body: &Body, finding: &Finding) -> Option<String> {
    // The first token program's mints have no rules that could change.
    if body.asset.program == TokenProgram::Token {
        return None;
    }
    let Some(account) = &finding.mint else {
        return Some("the mint does not exist any more".into());
    };
    match mint::read(account, body.asset.program) {
        Ok(mint) => mint.unfit.as_ref().map(Unfit::to_string),
        Err(what) => Some(format!("the mint {what}")),
    }
}

/// Who owns the token accounts that the payment names. An associated account may have been given to somebody else, and a
/// delegate signs for an account that is not his.
fn holders(body: &Body, finding: &Finding) -> Vec<String> {
    let owner = |account: &Account| {
        tokens(account, body)?;
        let owner: [u8; 32] = account.data.get(OWNER_AT..)?.first_chunk().copied()?;
        Some(Pubkey::new_from_array(owner).to_string())
    };
    let accounts = [finding.source.as_ref(), finding.destination.as_ref()];
    accounts.into_iter().flatten().filter_map(owner).collect()
}

/// How many tokens are in the account, in atomic units; none when it is no token account of the asset's.
fn tokens(account: &Account, body: &Body) -> Option<u64> {
    let is_of_asset = account.owner == body.asset.program.id()
        && account.data.len() >= TOKEN_ACCOUNT_BYTES
        && account.data.starts_with(body.asset.mint.as_ref());
    let amount = account.data.get(AMOUNT_AT..)?.first_chunk().copied()?;
    is_of_asset.then_some(u64::from_le_bytes(amount))
}

struct Kind {
    /// The failure's name.
    name: String,
    /// It is about the transaction's first account.
    is_of_fee_payer: bool,
}

/// A failure is a name, or an object whose one key is the name.
fn kind_of(err: &str) -> Kind {
    #[derive(Deserialize)]
    struct About {
        account_index: u64,
    }
    let (name, about) = match serde_json::from_str(err) {
        Ok(Value::String(name)) => (name, Value::Null),
        Ok(Value::Object(fields)) => fields.into_iter().next().unwrap_or_default(),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => Default::default(),
    };
    Kind {
        name,
        is_of_fee_payer: serde_json::from_value::<About>(about).is_ok_and(|about| about.account_index == 0),
    }
}

/// The failure, and what the program that failed said last.
fn reason(err: &str, logs: &[String]) -> String {
    let said = logs.iter().rev().find_map(|line| line.strip_prefix("Program log: "));
    match said {
        Some(said) => bounded(&format!("{err}, {said}")),
        None => bounded(err),
    }
}

fn bounded(text: &str) -> String {
    text.chars()
        .take(REASON_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
#[path = "finding_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "finding_smart_wallet_tests.rs"]
mod smart_wallet_tests;
