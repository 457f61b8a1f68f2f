-- Money that goes back to who paid: what was recorded against a payment, how much of it in all, and what paid it.

-- How much of a payment is refunded: recorded, and of that paid as the finalized chain shows. Whoever records a refund
-- raises it in the same transaction, so that the sum of all never exceeds the payment; one that is cancelled or failed
-- lowers it.
create table refund_totals (
    payment_id uuid constraint refund_totals_payment_id primary key constraint refund_totals_payment references payments,
    amount numeric(39, 0) not null,
    recorded numeric(39, 0) not null,
    paid numeric(39, 0) not null,
    constraint refund_totals_within_payment check (recorded between 0 and amount),
    constraint refund_totals_paid_recorded check (paid between 0 and recorded)
);

-- A refund: what was asked, which never changes, and where it stands. One that the merchant pays himself waits for the
-- transfer; one that we execute has a wallet that pays it, and attempts. What paid it is a transfer in a finalized block,
-- and a transfer pays one refund. `settles_after` is the height of the payment's own block.
create table refunds (
    id uuid constraint refunds_id primary key,
    payment_id uuid not null constraint refunds_payment references payments,
    idempotency_key text not null constraint refunds_idempotency_key unique,
    digest bytea not null,
    network text not null,
    asset text not null,
    pay_to text not null,
    recipient text not null,
    amount numeric(39, 0) not null,
    reason text,
    merchant_reference text,
    claimed_tx text,
    wallet text,
    settles_after bigint not null,
    created_at timestamptz not null,
    state text not null,
    claim_due bigint,
    attempts bigint not null default 0,
    is_out boolean not null default false,
    problem text,
    paid_tx text,
    paid_log_index bigint,
    paid_height bigint,
    paid_hash text,
    paid_time bigint,
    ended_at timestamptz,
    constraint refunds_idempotency_key_length check (char_length(idempotency_key) between 1 and 255),
    constraint refunds_digest_length check (octet_length(digest) = 32),
    constraint refunds_amount_range check (amount between 1 and 340282366920938463463374607431768211455),
    constraint refunds_parties_named check (network like '_%:_%' and asset <> '' and pay_to <> '' and recipient <> ''),
    constraint refunds_labels_length check (
        char_length(reason) between 1 and 500 and char_length(merchant_reference) between 1 and 255
    ),
    constraint refunds_claimed_tx_length check (char_length(claimed_tx) between 1 and 128),
    constraint refunds_paid_by_one check (claimed_tx is null or wallet is null),
    constraint refunds_height_range check (settles_after >= 0 and claim_due >= 0),
    constraint refunds_state_known check (state in ('awaiting', 'executing', 'paid', 'cancelled', 'failed')),
    constraint refunds_execution_of_state check (
        (state <> 'awaiting' or wallet is null) and (state not in ('executing', 'failed') or wallet is not null)
    ),
    constraint refunds_attempts_range check (attempts >= 0 and (attempts = 0 or wallet is not null)),
    constraint refunds_out_of_state check (not is_out or (state = 'executing' and attempts > 0)),
    constraint refunds_paid_of_state check ((state = 'paid') = (paid_tx is not null)),
    constraint refunds_paid_complete check (
        num_nonnulls(paid_tx, paid_log_index, paid_height, paid_hash, paid_time) in (0, 5)
    ),
    constraint refunds_end_of_state check ((state in ('awaiting', 'executing')) = (ended_at is null)),
    constraint refunds_transfer_once unique (network, paid_tx, paid_log_index)
);
create index refunds_by_payment on refunds (payment_id, id);
create index refunds_open on refunds (network, id) where state in ('awaiting', 'executing');

-- Append-only: each payment of ours that was ever to pay a refund, on record before anybody could have it. `key` is the
-- payment's own, and `proof` what a payer would present: together with the refund enough to present it again.
-- `good_until` is the end of its window: a block's time on EVM, a block's height on Solana.
create table refund_attempts (
    refund_id uuid not null constraint refund_attempts_refund references refunds,
    attempt bigint not null,
    key bytea not null constraint refund_attempts_key unique,
    nonce text not null,
    proof text not null,
    extra text not null,
    good_until bigint not null,
    created_at timestamptz not null,
    constraint refund_attempts_name primary key (refund_id, attempt),
    constraint refund_attempts_count_range check (attempt >= 1),
    constraint refund_attempts_key_length check (octet_length(key) = 32),
    constraint refund_attempts_proof_present check (nonce <> '' and proof <> '' and good_until >= 0)
);
create index refund_attempts_by_nonce on refund_attempts (nonce);

create trigger append_only before update or delete on refund_attempts for each row execute function refuse_change();
create trigger never_emptied before truncate on refund_attempts execute function refuse_change();
-- What was asked never changes, and no refund is forgotten.
create trigger append_only before delete or update of id, payment_id, idempotency_key, digest, network, asset, pay_to,
    recipient, amount, reason, merchant_reference, claimed_tx, wallet, settles_after, created_at on refunds
    for each row execute function refuse_change();
create trigger never_emptied before truncate on refunds execute function refuse_change();

-- A wallet that refunds are paid from is followed too. What comes into it without a record is its owner's own money,
-- unless it is also a recipient of payments.
alter table watched_accounts add column is_wallet boolean not null default false;

-- A refund that was paid within the period is a line of the statement of the account that paid it, beside the payments. What
-- is found to be one after the statement was closed stays among its debits.
alter table statements add column refunds numeric(39, 0) not null default 0;
alter table statements add constraint statements_refunds_range check (refunds between 0 and debits);
alter table statement_lines alter column payment_id drop not null;
alter table statement_lines add column refund_id uuid constraint statement_lines_refund references refunds
    constraint statement_lines_refund_once unique;
alter table statement_lines add constraint statement_lines_of_one check (num_nonnulls(payment_id, refund_id) = 1);
create index refunds_by_time on refunds (network, paid_time) where paid_time is not null;

-- Debits by whom they went to: what a refund may be paid by.
create index observed_transfers_debits on observed_transfers (network, holder, counterparty, amount) where direction = 'debit';
