//! What moved and what it cost, page by page: the same rows, however long the pages.

use facilitator::domain::reconciliation::Direction;
use facilitator::domain::settlement::Event;
use facilitator::domain::time::Timestamp;
use facilitator::store::{Activity, ActivityFilter, Belonging, Fee, FeeFilter, Store};

use crate::support::{advance, again, execute, intend, landed, lane, mined, network, on_database, reserve, sample};

async fn activity(store: &Store, filter: &ActivityFilter, limit: u16) -> Vec<Activity> {
    let mut all: Vec<Activity> = Vec::new();
    loop {
        let page = store.activity_list(filter, all.last(), limit).await.unwrap();
        assert!(page.len() <= limit.into());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn places(rows: &[Activity]) -> Vec<String> {
    let place = |it: &Activity| {
        let moved = &it.transfer;
        format!(
            "{} {} {} {:?}",
            moved.block.time.0, moved.tx, moved.index, moved.direction
        )
    };
    rows.iter().map(place).collect()
}

#[tokio::test]
async fn every_transfer_is_met_once_in_the_order_of_blocks_and_belongs_to_what_used_it() {
    on_database(async |db| {
        let store = &db.store;
        let payment = reserve(store, &sample(1)).await;
        store.accounts_watch(&[payment.id], 1).await.unwrap();
        // Seven blocks of which two have the same time, with several transfers of one transaction each.
        let observed =
            "insert into observed_transfers (network, tx, log_index, direction, asset, holder, amount, block_height,
                block_hash, block_time, sender, created_at)
            select network, 'tx' || n / 3, n % 3, case when n % 2 = 0 then 'credit' else 'debit' end, asset, holder, n,
                n / 3, 'b', n / 6, 's', now()
            from watched_accounts, generate_series(0, 20) n";
        let mut raw = db.raw().await;
        execute(&mut raw, observed.into()).await.unwrap();
        let used = format!(
            "insert into observed_transfers (network, tx, log_index, direction, asset, holder, amount, block_height,
                block_hash, block_time, authorizer, nonce, sender, created_at)
            select w.network, 'used', 0, 'credit', w.asset, w.holder, p.amount, 9, 'b', 9, p.payer, p.nonce, 's', now()
            from watched_accounts w, payments p where p.id = '{}'",
            payment.id.as_uuid()
        );
        execute(&mut raw, used).await.unwrap();
        let all = ActivityFilter::default();
        let whole = activity(store, &all, 1000).await;
        assert_eq!(whole.len(), 22);
        for limit in [1, 2, 7] {
            assert_eq!(
                places(&activity(store, &all, limit).await),
                places(&whole),
                "{limit} a page"
            );
        }
        assert!(whole.is_sorted_by_key(|it| it.transfer.block.time));
        let belongs = |it: &&Activity| matches!(it.of, Belonging::Payment { id, .. } if id == payment.id);
        let own: Vec<&Activity> = whole.iter().filter(belongs).collect();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].transfer.tx.0, "used");
        for (filter, count) in [
            (
                ActivityFilter {
                    direction: Some(Direction::Debit),
                    ..all.clone()
                },
                10,
            ),
            (
                ActivityFilter {
                    from: Some(Timestamp(1)),
                    before: Some(Timestamp(3)),
                    ..all.clone()
                },
                12,
            ),
            (
                ActivityFilter {
                    before: Some(Timestamp(0)),
                    ..all.clone()
                },
                0,
            ),
            (
                ActivityFilter {
                    holder: Some(payment.authorization.pay_to.clone()),
                    ..all.clone()
                },
                22,
            ),
            (
                ActivityFilter {
                    holder: Some("0xOther".into()),
                    ..all.clone()
                },
                0,
            ),
            (
                ActivityFilter {
                    asset: Some("0xOther".into()),
                    ..all.clone()
                },
                0,
            ),
            (
                ActivityFilter {
                    network: Some("eip155:1".parse().unwrap()),
                    ..all.clone()
                },
                0,
            ),
        ] {
            assert_eq!(activity(store, &filter, 3).await.len(), count, "{filter:?}");
        }
    })
    .await;
}

async fn fees(store: &Store, filter: &FeeFilter, limit: u16) -> Vec<Fee> {
    let mut all: Vec<Fee> = Vec::new();
    loop {
        let page = store.fees_list(filter, all.last(), limit).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[tokio::test]
async fn what_is_booked_of_our_transactions_is_what_the_ledger_has_of_gas() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let mut carried = Vec::new();
        for (slot, keys) in (0..).zip([&[1, 2, 3][..], &[4], &[5, 6]]) {
            let mut records = Vec::new();
            for key in keys {
                records.push(reserve(store, &sample(*key)).await);
            }
            let name = format!("t{slot}");
            intend(store, &records.iter().collect::<Vec<_>>(), &name).await.unwrap();
            let height = 3 + slot;
            let costs = [mined(&name, height, 100)];
            store.transactions_mined(&network(), &costs).await.unwrap();
            carried.push(records);
        }
        // One of the first transaction's is still under way.
        for record in [
            &carried[0][0],
            &carried[0][2],
            &carried[1][0],
            &carried[2][0],
            &carried[2][1],
        ] {
            let record = again(store, record).await;
            let confirmed = advance(store, &record, Event::Confirmed(landed("t", 3, false))).await;
            advance(store, &confirmed, Event::Finalized(landed("t", 3, true))).await;
        }
        let all = FeeFilter::default();
        let whole = fees(store, &all, 1000).await;
        assert_eq!(whole.iter().map(|it| it.shares.len()).collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(fees(store, &all, 1).await.len(), 3);
        let first: Vec<u128> = whole[0].shares.iter().map(|it| it.cost.units()).collect();
        assert_eq!(first, [34, 33, 33], "the parts sum to the whole");
        let shares = whole.iter().flat_map(|it| &it.shares);
        let booked: u128 = shares.filter(|it| it.is_booked).map(|it| it.cost.units()).sum();
        let ledger = db
            .texts("select sum(amount)::text from ledger_entries where purpose = 'gas'")
            .await;
        assert_eq!(ledger, [booked.to_string()]);
        assert_eq!(booked, 267);
        for (filter, count) in [
            (
                FeeFilter {
                    signer: Some(lane().signer),
                    ..all.clone()
                },
                3,
            ),
            (
                FeeFilter {
                    signer: Some("0xOther".into()),
                    ..all.clone()
                },
                0,
            ),
            (
                FeeFilter {
                    from: Some(whole[1].block.time),
                    ..all.clone()
                },
                2,
            ),
            (
                FeeFilter {
                    before: Some(whole[1].block.time),
                    ..all.clone()
                },
                1,
            ),
        ] {
            assert_eq!(fees(store, &filter, 2).await.len(), count, "{filter:?}");
        }
    })
    .await;
}
