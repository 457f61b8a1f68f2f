//! What is wrong with a transaction that the payer built, where the payer builds the whole transaction and not just
//! an authorization: a closed list, in the order in which x402's reference facilitator looks (`@x402/svm` 2.27.0,
//! `exact/facilitator`). The wire's reason strings for each stand in `wire::reason`.

/// A rule that the payer's transaction breaks. Display says what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The requirements name no fee payer.
    #[error(
        "paymentRequirements.extra.feePayer is missing: the transaction needs one of this facilitator's fee payers"
    )]
    FeePayerMissing,
    /// The requirements' fee payer is none of ours.
    #[error("paymentRequirements.extra.feePayer {found} is none of this facilitator's fee payers")]
    FeePayerUnknown {
        /// The requirements'.
        found: String,
    },
    /// The bytes are no transaction, or not one in its only right encoding.
    #[error("paymentPayload.payload.transaction is not a transaction: {why}")]
    Undecodable {
        /// What is wrong with them.
        why: &'static str,
    },
    /// It needs more signatures than we pay for.
    #[error("the transaction needs {found} signatures; at most {max} are paid for")]
    TooManySigners {
        /// The transaction's.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// Another account than the stated one would pay the fee.
    #[error("the transaction's fee payer is {found}, the requirements ask for {expected}")]
    FeePayerMismatch {
        /// The requirements'.
        expected: String,
        /// The transaction's first account.
        found: String,
    },
    /// A required signature other than the fee payer's is missing or wrong.
    #[error("the signature of {signer} is missing or wrong")]
    SignatureInvalid {
        /// Whose.
        signer: String,
    },
    /// It names accounts through lookup tables.
    #[error("the transaction uses address lookup tables, which this facilitator does not resolve")]
    LookupTables,
    /// A lookup table does not hold what the transaction takes from it.
    #[error("the address lookup table {table} cannot be resolved")]
    LookupTableUnresolved {
        /// Which.
        table: String,
    },
    /// It has too few or too many instructions.
    #[error("the transaction has {found} instructions, expected {min} to {max}")]
    InstructionCount {
        /// The transaction's.
        found: usize,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// The first instruction does not set the compute unit limit.
    #[error("instruction 1 must be the compute budget program's SetComputeUnitLimit")]
    ComputeLimitMissing,
    /// It asks for more compute units than we pay for.
    #[error("the compute unit limit is {found}, at most {max} are paid for")]
    ComputeLimitTooHigh {
        /// The transaction's.
        found: u32,
        /// The bound.
        max: u32,
    },
    /// The second instruction does not set the compute unit price.
    #[error("instruction 2 must be the compute budget program's SetComputeUnitPrice")]
    ComputePriceMissing,
    /// It offers a higher price for a compute unit, or a higher priority fee in all, than we pay.
    #[error("the compute unit price is {found} micro-lamports; at this limit at most {max} is paid")]
    ComputePriceTooHigh {
        /// The transaction's, in micro-lamports for a compute unit.
        found: u64,
        /// The bound for this transaction's limit.
        max: u64,
    },
    /// The third instruction does not transfer.
    #[error("instruction 3 must be TransferChecked of the SPL Token or the Token-2022 program")]
    NoTransfer,
    /// It would move a signer's own money.
    #[error("the transfer's authority {found} is one of this facilitator's fee payers")]
    FeePayerTransfers {
        /// The transfer's authority.
        found: String,
    },
    /// It hands a fee payer to a program.
    #[error("instruction {position} names this facilitator's fee payer, which may stand in no instruction")]
    FeePayerExposed {
        /// Counted from 1.
        position: usize,
    },
    /// It moves another asset.
    #[error("the transfer's mint is {found}, the requirements ask for {expected}")]
    MintMismatch {
        /// The requirements'.
        expected: String,
        /// The transfer's.
        found: String,
    },
    /// It states other decimals than the mint has, which the token program refuses.
    #[error("the transfer states {found} decimals, the mint has {expected}")]
    DecimalsMismatch {
        /// The mint's.
        expected: u8,
        /// The transfer's.
        found: u8,
    },
    /// It pays into another account than the recipient's own.
    #[error("the transfer's destination is {found}, expected {expected}, the associated token account of {owner}")]
    DestinationMismatch {
        /// The recipient's associated token account.
        expected: String,
        /// The transfer's.
        found: String,
        /// The recipient.
        owner: String,
    },
    /// It moves money from an account to itself.
    #[error("the transfer's source is its destination {account}")]
    SelfTransfer {
        /// Both.
        account: String,
    },
    /// After the transfer stands something other than a memo or an assertion.
    #[error("instruction {position} is neither a memo nor a Lighthouse assertion")]
    UnknownInstruction {
        /// Counted from 1; 4 at least.
        position: usize,
    },
    /// The requirements ask for a memo, and there is none or more than one.
    #[error("the transaction has {found} memos, the requirements ask for exactly one")]
    MemoCount {
        /// The transaction's.
        found: usize,
    },
    /// The memo is not the one that the requirements ask for.
    #[error("the transaction's memo is not paymentRequirements.extra.memo")]
    MemoMismatch,
    /// The chain has forgotten the block that the transaction names, or soon will.
    #[error(
        "the transaction's blockhash is unknown to the chain or too old to be settled in time; sign anew over a recent one"
    )]
    BlockhashTooOld,
    /// The recipient has nowhere to receive the asset.
    #[error("the recipient {owner} has no token account for {mint}: create {account} once, before asking for payments")]
    DestinationMissing {
        /// The recipient.
        owner: String,
        /// The asset.
        mint: String,
        /// Its associated token account.
        account: String,
    },
    /// The payer's wallet is a program, and what it does breaks a rule.
    #[error(transparent)]
    SmartWallet(#[from] SmartWalletFlaw),
}

/// A rule that a transaction of a smart wallet breaks, whose transfer only a simulation shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmartWalletFlaw {
    /// It calls a program that is not on the list.
    #[error("the program {program} is not one that a smart wallet's transaction may call")]
    ProgramNotAllowed {
        /// Which.
        program: String,
    },
    /// It hands a fee payer to a program.
    #[error("this facilitator's fee payer may stand in no instruction")]
    FeePayerNotIsolated,
    /// An instruction to the compute budget program that cannot be read.
    #[error("an instruction to the compute budget program is malformed")]
    MalformedComputeBudget,
    /// A compute unit limit that cannot be read.
    #[error("the compute unit limit is malformed")]
    MalformedComputeLimit,
    /// A compute unit price that cannot be read.
    #[error("the compute unit price is malformed")]
    MalformedComputePrice,
    /// An instruction to the compute budget program other than its limit and price.
    #[error("only the compute unit limit and price may be set")]
    UnsupportedComputeBudget,
    /// A limit or a price that is set twice.
    #[error("the compute unit limit and price may be set once each")]
    ComputeBudgetViolation,
    /// It asks for more compute units than we pay for.
    #[error("the compute unit limit is {found}, at most {max} are paid for")]
    ComputeUnitsTooHigh {
        /// The transaction's.
        found: u32,
        /// The bound.
        max: u32,
    },
    /// It offers a higher price than we pay.
    #[error("the compute unit price is {found} micro-lamports, at most {max} is paid")]
    PriorityFeeTooHigh {
        /// The transaction's.
        found: u64,
        /// The bound.
        max: u64,
    },
    /// It fails when it is tried.
    #[error("the transaction would fail: {reason}")]
    SimulationFailed {
        /// The chain's words, bounded and printable.
        reason: String,
    },
    /// It moves nothing.
    #[error("the transaction transfers nothing when it is tried")]
    NoTransfer,
    /// What it moves is not what the requirements ask for.
    #[error("no transfer in the transaction is the one that the requirements ask for")]
    TransferMismatch,
    /// It pays more than once.
    #[error("the transaction makes the payment more than once")]
    MultipleTransfers,
    /// The node does not show what happens inside.
    #[error("the chain's node does not show inner instructions, so that a smart wallet's payment cannot be verified")]
    VerificationUnavailable,
}
