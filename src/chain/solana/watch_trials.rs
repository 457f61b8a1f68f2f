//! Signing, delivering, hearing and seeing against a real node.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use solana_pubkey::Pubkey;
use tokio::time::timeout;

use super::balance;
use super::body::Body;
use super::deliver::deliver;
use super::instructions::{TRANSFER_INDEX, Transfer};
use super::listing::Listing;
use super::node::Node;
use super::policy::Sealed;
use super::scan::{self, TokenAccount};
use super::settings::{Commitment, Settings};
use super::subscription::Subscriptions;
use super::surfpool::Surfpool;
use super::transaction::Transaction;
use super::watch::observe;
use crate::chain::Secret;
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::id::PaymentId;
use crate::domain::rail::{Delivery, Observation, Sighting, TxId, Watched};
use crate::domain::reconciliation::{self, Account, Direction, Held};
use crate::domain::settlement::{CannotLand, Landed, Setback};
use crate::task::Tasks;

/// How long a slot takes here, in milliseconds: blockhashes grow too old within seconds.
const SLOT_MS: u64 = 20;

/// Longer than a blockhash is good here, and then until that is final.
const PATIENCE: Duration = Duration::from_secs(20);

const AMOUNT: u64 = 10_000;

struct Chain {
    surfpool: Surfpool,
    node: Arc<Node>,
    fee_payer: SigningKey,
}

struct Payment {
    id: PaymentId,
    authorization: Authorization,
    sealed: Sealed,
    txs: Vec<TxId>,
    landed: Option<Landed>,
    since_height: u64,
}

fn address_of(key: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

impl Chain {
    fn start() -> Self {
        let surfpool = Surfpool::start(SLOT_MS);
        Self {
            node: Arc::new(Node::new(surfpool.rpc(), false)),
            fee_payer: surfpool.key("/feePayers/0/key"),
            surfpool,
        }
    }

    /// A payment whose transaction moves `moved` while `asked` is asked for.
    async fn payment(&self, moved: u64, asked: u64, note: &str) -> Payment {
        let owner = self.surfpool.address("/seller/address");
        let (_, since_height) = self.surfpool.latest().await;
        let draft = self.surfpool.draft("usdc", owner, moved, note).await;
        let transaction = Transaction::parse(&draft.wire()).unwrap();
        let transfer = Transfer::read(&transaction, &transaction.instructions().nth(TRANSFER_INDEX).unwrap()).unwrap();
        let signature = self.fee_payer.sign(transaction.message_bytes()).to_bytes();
        let sealed = Sealed {
            id: TxId(solana_signature::Signature::from(signature).to_string()),
            raw: transaction.sealed(signature),
        };
        Payment {
            id: PaymentId::mint(),
            authorization: Authorization {
                payer: transfer.authority.to_string(),
                pay_to: owner.to_string(),
                asset: transfer.mint.to_string(),
                amount: Amount::from_units(asked.into()),
                nonce: hex::encode(transaction.message_hash()),
                window: Window::Recent,
                signer: Some(transaction.fee_payer().to_string()),
                memo: None,
                key: PaymentKey([0; 32]),
                body: Body::of(transaction, &transfer, owner).encode(),
            },
            txs: vec![sealed.id.clone()],
            sealed,
            landed: None,
            since_height,
        }
    }

    /// What a rail of this node's token accepts.
    fn listing(&self) -> Listing {
        let mint = self.surfpool.text("/mints/usdc/address");
        let settings: Settings = serde_json::from_value(json!({
            "id": self.node.rpc().network(), "rpc_url": "http://localhost", "signers": [""],
            "budget": {
                "total": { "minute": "unlimited", "day": "unlimited" },
                "signer": { "minute": "unlimited", "day": "unlimited" },
                "payer": { "minute": "unlimited", "day": "unlimited" },
            },
            "asset": [{ "address": mint, "symbol": "USDC", "decimals": 6, "program": "token" }],
        }))
        .unwrap();
        Listing::of(&settings, vec![address_of(&self.fee_payer)])
    }

    async fn deliver(&self, payment: &Payment) -> Delivery {
        deliver(&self.node, &payment.sealed.raw).await
    }

    async fn look(&self, payments: &[&Payment]) -> Sighting {
        let watched: Vec<_> = payments.iter().map(|payment| payment.watched()).collect();
        observe(&self.node, &watched, &[], Commitment::Confirmed).await.unwrap()
    }

    /// Looks until the payment is seen as `wanted`; the sighting in which it is.
    async fn await_seen(&self, payment: &Payment, wanted: impl Fn(&Observation) -> bool) -> Sighting {
        let looking = async {
            loop {
                let sighting = self.look(&[payment]).await;
                if sighting.payments.get(&payment.id).is_some_and(&wanted) {
                    return sighting;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("seen in time")
    }
}

impl Payment {
    fn watched(&self) -> Watched<'_> {
        Watched {
            payment: self.id,
            authorization: &self.authorization,
            txs: &self.txs,
            landed: self.landed.as_ref(),
            since_height: self.since_height,
            seek: false,
        }
    }

    fn seen(&self, sighting: &Sighting) -> Observation {
        sighting.payments[&self.id].clone()
    }
}

fn is_landed(seen: &Observation) -> bool {
    matches!(seen, Observation::Landed(_))
}

fn landed(seen: Observation) -> Landed {
    let Observation::Landed(landed) = seen else {
        panic!("{seen:?}")
    };
    landed
}

#[tokio::test]
async fn a_payment_lands_and_becomes_final() {
    let chain = Chain::start();
    let tasks = Tasks::default();
    let ws_url: Secret = serde_json::from_value(chain.surfpool.at["wsUrl"].clone()).unwrap();
    let subscriptions = Subscriptions::start(chain.node.rpc().network().clone(), &ws_url, &tasks);
    // Connected.
    timeout(PATIENCE, subscriptions.heard()).await.unwrap();
    let mut payment = chain.payment(AMOUNT, AMOUNT, "lands").await;
    assert!(matches!(
        payment.seen(&chain.look(&[&payment]).await),
        Observation::Unseen { .. }
    ));

    // Listened for beforehand: of what is in a block already this node tells nothing.
    subscriptions.listen_for(&payment.sealed.raw);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(chain.deliver(&payment).await, Delivery::Accepted);
    timeout(PATIENCE, subscriptions.heard()).await.expect("told");
    let sighting = chain.await_seen(&payment, is_landed).await;
    let first = landed(payment.seen(&sighting));
    assert!(first.is_deep_enough && !first.is_final);
    assert_eq!((&first.tx, first.log_index), (&payment.sealed.id, 2));
    assert_eq!(sighting.mined.len(), 1);
    assert_eq!(
        (&sighting.mined[0].block, sighting.mined[0].cost),
        (&first.block, Amount::from_units(10_000))
    );
    assert_eq!(chain.deliver(&payment).await, Delivery::Known);
    let others = observe(&chain.node, &[], &[payment.sealed.id.clone()], Commitment::Confirmed)
        .await
        .unwrap();
    assert_eq!(others.mined, sighting.mined);

    payment.landed = Some(first.clone());
    let is_final = |seen: &Observation| matches!(seen, Observation::Landed(landed) if landed.is_final);
    let last = landed(payment.seen(&chain.await_seen(&payment, is_final).await));
    assert_eq!(
        last,
        Landed {
            is_final: true,
            ..first
        }
    );
    assert!(tasks.drain(PATIENCE).await);
}

#[tokio::test]
async fn what_fails_is_told_at_once_and_proven_when_final() {
    let chain = Chain::start();
    let too_much = chain.payment(u64::MAX >> 1, u64::MAX >> 1, "too much").await;
    let too_little = chain.payment(AMOUNT, AMOUNT + 1, "too little").await;
    for payment in [&too_much, &too_little] {
        let delivery = chain.deliver(payment).await;
        assert!(
            matches!(delivery, Delivery::Accepted | Delivery::Refused(..)),
            "{delivery:?}"
        );
    }
    let tx = |payment: &Payment| payment.sealed.id.clone();
    let told = [
        (&too_much, Setback::Reverted { tx: tx(&too_much) }),
        (&too_little, Setback::TransferMissing { tx: tx(&too_little) }),
    ];
    for (payment, setback) in told {
        let expected = Observation::SetBack { setback, shared: false };
        let sighting = chain.await_seen(payment, |seen| *seen == expected).await;
        assert_eq!(sighting.mined.len(), 1);
    }
    for payment in [&too_much, &too_little] {
        let is_over = |seen: &Observation| matches!(seen, Observation::CannotLand(_));
        let sighting = chain.await_seen(payment, is_over).await;
        let Observation::CannotLand(proof) = payment.seen(&sighting) else {
            panic!("{sighting:?}")
        };
        let expected = if payment.id == too_much.id {
            "failed_on_chain"
        } else {
            "used_otherwise"
        };
        assert_eq!((proof.as_str(), proof.tx()), (expected, Some(&tx(payment))));
        assert_eq!(proof.block(), &sighting.mined[0].block);
    }
}

#[tokio::test]
async fn what_was_never_delivered_is_over_when_its_blockhash_is_too_old() {
    let chain = Chain::start();
    let unsent = chain.payment(AMOUNT, AMOUNT, "unsent").await;
    let mut reserved = chain.payment(AMOUNT, AMOUNT, "reserved").await;
    reserved.txs.clear();
    let seen = chain.look(&[&unsent, &reserved]).await;
    assert!(
        seen.payments
            .values()
            .all(|seen| matches!(seen, Observation::Unseen { .. }))
    );
    let is_over = |seen: &Observation| matches!(seen, Observation::CannotLand(CannotLand::WindowClosed { .. }));
    for (payment, dead) in [(&unsent, unsent.txs.clone()), (&reserved, vec![])] {
        let sighting = chain.await_seen(payment, is_over).await;
        assert_eq!(sighting.dead, dead);
        assert!(sighting.mined.is_empty());
    }
    // Whatever the node says to that: it is too late.
    chain.deliver(&unsent).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let sighting = chain.look(&[&unsent]).await;
    assert!(is_over(&unsent.seen(&sighting)), "{sighting:?}");
}

#[tokio::test]
async fn an_account_that_does_not_exist_holds_nothing() {
    let chain = Chain::start();
    let rich = address_of(&chain.fee_payer);
    let (poor, empty) = (
        chain.surfpool.address("/poorFeePayer/address"),
        Pubkey::new_from_array([9; 32]),
    );
    let lamports = balance::read(&chain.node, &[poor, rich, empty]).await.unwrap();
    assert_eq!((lamports[0].units(), lamports[2].units()), (1_000_000, 0));
    assert!(lamports[1].units() >= 10_000_000);
}

#[tokio::test]
async fn every_transfer_of_an_account_is_read_once_it_is_final() {
    let chain = Chain::start();
    let first = scan::finalized(&chain.node).await.unwrap();
    let payments = [
        chain.payment(AMOUNT, AMOUNT, "order 7").await,
        chain.payment(AMOUNT + 1, AMOUNT + 1, "order 8").await,
        chain.payment(u64::MAX >> 1, u64::MAX >> 1, "too much").await,
    ];
    let is_final = |seen: &Observation| match seen {
        Observation::Landed(landed) => landed.is_final,
        Observation::CannotLand(_) => true,
        Observation::SetBack { .. } | Observation::Unseen { .. } | Observation::Stranded => false,
    };
    for payment in &payments {
        chain.deliver(payment).await;
        chain.await_seen(payment, is_final).await;
    }
    let last = scan::finalized(&chain.node).await.unwrap();

    let listing = chain.listing();
    let account = |path: &str| Account {
        asset: payments[0].authorization.asset.clone(),
        holder: chain.surfpool.address(path).to_string(),
    };
    let accounts = [account("/seller/address"), account("/payers/0/address")];
    let watched = accounts.each_ref().map(|it| TokenAccount::of(&listing, it).unwrap());
    let read = scan::scan(&chain.node, &watched, first..=last).await.unwrap();
    assert_eq!(read.until, last);
    let told = |it: &reconciliation::Transfer| {
        (
            it.account.clone(),
            it.direction,
            it.amount.units(),
            it.tx.clone(),
            it.memo.clone(),
            it.nonce.clone(),
        )
    };
    let [seller, payer] = accounts;
    let mut expected = Vec::new();
    for (payment, memo) in payments.iter().zip(["order 7", "order 8"]) {
        let units = payment.authorization.amount.units();
        let nonce = Some(payment.authorization.nonce.clone());
        for (account, direction) in [(&seller, Direction::Credit), (&payer, Direction::Debit)] {
            let (tx, memo) = (payment.sealed.id.clone(), Some(memo.to_owned()));
            expected.push((account.clone(), direction, units, tx, memo, nonce.clone()));
        }
    }
    assert_eq!(read.transfers.iter().map(told).collect::<Vec<_>>(), expected);
    let counterparties: Vec<_> = read
        .transfers
        .iter()
        .map(|it| it.counterparty.clone().unwrap())
        .collect();
    let sides = [payer.holder.clone(), seller.holder.clone()];
    assert_eq!(counterparties, [sides.clone(), sides].concat());
    let moved = |held: &Held| held.after.unwrap().units().abs_diff(held.before.unwrap().units());
    let both = u128::from(AMOUNT + AMOUNT + 1);
    assert_eq!(read.balances.iter().map(moved).collect::<Vec<_>>(), [both, both]);

    assert!(
        scan::scan(&chain.node, &watched, first..=last + 1_000).await.is_err(),
        "not final"
    );
    let nothing = scan::scan(&chain.node, &watched, first..=first).await.unwrap();
    assert_eq!(
        (nothing.transfers.len(), &nothing.balances),
        (0, &vec![Held::default(); 2])
    );
}
