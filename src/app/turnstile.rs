//! How often somebody may ask: a bucket of tokens for each key, payer and client address.
//!
//! Each process counts for itself, so that with several of them the rates add up; what may be spent in all is bounded by
//! budgets, which all of them share ([`crate::domain::budget`]). A bucket is kept as the time at which it is full again (the
//! generic cell rate algorithm, ITU-T I.371), and one that is full need not be kept at all.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// Buckets that are kept of each kind, some 200 bytes each. Where more have asked, the fullest is forgotten: whoever owns it
/// gains the least by that.
const BUCKETS_MAX: usize = 65_536;

/// Bits of an IPv6 address that tell one client from another: what a site is given (RFC 6177), and may choose freely within.
const SITE_BITS: u32 = 64;

/// How often each may ask. What is not named is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// With one key.
    pub key: Option<Rate>,
    /// For payments of one payer, with the same key.
    pub payer: Option<Rate>,
    /// From one client address, IPv6 by its first 64 bits.
    pub address: Option<Rate>,
    /// How many proxies stand in front, each of which adds whom it heard to `X-Forwarded-For`: the address that the first of
    /// them saw is the client's. 0 where clients connect directly; then the header says nothing.
    pub trusted_hops: u8,
}

/// A bucket's size, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests in a minute, for as long as one likes.
    pub per_minute: NonZeroU32,
    /// Requests at once, after a pause.
    pub burst: NonZeroU32,
}

/// Whose requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those with one key.
    Key,
    /// Those about one payer's payments.
    Payer,
    /// Those from one address.
    Address,
}

/// One asks too often. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct Refusal {
    /// Whose requests were too many.
    pub whose: Whose,
    /// How many there may be.
    pub rate: Rate,
    /// Seconds until there may be another; at least 1.
    pub ends_in: u64,
}

/// Lets requests pass that are within the rates.
pub struct Turnstile {
    settings: Settings,
    began: Instant,
    keys: Mutex<Buckets>,
    payers: Mutex<Buckets>,
    addresses: Mutex<Buckets>,
}

impl Whose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Key, Self::Payer, Self::Address];

    /// Its name, for metrics and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Payer => "payer",
            Self::Address => "address",
        }
    }
}

impl Rate {
    /// How long a bucket takes to gain a token.
    fn interval(self) -> Duration {
        Duration::from_mins(1)
            .checked_div(self.per_minute.get())
            .unwrap_or_default()
    }

    /// How long an empty bucket takes to be full.
    #[must_use]
    pub fn window(self) -> Duration {
        self.interval().saturating_mul(self.burst.get())
    }
}

impl Refusal {
    fn words(&self) -> String {
        let (Rate { per_minute, burst }, ends_in) = (self.rate, self.ends_in);
        let whose = match self.whose {
            Whose::Key => "with this key",
            Whose::Payer => "for this payer",
            Whose::Address => "from this address",
        };
        format!(
            "at most {per_minute} requests a minute and {burst} at once are served {whose}; nothing was done, try again in \
             {ends_in} s"
        )
    }
}

impl Turnstile {
    /// One that nobody has passed yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            began: Instant::now(),
            keys: Mutex::default(),
            payers: Mutex::default(),
            addresses: Mutex::default(),
        }
    }

    /// How many proxies are trusted to say whom they heard.
    #[must_use]
    pub const fn trusted_hops(&self) -> u8 {
        self.settings.trusted_hops
    }

    /// Counts a request from this address.
    ///
    /// # Errors
    /// There were too many.
    pub fn pass_address(&self, address: IpAddr) -> Result<(), Refusal> {
        self.pass(Whose::Address, || site(address).to_string())
    }

    /// Counts a request of whoever is called that; a name is short, and tells nobody from another by accident.
    ///
    /// # Errors
    /// There were too many.
    pub fn pass(&self, whose: Whose, who: impl FnOnce() -> String) -> Result<(), Refusal> {
        let (rate, buckets) = match whose {
            Whose::Key => (self.settings.key, &self.keys),
            Whose::Payer => (self.settings.payer, &self.payers),
            Whose::Address => (self.settings.address, &self.addresses),
        };
        let Some(rate) = rate else {
            return Ok(());
        };
        let taken = {
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.take(&who(), rate, self.began.elapsed())
        };
        taken.map_err(|wait| {
            metrics::counter!("facilitator_rate_limited_total", "gate" => whose.as_str()).increment(1);
            Refusal {
                whose,
                rate,
                ends_in: wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)),
            }
        })
    }
}

/// The address as limits count it: IPv4 also where it comes in IPv6's clothes, and of IPv6 the site.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mask = u128::MAX << (Ipv6Addr::BITS.saturating_sub(SITE_BITS));
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// Buckets that are not full, by their owners and by when they will be. Times count from one fixed instant.
#[derive(Default)]
struct Buckets {
    full_at: HashMap<Arc<str>, Duration>,
    fullest: BTreeSet<(Duration, Arc<str>)>,
}

impl Buckets {
    /// Takes a token, or says how long it takes until there is one.
    fn take(&mut self, who: &str, rate: Rate, now: Duration) -> Result<(), Duration> {
        self.forget(now);
        let was_full_at = self.full_at.get(who).copied().unwrap_or_default();
        let full_at = was_full_at.max(now).saturating_add(rate.interval());
        let wait = full_at.saturating_sub(now).saturating_sub(rate.window());
        if !wait.is_zero() {
            return Err(wait);
        }
        let who: Arc<str> = who.into();
        if self.full_at.insert(Arc::clone(&who), full_at).is_some() {
            self.fullest.remove(&(was_full_at, Arc::clone(&who)));
        } else if self.full_at.len() > BUCKETS_MAX {
            self.forget_fullest();
        }
        self.fullest.insert((full_at, who));
        Ok(())
    }

    /// Forgets the buckets that are full.
    fn forget(&mut self, now: Duration) {
        while self.fullest.first().is_some_and(|(full_at, _)| *full_at <= now) {
            self.forget_fullest();
        }
    }

    fn forget_fullest(&mut self) {
        if let Some((_, who)) = self.fullest.pop_first() {
            self.full_at.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate {
            per_minute: NonZeroU32::new(per_minute).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_at_its_rate() {
        // A token a second, three at once; what a refused request hears is when to come again, in milliseconds.
        let mut buckets = Buckets::default();
        for (millis, who, answer) in [
            (0, "a", Ok(())),
            (0, "a", Ok(())),
            (0, "a", Ok(())),
            (0, "a", Err(1000)),
            (0, "b", Ok(())),
            (400, "a", Err(600)),
            (999, "a", Err(1)),
            (1000, "a", Ok(())),
            (1000, "a", Err(1000)),
            (3000, "a", Ok(())),
            (3000, "a", Ok(())),
            (3000, "a", Err(1000)),
            (90_000, "a", Ok(())),
            (90_000, "a", Ok(())),
            (90_000, "a", Ok(())),
            (90_000, "a", Err(1000)),
        ] {
            let taken = buckets.take(who, rate(60, 3), at(millis));
            assert_eq!(taken, answer.map_err(at), "{who} at {millis}");
        }
    }

    #[test]
    fn only_buckets_that_are_not_full_are_kept() {
        let mut buckets = Buckets::default();
        for who in 0..100 {
            buckets.take(&format!("{who}"), rate(60, 3), at(10 * who)).unwrap();
        }
        assert_eq!(buckets.full_at.len(), 100);
        buckets.take("last", rate(60, 3), at(1500)).unwrap();
        assert_eq!((buckets.full_at.len(), buckets.fullest.len()), (50, 50));
    }

    #[test]
    fn no_crowd_makes_it_forget_who_asks_too_often() {
        let mut buckets = Buckets::default();
        let spent = |buckets: &mut Buckets| buckets.take("greedy", rate(60, 3), at(0)).is_err();
        for _ in 0..3 {
            assert!(!spent(&mut buckets));
        }
        for who in 0..BUCKETS_MAX + 100 {
            buckets.take(&format!("{who}"), rate(60, 3), at(0)).unwrap();
        }
        assert!(spent(&mut buckets));
        assert_eq!(
            (buckets.full_at.len(), buckets.fullest.len()),
            (BUCKETS_MAX, BUCKETS_MAX)
        );
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_site() {
        for (address, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(site(address.parse().unwrap()).to_string(), counted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_gate_has_its_own_rate_or_none() {
        let turnstile = Turnstile::new(Settings {
            key: Some(rate(600, 2)),
            payer: Some(rate(2, 1)),
            ..Settings::default()
        });
        let pass = |whose, who: &str| turnstile.pass(whose, || who.to_owned()).map_err(|it| it.ends_in);
        for (whose, who, answer) in [
            (Whose::Key, "a", Ok(())),
            (Whose::Payer, "a", Ok(())),
            (Whose::Key, "a", Ok(())),
            (Whose::Key, "a", Err(1)),
            (Whose::Payer, "a", Err(30)),
            (Whose::Payer, "b", Ok(())),
            (Whose::Address, "a", Ok(())),
        ] {
            assert_eq!(pass(whose, who), answer, "{whose:?} {who}");
        }
        assert!(turnstile.pass_address([192, 0, 2, 1].into()).is_ok());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(pass(Whose::Payer, "a"), Ok(()));
    }

    #[test]
    fn a_refusal_says_whose_requests_are_too_many() {
        for whose in Whose::ALL {
            let refusal = Refusal {
                whose,
                rate: rate(60, 3),
                ends_in: 7,
            };
            let words = refusal.to_string();
            assert!(words.starts_with("at most 60 requests a minute and 3 at once are served "));
            assert!(words.contains(whose.as_str()) && words.ends_with("nothing was done, try again in 7 s"));
        }
    }
}
