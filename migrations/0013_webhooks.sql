-- Who is told of what happens, and how far. A secret is derived from the endpoint's id and its generation; the one before
-- signs too for a while after a rotation. The cursor is a place in the feed, and only moves by compare-and-set.
create table webhook_endpoints (
    id uuid constraint webhook_endpoints_id primary key,
    url text not null,
    types text[] not null,
    generation bigint not null default 1,
    previous_until timestamptz,
    cursor text not null,
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_because text,
    created_at timestamptz not null,
    constraint webhook_endpoints_url_named check (url <> ''),
    constraint webhook_endpoints_generation_range check (generation >= 1),
    constraint webhook_endpoints_disabled_complete check (num_nonnulls(disabled_at, disabled_because) in (0, 2))
);

-- One row for each event that an endpoint is to have: the place of the event's row, and whether it has it. What waits is
-- due at a time; whoever delivers it puts that off for as long as he may take, so that nobody else does, and somebody
-- does once he is gone.
create table webhook_deliveries (
    endpoint_id uuid not null constraint webhook_deliveries_endpoint references webhook_endpoints,
    source bigint not null,
    seq bigint not null,
    payment_id uuid,
    version bigint,
    state text not null default 'pending',
    attempts bigint not null default 0,
    due_at timestamptz not null,
    outcome text,
    ended_at timestamptz,
    created_at timestamptz not null,
    constraint webhook_deliveries_name primary key (endpoint_id, source, seq),
    constraint webhook_deliveries_source_known check (source in (0, 1)),
    constraint webhook_deliveries_payment_complete check (num_nonnulls(payment_id, version) in (0, 2)),
    constraint webhook_deliveries_state_known check (state in ('pending', 'delivered', 'given_up')),
    constraint webhook_deliveries_ended_of_state check ((state = 'pending') = (ended_at is null)),
    constraint webhook_deliveries_attempts_range check (attempts >= 0)
);
create index webhook_deliveries_due on webhook_deliveries (endpoint_id, due_at) where state = 'pending';
create index webhook_deliveries_by_payment on webhook_deliveries (endpoint_id, payment_id, version) where state = 'pending';
create index webhook_deliveries_by_time on webhook_deliveries (created_at);
