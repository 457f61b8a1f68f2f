//! A payment as the caller presents it, in words that no dialect and no chain owns.

use sha2::{Digest, Sha256};

use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::labels::Labels;
use crate::domain::network::{NetworkId, RailId, Scheme};
use crate::domain::tenant::TenantId;

/// What is asked: pay `terms` with `proof`.
#[derive(Debug, Clone)]
pub struct PaymentRequest {
    /// The rail the merchant asks for; it decides who judges the payment.
    pub rail: RailId,
    /// What the client says it accepted.
    pub offer: Offer,
    /// What the merchant asks now. Wherever the two differ, this is the one to trust.
    pub terms: Terms,
    /// The signed authorization, unread.
    pub proof: Proof,
    /// What is being bought.
    pub resource: Resource,
    /// The caller's own names for this payment, by which it is settled once.
    pub references: Vec<PaymentReference>,
    /// The gateway's words for it.
    pub labels: Labels,
    /// Whose payment it is on record.
    pub tenant: TenantId,
    /// The envelope it came in. Only part of the digest: an answer is recorded in one envelope's words.
    pub envelope: &'static str,
}

impl PaymentRequest {
    /// SHA-256 over everything that binds money or meaning: envelope, rail, asset, amount, recipient,
    /// resource URL and the authorization. Two requests with one digest ask for the same thing, however
    /// their JSON was laid out.
    #[must_use]
    pub fn digest(&self, authorization: &Authorization) -> [u8; 32] {
        let amount = self.terms.amount.to_string();
        let url = self.resource.url.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        let parts: [&[u8]; 8] = [
            self.envelope.as_bytes(),
            self.rail.scheme.as_str().as_bytes(),
            self.rail.network.as_str().as_bytes(),
            authorization.asset.as_bytes(),
            amount.as_bytes(),
            authorization.pay_to.as_bytes(),
            url.as_bytes(),
            &authorization.body,
        ];
        for part in parts {
            // Length first, so that no two lists of parts run together into the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The requirements that the client accepted.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The scheme it names.
    pub scheme: Scheme,
    /// The network it names; none when the dialect knows no network of that name.
    pub network: Option<NetworkId>,
    /// The price and recipient it names; the merchant's own where the dialect does not repeat them.
    pub terms: Terms,
}

/// The price of something. Addresses are the caller's text: the rail parses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The asset's address, up to 128 bytes.
    pub asset: String,
    /// The recipient's address, up to 128 bytes.
    pub pay_to: String,
    /// The price in atomic units.
    pub amount: Amount,
    /// How long the merchant is willing to wait for settlement; at least 1.
    pub timeout_seconds: u64,
    /// The scheme's own data as JSON text, up to 4 KiB.
    pub extra: Option<Box<str>>,
}

/// The scheme's payload as JSON text: bounded by the size of the body, read only by the rail, never logged.
#[derive(Clone)]
pub struct Proof(pub Box<str>);

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// What the payment buys.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// Its URL, up to 2048 bytes.
    pub url: Option<String>,
}

/// A name that the caller gave to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReference {
    /// Which kind of name it is.
    pub kind: ReferenceKind,
    /// The name: 1 to 255 visible ASCII characters.
    pub value: String,
}

/// Kinds of names. A value is unique within its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// The `payment-identifier` extension's id.
    PaymentIdentifier,
    /// The `Idempotency-Key` header.
    IdempotencyKey,
}

impl ReferenceKind {
    /// The stored name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentIdentifier => "payment_identifier",
            Self::IdempotencyKey => "idempotency_key",
        }
    }
}
