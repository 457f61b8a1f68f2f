//! Asks the chain everything about payments in one round trip: through the lens, or, where a node will not run
//! it, by a JSON-RPC batch of the same reads.
//!
//! A node's refusal to answer is never taken for an answer of the chain: a payment is not refused because a
//! node was busy.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U64, U256, hex};
use alloy::sol_types::SolCall;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::eip3009::{self, Token, Wallet1271};
use super::lens::{self, Answer, Caps, Finding, Question};
use crate::chain::coalesce::Read;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::{AuthorizationState, RailFault};

/// How many questions one batch of reads carries: six calls each and one for all, within the 100 that hosted
/// nodes take.
const BATCH_QUESTIONS_MAX: usize = 16;

/// How much of what a trial returns is kept: more than by the lens, since all that is known of a deployment's
/// transfer stands in it.
const RETURNED_BYTES_MAX: usize = 4_096;

/// How far below the node's own head a height is put that the lens cannot tell itself: the two calls of a batch
/// may be answered at different blocks.
const HEIGHT_SLACK: u64 = 16;

/// What ERC-1271 answers for a good signature, as tokens compare it: the whole word.
pub(super) const ACCEPTED: FixedBytes<4> = FixedBytes::new(Wallet1271::isValidSignatureCall::SELECTOR);

/// Words by which a node says that it runs no call without a recipient, or none with so much init code.
const NO_INIT_CODE: [&str; 8] = [
    "contract creation",
    "initcode",
    "init code",
    "missing to",
    "'to'",
    "\"to\"",
    "`to`",
    "to address",
];

/// Words by which nodes say that a call was executed and failed (geth, Nethermind, Besu, Erigon, reth, anvil).
const EXECUTED: [&str; 7] = [
    "revert",
    "out of gas",
    "outofgas",
    "invalid opcode",
    "invalid jump",
    "vm execution error",
    "stack ",
];

/// How one network's node is asked.
#[derive(Debug)]
pub(super) struct Reader {
    rpc: Pool,
    caps: Caps,
    deployment: u64,
    /// The node does not run the lens.
    refuses_lens: AtomicBool,
    /// The chain's `block.number` is another chain's (Arbitrum: Ethereum's), so the node is asked for the height.
    asks_height: AtomicBool,
}

impl Reader {
    /// Asks through the lens until [`Reader::forgo_lens`]. `deployment` is how much more gas a trial may use that
    /// deploys a wallet first.
    pub(super) fn new(rpc: Pool, caps: Caps, deployment: u64) -> Self {
        Self {
            rpc,
            caps,
            deployment,
            refuses_lens: AtomicBool::new(false),
            asks_height: AtomicBool::new(false),
        }
    }

    /// The node.
    pub(super) const fn rpc(&self) -> &Pool {
        &self.rpc
    }

    /// Asks by batches of reads from now on.
    pub(super) fn forgo_lens(&self) {
        self.refuses_lens.store(true, Ordering::Relaxed);
    }

    /// Takes heights from the node instead of the lens from now on.
    pub(super) fn ask_height(&self) {
        self.asks_height.store(true, Ordering::Relaxed);
    }

    /// Asks through the lens.
    ///
    /// # Errors
    /// As of [`Pool::call`]; an answer that is not the lens's is a fault.
    pub(super) async fn through_lens(&self, questions: &[&Question]) -> Result<Vec<Answer>, RpcError> {
        const OPERATION: &str = "inspect";
        let caps = Caps {
            transfer: self.transfer_gas(questions.iter().any(|question| question.deploys)),
            ..self.caps
        };
        let not_lens = |_| self.rpc.fault(OPERATION, "the answer is not the lens's");
        if !self.asks_height.load(Ordering::Relaxed) {
            let id = self.rpc.next_id();
            let request = lens::request(id, caps, questions);
            let result = self.rpc.call_raw(OPERATION, "eth_call", id, request).await?;
            return Ok(lens::answers(result.get(), questions.len()).map_err(not_lens)?);
        }
        let calls = [
            height_call(),
            call_of(json!([{ "data": lens::data(caps, questions) }, "latest"])),
        ];
        let (height, mut rest) = self.ask_with_height(&calls).await?;
        let result = rest
            .next()
            .unwrap_or_else(|| Err(self.rpc.fault(OPERATION, "the batch came back short").into()))?;
        let mut answers = lens::answers(result.get(), questions.len()).map_err(not_lens)?;
        for finding in answers.iter_mut().flatten() {
            finding.height = height.saturating_sub(HEIGHT_SLACK);
        }
        Ok(answers)
    }

    fn transfer_gas(&self, deploys: bool) -> u64 {
        let extra = if deploys { self.deployment } else { 0 };
        self.caps.transfer.saturating_add(extra)
    }

    async fn ask_with_height(
        &self,
        calls: &[Call],
    ) -> Result<(u64, impl Iterator<Item = Result<Box<RawValue>, RpcError>> + use<>), RailFault> {
        const OPERATION: &str = "inspect";
        let mut answers = self.rpc.batch(OPERATION, calls).await?.into_iter();
        let height = match answers.next() {
            Some(Ok(height)) => self.rpc.read::<U64>(OPERATION, &height)?.to(),
            Some(Err(error)) => return Err(self.rpc.refused(OPERATION, error)),
            None => return Err(self.rpc.fault(OPERATION, "the batch came back short")),
        };
        Ok((height, answers))
    }

    /// The same reads as the lens makes, one call each. They may be answered at different blocks, and what
    /// arrives cannot be seen: a trial that succeeds is taken to move what it says, which a token that takes fees
    /// would not. Listed tokens are known not to.
    async fn by_batch(&self, questions: &[&Question]) -> Result<Vec<Answer>, RailFault> {
        let mut calls = vec![height_call()];
        for question in questions {
            calls.extend(self.reads(question));
        }
        let (height, mut answers) = self.ask_with_height(&calls).await?;
        questions
            .iter()
            .map(|question| self.finding(question, height, &mut answers).map(Some))
            .collect()
    }

    fn reads(&self, question: &Question) -> [Call; 6] {
        let code = |address: Address| Call {
            method: "eth_getCode",
            params: json!([address, "latest"]),
        };
        let call = |to: Address, data: &[u8], cap: u64| {
            // The cap is for the callee: what every call costs before it comes on top.
            let calldata = u64::try_from(data.len()).unwrap_or(u64::MAX).saturating_mul(40);
            let gas = cap.saturating_add(calldata).saturating_add(21_000);
            call_of(json!([{ "to": to, "data": hex::encode_prefixed(data), "gas": U64::from(gas) }, "latest"]))
        };
        let state = Token::authorizationStateCall {
            authorizer: question.payer,
            nonce: question.nonce,
        };
        let balance = Token::balanceOfCall {
            account: question.payer,
        };
        let judgement = Wallet1271::isValidSignatureCall {
            hash: question.digest,
            signature: question.signature.clone(),
        };
        [
            code(question.payer),
            code(question.token),
            call(question.token, &state.abi_encode(), self.caps.read),
            call(question.token, &balance.abi_encode(), self.caps.read),
            call(question.payer, &judgement.abi_encode(), self.caps.signature),
            call(question.target, &question.call, self.transfer_gas(question.deploys)),
        ]
    }

    fn finding(
        &self,
        question: &Question,
        height: u64,
        answers: &mut impl Iterator<Item = Result<Box<RawValue>, RpcError>>,
    ) -> Result<Finding, RailFault> {
        let mut next = || self.outcome(answers.next());
        let (payer_code, token_code) = (next()?, next()?);
        let (state, balance, judgement, trial) = (next()?, next()?, next()?, next()?);
        let has_code = |outcome: &Outcome| matches!(outcome, Outcome::Returned(code) if !code.is_empty());
        let token_has_code = has_code(&token_code);
        let word = |outcome: &Outcome| match outcome {
            Outcome::Returned(bytes) => bytes.get(..32).map(U256::from_be_slice),
            Outcome::Failed(_) => None,
        };
        let (is_transferred, mut returned) = match trial {
            // A call to nothing succeeds.
            Outcome::Returned(bytes) => (token_has_code, bytes),
            Outcome::Failed(bytes) => (false, bytes),
        };
        returned.truncate(RETURNED_BYTES_MAX);
        let is_moved = if question.deploys {
            is_transferred && matches!(eip3009::trial_ends(&returned), Some([_, (true, _)]))
        } else {
            is_transferred
        };
        Ok(Finding {
            height: height.saturating_sub(HEIGHT_SLACK),
            payer_has_code: has_code(&payer_code),
            token_has_code,
            is_accepted: word(&judgement) == Some(B256::right_padding_from(ACCEPTED.as_slice()).into()),
            authorization: match word(&state) {
                Some(state) if state.is_zero() => AuthorizationState::Unused,
                Some(U256::ONE) => AuthorizationState::Used,
                Some(_) | None => AuthorizationState::Unsupported,
            },
            is_transferred,
            balance: word(&balance).unwrap_or_default().saturating_to(),
            received: if is_moved { question.value } else { 0 },
            returned,
        })
    }

    /// A call's result or the failure of its execution; any other error is the node's, not the chain's.
    fn outcome(&self, answer: Option<Result<Box<RawValue>, RpcError>>) -> Result<Outcome, RailFault> {
        const OPERATION: &str = "inspect";
        match answer {
            Some(Ok(result)) => Ok(Outcome::Returned(self.rpc.read::<Bytes>(OPERATION, &result)?.into())),
            Some(Err(RpcError::Node { code, message, data })) if is_execution(code, &message, data.as_deref()) => {
                let bytes = data.and_then(|data| hex::decode(data).ok());
                Ok(Outcome::Failed(bytes.unwrap_or_default()))
            }
            Some(Err(error)) => Err(self.rpc.refused(OPERATION, error)),
            None => Err(self.rpc.fault(OPERATION, "the batch came back short")),
        }
    }
}

impl Read for Reader {
    type Question = Question;
    type Finding = Finding;

    /// A usual question takes 81,000 gas, and four million for all is well below what nodes allow a call (geth: 50
    /// million).
    const QUESTIONS_MAX: usize = 50;
    const UNANSWERED: &'static str = "the node gives one call too little gas to examine a payment";

    fn size(&self, question: &Question) -> usize {
        question.bytes()
    }

    fn room(&self) -> usize {
        lens::room()
    }

    /// A question that deploys is asked by itself, since its gas is everybody's.
    fn goes_alone(&self, question: &Question) -> bool {
        question.deploys
    }

    async fn read(&self, questions: &[&Question]) -> Result<Vec<Answer>, RailFault> {
        if !self.refuses_lens.load(Ordering::Relaxed) {
            match self.through_lens(questions).await {
                Ok(answers) => return Ok(answers),
                Err(RpcError::Node { message, .. }) if is_about_init_code(&message) => {
                    tracing::warn!(
                        network = %self.rpc.network(),
                        "the node does not run the lens any more: asking by batches of reads instead"
                    );
                    self.forgo_lens();
                }
                Err(error) => return Err(self.rpc.refused("inspect", error)),
            }
        }
        let mut answers = Vec::with_capacity(questions.len());
        for chunk in questions.chunks(BATCH_QUESTIONS_MAX) {
            answers.extend(self.by_batch(chunk).await?);
        }
        Ok(answers)
    }

    fn fault(&self, cause: &str) -> RailFault {
        self.rpc.fault("inspect", cause)
    }
}

enum Outcome {
    Returned(Vec<u8>),
    Failed(Vec<u8>),
}

fn height_call() -> Call {
    Call {
        method: "eth_blockNumber",
        params: json!([]),
    }
}

const fn call_of(params: Value) -> Call {
    Call {
        method: "eth_call",
        params,
    }
}

/// The error says that the node runs no init code for a call.
fn is_about_init_code(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    NO_INIT_CODE.iter().any(|words| message.contains(words))
}

/// The error says that the call was executed and failed, rather than that the node would not execute it.
pub(super) fn is_execution(code: i64, message: &str, data: Option<&str>) -> bool {
    let message = message.to_ascii_lowercase();
    code == 3 || data.is_some_and(|data| data.starts_with("0x")) || EXECUTED.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_node_is_not_a_failed_call() {
        for (code, message, data) in [
            (3, "execution reverted: FiatToken: paused", Some("0x08c379a0")),
            (-32_000, "execution reverted", None),
            (-32_000, "out of gas", None),
            (-32_003, "EVM error OutOfGas", None),
            (-32_015, "VM execution error.", Some("Reverted 0x")),
            (-32_000, "invalid opcode: INVALID", None),
        ] {
            assert!(is_execution(code, message, data), "{message}");
        }
        for (code, message, data) in [
            (-32_005, "limit exceeded", None),
            (-32_000, "header not found", None),
            (-32_603, "internal error", Some("try again")),
            (429, "too many requests", None),
        ] {
            assert!(!is_execution(code, message, data), "{message}");
        }
    }

    #[test]
    fn a_node_that_runs_no_init_code_is_told_by_its_words() {
        for message in [
            "Contract creation is not supported",
            "max initcode size exceeded",
            "missing 'to' in request",
        ] {
            assert!(is_about_init_code(message), "{message}");
        }
        for message in ["out of gas", "execution reverted", "rate limited", "header not found"] {
            assert!(!is_about_init_code(message), "{message}");
        }
    }
}
