-- The chain held against the records, both ways: the accounts that are followed, what was seen of them in finalized
-- blocks, and where each record and each stray transfer stands.

-- Every payTo and asset that was ever reserved for. What it held is null where no node knows it any more.
create table watched_accounts (
    network text not null,
    asset text not null,
    holder text not null,
    first_height bigint not null,
    scanned_height bigint not null,
    balance numeric(39, 0),
    created_at timestamptz not null,
    constraint watched_accounts_name primary key (network, asset, holder),
    constraint watched_accounts_height_order check (first_height >= 0 and scanned_height >= first_height - 1),
    constraint watched_accounts_balance_range check (balance between 0 and 340282366920938463463374607431768211455)
);

-- Append-only: one row for each side of a transfer that is watched.
create table observed_transfers (
    network text not null,
    tx text not null,
    log_index bigint not null,
    direction text not null,
    asset text not null,
    holder text not null,
    counterparty text,
    amount numeric(39, 0) not null,
    block_height bigint not null,
    block_hash text not null,
    block_time bigint not null,
    authorizer text,
    nonce text,
    memo text,
    sender text not null,
    created_at timestamptz not null,
    constraint observed_transfers_name primary key (network, tx, log_index, direction, holder),
    constraint observed_transfers_account foreign key (network, asset, holder) references watched_accounts,
    constraint observed_transfers_direction_known check (direction in ('credit', 'debit')),
    constraint observed_transfers_amount_range check (amount between 0 and 340282366920938463463374607431768211455)
);
create index observed_transfers_by_nonce on observed_transfers (nonce) where nonce is not null;

-- Where a record, a transfer without one, or what an account holds stands; the subject names which. An operator may have
-- handled it; a new state asks for him anew.
create table reconciliations (
    id uuid constraint reconciliations_id primary key,
    subject text not null constraint reconciliations_subject unique,
    payment_id uuid constraint reconciliations_payment references payments,
    network text not null,
    asset text not null,
    pay_to text not null,
    amount numeric(39, 0) not null,
    state text not null,
    reason text not null,
    tx text,
    block_height bigint,
    since timestamptz not null,
    handled text,
    constraint reconciliations_state_known check (
        state in ('pending', 'matched', 'missing_on_chain', 'unknown_on_chain', 'amount_mismatch', 'asset_mismatch',
            'party_mismatch', 'status_mismatch', 'duplicate', 'orphaned_reorg', 'balance_mismatch')
    ),
    constraint reconciliations_handled_known check (handled in ('resolve', 'ignore'))
);
create index reconciliations_exceptions on reconciliations (id) where state not in ('pending', 'matched');
create index reconciliations_pending on reconciliations (network, payment_id) where state = 'pending';

-- Append-only: what operators did about exceptions, and in which state they were.
create table reconciliation_actions (
    id uuid constraint reconciliation_actions_id primary key,
    reconciliation_id uuid not null constraint reconciliation_actions_subject references reconciliations,
    action text not null,
    state text not null,
    note text not null,
    actor text not null,
    created_at timestamptz not null,
    constraint reconciliation_actions_action_known check (action in ('resolve', 'ignore')),
    constraint reconciliation_actions_told check (note <> '' and actor <> '')
);
create index reconciliation_actions_by_subject on reconciliation_actions (reconciliation_id, created_at);

-- How far each network's payments were taken in, and which process scans it now. Two that do do no harm.
create table reconciliation_scans (
    network text constraint reconciliation_scans_network primary key,
    taken_at timestamptz not null,
    taken_id uuid not null,
    lease_holder uuid not null,
    lease_until timestamptz not null
);
