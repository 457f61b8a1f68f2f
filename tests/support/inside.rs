//! The facilitator in this process: its real router over its real rails and records, without a socket before it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use facilitator::app::books::Books;
use facilitator::app::claims::Claims;
use facilitator::app::feed::Feed;
use facilitator::app::refunds::Refunds;
use facilitator::app::reports::Reports;
use facilitator::app::screening::Screening;
use facilitator::app::turnstile::Turnstile;
use facilitator::app::{App, SystemClock};
use facilitator::config::Config;
use facilitator::export::Decimals;
use facilitator::http::Parts;
use facilitator::store::Store;
use facilitator::task::Tasks;
use facilitator::{chain, http};
use tower::ServiceExt;

use super::http::Answer;

/// It stops with [`Inside::stop`].
pub(crate) struct Inside {
    router: Router,
    store: Store,
    tasks: Tasks,
}

impl Inside {
    /// Puts the parts together as `serve` does.
    pub(crate) async fn start(file: &Path) -> Self {
        let config = Config::load(file).unwrap();
        let store = Store::connect(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let tasks = Tasks::default();
        let rails = chain::connect(&config.network, &tasks).await.unwrap();
        let records = Arc::new(store.clone());
        let app = App::new(
            records,
            rails.clone(),
            Arc::new(SystemClock),
            config.settle.clone(),
            Arc::new(Screening::off()),
            Turnstile::new(config.rates),
            tasks.clone(),
        );
        let reports = Reports {
            store: store.clone(),
            decimals: Decimals::default(),
        };
        let app = Arc::new(app);
        app.start().await.unwrap();
        let parts = Parts {
            app,
            books: Books::new(reports, rails.clone()),
            refunds: Refunds::new(store.clone(), config.wallets().unwrap()),
            feed: Feed::new(store.clone()),
            gate: None,
            claims: Claims::new(store.clone(), rails.clone(), Arc::new(SystemClock), None),
            notary: None,
            style: config.style(),
        };
        Self {
            router: http::router(parts, &config.http),
            store,
            tasks,
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Answer {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn stop(self) {
        self.tasks.drain(Duration::from_secs(6)).await;
        self.store.close().await;
    }
}
