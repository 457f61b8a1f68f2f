//! Payments as clients make them, and the requests that carry them.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue};
use facilitator::domain::amount::Amount;
use facilitator::domain::network::{RailId, Scheme};
use facilitator::domain::request::{Offer, PaymentRequest, Proof, Resource, Terms};
use serde_json::{Value, json};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// A payment in the making: what is signed, and what is asked for. Public fields, so that a test can break any.
#[derive(Clone)]
pub(crate) struct Payment {
    /// The token.
    pub(crate) asset: String,
    /// The name that the requirements give its domain.
    pub(crate) name: String,
    /// The version that the requirements give its domain.
    pub(crate) version: String,
    /// Who pays.
    pub(crate) from: String,
    /// Who is paid, as signed.
    pub(crate) to: String,
    /// Who is to be paid, as asked for.
    pub(crate) pay_to: String,
    /// How much, as signed.
    pub(crate) value: u128,
    /// How much, as asked for.
    pub(crate) amount: u128,
    /// When it may begin.
    pub(crate) valid_after: u64,
    /// When it is over.
    pub(crate) valid_before: u64,
    /// The nonce.
    pub(crate) nonce: B256,
    /// The signature, `0x` and hexadecimal digits; none until signed.
    pub(crate) signature: String,
}

impl Payment {
    /// 10,000 units of this token from the owner of `key` to `pay_to`, signed. Each `label` is another nonce.
    pub(crate) fn new(asset: &str, pay_to: &str, key: &str, label: &str) -> Self {
        let signer: PrivateKeySigner = key.parse().unwrap();
        let unsigned = Self {
            asset: asset.to_owned(),
            name: "USDC".into(),
            version: "2".into(),
            from: signer.address().to_string(),
            to: pay_to.to_owned(),
            pay_to: pay_to.to_owned(),
            value: 10_000,
            amount: 10_000,
            valid_after: 0,
            valid_before: 4_000_000_000,
            nonce: keccak256(label),
            signature: String::new(),
        };
        unsigned.signed(key)
    }

    /// The same, signed anew with `key` as it stands now.
    pub(crate) fn signed(mut self, key: &str) -> Self {
        self.signature = hex_of(&self.ecdsa(key));
        self
    }

    /// The same, paid by a wallet whose owner's signature it takes after a leading 1 (`OwnerWallet`).
    pub(crate) fn by_wallet(mut self, wallet: &str, owner_key: &str) -> Self {
        wallet.clone_into(&mut self.from);
        let mut signature = vec![1];
        signature.extend(self.ecdsa(owner_key));
        self.signature = hex_of(&signature);
        self
    }

    /// The same, its signature wrapped as ERC-6492 has it.
    pub(crate) fn wrapped(mut self, factory: &str, call: &[u8]) -> Self {
        let inner: Bytes = self.signature.parse().unwrap();
        let factory: Address = factory.parse().unwrap();
        let mut bytes = (factory, Bytes::copy_from_slice(call), inner).abi_encode_params();
        bytes.extend([0x64, 0x92].repeat(16));
        self.signature = hex_of(&bytes);
        self
    }

    fn ecdsa(&self, key: &str) -> [u8; 65] {
        let signer: PrivateKeySigner = key.parse().unwrap();
        let domain = Eip712Domain::new(
            Some(self.name.clone().into()),
            Some(self.version.clone().into()),
            Some(U256::from(84_532)),
            Some(self.asset.parse().unwrap()),
            None,
        );
        let message = TransferWithAuthorization {
            from: self.from.parse().unwrap(),
            to: self.to.parse().unwrap(),
            value: U256::from(self.value),
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce,
        };
        let digest = message.eip712_signing_hash(&domain);
        signer.sign_hash_sync(&digest).unwrap().as_bytes()
    }

    /// The scheme's payload.
    pub(crate) fn proof(&self) -> Value {
        json!({
            "signature": self.signature,
            "authorization": {
                "from": self.from, "to": self.to, "value": self.value.to_string(),
                "validAfter": self.valid_after.to_string(), "validBefore": self.valid_before.to_string(),
                "nonce": self.nonce.to_string(),
            },
        })
    }

    /// The request as the edge hands it on.
    pub(crate) fn request(&self) -> PaymentRequest {
        let rail = RailId {
            scheme: Scheme::exact(),
            network: "eip155:84532".parse().unwrap(),
        };
        let terms = Terms {
            asset: self.asset.clone(),
            pay_to: self.pay_to.clone(),
            amount: Amount::from_units(self.amount),
            timeout_seconds: 60,
            extra: Some(json!({ "name": self.name, "version": self.version }).to_string().into()),
        };
        PaymentRequest {
            offer: Offer {
                scheme: rail.scheme.clone(),
                network: Some(rail.network.clone()),
                terms: terms.clone(),
            },
            rail,
            terms,
            proof: Proof(self.proof().to_string().into()),
            resource: Resource::default(),
            references: Vec::new(),
            labels: facilitator::domain::labels::Labels::default(),
            tenant: facilitator::domain::tenant::TenantId::SOLE,
            envelope: "test",
        }
    }
}

/// `0x` and hexadecimal digits.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
