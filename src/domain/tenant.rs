//! Who asks: the tenant whose records a request sees, and what its key lets it do.
//!
//! A gateway's key is `x402_`, 26 digits that name it, `_`, 64 hexadecimal digits of secret and 8 that check all before them:
//! whoever looks through texts for leaked keys finds it by `x402_[0-9a-z]{26}_[0-9a-f]{72}`, and one that was mistyped is known
//! for none without asking the database. It is shown once. What is kept is an HMAC-SHA-256 of it, whose key is derived from a
//! secret that the database does not have: whoever reads the database can neither use a key nor try guesses.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use crate::domain::id::{KeyId, MerchantId, TenantId};
use crate::domain::network::NetworkId;
use crate::domain::signing::Secret;
use crate::seeded::Bug;

const PREFIX: &str = "x402_";

/// Bytes of the checksum, written as twice as many digits.
const CHECK: usize = 4;

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `/verify`.
    Verify,
    /// `/settle`.
    Settle,
    /// To read the tenant's records.
    Read,
    /// To order and read files made of them, and to hold its own against them.
    Reports,
    /// To record refunds and to take them back, and to handle exceptions.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Verify, Self::Settle, Self::Read, Self::Reports, Self::Admin];

    /// The scope's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Settle => "settle",
            Self::Read => "read",
            Self::Reports => "reports",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Whether it moves money and shows no records.
    #[must_use]
    pub const fn moves(self) -> bool {
        matches!(self, Self::Verify | Self::Settle)
    }
}

/// A gateway's key, as it is shown once and presented ever after.
pub struct GatewayKey {
    /// Its public part.
    pub id: KeyId,
    secret: Zeroizing<[u8; 32]>,
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a key: x402_, 26 digits, _ and 72 hexadecimal digits, the last 8 of which check the others")]
pub struct NotAKey;

impl GatewayKey {
    /// A new key of these random bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            id: KeyId::mint(),
            secret: Zeroizing::new(secret),
        }
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self, pepper: &Secret) -> [u8; 32] {
        self.mac(pepper).finalize().into_bytes().into()
    }

    /// Whether this is what was kept of it. Takes as long for every other hash, however much of it is the same.
    #[must_use]
    pub fn is_of(&self, hash: &[u8; 32], pepper: &Secret) -> bool {
        self.mac(pepper).verify_slice(hash).is_ok()
    }

    fn mac(&self, pepper: &Secret) -> Hmac<Sha256> {
        // As long as a block of the hash, which is what HMAC makes of a shorter key.
        let mut block = Zeroizing::new([0; 64]);
        block
            .iter_mut()
            .zip(pepper.derive(&["gateway key"]).iter())
            .for_each(|(to, from)| *to = *from);
        <Hmac<Sha256> as Mac>::new(&(*block).into())
            .chain_update(self.id.as_uuid().as_bytes())
            .chain_update(*self.secret)
    }

    /// The key's text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex::encode(*self.secret));
        let body = Zeroizing::new(format!("{}_{}", self.id_digits(), *secret));
        Zeroizing::new(format!("{PREFIX}{}{}", *body, hex::encode(check(&body))))
    }

    fn id_digits(&self) -> String {
        self.id.to_string().trim_start_matches("key_").to_owned()
    }
}

/// The first bytes of SHA-256 over what is checked.
fn check(body: &str) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::digest(body.as_bytes()).into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

impl fmt::Debug for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for GatewayKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(PREFIX).ok_or(NotAKey)?;
        let at = rest.len().checked_sub(2 * CHECK).ok_or(NotAKey)?;
        let (body, checked) = rest.split_at_checked(at).ok_or(NotAKey)?;
        if hex::encode(check(body)) != checked {
            return Err(NotAKey);
        }
        let (id, digits) = body.split_once('_').ok_or(NotAKey)?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *secret).map_err(|_| NotAKey)?;
        Ok(Self {
            id: format!("key_{id}").parse().map_err(|_| NotAKey)?,
            secret,
        })
    }
}

/// What a key is restricted to; to nothing where it says nothing. Accounts are in the rails' canonical text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// To payments on these networks.
    pub networks: Option<Vec<NetworkId>>,
    /// To payments in these assets.
    pub assets: Option<Vec<String>>,
    /// To payments to these accounts.
    pub pay_to: Option<Vec<String>>,
}

/// What a request may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Whose records it sees.
    pub tenant: TenantId,
    /// The merchant that its payments have to be to.
    pub merchant: Option<MerchantId>,
    /// The key that it came with.
    pub key: KeyId,
    /// What the key may be used for.
    pub scopes: Vec<Scope>,
    /// What the key is restricted to.
    pub restrictions: Restrictions,
}

/// A payment that a key may not be used for: which field of the request says so, and what its key has there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: the key is not for {what}")]
pub struct Barred {
    /// The field.
    pub field: &'static str,
    /// What it may not be used for.
    pub what: &'static str,
}

/// Where payments may go: which merchant of which tenant has the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The tenant.
    pub tenant: TenantId,
    /// Its merchant.
    pub merchant: MerchantId,
}

impl Access {
    /// Whether its key is for this.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may verify and settle such a payment, whose recipient is this holder's account, or nobody's.
    ///
    /// # Errors
    /// The first field that its key is not for.
    pub fn admits(&self, network: &NetworkId, asset: &str, pay_to: &str, holder: Option<Holder>) -> Result<(), Barred> {
        let Restrictions {
            networks,
            assets,
            pay_to: accounts,
        } = &self.restrictions;
        let barred = |field, what| Err(Barred { field, what });
        if networks.as_ref().is_some_and(|it| !it.contains(network)) {
            return barred("network", "this network");
        }
        if assets.as_ref().is_some_and(|it| it.iter().all(|one| one != asset)) {
            return barred("asset", "this asset");
        }
        let is_elsewhere = accounts.as_ref().is_some_and(|it| it.iter().all(|one| one != pay_to));
        let is_anothers = holder.is_some_and(|it| it.tenant != self.tenant) && !Bug::ClaimIgnored.is_on();
        let is_not_merchants = self.merchant.is_some() && holder.map(|it| it.merchant) != self.merchant;
        if is_elsewhere || is_anothers || is_not_merchants {
            return barred("payTo", "payments to this account");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pepper(digit: &str) -> Secret {
        serde_json::from_value(json!(digit.repeat(64))).unwrap()
    }

    #[test]
    fn a_key_survives_its_text_and_one_that_was_mistyped_is_none() {
        let key = GatewayKey::new([7; 32]);
        let text = key.reveal();
        assert_eq!(text.len(), 5 + 26 + 1 + 72);
        let again: GatewayKey = text.parse().unwrap();
        assert_eq!((again.id, again.hash(&pepper("1"))), (key.id, key.hash(&pepper("1"))));
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'1' { b'2' } else { b'1' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(wrong.parse::<GatewayKey>().err(), Some(NotAKey), "{at}");
        }
        for bad in [
            "",
            "x402_",
            "x402_é",
            &text[1..],
            &format!("{}0", *text),
            &text.to_uppercase(),
        ] {
            assert!(bad.parse::<GatewayKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn s06_what_is_kept_of_a_key_is_of_that_key_and_that_pepper_alone() {
        let (key, other) = (GatewayKey::new([7; 32]), GatewayKey::new([7; 32]));
        let kept = key.hash(&pepper("1"));
        assert!(key.is_of(&kept, &pepper("1")));
        assert!(!key.is_of(&kept, &pepper("2")));
        assert!(!other.is_of(&kept, &pepper("1")), "the same secret under another name");
        for byte in 0..32 {
            let mut wrong = kept;
            wrong[byte] ^= 1;
            assert!(!key.is_of(&wrong, &pepper("1")), "{byte}");
        }
        let shown = format!("GatewayKey {{ id: {:?}, .. }}", key.id);
        assert_eq!(format!("{key:?}"), shown, "the secret is never shown");
    }

    #[test]
    fn a_key_is_for_what_it_names_and_for_accounts_that_are_no_other_tenants() {
        let (tenant, merchant) = (TenantId::mint(), MerchantId::mint());
        let network = |name: &str| -> NetworkId { name.parse().unwrap() };
        let free = Access {
            tenant,
            merchant: None,
            key: KeyId::mint(),
            scopes: vec![Scope::Settle],
            restrictions: Restrictions::default(),
        };
        let narrow = Access {
            restrictions: Restrictions {
                networks: Some(vec![network("eip155:1")]),
                assets: Some(vec!["usdc".into()]),
                pay_to: Some(vec!["us".into()]),
            },
            ..free.clone()
        };
        let bound = Access {
            merchant: Some(merchant),
            ..free.clone()
        };
        let ours = Some(Holder { tenant, merchant });
        let sisters = Some(Holder {
            tenant,
            merchant: MerchantId::mint(),
        });
        let theirs = Some(Holder {
            tenant: TenantId::mint(),
            merchant,
        });
        for (access, chain, asset, pay_to, holder, field) in [
            (&free, "eip155:2", "any", "anybody", None, None),
            (&free, "eip155:2", "any", "anybody", sisters, None),
            (&free, "eip155:2", "any", "anybody", theirs, Some("payTo")),
            (&narrow, "eip155:1", "usdc", "us", None, None),
            (&narrow, "eip155:2", "usdc", "us", None, Some("network")),
            (&narrow, "eip155:1", "eurc", "us", None, Some("asset")),
            (&narrow, "eip155:1", "usdc", "them", None, Some("payTo")),
            (&bound, "eip155:1", "usdc", "us", ours, None),
            (&bound, "eip155:1", "usdc", "us", sisters, Some("payTo")),
            (&bound, "eip155:1", "usdc", "us", None, Some("payTo")),
        ] {
            let admitted = access.admits(&network(chain), asset, pay_to, holder);
            assert_eq!(admitted.err().map(|it| it.field), field, "{chain} {asset} {pay_to}");
        }
        assert!(free.has(Scope::Settle) && !free.has(Scope::Read));
    }
}
