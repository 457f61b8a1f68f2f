//! What this rail has signed, and by whom: built, allowed by the policy, then signed at once by a key that is here, or by
//! whoever keeps it.

use alloy::consensus::TxEip1559;
use alloy::primitives::Address;

use super::policy::AllowedTx;
use super::settings::Settings;
use super::signer::{self, Signer};
use super::{EvmRail, lane, outbid};
use crate::domain::authorization::Authorization;
use crate::domain::rail::{LaneId, Outbid, Quote, RailFault, Replacement, SignedTx, Unsigned};

/// The signers of these settings, the retired ones last.
///
/// # Errors
/// Names the key and what was expected there.
pub(super) fn signers(settings: &Settings) -> Result<Vec<Signer>, String> {
    let mut signers = Signer::all("signers", &settings.signers, &settings.id)?;
    signers.extend(Signer::all("retired_signers", &settings.retired_signers, &settings.id)?);
    distinct(signers.iter().map(Signer::address), settings)?;
    Ok(signers)
}

/// Their addresses. Asks nobody and opens nothing.
///
/// # Errors
/// Names the key and what was expected there.
pub(super) fn addresses(settings: &Settings) -> Result<Vec<Address>, String> {
    let lists = [
        ("signers", &settings.signers),
        ("retired_signers", &settings.retired_signers),
    ];
    let mut addresses = Vec::new();
    for (list, sources) in lists {
        for (index, source) in sources.iter().enumerate() {
            addresses.push(signer::address(source).map_err(|what| format!("{list}[{index}]: {what}"))?);
        }
    }
    distinct(addresses.iter().copied(), settings)?;
    Ok(addresses)
}

fn distinct(addresses: impl Iterator<Item = Address>, settings: &Settings) -> Result<(), String> {
    let mut seen = Vec::new();
    for (place, address) in addresses.enumerate() {
        if seen.contains(&address) {
            let active = settings.signers.len();
            return Err(match place.checked_sub(active) {
                None => format!("signers[{place}]: expected each key once"),
                Some(place) => format!("retired_signers[{place}]: expected each key once"),
            });
        }
        seen.push(address);
    }
    Ok(())
}

impl EvmRail {
    pub(super) fn signer(&self, operation: &'static str, lane: &LaneId) -> Result<&Signer, RailFault> {
        let ours = self.lanes.iter().zip(&self.signers).find(|(ours, _)| *ours == lane);
        match ours {
            Some((_, signer)) => Ok(signer),
            None => Err(self.rpc().fault(operation, "the lane is not one of this rail's")),
        }
    }

    /// Signs with a key that is here.
    pub(super) fn sign_here(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: Quote,
    ) -> Result<Vec<SignedTx>, RailFault> {
        const OPERATION: &str = "sign";
        let signer = self.signer(OPERATION, lane)?;
        let tx = self.drafted(signer, nonce, cargo, quote)?;
        let signature = signer.sign_at_once(tx.allowed());
        let signature = signature.map_err(|cause| self.rpc().fault(OPERATION, &cause))?;
        let gas_limit = tx.gas_limit();
        Ok(vec![lane::carrier(tx.sealed(signature), gas_limit, cargo.len(), quote)])
    }

    /// Has it signed by whoever keeps the key.
    pub(super) async fn have_signed(
        &self,
        lane: &LaneId,
        nonce: u64,
        cargo: &[&Authorization],
        quote: Quote,
    ) -> Result<Vec<SignedTx>, Unsigned> {
        const OPERATION: &str = "sign";
        let signer = self.signer(OPERATION, lane).map_err(Unsigned::Unfit)?;
        let tx = self.drafted(signer, nonce, cargo, quote).map_err(Unsigned::Unfit)?;
        let signature = signer.sign(tx.allowed()).await;
        let signature =
            signature.map_err(|fault| Unsigned::Unheard(self.rpc().fault(OPERATION, &fault.to_string())))?;
        let gas_limit = tx.gas_limit();
        Ok(vec![lane::carrier(tx.sealed(signature), gas_limit, cargo.len(), quote)])
    }

    /// A transaction that takes another's place.
    pub(super) async fn replacement(
        &self,
        lane: &LaneId,
        raw: &[u8],
        cargo: Outbid,
        quote: Quote,
    ) -> Result<Option<Replacement>, Unsigned> {
        const OPERATION: &str = "outbid";
        let unfit = |cause: &str| Unsigned::Unfit(self.rpc().fault(OPERATION, cause));
        let signer = self.signer(OPERATION, lane).map_err(Unsigned::Unfit)?;
        let bid = outbid::outbid(signer.address(), raw, cargo, quote, self.prices.gas).map_err(unfit)?;
        let Some(tx) = bid else {
            return Ok(None);
        };
        let tx = self.allowed(OPERATION, signer, tx).map_err(Unsigned::Unfit)?;
        let signature = signer.sign(tx.allowed()).await;
        let signature =
            signature.map_err(|fault| Unsigned::Unheard(self.rpc().fault(OPERATION, &fault.to_string())))?;
        let sealed = tx.sealed(signature);
        Ok(Some(Replacement {
            id: sealed.id,
            raw: sealed.raw,
            cost_max: sealed.cost_max,
            cargo,
        }))
    }

    /// The transaction that carries these payments, allowed to be signed.
    fn drafted(
        &self,
        signer: &Signer,
        nonce: u64,
        cargo: &[&Authorization],
        quote: Quote,
    ) -> Result<AllowedTx, RailFault> {
        const OPERATION: &str = "sign";
        let mut calls = cargo
            .iter()
            .map(|authorization| Ok(self.transfer_call(&self.body(OPERATION, authorization)?)))
            .collect::<Result<Vec<_>, RailFault>>()?;
        if let [only] = calls.as_mut_slice() {
            *only = self.alone(only.clone());
        }
        let tx = lane::unsigned(self.listing.chain_id, nonce, &calls, quote)
            .map_err(|cause| self.rpc().fault(OPERATION, &cause))?;
        self.allowed(OPERATION, signer, tx)
    }

    fn allowed(&self, operation: &'static str, signer: &Signer, tx: TxEip1559) -> Result<AllowedTx, RailFault> {
        let allowed = self.policy.transaction(signer.address(), tx);
        allowed.map_err(|forbidden| self.rpc().fault(operation, &forbidden.to_string()))
    }
}
