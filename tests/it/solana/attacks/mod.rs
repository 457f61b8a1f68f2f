//! What a payer may try, one file each: to be let in for nothing, to spend what is ours, or to take us down. Each is
//! refused with its own word, at both doors, in both versions, and moves nothing.

mod durable_nonce;
mod excessive_compute_limit;
mod excessive_compute_price;
mod expired_blockhash;
mod fee_payer_as_authority;
mod fee_payer_as_memo_signer;
mod fee_payer_in_lighthouse;
mod invalid_payer_signature;
mod lookup_tables;
mod malformed_headers;
mod malformed_indexes;
mod plain_transfer;
mod slot_0_signature_mutated;
mod success_said_twice;
mod token_account_creation;
mod trailing_bytes;
mod transfer_fee_mint;
mod transfer_hook_mint;
mod two_compute_budgets;
mod wrong_amount;
mod wrong_decimals;
mod wrong_mint;
mod wrong_token_account;
