//! Closes the days of every network once nothing of them can change any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::AskFault;
use crate::app::reconcile::{ACCOUNTS_MAX, Reconciliation};
use crate::domain::calendar::Calendar;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, Rail, RailFault};
use crate::domain::reconciliation::{self, Held};
use crate::domain::statement::{Account, Balance, Bounds, Period, Statement};
use crate::domain::time::Timestamp;
use crate::store::{Due, Store, StoreFault};
use crate::task::guarded;

/// The pause between two looks at whether a day is over.
const EVERY: Duration = Duration::from_mins(1);

/// What closes the days.
#[derive(Clone)]
pub struct Closing {
    /// The records.
    pub store: Store,
    /// The rails; each network's days are closed once, whichever of its rails are here.
    pub rails: Vec<Arc<dyn Rail>>,
    /// When days begin and end.
    pub calendar: Calendar,
}

impl Closing {
    /// Closes what is due, until told to stop. What could not be closed is tried again.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            for rail in self.networks() {
                match guarded(self.close_due(rail)).await {
                    Some(Err(fault)) => {
                        tracing::warn!(network = %rail.id().network, error = %fault, "no statement could be closed");
                    }
                    Some(Ok(closed)) => closed.iter().for_each(announce),
                    None => {}
                }
                if let Some(Err(fault)) = guarded(self.measure(rail)).await {
                    tracing::warn!(network = %rail.id().network, error = %fault, "what stays open could not be measured");
                }
            }
        }
    }

    /// One rail of each network.
    pub fn networks(&self) -> impl Iterator<Item = &dyn Rail> {
        let mut known: Vec<&NetworkId> = Vec::new();
        self.rails.iter().map(AsRef::as_ref).filter(move |rail| {
            let network = &rail.id().network;
            let is_new = !known.contains(&network);
            known.push(network);
            is_new
        })
    }

    /// Closes every day of the rail's network that is over by the chain's own finalized time, of which nothing that has
    /// landed can still be taken back, and whose blocks the reconciliation has read for every account that it can read: so
    /// that nothing of the chain comes late.
    ///
    /// # Errors
    /// [`AskFault`]; the days before stay closed.
    pub async fn close_due(&self, rail: &dyn Rail) -> Result<Vec<Statement>, AskFault> {
        let network = &rail.id().network;
        let mut closed = Vec::new();
        let Some(mut day) = self.next_day(network).await? else {
            return Ok(closed);
        };
        let final_until = rail.final_until().await?;
        while day.ends <= final_until && !self.store.statements_unsettled(network, day.ends).await? {
            let due = self.store.statements_due(network, day).await?;
            let Some(cut) = rail.last_before(day.ends).await? else {
                break;
            };
            if !self.is_read(rail, &due, cut.height).await? {
                break;
            }
            let held = held(rail, &due, &cut).await?;
            let statements = self.store.statements_close(network, day, &held).await?;
            let was_closed = !statements.is_empty();
            closed.extend(statements);
            match self.next_day(network).await? {
                Some(next) if was_closed && next.starts >= day.ends => day = next,
                _ => break,
            }
        }
        Ok(closed)
    }

    /// Measures for how long the oldest day that is final has not been closed.
    async fn measure(&self, rail: &dyn Rail) -> Result<(), AskFault> {
        let network = &rail.id().network;
        let (day, final_until) = (self.next_day(network).await?, rail.final_until().await?);
        let lag = day.map_or(0, |day| final_until.0.saturating_sub(day.ends.0));
        metrics::gauge!("facilitator_statement_lag_seconds", "network" => network.to_string())
            .set(u32::try_from(lag).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Whether every day of the rail's network that ends by this time is closed, or had nothing to close: so that nothing of
    /// the chain before it comes late.
    ///
    /// # Errors
    /// [`AskFault`].
    pub async fn is_closed(&self, rail: &dyn Rail, ends: Timestamp) -> Result<bool, AskFault> {
        let network = &rail.id().network;
        if rail.final_until().await? < ends || self.store.statements_unsettled(network, ends).await? {
            return Ok(false);
        }
        if let Some(cut) = rail.last_before(ends).await?
            && !self.is_read(rail, &[], cut.height).await?
        {
            return Ok(false);
        }
        let open = self.next_day(network).await?;
        Ok(open.is_none_or(|day| day.starts >= ends))
    }

    /// Whether the reconciliation has read the blocks up to this one, of every account that it follows and of those that a
    /// statement is due of, as far as the rail can read them.
    async fn is_read(&self, rail: &dyn Rail, due: &[Due], height: u64) -> Result<bool, StoreFault> {
        let store = &self.store;
        if !(Reconciliation { store, rail }).is_read(height).await? {
            return Ok(false);
        }
        let due: Vec<_> = due.iter().map(|it| followed_as(&it.account)).collect();
        let readable: Vec<_> = due.into_iter().filter(|it| rail.reads(it)).collect();
        let followed = store.accounts_watched_of(&rail.id().network, &readable).await?;
        Ok(followed.len() == readable.len())
    }

    /// The day to close next: that of the oldest payment or transfer on no statement, from the end of those that are closed
    /// on.
    async fn next_day(&self, network: &NetworkId) -> Result<Option<Period>, StoreFault> {
        let Some(oldest) = self.store.statements_open(network).await? else {
            return Ok(None);
        };
        let closed = self.store.statements_closed(network).await?;
        let day = self.calendar.day_of(closed.map_or(oldest, |ends| ends.max(oldest)));
        Ok(day.map(|day| Period {
            // After another time zone was set, a day may have begun on an earlier statement.
            starts: closed.map_or(day.starts, |ends| ends.max(day.starts)),
            ..day
        }))
    }
}

/// What the accounts held around the period that this block is the last of, as far as a node knows: after that block, or
/// after the last one that moved something where the chain only tells of those; and before the first block that counts,
/// where that is asked.
async fn held(rail: &dyn Rail, due: &[Due], cut: &ChainPoint) -> Result<HashMap<Account, Bounds>, RailFault> {
    let mut held: HashMap<Account, Bounds> = HashMap::new();
    for some in due.chunks(ACCOUNTS_MAX) {
        let readable = some.iter().filter(|it| rail.reads(&followed_as(&it.account)));
        let after = around(rail, &readable.clone().collect::<Vec<_>>(), cut.height).await?;
        for (due, after) in readable.zip(after) {
            let mut amount = after.after;
            if let (None, Some(height)) = (amount, due.last_height) {
                amount = around(rail, &[due], height).await?.pop().and_then(|it| it.after);
            }
            let mut bounds = Bounds {
                opening: None,
                closing: amount.map(|amount| Balance {
                    block: cut.clone(),
                    amount,
                }),
            };
            if due.is_first {
                let first = around(rail, &[due], due.first_height).await?.pop();
                bounds.opening = first.and_then(|it| it.before);
            }
            held.insert(due.account.clone(), bounds);
        }
    }
    for due in due {
        held.entry(due.account.clone()).or_default();
    }
    Ok(held)
}

/// What the accounts held before and after this block.
async fn around(rail: &dyn Rail, due: &[&Due], height: u64) -> Result<Vec<Held>, RailFault> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: Vec<_> = due.iter().map(|it| followed_as(&it.account)).collect();
    Ok(rail.scan(&accounts, height..=height).await?.balances)
}

/// The account as the reconciliation follows it.
fn followed_as(account: &Account) -> reconciliation::Account {
    reconciliation::Account {
        asset: account.asset.clone(),
        holder: account.pay_to.clone(),
    }
}

fn announce(statement: &Statement) {
    tracing::info!(
        network = %statement.account.network, asset = statement.account.asset, pay_to = statement.account.pay_to,
        statement.sequence = statement.sequence, statement.lines = statement.lines, "statement closed"
    );
}
