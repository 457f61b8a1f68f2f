-- What settling may cost, counted in windows of the clock. A window's taken is what was spent and the worst case of what
-- is under way. Whoever takes more also writes the limit, and the constraint refuses the whole statement; whoever puts
-- the true cost in the place of the worst case writes none, since no limit undoes what was spent.
create table budget_windows (
    network text not null,
    scope text not null,
    subject text not null,
    span bigint not null,
    starts_at bigint not null,
    taken numeric(39, 0) not null,
    ceiling numeric(39, 0),
    constraint budget_windows_name primary key (network, scope, subject, span, starts_at),
    constraint budget_windows_scope_known check (scope in ('total', 'signer', 'payer', 'reverts')),
    constraint budget_windows_span_known check (span in (60, 3600, 86400)),
    constraint budget_windows_taken_range check (taken >= 0),
    constraint budget_windows_within check (taken <= ceiling)
);
create index budget_windows_by_time on budget_windows (starts_at);

-- What the windows hold for a payment and, of the signer's, for a slot. Nothing where an older program wrote the row.
alter table settlements add column budget_held numeric(39, 0);
alter table settlements add column budget_at timestamptz;
alter table settlements add constraint settlements_budget_complete check (num_nonnulls(budget_held, budget_at) in (0, 2));
alter table slots add column budget_held numeric(39, 0);
