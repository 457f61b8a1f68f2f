-- What happened is never changed: the tables that say so refuse it, whoever asks. Adding a row costs nothing more.

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger append_only before update or delete on ledger_entries for each row execute function refuse_change();
-- When a row was written is the server's own count, which is put right after the database was moved to another one.
create trigger append_only before delete or update of seq, payment_id, version, kind, body, seal, created_at on events
    for each row execute function refuse_change();
create trigger append_only before update or delete on evidence for each row execute function refuse_change();
create trigger append_only before update or delete on observed_transfers for each row execute function refuse_change();
create trigger append_only before update or delete on reconciliation_actions for each row execute function refuse_change();
create trigger append_only before update or delete on statements for each row execute function refuse_change();
create trigger append_only before update or delete on statement_lines for each row execute function refuse_change();
create trigger append_only before delete or update of seq, id, kind, subject, body, created_at on notices
    for each row execute function refuse_change();

create trigger never_emptied before truncate on ledger_entries execute function refuse_change();
create trigger never_emptied before truncate on events execute function refuse_change();
create trigger never_emptied before truncate on evidence execute function refuse_change();
create trigger never_emptied before truncate on observed_transfers execute function refuse_change();
create trigger never_emptied before truncate on reconciliation_actions execute function refuse_change();
create trigger never_emptied before truncate on statements execute function refuse_change();
create trigger never_emptied before truncate on statement_lines execute function refuse_change();
create trigger never_emptied before truncate on notices execute function refuse_change();

-- What each account has: what was credited to it less what was debited, posted, and what is still pending beside it. Of
-- each network and asset it sums to zero.
create view ledger_balances as
    select side.network, side.asset, side.account, sum(side.posted) as posted, sum(side.pending) as pending
    from (
        select network, asset, credit as account, case stage when 'posted' then amount else 0 end as posted,
            case when stage = 'pending' then amount when pending_id is not null then -amount else 0 end as pending
        from ledger_entries
        union all
        select network, asset, debit, case stage when 'posted' then -amount else 0 end,
            case when stage = 'pending' then -amount when pending_id is not null then amount else 0 end
        from ledger_entries
    ) as side
    group by side.network, side.asset, side.account;
