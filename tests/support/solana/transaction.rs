//! Solana's transactions by hand, byte by byte: what an official client makes, and whatever else a payer may send.
//! Layouts: https://solana.com/docs/core/transactions, "Message format" and "Compact-array format".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

/// Somebody with a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Key {
    pub(crate) address: Pubkey,
    pub(crate) signer: SigningKey,
    /// Base58 of the keypair's 64 bytes.
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Written {
    key: String,
}

impl From<Written> for Key {
    fn from(written: Written) -> Self {
        // A keypair has as many bytes as a signature, and is written in the same way.
        let keypair: Signature = written.key.parse().unwrap();
        let secret = keypair.as_array()[..32].try_into().unwrap();
        let signer = SigningKey::from_bytes(&secret);
        Self {
            address: signer.verifying_key().to_bytes().into(),
            signer,
            text: written.key,
        }
    }
}

/// An account in an instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) key: Pubkey,
    pub(crate) is_signer: bool,
    pub(crate) is_writable: bool,
}

impl Meta {
    pub(crate) const fn read(key: Pubkey) -> Self {
        Self {
            key,
            is_signer: false,
            is_writable: false,
        }
    }

    pub(crate) const fn write(key: Pubkey) -> Self {
        Self {
            is_writable: true,
            ..Self::read(key)
        }
    }

    pub(crate) const fn signs(self) -> Self {
        Self {
            is_signer: true,
            ..self
        }
    }
}

/// An instruction before its accounts are numbered.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) program: Pubkey,
    pub(crate) accounts: Vec<Meta>,
    pub(crate) data: Vec<u8>,
}

/// An address lookup table and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) address: Pubkey,
    pub(crate) addresses: Vec<Pubkey>,
}

/// A message as its bytes have it; every number may be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) is_legacy: bool,
    /// Required signatures; of these, read-only ones; of the others, read-only ones.
    pub(crate) header: [u8; 3],
    pub(crate) keys: Vec<Pubkey>,
    pub(crate) blockhash: [u8; 32],
    pub(crate) instructions: Vec<Numbered>,
    pub(crate) lookups: Vec<Lookup>,
}

/// An instruction in numbers.
#[derive(Debug, Clone)]
pub(crate) struct Numbered {
    pub(crate) program: u8,
    pub(crate) accounts: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// What a message takes from a table.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    pub(crate) table: Pubkey,
    pub(crate) writable: Vec<u8>,
    pub(crate) readonly: Vec<u8>,
}

impl Message {
    /// Numbers the accounts. Those that a table holds, and that neither sign nor are programs, are taken from there.
    pub(crate) fn new(fee_payer: Pubkey, instructions: &[Instruction], blockhash: [u8; 32], tables: &[Table]) -> Self {
        let mut metas = vec![Meta::write(fee_payer).signs()];
        for instruction in instructions {
            for meta in instruction.accounts.iter().copied() {
                add(&mut metas, meta);
            }
        }
        let programs: Vec<Pubkey> = instructions.iter().map(|it| it.program).collect();
        for program in &programs {
            add(&mut metas, Meta::read(*program));
        }
        let mut lookups = Vec::new();
        let mut looked_up = [Vec::new(), Vec::new()];
        for table in tables {
            let mut found = [Vec::new(), Vec::new()];
            metas.retain(|meta| {
                let place = table.addresses.iter().position(|it| *it == meta.key);
                let Some(place) = place.filter(|_| !meta.is_signer && !programs.contains(&meta.key)) else {
                    return true;
                };
                found[usize::from(!meta.is_writable)].push(place as u8);
                looked_up[usize::from(!meta.is_writable)].push(meta.key);
                false
            });
            let [writable, readonly] = found;
            let table = table.address;
            lookups.push(Lookup {
                table,
                writable,
                readonly,
            });
        }
        // The sort is stable, so that the fee payer stays in front.
        metas.sort_by_key(|meta| (!meta.is_signer, !meta.is_writable));
        let count = |pick: fn(&Meta) -> bool| metas.iter().filter(|meta| pick(meta)).count() as u8;
        let header = [
            count(|it| it.is_signer),
            count(|it| it.is_signer && !it.is_writable),
            count(|it| !it.is_signer && !it.is_writable),
        ];
        let keys: Vec<Pubkey> = metas.iter().map(|meta| meta.key).collect();
        let all: Vec<Pubkey> = keys.iter().chain(looked_up.iter().flatten()).copied().collect();
        let number = |key: &Pubkey| all.iter().position(|it| it == key).unwrap() as u8;
        let instructions = instructions.iter().map(|it| Numbered {
            program: number(&it.program),
            accounts: it.accounts.iter().map(|meta| number(&meta.key)).collect(),
            data: it.data.clone(),
        });
        Self {
            is_legacy: false,
            header,
            instructions: instructions.collect(),
            keys,
            blockhash,
            lookups,
        }
    }

    /// What is signed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = if self.is_legacy { vec![] } else { vec![0x80] };
        bytes.extend(self.header);
        bytes.extend(compact(self.keys.len()));
        bytes.extend(self.keys.iter().flat_map(Pubkey::to_bytes));
        bytes.extend(self.blockhash);
        bytes.extend(compact(self.instructions.len()));
        for instruction in &self.instructions {
            bytes.push(instruction.program);
            bytes.extend(counted(&instruction.accounts));
            bytes.extend(counted(&instruction.data));
        }
        if !self.is_legacy {
            bytes.extend(compact(self.lookups.len()));
            for lookup in &self.lookups {
                bytes.extend(lookup.table.to_bytes());
                bytes.extend(counted(&lookup.writable));
                bytes.extend(counted(&lookup.readonly));
            }
        }
        bytes
    }

    /// The transaction with the signatures of whoever has to sign and is here, and zeros for the others.
    pub(crate) fn signed_by(&self, signers: &[&Key]) -> Vec<u8> {
        let message = self.bytes();
        let required = self.keys.iter().take(self.header[0].into());
        let signatures: Vec<[u8; 64]> = required
            .map(|key| {
                let signer = signers.iter().find(|it| it.address == *key);
                signer.map_or([0; 64], |it| it.signer.sign(&message).to_bytes())
            })
            .collect();
        transaction(&signatures, &message)
    }
}

/// Adds an account, or what an instruction demands of one that is there.
fn add(metas: &mut Vec<Meta>, meta: Meta) {
    match metas.iter_mut().find(|it| it.key == meta.key) {
        Some(known) => {
            known.is_signer |= meta.is_signer;
            known.is_writable |= meta.is_writable;
        }
        None => metas.push(meta),
    }
}

/// A whole transaction.
pub(crate) fn transaction(signatures: &[[u8; 64]], message: &[u8]) -> Vec<u8> {
    [&compact(signatures.len()), signatures.as_flattened(), message].concat()
}

/// A compact-u16: seven bits a byte, the least significant first.
pub(crate) fn compact(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&compact(bytes.len()), bytes].concat()
}

/// The transaction in a payload or a question to the node.
pub(crate) fn wire_in(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// A transaction as payloads carry it.
pub(crate) fn text_of(wire: &[u8]) -> String {
    STANDARD.encode(wire)
}

/// The message behind the signatures; nothing where there is none.
pub(crate) fn message_in(wire: &[u8]) -> &[u8] {
    // There are never as many as 128.
    let signatures = wire.first().map_or(0, |count| usize::from(*count));
    wire.get(1 + 64 * signatures..).unwrap_or_default()
}

/// What the records call a payment: the hash of its message.
pub(crate) fn nonce_of(wire: &[u8]) -> String {
    hex::encode(Sha256::digest(message_in(wire)))
}

/// What the chain calls a transaction: its first signature.
pub(crate) fn name_of(wire: &[u8]) -> String {
    let signature: [u8; 64] = wire[1..65].try_into().unwrap();
    Signature::from(signature).to_string()
}

/// With other bytes for the fee payer's signature.
pub(crate) fn with_slot_0(mut wire: Vec<u8>, signature: [u8; 64]) -> Vec<u8> {
    wire[1..65].copy_from_slice(&signature);
    wire
}
