-- What each payer has paid in all, by the hour in which it became final, for as long as the longest span asks for; followed from
-- the feed, so that settling does nothing for it.
create table paid_sums (
    network text not null,
    asset text not null,
    payer text not null,
    hour bigint not null,
    amount numeric(60, 0) not null,
    payments bigint not null,
    constraint paid_sums_name primary key (network, asset, payer, hour),
    constraint paid_sums_range check (hour >= 0 and amount >= 0 and payments >= 1)
);
create index paid_sums_by_hour on paid_sums (hour);

-- How far the feed was followed: whoever moves it on adds what stands between.
create table paid_sums_place (
    name text constraint paid_sums_place_name primary key,
    place text not null,
    constraint paid_sums_place_one check (name = 'sums')
);

-- Append-only: that somebody has paid as much as a threshold within a span, once a day.
create table paid_sums_crossed (
    network text not null,
    asset text not null,
    payer text not null,
    span text not null,
    day bigint not null,
    amount numeric(60, 0) not null,
    threshold numeric(39, 0) not null,
    payments bigint not null,
    created_at timestamptz not null,
    constraint paid_sums_crossed_name primary key (day, network, asset, payer, span),
    constraint paid_sums_crossed_span_known check (span in ('day', 'week', 'month')),
    constraint paid_sums_crossed_reached check (amount >= threshold and threshold >= 1 and day >= 0 and payments >= 1)
);
create trigger append_only before update or delete on paid_sums_crossed for each row execute function refuse_change();
create trigger never_emptied before truncate on paid_sums_crossed execute function refuse_change();
