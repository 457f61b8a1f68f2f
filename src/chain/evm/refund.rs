//! The wallets that refunds are paid from, and what they sign: the authorization of a transfer to who paid.

use alloy::primitives::{Address, B256, Bytes};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use super::body::{Body, Wallet};
use super::eip3009;
use super::listing::{Listing, checksummed};
use super::settings::{Settings, parse_address};
use crate::chain::wallets;
use crate::domain::refund::{Presented, Repayment};
use crate::domain::request::Proof;

/// How long an authorization is good, in seconds: long enough for any transaction to be mined or replaced, and short enough
/// to be tried anew within the hour.
const GOOD_FOR: u64 = 1_800;

/// The wallets' keys. Shown as nothing.
pub(super) struct Wallets(Vec<PrivateKeySigner>);

impl std::fmt::Debug for Wallets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wallets").field(&self.0.len()).finish()
    }
}

impl Wallets {
    /// The wallets of these settings.
    ///
    /// # Errors
    /// Names the table; the key is not repeated.
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let read = settings.refund_wallets.iter().enumerate().map(|(index, it)| {
            let key = it.key.expose().trim().parse();
            key.map_err(|_| format!("refund_wallet[{index}].key: expected 64 hexadecimal digits"))
        });
        Ok(Self(read.collect::<Result<_, _>>()?))
    }

    /// Which wallet refunds the payments to which recipient.
    ///
    /// # Errors
    /// Names the table.
    pub(super) fn assigned(&self, settings: &Settings, signers: &[Address]) -> Result<Vec<(String, String)>, String> {
        let addresses = self.0.iter().map(|it| checksummed(&it.address()));
        let wallets: Vec<_> = settings.refund_wallets.iter().zip(addresses).collect();
        let signers: Vec<String> = signers.iter().map(checksummed).collect();
        wallets::assigned(&wallets, &signers, |text| {
            parse_address(text).map(|it| checksummed(&it))
        })
    }

    /// What the refund's wallet presents.
    ///
    /// # Errors
    /// What is not of this network.
    pub(super) fn sign(&self, listing: &Listing, repayment: &Repayment<'_>) -> Result<Presented, &'static str> {
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
        let signature = wallet.sign_hash_sync(&eip3009::digest(&body, asset.separator));
        let signature = signature.map_err(|_| "the refund could not be signed")?;
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
