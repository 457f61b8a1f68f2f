-- A statement closes against the chain: what came in through us, late or otherwise, what went out, what the account held
-- at the end, and what none of that explains. No form of it was released before: what was closed is closed anew.

delete from statement_lines;
delete from statements;

alter table statements drop constraint statements_balance;
alter table statements drop constraint statements_opening_of_first;
alter table statements drop constraint statements_lines_range;
alter table statements add column id uuid not null constraint statements_id unique;
alter table statements add column late_credits numeric(39, 0) not null;
alter table statements add column other_credits numeric(39, 0) not null;
alter table statements add column debits numeric(39, 0) not null;
alter table statements add column unexplained numeric(39, 0) not null;
alter table statements add column gas numeric(39, 0) not null;
alter table statements add column balance numeric(39, 0);
alter table statements add column block_height bigint;
alter table statements add column block_hash text;
alter table statements add column block_time bigint;
alter table statements add constraint statements_closes check (
    opening >= 0 and credits >= 0 and late_credits >= 0 and debits >= 0 and gas >= 0
    and closing = opening + credits + late_credits + other_credits - debits + unexplained
);
alter table statements add constraint statements_evidence check (
    num_nonnulls(balance, block_height, block_hash, block_time) in (0, 4) and balance = closing and block_time < ends_at
);
alter table statements add constraint statements_lines_count check (late between 0 and lines);

create index observed_transfers_by_time on observed_transfers (network, block_time);
