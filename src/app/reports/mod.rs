//! Reports: rows of the records in a file, with a count, control totals and a digest. Made at once for whoever asks on the
//! command line, or ordered over HTTP and made in the background by any process, once for each order.

pub mod encode;
pub mod table;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::encode::{Encoder, Format};
use self::table::{Cell, Column};
use crate::app::question::{EXCEPTIONS, FILTERS, Keys};
use crate::domain::amount::Amount;
use crate::domain::id::ExceptionId;
use crate::domain::lease::ProcessId;
use crate::domain::network::NetworkId;
use crate::domain::rejection::Malformed;
use crate::export::Decimals;
use crate::store::{ExceptionFilter, Filter, PAGE_MAX, Piece, Report, ReportOrder, Store, StoreFault, Summary};
use crate::task::guarded;

/// How often a process looks for reports to make.
const EVERY: Duration = Duration::from_secs(1);

/// How long a claim holds without a piece; longer than a page takes to read.
const CLAIM: Duration = Duration::from_mins(1);

/// Bytes of a piece, of which a report has any number.
const PIECE: usize = 1 << 20;

/// How long reports are kept once they are made.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Bytes of a report, and of all that are kept beside the newest: of more, the oldest go.
const BYTES_MAX: u64 = 8 << 30;
const BYTES_KEPT: u64 = 32 << 30;

/// What a report is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Payments and where their money is.
    Settlements,
    /// What reconciliation found.
    Exceptions,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Settlements, Self::Exceptions];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settlements => "settlements",
            Self::Exceptions => "exceptions",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    const fn columns(self) -> &'static [Column] {
        match self {
            Self::Settlements => &table::SETTLEMENTS,
            Self::Exceptions => &table::EXCEPTIONS,
        }
    }
}

/// What somebody wants to have: which rows, and how written.
#[derive(Debug, Clone)]
pub struct Order {
    /// How it is written.
    pub format: Format,
    asked: Asked,
    /// The conditions as they were given.
    question: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
enum Asked {
    Settlements(Box<Filter>),
    Exceptions(ExceptionFilter),
}

impl Asked {
    const fn kind(&self) -> Kind {
        match self {
            Self::Settlements(_) => Kind::Settlements,
            Self::Exceptions(_) => Kind::Exceptions,
        }
    }
}

impl Order {
    /// An order for what meets these conditions: the keys that the kind's listing has. `canonical` gives the text of an
    /// account as records have it.
    ///
    /// # Errors
    /// A condition is not what it must be.
    pub fn new(
        kind: Kind,
        format: Format,
        mut question: BTreeMap<String, String>,
        canonical: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Malformed> {
        for key in ["asset", "payer", "payTo"] {
            if let Some(account) = question.get_mut(key)
                && let Some(text) = canonical(account)
            {
                *account = text;
            }
        }
        let known = match kind {
            Kind::Settlements => FILTERS,
            Kind::Exceptions => EXCEPTIONS,
        };
        let mut keys = Keys::of(question.clone(), known)?;
        let asked = match kind {
            Kind::Settlements => Asked::Settlements(Box::new(keys.filter()?)),
            Kind::Exceptions => Asked::Exceptions(keys.exceptions()?),
        };
        keys.end(known)?;
        Ok(Self {
            format,
            asked,
            question,
        })
    }

    /// The order of a report on record; none when it was put there by a version that knew more.
    fn of(report: &Report) -> Option<Self> {
        let question = serde_json::from_str(&report.question).ok()?;
        Self::new(
            Kind::named(&report.kind)?,
            Format::named(&report.format)?,
            question,
            |_| None,
        )
        .ok()
    }

    /// As it goes on record: what differs in nothing is one report.
    fn on_record(&self, version: u32) -> ReportOrder {
        let (kind, format) = (self.asked.kind().as_str(), self.format.as_str());
        let question = serde_json::json!(self.question).to_string();
        let whole = serde_json::json!([kind, format, version, question]).to_string();
        ReportOrder {
            ordered: Sha256::digest(whole).into(),
            kind,
            format,
            question,
            version,
        }
    }
}

/// Rows and sums by network and asset, to hold against what was received.
#[derive(Debug, Clone, Default)]
pub struct Totals(BTreeMap<NetworkId, BTreeMap<String, Total>>);

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    rows: u64,
    sum: u128,
}

impl Totals {
    fn add(&mut self, network: &NetworkId, asset: &str, amount: Amount) {
        let of_network = self.0.entry(network.clone()).or_default();
        // A name is kept once, though there may be millions of rows.
        if !of_network.contains_key(asset) {
            of_network.insert(asset.to_owned(), Total::default());
        }
        if let Some(total) = of_network.get_mut(asset) {
            total.rows = total.rows.saturating_add(1);
            total.sum = total.sum.saturating_add(amount.units());
        }
    }

    fn each(&self) -> impl Iterator<Item = (&NetworkId, &str, Total)> {
        self.0.iter().flat_map(|(network, assets)| {
            let assets = assets.iter();
            assets.map(move |(asset, total)| (network, asset.as_str(), *total))
        })
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.each().map(|(.., total)| total.rows).sum()
    }

    /// A JSON array of objects with `network`, `asset`, `rows` and `amount` (atomic units, as text).
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Row<'a> {
            network: &'a str,
            asset: &'a str,
            rows: u64,
            amount: String,
        }
        let totals = self.each().map(|(network, asset, total)| Row {
            network: network.as_str(),
            asset,
            rows: total.rows,
            amount: total.sum.to_string(),
        });
        serde_json::to_string(&totals.collect::<Vec<_>>()).unwrap_or_default()
    }
}

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReportFault {
    /// The records could not be read.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The bytes could not be written.
    #[error("the report cannot be written: {0}")]
    Writing(#[from] io::Error),
    /// It would be larger than [`BYTES_MAX`].
    #[error("the report would have more than {} GiB; ask for less of it, or make it with `facilitator report`", BYTES_MAX >> 30)]
    TooLarge,
    /// Another process makes it now.
    #[error("another process makes this report now")]
    Lost,
}

/// What makes reports.
#[derive(Clone)]
pub struct Reports {
    /// The records.
    pub store: Store,
    /// How many decimals the assets have.
    pub decimals: Decimals,
}

impl Reports {
    /// How many rows the report would have now.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn expected(&self, order: &Order) -> Result<u64, StoreFault> {
        match &order.asked {
            Asked::Settlements(filter) => self.store.payments_count(filter).await,
            // They are few, and read faster than counted.
            Asked::Exceptions(_) => Ok(0),
        }
    }

    /// Begins to make a report.
    ///
    /// # Errors
    /// The format cannot hold the report's columns.
    pub fn make(&self, order: &Order) -> Result<Making<'_>, ReportFault> {
        Ok(Making {
            reports: self,
            encoder: Some(Encoder::new(order.format, order.asked.kind().columns())?),
            pages: Pages::of(order.asked.clone(), &self.store),
            totals: Totals::default(),
        })
    }

    /// Puts an order on record, to be made once by whichever process comes first; none when too many wait.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn order(&self, order: &Order, version: u32) -> Result<Option<Report>, StoreFault> {
        self.store.report_order(&order.on_record(version)).await
    }

    /// Makes what is ordered and forgets what is old, until told to stop. What was not finished is made anew.
    pub async fn run(&self, stop: &CancellationToken) {
        let me = ProcessId::mint();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let work = async {
                while let Some(report) = self.store.report_claim(me, CLAIM).await? {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        made = self.make_ordered(&report, me) => made?,
                    }
                }
                self.store.reports_forget(KEPT, BYTES_KEPT).await.map(|_| ())
            };
            if let Some(Err(fault)) = guarded(work).await {
                tracing::warn!(error = %fault, "no report could be made");
            }
        }
    }

    async fn make_ordered(&self, report: &Report, me: ProcessId) -> Result<(), StoreFault> {
        let Some(order) = Order::of(report) else {
            return self
                .store
                .report_fail(report.id, me, "this version cannot make it")
                .await;
        };
        match self.make_pieces(report, &order, me).await {
            Ok(()) => {
                tracing::info!(report.id = %report.id, "report made");
                Ok(())
            }
            Err(ReportFault::Lost) => Ok(()),
            // What cannot be read now cannot be read the next time.
            Err(
                fault @ (ReportFault::Writing(_)
                | ReportFault::TooLarge
                | ReportFault::Store(StoreFault::Corrupt { .. })),
            ) => self.store.report_fail(report.id, me, &fault.to_string()).await,
            Err(ReportFault::Store(fault)) => Err(fault),
        }
    }

    async fn make_pieces(&self, report: &Report, order: &Order, me: ProcessId) -> Result<(), ReportFault> {
        let expected = self.expected(order).await?;
        let (mut making, mut digest, mut waiting, mut position) = (self.make(order)?, Sha256::new(), Vec::new(), 0u64);
        let (mut is_whole, mut written) = (false, 0u64);
        while !is_whole {
            match making.next().await? {
                Some(bytes) => {
                    written = written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    if written > BYTES_MAX {
                        return Err(ReportFault::TooLarge);
                    }
                    digest.update(&bytes);
                    waiting.extend(bytes);
                }
                None => is_whole = true,
            }
            if waiting.len() >= PIECE || is_whole {
                let piece = Piece {
                    expected,
                    rows: making.totals.rows(),
                    position,
                    bytes: &waiting,
                };
                held(self.store.report_piece(report.id, me, piece, CLAIM).await?)?;
                position = position.saturating_add(1);
                waiting.clear();
            }
        }
        let (sums, sha256) = (making.totals.to_json(), digest.finalize().into());
        let rows = making.totals.rows();
        held(self.store.report_done(report.id, me, rows, &sums, sha256).await?)
    }
}

fn held(is_held: bool) -> Result<(), ReportFault> {
    if is_held { Ok(()) } else { Err(ReportFault::Lost) }
}

/// A report that is being made.
pub struct Making<'a> {
    reports: &'a Reports,
    /// None once the report is whole.
    encoder: Option<Encoder>,
    pages: Pages,
    /// Of the rows so far.
    pub totals: Totals,
}

impl Making<'_> {
    /// The next bytes, which may be none yet; no bytes at all after the last.
    ///
    /// # Errors
    /// [`ReportFault`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReportFault> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(None);
        };
        let Some(rows) = self.pages.next(self.reports, &mut self.totals).await? else {
            return Ok(Some(encoder.end()?));
        };
        encoder.add(rows)?;
        let bytes = encoder.take();
        self.encoder = Some(encoder);
        Ok(Some(bytes))
    }
}

/// The rows of an order, page by page.
enum Pages {
    Settlements(BoxStream<'static, Result<Vec<Summary>, StoreFault>>),
    Exceptions(ExceptionFilter, Option<ExceptionId>),
    Over,
}

impl Pages {
    fn of(asked: Asked, store: &Store) -> Self {
        match asked {
            Asked::Settlements(filter) => Self::Settlements(store.payments_sweep(*filter)),
            Asked::Exceptions(filter) => Self::Exceptions(filter, None),
        }
    }

    async fn next(&mut self, reports: &Reports, totals: &mut Totals) -> Result<Option<Vec<Vec<Cell>>>, StoreFault> {
        match self {
            Self::Settlements(sweep) => {
                let Some(page) = sweep.next().await.transpose()? else {
                    *self = Self::Over;
                    return Ok(None);
                };
                for it in &page {
                    totals.add(&it.network, &it.asset, it.amount);
                }
                let row = |it| table::settlement(it, &reports.decimals);
                Ok(Some(page.into_iter().map(row).collect()))
            }
            Self::Exceptions(filter, after) => {
                let found = reports.store.exceptions_list(filter, *after, PAGE_MAX).await?;
                let rows = found.iter().map(|it| table::exception(it, &reports.decimals)).collect();
                for it in &found {
                    totals.add(&it.network, &it.asset, it.amount);
                }
                match found.last() {
                    Some(last) => *after = Some(last.id),
                    None => *self = Self::Over,
                }
                Ok(Some(rows))
            }
            Self::Over => Ok(None),
        }
    }
}
