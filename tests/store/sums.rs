//! What each payer has paid in all: for each tenant alone, and told to whoever was paid.

use facilitator::domain::id::PaymentId;
use facilitator::domain::tenant::TenantId;
use facilitator::store::{Crossed, CrossedFilter, PAGE_MAX, Store, Threshold};

use crate::support::{Database, Sample, execute, network, on_database, reserve, sample};

const HOUR: u64 = 480_000;

fn thresholds() -> Vec<Threshold> {
    [("day", 24, 20_000), ("week", 7 * 24, 30_000)]
        .map(|(span, hours, least)| Threshold {
            network: network(),
            asset: "0xAsset".into(),
            span,
            hours,
            least,
        })
        .into()
}

/// Adds these as what stands next in the feed.
async fn add(store: &Store, step: u64, payments: &[PaymentId]) -> Vec<Crossed> {
    let from = store.sums_place().await.unwrap();
    let to = format!("{step:016x}00{step:016x}").parse().unwrap();
    let payments: Vec<_> = payments.iter().map(|id| (*id, HOUR)).collect();
    store.sums_add([from, to], &payments, &thresholds()).await.unwrap()
}

async fn paid(db: &Database, sample: Sample) -> PaymentId {
    reserve(&db.store, &sample).await.id
}

#[tokio::test]
async fn who_pays_two_tenants_reaches_a_threshold_with_neither_when_each_is_below() {
    on_database(async |db| {
        let (a, b) = (TenantId::mint(), TenantId::mint());
        let first = [paid(&db, sample(1).of(a)).await, paid(&db, sample(2).of(b)).await];
        assert_eq!(add(&db.store, 1, &first).await, []);
        assert_eq!(db.count("notices").await, 0);

        let next = [paid(&db, sample(3).of(a)).await, paid(&db, sample(4)).await];
        let crossed = add(&db.store, 2, &next).await;
        let [it] = crossed.as_slice() else {
            panic!("{crossed:?}");
        };
        assert_eq!(
            (it.tenant, it.span.as_str(), it.amount.as_str(), it.payments),
            (a, "day", "20000", 2)
        );
        let told = db
            .texts("select tenant::text from notices where kind = 'screening.review'")
            .await;
        assert_eq!(told, [a.as_uuid().to_string()]);
    })
    .await;
}

#[tokio::test]
async fn the_days_on_which_a_threshold_was_reached_are_listed_for_every_tenant() {
    on_database(async |db| {
        let mut tenants = [TenantId::mint(), TenantId::SOLE, TenantId::mint()];
        let mut payments = Vec::new();
        for (at, tenant) in (1..).zip(tenants.iter().chain(&tenants)) {
            payments.push(paid(&db, sample(at).of(*tenant)).await);
        }
        assert_eq!(add(&db.store, 1, &payments).await.len(), 3);
        // Each once a day, however often it is reached.
        let more = paid(&db, sample(7)).await;
        let crossed = add(&db.store, 2, &[more]).await;
        assert_eq!(crossed.iter().map(|it| it.span.as_str()).collect::<Vec<_>>(), ["week"]);

        let (mut after, mut listed) = (None, Vec::new());
        while let [it] = &*db
            .store
            .sums_crossed(&CrossedFilter::default(), after.as_ref(), 1)
            .await
            .unwrap()
        {
            listed.push((it.span.clone(), it.tenant));
            after = Some(it.clone());
        }
        tenants.sort_unstable();
        let days = tenants.map(|it| ("day".to_owned(), it));
        let expected = days.into_iter().chain([("week".to_owned(), TenantId::SOLE)]);
        assert_eq!(listed, expected.collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_place_that_somebody_else_has_moved_on_adds_nothing() {
    on_database(async |db| {
        let id = paid(&db, sample(1)).await;
        let from = db.store.sums_place().await.unwrap();
        add(&db.store, 1, &[id]).await;
        let to = format!("{:016x}00{:016x}", 2, 2).parse().unwrap();
        let again = db
            .store
            .sums_add([from, to], &[(id, HOUR)], &thresholds())
            .await
            .unwrap();
        assert_eq!(again, []);
        assert_eq!(
            db.texts("select amount::text from paid_sums_of_tenants").await,
            ["10000"]
        );
    })
    .await;
}

/// The schema as the version before had it, with what that has summed up to the newest event.
const BEFORE: &str = "drop table paid_sums_of_tenants, thresholds_crossed;
    alter table paid_sums_place drop constraint paid_sums_place_known;
    alter table paid_sums_place add constraint paid_sums_place_one check (name = 'sums');
    insert into events (payment_id, version, kind, body, created_at, tenant)
        select id, 9, 'payment.finalized', '{}', to_timestamp(480000 * 3600::bigint), tenant from payments;
    insert into paid_sums_place select 'sums', lpad(to_hex(written_by::text::bigint), 16, '0') || '00'
        || lpad(to_hex(seq), 16, '0') from events order by written_by desc, seq desc limit 1;
    insert into paid_sums select network, asset, payer, 480000, sum(amount), count(*) from payments
        group by network, asset, payer;
    insert into paid_sums_crossed select network, asset, payer, 'day', 20000, 20000, 20000, 2, now() from paid_sums";

#[tokio::test]
async fn what_was_summed_before_there_were_sums_for_each_tenant_is_whose_it_was() {
    on_database(async |db| {
        let a = TenantId::mint();
        for sample in [sample(1), sample(2), sample(3).of(a)] {
            paid(&db, sample).await;
        }
        let mut raw = db.raw().await;
        execute(&mut raw, BEFORE.into()).await.unwrap();
        let migration = include_str!("../../migrations/0029_sums_by_tenant.sql");
        execute(&mut raw, migration.into()).await.unwrap();

        let sums = "select tenant || ' ' || hour || ' ' || amount || ' ' || payments from paid_sums_of_tenants order by 1";
        let sole = TenantId::SOLE.as_uuid();
        let expected = [format!("{sole} 480000 20000 2"), format!("{} 480000 10000 1", a.as_uuid())];
        assert_eq!(db.texts(sums).await, expected);
        let places = db.texts("select place from paid_sums_place order by name").await;
        assert_eq!(db.store.sums_place().await.unwrap().to_string(), places[1]);
        assert_eq!(places[0], places[1]);
        // Nothing is told again: this day was.
        let known = db.store.sums_crossed(&CrossedFilter::default(), None, PAGE_MAX).await.unwrap();
        assert_eq!(known.iter().map(|it| (it.tenant, it.day)).collect::<Vec<_>>(), [(TenantId::SOLE, 20_000)]);
        // The version before goes on with what is its own.
        let old = "insert into paid_sums select network, asset, payer, 480000, 1, 1 from paid_sums
                on conflict (network, asset, payer, hour) do update set amount = paid_sums.amount + excluded.amount;
            insert into paid_sums_crossed select network, asset, payer, 'day', 20000, 20000, 20000, 2, now() from paid_sums
                on conflict (day, network, asset, payer, span) do nothing;
            update paid_sums_place set place = '' where name = 'sums'";
        execute(&mut raw, old.into()).await.unwrap();
    })
    .await;
}
