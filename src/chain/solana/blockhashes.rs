//! Which block each recent blockhash is of.
//!
//! A transaction names a blockhash, is good for 150 blocks after that hash's own, and the RPC tells the height of
//! none but the newest. The RecentBlockhashes sysvar lists the rest in the order of their blocks, so one hash of
//! known height in it gives the heights of all. Pure: whoever asks the node says what it said.

use std::collections::HashMap;

use solana_hash::Hash;

use super::node::{BLOCKHASH_BLOCKS, LatestBlockhash};

/// The bytes of one entry of the sysvar: the hash, and eight bytes of what a signature costs
/// (agave `sysvar::recent_blockhashes::Entry`).
const ENTRY_BYTES: usize = 40;

/// How many entries of the sysvar are read; the runtime keeps 150 (`MAX_ENTRIES`).
const ENTRIES_MAX: usize = 512;

/// How far, in blocks, one node may be behind another of the same cluster while both answer. Twice what a confirmed
/// block is behind the newest at most times.
const BLOCKS_BEHIND_MAX: u64 = 32;

/// The hashes of the last 150 blocks, as of some confirmed block.
#[derive(Debug, Default)]
pub(super) struct Blockhashes {
    heights: HashMap<Hash, u64>,
    newest: u64,
}

/// How long a transaction that names some hash has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// The height of the block that the hash is of; where it is not known, one that is not below it.
    pub(super) height: u64,
    /// In how many more blocks the transaction can land.
    pub(super) blocks_left: u64,
}

impl Blockhashes {
    /// Takes in what the node says: the newest blockhash, and the sysvar's data. The two may be of different blocks,
    /// as long as they overlap or the sysvar overlaps with what is known already. What is older than what is known
    /// changes nothing: nodes behind one address are not all equally far.
    ///
    /// # Errors
    /// The sysvar cannot be read, or no height is known of any of its hashes.
    pub(super) fn learn(&mut self, latest: LatestBlockhash, sysvar: &[u8]) -> Result<(), &'static str> {
        let hashes = hashes_of(sysvar).ok_or("the RecentBlockhashes sysvar cannot be read")?;
        let latest_height = latest.last_valid_block_height.saturating_sub(BLOCKHASH_BLOCKS);
        let newest = hashes.iter().zip(0_u64..).find_map(|(hash, age)| {
            let is_latest = *hash == latest.blockhash;
            let known = if is_latest {
                Some(latest_height)
            } else {
                self.heights.get(hash).copied()
            };
            known?.checked_add(age)
        });
        let Some(newest) = newest else {
            // Two answers of different blocks. What is known stays, but nothing unknown may be taken for older than
            // it can be.
            self.newest = self.newest.max(latest_height);
            return if self.heights.is_empty() {
                Err("the RecentBlockhashes sysvar does not hold the newest blockhash")
            } else {
                Ok(())
            };
        };
        if newest < self.newest && hashes.iter().any(|hash| self.heights.contains_key(hash)) {
            return Ok(());
        }
        let heights = hashes.into_iter().zip(0_u64..);
        self.heights = heights
            .filter_map(|(hash, age)| Some((hash, newest.checked_sub(age)?)))
            .collect();
        self.heights.insert(latest.blockhash, latest_height);
        self.newest = newest.max(latest_height);
        Ok(())
    }

    /// Whether the hash's block is known.
    pub(super) fn knows(&self, hash: &Hash) -> bool {
        self.heights.contains_key(hash)
    }

    /// What is left to a transaction that names this hash, which the chain still takes.
    pub(super) fn lifetime(&self, hash: &Hash) -> Lifetime {
        // A hash that the chain takes and that is not known here is of a block that is newer than the newest known.
        let unknown = self.newest.saturating_add(BLOCKS_BEHIND_MAX);
        let height = self.heights.get(hash).copied().unwrap_or(unknown);
        let last = height.saturating_add(BLOCKHASH_BLOCKS);
        Lifetime {
            height,
            blocks_left: last.saturating_sub(self.newest),
        }
    }
}

/// The sysvar's hashes, newest first: a count in eight bytes, little-endian, then that many entries.
fn hashes_of(sysvar: &[u8]) -> Option<Vec<Hash>> {
    let (count, entries) = sysvar.split_first_chunk::<8>()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let hashes: Vec<Hash> = entries
        .chunks_exact(ENTRY_BYTES)
        .take(count.min(ENTRIES_MAX))
        .filter_map(|entry| entry.first_chunk::<32>().copied().map(Hash::new_from_array))
        .collect();
    (count > 0 && hashes.len() == count.min(ENTRIES_MAX)).then_some(hashes)
}

#[cfg(test)]
#[path = "blockhashes_tests.rs"]
mod tests;
