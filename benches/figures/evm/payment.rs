//! Payments as an official client would send them: EIP-3009 authorizations, signed before any clock runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol;
use alloy::sol_types::{SolCall, SolValue};
use secp256k1::{SECP256K1, SecretKey};
use serde::Deserialize;

/// What each payment pays, in atomic units.
pub(crate) const VALUE: u64 = 10_000;

/// Long enough for a chain whose clock runs ahead: a node that mines at once gives each block a second of its own.
const LIFETIME: Duration = Duration::from_hours(12);

sol! {
    function transfer(address to, uint256 value) external returns (bool);
    function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
}

/// The prepared chain, as `tests/stack/chain.mjs` describes it.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are those in the file")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chain {
    pub(crate) chain_id: u64,
    pub(crate) network: String,
    pub(crate) usdc: Address,
    pub(crate) usdc_name: String,
    pub(crate) usdc_version: String,
    pub(crate) accounts: Vec<Account>,
}

/// An account of the prepared chain, with coins for gas and with tokens.
#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) key: String,
}

impl Chain {
    /// Reads the file that `./dev` names.
    pub(crate) fn load() -> Self {
        let file = std::env::var("FACILITATOR_CHAIN_ADDRESSES").expect("run this through ./dev bench");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// The token's EIP-712 domain separator.
    pub(crate) fn separator(&self) -> B256 {
        let kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        let (name, version) = (keccak256(&self.usdc_name), keccak256(&self.usdc_version));
        keccak256((kind, name, version, U256::from(self.chain_id), self.usdc).abi_encode())
    }
}

/// The EIP-712 type of an authorization.
pub(crate) fn transfer_type() -> B256 {
    keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,\
         bytes32 nonce)",
    )
}

/// The EIP-712 digest of an authorization, from its domain and its fields in their order.
pub(crate) fn digest(separator: B256, fields: (B256, Address, Address, U256, U256, U256, B256)) -> B256 {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(&*separator);
    bytes[34..].copy_from_slice(&*keccak256(fields.abi_encode()));
    keccak256(bytes)
}

/// Somebody who signs authorizations.
pub(crate) struct Payer {
    key: SecretKey,
    pub(crate) address: Address,
}

impl Payer {
    /// Always the same payer for the same number.
    pub(crate) fn numbered(number: usize) -> Self {
        let key = SecretKey::from_byte_array(*keccak256(format!("figures: payer {number}"))).unwrap();
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        let address = Address::from_raw_public_key(&public[1..]);
        Self { key, address }
    }
}

/// Somebody who is paid; always the same for the same number.
pub(crate) fn payee(number: usize) -> Address {
    Address::from_word(keccak256(format!("figures: payee {number}")))
}

/// A signed authorization.
pub(crate) struct Signed {
    from: Address,
    to: Address,
    valid_before: u64,
    nonce: B256,
    signature: [u8; 65],
}

/// Signs distinct payments, one after the other.
pub(crate) struct Mint<'a> {
    chain: &'a Chain,
    separator: B256,
    transfer_type: B256,
    valid_before: u64,
    payers: Vec<Payer>,
    payees: Vec<Address>,
    next: usize,
    salt: B256,
}

impl<'a> Mint<'a> {
    pub(crate) fn new(chain: &'a Chain, payers: usize, sellers: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            chain,
            separator: chain.separator(),
            transfer_type: transfer_type(),
            valid_before: (now + LIFETIME).as_secs(),
            payers: (0..payers).map(Payer::numbered).collect(),
            payees: (0..sellers).map(payee).collect(),
            next: 0,
            salt: keccak256(now.as_nanos().to_be_bytes()),
        }
    }

    pub(crate) fn payers(&self) -> &[Payer] {
        &self.payers
    }

    pub(crate) fn payees(&self) -> &[Address] {
        &self.payees
    }

    /// The next payment; payers and payees take turns.
    pub(crate) fn sign(&mut self) -> Signed {
        let number = self.next;
        self.next += 1;
        let payer = &self.payers[number % self.payers.len()];
        let to = self.payees[number % self.payees.len()];
        let nonce = keccak256((self.salt, U256::from(number)).abi_encode());
        let (value, before) = (U256::from(VALUE), U256::from(self.valid_before));
        let fields = (self.transfer_type, payer.address, to, value, U256::ZERO, before, nonce);
        let message = secp256k1::Message::from_digest(*digest(self.separator, fields));
        let (id, compact) = SECP256K1
            .sign_ecdsa_recoverable(message, &payer.key)
            .serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&compact);
        signature[64] = 27 + u8::try_from(i32::from(id)).unwrap();
        Signed {
            from: payer.address,
            to,
            valid_before: self.valid_before,
            nonce,
            signature,
        }
    }

    /// The next payments as requests to this path.
    pub(crate) fn requests(&mut self, path: &str, count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| crate::http::post(path, &self.sign().body(self.chain)))
            .collect()
    }
}

impl Signed {
    /// The request body, protocol version 2.
    fn body(&self, chain: &Chain) -> String {
        let Chain {
            network,
            usdc,
            usdc_name,
            usdc_version,
            ..
        } = chain;
        let (from, to, nonce) = (self.from, self.to, self.nonce);
        let (before, signature) = (self.valid_before, hex::encode(self.signature));
        let terms = format!(
            r#"{{"scheme":"exact","network":"{network}","amount":"{VALUE}","asset":"{usdc}","payTo":"{to}","maxTimeoutSeconds":300,"extra":{{"name":"{usdc_name}","version":"{usdc_version}"}}}}"#
        );
        let resource =
            r#"{"url":"https://shop.example/report","description":"A report","mimeType":"application/json"}"#;
        let authorization = format!(
            r#"{{"from":"{from}","to":"{to}","value":"{VALUE}","validAfter":"0","validBefore":"{before}","nonce":"{nonce}"}}"#
        );
        format!(
            r#"{{"x402Version":2,"paymentPayload":{{"x402Version":2,"resource":{resource},"accepted":{terms},"payload":{{"signature":"0x{signature}","authorization":{authorization}}}}},"paymentRequirements":{terms}}}"#
        )
    }

    /// The call that executes it.
    pub(crate) fn call(&self) -> Vec<u8> {
        transferWithAuthorizationCall {
            from: self.from,
            to: self.to,
            value: U256::from(VALUE),
            validAfter: U256::ZERO,
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce,
            v: self.signature[64],
            r: B256::from_slice(&self.signature[..32]),
            s: B256::from_slice(&self.signature[32..64]),
        }
        .abi_encode()
    }
}
