//! What the scanner reads of transfers that really happened.

use alloy::primitives::U256;
use alloy::sol_types::{SolCall, sol};

use super::*;
use crate::chain::evm::scan::scan;
use crate::domain::reconciliation::{Account, Direction, Held, Transfer};

sol! {
    #![sol(alloy_sol_types = alloy::sol_types)]

    function transfer(address to, uint256 value) external returns (bool);
}

impl Anvil {
    fn account(&self, holder: &str) -> Account {
        Account {
            asset: self.usdc.to_string(),
            holder: holder.to_owned(),
        }
    }

    /// Moves tokens without an authorization.
    async fn moves(&self, from: usize, to: Address, value: u64) {
        let value = U256::from(value);
        self.send(from, transferCall { to, value }.abi_encode().into()).await;
    }
}

/// What a transfer is about: whose account, which way, how much, by whose authorization, sent by whom.
fn told(transfer: &Transfer) -> (String, Direction, u128, Option<String>, Option<String>, String) {
    (
        transfer.account.holder.clone(),
        transfer.direction,
        transfer.amount.units(),
        transfer.authorizer.clone(),
        transfer.nonce.clone(),
        transfer.sender.clone(),
    )
}

#[tokio::test]
async fn every_side_of_every_transfer_is_read_with_whose_authorization_it_used() {
    let anvil = Anvil::start().await;
    let holder = |account: usize| {
        let key: PrivateKeySigner = anvil.keys[account].parse().unwrap();
        key.address()
    };
    let before = anvil.height().await;
    let payments = [
        anvil.payment(1, 10_000, "one", FAR),
        anvil.payment(2, 20_000, "two", FAR),
    ];
    let (shared, _) = anvil.settle(0, &[&payments[0], &payments[1]]).await;
    anvil.moves(3, anvil.pay_to, 7).await;
    anvil.moves(1, holder(3), 5).await;
    anvil.moves(3, holder(3), 3).await;
    let until = anvil.height().await;
    anvil.mine(80).await;

    let seller = anvil.pay_to.to_string();
    let accounts = [anvil.account(&seller), anvil.account(&holder(1).to_string())];
    let blocks = before + 1..=until;
    let read = scan(&anvil.rpc, &accounts, blocks.clone()).await.unwrap();
    assert_eq!(read.until, until);
    let used = |it: &Payment| {
        (
            Some(it.authorization.payer.clone()),
            Some(it.authorization.nonce.clone()),
        )
    };
    let (one, two) = (used(&payments[0]), used(&payments[1]));
    let (sender, direct, payer) = (holder(0).to_string(), holder(3).to_string(), holder(1).to_string());
    let expected = [
        (
            seller.clone(),
            Direction::Credit,
            10_000,
            one.0.clone(),
            one.1.clone(),
            sender.clone(),
        ),
        (payer.clone(), Direction::Debit, 10_000, one.0, one.1, sender.clone()),
        (seller.clone(), Direction::Credit, 20_000, two.0, two.1, sender),
        (seller, Direction::Credit, 7, None, None, direct),
        (payer.clone(), Direction::Debit, 5, None, None, payer),
    ];
    assert_eq!(read.transfers.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(read.transfers[..3].iter().all(|it| it.tx == shared));
    let [
        Held {
            before: Some(first),
            after: Some(last),
        },
        _,
    ] = read.balances[..]
    else {
        panic!("{:?}", read.balances)
    };
    assert_eq!(last.units() - first.units(), 30_007);

    // Step by step is the same as at once.
    let mut transfers = Vec::new();
    for height in blocks {
        let step = scan(&anvil.rpc, &accounts, height..=height).await.unwrap();
        assert_eq!(step.until, height);
        transfers.extend(step.transfers);
    }
    assert_eq!(transfers, read.transfers);

    let own = [anvil.account(&holder(3).to_string())];
    let read = scan(&anvil.rpc, &own, until..=until).await.unwrap();
    let both = [Direction::Credit, Direction::Debit];
    assert_eq!(
        read.transfers.iter().map(|it| it.direction).collect::<Vec<_>>(),
        both,
        "who pays himself gets and gives"
    );
    assert_eq!(read.balances[0].before, read.balances[0].after);
}

#[tokio::test]
async fn blocks_that_are_not_final_are_not_read() {
    let anvil = Anvil::start().await;
    anvil.mine(80).await;
    let finalized = anvil.finalized_height().await;
    let accounts = [anvil.account(&anvil.pay_to.to_string())];
    assert!(scan(&anvil.rpc, &accounts, 1..=finalized).await.is_ok());
    for last in [finalized + 1, anvil.height().await, anvil.height().await + 1] {
        assert!(scan(&anvil.rpc, &accounts, last..=last).await.is_err(), "{last}");
    }
}

#[tokio::test]
async fn an_account_that_is_no_address_is_refused() {
    let anvil = Anvil::start().await;
    let fault = scan(&anvil.rpc, &[anvil.account("somebody")], 1..=1).await.unwrap_err();
    assert_eq!(fault.cause, "an account is not of this chain's form");
}
