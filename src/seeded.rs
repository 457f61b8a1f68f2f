//! Deliberate bugs, to see that the tests have teeth: with the feature `seeded-bugs`, the one that the environment's
//! `FACILITATOR_SEEDED_BUG` names is switched on. Without the feature, as in every binary that is meant to run, none of
//! this is compiled in.
//!
//! Each is a mistake that was made somewhere, or one slip away from being made here. `./dev teeth` builds once, runs the
//! tests against each and prints which were found.

/// Declares the bugs, each with the tests that are expected to find it, and a mark where the simulator is to find it too.
macro_rules! bugs {
    ($($(#[$meta:meta])* $name:ident: $hunters:literal $(+ $sim:ident)?,)*) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$meta])* $name,)*
        }

        /// All of them by name, each with the arguments of `cargo test` for those that should find it.
        pub const BUGS: &[(Bug, &str, &str)] = &[$((Bug::$name, stringify!($name), $hunters)),*];
    };
}

bugs! {
    /// A window counts as closed by the newest block's time.
    WindowClosedAtHead: "--test it -- chain::a_window_that_closes_unused",
    /// A cancellation counts as for ever before its block is final.
    CancelledBeforeFinal: "--test it -- chain::h11_",
    /// A use for something else counts as for ever before its block is final.
    UsedOtherwiseBeforeFinal: "--test it -- chain::an_authorization_used_for_something_else",
    /// A reverted receipt is a proof of failure.
    RevertIsFailure: "--lib -- settlement",
    /// A receipt's status is a proof of success.
    SuccessOnStatus: "--lib -- evidence",
    /// Any transfer of the token after the use will do.
    AnyAmountLands: "--lib -- evidence",
    /// Another token's logs count too.
    AnyTokenLands: "--lib -- evidence",
    /// A node that is behind takes a landing back.
    LaggingNodeReverses: "--lib -- settlement" + sim,
    /// A landing in a block that is gone stays.
    ReorganizationIgnored: "--lib -- settlement",
    /// What was taken back goes into a new nonce while the old one may still be mined.
    ReversalForgetsTransaction: "--lib -- settlement" + sim,
    /// The one success is not claimed before it is told.
    GrantWithoutClaim: "--test it -- settle::x01_case_37_" + sim,
    /// Every caller who repeats himself hears success.
    SuccessReplayedToAll: "--test it -- settle::case_36_" + sim,
    /// What a payment was for is not compared.
    OtherRequestJoins: "--test it -- settle::x03_" + sim,
    /// The same payment under another signature is another payment.
    KeyNamesSignature: "--lib -- payload",
    /// Bytes leave whether or not they are on record.
    SentWithoutRecord: "--test it -- lost::signed_bytes_whose_record_fails_do_not_leave",
    /// A nonce is signed with anew once the records have forgotten it.
    ForgottenNonceSigned: "--test it -- database::d07_commits_are_lost",
    /// A lane that was lost is signed in.
    FenceIgnored: "--test store -- leases::",
    /// A lane that somebody drives is taken.
    HeldLaneTaken: "--test store -- leases::",
    /// A quarantined lane is signed in.
    QuarantineIgnored: "--test store -- leases::",
    /// A replacement does nothing, and is said to do the same.
    ReplacementChangesCalls: "--lib -- outbid",
    /// Older transactions of a nonce are forgotten once there is a newer one.
    ReplacedForgotten: "--lib -- slots",
    /// A replacement offers hardly more.
    RaisedTooLittle: "--lib -- outbid",
    /// The cap does not bind replacements.
    CapIgnored: "--lib -- outbid",
    /// A fee that the cap does not reach is signed for all the same.
    UnaffordableSigned: "--test it -- waiting::fees_above_the_cap" + sim,
    /// A nonce that a node calls too low is given up.
    NonceTooLowGivesUp: "--test it -- stuck::r07_",
    /// What a node did not acknowledge is given up.
    UnknownGivesUp: "--test it -- settle::r02_ stuck::r07_",
    /// Nothing is sent a second time.
    SentOnce: "--test it -- chain::h04_",
    /// After a restart nobody looks for what is in flight.
    RecoverySkipsInFlight: "--test it -- crash::what_was_sent_is_followed" + sim,
    /// A second try does not wait until the first nonce is spent.
    SecondTryTooEarly: "--test store -- lanes::",
    /// A payment that was signed for can be withdrawn.
    WithdrawnAfterSigning: "--lib -- settlement",
    /// A landing that is undone stays in the ledger.
    ReversalNotVoided: "--test it -- chain::h02_" + sim,
    /// What a transaction cost is counted as nothing.
    CostIsZero: "--lib -- evidence",
    /// What the data cost on the underlying chain is left out.
    DataFeeLeftOut: "--lib -- evidence",
    /// The parts of a shared cost do not come to the whole.
    SharesLoseTheRest: "--lib -- amount",
    /// The second at which a window ends is within it.
    WindowEndsLate: "--lib --test it -- verdict verify::b09_b12_",
    /// The least lifetime of an authorization is not asked for.
    LifetimeIgnored: "--lib -- verdict",
    /// More than was asked for will do.
    MoreIsEnough: "--lib -- verdict",
    /// Who is paid is not compared.
    AnyRecipient: "--lib -- verdict",
    /// The other form of a signature is taken.
    HighSTaken: "--lib -- signature",
    /// Bytes behind a transaction are passed over.
    TrailingBytesTaken: "--lib -- transaction",
    /// Our own accounts may stand in the payer's instructions.
    FeePayerExposed: "--lib -- flaws",
    /// The payer's signature is not checked before the chain is asked.
    SignatureLeftToChain: "--lib -- transaction",
    /// A message that failed in a block that may still be dropped has failed for ever.
    FailedBeforeFinal: "--lib -- sighting",
    /// A transaction that is nowhere has expired, whoever was asked.
    AbsenceNeedsNoSearch: "--lib -- sighting",
    /// Whoever is in a transaction that fails as a whole is to blame.
    NeighboursBlamed: "--test it -- batch::the_innocent_are_paid",
    /// Old facts about a payer's money are trusted.
    OldFactsTrusted: "--test it -- waiting::a_payer_whose_money_is_gone",
    /// The endpoint's address stands in errors.
    EndpointTold: "--lib -- rpc",
    /// A key of a request is used for another.
    KeyTakenTwice: "--test it -- replay::case_74_the_same_key_with_another_body",
    /// An event is not sealed over the one before.
    SealForgetsPast: "--lib -- a_seal_is_over",
    /// What was handed to a dispatcher counts as delivered.
    DispatcherForgets: "--test it -- webhooks::k14_",
    /// What is committed is shown at once, whatever older may still come.
    FeedSkipsLateCommits: "--test store -- feed::",
    /// A statement does not say whose rows it wants, and leaves that to the database.
    TenantNotNamed: "--test store -- tenants::s01_what_is_read",
    /// The database is not told whose rows it may show.
    WallNotTaken: "--test store -- tenants::s01_",
    /// A key that was taken back lets in.
    RevokedLetIn: "--test it -- tenants::s02_",
    /// A key is for everything.
    ScopeIgnored: "--test it -- tenants::a_key_is_for_its_scopes",
    /// Anybody is paid at an account that a merchant has claimed.
    ClaimIgnored: "--lib -- domain::tenant",
}

impl Bug {
    /// Whether it is switched on.
    #[cfg(not(feature = "seeded-bugs"))]
    #[must_use]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether it is switched on.
    ///
    /// # Panics
    /// The environment names a bug that there is not.
    #[cfg(feature = "seeded-bugs")]
    #[must_use]
    pub fn is_on(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
        let choose = || {
            #[expect(clippy::disallowed_methods, reason = "only built to test the tests")]
            let name = std::env::var("FACILITATOR_SEEDED_BUG").ok()?;
            let known = BUGS.iter().find(|(_, known, _)| *known == name);
            #[expect(clippy::panic, reason = "only built to test the tests")]
            let (bug, ..) = known.unwrap_or_else(|| panic!("there is no bug {name}"));
            Some(*bug)
        };
        *CHOSEN.get_or_init(choose) == Some(self)
    }
}
