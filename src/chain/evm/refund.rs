//! The wallets that refunds are paid from, and what they sign: the authorization of a transfer to who paid.

use alloy::primitives::{Address, B256, Bytes};
use serde_json::json;

use super::body::{Body, Wallet};
use super::listing::{Listing, checksummed};
use super::policy::Policy;
use super::settings::{Settings, parse_address};
use super::signer::{self, Signer};
use crate::chain::wallets;
use crate::domain::refund::{Presented, Repayment};
use crate::domain::request::Proof;

/// How long an authorization is good, in seconds: long enough for any transaction to be mined or replaced, and short enough
/// to be tried anew within the hour.
pub(super) const GOOD_FOR: u64 = 1_800;

/// The wallets' keys.
#[derive(Debug)]
pub(super) struct Wallets(Vec<Signer>);

/// Which wallet refunds the payments to which recipient. Asks nobody and opens nothing.
///
/// # Errors
/// Names the table and what was expected there.
pub(super) fn assigned(settings: &Settings, signers: &[Address]) -> Result<Vec<(String, String)>, String> {
    let mut wallets = Vec::with_capacity(settings.refund_wallets.len());
    for (index, it) in settings.refund_wallets.iter().enumerate() {
        let address = signer::address(&it.key).map_err(|what| format!("refund_wallet[{index}].key: {what}"))?;
        wallets.push((it, checksummed(&address)));
    }
    let signers: Vec<String> = signers.iter().map(checksummed).collect();
    wallets::assigned(&wallets, &signers, |text| {
        parse_address(text).map(|it| checksummed(&it))
    })
}

impl Wallets {
    /// The wallets of these settings.
    ///
    /// # Errors
    /// Names the table; the key is not repeated.
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let read = settings.refund_wallets.iter().enumerate().map(|(index, it)| {
            let named = |what| format!("refund_wallet[{index}].key: {what}");
            Signer::of(&it.key, &settings.id).map_err(named)
        });
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Signer> {
        self.0.iter()
    }

    /// What the refund's wallet presents.
    ///
    /// # Errors
    /// What is not of this network, or must not be signed; or whoever keeps the key gave no signature.
    pub(super) async fn sign(
        &self,
        listing: &Listing,
        policy: &Policy,
        repayment: &Repayment<'_>,
    ) -> Result<Presented, String> {
        let wallet = self.0.iter().find(|it| checksummed(&it.address()) == repayment.wallet);
        let wallet = wallet.ok_or("the refund's wallet is not configured")?;
        let token = parse_address(repayment.asset).ok_or("the refund's asset is no address")?;
        let asset = listing.asset(&token).ok_or("the refund's asset is not configured")?;
        let body = Body {
            token,
            from: wallet.address(),
            to: parse_address(repayment.recipient).ok_or("the refund's recipient is no address")?,
            value: repayment.amount.units(),
            valid_after: 0,
            valid_before: repayment.now.plus(GOOD_FOR).0,
            nonce: B256::from(repayment.nonce()),
            signature: Bytes::new(),
            is_recovered: false,
            wallet: Wallet::AsIs,
            stated: None,
        };
        let allowed = policy.refund(wallet.address(), &body, repayment.now);
        let allowed = allowed.map_err(|forbidden| forbidden.to_string())?;
        let signature = wallet.sign(&allowed).await.map_err(|fault| fault.to_string())?;
        let payload = json!({
            "signature": format!("0x{}", hex::encode(signature.as_bytes())),
            "authorization": {
                "from": checksummed(&body.from),
                "to": checksummed(&body.to),
                "value": body.value.to_string(),
                "validAfter": body.valid_after.to_string(),
                "validBefore": body.valid_before.to_string(),
                "nonce": body.nonce.to_string(),
            },
        });
        Ok(Presented {
            proof: Proof(payload.to_string().into()),
            extra: json!({"name": asset.domain.name, "version": asset.domain.version})
                .to_string()
                .into(),
            good_until: body.valid_before,
        })
    }
}
