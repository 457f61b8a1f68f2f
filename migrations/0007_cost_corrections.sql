-- What carrying a payment has cost may change after the payment is over: a transaction of its is mined late, or taken
-- back. Each change is a movement of its own, counted from 1 for its payment.
alter table ledger_entries add column correction bigint not null default 0;
alter table ledger_entries add constraint ledger_entries_correction_range
    check (correction >= 0 and (correction = 0 or purpose = 'gas'));
alter table ledger_entries drop constraint ledger_entries_once;
alter table ledger_entries add constraint ledger_entries_once unique (payment_id, version, purpose, credit, correction);
