-- Who asks: tenants, their merchants and those merchants' accounts, and the keys of their gateways. What is on record already,
-- and what a program writes that knows nothing of tenants, is the one tenant's that a self-hosted facilitator has.

create table tenants (
    id uuid constraint tenants_id primary key,
    name text not null constraint tenants_name unique,
    created_at timestamptz not null,
    constraint tenants_name_length check (char_length(name) between 1 and 100)
);
insert into tenants (id, name, created_at) values ('00000000-0000-0000-0000-000000000000', 'sole', now());

create table merchants (
    id uuid not null,
    tenant uuid not null constraint merchants_tenant references tenants,
    name text not null,
    created_at timestamptz not null,
    constraint merchants_id primary key (id, tenant),
    constraint merchants_name_length check (char_length(name) between 1 and 100)
);

-- Where a merchant is paid: an account is one merchant's, and nobody else may be paid there through us. Either the operator
-- says whose it is, or its owner has signed that it is.
create table merchant_accounts (
    network text not null,
    address text not null,
    tenant uuid not null,
    merchant_id uuid not null,
    claimed_by text not null,
    proof text,
    created_at timestamptz not null,
    constraint merchant_accounts_name primary key (network, address),
    constraint merchant_accounts_merchant foreign key (merchant_id, tenant) references merchants (id, tenant),
    constraint merchant_accounts_named check (network like '_%:_%' and address <> ''),
    constraint merchant_accounts_claim_known check (claimed_by in ('operator', 'proof')),
    constraint merchant_accounts_claim_proven check ((claimed_by = 'proof') = (proof is not null))
);

-- What a gateway shows to be let in. Only a keyed hash of the secret is kept. What a key is restricted to is null where it is
-- not; one that is restricted moves money only, since what it might read is of all the tenant's accounts.
create table gateway_keys (
    id uuid constraint gateway_keys_id primary key,
    tenant uuid not null constraint gateway_keys_tenant references tenants,
    merchant_id uuid,
    name text not null,
    hash bytea not null,
    scopes text[] not null,
    networks text[],
    assets text[],
    pay_to text[],
    created_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz,
    constraint gateway_keys_merchant foreign key (merchant_id, tenant) references merchants (id, tenant),
    constraint gateway_keys_name_length check (char_length(name) between 1 and 100),
    constraint gateway_keys_hash_length check (octet_length(hash) = 32),
    constraint gateway_keys_scopes_known check (
        cardinality(scopes) >= 1 and scopes <@ array['verify', 'settle', 'read', 'reports', 'admin']
    ),
    constraint gateway_keys_restricted_moves check (
        num_nonnulls(merchant_id, networks, assets, pay_to) = 0 or scopes <@ array['verify', 'settle']
    )
);
create index gateway_keys_by_tenant on gateway_keys (tenant, id);

-- Whose each record is. No foreign keys: each would lock its tenant's row with every payment.
alter table payments add column tenant uuid not null default '00000000-0000-0000-0000-000000000000';
alter table events add column tenant uuid not null default '00000000-0000-0000-0000-000000000000';
alter table notices add column tenant uuid not null default '00000000-0000-0000-0000-000000000000';
alter table refunds add column tenant uuid not null default '00000000-0000-0000-0000-000000000000';
-- Of whom all its payments are; null where they are of several, so that it is nobody's but the operator's.
alter table statements add column tenant uuid default '00000000-0000-0000-0000-000000000000';
-- Null is the operator's, who sees everything.
alter table reports add column tenant uuid;
alter table webhook_endpoints add column tenant uuid;

-- A caller's name for a payment is bound within its tenant.
alter table payment_references add column tenant uuid not null default '00000000-0000-0000-0000-000000000000';
alter table payment_references drop constraint payment_references_name;
alter table payment_references add constraint payment_references_name primary key (kind, value, tenant);

-- Where there is one tenant only, these have no rows and cost nothing.
create index payments_by_tenant on payments (tenant, created_at, id)
    where tenant <> '00000000-0000-0000-0000-000000000000';
create index events_by_tenant on events (tenant, written_by, seq)
    where tenant <> '00000000-0000-0000-0000-000000000000';
create index notices_by_tenant on notices (tenant, written_by, seq)
    where tenant <> '00000000-0000-0000-0000-000000000000';
create index statements_by_tenant on statements (tenant, id) where tenant <> '00000000-0000-0000-0000-000000000000';
create index refunds_by_tenant on refunds (tenant, id) where tenant <> '00000000-0000-0000-0000-000000000000';

create trigger tenant_kept before update of tenant on events for each row execute function refuse_change();
create trigger tenant_kept before update of tenant on notices for each row execute function refuse_change();
create trigger tenant_kept before update of tenant on refunds for each row execute function refuse_change();

-- The second wall behind what every query says by itself: whoever reads for a tenant does so as facilitator_reader, and sees
-- that tenant's rows alone. All others see all, and those who own the tables are not even asked. What nobody has claimed is
-- the sole tenant's. The role is made where tenants are configured, since many databases may share a server.
alter table payments enable row level security;
alter table events enable row level security;
alter table notices enable row level security;
alter table refunds enable row level security;
alter table reports enable row level security;
alter table payment_references enable row level security;
alter table settlements enable row level security;
alter table settlement_attempts enable row level security;
alter table evidence enable row level security;
alter table ledger_entries enable row level security;
alter table refund_totals enable row level security;
alter table refund_attempts enable row level security;
alter table report_pieces enable row level security;
alter table reconciliations enable row level security;
alter table statements enable row level security;
alter table statement_lines enable row level security;

create policy of_tenant on payments using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on events using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on notices using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on refunds using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on reports using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on statements using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
create policy of_tenant on payment_references using (
    current_user <> 'facilitator_reader' or tenant = nullif(current_setting('facilitator.tenant', true), '')::uuid
);
-- What belongs to a payment, a refund or a report is seen by whoever sees that.
create policy of_tenant on settlements using (
    current_user <> 'facilitator_reader' or exists (select 1 from payments p where p.id = payment_id)
);
create policy of_tenant on settlement_attempts using (
    current_user <> 'facilitator_reader' or exists (select 1 from payments p where p.id = payment_id)
);
create policy of_tenant on evidence using (
    current_user <> 'facilitator_reader' or exists (select 1 from payments p where p.id = payment_id)
);
create policy of_tenant on ledger_entries using (
    current_user <> 'facilitator_reader' or exists (select 1 from payments p where p.id = payment_id)
);
create policy of_tenant on refund_totals using (
    current_user <> 'facilitator_reader' or exists (select 1 from payments p where p.id = payment_id)
);
create policy of_tenant on refund_attempts using (
    current_user <> 'facilitator_reader' or exists (select 1 from refunds r where r.id = refund_id)
);
create policy of_tenant on report_pieces using (
    current_user <> 'facilitator_reader' or exists (select 1 from reports r where r.id = report_id)
);
-- What is of an account is seen by whoever has it; what is of a payment, by whoever sees that.
create policy of_tenant on reconciliations using (
    current_user <> 'facilitator_reader'
    or case when payment_id is not null then exists (select 1 from payments p where p.id = payment_id)
        else coalesce((select m.tenant from merchant_accounts m
            where m.network = reconciliations.network and m.address = pay_to), '00000000-0000-0000-0000-000000000000')
            = nullif(current_setting('facilitator.tenant', true), '')::uuid
        end
);
create policy of_tenant on statement_lines using (
    current_user <> 'facilitator_reader'
    or exists (select 1 from statements t where t.network = statement_lines.network
        and t.asset = statement_lines.asset and t.pay_to = statement_lines.pay_to
        and t.sequence = statement_lines.sequence)
);

-- Append-only: who did what to the facilitator, and why. Each entry's hash is SHA-256 over the one before and its own text.
create table admin_log (
    seq bigint constraint admin_log_seq primary key,
    previous bytea,
    entry text not null,
    hash bytea not null,
    created_at timestamptz not null,
    constraint admin_log_chained check (seq >= 1 and (seq = 1) = (previous is null)),
    constraint admin_log_entry_present check (entry like '{%}'),
    constraint admin_log_hash_length check (octet_length(hash) = 32 and octet_length(previous) = 32)
);
create trigger append_only before update or delete on admin_log for each row execute function refuse_change();
create trigger never_emptied before truncate on admin_log execute function refuse_change();
