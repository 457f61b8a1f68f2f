//! What one cluster is configured to accept, in the form that payments are compared with.

use std::sync::Arc;

use solana_pubkey::Pubkey;

use super::recipients::Recipients;
use super::settings::{Settings, TokenProgram};
use crate::domain::network::NetworkId;

/// What one cluster is configured to accept.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    /// The cluster.
    pub(super) network: NetworkId,
    /// The tokens accepted. A handful, so a search from the front is the fastest.
    pub(super) assets: Vec<Asset>,
    /// Our fee payers, those that are advertised no more included.
    pub(super) fee_payers: Vec<Pubkey>,
    /// What we pay for.
    pub(super) bounds: Bounds,
    /// Payments of smart wallets are accepted too.
    pub(super) smart_wallets: bool,
    /// Where recipients are paid, as far as it was asked before.
    pub(super) recipients: Arc<Recipients>,
}

/// A token that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    /// Its mint.
    pub(super) mint: Pubkey,
    /// The program that keeps it.
    pub(super) program: TokenProgram,
    /// Digits after the point.
    pub(super) decimals: u8,
}

/// The most that a transaction may cost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Required signatures, ours included; each costs 5,000 lamports.
    pub(super) signatures_max: usize,
    /// Compute units asked for.
    pub(super) compute_units_max: u32,
    /// Lamports for those compute units at the price offered.
    pub(super) priority_fee_max_lamports: u64,
}

impl Listing {
    /// What these settings accept, once they are known to be sound, with these fee payers of ours.
    pub(super) fn of(settings: &Settings, fee_payers: Vec<Pubkey>) -> Self {
        let assets = settings.assets.iter().map(|asset| Asset {
            mint: asset.address,
            program: asset.program,
            decimals: asset.decimals,
        });
        Self {
            network: settings.id.clone(),
            assets: assets.collect(),
            fee_payers,
            bounds: Bounds {
                signatures_max: settings.signatures_max,
                compute_units_max: settings.compute_units_max,
                priority_fee_max_lamports: settings.priority_fee_max_lamports,
            },
            smart_wallets: settings.smart_wallets,
            recipients: Arc::default(),
        }
    }

    /// The accepted token of this mint.
    pub(super) fn asset(&self, mint: &Pubkey) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.mint == *mint)
    }

    /// The owner's associated token account for the asset.
    pub(super) fn token_account(&self, owner: &Pubkey, asset: &Asset) -> Pubkey {
        self.recipients.token_account(owner, asset)
    }

    /// Whether the account is one of our fee payers.
    pub(super) fn is_ours(&self, account: &Pubkey) -> bool {
        self.fee_payers.contains(account)
    }
}
