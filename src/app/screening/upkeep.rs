//! Keeps the lists in memory what they are elsewhere, has OFAC's fetched again in time, and shows how old they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::lists::{FILE_MAX, List, Own};
use super::settings::{FILE, OFAC};
use super::{On, Screening, fetch};
use crate::domain::screening::{Found, key};
use crate::domain::time::{Clock, Timestamp};
use crate::store::{Edition, ListReplaced};
use crate::task::{Tasks, guarded};

/// The pause between two looks at the operator's file and the records.
const EVERY: Duration = Duration::from_secs(2);

/// After how many looks the accounts on record are screened again though no list has changed, since there may be more of them:
/// half a minute.
const REVIEW_EVERY: u32 = 15;

/// The pause after a refresh that failed, in seconds; twice as long after each further one.
const PAUSE_FIRST: u64 = 30;
const PAUSE_MAX: u64 = 1800;

/// What one process remembers between two looks.
#[derive(Default)]
struct Remembered {
    /// Of OFAC's list: which edition is in memory.
    edition: Option<u64>,
    /// The accounts on record were looked at with the lists as they are.
    is_reviewed: bool,
    /// How many looks there were since.
    looks: u32,
    /// What is wrong with the operator's list; told once.
    wrong: Option<String>,
}

/// What it remembers between two fetches.
#[derive(Default)]
struct Fetches {
    /// Nothing is fetched before this.
    not_before: Timestamp,
    failures: u32,
}

impl Screening {
    /// Reads the lists for the first time.
    ///
    /// # Errors
    /// The operator's own list cannot be read, or the database not asked.
    pub async fn load(&self, now: Timestamp) -> Result<(), String> {
        let Some(on) = &self.on else {
            return Ok(());
        };
        on.read_file(now)
            .await
            .map_err(|what| format!("screening.file.path: {what}"))?;
        on.read_ofac(&mut Remembered::default())
            .await
            .map_err(|fault| fault.to_string())?;
        Ok(())
    }

    /// Keeps the lists, in the background, until told to stop.
    pub fn start(self: &Arc<Self>, clock: Arc<dyn Clock>, tasks: &Tasks) {
        if self.on.is_none() {
            return;
        }
        let (screening, stop, time) = (Arc::clone(self), tasks.stop_signal(), Arc::clone(&clock));
        tasks.spawn("screening", async move { screening.look_after(&*time, &stop).await });
        let (screening, stop) = (Arc::clone(self), tasks.stop_signal());
        // A fetch may take minutes, in which the lists are looked after all the same.
        tasks.spawn("screening refresh", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = screening.fetch_in_time(&*clock) => {}
            }
        });
    }

    async fn look_after(&self, clock: &dyn Clock, stop: &CancellationToken) {
        let Some(on) = &self.on else {
            return;
        };
        let mut remembered = Remembered::default();
        loop {
            guarded(self.look(on, clock.now(), &mut remembered)).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn fetch_in_time(&self, clock: &dyn Clock) {
        let Some(on) = &self.on else {
            return;
        };
        let mut fetches = Fetches::default();
        loop {
            guarded(on.refresh(clock, &mut fetches)).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self, on: &On, now: Timestamp, remembered: &mut Remembered) {
        match on.read_file(now).await {
            Ok(is_new) => {
                remembered.is_reviewed &= !is_new;
                remembered.wrong = None;
            }
            Err(what) if remembered.wrong.as_ref() == Some(&what) => {}
            Err(what) => {
                failed(FILE, &what);
                remembered.wrong = Some(what);
            }
        }
        match on.read_ofac(remembered).await {
            Ok(is_new) => remembered.is_reviewed &= !is_new,
            Err(fault) => tracing::warn!(error = %fault, "the list on record could not be read"),
        }
        on.show(now);
        remembered.looks = remembered.looks.saturating_add(1);
        if !remembered.is_reviewed || remembered.looks >= REVIEW_EVERY {
            remembered.looks = 0;
            match self.review(on, now).await {
                Ok(()) => remembered.is_reviewed = true,
                Err(fault) => tracing::warn!(error = %fault, "the accounts on record could not be screened again"),
            }
        }
    }
}

impl On {
    /// Reads the operator's own list, if there is one. Whether it is another than before. What cannot be read leaves the last
    /// one standing, until it is too old.
    async fn read_file(&self, now: Timestamp) -> Result<bool, String> {
        let Some(file) = &self.settings.file else {
            return Ok(false);
        };
        let mut text = String::new();
        let opened = tokio::fs::File::open(&file.path).await;
        let mut opened = opened
            .map_err(|error| format!("cannot be read: {}", error.kind()))?
            .take(FILE_MAX);
        let length = opened.read_to_string(&mut text).await;
        let length = length.map_err(|error| format!("cannot be read: {}", error.kind()))?;
        if u64::try_from(length).unwrap_or(u64::MAX) >= FILE_MAX {
            return Err("has more than 16 MiB".to_owned());
        }
        let own = Own::read(&text)?;
        let list = List::new(&own.sha256, own.denied, self.good_until(now));
        let is_new = self.lists().file.as_ref().map(|it| &it.version) != Some(&list.version);
        self.set_list(|lists| {
            lists.file = Some(list);
            lists.allowed = own.allowed;
        });
        Ok(is_new)
    }

    /// Reads the newest edition on record, if there is one. Whether it is another than before.
    async fn read_ofac(&self, remembered: &mut Remembered) -> Result<bool, crate::store::StoreFault> {
        if self.settings.ofac.is_none() {
            return Ok(false);
        }
        let Some(newest) = self.store.screening_list(OFAC).await? else {
            return Ok(false);
        };
        let good_until = self.good_until(checked(&newest));
        if remembered.edition == Some(newest.number) {
            self.set_list(|lists| {
                if let Some(list) = &mut lists.ofac {
                    list.good_until = good_until;
                }
            });
            return Ok(false);
        }
        let entries = self.store.screening_entries(OFAC).await?;
        let list = List::new(&newest.sha256, entries, good_until);
        tracing::info!(
            edition = newest.number,
            published = newest.published,
            addresses = list.len(),
            "OFAC's list read"
        );
        self.set_list(|lists| lists.ofac = Some(list));
        remembered.edition = Some(newest.number);
        Ok(true)
    }

    /// Fetches OFAC's list once that is due. Several processes may, which does no harm.
    async fn refresh(&self, clock: &dyn Clock, fetches: &mut Fetches) {
        let Some(settings) = self.settings.ofac.as_ref().filter(|it| it.refresh_hours > 0) else {
            return;
        };
        let now = clock.now();
        if now < fetches.not_before {
            return;
        }
        let Ok(newest) = self.store.screening_list(OFAC).await else {
            return;
        };
        let due = newest.map_or(Timestamp(0), |it| {
            checked(&it).plus(settings.refresh_hours.saturating_mul(3600))
        });
        if now < due {
            return;
        }
        match fetch::fetch(settings, &self.outbound, &self.store, false).await {
            Ok(fetch::Refreshed {
                became: ListReplaced::Shrunk { had, has },
                ..
            }) => Self::again(fetches, clock.now(), &format!("it has {has} addresses and had {had}")),
            Ok(refreshed) => {
                fetches.failures = 0;
                tracing::info!(
                    published = refreshed.published,
                    addresses = refreshed.entries,
                    "OFAC's list fetched"
                );
            }
            Err(unfetched) => Self::again(fetches, clock.now(), &unfetched.to_string()),
        }
    }

    fn again(fetches: &mut Fetches, now: Timestamp, what: &str) {
        let pause = PAUSE_FIRST
            .saturating_mul(2_u64.saturating_pow(fetches.failures))
            .min(PAUSE_MAX);
        fetches.failures = fetches.failures.saturating_add(1);
        fetches.not_before = now.plus(pause);
        failed(OFAC, what);
    }

    /// Shows how the lists are.
    fn show(&self, now: Timestamp) {
        let lists = self.lists();
        for (source, list) in [(FILE, &lists.file), (OFAC, &lists.ofac)] {
            if !self.names.contains(&source) {
                continue;
            }
            let good_until = list.as_ref().map(|it| it.good_until);
            let entries = list.as_ref().map_or(0, List::len);
            let left = good_until.map_or(0, |it| it.since(now));
            metrics::gauge!("facilitator_screening_list_addresses", "source" => source)
                .set(u32::try_from(entries).unwrap_or(u32::MAX));
            metrics::gauge!("facilitator_screening_list_seconds_left", "source" => source)
                .set(u32::try_from(left).unwrap_or(u32::MAX));
        }
    }

    /// Whether the list has the account.
    pub(super) fn has(&self, source: &str, address: &str, now: Timestamp) -> bool {
        let looks = self.lists().look(&self.names, &key(address), now);
        looks
            .iter()
            .any(|it| it.source == source && matches!(it.found, Found::Listed(_)))
    }
}

fn checked(edition: &Edition) -> Timestamp {
    Timestamp(u64::try_from(edition.checked_at.timestamp()).unwrap_or_default())
}

fn failed(source: &'static str, what: &str) {
    metrics::counter!("facilitator_screening_faults_total", "source" => source).increment(1);
    tracing::warn!(source, error = what, "a screening list could not be refreshed");
}
