//! Delivers reports by themselves: for each schedule the report of every period that is over, once, to where it says.
//!
//! Any number of processes do this at once, for each schedule apart, so that a place that hangs holds up nothing else. What is
//! owed, and who delivers it, is on record; the report is made as any other that is ordered, once, so that what is sent again is
//! the same bytes under the same name. The file comes first and its manifest last: whoever sees the manifest has the whole
//! file. What fails is tried again after anything up to 20 s, 40 s and so on up to 4 h, for 7 days; after an hour, and when it
//! is given up, that is an event. Periods that went by while nothing ran are made up for, back to the newest [`OWED_MAX`].

pub mod place;
pub mod schedule;

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::place::{Astray, Sending};
use self::schedule::{Due, Schedule};
use super::Reports;
use super::encode::Format;
use crate::app::statements::Closing;
use crate::app::{AskFault, SystemClock};
use crate::domain::id::ReportId;
use crate::domain::time::Clock;
use crate::export::csv::{rfc3339, time};
use crate::outbound::bucket::PATIENCE;
use crate::store::{Delivering, Failed, Pauses, Progress, Report, StoreFault};
use crate::task::guarded;

/// How often a process looks for what is owed and due.
const EVERY: Duration = Duration::from_secs(2);

/// How long a claim holds without a piece sent: longer than a piece may take.
const TERM: Duration = Duration::from_secs(PATIENCE.as_secs().saturating_mul(2));

/// The pause until a report that is being made, and a day that is not closed yet, is looked at again.
const MAKING: Duration = Duration::from_secs(1);
const CLOSING: Duration = Duration::from_secs(30);

/// The most periods of a schedule that are made up for.
pub const OWED_MAX: usize = 62;

const PAUSE_FIRST: Duration = Duration::from_secs(20);
const PAUSE_MAX: Duration = Duration::from_hours(4);
const TOLD_AFTER: Duration = Duration::from_hours(1);
const GIVEN_UP_AFTER: Duration = Duration::from_hours(7 * 24);

/// What delivers.
pub struct Deliveries {
    /// What makes the reports.
    pub reports: Reports,
    /// What knows whether a day is closed, and when days begin.
    pub closing: Closing,
    /// What is delivered.
    pub schedule: Schedule,
}

/// How an attempt ended.
enum Step {
    /// It is where it goes: under this name.
    Delivered(String),
    /// Not yet: look again after this.
    Wait(Duration),
    /// Somebody else has taken it over.
    Lost,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Asking(#[from] AskFault),
    #[error(transparent)]
    Astray(#[from] Astray),
    #[error("the report cannot be made: {0}")]
    Unmade(String),
    #[error("the report on record is not what was made")]
    Spoiled,
}

impl Deliveries {
    /// Delivers what is due, until told to stop. What was cut off is delivered again.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let work = async {
                self.owe().await?;
                while let Some(it) = self.reports.store.delivery_take(&self.schedule.name, TERM).await? {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        delivered = self.deliver(&it) => delivered?,
                    }
                }
                self.measure().await
            };
            if let Some(Err::<(), StoreFault>(fault)) = guarded(work).await {
                tracing::warn!(error = %fault, "no report could be delivered");
            }
        }
    }

    /// Puts on record what is owed by now.
    async fn owe(&self) -> Result<(), StoreFault> {
        let (now, calendar) = (SystemClock.now(), self.closing.calendar);
        let (store, schedule) = (&self.reports.store, &self.schedule);
        let last = store.delivery_last(&schedule.name).await?;
        let over = calendar.periods_over(schedule.cadence, last, now, OWED_MAX);
        let due = over.into_iter().map(|it| (it, schedule.due_at(it, calendar)));
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            return Ok(());
        }
        store.deliveries_owe(&schedule.name, &due).await
    }

    async fn measure(&self) -> Result<(), StoreFault> {
        let name = &self.schedule.name;
        let lag = self.reports.store.delivery_lag(name).await?.unwrap_or(0).max(0);
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        metrics::gauge!("facilitator_report_delivery_lag_seconds", "schedule" => name.clone()).set(lag);
        Ok(())
    }

    async fn deliver(&self, it: &Delivering) -> Result<(), StoreFault> {
        let (store, schedule) = (&self.reports.store, &self.schedule);
        let period = self.closing.calendar.name_of(schedule.cadence, it.period.starts);
        let period = period.unwrap_or_default();
        match self.attempt(it, &period).await {
            Ok(Step::Lost) => Ok(()),
            Ok(Step::Wait(pause)) => store.delivery_put_off(it, pause).await.map(drop),
            Ok(Step::Delivered(name)) => {
                if store.delivery_made(it, &name).await? {
                    count(schedule, "delivered");
                    tracing::info!(schedule = it.schedule, period, name, "report delivered");
                }
                Ok(())
            }
            Err(Miss::Store(fault)) => Err(fault),
            Err(miss) => {
                let outcome = miss.to_string();
                let failed = store.delivery_missed(it, &outcome, pauses(it.failures)).await?;
                let failures = it.failures.saturating_add(1);
                match failed {
                    Failed::Lost => {}
                    Failed::Again => {
                        count(schedule, "failed");
                        tracing::info!(
                            schedule = it.schedule,
                            period,
                            failures,
                            outcome,
                            "report not delivered"
                        );
                    }
                    Failed::Told => {
                        count(schedule, "failed");
                        tracing::warn!(
                            schedule = it.schedule,
                            period,
                            failures,
                            outcome,
                            "report not delivered for long"
                        );
                    }
                    Failed::GivenUp => {
                        count(schedule, "given_up");
                        tracing::error!(
                            schedule = it.schedule,
                            period,
                            failures,
                            outcome,
                            "report delivery given up"
                        );
                    }
                }
                Ok(())
            }
        }
    }

    async fn attempt(&self, it: &Delivering, period: &str) -> Result<Step, Miss> {
        let known = match it.report {
            Some(id) => self.reports.store.report_get(id).await?,
            None if !self.is_over(it).await? => return Ok(Step::Wait(CLOSING)),
            None => None,
        };
        let Some(report) = known else {
            return self.order(it).await;
        };
        match &report.progress {
            Progress::Queued | Progress::Running => Ok(Step::Wait(MAKING)),
            Progress::Failed { failure } => {
                let failure = failure.clone();
                self.order(it).await?;
                Err(Miss::Unmade(failure))
            }
            Progress::Done { sha256, totals } => self.ship(it, period, &report, sha256, totals).await,
        }
    }

    /// Whether all is known that the period's report is of.
    async fn is_over(&self, it: &Delivering) -> Result<bool, Miss> {
        if self.schedule.due != Due::Closed {
            return Ok(true);
        }
        for rail in self
            .closing
            .networks()
            .filter(|rail| self.schedule.is_of(&rail.id().network))
        {
            if !self.closing.is_closed(rail, it.period.ends).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has the report made; what failed is made anew.
    async fn order(&self, it: &Delivering) -> Result<Step, Miss> {
        let canonical = |text: &str| {
            let rails = &self.closing.rails;
            rails.iter().find_map(|rail| rail.canonical_account(text))
        };
        let order = self.schedule.order(it.period, canonical).map_err(Miss::Unmade)?;
        let tag = format!("{}/{}/{}", it.schedule, it.period.starts.0, it.period.ends.0);
        let reports = match self.schedule.tenant {
            Some(tenant) => self.reports.seen_by(tenant),
            None => self.reports.clone(),
        };
        let Some(report) = reports.order_scheduled(&order, &it.schedule, &tag).await? else {
            return Ok(Step::Wait(CLOSING));
        };
        let is_held = self.reports.store.delivery_ordered(it, report.id).await?;
        Ok(if is_held { Step::Wait(MAKING) } else { Step::Lost })
    }

    async fn ship(
        &self,
        it: &Delivering,
        period: &str,
        report: &Report,
        sha256: &[u8; 32],
        totals: &str,
    ) -> Result<Step, Miss> {
        let edition = report.edition.unwrap_or(1);
        let stem = format!("{}-{period}-{}-v{edition}", it.schedule, report.kind);
        let (name, manifest_name) = (format!("{stem}.{}", report.format), format!("{stem}.manifest.json"));
        let media_type = Format::named(&report.format).map_or("application/octet-stream", Format::media_type);
        let Some(sending) = self.schedule.place.send(&name, media_type, it.claim).await? else {
            // That it is made has been told already.
            return Ok(Step::Delivered(format!("report.ready of {}", report.id)));
        };
        if !self.stream(sending, it, report, sha256).await? {
            return Ok(Step::Lost);
        }
        let manifest = Manifest {
            schedule: &it.schedule,
            kind: &report.kind,
            format: &report.format,
            edition,
            period,
            period_start: time(it.period.starts),
            period_end: time(it.period.ends),
            filter: serde_json::from_str(&report.question).ok(),
            file: &name,
            bytes: report.bytes,
            sha256: hex::encode(sha256),
            rows: report.rows,
            totals: serde_json::from_str(totals).ok(),
            report: report.id,
            made_at: report.ended_at.map(rfc3339),
        };
        let manifest = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        let Some(mut sending) = self
            .schedule
            .place
            .send(&manifest_name, "application/json", it.claim)
            .await?
        else {
            return Ok(Step::Lost);
        };
        sending.write(manifest).await?;
        sending.end().await?;
        Ok(Step::Delivered(name))
    }

    /// Sends the report's bytes, which are to be those that were made; false when somebody else has taken over.
    async fn stream(
        &self,
        mut sending: Sending<'_>,
        it: &Delivering,
        report: &Report,
        sha256: &[u8; 32],
    ) -> Result<bool, Miss> {
        match self.pieces(&mut sending, it, report, sha256).await {
            Ok(true) => sending.end().await.map(|()| true).map_err(Miss::from),
            unfinished => {
                sending.abandon().await;
                unfinished
            }
        }
    }

    async fn pieces(
        &self,
        sending: &mut Sending<'_>,
        it: &Delivering,
        report: &Report,
        sha256: &[u8; 32],
    ) -> Result<bool, Miss> {
        let (mut digest, mut position) = (Sha256::new(), 0_u64);
        while let Some(piece) = self.reports.store.report_read(report.id, position).await? {
            digest.update(&piece);
            sending.write(piece).await?;
            if !self.reports.store.delivery_put_off(it, TERM).await? {
                return Ok(false);
            }
            position = position.saturating_add(1);
        }
        if digest.finalize()[..] == sha256[..] {
            Ok(true)
        } else {
            Err(Miss::Spoiled)
        }
    }
}

/// What stands beside a delivered file. The same bytes each time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schedule: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    format: &'a str,
    edition: u64,
    period: &'a str,
    period_start: String,
    period_end: String,
    filter: Option<&'a RawValue>,
    file: &'a str,
    bytes: u64,
    sha256: String,
    rows: u64,
    totals: Option<&'a RawValue>,
    report: ReportId,
    made_at: Option<String>,
}

fn count(schedule: &Schedule, outcome: &'static str) {
    let labels = [("schedule", schedule.name.clone()), ("outcome", outcome.to_owned())];
    metrics::counter!("facilitator_report_deliveries_total", &labels).increment(1);
}

/// How to go on after so many failures before.
fn pauses(failures: u64) -> Pauses {
    let doublings = u32::try_from(failures).unwrap_or(u32::MAX);
    let most = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(doublings));
    Pauses {
        most: most.min(PAUSE_MAX),
        told_after: TOLD_AFTER,
        patience: GIVEN_UP_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_four_hours() {
        let most = |failures| pauses(failures).most.as_secs();
        assert_eq!([0, 1, 2, 9].map(most), [20, 40, 80, 10_240]);
        assert_eq!([10, 100, u64::MAX].map(most), [14_400; 3]);
    }
}
