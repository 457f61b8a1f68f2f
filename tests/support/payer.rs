//! Payments as a client makes them. A test takes a good one and breaks one thing: before it is signed by changing a
//! field, afterwards by changing the body.

use std::sync::atomic::{AtomicU64, Ordering};

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue};
use serde_json::{Value, json};

use super::contracts::{
    Account, CancelAuthorization, Factory, ReceiveWithAuthorization, Token, TransferWithAuthorization, addresses,
};
use super::now;

pub(crate) const NETWORK: &str = "eip155:84532";
const NETWORK_IN_V1: &str = "base-sepolia";
const CHAIN_ID: u64 = 84_532;

/// ERC-6492: what a signature of a wallet that does not exist yet ends with.
const MAGIC_6492: [u8; 2] = [0x64, 0x92];

/// Which version of the protocol a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    V1,
    V2,
}

impl Envelope {
    pub(crate) const BOTH: [Self; 2] = [Self::V1, Self::V2];
}

/// A payment about to be signed: good as it is made.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// Whoever signs; the payer itself unless the payer is a contract.
    pub(crate) key: B256,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) valid_after: u64,
    pub(crate) valid_before: u64,
    pub(crate) nonce: B256,
    pub(crate) network: &'static str,
    pub(crate) network_in_v1: &'static str,
    /// The token and its EIP-712 domain, signed and announced.
    pub(crate) chain_id: u64,
    pub(crate) asset: Address,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What the merchant asks for.
    pub(crate) pay_to: Address,
    pub(crate) price: U256,
    pub(crate) resource: String,
    pub(crate) timeout: u64,
}

impl Payment {
    /// `amount` atomic USDC from one of the accounts to the merchant, with ten minutes to settle.
    pub(crate) fn of(account: &Account, amount: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let nonce = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            key: account.key,
            from: account.address,
            to: addresses().pay_to,
            value: U256::from(amount),
            valid_after: 0,
            valid_before: now() + 600,
            nonce: U256::from(nonce).into(),
            network: NETWORK,
            network_in_v1: NETWORK_IN_V1,
            chain_id: CHAIN_ID,
            asset: addresses().usdc,
            name: "USDC",
            version: "2",
            pay_to: addresses().pay_to,
            price: U256::from(amount),
            resource: format!("https://shop.example/report/{nonce}"),
            timeout: 60,
        }
    }

    /// A payment of 10,000 atomic USDC by account `payer`.
    pub(crate) fn by(payer: usize) -> Self {
        Self::of(&addresses().accounts[payer], 10_000)
    }

    /// The same in the token that misbehaves.
    pub(crate) fn in_trick_token(payer: usize) -> Self {
        Self {
            asset: addresses().trick_token,
            ..Self::by(payer)
        }
    }

    /// A payment from a contract wallet, signed by `key` in whatever way the wallet wants.
    pub(crate) fn from_wallet(wallet: Address, key: B256) -> Self {
        Self {
            from: wallet,
            key,
            ..Self::by(1)
        }
    }

    fn domain(&self) -> Eip712Domain {
        let (name, version) = (self.name.into(), self.version.into());
        Eip712Domain::new(
            Some(name),
            Some(version),
            Some(U256::from(self.chain_id)),
            Some(self.asset),
            None,
        )
    }

    fn sign(&self, content: &impl SolStruct) -> Signature {
        let signer = PrivateKeySigner::from_bytes(&self.key).unwrap();
        signer
            .sign_hash_sync(&content.eip712_signing_hash(&self.domain()))
            .unwrap()
    }

    fn signed(&self) -> Signature {
        self.sign(&TransferWithAuthorization {
            from: self.from,
            to: self.to,
            value: self.value,
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce,
        })
    }

    /// The signature of an ordinary account: r, s, v.
    pub(crate) fn signature(&self) -> Vec<u8> {
        self.signed().as_bytes().to_vec()
    }

    /// The signature as the owner's wallet takes it.
    pub(crate) fn signature_for_owner_wallet(&self) -> Vec<u8> {
        [vec![1], self.signature()].concat()
    }

    /// The signature for a wallet that this factory would deploy.
    pub(crate) fn signature_6492(&self, factory: Address) -> Vec<u8> {
        wrapped_6492(factory, self.signature_for_owner_wallet())
    }

    /// The call that anybody may make to execute the authorization.
    pub(crate) fn call(&self) -> Token::transferWithAuthorizationCall {
        let signed = self.signed();
        Token::transferWithAuthorizationCall {
            from: self.from,
            to: self.to,
            value: self.value,
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce,
            v: 27 + u8::from(signed.v()),
            r: signed.r().into(),
            s: signed.s().into(),
        }
    }

    /// The call that takes the authorization back.
    pub(crate) fn cancellation(&self) -> Token::cancelAuthorizationCall {
        let signed = self.sign(&CancelAuthorization {
            authorizer: self.from,
            nonce: self.nonce,
        });
        Token::cancelAuthorizationCall {
            authorizer: self.from,
            nonce: self.nonce,
            v: 27 + u8::from(signed.v()),
            r: signed.r().into(),
            s: signed.s().into(),
        }
    }

    /// The call by which `to`, and nobody else, collects with the same nonce.
    pub(crate) fn collection(&self, to: Address) -> Token::receiveWithAuthorizationCall {
        let (from, value, nonce) = (self.from, self.value, self.nonce);
        let (after, before) = (U256::from(self.valid_after), U256::from(self.valid_before));
        let signed = self.sign(&ReceiveWithAuthorization {
            from,
            to,
            value,
            validAfter: after,
            validBefore: before,
            nonce,
        });
        Token::receiveWithAuthorizationCall {
            from,
            to,
            value,
            validAfter: after,
            validBefore: before,
            nonce,
            v: 27 + u8::from(signed.v()),
            r: signed.r().into(),
            s: signed.s().into(),
        }
    }

    /// The network as requests and answers in this version name it.
    pub(crate) fn network_in(&self, envelope: Envelope) -> &'static str {
        match envelope {
            Envelope::V1 => self.network_in_v1,
            Envelope::V2 => self.network,
        }
    }

    /// The request body for `/verify` and `/settle`, in version 2.
    pub(crate) fn body(&self) -> Value {
        self.body_in(Envelope::V2)
    }

    pub(crate) fn body_in(&self, envelope: Envelope) -> Value {
        self.body_with(envelope, &self.signature())
    }

    pub(crate) fn body_with(&self, envelope: Envelope, signature: &[u8]) -> Value {
        let proof = json!({
            "signature": Bytes::copy_from_slice(signature),
            "authorization": {
                "from": self.from,
                "to": self.to,
                "value": self.value.to_string(),
                "validAfter": self.valid_after.to_string(),
                "validBefore": self.valid_before.to_string(),
                "nonce": self.nonce,
            },
        });
        let terms = json!({
            "scheme": "exact",
            "network": self.network_in(envelope),
            "asset": self.asset,
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.timeout,
            "extra": {"name": self.name, "version": self.version},
        });
        enveloped(envelope, &proof, terms, &self.price.to_string(), &self.resource)
    }
}

/// A signature in the wrapper that has this factory deploy the owner's wallet (ERC-6492).
pub(crate) fn wrapped_6492(factory: Address, signature: Vec<u8>) -> Vec<u8> {
    let at = addresses();
    let deploy = Factory::deployCall {
        owner: at.owner_wallet_owner,
        salt: at.counterfactual_salt,
    };
    let deploy = Bytes::from(alloy::sol_types::SolCall::abi_encode(&deploy));
    let wrapped = (factory, deploy, Bytes::from(signature)).abi_encode_params();
    [wrapped, MAGIC_6492.repeat(16)].concat()
}

/// A request body around what any scheme has in its payload and its requirements; versions differ in the rest.
pub(crate) fn enveloped(envelope: Envelope, proof: &Value, mut terms: Value, price: &str, resource: &str) -> Value {
    match envelope {
        Envelope::V1 => {
            let network = terms["network"].clone();
            terms["maxAmountRequired"] = price.into();
            terms["resource"] = resource.into();
            terms["description"] = "A report".into();
            terms["mimeType"] = "application/json".into();
            json!({
                "x402Version": 1,
                "paymentPayload": {"x402Version": 1, "scheme": "exact", "network": network, "payload": proof},
                "paymentRequirements": terms,
            })
        }
        Envelope::V2 => {
            terms["amount"] = price.into();
            json!({
                "x402Version": 2,
                "paymentPayload": {
                    "x402Version": 2,
                    "accepted": terms,
                    "payload": proof,
                    "resource": {"url": resource, "description": "A report", "mimeType": "application/json"},
                },
                "paymentRequirements": terms,
            })
        }
    }
}

/// The body with another value at a JSON pointer; the last key may be new.
pub(crate) fn with(mut body: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {pointer}"));
    parent[key] = value.into();
    body
}

/// The body without what is at a JSON pointer.
pub(crate) fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut);
    parent
        .and_then(|it| it.remove(key))
        .unwrap_or_else(|| panic!("nothing at {pointer}"));
    body
}
