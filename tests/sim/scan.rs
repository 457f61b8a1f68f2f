//! What the simulated chains show of accounts in a range of blocks, as `chain/evm/scan.rs` and `chain/solana/scan.rs` read
//! it.

use std::ops::RangeInclusive;

use facilitator::domain::amount::Amount;
use facilitator::domain::reconciliation::{Account, Direction, Held, Scan, Transfer};

use crate::chain_evm::{Block, Use};
use crate::chain_solana;

/// What these blocks did to the accounts.
pub(crate) fn evm(blocks: &[Block], accounts: &[Account], heights: &RangeInclusive<u64>) -> Scan {
    let within = || blocks.iter().filter(|it| heights.contains(&it.point.height));
    let held_at = |account: &Account, block: &Block| {
        let held = block
            .accounts
            .balances
            .get(&account.holder)
            .copied()
            .unwrap_or_default();
        Some(Amount::from_units(held.into()))
    };
    let mut transfers = Vec::new();
    for (block, receipt) in within().flat_map(|block| block.receipts.iter().map(move |it| (block, it))) {
        for (done, index) in receipt.uses.iter().zip(0..) {
            let Use::Paid(pay) = done else { continue };
            let credited = accounts.iter().filter(|it| it.holder == pay.recipient);
            transfers.extend(credited.map(|account| Transfer {
                account: account.clone(),
                direction: Direction::Credit,
                counterparty: Some(pay.payer.clone()),
                amount: Amount::from_units(pay.amount.into()),
                tx: receipt.tx.clone(),
                index,
                block: block.point.clone(),
                authorizer: Some(pay.payer.clone()),
                nonce: Some(pay.nonce.to_string()),
                memo: None,
                sender: receipt.signer.clone().unwrap_or_default(),
            }));
        }
    }
    let held = |account: &Account| Held {
        before: blocks
            .iter()
            .rfind(|it| it.point.height < *heights.start())
            .and_then(|block| held_at(account, block)),
        after: within().next_back().and_then(|block| held_at(account, block)),
    };
    Scan {
        until: *heights.end(),
        transfers,
        balances: accounts.iter().map(held).collect(),
    }
}

/// The same of a cluster's blocks.
pub(crate) fn solana(blocks: &[chain_solana::Block], accounts: &[Account], slots: &RangeInclusive<u64>) -> Scan {
    let within = || blocks.iter().filter(|it| slots.contains(&it.point.height));
    let paid = within().flat_map(|block| block.receipts.iter().map(move |it| (block, it)));
    let mut transfers = Vec::new();
    for (block, receipt) in paid.filter(|(_, it)| !it.is_failed) {
        let message = &receipt.message;
        let credited = accounts.iter().filter(|it| it.holder == message.recipient);
        transfers.extend(credited.map(|account| Transfer {
            account: account.clone(),
            direction: Direction::Credit,
            counterparty: Some(message.payer.clone()),
            amount: Amount::from_units(message.amount.into()),
            tx: receipt.tx.clone(),
            index: 0,
            block: block.point.clone(),
            authorizer: None,
            nonce: Some(message.id().0),
            memo: Some(message.memo.to_string()),
            sender: message.fee_payer.clone(),
        }));
    }
    Scan {
        until: *slots.end(),
        transfers,
        balances: vec![Held::default(); accounts.len()],
    }
}
