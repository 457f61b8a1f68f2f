//! Address lookup tables: which accounts a transaction means that names them by their place in a table on the chain.
//!
//! Pure: it is given what the tables' accounts hold. Only transactions of smart wallets may use tables. Nothing here
//! has to be looked at twice: a table only grows, an entry never changes, and a table's address depends on a slot that
//! the chain has forgotten by the time the table can be closed, so that no other table ever takes its place.

use solana_message::v0::MessageAddressTableLookup;
use solana_pubkey::Pubkey;

use super::node::Account;
use crate::domain::flaw::Flaw;

/// The program that keeps the tables.
pub(super) const PROGRAM: Pubkey = Pubkey::from_str_const("AddressLookupTab1e1111111111111111111111111");

/// Where a table's addresses begin, 32 bytes each (`LOOKUP_TABLE_META_SIZE` of the program's interface).
const HEADER_BYTES: usize = 56;

/// The first four bytes of an account that is a table, little-endian (`ProgramState::LookupTable`).
const LOOKUP_TABLE: u32 = 1;

/// The deactivation slot of a table that is in use.
const ACTIVE: u64 = u64::MAX;

/// The accounts that the lookups take from their tables, in the order of a transaction's keys behind its static ones:
/// all writable ones first (Solana, `LoadedAddresses`). `tables` has one entry for each lookup, in their order; none
/// where there is no such account.
///
/// # Errors
/// [`Flaw::LookupTableUnresolved`] names the first table that is not there, is none, is being deactivated or does not
/// hold what is taken from it.
pub(super) fn resolve(lookups: &[MessageAddressTableLookup], tables: &[Option<Account>]) -> Result<Vec<Pubkey>, Flaw> {
    let (mut writable, mut readonly) = (Vec::new(), Vec::new());
    for (place, lookup) in lookups.iter().enumerate() {
        let entries = tables.get(place).and_then(Option::as_ref).and_then(entries);
        let taken = entries.and_then(|entries| {
            let take = |indexes: &[u8]| -> Option<Vec<Pubkey>> {
                indexes.iter().map(|index| entry(entries, *index)).collect()
            };
            Some((take(&lookup.writable_indexes)?, take(&lookup.readonly_indexes)?))
        });
        let Some((to_write, to_read)) = taken else {
            return Err(Flaw::LookupTableUnresolved {
                table: lookup.account_key.to_string(),
            });
        };
        writable.extend(to_write);
        readonly.extend(to_read);
    }
    writable.append(&mut readonly);
    Ok(writable)
}

/// A table's addresses, back to back; none when the account is no table in use.
fn entries(account: &Account) -> Option<&[u8]> {
    let (kind, rest) = account.data.split_first_chunk::<4>()?;
    let (deactivation, _) = rest.split_first_chunk::<8>()?;
    let is_in_use = account.owner == PROGRAM
        && u32::from_le_bytes(*kind) == LOOKUP_TABLE
        && u64::from_le_bytes(*deactivation) == ACTIVE;
    is_in_use.then(|| account.data.get(HEADER_BYTES..)).flatten()
}

fn entry(entries: &[u8], index: u8) -> Option<Pubkey> {
    let (all, _) = entries.as_chunks::<32>();
    all.get(usize::from(index)).copied().map(Pubkey::new_from_array)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(byte: u8) -> Pubkey {
        Pubkey::new_from_array([byte; 32])
    }

    /// A table in use that holds these.
    fn table(held: &[u8]) -> Vec<u8> {
        let mut data = [0; HEADER_BYTES].to_vec();
        data[..4].copy_from_slice(&LOOKUP_TABLE.to_le_bytes());
        data[4..12].copy_from_slice(&ACTIVE.to_le_bytes());
        for byte in held {
            data.extend([*byte; 32]);
        }
        data
    }

    fn lookup(table: u8, writable: &[u8], readonly: &[u8]) -> MessageAddressTableLookup {
        MessageAddressTableLookup {
            account_key: address(table),
            writable_indexes: writable.to_vec(),
            readonly_indexes: readonly.to_vec(),
        }
    }

    fn account(data: &[u8]) -> Account {
        Account {
            lamports: 1,
            owner: PROGRAM,
            data: data.to_vec(),
        }
    }

    #[test]
    fn writable_accounts_of_all_tables_come_before_readonly_ones() {
        let (one, two) = (table(&[1, 2, 3]), table(&[4, 5]));
        let lookups = [lookup(200, &[2], &[0]), lookup(201, &[1, 0], &[])];
        let resolved = resolve(&lookups, &[Some(account(&one)), Some(account(&two))]).unwrap();
        assert_eq!(resolved, [address(3), address(5), address(4), address(1)]);
    }

    #[test]
    fn no_lookups_need_no_tables() {
        assert_eq!(resolve(&[], &[]).unwrap(), []);
    }

    #[test]
    fn a_table_that_does_not_hold_what_is_taken_from_it_is_named() {
        let good = table(&[1, 2]);
        let foreign = Account {
            owner: address(9),
            ..account(&good)
        };
        let (mut deactivated, mut uninitialized, mut partial) = (good.clone(), good.clone(), good.clone());
        deactivated[4..12].copy_from_slice(&7_u64.to_le_bytes());
        uninitialized[..4].copy_from_slice(&[0; 4]);
        partial.pop();
        let cases = [
            ("missing", None),
            ("empty", Some(account(&[]))),
            ("header cut short", Some(account(&good[..HEADER_BYTES - 1]))),
            ("no entries", Some(account(&good[..HEADER_BYTES]))),
            ("one entry too few", Some(account(&good[..HEADER_BYTES + 32]))),
            ("entry cut short", Some(account(&partial))),
            ("being deactivated", Some(account(&deactivated))),
            ("not initialized", Some(account(&uninitialized))),
            ("of another program", Some(foreign)),
        ];
        for (name, found) in cases {
            for lookup in [lookup(200, &[1], &[]), lookup(200, &[], &[1])] {
                let expected = Flaw::LookupTableUnresolved {
                    table: address(200).to_string(),
                };
                assert_eq!(
                    resolve(&[lookup], std::slice::from_ref(&found)),
                    Err(expected),
                    "{name}"
                );
            }
        }
        let unanswered = resolve(
            &[lookup(200, &[0], &[]), lookup(201, &[], &[])],
            &[Some(account(&good))],
        );
        assert_eq!(
            unanswered,
            Err(Flaw::LookupTableUnresolved {
                table: address(201).to_string()
            })
        );
    }
}
