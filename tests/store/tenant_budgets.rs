//! What one tenant's payments may cost and move: taken with the reservation, by the tenant alone, and given back when the
//! chain has told what came of it.

use facilitator::domain::amount::Amount;
use facilitator::domain::budget::{Budget, Limits, Scope, Shortage, Span};
use facilitator::domain::settlement::{CannotLand, Event};
use facilitator::domain::tenant::TenantId;
use facilitator::store::{NewPayment, Record, Reservation, Store};
use tokio::task::JoinSet;

use crate::support::{
    Database, Sample, advance, again, block, connect, deed, intend, landed, lane, mined, network, on_database, sample,
};

const ASSET: &str = "0xAsset";

/// What every payment of these tests may cost.
const COST: u128 = 7;

async fn tenant(store: &Store, name: &str) -> TenantId {
    store.tenant_add(name, &deed()).await.unwrap()
}

/// Bounds what the tenant's payments may cost or move in a day.
async fn bound(store: &Store, tenant: TenantId, asset: Option<&str>, day: u128) {
    let limits = Limits {
        minute: None,
        day: Some(Amount::from_units(day)),
    };
    store
        .tenant_budget_set(tenant, &network(), asset, &limits, &deed())
        .await
        .unwrap();
}

/// The payment as `/settle` asks for it: within nobody's limits but its tenant's.
async fn asked(store: &Store, sample: &Sample) -> NewPayment {
    let unbounded = Budget {
        total: Limits::default(),
        signer: Limits::default(),
        payer: Limits::default(),
        payer_reverts_max: 100,
    };
    let reserve = unbounded.reserve(&sample.payer, Amount::from_units(COST));
    let budget = store.tenant_budget(sample.tenant, &network(), ASSET).await.unwrap();
    NewPayment {
        reserve: reserve.within(&budget, sample.tenant, ASSET, Amount::from_units(sample.amount)),
        ..sample.new_payment()
    }
}

async fn tried(store: &Store, sample: &Sample) -> Result<Record, Shortage> {
    match store.payment_reserve(&asked(store, sample).await).await.unwrap() {
        Reservation::New(record) | Reservation::Reopened(record) => Ok(record),
        Reservation::Short(shortage) => Err(shortage),
        other @ (Reservation::Seen(_) | Reservation::ReferenceTaken(_)) => panic!("{other:?}"),
    }
}

fn of(tenant: TenantId, key: u8) -> Sample {
    Sample { tenant, ..sample(key) }
}

/// What the tenants' windows hold, by their scopes.
async fn held(db: &Database) -> Vec<String> {
    db.texts(
        "select scope || ' ' || taken from budget_windows where scope in ('tenant', 'value') order by scope, subject",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m01_a_hundred_reservations_of_a_tenant_at_once_never_take_more_than_it_has() {
    on_database(async |db| {
        let stores = [db.store.clone(), connect(&db.url).await];
        let (bounded, free) = (tenant(&db.store, "bounded").await, tenant(&db.store, "free").await);
        bound(&db.store, bounded, None, 30 * COST + 6).await;
        let mut calls = JoinSet::new();
        for key in 0..200 {
            let (store, tenant) = (
                stores[usize::from(key % 2)].clone(),
                if key < 100 { bounded } else { free },
            );
            calls.spawn(async move { (tenant, tried(&store, &of(tenant, key)).await) });
        }
        let done = calls.join_all().await;
        let made = |tenant| done.iter().filter(|it| it.0 == tenant && it.1.is_ok()).count();
        assert_eq!((made(bounded), made(free)), (30, 100));
        for (_, refused) in done.iter().filter(|it| it.1.is_err()) {
            let shortage = refused.as_ref().unwrap_err();
            assert_eq!((shortage.scope, shortage.span), (Scope::Tenant, Span::Day));
        }
        assert_eq!(db.count("payments").await, 130);
        assert_eq!(held(&db).await, ["tenant 210"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_tenant_moves_is_bounded_by_asset_and_given_back_when_it_moves_no_more() {
    on_database(async |db| {
        let store = &db.store;
        let (ours, theirs) = (tenant(store, "ours").await, tenant(store, "theirs").await);
        bound(store, ours, Some(ASSET), 25_000).await;
        bound(store, ours, Some("0xOther"), 1).await;
        bound(store, ours, None, 1_000).await;
        let first = tried(store, &of(ours, 1)).await.unwrap();
        let second = tried(store, &of(ours, 2)).await.unwrap();
        assert_eq!(tried(store, &of(ours, 3)).await.unwrap_err().scope, Scope::Value);
        tried(store, &of(theirs, 4)).await.unwrap();
        assert_eq!(held(&db).await, ["tenant 14", "value 20000"]);

        // Withdrawn: neither cost nor moved anything, and is taken anew when it is presented again.
        advance(store, &first, Event::Withdrawn).await;
        assert_eq!(held(&db).await, ["tenant 7", "value 10000"]);
        let first = tried(store, &of(ours, 1)).await.unwrap();
        assert_eq!(held(&db).await, ["tenant 14", "value 20000"]);

        // Proven to have failed: moved nothing.
        let window = CannotLand::WindowClosed { block: block(9, "a") };
        advance(store, &second, Event::Failed(window)).await;
        assert_eq!(held(&db).await, ["tenant 7", "value 10000"]);

        // Settled: moved all of it, and cost what the chain says.
        store.lane_prepare(&lane(), 0).await.unwrap();
        intend(store, &[&first], "ours").await.unwrap();
        store
            .transactions_mined(&network(), &[mined("ours", 3, 5)])
            .await
            .unwrap();
        let confirmed = advance(
            store,
            &again(store, &first).await,
            Event::Confirmed(landed("ours", 3, false)),
        )
        .await;
        advance(store, &confirmed, Event::Finalized(landed("ours", 3, true))).await;
        assert_eq!(held(&db).await, ["tenant 5", "value 10000"]);
    })
    .await;
}

#[tokio::test]
async fn a_tenants_limits_are_changed_and_lifted_from_the_next_payment_on() {
    on_database(async |db| {
        let store = &db.store;
        let ours = tenant(store, "ours").await;
        bound(store, ours, None, COST).await;
        tried(store, &of(ours, 1)).await.unwrap();
        assert!(tried(store, &of(ours, 2)).await.is_err());
        bound(store, ours, None, 2 * COST).await;
        tried(store, &of(ours, 2)).await.unwrap();
        assert!(tried(store, &of(ours, 3)).await.is_err());
        store
            .tenant_budget_set(ours, &network(), None, &Limits::default(), &deed())
            .await
            .unwrap();
        tried(store, &of(ours, 3)).await.unwrap();
        let log = "select (entry::json)->>'action' from admin_log order by seq";
        assert_eq!(
            db.texts(log).await,
            ["tenant.add", "budget.set", "budget.set", "budget.set"]
        );
    })
    .await;
}

/// A crowd of one tenant's does not keep another's from being taken over.
#[tokio::test]
async fn what_waits_is_taken_over_of_all_tenants_in_turn() {
    on_database(async |db| {
        let store = &db.store;
        let (many, few) = (tenant(store, "many").await, tenant(store, "few").await);
        let mut order = Vec::new();
        for key in 1..=5 {
            order.push(tried(store, &of(many, key)).await.unwrap().id);
        }
        for key in 6..=7 {
            order.push(tried(store, &of(few, key)).await.unwrap().id);
        }
        let waiting = store.settlements_waiting(&network(), 5).await.unwrap();
        let expected: Vec<_> = [0, 5, 1, 6, 2].into_iter().map(|at| order[at]).collect();
        assert_eq!(waiting, expected);
    })
    .await;
}
