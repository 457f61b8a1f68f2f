//! Heights of blockhashes, from a sysvar and one known height.

use super::*;

fn hash(block: u64) -> Hash {
    let mut bytes = [0xaa; 32];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    Hash::new_from_array(bytes)
}

/// The sysvar as of this block, listing so many.
fn sysvar(newest: u64, count: u64) -> Vec<u8> {
    let mut data = count.to_le_bytes().to_vec();
    for age in 0..count {
        data.extend(hash(newest.checked_sub(age).unwrap()).to_bytes());
        data.extend(5_000_u64.to_le_bytes());
    }
    data
}

fn latest(block: u64) -> LatestBlockhash {
    LatestBlockhash {
        blockhash: hash(block),
        last_valid_block_height: block.checked_add(BLOCKHASH_BLOCKS).unwrap(),
    }
}

fn left(known: &Blockhashes, block: u64) -> (u64, u64) {
    let lifetime = known.lifetime(&hash(block));
    (lifetime.height, lifetime.blocks_left)
}

#[test]
fn one_known_height_gives_all() {
    // The newest blockhash and the sysvar may be of different blocks.
    for named in [1_000, 999, 900, 851] {
        let mut known = Blockhashes::default();
        known.learn(latest(named), &sysvar(1_000, 150)).unwrap();
        for (block, expected) in [(1_000, (1_000, 150)), (999, (999, 149)), (851, (851, 1))] {
            assert!(known.knows(&hash(block)));
            assert_eq!(left(&known, block), expected, "{named}");
        }
        assert!(!known.knows(&hash(850)) && !known.knows(&hash(1_001)));
    }
}

#[test]
fn what_is_known_already_serves_when_the_newest_is_not_in_the_sysvar() {
    let mut known = Blockhashes::default();
    assert!(known.learn(latest(1_001), &sysvar(1_000, 150)).is_err());
    known.learn(latest(1_000), &sysvar(1_000, 150)).unwrap();
    known.learn(latest(1_020), &sysvar(1_010, 150)).unwrap();
    assert_eq!(left(&known, 1_005), (1_005, 135));
    assert_eq!(left(&known, 1_020), (1_020, 150));
    // Without any overlap what is known stays, and time has passed all the same.
    known.learn(latest(1_200), &sysvar(1_190, 150)).unwrap();
    assert_eq!(left(&known, 1_020), (1_020, 0));
    assert!(left(&known, 1_195).0 > 1_195);
}

#[test]
fn a_node_that_is_behind_makes_nothing_younger() {
    let mut known = Blockhashes::default();
    known.learn(latest(1_000), &sysvar(1_000, 150)).unwrap();
    known.learn(latest(990), &sysvar(990, 150)).unwrap();
    assert_eq!(left(&known, 950), (950, 100));
    assert!(known.knows(&hash(1_000)));
}

#[test]
fn a_chain_that_began_anew_replaces_what_is_known() {
    let mut known = Blockhashes::default();
    known.learn(latest(100_000), &sysvar(100_000, 150)).unwrap();
    known.learn(latest(8), &sysvar(8, 8)).unwrap();
    assert_eq!(left(&known, 5), (5, 147));
    assert!(!known.knows(&hash(100_000)));
}

#[test]
fn a_hash_of_a_block_not_yet_seen_is_not_taken_for_an_older_one() {
    let mut known = Blockhashes::default();
    known.learn(latest(1_000), &sysvar(1_000, 150)).unwrap();
    let (height, blocks_left) = left(&known, 1_003);
    assert!(height > 1_003 && blocks_left > BLOCKHASH_BLOCKS);
}

#[test]
fn a_sysvar_that_is_none_is_refused() {
    let good = sysvar(1_000, 150);
    for bad in [&[][..], &[1; 7], &0_u64.to_le_bytes(), &good[..good.len() - 1]] {
        assert!(Blockhashes::default().learn(latest(1_000), bad).is_err());
    }
    // The account is as large as a full list from the beginning.
    let mut roomy = sysvar(1_000, 3);
    roomy.resize(good.len(), 0);
    let mut known = Blockhashes::default();
    known.learn(latest(1_000), &roomy).unwrap();
    assert!(known.knows(&hash(998)) && !known.knows(&Hash::default()));
}
