//! What one network is configured to accept, in the form that payments are compared with.

use alloy::primitives::{Address, B256};

use super::body::Domain;
use super::eip3009;
use super::settings::Settings;
use crate::domain::network::NetworkId;

/// What one network is configured to accept.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    /// The network.
    pub(super) network: NetworkId,
    /// Its chain id.
    pub(super) chain_id: u64,
    /// The tokens accepted. A handful, so a search from the front is the fastest.
    pub(super) assets: Vec<Asset>,
    /// The factories that may be called to deploy a payer's wallet.
    pub(super) factories: Vec<Address>,
    /// Our own accounts, those that take nothing new last.
    pub(super) signers: Vec<Address>,
    /// How many of them take nothing new.
    pub(super) retired: usize,
}

/// A token that is accepted.
#[derive(Debug, Clone)]
pub(super) struct Asset {
    /// Its contract.
    pub(super) address: Address,
    /// Its EIP-712 domain's name and version.
    pub(super) domain: Domain,
    /// The separator of that domain on this network.
    pub(super) separator: B256,
    /// Digits after the point.
    pub(super) decimals: u8,
}

impl Listing {
    /// What these settings accept, once they are known to be sound, for these accounts of ours, the retired ones last.
    pub(super) fn new(settings: &Settings, chain_id: u64, signers: Vec<Address>) -> Self {
        let assets = settings.assets.iter().map(|asset| {
            let domain = Domain {
                name: asset.name.clone(),
                version: asset.version.clone(),
            };
            Asset {
                address: asset.address,
                separator: eip3009::domain_separator(&domain, chain_id, asset.address),
                domain,
                decimals: asset.decimals,
            }
        });
        Self {
            network: settings.id.clone(),
            chain_id,
            assets: assets.collect(),
            factories: settings.factories.clone(),
            signers,
            retired: settings.retired_signers.len(),
        }
    }

    /// Our accounts that take on payments.
    pub(super) fn active(&self) -> impl Iterator<Item = &Address> {
        self.signers.iter().rev().skip(self.retired).rev()
    }

    /// The accepted token at this address.
    pub(super) fn asset(&self, address: &Address) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.address == *address)
    }

    /// The separator of the EIP-712 domain that a payment in this token is signed under: the one stated, else the
    /// one configured. None for a token that is neither.
    pub(super) fn separator(&self, token: Address, stated: Option<&Domain>) -> Option<B256> {
        match stated {
            Some(domain) => Some(eip3009::domain_separator(domain, self.chain_id, token)),
            None => self.asset(&token).map(|asset| asset.separator),
        }
    }
}

/// An address as EIP-55 writes it.
pub(super) fn checksummed(address: &Address) -> String {
    address.to_checksum(None)
}
