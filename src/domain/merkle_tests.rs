//! Trees whose leaves can be shown.

use super::*;

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
    let leaves: Vec<Hash> = (0..13).map(|number| [number; 32]).collect();
    for size in 1..=leaves.len() {
        let leaves = &leaves[..size];
        for (index, leaf) in leaves.iter().enumerate() {
            let path = inclusion(leaves, index).unwrap();
            assert_eq!(root_of(leaf, index, size, &path), Some(root(leaves)));
            assert_ne!(root_of(&[77; 32], index, size, &path), Some(root(leaves)));
            assert_eq!(root_of(leaf, size, size, &path), None, "there is no such place");
            assert_eq!(
                root_of(leaf, index, size, &[path.as_slice(), &[[0; 32]]].concat()),
                None
            );
        }
        assert_eq!(inclusion(leaves, size), None);
    }
}
