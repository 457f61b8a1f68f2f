//! `facilitator serve`, and its part by itself: `migrate`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::app::admin::Office;
use crate::app::books::Books;
use crate::app::claims::Claims;
use crate::app::desk::Desk;
use crate::app::feed::Feed;
use crate::app::gate::{self, Gate};
use crate::app::refunds::Refunds;
use crate::app::reports::Reports;
use crate::app::reports::delivery::Deliveries;
use crate::app::reports::delivery::schedule::Schedule;
use crate::app::screening::{self, Screening, sums};
use crate::app::statements::Closing;
use crate::app::turnstile::Turnstile;
use crate::app::webhooks::{Dispatcher, Post};
use crate::app::{App, SystemClock, reconcile, repay};
use crate::chain::Unservable;
use crate::config::Config;
use crate::domain::rail::Rail;
use crate::domain::receipt::Notary;
use crate::domain::signing;
use crate::domain::time::Clock;
use crate::outbound::Outbound;
use crate::store::{Store, StoreFault};
use crate::task::Tasks;
use crate::trace::Exporter;
use crate::{chain, http, telemetry};

/// How long a stopping process waits for its background tasks: one call to a chain or the database each.
const DRAIN: Duration = Duration::from_secs(6);

/// Serves until told to stop (SIGINT or SIGTERM), then lets requests and lanes end their current step.
///
/// # Errors
/// Anything configured cannot be served: said before the first request is accepted.
pub async fn serve(config: Config, migrate: bool) -> Result<(), Box<dyn Error>> {
    let traces = config.traces.as_ref().map(Exporter::start).transpose()?;
    telemetry::start_logging(&config.log, traces.as_ref())?;
    let metrics = telemetry::start_metrics()?;
    let store = records(&config, migrate).await?;
    let tasks = Tasks::default();
    let rails = rails(&config.network, &tasks).await?;
    let (style, coins, schedules, wallets) = (config.style(), config.coins(), config.schedules()?, config.wallets()?);
    announce(&rails);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    sums::start(config.thresholds()?, store.clone(), Arc::clone(&clock), &tasks);
    let screening = screening(config.screening, config.signing.as_ref(), &store, &*clock).await?;
    screening.start(Arc::clone(&clock), &tasks);
    let app = Arc::new(App::new(
        Arc::new(store.clone()),
        rails.clone(),
        clock,
        config.settle,
        screening,
        Turnstile::new(config.rates),
        tasks.clone(),
    ));
    app.start().await?;
    let closing = Closing {
        store: store.clone(),
        rails: rails.clone(),
        calendar: style.settings.time_zone,
    };
    let reports = Reports {
        store: store.clone(),
        decimals: style.decimals.clone(),
    };
    let notary = config.signing.as_ref().map(notary);
    let gate = gate(config.tenants.as_ref(), &store, &tasks).await?;
    let books = Books::new(reports.clone(), rails.clone());
    let claims = Claims::new(store.clone(), rails.clone(), Arc::new(SystemClock), config.claims);
    repay::start(&app, &store, &tasks);
    reconcile::start(&store, rails, &tasks);
    if let Some(signing) = config.signing {
        let post = Post::new(Outbound::new(config.webhooks.allow_private)?, signing.secret);
        Dispatcher::new(store.clone(), post).start(&tasks);
    }
    keep_books(&tasks, closing, reports, schedules);

    let stop = told_to_stop(Arc::clone(&app));
    let desk = |it| (it, Desk::new(Arc::clone(&app), store.clone(), coins));
    let operator = config.operator.as_ref().map(desk);
    let office = office(config.admin.as_ref(), config.tenants.as_ref(), &store, &books);
    let parts = http::Parts {
        app,
        books,
        refunds: Refunds::new(store.clone(), wallets),
        feed: Feed::new(store.clone()),
        gate,
        claims,
        notary,
        style,
    };
    let served = http::serve(&config.http, &config.metrics, operator, office, parts, metrics, stop).await;
    // Lanes and watch go on until the last request has its answer, and stop between two steps.
    if !tasks.drain(DRAIN).await {
        tracing::warn!("stopped within a step; it is on record and goes on at the next start");
    }
    store.close().await;
    traces.into_iter().for_each(Exporter::stop);
    tracing::info!("stopped");
    Ok(served?)
}

/// The records, with a schema that is this program's.
async fn records(config: &Config, migrate: bool) -> Result<Store, StoreFault> {
    let store = Store::connect(&config.database).await?;
    if migrate {
        store.migrate().await?;
    }
    store.schema_check().await?;
    if store.feed_is_ahead().await? {
        tracing::error!(
            "the records were moved here from another server: the feed stands still, see deploy/DATABASES.md"
        );
    }
    Ok(store)
}

/// A rail for each network, proven, and every key that is kept elsewhere shown to be the one that was named.
async fn rails(networks: &[chain::Settings], tasks: &Tasks) -> Result<Vec<Arc<dyn Rail>>, Unservable> {
    let rails = chain::connect(networks, tasks).await?;
    for rail in &rails {
        for key in rail.prove_keys().await {
            let network = rail.id().network.clone();
            let (address, keeper) = (key.address, key.keeper);
            if let Some(fault) = key.fault {
                let what = format!("signer {address}: {keeper} {fault}");
                return Err(Unservable { network, what });
            }
            tracing::info!(rail.id = %rail.id(), signer = address, keeper, "key proven that is kept elsewhere");
        }
    }
    Ok(rails)
}

/// Whoever signs receipts.
fn notary(signing: &signing::Settings) -> Arc<Notary> {
    Arc::new(Notary::of(&signing.secret).after(&signing.retired_receipt_keys))
}

/// What whoever has the admin secret may do, where there is one.
fn office<'a>(
    admin: Option<&'a http::admin::Settings>,
    tenants: Option<&gate::Settings>,
    store: &Store,
    books: &Books,
) -> Option<(&'a http::admin::Settings, Office)> {
    let office = Office {
        store: store.clone(),
        pepper: tenants.map(|it| it.pepper.clone()),
        rails: books.rails().to_vec(),
    };
    admin.map(|settings| (settings, office))
}

/// Whoever asks who comes, with the wall between tenants proven; none where there is one tenant only.
async fn gate(settings: Option<&gate::Settings>, store: &Store, tasks: &Tasks) -> Result<Option<Gate>, StoreFault> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    store.wall_raise().await?;
    Ok(Some(Gate::new(store.clone(), settings, tasks.clone())))
}

/// Whoever screens, with the lists as they are now.
async fn screening(
    settings: Option<screening::Settings>,
    signing: Option<&signing::Settings>,
    store: &Store,
    clock: &dyn Clock,
) -> Result<Arc<Screening>, Box<dyn Error>> {
    let Some(settings) = settings else {
        tracing::warn!("screening is off by configuration: nobody is asked about whoever pays and is paid");
        return Ok(Arc::new(Screening::off()));
    };
    let screening = Screening::new(settings, store.clone(), signing.map(|it| &it.secret))?;
    screening.load(clock.now()).await?;
    Ok(Arc::new(screening))
}

/// Closes days, makes reports and delivers them, in the background.
fn keep_books(tasks: &Tasks, closing: Closing, reports: Reports, schedules: Vec<Schedule>) {
    for schedule in schedules {
        let deliveries = Deliveries {
            reports: reports.clone(),
            closing: closing.clone(),
            schedule,
        };
        let stopped = tasks.stop_signal();
        tasks.spawn("deliveries", async move { deliveries.run(&stopped).await });
    }
    let stopped = tasks.stop_signal();
    tasks.spawn("statements", async move { closing.run(&stopped).await });
    let stopped = tasks.stop_signal();
    tasks.spawn("reports", async move { reports.run(&stopped).await });
}

/// Brings the schema up to date.
///
/// # Errors
/// The database cannot be reached, or holds a schema of a newer version.
pub async fn migrate(config: Config) -> Result<(), Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.migrate().await?;
    println!("the schema is up to date");
    Ok(())
}

fn announce(rails: &[Arc<dyn Rail>]) {
    for rail in rails {
        tracing::info!(rail.id = %rail.id(), signers = rail.lanes().len(), "rail proven");
    }
}

/// Resolves on the first SIGINT or SIGTERM; whoever waits is answered from then on.
async fn told_to_stop(app: Arc<App>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: finishing what is under way");
    app.leave();
}
