//! Statements that follow one another, and trees whose leaves can be shown.

use super::*;

fn account() -> Account {
    Account {
        network: "eip155:8453".parse().unwrap(),
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
    }
}

const DAY: Period = Period {
    starts: Timestamp(86_400),
    ends: Timestamp(172_800),
};

fn line(number: u64, amount: u128, time: u64) -> Line {
    Line {
        payment: PaymentId::from_uuid(uuid::Uuid::from_u128(u128::from(number))),
        amount: Amount::from_units(amount),
        tx: TxId(format!("0x{number}")),
        log_index: number,
        block: ChainPoint {
            height: number,
            hash: format!("0xb{number}"),
            time: Timestamp(time),
        },
    }
}

#[test]
fn a_statement_opens_where_the_one_before_closed_and_names_it() {
    let first = Statement::close(account(), None, DAY, &[line(1, 10, 90_000), line(2, 5, 100_000)]).unwrap();
    assert_eq!((first.sequence, first.opening, first.previous), (1, Amount::ZERO, None));
    assert_eq!(first.closing, Amount::from_units(15));
    let next = Period {
        starts: DAY.ends,
        ends: Timestamp(259_200),
    };
    let second = Statement::close(
        account(),
        Some(&first),
        next,
        &[line(3, 1, 100_001), line(4, 2, 172_800)],
    )
    .unwrap();
    assert_eq!((second.sequence, second.opening), (2, first.closing));
    assert_eq!(second.closing, Amount::from_units(18));
    assert_eq!((second.lines, second.late), (2, 1));
    assert_eq!(second.previous, Some(first.hash()));
}

#[test]
fn whatever_is_changed_on_a_statement_changes_its_hash() {
    let lines = [line(1, 10, 90_000), line(2, 5, 100_000)];
    let whole = Statement::close(account(), None, DAY, &lines).unwrap();
    let changed = |change: fn(&mut [Line; 2])| {
        let mut other = lines.clone();
        change(&mut other);
        Statement::close(account(), None, DAY, &other).unwrap().hash()
    };
    assert_eq!(changed(|_| ()), whole.hash());
    let of_lines: [fn(&mut [Line; 2]); 8] = [
        |it| it.swap(0, 1),
        |it| it[0].payment = it[1].payment,
        |it| it[0].amount = Amount::from_units(11),
        |it| it[0].tx = TxId("0x3".into()),
        |it| it[0].log_index = 9,
        |it| it[0].block.height = 9,
        |it| it[0].block.hash = "0xb9".into(),
        |it| it[0].block.time = Timestamp(90_001),
    ];
    for (number, change) in of_lines.into_iter().enumerate() {
        assert_ne!(changed(change), whole.hash(), "change {number}");
    }
    let of_totals: [fn(&mut Statement); 7] = [
        |it| it.account.pay_to = "0xOther".into(),
        |it| it.sequence = 2,
        |it| it.period.ends = Timestamp(172_801),
        |it| it.opening = Amount::from_units(1),
        |it| it.closing = Amount::from_units(14),
        |it| it.late = 1,
        |it| it.previous = Some([0; 32]),
    ];
    for (number, change) in of_totals.into_iter().enumerate() {
        let mut other = whole.clone();
        change(&mut other);
        assert_ne!(other.hash(), whole.hash(), "change {number}");
    }
}

#[test]
fn sums_beyond_all_amounts_close_nothing() {
    let lines = [line(1, u128::MAX, 90_000), line(2, 1, 90_000)];
    assert_eq!(Statement::close(account(), None, DAY, &lines), Err(TooMuch));
    let first = Statement::close(account(), None, DAY, &lines[..1]).unwrap();
    assert_eq!(
        Statement::close(account(), Some(&first), DAY, &lines[1..]),
        Err(TooMuch)
    );
}

/// The leaves and roots of the test vectors that Certificate Transparency's implementations share.
#[test]
fn the_root_is_the_one_of_rfc_9162() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let leaves = inputs.map(|input| Sha256::new().chain_update([0]).chain_update(input).finalize().into());
    for (size, expected) in [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ] {
        assert_eq!(hex::encode(root(&leaves[..size])), expected, "{size} leaves");
    }
}

#[test]
fn a_leaf_is_shown_by_its_path_and_no_other_is() {
    let leaves: Vec<Hash> = (0..13).map(|number| line(number, 1, 90_000).leaf()).collect();
    for size in 1..=leaves.len() {
        let leaves = &leaves[..size];
        for (index, leaf) in leaves.iter().enumerate() {
            let path = inclusion(leaves, index).unwrap();
            assert_eq!(root_of(leaf, index, size, &path), Some(root(leaves)));
            assert_ne!(root_of(&[7; 32], index, size, &path), Some(root(leaves)));
            assert_eq!(root_of(leaf, size, size, &path), None, "there is no such place");
            assert_eq!(
                root_of(leaf, index, size, &[path.as_slice(), &[[0; 32]]].concat()),
                None
            );
        }
        assert_eq!(inclusion(leaves, size), None);
    }
}
