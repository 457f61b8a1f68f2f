//! Instructions of the programs that payments and attacks name.

use solana_pubkey::Pubkey;

use super::transaction::{Instruction, Meta};

pub(crate) const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
pub(crate) const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(crate) const TOKEN_2022: Pubkey = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
pub(crate) const ASSOCIATED_TOKEN: Pubkey = Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
pub(crate) const COMPUTE_BUDGET: Pubkey = Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
pub(crate) const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
pub(crate) const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");
pub(crate) const RECENT_BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");

/// The discriminators of Lighthouse's instructions that are named here.
pub(crate) const MEMORY_WRITE: u8 = 0;
pub(crate) const MEMORY_CLOSE: u8 = 1;
pub(crate) const ASSERT_TOKEN_ACCOUNT: u8 = 8;

/// The account that holds an owner's tokens of a mint.
pub(crate) fn associated_account(owner: Pubkey, program: Pubkey, mint: Pubkey) -> Pubkey {
    let seeds = [owner.as_array().as_slice(), program.as_array(), mint.as_array()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN).0
}

fn call(program: Pubkey, accounts: &[Meta], data: &[&[u8]]) -> Instruction {
    Instruction {
        program,
        accounts: accounts.to_vec(),
        data: data.concat(),
    }
}

pub(crate) fn compute_budget(data: &[&[u8]]) -> Instruction {
    call(COMPUTE_BUDGET, &[], data)
}

pub(crate) fn compute_limit(units: u32) -> Instruction {
    compute_budget(&[&[2], &units.to_le_bytes()])
}

/// In micro-lamports for a compute unit.
pub(crate) fn compute_price(price: u64) -> Instruction {
    compute_budget(&[&[3], &price.to_le_bytes()])
}

/// The accounts of a transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) program: Pubkey,
    pub(crate) source: Pubkey,
    pub(crate) mint: Pubkey,
    pub(crate) destination: Pubkey,
    pub(crate) authority: Pubkey,
}

impl Transfer {
    pub(crate) fn checked(self, amount: u64, decimals: u8) -> Instruction {
        self.with(&[&[12], &amount.to_le_bytes(), &[decimals]])
    }

    /// `TransferChecked`'s accounts with any data.
    pub(crate) fn with(self, data: &[&[u8]]) -> Instruction {
        let accounts = [
            Meta::write(self.source),
            Meta::read(self.mint),
            Meta::write(self.destination),
            Meta::read(self.authority).signs(),
        ];
        call(self.program, &accounts, data)
    }

    /// `Transfer`, which names neither the mint nor its decimals.
    pub(crate) fn plain(self, amount: u64) -> Instruction {
        let mut transfer = self.with(&[&[3], &amount.to_le_bytes()]);
        transfer.accounts.remove(1);
        transfer
    }
}

pub(crate) fn memo(text: &str) -> Instruction {
    call(MEMO, &[], &[text.as_bytes()])
}

pub(crate) fn lighthouse(discriminator: u8, accounts: &[Meta]) -> Instruction {
    call(LIGHTHOUSE, accounts, &[&[discriminator, 0, 0, 0]])
}

pub(crate) fn system_transfer(from: Pubkey, to: Pubkey, lamports: u64) -> Instruction {
    let accounts = [Meta::write(from).signs(), Meta::write(to)];
    call(SYSTEM, &accounts, &[&2u32.to_le_bytes(), &lamports.to_le_bytes()])
}

pub(crate) fn advance_nonce(account: Pubkey, authority: Pubkey) -> Instruction {
    let accounts = [
        Meta::write(account),
        Meta::read(RECENT_BLOCKHASHES),
        Meta::read(authority).signs(),
    ];
    call(SYSTEM, &accounts, &[&4u32.to_le_bytes()])
}

/// Makes the owner's token account at the funder's expense, unless it is there.
pub(crate) fn create_account(funder: Pubkey, owner: Pubkey, program: Pubkey, mint: Pubkey) -> Instruction {
    let accounts = [
        Meta::write(funder).signs(),
        Meta::write(associated_account(owner, program, mint)),
        Meta::read(owner),
        Meta::read(mint),
        Meta::read(SYSTEM),
        Meta::read(program),
    ];
    call(ASSOCIATED_TOKEN, &accounts, &[&[1]])
}
