//! Who keeps our keys when this process does not, and how one is asked for a signature.
//!
//! Knows neither transactions nor chains: what may be signed is decided in `evm/policy.rs` and `solana/policy.rs`, and a
//! [`Keeper`] can be asked only for what one of them has allowed. What it answers is bytes from elsewhere: whose signature
//! they are is for the chain's family to find out before they are used.

mod aws;
mod der;
mod gcp;
mod http;
mod keystore;
mod remote;
mod settings;
mod turnkey;
mod vault;
mod web3signer;

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use metrics::SharedString;

pub use self::keystore::Settings as KeystoreSettings;
pub use self::settings::{Kept, Source};
use crate::domain::network::NetworkId;

/// How long a keeper may take for one signature. It stays below half of what a caller of `/settle` waits, so that a second
/// try may still be in time.
const PATIENCE: Duration = Duration::from_secs(5);

/// A signature without what some schemes add to it: r and s of ECDSA, R and S of Ed25519, 32 bytes each.
pub(super) type Compact = [u8; 64];

/// What a policy has allowed to be signed. Implemented by the two policies and by nothing else (`tests/tidy.rs`).
pub(super) trait Permit {
    /// The bytes.
    fn wanted(&self) -> Wanted<'_>;
}

/// Bytes to be signed.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// By ECDSA on secp256k1.
    Secp256k1 {
        /// The whole message, so that a keeper can judge it by itself.
        message: &'a [u8],
        /// Its Keccak-256, which is what is signed.
        digest: [u8; 32],
    },
    /// By Ed25519.
    Ed25519 {
        /// The message.
        message: &'a [u8],
    },
}

/// Why there is no signature: what the keeper said or did, bounded, without addresses, keys or what was to be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{keeper} {what}")]
pub(super) struct Unheard {
    /// Who.
    pub(super) keeper: &'static str,
    /// What.
    pub(super) what: String,
}

/// One key that is kept elsewhere, and who is asked for its signatures: of what a `P` permits.
pub(super) struct Keeper<P> {
    backend: Backend,
    network: SharedString,
    signer: SharedString,
    permits: PhantomData<fn(&P)>,
}

enum Backend {
    Aws(Box<aws::Kms>),
    Gcp(Box<gcp::Kms>),
    Turnkey(Box<turnkey::Turnkey>),
    Vault(Box<vault::Vault>),
    Web3signer(web3signer::Web3signer),
    Remote(remote::Remote),
}

impl<P: Permit> Keeper<P> {
    /// Whoever keeps the key, by these settings. Nothing is connected to.
    ///
    /// # Errors
    /// Names the key of the table and what was expected there.
    pub(super) fn new(network: &NetworkId, kept: &Kept) -> Result<Self, String> {
        let backend = match kept {
            Kept::Keystore(_) => return Err("a keystore is opened, not asked".to_owned()),
            Kept::AwsKms(settings) => Backend::Aws(Box::new(aws::Kms::new(settings)?)),
            Kept::GcpKms(settings) => Backend::Gcp(Box::new(gcp::Kms::new(settings)?)),
            Kept::Turnkey(settings) => Backend::Turnkey(Box::new(turnkey::Turnkey::new(settings)?)),
            Kept::Vault(settings) => Backend::Vault(Box::new(vault::Vault::new(settings)?)),
            Kept::Web3signer(settings) => Backend::Web3signer(web3signer::Web3signer::new(settings)?),
            Kept::Remote(settings) => Backend::Remote(remote::Remote::new(settings)?),
        };
        Ok(Self {
            backend,
            network: network.to_string().into(),
            signer: kept.address().to_owned().into(),
            permits: PhantomData,
        })
    }

    /// Who is asked, in plain words.
    pub(super) const fn name(&self) -> &'static str {
        match &self.backend {
            Backend::Aws(_) => aws::NAME,
            Backend::Gcp(_) => gcp::NAME,
            Backend::Turnkey(_) => turnkey::NAME,
            Backend::Vault(_) => vault::NAME,
            Backend::Web3signer(_) => web3signer::NAME,
            Backend::Remote(_) => remote::NAME,
        }
    }

    /// Asks once, and waits for 5 s at most.
    ///
    /// # Errors
    /// There is no signature, or none was heard of: the keeper may have made one all the same.
    pub(super) async fn sign(&self, permit: &P) -> Result<Compact, Unheard> {
        let began = Instant::now();
        let asked = tokio::time::timeout(PATIENCE, self.ask(permit.wanted())).await;
        metrics::histogram!(
            "facilitator_custody_duration_seconds",
            "network" => self.network.clone(),
            "signer" => self.signer.clone()
        )
        .record(began.elapsed());
        let answer = asked.unwrap_or_else(|_| Err("gave no answer in time".to_owned()));
        answer.map_err(|what| self.fault(what))
    }

    /// What it answered was no signature of this key, or none at all: counted, since a key that cannot be used is for an
    /// operator to look after.
    pub(super) fn fault(&self, what: String) -> Unheard {
        metrics::counter!(
            "facilitator_custody_faults_total",
            "network" => self.network.clone(),
            "signer" => self.signer.clone()
        )
        .increment(1);
        let keeper = self.name();
        Unheard { keeper, what }
    }

    async fn ask(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        match &self.backend {
            Backend::Aws(kms) => kms.sign(wanted).await,
            Backend::Gcp(kms) => kms.sign(wanted).await,
            Backend::Turnkey(turnkey) => turnkey.sign(wanted).await,
            Backend::Vault(vault) => vault.sign(wanted).await,
            Backend::Web3signer(web3signer) => web3signer.sign(wanted).await,
            Backend::Remote(remote) => remote.sign(wanted).await,
        }
    }
}

impl<P> fmt::Debug for Keeper<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.signer).finish()
    }
}

/// Hexadecimal digits, with or without `0x`, as so many bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.trim();
    hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), &mut bytes).ok()?;
    Some(bytes)
}

/// Two halves of a signature.
fn joined(first: [u8; 32], second: [u8; 32]) -> Compact {
    let mut whole = [0; 64];
    for (to, from) in whole.iter_mut().zip(first.iter().chain(&second)) {
        *to = *from;
    }
    whole
}
