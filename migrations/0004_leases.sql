-- Several processes on one database: each lane is driven by one of them at a time, by a lease on the database's clock.
-- The fence grows with every takeover, so that whoever lost a lane without noticing cannot sign in it any more.
-- All of it may be left alone by a program that knows nothing of leases: the lane's row lock still orders nonces.

alter table lanes add column lease_holder uuid;
alter table lanes add column lease_until timestamptz;
alter table lanes add column fence bigint not null default 0;
-- Somebody else signs with the lane's key: nothing new is signed until an operator says so.
alter table lanes add column quarantined_at timestamptz;
alter table lanes add constraint lanes_lease_complete check (num_nonnulls(lease_holder, lease_until) in (0, 2));
alter table lanes add constraint lanes_fence_range check (fence >= 0);

-- The processes that serve a network, as long as they say so.
create table replicas (
    network text not null,
    id uuid not null,
    alive_until timestamptz not null,
    constraint replicas_name primary key (network, id)
);

-- How often a payment that had failed to be signed was tried, counted before each try; one that cannot be signed must
-- not keep a lane from all others.
alter table settlements add column tries bigint not null default 0;
alter table settlements add constraint settlements_tries_range check (tries >= 0);

-- The oldest program that may still run on this schema, by the newest migration it knows. A migration that only adds
-- leaves it alone; one that takes something away raises it, once no older program runs any more.
create table schema_floor (
    migration bigint not null constraint schema_floor_migration primary key
);
insert into schema_floor (migration) values (3);
