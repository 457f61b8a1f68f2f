-- Reports that were ordered, what became of them, and their bytes. One for each order, for as long as it is kept.
create table reports (
    id uuid constraint reports_id primary key,
    ordered bytea not null constraint reports_once unique,
    kind text not null,
    format text not null,
    question text not null,
    version bigint not null,
    state text not null,
    expected bigint not null,
    rows bigint not null,
    bytes bigint not null,
    totals text,
    sha256 bytea,
    failure text,
    claimed_by uuid,
    claimed_until timestamptz,
    created_at timestamptz not null,
    ended_at timestamptz,
    constraint reports_ordered_length check (octet_length(ordered) = 32),
    constraint reports_state_known check (state in ('queued', 'running', 'done', 'failed')),
    constraint reports_claim_of_state check (
        (state = 'running') = (claimed_by is not null) and (state = 'running') = (claimed_until is not null)
    ),
    constraint reports_end_of_state check ((state in ('done', 'failed')) = (ended_at is not null)),
    constraint reports_done_complete check (
        (state = 'done') = (sha256 is not null) and (state = 'done') = (totals is not null) and octet_length(sha256) = 32
    ),
    constraint reports_failure_of_state check ((state = 'failed') = (failure is not null)),
    constraint reports_counts_range check (version >= 1 and expected >= 0 and rows >= 0 and bytes >= 0)
);
create index reports_open on reports (created_at, id) where state in ('queued', 'running');

create table report_pieces (
    report_id uuid not null constraint report_pieces_report references reports on delete cascade,
    position bigint not null,
    bytes bytea not null,
    constraint report_pieces_name primary key (report_id, position),
    constraint report_pieces_position_range check (position >= 0)
);
alter table report_pieces alter column bytes set storage external;
