//! Closes the days of every network once nothing of them can change any more.

use std::sync::Arc;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tokio_util::sync::CancellationToken;

use crate::app::AskFault;
use crate::domain::calendar::Calendar;
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::statement::{Period, Statement};
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreFault};
use crate::task::guarded;

/// The pause between two looks at whether a day is over.
const EVERY: Duration = Duration::from_mins(1);

/// When days begin and end.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The time zone of the days, by its name in the IANA database. A day that was closed stays as it was closed.
    #[serde(deserialize_with = "zone")]
    pub time_zone: Calendar,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: Calendar::UTC,
        }
    }
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Calendar, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(D::Error::custom)
}

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

    /// Closes every day of the rail's network that is over by the chain's own finalized time, and of which nothing that
    /// has landed can still be taken back.
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
            closed.extend(self.store.statements_close(network, day).await?);
            match self.next_day(network).await? {
                Some(next) if next.starts >= day.ends => day = next,
                _ => break,
            }
        }
        Ok(closed)
    }

    /// The day to close next: that of the oldest payment on no statement, or the first one after those that are closed.
    async fn next_day(&self, network: &NetworkId) -> Result<Option<Period>, StoreFault> {
        let Some(oldest) = self.store.statements_open(network).await? else {
            return Ok(None);
        };
        let closed = self.store.statements_closed(network).await?;
        Ok(self
            .calendar
            .day_of(closed.map_or(oldest, |ends: Timestamp| ends.max(oldest))))
    }
}

fn announce(statement: &Statement) {
    tracing::info!(
        network = %statement.account.network, asset = statement.account.asset, pay_to = statement.account.pay_to,
        statement.sequence = statement.sequence, statement.lines = statement.lines, "statement closed"
    );
}
