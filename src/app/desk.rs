//! The operator's desk: what whoever runs the facilitator looks at. Reads only; nothing here changes what happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::app::pulse::Glance;
use crate::app::{App, Track};
use crate::domain::amount::Amount;
use crate::domain::budget::settlements_left;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::Standing;
use crate::domain::time::Timestamp;
use crate::store::{
    Burn, Cursor, DateTime, Endpoint, Glimpse, Grouping, LaneRecord, Open, Reach, Shown, Store, StoreFault, Story,
    Telling, Utc, Volume, in_time,
};

/// How long a network may take to say what is final. One that takes longer is shown without it.
const CHAIN_PATIENCE: Duration = Duration::from_secs(2);

/// For how long volumes that were counted are shown again: however many look, the database counts them once.
const VOLUME_HOLDS: Duration = Duration::from_secs(15);

/// How many of the newest deliveries are shown.
const DELIVERIES_SHOWN: u16 = 50;

/// An asset as the operator calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Its network.
    pub network: NetworkId,
    /// Its address, canonical text.
    pub asset: String,
    /// What reports call it.
    pub symbol: String,
    /// Digits after the point.
    pub decimals: u8,
}

/// A span of time that volumes are shown over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// The last 24 hours, by the hour.
    Day,
    /// The last 30 days, by the day, UTC.
    Month,
}

impl Period {
    /// How many seconds one sum is over.
    #[must_use]
    pub const fn span_seconds(self) -> u32 {
        match self {
            Self::Day => 3_600,
            Self::Month => 86_400,
        }
    }

    /// Where it begins for whoever looks now: a whole span ends it that is not over yet.
    #[must_use]
    pub fn since(self, now: Timestamp) -> Timestamp {
        let spans: u64 = match self {
            Self::Day => 24,
            Self::Month => 30,
        };
        let span = u64::from(self.span_seconds());
        let begun = now.0.checked_div(span).unwrap_or_default().saturating_add(1);
        Timestamp(begun.saturating_sub(spans).saturating_mul(span))
    }
}

/// What was paid over a period.
#[derive(Debug, Clone)]
pub struct Volumes {
    /// Where the period begins.
    pub since: Timestamp,
    /// When it was counted.
    pub as_of: Timestamp,
    /// Since when payments are counted, where that is later: not all of them are.
    pub counted_from: Option<DateTime<Utc>>,
    /// The sums.
    pub sums: Vec<Volume>,
}

/// A signer and how long its money will do.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Its lane.
    pub lane: LaneRecord,
    /// This process is configured with it. What follows is only known of such.
    pub is_ours: bool,
    /// Digits after the point of the chain's own coin.
    pub decimals: Option<u8>,
    /// What it held when it was last asked, and when.
    pub balance: Option<(Amount, Timestamp)>,
    /// Less than this, and it takes on no more payments.
    pub balance_min: Option<Amount>,
    /// For how many settlements that will do at their worst.
    pub settlements_left: Option<u64>,
    /// What it has spent within the last day; none where it has sent nothing.
    pub burn: Option<Burn>,
}

/// How a network does.
#[derive(Debug, Clone)]
pub struct Health {
    /// Which.
    pub network: NetworkId,
    /// What was last seen of its chain.
    pub seen: Option<Glance>,
    /// It makes no blocks: nothing new is begun on it.
    pub is_stalled: bool,
    /// None of its signers holds enough: it is not offered.
    pub is_withdrawn: bool,
    /// The newest finalized block; none where the chain does not say now.
    pub finalized: Option<u64>,
    /// Its endpoints, in the order of the configuration.
    pub endpoints: Vec<Standing>,
    /// How far its accounts were read.
    pub reach: Option<Reach>,
    /// Its open settlements.
    pub open: Vec<Open>,
    /// How many exceptions nobody has handled.
    pub exceptions: u64,
}

type Counted = HashMap<(Period, Grouping), (Instant, Arc<Volumes>)>;

/// The desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    app: Arc<App>,
    store: Store,
    coins: Arc<[Coin]>,
    /// What was counted lately. Held while counting, so that one counts at a time.
    counted: Arc<Mutex<Counted>>,
}

impl Desk {
    /// A desk over these use cases and records.
    #[must_use]
    pub fn new(app: Arc<App>, store: Store, coins: Vec<Coin>) -> Self {
        Self {
            app,
            store,
            coins: coins.into(),
            counted: Arc::default(),
        }
    }

    /// The assets that are configured.
    #[must_use]
    pub fn coins(&self) -> &[Coin] {
        &self.coins
    }

    /// The networks that are served, and the digits after the point of each one's own coin.
    pub fn networks(&self) -> impl Iterator<Item = (&NetworkId, u8)> {
        self.app.rails().map(|rail| (&rail.id().network, rail.purse().decimals))
    }

    /// An account in its chain's canonical text; as it was given where no chain knows such a text.
    #[must_use]
    pub fn canonical(&self, account: String) -> String {
        self.app
            .rails()
            .find_map(|rail| rail.canonical_account(&account))
            .unwrap_or(account)
    }

    /// The newest payments before `before`, and where the next page begins.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn newest(
        &self,
        shown: &Shown,
        before: Option<Cursor>,
        limit: u16,
    ) -> Result<(Vec<Glimpse>, Option<Cursor>), StoreFault> {
        in_time("payments_newest", self.store.payments_newest(shown, before, limit)).await
    }

    /// What is on record of a payment beside its record and its events.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn story(&self, payment: PaymentId) -> Result<Story, StoreFault> {
        in_time("payment_story", self.store.payment_story(payment)).await
    }

    /// Every signer on record, by network.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn signers(&self) -> Result<Vec<Signer>, StoreFault> {
        let lanes = in_time("lanes_list", self.store.lanes_list()).await?;
        let burns = in_time("signers_burn", self.store.signers_burn()).await?;
        let signer = |lane: LaneRecord| {
            let track = self.app.rails.values().find(|it| it.rail.lanes().contains(&lane.lane));
            let purse = track.map(|it| it.rail.purse());
            let balance = track.and_then(|it| it.held.of(&lane.lane));
            Signer {
                is_ours: track.is_some(),
                decimals: purse.map(|it| it.decimals),
                balance,
                balance_min: purse.map(|it| it.balance_min),
                settlements_left: purse
                    .zip(balance)
                    .map(|(purse, (balance, _))| settlements_left(balance, purse.settlement_max)),
                burn: burns.iter().find(|it| it.lane == lane.lane).cloned(),
                lane,
            }
        };
        Ok(lanes.into_iter().map(signer).collect())
    }

    /// How each network does that is served here. Asks each chain once.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn health(&self) -> Result<Vec<Health>, StoreFault> {
        let reaches = in_time("accounts_reach", self.store.accounts_reach()).await?;
        let open = in_time("settlements_standing", self.store.settlements_standing()).await?;
        let exceptions = in_time("exceptions_waiting", self.store.exceptions_waiting()).await?;
        let health = async |track: &Track| {
            let network = &track.rail.id().network;
            let finalized = tokio::time::timeout(CHAIN_PATIENCE, track.rail.finalized()).await;
            Health {
                seen: track.pulse.glance(),
                is_stalled: track.is_stalled(),
                is_withdrawn: track.board.able(track.rail.lanes()).is_empty(),
                finalized: finalized.ok().and_then(Result::ok),
                endpoints: track.rail.endpoints(),
                reach: reaches.iter().find(|it| it.network == *network).cloned(),
                open: open.iter().filter(|it| it.network == *network).cloned().collect(),
                exceptions: exceptions.iter().find(|it| it.0 == *network).map_or(0, |it| it.1),
                network: network.clone(),
            }
        };
        Ok(join_all(self.app.rails.values().map(health)).await)
    }

    /// What was paid over the period; counted anew when that was done longer than 15 s ago.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn volume(&self, period: Period, grouping: Grouping) -> Result<Arc<Volumes>, StoreFault> {
        let mut counted = self.counted.lock().await;
        if let Some((at, volumes)) = counted.get(&(period, grouping))
            && at.elapsed() < VOLUME_HOLDS
        {
            return Ok(Arc::clone(volumes));
        }
        let as_of = self.app.clock.now();
        let since = period.since(as_of);
        let begins = i64::try_from(since.0)
            .ok()
            .and_then(|it| DateTime::from_timestamp(it, 0));
        let span = match grouping {
            Grouping::Asset => period.span_seconds(),
            // One sum over all of it: none of its spans begins within it.
            Grouping::Recipient | Grouping::Tenant => u32::MAX,
        };
        let work = self
            .store
            .volume(begins.unwrap_or(DateTime::UNIX_EPOCH), span, grouping);
        let (sums, counted_from) = in_time("volume", work).await?;
        let volumes = Arc::new(Volumes {
            since,
            as_of,
            counted_from,
            sums,
        });
        counted.insert((period, grouping), (Instant::now(), Arc::clone(&volumes)));
        Ok(volumes)
    }

    /// Who is told by webhooks, and the newest deliveries.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn webhooks(&self) -> Result<(Vec<Endpoint>, Vec<Telling>), StoreFault> {
        let endpoints = in_time("endpoints_list", self.store.endpoints_list()).await?;
        let newest = self.store.deliveries_newest(DELIVERIES_SHOWN);
        Ok((endpoints, in_time("deliveries_newest", newest).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_with_the_span_that_is_under_way() {
        let noon = Timestamp(1_795_262_400);
        for (period, now, since) in [
            (Period::Day, noon, noon.0 - 23 * 3_600),
            (Period::Day, Timestamp(noon.0 + 3_599), noon.0 - 23 * 3_600),
            (Period::Month, noon, noon.0 - 12 * 3_600 - 29 * 86_400),
            (Period::Day, Timestamp(0), 0),
        ] {
            assert_eq!(period.since(now), Timestamp(since), "{period:?} at {now:?}");
        }
    }
}
