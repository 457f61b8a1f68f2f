//! Merkle trees over a statement's lines, as RFC 9162 section 2.1 has them.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The root of the Merkle tree over these leaves, as section 2.1.1 has it: a node is `SHA-256(0x01 ‖ left ‖ right)`,
/// and the left side holds the largest power of two of leaves that leaves something to the right. Of none: SHA-256 of
/// nothing.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_side(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// What shows that the leaf at `index` is under the root (RFC 9162 section 2.1.3.1), the nearest first; none when there is
/// no such leaf.
#[must_use]
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    match leaves {
        [_] if index == 0 => Some(Vec::new()),
        [] | [_] => None,
        _ => {
            let (left, right) = leaves.split_at(left_side(leaves.len()));
            let (mut path, other) = match index.checked_sub(left.len()) {
                None => (inclusion(left, index)?, root(right)),
                Some(index) => (inclusion(right, index)?, root(left)),
            };
            path.push(other);
            Some(path)
        }
    }
}

/// The root that the leaf at `index` of `leaves` has by this path; none when the path is not of such a tree.
#[must_use]
pub fn root_of(leaf: &Hash, index: usize, leaves: usize, path: &[Hash]) -> Option<Hash> {
    match (leaves, path) {
        (1, []) if index == 0 => Some(*leaf),
        (2.., [near @ .., other]) if index < leaves => {
            let left = left_side(leaves);
            Some(match index.checked_sub(left) {
                None => node(&root_of(leaf, index, left, near)?, other),
                Some(index) => node(other, &root_of(leaf, index, leaves.checked_sub(left)?, near)?),
            })
        }
        _ => None,
    }
}

/// The largest power of two below `leaves`, which is at least 2.
fn left_side(leaves: usize) -> usize {
    leaves.div_ceil(2).next_power_of_two()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
