//! The `exact` scheme on Solana: transactions that the payer builds and signs, and we pay the fee of.

mod body;
mod instructions;
mod listing;
mod node;
mod payload;
mod programs;
mod recipients;
mod settings;
mod terms;
mod transaction;
#[cfg(test)]
mod trials;

use async_trait::async_trait;
use solana_pubkey::Pubkey;

pub use self::settings::{AssetSettings, Commitment, Settings, TokenProgram};
use super::Unservable;
use crate::domain::authorization::{Authorization, PaymentKey};
use crate::domain::network::RailId;
use crate::domain::rail::Watched;
use crate::domain::rail::{
    Advertised, Delivery, Facts, LaneId, Pace, Quote, Rail, RailFault, Sighting, SignedTx, TxId,
};
use crate::domain::rejection::{Malformed, Refused};
use crate::domain::request::PaymentRequest;
use crate::task::Tasks;

/// `exact` on one Solana cluster.
#[derive(Debug)]
pub struct SolanaRail(std::convert::Infallible);

impl SolanaRail {
    /// The rail of this cluster, once it is proven to be what the settings say.
    ///
    /// # Errors
    /// What was expected and what was found. Never repeats a key or the endpoint's address.
    pub async fn connect(settings: &Settings, _tasks: &Tasks) -> Result<Self, Unservable> {
        Err(Unservable {
            network: settings.id.clone(),
            what: "not yet".into(),
        })
    }
}

/// An address in base58, if the text is one.
#[must_use]
pub fn canonical_account(text: &str) -> Option<String> {
    text.parse::<Pubkey>().ok().map(|address| address.to_string())
}

#[async_trait]
impl Rail for SolanaRail {
    fn id(&self) -> &RailId {
        match self.0 {}
    }
    fn pace(&self) -> &Pace {
        match self.0 {}
    }
    fn lanes(&self) -> &[LaneId] {
        match self.0 {}
    }
    fn advertised(&self) -> Advertised {
        match self.0 {}
    }
    fn decode(&self, _: &PaymentRequest) -> Result<Authorization, Refused> {
        match self.0 {}
    }
    fn key_of(&self, _: &str, _: &str, _: &str) -> Result<PaymentKey, Malformed> {
        match self.0 {}
    }
    fn canonical_account(&self, _: &str) -> Option<String> {
        match self.0 {}
    }
    async fn inspect(&self, _: &Authorization) -> Result<Facts, RailFault> {
        match self.0 {}
    }
    async fn quote(&self) -> Result<Quote, RailFault> {
        match self.0 {}
    }
    async fn lane_nonce(&self, _: &LaneId) -> Result<Option<u64>, RailFault> {
        match self.0 {}
    }
    fn sign(&self, _: &LaneId, _: u64, _: &[&Authorization], _: &Quote) -> Result<Vec<SignedTx>, RailFault> {
        match self.0 {}
    }
    async fn deliver(&self, _: &[u8]) -> Delivery {
        match self.0 {}
    }
    async fn observe(&self, _: &[Watched<'_>], _: &[TxId]) -> Result<Sighting, RailFault> {
        match self.0 {}
    }
    async fn hint(&self) {
        match self.0 {}
    }
}
