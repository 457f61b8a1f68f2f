//! Reports: rows of the records in a file, with a count, control totals and a digest. Made at once for whoever asks on the
//! command line, or ordered over HTTP and made in the background by any process, once for each order.

pub mod delivery;
pub mod encode;
mod kinds;
pub mod table;
mod totals;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::encode::{Chunk, Encoder, Format, Shape};
use self::kinds::{Asked, Rows};
use crate::app::question::Keys;
use crate::domain::lease::ProcessId;
use crate::domain::rejection::Malformed;
use crate::domain::tenant::TenantId;
use crate::export::Decimals;
use crate::store::{Piece, Report, ReportOrder, Store, StoreFault, Summary, Whole};
use crate::task::guarded;

pub use self::kinds::Kind;
pub use self::totals::Totals;

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

/// What somebody wants to have: which rows, and how written.
#[derive(Debug, Clone)]
pub struct Order {
    /// How it is written.
    pub format: Format,
    /// What it is of.
    pub kind: Kind,
    asked: Asked,
    /// The conditions as they were given.
    question: BTreeMap<String, String>,
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
        for key in ["asset", "payer", "payTo", "signer"] {
            if let Some(account) = question.get_mut(key)
                && let Some(text) = canonical(account)
            {
                *account = text;
            }
        }
        let known = kind.conditions();
        let mut keys = Keys::of(question.clone(), known)?;
        let asked = kind.ask(&mut keys)?;
        if let Some(key) = keys.first() {
            return Err(Malformed {
                path: key.to_owned(),
                expected: format!("no such condition: a report of {} takes some {known}", kind.as_str()),
            });
        }
        Ok(Self {
            format,
            kind,
            asked,
            question,
        })
    }

    const fn shape(&self) -> Shape {
        Shape {
            format: self.format,
            columns: self.kind.columns(),
        }
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

    /// As it goes on record: what differs in nothing is one report. What a schedule orders is never one that somebody had
    /// ordered before, when the period may not have been over.
    fn on_record(&self, version: u32, scheduled: Option<(&str, &str)>) -> ReportOrder {
        let (kind, format) = (self.kind.as_str(), self.format.as_str());
        let question = serde_json::json!(self.question).to_string();
        let whole = match scheduled {
            None => serde_json::json!([kind, format, version, question]),
            Some((_, delivery)) => serde_json::json!([kind, format, version, question, delivery]),
        };
        ReportOrder {
            ordered: Sha256::digest(whole.to_string()).into(),
            kind,
            format,
            question,
            version,
            schedule: scheduled.map(|(schedule, _)| schedule.to_owned()),
        }
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
    /// The same, of which it shows this tenant's rows alone.
    #[must_use]
    pub fn seen_by(&self, tenant: TenantId) -> Self {
        Self {
            store: self.store.seen_by(tenant),
            decimals: self.decimals.clone(),
        }
    }

    /// How many rows the report would have now.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn expected(&self, order: &Order) -> Result<u64, StoreFault> {
        match &order.asked {
            Asked::Settlements(filter) => self.store.payments_count(filter).await,
            // Read as fast as counted.
            Asked::Rows(_) => Ok(0),
        }
    }

    /// Begins to make a report.
    ///
    /// # Errors
    /// The format cannot hold the report's columns.
    pub fn make(&self, order: &Order) -> Result<Making<'_>, ReportFault> {
        Ok(Making {
            reports: self,
            encoder: Some(Encoder::new(order.shape())?),
            pages: Pages::of(order, self),
            totals: Totals::default(),
        })
    }

    /// Puts an order on record, to be made once by whichever process comes first; none when too many wait.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn order(&self, order: &Order, version: u32) -> Result<Option<Report>, StoreFault> {
        self.store.report_order(&order.on_record(version, None)).await
    }

    /// The same for a schedule. `delivery` sets it apart from any other.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn order_scheduled(
        &self,
        order: &Order,
        schedule: &str,
        delivery: &str,
    ) -> Result<Option<Report>, StoreFault> {
        let scheduled = order.on_record(1, Some((schedule, delivery)));
        self.store.report_order(&scheduled).await
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
            return self.fail(report, me, "this version cannot make it").await;
        };
        let made = match report.tenant {
            Some(tenant) => self.seen_by(tenant).make_pieces(report, &order, me).await,
            None => self.make_pieces(report, &order, me).await,
        };
        match made {
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
            ) => self.fail(report, me, &fault.to_string()).await,
            Err(ReportFault::Store(fault)) => Err(fault),
        }
    }

    async fn fail(&self, report: &Report, me: ProcessId, failure: &str) -> Result<(), StoreFault> {
        if self.store.report_fail(report.id, me, failure).await? {
            tracing::warn!(report.id = %report.id, failure, "a report cannot be made");
        }
        Ok(())
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
        let whole = Whole {
            rows: making.totals.rows(),
            totals: &making.totals.to_json(),
            sha256: digest.finalize().into(),
            edition: order.kind.edition(),
        };
        held(self.store.report_done(report.id, me, whole).await?)
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
        let Some(chunk) = self.pages.next(self.reports, &mut self.totals).await? else {
            return Ok(Some(encoder.end()?));
        };
        encoder.add(chunk)?;
        let bytes = encoder.take();
        self.encoder = Some(encoder);
        Ok(Some(bytes))
    }
}

/// Some rows, and what they come to.
struct Part {
    chunk: Chunk,
    totals: Totals,
}

impl Part {
    fn of(payments: &[Summary], shape: Shape, decimals: &Decimals) -> io::Result<Self> {
        let mut totals = Totals::default();
        for it in payments {
            totals.add(&it.network, &it.asset, it.amount);
        }
        let chunk = shape.chunk(payments.iter().map(|it| table::settlement(it, decimals)))?;
        Ok(Self { chunk, totals })
    }
}

/// The rows of an order, page by page.
enum Pages {
    Settlements(BoxStream<'static, Result<io::Result<Part>, StoreFault>>),
    Rows(Box<dyn Rows>, Shape),
    Over,
}

impl Pages {
    fn of(order: &Order, reports: &Reports) -> Self {
        let shape = order.shape();
        match &order.asked {
            Asked::Settlements(filter) => {
                let decimals = reports.decimals.clone();
                let part = move |payments: Vec<Summary>| Part::of(&payments, shape, &decimals);
                Self::Settlements(reports.store.payments_sweep(filter.as_ref().clone(), part))
            }
            Asked::Rows(question) => Self::Rows(question.pages(), shape),
        }
    }

    async fn next(&mut self, reports: &Reports, totals: &mut Totals) -> Result<Option<Chunk>, ReportFault> {
        match self {
            Self::Settlements(sweep) => {
                let Some(part) = sweep.next().await.transpose()? else {
                    *self = Self::Over;
                    return Ok(None);
                };
                let part = part?;
                totals.absorb(part.totals);
                Ok(Some(part.chunk))
            }
            Self::Rows(rows, shape) => rows.next(reports, *shape, totals).await,
            Self::Over => Ok(None),
        }
    }
}
