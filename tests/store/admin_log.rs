//! The log of who did what: every deed is in it once, one after the other, whoever acts at the same time.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::support::{connect, deed, on_database};

#[tokio::test]
async fn deeds_of_the_same_moment_wait_for_one_another_and_are_all_logged() {
    on_database(async |db| {
        let other = connect(&db.url).await;
        let mut acting = JoinSet::new();
        for number in 0..20 {
            let store = if number % 2 == 0 {
                db.store.clone()
            } else {
                other.clone()
            };
            acting.spawn(async move { store.tenant_add(&format!("tenant {number}"), &deed()).await });
        }
        for added in acting.join_all().await {
            added.unwrap();
        }
        let (logged, broken) = db.store.admin_log(0, None).await.unwrap();
        assert_eq!((logged.len(), broken), (20, None));
        let entries: BTreeSet<&str> = logged.iter().map(|it| it.entry.as_str()).collect();
        assert_eq!(entries.len(), 20);
        other.close().await;
    })
    .await;
}
