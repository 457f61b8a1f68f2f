//! A migrated database for one test, and payments to put into it.

use std::future::Future;
use std::time::Duration;

use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::{Authorization, PaymentKey, Window};
use facilitator::domain::budget::{Limits, Reserve};
use facilitator::domain::id::PaymentId;
use facilitator::domain::labels::{Label, Labels, Metadata};
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::network::{NetworkId, RailId, Scheme};
use facilitator::domain::rail::{AuthorizationState, ChainPoint, Facts, LaneId, Mined, SignedTx, Simulation, TxId};
use facilitator::domain::request::{Offer, PaymentReference, PaymentRequest, Proof, ReferenceKind, Resource, Terms};
use facilitator::domain::screening::{Policy, Stage, judge};
use facilitator::domain::settlement::{Event, Landed, apply};
use facilitator::domain::tenant::TenantId;
use facilitator::domain::time::Timestamp;
use facilitator::domain::verdict::Verified;
use facilitator::store::{
    Advance, Deed, Filter, Intent, Name, NewPayment, PAGE_MAX, Record, Reservation, Settings, Store,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// A database of its own, and the store on it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) url: String,
}

/// Runs the test on a migrated database, which is dropped however the test ends.
pub(crate) async fn on_database<F, T>(test: F)
where
    F: FnOnce(Database) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    on_empty_database(async |url| {
        let store = connect(&url).await;
        store.migrate().await.unwrap();
        let task = test(Database {
            store: store.clone(),
            url,
        });
        let ended = tokio::spawn(task).await;
        store.close().await;
        ended
    })
    .await;
}

/// Runs the test on a database without any table.
pub(crate) async fn on_empty_database(test: impl AsyncFnOnce(String) -> Result<(), tokio::task::JoinError>) {
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names no Postgres to test on: run ./dev test");
    let name = format!("store_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    execute(&mut admin, format!("create database {name}")).await.unwrap();
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let (authority, _) = base.rsplit_once('/').unwrap();
    let ended = test(format!("{authority}/{name}?{query}")).await;
    execute(&mut admin, format!("drop database {name} with (force)"))
        .await
        .unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

pub(crate) async fn connect(url: &str) -> Store {
    let settings = Settings {
        url: url.into(),
        connections_max: 16,
    };
    Store::connect(&settings).await.unwrap()
}

impl Database {
    /// A connection that goes past the store.
    pub(crate) async fn raw(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        let mut connection = self.raw().await;
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {what}")))
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Each row as one text, in the order asked for.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        let mut connection = self.raw().await;
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Who changes something, and why.
pub(crate) fn deed() -> Deed {
    Deed {
        by: "a test".into(),
        because: "it wants to know".into(),
    }
}

pub(crate) fn network() -> NetworkId {
    "eip155:84532".parse().unwrap()
}

pub(crate) fn lane() -> LaneId {
    LaneId {
        network: network(),
        signer: "0xSigner".into(),
    }
}

/// The right to sign in [`lane`]: what is still had of it, or taken.
pub(crate) async fn lease(store: &Store) -> Lease {
    let (me, lane, term) = (ProcessId(Uuid::from_u128(1)), lane(), Duration::from_mins(1));
    let roll = store
        .leases_beat(&lane.network, me, std::slice::from_ref(&lane), term)
        .await
        .unwrap();
    match roll.lanes.first() {
        Some(it) if it.holder == Some(me) => Lease {
            lane,
            holder: me,
            fence: it.fence,
        },
        _ => store
            .lease_take(&lane, me, term)
            .await
            .unwrap()
            .expect("nobody has the lane"),
    }
}

/// What distinguishes one test payment from another.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) key: u8,
    pub(crate) payer: String,
    pub(crate) pay_to: String,
    pub(crate) amount: u128,
    /// None for a window of blocks.
    pub(crate) before: Option<u64>,
    pub(crate) digest: u8,
    pub(crate) references: Vec<PaymentReference>,
    pub(crate) network: NetworkId,
    pub(crate) tenant: TenantId,
}

pub(crate) fn sample(key: u8) -> Sample {
    Sample {
        key,
        payer: "0xPayer".into(),
        pay_to: "0xMerchant".into(),
        amount: 10_000,
        before: Some(2_000_000_000),
        digest: key,
        references: Vec::new(),
        network: network(),
        tenant: TenantId::SOLE,
    }
}

pub(crate) fn name(value: &str) -> PaymentReference {
    PaymentReference {
        kind: ReferenceKind::IdempotencyKey,
        value: value.into(),
    }
}

impl Sample {
    pub(crate) fn named(mut self, values: &[&str]) -> Self {
        self.references = values.iter().map(|value| name(value)).collect();
        self
    }

    pub(crate) fn of(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    pub(crate) fn new_payment(&self) -> NewPayment {
        let terms = Terms {
            asset: "0xAsset".into(),
            pay_to: self.pay_to.clone(),
            amount: Amount::from_units(self.amount),
            timeout_seconds: 60,
            extra: None,
        };
        let is_odd = self.digest % 2 == 1;
        let request = PaymentRequest {
            rail: RailId {
                scheme: Scheme::exact(),
                network: self.network.clone(),
            },
            offer: Offer {
                scheme: Scheme::exact(),
                network: Some(self.network.clone()),
                terms: terms.clone(),
            },
            terms: terms.clone(),
            proof: Proof("{}".into()),
            resource: Resource {
                url: Some(format!("https://shop.example/{}", self.digest)),
            },
            references: self.references.clone(),
            tenant: self.tenant,
            labels: Labels {
                merchant_reference: Label::new(&format!("merchant's {}", self.digest)),
                order_id: is_odd.then(|| Label::new(&format!("order {}", self.digest)).unwrap()),
                metadata: is_odd.then(|| Metadata::new([("a \"key\"".into(), "é".into())].into()).unwrap()),
            },
            envelope: "second",
        };
        let authorization = Authorization {
            payer: self.payer.clone(),
            pay_to: self.pay_to.clone(),
            asset: terms.asset,
            amount: terms.amount,
            nonce: format!("0x{:064x}", self.key),
            window: self.before.map_or(Window::Recent, |before| Window::Time {
                after: Timestamp(0),
                before: Timestamp(before),
            }),
            signer: is_odd.then(|| lane().signer),
            memo: is_odd.then(|| format!("order {}", self.digest)),
            key: PaymentKey([self.key; 32]),
            body: vec![self.digest; 65],
        };
        let facts = Facts {
            height: 1_000 + u64::from(self.digest),
            flaw: None,
            payer: None,
            signature_valid: true,
            factory_refused: None,
            asset_deployed: true,
            asset_listed: true,
            asset_misnamed: None,
            authorization: AuthorizationState::Unused,
            balance: terms.amount,
            transfer: Simulation::Succeeded { received: terms.amount },
            holders: Vec::new(),
            must_go_alone: is_odd,
        };
        NewPayment {
            id: PaymentId::mint(),
            verified: judge(
                &Policy::Off,
                Stage::Settle,
                Verified::judge(request, authorization, facts).unwrap(),
                &[],
            )
            .unwrap(),
            digest: [self.digest; 32],
            reserve: Reserve {
                amount: Amount::ZERO,
                draws: Vec::new(),
                value: None,
            },
        }
    }
}

pub(crate) async fn reserve(store: &Store, sample: &Sample) -> Record {
    let reserved = store.payment_reserve(&sample.new_payment()).await.unwrap();
    let Reservation::New(record) = reserved else {
        panic!("not new: {reserved:?}");
    };
    record
}

pub(crate) fn tx(name: &str) -> TxId {
    TxId(format!("0x{name}"))
}

/// One transaction for all of these payments.
pub(crate) fn signed(name: &str, cargo: &[PaymentId]) -> Vec<SignedTx> {
    vec![SignedTx {
        id: tx(name),
        raw: name.as_bytes().to_vec(),
        cost_max: Amount::from_units(500),
        payments: cargo.len(),
    }]
}

pub(crate) fn block(height: u64, fork: &str) -> ChainPoint {
    ChainPoint {
        height,
        hash: format!("0x{fork}{height}"),
        time: Timestamp(1_700_000_000 + height),
    }
}

pub(crate) fn landed(name: &str, height: u64, is_final: bool) -> Landed {
    Landed {
        tx: tx(name),
        log_index: 3,
        block: block(height, "a"),
        is_deep_enough: true,
        is_final,
    }
}

pub(crate) fn mined(name: &str, height: u64, cost: u128) -> Mined {
    Mined {
        tx: tx(name),
        block: block(height, "a"),
        cost: Amount::from_units(cost),
    }
}

/// Applies the event, which must succeed, and reads the record again.
pub(crate) async fn advance(store: &Store, record: &Record, event: Event) -> Record {
    let next = apply(record.settlement.clone(), &event).unwrap();
    let change = Advance { record, event, next };
    assert_eq!(store.settlements_advance(&[change]).await.unwrap(), [record.id]);
    again(store, record).await
}

/// The payments that this transaction ever carried, landed or ended.
pub(crate) async fn carried_by(store: &Store, tx: TxId) -> Vec<Record> {
    let filter = Filter {
        name: Some(Name::Transaction(tx)),
        ..Filter::default()
    };
    store
        .payments_list(&filter, None, PAGE_MAX)
        .await
        .unwrap()
        .into_records()
}

pub(crate) async fn again(store: &Store, record: &Record) -> Record {
    store.payment_get(record.id).await.unwrap().unwrap()
}

/// Has these payments signed as the transaction of this name.
pub(crate) async fn intend(store: &Store, payments: &[&Record], name: &str) -> Option<Intent> {
    let ids: Vec<PaymentId> = payments.iter().map(|record| record.id).collect();
    store
        .lane_intend(&lease(store).await, &ids, false, &Limits::default(), |_, cargo| {
            Ok(signed(name, cargo))
        })
        .await
        .unwrap()
        .pop()
}

/// All that a record says, for comparing two.
pub(crate) fn told(record: &Record) -> String {
    let it = &record.authorization;
    format!(
        "{record:?} {} {} {} {:?} {:?} {:?} {:?} {:?}",
        it.pay_to, it.asset, it.amount, it.window, it.signer, it.memo, it.key, it.body
    )
}
