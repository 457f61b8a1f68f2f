-- Whether whoever pays and is paid may: what was decided of each payment, on what, and the lists it stands on.

-- What was decided when the payment was reserved; none for those from before.
alter table payments add column screening text;
alter table payments add constraint payments_screening_known check (screening in ('off', 'clear', 'not_checked'));

-- Append-only: each decision that let a payment or an attempt at a refund go on, each that refused one (the same once an
-- hour), and what was found when a list changed. `body` is JSON, kept as the text that `seal` is over; the first event of a
-- payment is sealed over that. What is let pass while screening is off stands in `payments.screening` alone.
create table screenings (
    id uuid constraint screenings_id primary key,
    stage text not null,
    decision text not null,
    policy text not null,
    network text not null,
    body text not null,
    seal bytea not null,
    payment_id uuid constraint screenings_payment references payments,
    refund_id uuid constraint screenings_refund references refunds,
    created_at timestamptz not null,
    constraint screenings_stage_known check (stage in ('verify', 'settle', 'refund', 'review')),
    constraint screenings_decision_known check (decision in ('clear', 'not_checked', 'denied')),
    constraint screenings_policy_present check (policy <> ''),
    constraint screenings_network_named check (network like '_%:_%'),
    constraint screenings_body_present check (body like '{%}'),
    constraint screenings_seal_length check (octet_length(seal) = 32),
    constraint screenings_of_one check (num_nonnulls(payment_id, refund_id) <= 1)
);
create index screenings_by_payment on screenings (payment_id) where payment_id is not null;
create index screenings_by_refund on screenings (refund_id) where refund_id is not null;

create trigger append_only before update or delete on screenings for each row execute function refuse_change();
create trigger never_emptied before truncate on screenings execute function refuse_change();

-- Append-only: each edition of a list that was fetched and differs from the one before.
create table screening_editions (
    source text not null,
    edition bigint not null,
    sha256 bytea not null,
    published text not null,
    entries bigint not null,
    added bigint not null,
    removed bigint not null,
    created_at timestamptz not null,
    constraint screening_editions_name primary key (source, edition),
    constraint screening_editions_source_named check (source <> ''),
    constraint screening_editions_sha256_length check (octet_length(sha256) = 32),
    constraint screening_editions_counts_range check (
        edition >= 1 and entries >= 1 and added between 0 and entries and removed >= 0
    )
);
create trigger append_only before update or delete on screening_editions for each row execute function refuse_change();
create trigger never_emptied before truncate on screening_editions execute function refuse_change();

-- Which edition each list is at, and when it was last found to be that.
create table screening_heads (
    source text constraint screening_heads_source primary key,
    edition bigint not null,
    checked_at timestamptz not null,
    constraint screening_heads_edition foreign key (source, edition) references screening_editions (source, edition)
);

-- What the lists have and have had: from which edition on, and before which.
create table screening_entries (
    source text not null,
    address text not null,
    reference text not null,
    reason text not null,
    added_in bigint not null,
    removed_in bigint,
    constraint screening_entries_name primary key (source, address, reference, added_in),
    constraint screening_entries_added foreign key (source, added_in) references screening_editions (source, edition),
    constraint screening_entries_removed foreign key (source, removed_in)
        references screening_editions (source, edition),
    constraint screening_entries_present check (address <> '' and reference <> ''),
    constraint screening_entries_order check (removed_in > added_in)
);
create index screening_entries_listed on screening_entries (source, address) where removed_in is null;
-- An entry is closed once and never forgotten.
create trigger append_only before delete or update of source, address, reference, reason, added_in on screening_entries
    for each row execute function refuse_change();
create trigger never_emptied before truncate on screening_entries execute function refuse_change();

-- Accounts on record that a list has now: somebody has to look at them, until none has.
create table screening_reviews (
    network text not null,
    address text not null,
    source text not null,
    role text not null,
    opened_at timestamptz not null,
    closed_at timestamptz,
    constraint screening_reviews_name primary key (network, address, source),
    constraint screening_reviews_named check (network like '_%:_%' and address <> '' and source <> ''),
    constraint screening_reviews_role_known check (role in ('pay_to', 'refund_target')),
    constraint screening_reviews_order check (closed_at >= opened_at)
);
