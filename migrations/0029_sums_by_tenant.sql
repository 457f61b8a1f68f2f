-- What each payer has paid to each tenant, in the place of paid_sums and paid_sums_crossed, whose keys have no room for whose a
-- payment is. Those stay as they are, with their place in the feed: the version before inserts by their keys, and goes on with
-- them for as long as it runs, or once it is put back; a later migration drops them. Each version keeps its own sums from its own
-- place, so neither counts for the other, and none counts twice; while both run, a threshold may be told of by each of them.

create table paid_sums_of_tenants (
    tenant uuid not null,
    network text not null,
    asset text not null,
    payer text not null,
    hour bigint not null,
    amount numeric(60, 0) not null,
    payments bigint not null,
    constraint paid_sums_of_tenants_name primary key (tenant, network, asset, payer, hour),
    constraint paid_sums_of_tenants_range check (hour >= 0 and amount >= 0 and payments >= 1)
);
create index paid_sums_of_tenants_by_hour on paid_sums_of_tenants (hour);

-- Append-only: that somebody has paid a tenant as much as a threshold within a span, once a day.
create table thresholds_crossed (
    tenant uuid not null,
    network text not null,
    asset text not null,
    payer text not null,
    span text not null,
    day bigint not null,
    amount numeric(60, 0) not null,
    threshold numeric(39, 0) not null,
    payments bigint not null,
    created_at timestamptz not null,
    constraint thresholds_crossed_name primary key (day, network, asset, payer, span, tenant),
    constraint thresholds_crossed_span_known check (span in ('day', 'week', 'month')),
    constraint thresholds_crossed_reached check (amount >= threshold and threshold >= 1 and day >= 0 and payments >= 1)
);
create trigger append_only before update or delete on thresholds_crossed for each row execute function refuse_change();
create trigger never_emptied before truncate on thresholds_crossed execute function refuse_change();

alter table paid_sums_place drop constraint paid_sums_place_one;
alter table paid_sums_place add constraint paid_sums_place_known check (name in ('sums', 'tenants'));

-- The new sums begin where the old ones stand, so that the feed is not followed anew and nothing is told again. Whoever moves the
-- old place on meanwhile waits for this.
select place from paid_sums_place where name = 'sums' for update;
insert into paid_sums_place (name, place) select 'tenants', place from paid_sums_place where name = 'sums';

-- What other tenants than the sole one were paid up to there, of their events, which have an index of their own (the place is
-- 16 hexadecimal digits of the writer, 2 of the source and 16 of the row); the sole tenant has the rest of what was summed.
with seen as (
    select ('x' || substr(place, 1, 16))::bit(64)::bigint::text::xid8 as written_by,
        case when substr(place, 17, 2) = '00' then ('x' || substr(place, 19, 16))::bit(64)::bigint
            else 9223372036854775807 end as seq
    from paid_sums_place where name = 'tenants'
)
insert into paid_sums_of_tenants (tenant, network, asset, payer, hour, amount, payments)
select p.tenant, p.network, p.asset, p.payer, floor(extract(epoch from e.created_at) / 3600)::bigint, sum(p.amount), count(*)
from seen, events e join payments p on p.id = e.payment_id
where e.tenant <> '00000000-0000-0000-0000-000000000000' and e.kind = 'payment.finalized'
    and (e.written_by, e.seq) <= (seen.written_by, seen.seq)
    and floor(extract(epoch from e.created_at) / 3600) >= (select min(hour) from paid_sums)
    and not exists (select 1 from refund_attempts a where a.key = p.key)
group by 1, 2, 3, 4, 5;

with others as (
    select network, asset, payer, hour, sum(amount) as amount, sum(payments) as payments from paid_sums_of_tenants
    group by network, asset, payer, hour
)
insert into paid_sums_of_tenants (tenant, network, asset, payer, hour, amount, payments)
select '00000000-0000-0000-0000-000000000000', s.network, s.asset, s.payer, s.hour, s.amount - coalesce(o.amount, 0),
    s.payments - coalesce(o.payments, 0)
from paid_sums s left join others o
    on o.network = s.network and o.asset = s.asset and o.payer = s.payer and o.hour = s.hour
where s.payments > coalesce(o.payments, 0) and s.amount >= coalesce(o.amount, 0);

-- What was crossed so far was by all that a payer had paid to anybody, and was the operator's to know.
insert into thresholds_crossed (tenant, network, asset, payer, span, day, amount, threshold, payments, created_at)
select '00000000-0000-0000-0000-000000000000', network, asset, payer, span, day, amount, threshold, payments, created_at
from paid_sums_crossed;
