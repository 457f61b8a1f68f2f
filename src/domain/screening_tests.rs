//! What the sources show, and what is decided by it.

use super::Decision::{Clear, Denied, NotChecked};
use super::*;

const PAYER: &str = "0xAbCdEf0123456789aBcDeF0123456789abcdef01";
const SHOP: &str = "0x0000000000000000000000000000000000000002";

fn network(name: &str) -> NetworkId {
    name.parse().unwrap()
}

fn policy(lets_unchecked_pass: bool) -> Policy {
    let source = |name, networks| Source { name, networks };
    Policy::On(Rules {
        version: "0123456789abcdef".into(),
        sources: vec![source("list", None), source("oracle", Some(vec![network("eip155:1")]))],
        lets_unchecked_pass,
    })
}

fn look(source: &'static str, address: &str, found: Found) -> Look {
    Look {
        source,
        version: "edition".into(),
        address: key(address).into_owned(),
        found,
    }
}

fn listed() -> Found {
    Found::Listed(Entry {
        reference: "39796".into(),
        reason: "CYBER2".into(),
    })
}

fn all_clear() -> Vec<Look> {
    let sources = ["list", "oracle"];
    let of = |address| sources.map(|source| look(source, address, Found::Clear));
    [of(PAYER), of(SHOP)].concat()
}

fn decided(looks: &[Look], at: &str, lets_pass: bool) -> (Decision, bool) {
    let network = network(at);
    let parties = Parties {
        network: &network,
        payer: PAYER,
        pay_to: SHOP,
    };
    match judge(&policy(lets_pass), Stage::Settle, parties, looks) {
        Ok(ticket) => (ticket.decision(), true),
        Err(denial) => (denial.evidence.decision, false),
    }
}

/// What the second look becomes, where, and what is decided: by strict rules, and by lenient ones.
#[test]
fn any_source_denies_and_what_was_not_asked_is_never_clear() {
    let with = |at: usize, found: Found| {
        let mut looks = all_clear();
        looks[at].found = found;
        looks
    };
    let without = |at: usize| {
        let mut looks = all_clear();
        looks.remove(at);
        looks
    };
    let both = {
        let mut looks = with(0, Found::Unchecked("down"));
        looks[3].found = listed();
        looks
    };
    let elsewhere = vec![look("list", PAYER, Found::Clear), look("list", SHOP, Found::Clear)];
    let here = "eip155:1";
    for (name, looks, at, decision, lenient) in [
        ("all clear", all_clear(), here, Clear, true),
        ("the payer is listed", with(0, listed()), here, Denied, false),
        (
            "the payer is known to the oracle",
            with(1, listed()),
            here,
            Denied,
            false,
        ),
        ("the recipient is listed", with(2, listed()), here, Denied, false),
        (
            "the recipient is known to the oracle",
            with(3, listed()),
            here,
            Denied,
            false,
        ),
        (
            "a list is too old",
            with(0, Found::Unchecked("old")),
            here,
            NotChecked,
            true,
        ),
        (
            "the oracle is down",
            with(3, Found::Unchecked("down")),
            here,
            NotChecked,
            true,
        ),
        ("one is down, another has something", both, here, Denied, false),
        (
            "nobody asked the oracle about the payer",
            without(1),
            here,
            NotChecked,
            true,
        ),
        ("nobody was asked", Vec::new(), here, NotChecked, true),
        (
            "the oracle is of another network",
            elsewhere.clone(),
            "eip155:2",
            Clear,
            true,
        ),
        ("the oracle is of this network", elsewhere, here, NotChecked, true),
        (
            "an unknown source counts for nothing",
            vec![look("rumour", PAYER, Found::Clear)],
            here,
            NotChecked,
            true,
        ),
    ] {
        assert_eq!(decided(&looks, at, false), (decision, decision == Clear), "{name}");
        assert_eq!(decided(&looks, at, true), (decision, lenient), "{name}");
    }
}

#[test]
fn screening_that_is_off_says_so_and_is_no_clearance() {
    let network = network("eip155:1");
    let parties = Parties {
        network: &network,
        payer: PAYER,
        pay_to: SHOP,
    };
    let ticket = judge(&Policy::Off, Stage::Settle, parties, &[look("list", PAYER, listed())]).unwrap();
    assert_eq!((ticket.decision(), ticket.evidence()), (Decision::Off, None));
}

#[test]
fn what_the_caller_hears_names_neither_who_nor_which_list() {
    let network = network("eip155:1");
    let parties = Parties {
        network: &network,
        payer: PAYER,
        pay_to: SHOP,
    };
    let mut looks = all_clear();
    looks[0].found = listed();
    let denial = judge(&policy(false), Stage::Verify, parties, &looks).unwrap_err();
    assert_eq!(denial.rejection(), Rejection::Screened);
    for secret in [PAYER, "39796", "CYBER2", "list"] {
        assert!(!denial.rejection().to_string().contains(secret), "{secret}");
    }
    for kept in ["39796", "CYBER2", "payer", "edition"] {
        assert!(denial.evidence.body.contains(kept), "{kept}");
    }
    let unasked = judge(&policy(false), Stage::Verify, parties, &[]).unwrap_err();
    assert_eq!(unasked.rejection(), Rejection::Unscreened);
}

#[test]
fn evm_addresses_fold_and_all_others_stay_as_they_are() {
    for (address, folded) in [
        (PAYER, "0xabcdef0123456789abcdef0123456789abcdef01"),
        (
            "0XABCDEF0123456789ABCDEF0123456789ABCDEF01",
            "0xabcdef0123456789abcdef0123456789abcdef01",
        ),
        ("0xABC", "0xABC"),
        (
            "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
            "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
        ),
        ("bc1QAR0SRRR7", "bc1QAR0SRRR7"),
    ] {
        assert_eq!(key(address), folded);
    }
}

#[test]
fn a_seal_is_over_all_of_it() {
    let evidence = Evidence {
        id: ScreeningId::mint(),
        stage: Stage::Settle,
        decision: Decision::Clear,
        policy: "p".into(),
        network: network("eip155:1"),
        body: "{}".into(),
    };
    let mut others = vec![evidence.clone(); 6];
    others[0].id = ScreeningId::mint();
    others[1].stage = Stage::Refund;
    others[2].decision = Decision::NotChecked;
    others[3].policy = "q".into();
    others[4].network = network("eip155:2");
    others[5].body = "{ }".into();
    assert_eq!(evidence.seal(), evidence.clone().seal());
    for other in others {
        assert_ne!(other.seal(), evidence.seal(), "{other:?}");
    }
}
