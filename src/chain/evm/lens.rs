//! The bytes that go to the lens (`lens.sol`) and those that come back.
//!
//! The lens is never deployed: its creation code, followed by the questions, is the data of one `eth_call`
//! without a recipient, and what the constructor returns is the answer. Written and read by hand, one pass each
//! way, because every verification passes through here.

use alloy::primitives::{Address, B256, Bytes, U256, hex};

use super::body::{Body, Wallet};
use super::eip3009;
use crate::domain::rail::AuthorizationState;

/// The lens's creation code in hexadecimal, as `tests/stack/compile.mjs` writes it.
const CODE: &str = include_str!("lens.hex");

/// The most init code a node executes (EIP-3860).
const INIT_CODE_MAX: usize = 49_152;

const WORD: usize = 32;

/// What precedes the questions: three caps, the place of the list, its length.
const HEAD_BYTES: usize = 5 * WORD;

/// What a question has beside the bytes of its signature and its call: its place in the list, eight words, and
/// two lengths.
const QUESTION_BYTES: usize = 11 * WORD;

/// Words of one result before the bytes that the trial returned.
const RESULT_WORDS: usize = 9;

/// The most gas one external call may use, by kind (`lens.sol`, `Caps`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caps {
    /// Of a read of the token.
    pub(super) read: u64,
    /// Of the wallet's judgement of a signature.
    pub(super) signature: u64,
    /// Of the transfer on trial.
    pub(super) transfer: u64,
}

/// What is to be found out about one payment (`lens.sol`, `Item`).
#[derive(Clone)]
pub(super) struct Question {
    /// The token.
    pub(super) token: Address,
    /// Who pays.
    pub(super) payer: Address,
    /// Who is paid.
    pub(super) pay_to: Address,
    /// How much, in atomic units. The lens does not need it: it sees what arrives.
    pub(super) value: u128,
    /// The authorization's nonce.
    pub(super) nonce: B256,
    /// What was signed.
    pub(super) digest: B256,
    /// The signature that the payer's code, if it has any, judges.
    pub(super) signature: Bytes,
    /// Whom the trial calls.
    pub(super) target: Address,
    /// What it calls with.
    pub(super) call: Bytes,
    /// The trial may deploy a wallet first.
    pub(super) deploys: bool,
}

/// What the lens found out about one payment (`lens.sol`, `Result`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate observation, none is a state"
)]
pub(super) struct Finding {
    /// The block it was read at. On some chains not this chain's number: [`super::reader`] sets that right.
    pub(super) height: u64,
    /// The payer's account has code.
    pub(super) payer_has_code: bool,
    /// The token's has.
    pub(super) token_has_code: bool,
    /// The payer's code accepted the signature.
    pub(super) is_accepted: bool,
    /// What the token says of the authorization.
    pub(super) authorization: AuthorizationState,
    /// The trial went through.
    pub(super) is_transferred: bool,
    /// What the payer holds; 2^128 - 1 for anything above.
    pub(super) balance: u128,
    /// What the recipient had more after the trial; 2^128 - 1 for anything above.
    pub(super) received: u128,
    /// What the trial returned, at most 512 bytes of it.
    pub(super) returned: Vec<u8>,
}

/// One payment's share of an answer: none when too little gas was left for it.
pub(super) type Answer = Option<Finding>;

/// The answer is not one that the lens gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node's answer is not the lens's")]
pub(super) struct NotAnAnswer;

impl Question {
    /// The questions that one payment raises; `digest` is what was signed.
    pub(super) fn of(body: &Body, digest: B256) -> Self {
        let (target, call) = eip3009::trial_call(body);
        Self {
            token: body.token,
            payer: body.from,
            pay_to: body.to,
            value: body.value,
            nonce: body.nonce,
            digest,
            signature: body.signature.clone(),
            target,
            call,
            deploys: matches!(body.wallet, Wallet::Deployable { .. }),
        }
    }

    /// How many bytes of init code the question takes.
    pub(super) fn bytes(&self) -> usize {
        QUESTION_BYTES
            .saturating_add(padded(self.signature.len()))
            .saturating_add(padded(self.call.len()))
    }
}

/// How many bytes of init code are left for questions.
pub(super) fn room() -> usize {
    INIT_CODE_MAX.saturating_sub(CODE.len() / 2).saturating_sub(HEAD_BYTES)
}

/// The JSON-RPC request that asks all of these at once, at the latest block.
pub(super) fn request(id: u64, caps: Caps, questions: &[&Question]) -> Vec<u8> {
    let arguments = arguments(caps, questions);
    let code = CODE.trim_end();
    let mut out = Vec::with_capacity(
        arguments
            .len()
            .saturating_mul(2)
            .saturating_add(code.len())
            .saturating_add(160),
    );
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.to_string().as_bytes());
    out.extend_from_slice(br#","method":"eth_call","params":[{"data":""#);
    out.extend_from_slice(code.as_bytes());
    out.extend_from_slice(hex::encode(arguments).as_bytes());
    out.extend_from_slice(br#""},"latest"]}"#);
    out
}

/// The data of the same call, for a request that is put together elsewhere.
pub(super) fn data(caps: Caps, questions: &[&Question]) -> String {
    format!("{}{}", CODE.trim_end(), hex::encode(arguments(caps, questions)))
}

/// `abi.encode(Caps caps, Item[] items)`.
fn arguments(caps: Caps, questions: &[&Question]) -> Vec<u8> {
    let total = questions.iter().map(|question| question.bytes()).sum::<usize>();
    let mut out = Words(Vec::with_capacity(total.saturating_add(HEAD_BYTES)));
    out.number(caps.read);
    out.number(caps.signature);
    out.number(caps.transfer);
    out.size(4 * WORD);
    out.size(questions.len());
    let mut place = questions.len().saturating_mul(WORD);
    for question in questions {
        out.size(place);
        place = place.saturating_add(question.bytes()).saturating_sub(WORD);
    }
    for question in questions {
        let call_at = (9 * WORD).saturating_add(padded(question.signature.len()));
        out.address(&question.token);
        out.address(&question.payer);
        out.address(&question.pay_to);
        out.word(&question.nonce.0);
        out.word(&question.digest.0);
        out.size(8 * WORD);
        out.address(&question.target);
        out.size(call_at);
        out.bytes(&question.signature);
        out.bytes(&question.call);
    }
    out.0
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(WORD)
}

struct Words(Vec<u8>);

impl Words {
    fn word(&mut self, word: &[u8; WORD]) {
        self.0.extend_from_slice(word);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&[0; 24]);
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn size(&mut self, size: usize) {
        self.number(u64::try_from(size).unwrap_or(u64::MAX));
    }

    fn address(&mut self, address: &Address) {
        self.0.extend_from_slice(&[0; 12]);
        self.0.extend_from_slice(address.as_slice());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        let end = self.0.len().saturating_add(padded(bytes.len()));
        self.0.extend_from_slice(bytes);
        self.0.resize(end, 0);
    }
}

/// Reads `abi.encode(uint256 number, uint256 time, Result[] results)` out of the JSON string that `eth_call`
/// gave: one answer for each of `count` questions, in their order.
///
/// # Errors
/// [`NotAnAnswer`] for anything else, and for any other number of results.
pub(super) fn answers(json: &str, count: usize) -> Result<Vec<Answer>, NotAnAnswer> {
    let digits = json
        .strip_prefix("\"0x")
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or(NotAnAnswer)?;
    let bytes = hex::decode(digits).map_err(|_| NotAnAnswer)?;
    let all = Slice(&bytes);
    let height = all.number(0)?;
    let list = all.from(all.size(2)?)?;
    if list.size(0)? != count {
        return Err(NotAnAnswer);
    }
    let entries = list.from(WORD)?;
    (0..count)
        .map(|index| entries.from(entries.size(index)?)?.answer(height))
        .collect()
}

#[derive(Clone, Copy)]
struct Slice<'a>(&'a [u8]);

impl<'a> Slice<'a> {
    fn from(self, offset: usize) -> Result<Self, NotAnAnswer> {
        self.0.get(offset..).map(Slice).ok_or(NotAnAnswer)
    }

    fn word(self, index: usize) -> Result<U256, NotAnAnswer> {
        let word = index
            .checked_mul(WORD)
            .and_then(|start| self.0.get(start..start.checked_add(WORD)?))
            .ok_or(NotAnAnswer)?;
        Ok(U256::from_be_slice(word))
    }

    fn number(self, index: usize) -> Result<u64, NotAnAnswer> {
        self.word(index)?.try_into().map_err(|_| NotAnAnswer)
    }

    fn size(self, index: usize) -> Result<usize, NotAnAnswer> {
        self.word(index)?.try_into().map_err(|_| NotAnAnswer)
    }

    fn flag(self, index: usize) -> Result<bool, NotAnAnswer> {
        match self.number(index)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NotAnAnswer),
        }
    }

    fn bytes(self, offset: usize) -> Result<&'a [u8], NotAnAnswer> {
        let at = self.from(offset)?;
        at.from(WORD)?.0.get(..at.size(0)?).ok_or(NotAnAnswer)
    }

    fn answer(self, height: u64) -> Result<Answer, NotAnAnswer> {
        if self.0.len() < RESULT_WORDS.saturating_mul(WORD) {
            return Err(NotAnAnswer);
        }
        if self.flag(0)? {
            return Ok(None);
        }
        Ok(Some(Finding {
            height,
            payer_has_code: self.flag(1)?,
            token_has_code: self.flag(2)?,
            is_accepted: self.number(3)? == 1,
            authorization: match self.number(4)? {
                0 => AuthorizationState::Unused,
                1 => AuthorizationState::Used,
                2 => AuthorizationState::Unsupported,
                _ => return Err(NotAnAnswer),
            },
            is_transferred: self.flag(5)?,
            balance: self.word(6)?.saturating_to(),
            received: self.word(7)?.saturating_to(),
            returned: self.bytes(self.size(8)?)?.to_vec(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol;
    use alloy::sol_types::SolValue;

    use super::*;

    sol! {
        struct AbiCaps { uint256 read; uint256 signature; uint256 transfer; }
        struct Item {
            address token; address payer; address payTo; bytes32 nonce; bytes32 digest; bytes signature;
            address target; bytes call;
        }
        struct Result {
            bool starved; bool payerHasCode; bool tokenHasCode; uint8 signature; uint8 authorization;
            bool transferred; uint256 balance; uint256 received; bytes returned;
        }
    }

    const CAPS: Caps = Caps {
        read: 1,
        signature: 2,
        transfer: 3,
    };

    fn question(seed: u8) -> Question {
        let at = |field: u8| seed.wrapping_add(field);
        Question {
            token: Address::repeat_byte(seed),
            payer: Address::repeat_byte(at(1)),
            pay_to: Address::repeat_byte(at(2)),
            value: 0,
            nonce: B256::repeat_byte(at(3)),
            digest: B256::repeat_byte(at(4)),
            signature: vec![at(5); usize::from(seed)].into(),
            target: Address::repeat_byte(at(6)),
            call: vec![at(7); usize::from(seed) * 3].into(),
            deploys: false,
        }
    }

    #[test]
    fn questions_are_written_as_the_abi_has_them() {
        for seeds in [&[][..], &[0], &[32], &[65, 1, 0, 64, 100]] {
            let questions: Vec<_> = seeds.iter().map(|&seed| question(seed)).collect();
            let items: Vec<Item> = questions
                .iter()
                .map(|q| Item {
                    token: q.token,
                    payer: q.payer,
                    payTo: q.pay_to,
                    nonce: q.nonce,
                    digest: q.digest,
                    signature: q.signature.clone(),
                    target: q.target,
                    call: q.call.clone(),
                })
                .collect();
            let caps = AbiCaps {
                read: U256::from(1),
                signature: U256::from(2),
                transfer: U256::from(3),
            };
            let expected = (caps, items).abi_encode_params();
            let asked: Vec<&Question> = questions.iter().collect();
            assert_eq!(arguments(CAPS, &asked), expected, "{seeds:?}");
            let size: usize = questions.iter().map(Question::bytes).sum();
            assert_eq!(expected.len(), HEAD_BYTES + size);
        }
    }

    #[test]
    fn the_request_is_json_within_the_limit() {
        let questions: Vec<_> = (0..50).map(|_| question(65)).collect();
        let asked: Vec<&Question> = questions.iter().collect();
        let request: serde_json::Value = serde_json::from_slice(&request(7, CAPS, &asked)).unwrap();
        assert_eq!(request["id"], 7);
        let text = request["params"][0]["data"].as_str().unwrap();
        assert_eq!(text, data(CAPS, &asked));
        let size: usize = questions.iter().map(Question::bytes).sum();
        assert!(text.len() / 2 - 1 <= INIT_CODE_MAX - room() + size);
        assert!(size < room(), "fifty usual questions fit: {size}");
    }

    fn result(starved: bool) -> Result {
        Result {
            starved,
            payerHasCode: true,
            tokenHasCode: false,
            signature: 1,
            authorization: 2,
            transferred: true,
            balance: U256::MAX,
            received: U256::from(5),
            returned: vec![1, 2, 3].into(),
        }
    }

    #[test]
    fn answers_are_read_as_the_abi_has_them() {
        let results = vec![result(false), result(true), result(false)];
        let bytes = (U256::from(77), U256::from(1_000), results).abi_encode_params();
        let json = format!("\"0x{}\"", hex::encode(&bytes));
        let found = answers(&json, 3).unwrap();
        let expected = Finding {
            height: 77,
            payer_has_code: true,
            token_has_code: false,
            is_accepted: true,
            authorization: AuthorizationState::Unsupported,
            is_transferred: true,
            balance: u128::MAX,
            received: 5,
            returned: vec![1, 2, 3],
        };
        assert_eq!(found, [Some(expected.clone()), None, Some(expected)]);

        assert_eq!(answers(&json, 2), Err(NotAnAnswer));
        assert_eq!(answers("\"0x\"", 0), Err(NotAnAnswer));
        assert_eq!(answers("null", 0), Err(NotAnAnswer));
        for cut in 0..bytes.len() {
            let json = format!("\"0x{}\"", hex::encode(&bytes[..cut]));
            // The last entry's padding is nobody's.
            assert!(answers(&json, 3).is_err() || bytes.len() - cut < 30, "{cut}");
        }
    }
}
