-- What the facilitator remembers. Payments and where their money is, the transactions that carry them, and the
-- append-only records of what happened: evidence, ledger_entries, events.
--
-- Written so that any database that speaks Postgres' dialect takes it: no triggers, no procedures, no enum types.
-- Constraints are named, because a test refuses every illegal row by the name of what refused it.
-- Amounts are atomic units below 2^128. Block times and windows are Unix seconds; a window may reach u64's end.

create table payments (
    id uuid constraint payments_id primary key,
    key bytea not null constraint payments_key unique,
    scheme text not null,
    network text not null,
    payer text not null,
    pay_to text not null,
    asset text not null,
    amount numeric(39, 0) not null,
    nonce text not null,
    valid_after numeric(20, 0) not null,
    valid_before numeric(20, 0) not null,
    body bytea not null,
    digest bytea not null,
    envelope text not null,
    resource_url text,
    since_height bigint not null,
    must_go_alone boolean not null,
    created_at timestamptz not null,
    constraint payments_key_length check (octet_length(key) = 32),
    constraint payments_digest_length check (octet_length(digest) = 32),
    constraint payments_amount_range check (amount between 0 and 340282366920938463463374607431768211455),
    constraint payments_window_range check (
        valid_after between 0 and 18446744073709551615 and valid_before between 0 and 18446744073709551615
    ),
    constraint payments_since_height_range check (since_height >= 0),
    constraint payments_network_named check (network like '_%:_%'),
    constraint payments_parties_named check (scheme <> '' and payer <> '' and pay_to <> '' and asset <> '')
);
create index payments_by_time on payments (created_at, id);
create index payments_by_payer on payments (payer, created_at, id);
create index payments_by_recipient on payments (pay_to, created_at, id);
create index payments_by_nonce on payments (nonce);

-- The callers' own names for payments. A value is bound to one payment within its kind.
create table payment_references (
    kind text not null,
    value text not null,
    payment_id uuid not null constraint payment_references_payment references payments,
    constraint payment_references_name primary key (kind, value),
    constraint payment_references_kind_known check (kind in ('payment_identifier', 'idempotency_key')),
    constraint payment_references_value_length check (char_length(value) between 1 and 255)
);
create index payment_references_by_payment on payment_references (payment_id);

-- Where the money is: the one mutable row of a payment. Each state carries its own columns and no others.
create table settlements (
    payment_id uuid constraint settlements_payment_id primary key
        constraint settlements_payment references payments,
    state text not null,
    version bigint not null,
    created_at timestamptz not null,
    tx text,
    setback text,
    setback_tx text,
    landed_tx text,
    landed_log_index bigint,
    landed_height bigint,
    landed_hash text,
    landed_time bigint,
    landed_is_deep_enough boolean,
    landed_is_final boolean,
    proof text,
    proof_tx text,
    proof_height bigint,
    proof_hash text,
    proof_time bigint,
    confirmed_at timestamptz,
    final_at timestamptz,
    granted_at timestamptz,
    answer bytea,
    constraint settlements_state_known check (
        state in ('reserved', 'in_flight', 'confirmed', 'final', 'failed', 'withdrawn')
    ),
    constraint settlements_version_range check (version >= 0),
    constraint settlements_tx_of_state check (
        (state = 'in_flight' and tx is not null) or state = 'confirmed' or (state <> 'in_flight' and tx is null)
    ),
    constraint settlements_setback_in_flight check (
        (setback is null and setback_tx is null)
        or (state = 'in_flight' and setback is not null and setback_tx is not null
            and setback in ('reverted', 'transfer_missing'))
    ),
    constraint settlements_landed_of_state check ((state in ('confirmed', 'final')) = (landed_tx is not null)),
    constraint settlements_landed_complete check (
        num_nonnulls(landed_tx, landed_log_index, landed_height, landed_hash, landed_time,
            landed_is_deep_enough, landed_is_final) in (0, 7)
    ),
    constraint settlements_final_is_final check (state <> 'final' or landed_is_final),
    constraint settlements_proof_of_state check ((state = 'failed') = (proof is not null)),
    constraint settlements_proof_known check (proof in ('cancelled', 'used_otherwise', 'window_closed')),
    constraint settlements_proof_complete check (
        num_nonnulls(proof, proof_height, proof_hash, proof_time) in (0, 4)
        and (proof_tx is not null) = (proof is not null and proof <> 'window_closed')
    ),
    constraint settlements_confirmed_at_of_state check (
        (state in ('confirmed', 'final')) = (confirmed_at is not null)
    ),
    constraint settlements_final_at_of_state check ((state = 'final') = (final_at is not null)),
    constraint settlements_grant_complete check ((granted_at is null) = (answer is null))
);
-- Nearly every row ends final, so the others stay cheap to find: at a restart, and for whoever asks what is stuck.
create index settlements_by_state on settlements (state, created_at, payment_id) where state <> 'final';

-- A signer on a network. Its row's lock is what orders nonces.
create table lanes (
    network text not null,
    signer text not null,
    first_nonce bigint not null,
    next_nonce bigint not null,
    created_at timestamptz not null,
    constraint lanes_name primary key (network, signer),
    constraint lanes_nonce_order check (first_nonce >= 0 and next_nonce >= first_nonce)
);

-- One nonce of a lane, owned for ever by the payments that were first given it.
create table slots (
    network text not null,
    signer text not null,
    nonce bigint not null,
    consumed_by text,
    created_at timestamptz not null,
    constraint slots_name primary key (network, signer, nonce),
    constraint slots_lane foreign key (network, signer) references lanes,
    constraint slots_nonce_range check (nonce >= 0)
);
create index slots_open on slots (network, signer, nonce) where consumed_by is null;

-- Signed bytes, stored before the first of them leaves.
create table chain_transactions (
    tx text not null,
    network text not null,
    signer text not null,
    nonce bigint not null,
    raw bytea not null,
    cost_max numeric(39, 0) not null,
    status text not null,
    block_height bigint,
    block_hash text,
    block_time bigint,
    cost numeric(39, 0),
    created_at timestamptz not null,
    constraint chain_transactions_name primary key (tx, network),
    constraint chain_transactions_slot foreign key (network, signer, nonce) references slots,
    constraint chain_transactions_status_known check (status in ('signed', 'mined')),
    constraint chain_transactions_mined_complete check (
        num_nonnulls(block_height, block_hash, block_time, cost) = case status when 'mined' then 4 else 0 end
    ),
    constraint chain_transactions_cost_range check (
        cost_max between 0 and 340282366920938463463374607431768211455
        and (cost is null or cost between 0 and 340282366920938463463374607431768211455)
    ),
    constraint chain_transactions_raw_present check (octet_length(raw) > 0)
);
create index chain_transactions_by_slot on chain_transactions (network, signer, nonce);
create unique index chain_transactions_one_mined on chain_transactions (network, signer, nonce) where status = 'mined';

-- A payment's seat in a slot: the attempt is counted from 1 for its payment, the seat from 0 within its slot.
create table settlement_attempts (
    payment_id uuid not null constraint settlement_attempts_payment references payments,
    attempt bigint not null,
    network text not null,
    signer text not null,
    nonce bigint not null,
    seat bigint not null,
    created_at timestamptz not null,
    closed_at timestamptz,
    constraint settlement_attempts_name primary key (payment_id, attempt),
    constraint settlement_attempts_seat unique (network, signer, nonce, seat),
    constraint settlement_attempts_slot foreign key (network, signer, nonce) references slots,
    constraint settlement_attempts_count_range check (attempt >= 1 and seat >= 0)
);
create unique index settlement_attempts_one_live on settlement_attempts (payment_id) where closed_at is null;

-- Append-only: what the chain showed when a settlement took the version.
create table evidence (
    payment_id uuid not null constraint evidence_payment references payments,
    version bigint not null,
    claim text not null,
    tx text,
    log_index bigint,
    block_height bigint not null,
    block_hash text not null,
    block_time bigint not null,
    ours boolean not null,
    created_at timestamptz not null,
    constraint evidence_name primary key (payment_id, version),
    constraint evidence_claim_known check (claim in ('landed', 'cancelled', 'used_otherwise', 'window_closed')),
    constraint evidence_claim_complete check (
        (tx is not null) = (claim <> 'window_closed') and (log_index is not null) = (claim = 'landed')
    )
);
create index evidence_by_tx on evidence (tx) where tx is not null;

-- Append-only: one row is one balanced movement. A posted or voided movement of money resolves the pending one it
-- names, and a pending movement is resolved once.
create table ledger_entries (
    id uuid constraint ledger_entries_id primary key,
    payment_id uuid not null constraint ledger_entries_payment references payments,
    version bigint not null,
    purpose text not null,
    stage text not null,
    debit text not null,
    credit text not null,
    network text not null,
    asset text not null,
    amount numeric(39, 0) not null,
    pending_id uuid constraint ledger_entries_pending references ledger_entries,
    created_at timestamptz not null,
    constraint ledger_entries_once unique (payment_id, version, purpose),
    constraint ledger_entries_resolved_once unique (pending_id),
    constraint ledger_entries_purpose_known check (purpose in ('payment', 'gas')),
    constraint ledger_entries_stage_known check (stage in ('pending', 'posted', 'voided')),
    constraint ledger_entries_resolution check (
        (pending_id is not null) = (purpose = 'payment' and stage <> 'pending')
        and (purpose = 'payment' or stage = 'posted')
    ),
    constraint ledger_entries_two_accounts check (debit <> credit),
    constraint ledger_entries_amount_range check (amount between 0 and 340282366920938463463374607431768211455)
);

-- Append-only: one row for each version a settlement took. seq grows as rows are written, not as they are
-- committed: a reader that follows it must leave the newest seconds for its next look.
create table events (
    seq bigint generated always as identity constraint events_seq primary key,
    payment_id uuid not null constraint events_payment references payments,
    version bigint not null,
    kind text not null,
    body jsonb not null,
    created_at timestamptz not null,
    constraint events_once unique (payment_id, version),
    constraint events_kind_named check (kind like 'payment.%')
);
