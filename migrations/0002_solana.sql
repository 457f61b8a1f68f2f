-- Payments whose payer builds the whole transaction: they name the signer that must send them, may carry a memo, and
-- are open for a number of blocks instead of a span of time.

alter table payments add column signer text;
alter table payments add column memo text;
alter table payments alter column valid_after drop not null;
alter table payments alter column valid_before drop not null;
alter table payments add constraint payments_window_complete check (num_nonnulls(valid_after, valid_before) in (0, 2));
alter table payments add constraint payments_memo_length check (octet_length(memo) between 1 and 256);
create index payments_by_memo on payments (memo, created_at, id) where memo is not null;

-- A transaction that failed on a chain that never processes it twice is a proof like others.
alter table settlements drop constraint settlements_proof_known;
alter table settlements add constraint settlements_proof_known check (
    proof in ('cancelled', 'used_otherwise', 'failed_on_chain', 'window_closed')
);
alter table evidence drop constraint evidence_claim_known;
alter table evidence add constraint evidence_claim_known check (
    claim in ('landed', 'cancelled', 'used_otherwise', 'failed_on_chain', 'window_closed')
);

-- A lane without chain nonces numbers its transactions by itself. One that can never be mined uses its number up.
alter table chain_transactions drop constraint chain_transactions_status_known;
alter table chain_transactions add constraint chain_transactions_status_known check (
    status in ('signed', 'mined', 'dead')
);

-- A payment may have been carried, at a cost, by transactions of several signers.
alter table ledger_entries drop constraint ledger_entries_once;
alter table ledger_entries add constraint ledger_entries_once unique (payment_id, version, purpose, credit);
