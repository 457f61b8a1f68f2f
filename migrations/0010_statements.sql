-- What was paid to each recipient, by the day: statements, closed once, and their lines. Append-only.
--
-- A payment is on one statement at most. Hashes are SHA-256; block times and periods are Unix seconds.

create table statements (
    network text not null,
    asset text not null,
    pay_to text not null,
    sequence bigint not null,
    starts_at bigint not null,
    ends_at bigint not null,
    opening numeric(39, 0) not null,
    credits numeric(39, 0) not null,
    closing numeric(39, 0) not null,
    lines bigint not null,
    late bigint not null,
    merkle_root bytea not null,
    previous bytea,
    hash bytea not null,
    created_at timestamptz not null,
    constraint statements_name primary key (network, asset, pay_to, sequence),
    constraint statements_period_once unique (network, asset, pay_to, ends_at),
    constraint statements_sequence_range check (sequence >= 1 and (sequence = 1) = (previous is null)),
    constraint statements_period_order check (starts_at >= 0 and ends_at > starts_at),
    constraint statements_balance check (opening >= 0 and credits >= 0 and closing = opening + credits),
    constraint statements_opening_of_first check (sequence > 1 or opening = 0),
    constraint statements_lines_range check (lines >= 1 and late between 0 and lines),
    constraint statements_hash_length check (
        octet_length(merkle_root) = 32 and octet_length(hash) = 32 and octet_length(previous) = 32
    )
);
create index statements_by_network on statements (network, ends_at);

create table statement_lines (
    network text not null,
    asset text not null,
    pay_to text not null,
    sequence bigint not null,
    position bigint not null,
    payment_id uuid not null constraint statement_lines_payment references payments,
    constraint statement_lines_name primary key (network, asset, pay_to, sequence, position),
    constraint statement_lines_statement foreign key (network, asset, pay_to, sequence) references statements,
    constraint statement_lines_payment_once unique (payment_id),
    constraint statement_lines_position_range check (position >= 0)
);

-- What has become final since the last closing is found by when it did.
create index settlements_by_finality on settlements (final_at, payment_id) where state = 'final';
