//! The wallets that refunds are paid from, and what they sign: a whole transaction to who paid, as a payer would build it.
//!
//! Four instructions: a limit of compute units, their price, the transfer, and a memo that names the refund.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use super::fee_payer::{self, FeePayer};
use super::instructions::price_max;
use super::listing::Listing;
use super::node::{AsOf, InContext, LatestBlockhash, Node, latest_blockhash_call};
use super::policy::Policy;
use super::programs::{COMPUTE_BUDGET, MEMO};
use super::settings::Settings;
use super::terms::Asked;
use super::transaction::Transaction;
use super::watch::numbered;
use crate::chain::wallets;
use crate::domain::rail::RailFault;
use crate::domain::refund::{Presented, Repayment};
use crate::domain::request::Proof;

/// Compute units: a transfer of Token-2022 and a memo of 30 bytes use less than half of them.
const UNITS: u32 = 80_000;

/// Micro-lamports for a unit, where the network's bounds allow so much: 800 lamports in all.
const PRICE: u64 = 10_000;

/// Discriminators of ComputeBudget (agave `ComputeBudgetInstruction`) and of the token programs (`TransferChecked`).
const SET_LIMIT: u8 = 2;
const SET_PRICE: u8 = 3;
const TRANSFER_CHECKED: u8 = 12;

const SIGNATURE_BYTES: usize = 64;

/// The wallets' keys.
#[derive(Debug)]
pub(super) struct Wallets(Vec<FeePayer>);

/// Which wallet refunds the payments to which recipient. Asks nobody.
///
/// # Errors
/// Names the table and what was expected there.
pub(super) fn assigned(settings: &Settings, signers: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut wallets = Vec::with_capacity(settings.refund_wallets.len());
    for (index, it) in settings.refund_wallets.iter().enumerate() {
        let address = fee_payer::address(&it.key).map_err(|what| format!("refund_wallet[{index}].key: {what}"))?;
        wallets.push((it, address.to_string()));
    }
    wallets::assigned(&wallets, signers, super::canonical_account)
}

impl Wallets {
    /// The wallets of these settings.
    ///
    /// # Errors
    /// Names the table; the key is not repeated.
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let read = settings.refund_wallets.iter().enumerate().map(|(index, it)| {
            let named = |what| format!("refund_wallet[{index}].key: {what}");
            FeePayer::of(&it.key, &settings.id).map_err(named)
        });
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FeePayer> {
        self.0.iter()
    }

    /// What the refund's wallet presents, good for as long as this blockhash is.
    ///
    /// # Errors
    /// What is not of this cluster, cannot be paid or must not be signed; or whoever keeps the key gave no signature.
    pub(super) async fn sign(
        &self,
        listing: &Listing,
        repayment: &Repayment<'_>,
        latest: LatestBlockhash,
    ) -> Result<Presented, String> {
        let wallet = self.0.iter().find(|it| it.address().to_string() == repayment.wallet);
        let wallet = wallet.ok_or("the refund's wallet is not configured")?;
        let address = |text: &str| {
            text.parse::<Pubkey>()
                .map_err(|_| "an account of the refund is no address")
        };
        let asset = listing.asset(&address(repayment.asset)?);
        let asset = asset.ok_or("the refund's asset is not configured")?;
        let amount: u64 = repayment
            .amount
            .units()
            .try_into()
            .map_err(|_| "the refund is more than can be held")?;
        let memo = repayment.refund.to_string();
        let units = UNITS.min(listing.bounds.compute_units_max);
        let mut transfer = vec![TRANSFER_CHECKED];
        transfer.extend(amount.to_le_bytes());
        transfer.push(asset.decimals);
        let asked = Asked {
            fee_payer: address(repayment.signer)?,
            asset: asset.mint,
            pay_to: address(repayment.recipient)?,
            amount: repayment.amount,
            memo: Some(memo.as_str().into()),
        };
        let plan = Plan {
            fee_payer: asked.fee_payer,
            wallet: *wallet.address(),
            source: listing.token_account(wallet.address(), asset),
            destination: listing.token_account(&asked.pay_to, asset),
            mint: asset.mint,
            program: asset.program.id(),
            transfer,
            units,
            price: PRICE.min(price_max(&listing.bounds, units)),
            memo: &memo,
        };
        let message = plan.message(latest.blockhash);
        let unsigned = Transaction::parse(&wire([0; SIGNATURE_BYTES], &message))?;
        let allowed = Policy::of(listing).refund(wallet.address(), &asked, &unsigned);
        let allowed = allowed.map_err(|forbidden| forbidden.to_string())?;
        let signature = wallet.sign(&allowed).await.map_err(|fault| fault.to_string())?;
        let transaction = Transaction::parse(&wire(signature, allowed.message()))?;
        Ok(Presented {
            proof: Proof(
                json!({"transaction": STANDARD.encode(transaction.wire())})
                    .to_string()
                    .into(),
            ),
            extra: json!({"feePayer": repayment.signer, "memo": memo}).to_string().into(),
            good_until: latest.last_valid_block_height,
        })
    }
}

/// A transaction of two signers, of which the second has signed.
fn wire(signature: [u8; SIGNATURE_BYTES], message: &[u8]) -> Vec<u8> {
    let mut wire = vec![2];
    wire.extend([0; SIGNATURE_BYTES]);
    wire.extend(signature);
    wire.extend(message);
    wire
}

/// The newest blockhash.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn latest_blockhash(node: &Node) -> Result<LatestBlockhash, RailFault> {
    const OPERATION: &str = "repay";
    let answers = node.ask(OPERATION, &[latest_blockhash_call()]).await?;
    let latest: InContext<LatestBlockhash> = node.read(OPERATION, answers.into_iter().next())?;
    Ok(latest.value)
}

/// The height of the newest finalized block.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn finalized_height(node: &Node) -> Result<u64, RailFault> {
    const OPERATION: &str = "repay";
    let answers = node
        .ask(OPERATION, &[numbered("getBlockHeight", AsOf::Finalized)])
        .await?;
    node.read(OPERATION, answers.into_iter().next())
}

/// A transfer to be made.
struct Plan<'a> {
    fee_payer: Pubkey,
    wallet: Pubkey,
    source: Pubkey,
    destination: Pubkey,
    mint: Pubkey,
    program: Pubkey,
    transfer: Vec<u8>,
    units: u32,
    price: u64,
    memo: &'a str,
}

impl Plan<'_> {
    /// The serialized legacy message (solana.com/docs/core/transactions). Every count is below 128, so that it is one byte.
    fn message(&self, blockhash: Hash) -> Vec<u8> {
        let keys = [
            self.fee_payer,
            self.wallet,
            self.source,
            self.destination,
            self.mint,
            self.program,
            COMPUTE_BUDGET,
            MEMO,
        ];
        let limit = [&[SET_LIMIT][..], &self.units.to_le_bytes()].concat();
        let price = [&[SET_PRICE][..], &self.price.to_le_bytes()].concat();
        // Program, accounts and data, by their places among the keys.
        let instructions: [(u8, &[u8], &[u8]); 4] = [
            (6, &[], &limit),
            (6, &[], &price),
            (5, &[2, 4, 3, 1], &self.transfer),
            (7, &[], self.memo.as_bytes()),
        ];
        // Two signers, of which the wallet is only read, and four other accounts that are.
        let mut message = vec![2, 1, 4];
        message.push(length(&keys));
        message.extend(keys.iter().flat_map(Pubkey::to_bytes));
        message.extend(blockhash.to_bytes());
        message.push(length(&instructions));
        for (program, accounts, data) in instructions {
            message.push(program);
            message.push(length(accounts));
            message.extend(accounts);
            message.push(length(data));
            message.extend(data);
        }
        message
    }
}

fn length<T>(items: &[T]) -> u8 {
    items.len().try_into().unwrap_or(u8::MAX)
}
