//! Callers hang up, and waits end, at any moment: what was begun for them is nobody else's.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use facilitator::domain::budget::Limits;
use facilitator::store::{Settings, Store};

use crate::support::{lane, lease, on_database, reserve, sample, signed};

#[tokio::test]
async fn a_transaction_that_is_abandoned_at_any_step_takes_nothing_of_the_next_caller_with_it() {
    on_database(async |db| {
        let settings = Settings {
            url: db.url.clone(),
            connections_max: 1,
        };
        let store = Store::connect(&settings).await.unwrap();
        store.lane_prepare(&lane(), 5).await.unwrap();
        let (lease, limits) = (lease(&store).await, Limits::default());
        let ours = [reserve(&store, &sample(0)).await.id];
        // By then the connection is back, and the first step is the beginning of the transaction.
        assert_eq!(db.count("payments").await, 1);
        for steps in 1..=u8::MAX {
            let intending = store.lane_intend(&lease, &ours, false, &limits, |_, cargo| Ok(signed("t", cargo)));
            let done = give_up_after(steps, intending).await;
            reserve(&store, &sample(steps)).await;
            assert_eq!(
                db.count("payments").await,
                1 + i64::from(steps),
                "given up after {steps} steps"
            );
            if let Some(intended) = done {
                assert!(steps > 1 && intended.unwrap().len() <= 1);
                break;
            }
        }
        assert_eq!(db.count("settlement_attempts").await, 1);
        store.close().await;
    })
    .await;
}

/// Polls it so many times, and drops it if it is not done by then.
async fn give_up_after<T>(steps: u8, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), steps);
    poll_fn(|context| {
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
