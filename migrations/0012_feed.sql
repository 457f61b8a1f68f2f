-- One order for all that happens, in which nothing ever comes before what was read already: by the transaction that
-- wrote it, shown once no older one is under way. What was written before comes first, in the order of its rows.
alter table events add column written_by xid8 not null default '0';
alter table events alter column written_by set default pg_current_xact_id();
create index events_by_writer on events (written_by, seq);

-- Append-only: what happened that is no payment's. The subject names what it happened to.
create table notices (
    seq bigint generated always as identity constraint notices_seq primary key,
    id uuid not null constraint notices_id unique,
    written_by xid8 not null default pg_current_xact_id(),
    kind text not null,
    subject text not null,
    body jsonb not null,
    created_at timestamptz not null,
    constraint notices_kind_named check (kind like '_%._%' and kind not like 'payment.%'),
    constraint notices_subject_named check (subject <> '')
);
create index notices_by_writer on notices (written_by, seq);
create index notices_by_subject on notices (subject, seq);
