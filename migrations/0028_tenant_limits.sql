-- What a tenant's payments may cost and how much they may move, within a minute and within a day of the clock; null is without
-- limit. 'native' is what settling costs, in the chain's smallest unit; any other asset what is paid in it, in its own.
create table tenant_budgets (
    tenant uuid not null constraint tenant_budgets_tenant references tenants,
    network text not null,
    asset text not null,
    minute numeric(39, 0),
    day numeric(39, 0),
    constraint tenant_budgets_name primary key (tenant, network, asset),
    constraint tenant_budgets_named check (network like '_%:_%' and asset <> ''),
    constraint tenant_budgets_range check (minute >= 0 and day >= 0)
);

alter table budget_windows drop constraint budget_windows_scope_known;
alter table budget_windows add constraint budget_windows_scope_known
    check (scope in ('total', 'signer', 'payer', 'reverts', 'tenant', 'value'));

-- What the tenant's windows hold of the payment's own amount: all of it, and nothing once it is proven to move no money.
alter table settlements add column value_held numeric(39, 0);
alter table settlements add constraint settlements_value_range check (value_held >= 0);

-- By which a gateway signs tokens for single requests, beside its secret.
alter table gateway_keys add column public_key bytea;
alter table gateway_keys add constraint gateway_keys_public_key_length check (octet_length(public_key) = 32);
