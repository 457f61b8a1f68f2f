-- Reports that are delivered by themselves, once for each schedule and period, and what the reports of what moved and of
-- what it cost are read by.

create index observed_transfers_by_place on observed_transfers
    (block_time, network, block_height, log_index, tx, direction, holder);
create index chain_transactions_by_place on chain_transactions (block_time, network, signer, nonce) where status = 'mined';

-- Which schedule ordered it, and which edition of its columns it was made with.
alter table reports add column schedule text;
alter table reports add column edition bigint;
alter table reports add constraint reports_schedule_named check (schedule <> '');
alter table reports add constraint reports_edition_range check (edition >= 1);

-- Whoever delivers puts off when it is due for as long as he may take, so that nobody else does, and somebody does once he
-- is gone; the count of claims tells him apart from whoever took over. The report may be forgotten before its delivery is.
create table report_deliveries (
    schedule text not null,
    starts_at bigint not null,
    ends_at bigint not null,
    state text not null default 'pending',
    report_id uuid,
    claims bigint not null default 0,
    failures bigint not null default 0,
    failing_since timestamptz,
    told_at timestamptz,
    due_at timestamptz not null,
    outcome text,
    ended_at timestamptz,
    created_at timestamptz not null,
    constraint report_deliveries_once primary key (schedule, starts_at, ends_at),
    constraint report_deliveries_schedule_named check (schedule <> ''),
    constraint report_deliveries_period_order check (starts_at >= 0 and ends_at > starts_at),
    constraint report_deliveries_state_known check (state in ('pending', 'delivered', 'given_up')),
    constraint report_deliveries_ended_of_state check ((state = 'pending') = (ended_at is null)),
    constraint report_deliveries_counts_range check (claims >= 0 and failures >= 0)
);
create index report_deliveries_due on report_deliveries (schedule, due_at) where state = 'pending';
