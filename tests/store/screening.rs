//! Lists of addresses: an edition replaces the last whole, and what was listed before is not forgotten.

use std::collections::BTreeSet;

use facilitator::domain::screening::Entry;
use facilitator::store::{Fetched, ListReplaced, Listed, Store};
use tokio::task::JoinSet;

use crate::support::on_database;

fn listed(address: &str) -> Listed {
    let entry = Entry {
        reference: "1".into(),
        reason: "CYBER2".into(),
    };
    (address.into(), entry)
}

fn file(number: u8, addresses: &[&str]) -> Fetched {
    Fetched {
        sha256: [number; 32],
        published: format!("day {number}"),
        entries: addresses.iter().map(|it| listed(it)).collect(),
    }
}

async fn replace(store: &Store, file: &Fetched, is_believed: bool) -> ListReplaced {
    store.screening_replace("ofac", file, is_believed).await.unwrap()
}

#[tokio::test]
async fn an_edition_says_what_it_added_and_took_away_and_the_same_file_only_confirms_it() {
    on_database(async |db| {
        let store = &db.store;
        assert_eq!(store.screening_list("ofac").await.unwrap(), None);
        for (number, addresses, believed, counts) in [
            (1, &["a", "b", "c"][..], false, Some((3, 0))),
            (1, &["a", "b", "c"], false, None),
            (2, &["b", "c", "d"], false, Some((1, 1))),
            (3, &["a"], true, Some((1, 3))),
        ] {
            match (replace(store, &file(number, addresses), believed).await, counts) {
                (ListReplaced::New(edition), Some(counts)) => {
                    assert_eq!(
                        (edition.number, edition.added, edition.removed),
                        (number.into(), counts.0, counts.1)
                    );
                }
                (ListReplaced::Same, None) => {}
                other => panic!("{other:?}"),
            }
            let now = store.screening_entries("ofac").await.unwrap();
            assert_eq!(now, addresses.iter().map(|it| listed(it)).collect::<BTreeSet<_>>());
        }
        let editions = store.screening_editions("ofac", 9).await.unwrap();
        assert_eq!(editions.iter().map(|it| it.number).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(db.count("screening_entries").await, 5, "a twice, b, c and d");
    })
    .await;
}

#[tokio::test]
async fn a_list_that_shrank_by_more_than_half_is_taken_only_when_somebody_says_so() {
    on_database(async |db| {
        let store = &db.store;
        replace(store, &file(1, &["a", "b", "c"]), false).await;
        let shrunk = ListReplaced::Shrunk { had: 3, has: 1 };
        assert_eq!(replace(store, &file(2, &["a"]), false).await, shrunk);
        assert_eq!(store.screening_list("ofac").await.unwrap().unwrap().number, 1);
        assert!(matches!(
            replace(store, &file(2, &["a"]), true).await,
            ListReplaced::New(_)
        ));
    })
    .await;
}

#[tokio::test]
async fn processes_that_fetch_at_once_make_one_edition_of_one_file() {
    on_database(async |db| {
        let store = &db.store;
        replace(store, &file(1, &["a"]), false).await;
        let mut racing = JoinSet::new();
        for _ in 0..6 {
            let store = store.clone();
            racing.spawn(async move { replace(&store, &file(2, &["b"]), false).await });
        }
        let done = racing.join_all().await;
        let new = done.iter().filter(|it| matches!(it, ListReplaced::New(_))).count();
        assert_eq!(new, 1, "{done:?}");
        assert_eq!(store.screening_list("ofac").await.unwrap().unwrap().number, 2);
    })
    .await;
}
