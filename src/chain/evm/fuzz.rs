//! What is always true of what an EVM payer or node sends, however it is spoiled.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a property that does not hold has to end the run"
)]

use std::sync::OnceLock;

use alloy::primitives::{Address, B256, Signature, U256};
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolStruct};
use serde_json::json;

use super::body::{Body, Domain};
use super::evidence::{Receipt, TRANSFER, Target, Use, use_in};
use super::listing::Listing;
use super::settings::Settings;
use super::{eip3009, finding, lens, payload as exact, signature as ecdsa};
use crate::domain::authorization::Authorization;
use crate::domain::rejection::Refused;
use crate::domain::request::PaymentRequest;

/// The chain of the listing.
const CHAIN_ID: u64 = 84_532;

sol! {
    /// What is signed (EIP-3009), for alloy to hash.
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

fn listing() -> &'static Listing {
    static LISTING: OnceLock<Listing> = OnceLock::new();
    LISTING.get_or_init(|| {
        let settings: Settings = serde_json::from_value(json!({
            "id": "eip155:84532", "rpc_url": "http://localhost", "signers": ["0x"], "block_time_ms": 1000,
            "fee_max_gwei": 1, "factories": [Address::repeat_byte(0xfa).to_string()],
            "budget": {
                "total": {"minute": "unlimited", "day": "unlimited"},
                "signer": {"minute": "unlimited", "day": "unlimited"},
                "payer": {"minute": "unlimited", "day": "unlimited"},
            },
            "asset": [{
                "address": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "name": "USDC", "version": "2",
                "symbol": "USDC", "decimals": 6,
            }],
        }))
        .unwrap();
        Listing::new(&settings, CHAIN_ID, vec![Address::repeat_byte(0x0e)])
    })
}

/// What is read is the authorization's own: its key is that of its coordinates, its body reads back, and what counts
/// as the payer's signature is one by another reckoning.
///
/// # Errors
/// As the rail's `decode`.
pub fn payload(request: &PaymentRequest) -> Result<Authorization, Refused> {
    let listing = listing();
    let authorization = exact::decode(listing, request)?;
    let Authorization {
        asset, payer, nonce, ..
    } = &authorization;
    assert_eq!(
        exact::key_of(listing, asset, payer, nonce).ok(),
        Some(authorization.key)
    );
    let body = Body::decode(&authorization.body).unwrap();
    assert_eq!(body.encode(), authorization.body);
    assert_eq!(body.from.to_checksum(None), *payer);
    if body.is_recovered {
        assert_eq!(signer(&body), Some(body.from));
    }
    Ok(authorization)
}

/// alloy's EIP-712 digest of the transfer; none for a token without a domain.
fn digest(body: &Body) -> Option<B256> {
    let listed = || listing().asset(&body.token).map(|asset| asset.domain.clone());
    let Domain { name, version } = body.stated.clone().or_else(listed)?;
    let chain_id = Some(U256::from(CHAIN_ID));
    let domain = Eip712Domain::new(
        Some(name.into()),
        Some(version.into()),
        chain_id,
        Some(body.token),
        None,
    );
    let transfer = TransferWithAuthorization {
        from: body.from,
        to: body.to,
        value: U256::from(body.value),
        validAfter: U256::from(body.valid_after),
        validBefore: U256::from(body.valid_before),
        nonce: body.nonce,
    };
    Some(transfer.eip712_signing_hash(&domain))
}

/// Who has signed the transfer, by alloy's reckoning and in a form that tokens take.
fn signer(body: &Body) -> Option<Address> {
    if !matches!(body.signature.last(), Some(0 | 1 | 27 | 28)) {
        return None;
    }
    let signature = Signature::from_raw(&body.signature).ok()?;
    // An s in the upper half has another form.
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(&digest(body)?).ok()
}

/// What a payer signs, and who has signed it, is what another implementation says.
pub fn signature(bytes: &[u8]) {
    let Ok(body) = Body::decode(bytes) else { return };
    let separator = listing().separator(body.token, body.stated.as_ref());
    let ours = separator.map(|it| eip3009::digest(&body, it));
    assert_eq!(ours, digest(&body));
    let Some(digest) = ours else { return };
    let signer = signer(&body);
    for account in [Some(body.from), signer].into_iter().flatten() {
        let own = ecdsa::recovered(&body.signature, &digest, &account);
        assert_eq!(own.is_some(), signer == Some(account), "{account}");
    }
}

/// A stored body that can be read is written the same way.
pub fn body(bytes: &[u8]) {
    if let Ok(body) = Body::decode(bytes) {
        assert_eq!(body.encode(), bytes);
    }
}

/// A payment counts as made only by a successful transaction with the very transfer in its logs.
pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) else {
        return;
    };
    let target = Target {
        asset: Address::repeat_byte(0xa1),
        payer: Address::repeat_byte(0xa2),
        pay_to: Address::repeat_byte(0xa3),
        value: U256::from(10_000),
        nonce: B256::repeat_byte(0xa4),
    };
    if let Use::Paid { log_index } = use_in(&receipt, &target) {
        assert!(receipt.is_success());
        let is_it = |log: &&super::evidence::Log| {
            log.index.to::<u64>() == log_index && !log.removed && log.address == target.asset
        };
        let paid = receipt.logs.iter().filter(is_it).any(|log| {
            log.topics == [TRANSFER, target.payer.into_word(), target.pay_to.into_word()]
                && U256::from_be_slice(&log.data) == target.value
        });
        assert!(paid, "{receipt:?}");
        assert!(receipt.logs.iter().any(|log| target.is_spent_by(log)));
    }
    receipt.cost();
}

/// The lens's answer has one finding for each question, or is none. The first byte says how many were asked.
pub fn lens(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = str::from_utf8(rest) else { return };
    let count = usize::from(*count % 64);
    if let Ok(answers) = lens::answers(text, count) {
        assert_eq!(answers.len(), count);
        for finding in answers.iter().flatten() {
            assert!(finding.returned.len() <= 512, "{finding:?}");
        }
    }
}

/// What a reverted call returned is put into few printable words; what of it is a part is no longer than the whole. The
/// same goes for signatures, which may be wrapped.
pub fn returned(bytes: &[u8]) {
    let reason = finding::reason(bytes);
    assert!(!reason.is_empty() && reason.chars().count() <= 160, "{reason}");
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    for (_, part) in eip3009::trial_ends(bytes).into_iter().flatten() {
        assert!(part.len() <= bytes.len());
    }
    if let Ok(unwrapped) = ecdsa::unwrap(bytes.to_vec()) {
        let deployment = unwrapped.deployment.map_or(0, |(_, call)| call.len());
        assert!(unwrapped.inner.len() <= bytes.len() && deployment <= bytes.len());
    }
}
