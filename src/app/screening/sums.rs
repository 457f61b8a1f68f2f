//! What each payer has paid each tenant in all within a day, a week and a month, held against thresholds such as those of the Travel Rule.
//! Single payments hardly ever reach one; many together do.
//!
//! Follows the feed for what became final, in the background: settling does nothing for it. Sums are kept by the hour, and a span
//! counts whole hours, so that it is at most one hour longer than it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::settings::Unfit;
use crate::domain::event::EventId;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::time::Clock;
use crate::export::Decimals;
use crate::store::{FEED_PAGE_MAX, Happening, Store, StoreFault, Threshold};
use crate::task::{Tasks, guarded};

/// The pause between two looks at the feed, and after how many of them what is too old is forgotten: about an hour.
const EVERY: Duration = Duration::from_secs(2);
const FORGET_EVERY: u64 = 1800;

/// Spans, with the hours that each has.
const SPANS: [(&str, u64); 3] = [("day", 24), ("week", 7 * 24), ("month", 30 * 24)];

/// Hours that are kept: those of the longest span, and a day.
const KEPT: u64 = 31 * 24;

const FINALIZED: &str = "payment.finalized";

/// As much as this of an asset, paid by one payer to one tenant, is told of. Whole units, as `"1000"` or `"999.99"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdSettings {
    /// On which network.
    pub network: NetworkId,
    /// In which asset.
    pub asset: String,
    /// Within 24 hours.
    pub day: Option<String>,
    /// Within 7 days.
    pub week: Option<String>,
    /// Within 30 days.
    pub month: Option<String>,
}

/// The thresholds in atomic units.
///
/// # Errors
/// Names the key, and what was expected there.
pub fn thresholds(
    settings: &[ThresholdSettings],
    decimals: &Decimals,
    canonical: fn(&str) -> Option<String>,
) -> Result<Vec<Threshold>, Unfit> {
    let mut found = BTreeMap::new();
    for (index, it) in settings.iter().enumerate() {
        let unfit = |key: &str, what: &str| Unfit {
            key: format!("threshold[{index}]{key}"),
            what: what.to_owned(),
        };
        let asset = canonical(&it.asset).ok_or_else(|| unfit(".asset", "expected an asset's address"))?;
        let places = decimals.of(&it.network, &asset);
        let places = places.ok_or_else(|| unfit(".asset", "expected one of the network's assets"))?;
        let given = [&it.day, &it.week, &it.month];
        if given.iter().all(|amount| amount.is_none()) {
            return Err(unfit("", "expected one of day, week and month"));
        }
        for ((span, hours), amount) in SPANS.into_iter().zip(given) {
            let Some(amount) = amount else {
                continue;
            };
            let least = units(amount, places).filter(|it| *it > 0);
            let least =
                least.ok_or_else(|| unfit(&format!(".{span}"), "expected an amount such as \"1000\" or \"999.99\""))?;
            let threshold = Threshold {
                network: it.network.clone(),
                asset: asset.clone(),
                span,
                hours,
                least,
            };
            if found
                .insert((it.network.clone(), asset.clone(), span), threshold)
                .is_some()
            {
                return Err(unfit(&format!(".{span}"), "expected each span of an asset once"));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Whole units with up to so many digits after the point, in atomic units.
fn units(text: &str, places: u8) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let missing = usize::from(places).checked_sub(part.trim_end_matches('0').len())?;
    if !is_digits(whole) || !is_digits(part) {
        return None;
    }
    format!("{whole}{}{}", part.trim_end_matches('0'), "0".repeat(missing))
        .parse()
        .ok()
}

/// Follows the feed in the background, until told to stop.
pub fn start(thresholds: Vec<Threshold>, store: Store, clock: Arc<dyn Clock>, tasks: &Tasks) {
    if thresholds.is_empty() {
        return;
    }
    let stop = tasks.stop_signal();
    tasks.spawn("sums", async move { run(&thresholds, &store, &*clock, &stop).await });
}

async fn run(thresholds: &[Threshold], store: &Store, clock: &dyn Clock, stop: &CancellationToken) {
    let mut round: u64 = 0;
    loop {
        if let Some(Err(fault)) = guarded(follow(thresholds, store, stop)).await {
            tracing::warn!(error = %fault, "what payers have paid in all could not be followed");
        }
        if round.is_multiple_of(FORGET_EVERY) {
            let oldest = (clock.now().0 / 3600).saturating_sub(KEPT);
            if let Some(Err(fault)) = guarded(store.sums_forget(oldest)).await {
                tracing::warn!(error = %fault, "sums that are too old are kept");
            }
        }
        round = round.wrapping_add(1);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Adds all that the feed has.
async fn follow(thresholds: &[Threshold], store: &Store, stop: &CancellationToken) -> Result<(), StoreFault> {
    while !stop.is_cancelled() {
        let from = store.sums_place().await?;
        let page = store.feed_page(from, FEED_PAGE_MAX).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        let finalized: Vec<(PaymentId, u64)> = page.iter().filter_map(finalized).collect();
        for crossed in store.sums_add([from, last.place], &finalized, thresholds).await? {
            tracing::warn!(
                tenant = %crossed.tenant, network = %crossed.network, payer = crossed.payer, span = crossed.span, amount = crossed.amount,
                "somebody has paid a tenant as much as a threshold"
            );
        }
    }
    Ok(())
}

fn finalized(it: &Happening) -> Option<(PaymentId, u64)> {
    let EventId::Payment(payment, _) = it.event.id else {
        return None;
    };
    let hour = u64::try_from(it.event.at.timestamp()).ok()? / 3600;
    (it.event.kind == FINALIZED).then_some((payment, hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_in_whole_units() {
        for (text, places, expected) in [
            ("1000", 6, Some(1_000_000_000)),
            ("999.99", 6, Some(999_990_000)),
            ("0.000001", 6, Some(1)),
            ("0.0000010", 6, Some(1)),
            ("0.0000001", 6, None),
            ("7", 0, Some(7)),
            ("", 6, None),
            (".5", 6, None),
            ("5.", 6, None),
            ("-1", 6, None),
            ("1e3", 6, None),
        ] {
            assert_eq!(units(text, places), expected, "{text}");
        }
    }
}
