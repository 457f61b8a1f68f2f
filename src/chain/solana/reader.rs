//! Asks the chain everything about payments in one round trip: what their transactions would do, what is in the
//! accounts that they touch, and, when that is not known, which blocks their blockhashes are of.
//!
//! A node's refusal to answer is never taken for an answer of the chain: a payment is not refused because a node was
//! busy or a block behind.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use solana_pubkey::Pubkey;

use super::blockhashes::Blockhashes;
use super::body::{Body, Kind};
use super::finding::{Finding, Trial};
use super::node::{
    ACCOUNTS_MAX, Account, Answer, AsOf, InContext, LatestBlockhash, Node, Simulated, accounts_call,
    latest_blockhash_call, simulate_call,
};
use super::programs::RECENT_BLOCKHASHES;
use super::settings::TokenProgram;
use crate::chain::coalesce::Read;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::RailFault;

const OPERATION: &str = "inspect";

/// JSON-RPC's "invalid params": what nodes answer when they cannot read the transaction itself.
const INVALID_PARAMS: i64 = -32602;

/// How one cluster's node is asked about payments.
#[derive(Debug)]
pub(super) struct Reader {
    node: Arc<Node>,
    /// How long what is known of blockhashes is taken to be new.
    block_time: Duration,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    blockhashes: Blockhashes,
    as_of: Instant,
}

impl Reader {
    /// Asks this node, whose blockhashes are known as of now.
    pub(super) fn new(node: Arc<Node>, blockhashes: Blockhashes, block_time: Duration) -> Self {
        Self {
            node,
            block_time,
            known: Mutex::new(Known {
                blockhashes,
                as_of: Instant::now(),
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while holding it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the heights of the questions' blockhashes are to be asked for, too.
    fn asks_blockhashes(&self, bodies: &[&Body]) -> bool {
        let known = self.known();
        known.as_of.elapsed() >= self.block_time
            || bodies
                .iter()
                .any(|body| !known.blockhashes.knows(body.transaction.blockhash()))
    }

    fn learn(&self, latest: LatestBlockhash, sysvar: Option<&Account>) -> Result<(), RailFault> {
        let data = sysvar.map(|account| account.data.as_slice()).unwrap_or_default();
        let mut known = self.known();
        let learned = known.blockhashes.learn(latest, data);
        learned.map_err(|cause| self.fault(cause))?;
        known.as_of = Instant::now();
        Ok(())
    }

    /// What a trial came to; the node's refusal to try these bytes is one, any other error of the node's is not.
    fn trial(&self, answer: Option<Answer>) -> Result<Trial, RailFault> {
        match answer {
            Some(Err(RpcError::Node { code, message, .. })) if code == INVALID_PARAMS => Ok(Trial::Refused(message)),
            answer => {
                let simulated: InContext<Simulated> = self.node.read(OPERATION, answer)?;
                Ok(Trial::Ran(simulated.value))
            }
        }
    }

    /// Tries those again whose blockhash is unknown to the confirmed block that the node has, in the newest one:
    /// their payers may have asked a node that is a block ahead.
    async fn try_again(&self, bodies: &[&Body], trials: &mut [Trial]) -> Result<(), RailFault> {
        let (calls, again): (Vec<Call>, Vec<&mut Trial>) = bodies
            .iter()
            .zip(trials)
            .filter(|(_, trial)| trial.is_forgotten())
            .map(|(body, trial)| (simulation(body, AsOf::Processed), trial))
            .unzip();
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.node.ask(OPERATION, &calls).await?;
        for (trial, answer) in again.into_iter().zip(answers) {
            *trial = self.trial(Some(answer))?;
        }
        Ok(())
    }
}

impl Read for Reader {
    type Question = Body;
    type Finding = Finding;

    /// Three accounts each and one for all are within what one call for accounts may name; a node tries that many
    /// transactions in some ten milliseconds.
    const QUESTIONS_MAX: usize = 32;
    const UNANSWERED: &'static str = "the answers came back short";

    /// Counts accounts.
    fn size(&self, question: &Body) -> usize {
        accounts_of(question).count()
    }

    fn room(&self) -> usize {
        ACCOUNTS_MAX.saturating_sub(1)
    }

    fn goes_alone(&self, _: &Body) -> bool {
        false
    }

    async fn read(&self, bodies: &[&Body]) -> Result<Vec<Option<Finding>>, RailFault> {
        let asks_blockhashes = self.asks_blockhashes(bodies);
        let mut addresses: BTreeSet<Pubkey> = bodies.iter().copied().flat_map(accounts_of).collect();
        let mut calls = Vec::with_capacity(bodies.len().saturating_add(2));
        if asks_blockhashes {
            // Before the list of all, which is then not of an older block.
            calls.push(latest_blockhash_call());
            addresses.insert(RECENT_BLOCKHASHES);
        }
        let addresses: Vec<Pubkey> = addresses.into_iter().collect();
        calls.push(accounts_call(&addresses));
        calls.extend(bodies.iter().map(|body| simulation(body, AsOf::Confirmed)));

        let mut answers = self.node.ask(OPERATION, &calls).await?.into_iter();
        let latest: Option<InContext<LatestBlockhash>> = if asks_blockhashes {
            Some(self.node.read(OPERATION, answers.next())?)
        } else {
            None
        };
        let accounts: InContext<Vec<Option<Account>>> = self.node.read(OPERATION, answers.next())?;
        if accounts.value.len() != addresses.len() {
            return Err(self.fault("the node shows another number of accounts than was asked for"));
        }
        let accounts: HashMap<Pubkey, Account> = addresses
            .into_iter()
            .zip(accounts.value)
            .filter_map(|(address, account)| Some((address, account?)))
            .collect();
        if let Some(latest) = latest {
            self.learn(latest.value, accounts.get(&RECENT_BLOCKHASHES))?;
        }
        let mut trials = bodies
            .iter()
            .map(|_| self.trial(answers.next()))
            .collect::<Result<Vec<_>, _>>()?;
        self.try_again(bodies, &mut trials).await?;
        let known = self.known();
        let findings = bodies.iter().zip(trials).map(|(body, trial)| Finding {
            trial,
            source: body.source.and_then(|source| accounts.get(&source).cloned()),
            destination: accounts.get(&body.destination).cloned(),
            mint: accounts.get(&body.asset.mint).cloned(),
            tables: tables_of(body).map(|table| accounts.get(&table).cloned()).collect(),
            lifetime: known.blockhashes.lifetime(body.transaction.blockhash()),
        });
        Ok(findings.map(Some).collect())
    }

    fn fault(&self, cause: &str) -> RailFault {
        self.node.rpc().fault(OPERATION, cause)
    }
}

fn simulation(body: &Body, as_of: AsOf) -> Call {
    simulate_call(body.transaction.wire(), as_of, body.kind == Kind::SmartWallet)
}

/// The accounts that are read for a payment: where the money is, where it goes, the mint where its rules may have
/// changed, and the lookup tables that it names, at most some thirty in its bytes.
fn accounts_of(body: &Body) -> impl Iterator<Item = Pubkey> {
    let mint = (body.asset.program == TokenProgram::Token2022).then_some(body.asset.mint);
    let source = body.source.into_iter();
    source.chain([body.destination]).chain(mint).chain(tables_of(body))
}

/// The lookup tables that the transaction names, in its order.
fn tables_of(body: &Body) -> impl Iterator<Item = Pubkey> {
    body.transaction.lookups().iter().map(|lookup| lookup.account_key)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
