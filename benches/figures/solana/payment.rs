//! Payments as the official client would make them: version 0 transactions that set a compute unit limit and price,
//! transfer, and carry a random memo; signed by the payer, with room for the fee payer's signature.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use solana_hash::Hash;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{MessageHeader, v0};
use solana_pubkey::{Pubkey, pubkey};
use solana_signature::Signature;

/// What each payment pays, in atomic units.
pub(crate) const VALUE: u64 = 10_000;

pub(crate) const DECIMALS: u8 = 6;

pub(crate) const TOKEN: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const ASSOCIATED_TOKEN: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const COMPUTE_BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");
const MEMO: Pubkey = pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// Units that the official client asks for.
const COMPUTE_UNITS: u32 = 20_000;
/// Micro-lamports that it offers for each.
const COMPUTE_UNIT_PRICE: u64 = 1;

/// Bytes of a signature.
const SIGNATURE: usize = 64;

/// Somebody with a key.
pub(crate) struct Holder {
    key: SigningKey,
    pub(crate) address: Pubkey,
}

impl Holder {
    /// Always the same for the same words.
    pub(crate) fn of(words: &str) -> Self {
        Self::new(&sha256(&[b"figures: ", words.as_bytes()]))
    }

    /// From the first half of a keypair's 64 bytes.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let address = Pubkey::from(key.verifying_key().to_bytes());
        Self { key, address }
    }

    /// From a keypair's 64 bytes in base58.
    pub(crate) fn from_base58(keypair: &str) -> Self {
        // A signature has as many bytes, and its type reads base58.
        let bytes = keypair.parse::<Signature>().expect("a keypair in base58");
        Self::new(bytes.as_ref()[..32].try_into().unwrap())
    }

    /// The keypair's 64 bytes in base58.
    pub(crate) fn to_base58(&self) -> String {
        Signature::from(self.key.to_keypair_bytes()).to_string()
    }
}

/// Where the owner keeps the token.
pub(crate) fn token_account(owner: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [owner.as_array().as_slice(), TOKEN.as_array(), mint.as_array()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN).0
}

/// Who pays whom with what.
pub(crate) struct Terms {
    /// CAIP-2 name of the cluster.
    pub(crate) network: String,
    pub(crate) mint: Pubkey,
    pub(crate) fee_payer: Pubkey,
    pub(crate) payers: Vec<Holder>,
    /// Owners of the token accounts that are paid to.
    pub(crate) payees: Vec<Pubkey>,
}

/// Makes distinct payments, one after the other.
pub(crate) struct Mint {
    terms: Terms,
    sources: Vec<Pubkey>,
    destinations: Vec<Pubkey>,
    next: usize,
    salt: [u8; 32],
}

/// A transaction that only lacks the fee payer's signature.
pub(crate) struct Signed {
    message: Vec<u8>,
    signature: [u8; SIGNATURE],
    payee: Pubkey,
}

impl Mint {
    pub(crate) fn new(terms: Terms) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let account = |owner: &Pubkey| token_account(owner, &terms.mint);
        Self {
            sources: terms.payers.iter().map(|it| account(&it.address)).collect(),
            destinations: terms.payees.iter().map(account).collect(),
            next: 0,
            salt: sha256(&[&now.as_nanos().to_be_bytes()]),
            terms,
        }
    }

    /// The next payment, made out to this fee payer; payers and payees take turns.
    pub(crate) fn sign(&mut self, fee_payer: &Pubkey, blockhash: Hash) -> Signed {
        let number = self.next;
        self.next += 1;
        let (from, to) = (number % self.sources.len(), number % self.destinations.len());
        let holder = &self.terms.payers[from];
        let memo = sha256(&[&self.salt, &number.to_be_bytes()]);
        let [source, destination] = [self.sources[from], self.destinations[to]];
        let message = v0::Message {
            header: MessageHeader {
                num_required_signatures: 2,
                num_readonly_signed_accounts: 1,
                num_readonly_unsigned_accounts: 4,
            },
            account_keys: vec![
                *fee_payer,
                holder.address,
                source,
                destination,
                self.terms.mint,
                TOKEN,
                COMPUTE_BUDGET,
                MEMO,
            ],
            recent_blockhash: blockhash,
            instructions: instructions(&hex::encode(&memo[..16])),
            address_table_lookups: Vec::new(),
        };
        let message = message.serialize();
        Signed {
            signature: holder.key.sign(&message).to_bytes(),
            message,
            payee: self.terms.payees[to],
        }
    }

    /// The next payments as requests to this path; each names one of these blockhashes in its turn.
    pub(crate) fn requests(&mut self, path: &str, blockhashes: &[Hash], count: usize) -> Vec<Vec<u8>> {
        let fee_payer = self.terms.fee_payer;
        let each = blockhashes.iter().cycle().take(count);
        each.map(|it| crate::http::post(path, &self.sign(&fee_payer, *it).body(&self.terms)))
            .collect()
    }
}

/// Numbers are places in the message's list of accounts.
fn instructions(memo: &str) -> Vec<CompiledInstruction> {
    let instruction = |program_id_index, accounts: &[u8], data: Vec<u8>| CompiledInstruction {
        program_id_index,
        accounts: accounts.to_vec(),
        data,
    };
    vec![
        // SetComputeUnitLimit, SetComputeUnitPrice
        instruction(6, &[], [&[2][..], &COMPUTE_UNITS.to_le_bytes()].concat()),
        instruction(6, &[], [&[3][..], &COMPUTE_UNIT_PRICE.to_le_bytes()].concat()),
        // TransferChecked: source, mint, destination, authority
        instruction(
            5,
            &[2, 4, 3, 1],
            [&[12][..], &VALUE.to_le_bytes(), &[DECIMALS]].concat(),
        ),
        instruction(7, &[], memo.as_bytes().to_vec()),
    ]
}

impl Signed {
    /// The transaction with the fee payer's signature, or zeros in its place.
    fn wire(&self, first: &[u8; SIGNATURE]) -> Vec<u8> {
        [&[2][..], first, &self.signature, &self.message].concat()
    }

    /// The transaction as the payer hands it over, in base64.
    pub(crate) fn offered(&self) -> String {
        BASE64_STANDARD.encode(self.wire(&[0; SIGNATURE]))
    }

    /// The transaction with all signatures, in base64, and its first signature, which is its name.
    pub(crate) fn sealed(&self, fee_payer: &Holder) -> (String, Signature) {
        let signature = fee_payer.key.sign(&self.message).to_bytes();
        (
            BASE64_STANDARD.encode(self.wire(&signature)),
            Signature::from(signature),
        )
    }

    /// The request body, protocol version 2.
    fn body(&self, terms: &Terms) -> String {
        let Terms {
            network,
            mint,
            fee_payer,
            ..
        } = terms;
        let (payee, transaction) = (self.payee, self.offered());
        let terms = format!(
            r#"{{"scheme":"exact","network":"{network}","amount":"{VALUE}","asset":"{mint}","payTo":"{payee}","maxTimeoutSeconds":300,"extra":{{"feePayer":"{fee_payer}"}}}}"#
        );
        let resource =
            r#"{"url":"https://shop.example/report","description":"A report","mimeType":"application/json"}"#;
        format!(
            r#"{{"x402Version":2,"paymentPayload":{{"x402Version":2,"resource":{resource},"accepted":{terms},"payload":{{"transaction":"{transaction}"}}}},"paymentRequirements":{terms}}}"#
        )
    }
}

/// Of these, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), Digest::chain_update).finalize().into()
}
