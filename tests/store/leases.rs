//! Who may sign in a lane: one process at a time, and never one that was replaced without noticing.

use std::time::Duration;

use facilitator::domain::budget::Limits;
use facilitator::domain::id::PaymentId;
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::rail::{LaneId, Outbid, Replacement};
use facilitator::store::{IntendFault, Intent, Replaced, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Database, again, deed, execute, lane, network, on_database, reserve, sample, signed, tx};

const TERM: Duration = Duration::from_mins(1);

fn process(number: u128) -> ProcessId {
    ProcessId(Uuid::from_u128(number))
}

async fn take(store: &Store, number: u128) -> Option<Lease> {
    store.lease_take(&lane(), process(number), TERM).await.unwrap()
}

async fn beat(store: &Store, number: u128) -> (Option<ProcessId>, u64, usize) {
    let roll = store
        .leases_beat(&network(), process(number), &[lane()], TERM)
        .await
        .unwrap();
    let it = &roll.lanes[0];
    (it.holder, it.fence, roll.alive)
}

/// Nobody has said for long that he is alive.
async fn lapse(db: &Database) {
    let sql = "update lanes set lease_until = now() - interval '1 second' where lease_until is not null;
        update replicas set alive_until = now() - interval '1 second'";
    execute(&mut db.raw().await, sql.into()).await.unwrap();
}

async fn sign(store: &Store, lease: &Lease, payment: PaymentId, name: &str) -> Result<Vec<Intent>, IntendFault> {
    let sign = |_: u64, cargo: &[PaymentId]| Ok(signed(name, cargo));
    store
        .lane_intend(lease, &[payment], false, &Limits::default(), sign)
        .await
}

#[tokio::test]
async fn a_lane_has_one_driver_and_whoever_comes_waits_for_the_end_of_the_term() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        assert_eq!(beat(store, 1).await, (None, 0, 1));
        let first = take(store, 1).await.unwrap();
        assert_eq!(
            (first.fence, take(store, 1).await, take(store, 2).await),
            (1, None, None)
        );
        assert_eq!(beat(store, 2).await, (Some(process(1)), 1, 2));
        lapse(&db).await;
        assert_eq!(beat(store, 2).await, (None, 1, 1));
        // A lease that is over is not prolonged, even if nobody has taken the lane.
        assert_eq!(beat(store, 1).await, (None, 1, 2));
        assert_eq!(take(store, 2).await.unwrap().fence, 2);
        // Only one's own can be given up.
        store.leases_give(&network(), process(1), &[lane()]).await.unwrap();
        assert_eq!(beat(store, 1).await, (Some(process(2)), 2, 2));
        store.leases_give(&network(), process(2), &[lane()]).await.unwrap();
        assert_eq!(take(store, 1).await.unwrap().fence, 3);
        store.replica_leave(&network(), process(2)).await.unwrap();
        assert_eq!(beat(store, 1).await, (Some(process(1)), 3, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_want_a_lane_at_once_one_gets_it() {
    on_database(async |db| {
        db.store.lane_prepare(&lane(), 0).await.unwrap();
        let mut takers = JoinSet::new();
        for number in 1..=20 {
            let store = db.store.clone();
            takers.spawn(async move { take(&store, number).await });
        }
        let taken: Vec<Lease> = takers.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1);
        assert_eq!(beat(&db.store, 21).await.0, Some(taken[0].holder));
    })
    .await;
}

#[tokio::test]
async fn whoever_lost_a_lane_without_noticing_signs_nothing_and_replaces_nothing() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let records = [reserve(store, &sample(1)).await, reserve(store, &sample(2)).await];
        let old = take(store, 1).await.unwrap();
        assert_eq!(sign(store, &old, records[0].id, "first").await.unwrap().len(), 1);
        let replacement = Replacement {
            id: tx("second"),
            raw: vec![1],
            cost_max: records[0].authorization.amount,
            cargo: Outbid::Same,
        };
        let nobody = Lease {
            lane: LaneId {
                signer: "0xNobody".into(),
                ..lane()
            },
            ..old.clone()
        };
        for is_taken in [false, true] {
            // The term is over, and then somebody else has the lane.
            lapse(&db).await;
            let new = if is_taken { take(store, 2).await } else { None };
            for lost in [&old, &nobody] {
                let done = sign(store, lost, records[1].id, "t").await;
                assert!(matches!(done, Err(IntendFault::Lost)), "{done:?}");
                let done = store.lane_replace(lost, 0, &tx("first"), &replacement).await.unwrap();
                assert_eq!(done, Replaced::Lost);
            }
            if let Some(new) = new {
                assert_eq!(sign(store, &new, records[1].id, "t").await.unwrap()[0].nonce, 1);
                let done = store.lane_replace(&new, 0, &tx("first"), &replacement).await.unwrap();
                assert_eq!(done, Replaced::Done(vec![records[0].id]));
            }
        }
        assert_eq!(db.count("slots").await, 2);
    })
    .await;
}

/// What is out in a quarantined lane may still be replaced, or it would stand in the way for ever.
#[tokio::test]
async fn nothing_new_is_signed_in_a_quarantined_lane_until_it_is_readmitted() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 5).await.unwrap();
        let records = [reserve(store, &sample(1)).await, reserve(store, &sample(2)).await];
        let lease = take(store, 1).await.unwrap();
        sign(store, &lease, records[0].id, "first").await.unwrap();
        assert!(store.lane_quarantine(&lane()).await.unwrap());
        assert!(!store.lane_quarantine(&lane()).await.unwrap(), "said once");
        let done = sign(store, &lease, records[1].id, "t").await;
        assert!(matches!(done, Err(IntendFault::Lost)), "{done:?}");
        let replacement = Replacement {
            id: tx("second"),
            raw: vec![1],
            cost_max: records[0].authorization.amount,
            cargo: Outbid::Same,
        };
        let done = store.lane_replace(&lease, 5, &tx("first"), &replacement).await.unwrap();
        assert_eq!(done, Replaced::Done(vec![records[0].id]));

        // Somebody else has used up 6 and 7.
        assert!(store.lane_readmit(&lane(), 8, &deed()).await.unwrap());
        let nonces = "select nonce || coalesce(' ' || consumed_by, '') from slots order by nonce";
        assert_eq!(db.texts(nonces).await, ["5", "6 foreign", "7 foreign"]);
        assert_eq!(sign(store, &lease, records[1].id, "t").await.unwrap()[0].nonce, 8);
        // A chain that is behind takes nothing back.
        assert!(store.lane_readmit(&lane(), 3, &deed()).await.unwrap());
        assert_eq!(store.lane_prepare(&lane(), 0).await.unwrap(), 9);
        let nowhere = LaneId {
            signer: "0xNobody".into(),
            ..lane()
        };
        assert!(!store.lane_readmit(&nowhere, 3, &deed()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn tries_are_counted_before_they_are_made() {
    on_database(async |db| {
        let records = [
            reserve(&db.store, &sample(1)).await,
            reserve(&db.store, &sample(2)).await,
        ];
        for (asked, expected) in [(0..1, [1].as_slice()), (0..2, &[2, 1]), (0..0, &[])] {
            let ids: Vec<PaymentId> = records[asked].iter().map(|it| it.id).collect();
            let tries = db.store.settlements_try(&ids).await.unwrap();
            let of = |id: &PaymentId| tries.iter().find(|(it, _)| it == id).unwrap().1;
            assert_eq!(ids.iter().map(of).collect::<Vec<_>>(), expected);
        }
        let both = [records[0].id, records[1].id];
        for expected in [[1, 0], [0, 0]] {
            db.store.settlements_untry(&both).await.unwrap();
            let tries = [
                again(&db.store, &records[0]).await.tries,
                again(&db.store, &records[1]).await.tries,
            ];
            assert_eq!(tries, expected, "taken back, and never below none");
        }
        assert_eq!(again(&db.store, &records[0]).await.version, 0, "a try is no change");
    })
    .await;
}

#[tokio::test]
async fn other_processes_see_what_waits_and_what_has_changed() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let records = [reserve(store, &sample(1)).await, reserve(store, &sample(2)).await];
        let ids = [records[0].id, records[1].id];
        assert_eq!(store.settlements_waiting(&network(), 10).await.unwrap(), ids);
        assert_eq!(store.settlements_waiting(&network(), 1).await.unwrap(), ids[..1]);
        let elsewhere = "eip155:1".parse().unwrap();
        assert!(store.settlements_waiting(&elsewhere, 10).await.unwrap().is_empty());
        let lease = take(store, 1).await.unwrap();
        sign(store, &lease, ids[0], "first").await.unwrap();
        assert_eq!(store.settlements_waiting(&network(), 10).await.unwrap(), ids[1..]);
        let mut versions = store.settlement_versions(&ids).await.unwrap();
        versions.sort_by_key(|(_, version)| *version);
        assert_eq!(versions, [(ids[1], 0), (ids[0], 1)]);
        let found = store.payments_get(&[ids[1], PaymentId::mint(), ids[0]]).await.unwrap();
        assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), ids);
    })
    .await;
}
