//! Transactions for tests, built by hand: the official client's layout, and everything in it open to change.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::v0::MessageAddressTableLookup;
use solana_message::{MessageHeader, VersionedMessage, legacy, v0};
use solana_pubkey::Pubkey;

use super::listing::Listing;
use super::programs::{COMPUTE_BUDGET, LIGHTHOUSE, MEMO, associated_token_account};
use super::settings::{Settings, TokenProgram};
use crate::domain::amount::Amount;
use crate::domain::network::{RailId, Scheme};
use crate::domain::request::{Offer, PaymentRequest, Proof, Resource, Terms};

/// Solana's development cluster.
pub(super) const NETWORK: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
/// A mint of SPL Token with 6 digits.
pub(super) const MINT: Pubkey = Pubkey::from_str_const("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU");
/// A mint of Token-2022 with 6 digits.
pub(super) const MINT_2022: Pubkey = Pubkey::from_str_const("CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM");
/// A mint that is not listed.
pub(super) const MINT_OTHER: Pubkey = Pubkey::from_str_const("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
/// Who is paid.
pub(super) const PAY_TO: Pubkey = Pubkey::from_str_const("2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4");
/// The price.
pub(super) const PRICE: u64 = 10_000;

/// Our fee payer, one that we have retired, the payer, and somebody else.
pub(super) const OURS: u8 = 1;
pub(super) const RETIRED: u8 = 2;
pub(super) const PAYER: u8 = 3;
pub(super) const STRANGER: u8 = 4;

/// The key made from this seed.
pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The public half of [`key`].
pub(super) fn account(seed: u8) -> Pubkey {
    Pubkey::new_from_array(key(seed).verifying_key().to_bytes())
}

/// What the tests' cluster accepts.
pub(super) fn listing() -> Listing {
    let settings: Settings = serde_json::from_value(json!({
        "id": NETWORK, "rpc_url": "http://localhost", "signers": [""],
        "budget": {
            "total": { "minute": "unlimited", "day": "unlimited" },
            "signer": { "minute": "unlimited", "day": "unlimited" },
            "payer": { "minute": "unlimited", "day": "unlimited" },
        },
        "asset": [
            { "address": MINT.to_string(), "symbol": "USDC", "decimals": 6, "program": "token" },
            { "address": MINT_2022.to_string(), "symbol": "PYUSD", "decimals": 6, "program": "token-2022" },
        ],
    }))
    .unwrap();
    Listing::of(&settings, vec![account(OURS), account(RETIRED)])
}

/// An account as an instruction takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) address: Pubkey,
    pub(super) signs: bool,
    pub(super) writes: bool,
}

/// An account that is only read.
pub(super) fn reads(address: Pubkey) -> Meta {
    let (signs, writes) = (false, false);
    Meta { address, signs, writes }
}

/// An account that is written to.
pub(super) fn writes(address: Pubkey) -> Meta {
    Meta {
        writes: true,
        ..reads(address)
    }
}

/// An account that signs.
pub(super) fn signs(address: Pubkey) -> Meta {
    Meta {
        signs: true,
        ..reads(address)
    }
}

/// An instruction before its accounts have indexes.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) program: Pubkey,
    pub(super) accounts: Vec<Meta>,
    pub(super) data: Vec<u8>,
}

/// A call with no accounts.
pub(super) fn call(program: Pubkey, data: impl Into<Vec<u8>>) -> Call {
    Call {
        program,
        accounts: Vec::new(),
        data: data.into(),
    }
}

pub(super) fn memo(text: &str) -> Call {
    call(MEMO, text)
}

/// A Lighthouse instruction on the payer's token account.
pub(super) fn lighthouse(discriminator: u8) -> Call {
    Call {
        accounts: vec![reads(source(MINT, TokenProgram::Token))],
        ..call(LIGHTHOUSE, [discriminator, 0, 1, 2])
    }
}

pub(super) fn compute_limit(units: u32) -> Call {
    call(COMPUTE_BUDGET, [&[2][..], &units.to_le_bytes()].concat())
}

pub(super) fn compute_price(micro_lamports: u64) -> Call {
    call(COMPUTE_BUDGET, [&[3][..], &micro_lamports.to_le_bytes()].concat())
}

/// The payer's token account.
pub(super) fn source(mint: Pubkey, program: TokenProgram) -> Pubkey {
    associated_token_account(&account(PAYER), program, &mint)
}

/// The recipient's token account.
pub(super) fn destination(mint: Pubkey, program: TokenProgram) -> Pubkey {
    associated_token_account(&PAY_TO, program, &mint)
}

pub(super) fn transfer(mint: Pubkey, program: TokenProgram, amount: u64) -> Call {
    Call {
        program: program.id(),
        accounts: vec![
            writes(source(mint, program)),
            reads(mint),
            writes(destination(mint, program)),
            signs(account(PAYER)),
        ],
        data: [&[12][..], &amount.to_le_bytes(), &[6]].concat(),
    }
}

/// A transaction before it is compiled and signed.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) is_legacy: bool,
    pub(super) fee_payer: Pubkey,
    pub(super) blockhash: Hash,
    pub(super) calls: Vec<Call>,
    /// Accounts that stand in no instruction.
    pub(super) idle: Vec<Meta>,
    pub(super) lookups: Vec<MessageAddressTableLookup>,
    /// Who signs, where a signature is required; slots of others stay zero.
    pub(super) keys: Vec<SigningKey>,
}

impl Draft {
    /// What the official client builds: limit, price, transfer, memo.
    pub(super) fn good() -> Self {
        Self::paying(MINT, TokenProgram::Token)
    }

    /// The same in another token.
    pub(super) fn paying(mint: Pubkey, program: TokenProgram) -> Self {
        Self {
            is_legacy: false,
            fee_payer: account(OURS),
            blockhash: Hash::new_from_array([7; 32]),
            calls: vec![
                compute_limit(20_000),
                compute_price(1),
                transfer(mint, program, PRICE),
                memo("8f1c0a52d3b94e67a1f05c2b7d9e3846"),
            ],
            idle: Vec::new(),
            lookups: Vec::new(),
            keys: vec![key(PAYER)],
        }
    }

    /// The message, its accounts in the order that the chain asks for.
    pub(super) fn message(&self) -> VersionedMessage {
        let accounts = self.accounts();
        let count = |is_counted: fn(&Meta) -> bool| {
            let counted = accounts.iter().filter(|it| is_counted(it));
            u8::try_from(counted.count()).unwrap()
        };
        let header = MessageHeader {
            num_required_signatures: count(|it| it.signs),
            num_readonly_signed_accounts: count(|it| it.signs && !it.writes),
            num_readonly_unsigned_accounts: count(|it| !it.signs && !it.writes),
        };
        let index = |address: &Pubkey| {
            let place = accounts.iter().position(|it| it.address == *address);
            u8::try_from(place.unwrap()).unwrap()
        };
        let compile = |call: &Call| CompiledInstruction {
            program_id_index: index(&call.program),
            accounts: call.accounts.iter().map(|it| index(&it.address)).collect(),
            data: call.data.clone(),
        };
        let account_keys = accounts.iter().map(|it| it.address).collect();
        let instructions = self.calls.iter().map(compile).collect();
        if self.is_legacy {
            return VersionedMessage::Legacy(legacy::Message {
                header,
                account_keys,
                recent_blockhash: self.blockhash,
                instructions,
            });
        }
        VersionedMessage::V0(v0::Message {
            header,
            account_keys,
            recent_blockhash: self.blockhash,
            instructions,
            address_table_lookups: self.lookups.clone(),
        })
    }

    fn accounts(&self) -> Vec<Meta> {
        let mut accounts = vec![Meta {
            address: self.fee_payer,
            signs: true,
            writes: true,
        }];
        let named = self.calls.iter().flat_map(|it| it.accounts.iter().copied());
        let programs = self.calls.iter().map(|it| reads(it.program));
        for meta in named.chain(programs).chain(self.idle.iter().copied()) {
            match accounts.iter_mut().find(|it| it.address == meta.address) {
                Some(known) => {
                    known.signs |= meta.signs;
                    known.writes |= meta.writes;
                }
                None => accounts.push(meta),
            }
        }
        accounts.sort_by_key(|it| (!it.signs, !it.writes, it.address != self.fee_payer));
        accounts
    }

    /// The transaction, signed by [`Draft::keys`], slot 0 zero.
    pub(super) fn wire(&self) -> Vec<u8> {
        signed(&self.message(), &self.keys)
    }

    /// A request for [`PRICE`] of the transfer's mint with this transaction.
    pub(super) fn request(&self) -> PaymentRequest {
        request(&self.wire(), &json!({ "feePayer": account(OURS).to_string() }))
    }
}

/// A message and the signatures it requires, as far as there are keys for them.
pub(super) fn signed(message: &VersionedMessage, keys: &[SigningKey]) -> Vec<u8> {
    let bytes = message.serialize();
    let required = usize::from(message.header().num_required_signatures);
    let mut wire = vec![u8::try_from(required).unwrap()];
    for (place, address) in message.static_account_keys().iter().take(required).enumerate() {
        let key = keys
            .iter()
            .find(|key| place > 0 && key.verifying_key().as_bytes() == address.as_array());
        wire.extend(key.map_or([0; 64], |key| key.sign(&bytes).to_bytes()));
    }
    wire.extend(bytes);
    wire
}

/// A request to be paid [`PRICE`] of [`MINT`] with this transaction.
pub(super) fn request(wire: &[u8], extra: &Value) -> PaymentRequest {
    request_with(&json!({ "transaction": STANDARD.encode(wire) }), extra)
}

/// The same with any proof.
pub(super) fn request_with(proof: &Value, extra: &Value) -> PaymentRequest {
    let rail = RailId {
        scheme: Scheme::exact(),
        network: NETWORK.parse().unwrap(),
    };
    let terms = Terms {
        asset: MINT.to_string(),
        pay_to: PAY_TO.to_string(),
        amount: Amount::from_units(PRICE.into()),
        timeout_seconds: 60,
        extra: Some(extra.to_string().into()),
    };
    PaymentRequest {
        offer: Offer {
            scheme: rail.scheme.clone(),
            network: Some(rail.network.clone()),
            terms: terms.clone(),
        },
        rail,
        terms,
        proof: Proof(proof.to_string().into()),
        resource: Resource::default(),
        references: Vec::new(),
        labels: crate::domain::labels::Labels::default(),
        tenant: crate::domain::tenant::TenantId::SOLE,
        envelope: "test",
    }
}
