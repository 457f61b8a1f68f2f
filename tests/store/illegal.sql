-- Statements that the database must refuse, each under the name of the constraint that refuses it. Payment 1 is
-- reserved and named, 2 in flight in a transaction that is mined, 3 confirmed by somebody else's transaction.

-- payments_id
insert into payments select * from payments limit 1;

-- payments_key
update payments set key = (select key from payments limit 1);

-- payments_key_length
update payments set key = 'short' where nonce like '%1';

-- payments_digest_length
update payments set digest = '';

-- payments_amount_range
update payments set amount = -1;

-- payments_amount_range
update payments set amount = 340282366920938463463374607431768211456;

-- payments_window_range
update payments set valid_before = 18446744073709551616;

-- payments_window_range
update payments set valid_after = -1;

-- payments_window_complete
update payments set valid_before = null;

-- payments_memo_length
update payments set memo = '';

-- payments_labels_length
update payments set order_id = '';

-- payments_metadata_length
update payments set metadata = '';

-- payments_since_height_range
update payments set since_height = -1;

-- payments_network_named
update payments set network = 'base';

-- payments_parties_named
update payments set payer = '';

-- payment_references_name
insert into payment_references select * from payment_references;

-- payment_references_payment
update payment_references set payment_id = gen_random_uuid();

-- payment_references_kind_known
update payment_references set kind = 'memo';

-- payment_references_value_length
update payment_references set value = '';

-- payment_references_value_length
update payment_references set value = repeat('a', 256);

-- settlements_payment_id
insert into settlements select * from settlements limit 1;

-- settlements_payment
update settlements set payment_id = gen_random_uuid() where state = 'reserved';

-- settlements_state_known
update settlements set state = 'lost' where state = 'reserved';

-- settlements_version_range
update settlements set version = -1;

-- settlements_tx_of_state
update settlements set state = 'in_flight' where state = 'reserved';

-- settlements_tx_of_state
update settlements set tx = 'x' where state = 'reserved';

-- settlements_tx_of_state
update settlements set state = 'withdrawn' where state = 'in_flight';

-- settlements_setback_in_flight
update settlements set setback = 'reverted' where state = 'in_flight';

-- settlements_setback_in_flight
update settlements set setback = 'bad luck', setback_tx = 'x' where state = 'in_flight';

-- settlements_setback_in_flight
update settlements set setback = 'reverted', setback_tx = 'x' where state = 'reserved';

-- settlements_landed_of_state
update settlements set state = 'reserved', confirmed_at = null where state = 'confirmed';

-- settlements_landed_of_state
update settlements set state = 'confirmed', confirmed_at = now() where state = 'reserved';

-- settlements_landed_complete
update settlements set landed_hash = null where state = 'confirmed';

-- settlements_landed_complete
update settlements set landed_height = 1 where state = 'reserved';

-- settlements_final_is_final
update settlements set state = 'final', tx = null, final_at = now() where state = 'confirmed';

-- settlements_proof_of_state
update settlements set state = 'failed' where state = 'reserved';

-- settlements_proof_known
update settlements set state = 'failed', proof = 'bored', proof_tx = 'x', proof_height = 1, proof_hash = 'h',
    proof_time = 1 where state = 'reserved';

-- settlements_proof_complete
update settlements set state = 'failed', proof = 'cancelled', proof_height = 1, proof_hash = 'h', proof_time = 1
    where state = 'reserved';

-- settlements_proof_complete
update settlements set state = 'failed', proof = 'window_closed', proof_height = 1, proof_time = 1 where state =
    'reserved';

-- settlements_proof_complete
update settlements set proof_hash = 'h' where state = 'reserved';

-- settlements_confirmed_at_of_state
update settlements set confirmed_at = null where state = 'confirmed';

-- settlements_confirmed_at_of_state
update settlements set confirmed_at = now() where state = 'reserved';

-- settlements_final_at_of_state
update settlements set final_at = now();

-- settlements_grant_complete
update settlements set granted_at = now() where state = 'confirmed';

-- settlements_grant_complete
update settlements set answer = '' where state = 'confirmed';

-- lanes_name
insert into lanes select * from lanes;

-- lanes_nonce_order
update lanes set next_nonce = first_nonce - 1;

-- slots_name
insert into slots select * from slots;

-- slots_lane
insert into slots select network, 'nobody', nonce, null, created_at from slots;

-- slots_nonce_range
insert into slots select network, signer, -1, null, created_at from slots;

-- chain_transactions_name
insert into chain_transactions select * from chain_transactions;

-- chain_transactions_slot
update chain_transactions set nonce = 99;

-- chain_transactions_status_known
update chain_transactions set status = 'lost', block_height = null, block_hash = null, block_time = null, cost =
    null;

-- chain_transactions_mined_complete
update chain_transactions set status = 'signed';

-- chain_transactions_mined_complete
update chain_transactions set cost = null;

-- chain_transactions_cost_range
update chain_transactions set cost = -1;

-- chain_transactions_cost_range
update chain_transactions set cost_max = -1;

-- chain_transactions_raw_present
update chain_transactions set raw = '';

-- chain_transactions_one_mined
insert into chain_transactions select tx || '2', network, signer, nonce, raw, cost_max, status, block_height,
    block_hash, block_time, cost, created_at from chain_transactions;

-- settlement_attempts_name
insert into settlement_attempts select payment_id, attempt, network, signer, nonce, 7, created_at, now() from
    settlement_attempts;

-- settlement_attempts_seat
insert into settlement_attempts select payment_id, 2, network, signer, nonce, seat, created_at, now() from
    settlement_attempts;

-- settlement_attempts_one_live
insert into settlement_attempts select payment_id, 2, network, signer, nonce, 7, created_at, null from
    settlement_attempts;

-- settlement_attempts_payment
update settlement_attempts set payment_id = gen_random_uuid();

-- settlement_attempts_slot
update settlement_attempts set nonce = 99;

-- settlement_attempts_count_range
update settlement_attempts set attempt = 0;

-- settlement_attempts_count_range
update settlement_attempts set seat = -1;

-- evidence_name
insert into evidence select * from evidence;

-- evidence_payment
update evidence set payment_id = gen_random_uuid();

-- evidence_claim_known
update evidence set claim = 'hearsay', log_index = null;

-- evidence_claim_complete
update evidence set tx = null;

-- evidence_claim_complete
update evidence set log_index = null;

-- evidence_claim_complete
update evidence set claim = 'window_closed', log_index = null;

-- ledger_entries_id
insert into ledger_entries select * from ledger_entries;

-- ledger_entries_payment
update ledger_entries set payment_id = gen_random_uuid();

-- ledger_entries_once
insert into ledger_entries select gen_random_uuid(), payment_id, version, purpose, stage, debit, credit,
    network, asset, amount, null, now() from ledger_entries;

-- ledger_entries_resolved_once
insert into ledger_entries select gen_random_uuid(), payment_id, version + n, purpose, 'voided', debit, credit,
    network, asset, amount, id, now() from ledger_entries, generate_series(1, 2) n;

-- ledger_entries_pending
update ledger_entries set stage = 'posted', pending_id = gen_random_uuid();

-- ledger_entries_purpose_known
update ledger_entries set purpose = 'gift', stage = 'posted';

-- ledger_entries_stage_known
update ledger_entries set stage = 'lost', pending_id = id;

-- ledger_entries_resolution
update ledger_entries set stage = 'posted';

-- ledger_entries_resolution
update ledger_entries set pending_id = id;

-- ledger_entries_resolution
update ledger_entries set purpose = 'gas';

-- ledger_entries_correction_range
update ledger_entries set correction = -1;

-- ledger_entries_correction_range
update ledger_entries set correction = 1;

-- ledger_entries_two_accounts
update ledger_entries set credit = debit;

-- ledger_entries_amount_range
update ledger_entries set amount = -1;

-- events_seq
insert into events overriding system value select * from events limit 1;

-- events_once
insert into events (payment_id, version, kind, body, created_at) select payment_id, version, kind, body,
    created_at from events;

-- events_payment
update events set payment_id = gen_random_uuid();

-- events_kind_named
update events set kind = 'lunch';

-- lanes_lease_complete
update lanes set lease_holder = null;

-- lanes_fence_range
update lanes set fence = -1;

-- settlements_tries_range
update settlements set tries = -1;

-- replicas_name
insert into replicas select * from replicas;

-- schema_floor_migration
insert into schema_floor select * from schema_floor;

-- events_seal_length
update events set seal = '';

-- settlements_budget_complete
update settlements set budget_at = null;

-- budget_windows_name
insert into budget_windows select 'eip155:1', 'total', '', 60, 0, 1, null from generate_series(1, 2);

-- budget_windows_scope_known
insert into budget_windows values ('eip155:1', 'lunch', '', 60, 0, 1, null);

-- budget_windows_span_known
insert into budget_windows values ('eip155:1', 'total', '', 61, 0, 1, null);

-- budget_windows_taken_range
insert into budget_windows values ('eip155:1', 'total', '', 60, 0, -1, null);

-- budget_windows_within
insert into budget_windows values ('eip155:1', 'total', '', 60, 0, 2, 1);

-- watched_accounts_name
insert into watched_accounts select 'eip155:1', 'coin', 'shop', 1, 0, null, now() from generate_series(1, 2);

-- watched_accounts_height_order
insert into watched_accounts values ('eip155:1', 'coin', 'shop', 1, -1, null, now());

-- watched_accounts_balance_range
insert into watched_accounts values ('eip155:1', 'coin', 'shop', 1, 0, -1, now());

-- observed_transfers_name
with watched as (insert into watched_accounts values ('eip155:1', 'coin', 'shop', 1, 0, null, now()))
insert into observed_transfers select 'eip155:1', 'tx', 0, 'credit', 'coin', 'shop', null, 1, 1, 'hash', 1, null, null,
    null, 'sender', now() from generate_series(1, 2);

-- observed_transfers_account
insert into observed_transfers values ('eip155:1', 'tx', 0, 'credit', 'coin', 'shop', null, 1, 1, 'hash', 1, null, null,
    null, 'sender', now());

-- observed_transfers_direction_known
insert into observed_transfers values ('eip155:1', 'tx', 0, 'sideways', 'coin', 'shop', null, 1, 1, 'hash', 1, null, null,
    null, 'sender', now());

-- observed_transfers_amount_range
insert into observed_transfers values ('eip155:1', 'tx', 0, 'credit', 'coin', 'shop', null, -1, 1, 'hash', 1, null, null,
    null, 'sender', now());

-- reconciliations_id
insert into reconciliations select '00000000-0000-0000-0000-000000000001', n::text, null, 'eip155:1', 'coin', 'shop', 1,
    'matched', '', null, null, now(), null from generate_series(1, 2) as n;

-- reconciliations_subject
insert into reconciliations select gen_random_uuid(), 'one', null, 'eip155:1', 'coin', 'shop', 1, 'matched', '', null,
    null, now(), null from generate_series(1, 2);

-- reconciliations_payment
insert into reconciliations values (gen_random_uuid(), 'one', gen_random_uuid(), 'eip155:1', 'coin', 'shop', 1, 'matched',
    '', null, null, now(), null);

-- reconciliations_state_known
insert into reconciliations values (gen_random_uuid(), 'one', null, 'eip155:1', 'coin', 'shop', 1, 'odd', '', null, null,
    now(), null);

-- reconciliations_handled_known
insert into reconciliations values (gen_random_uuid(), 'one', null, 'eip155:1', 'coin', 'shop', 1, 'duplicate', '', null,
    null, now(), 'forget');

-- reconciliation_actions_id
insert into reconciliation_actions select '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'resolve',
    'duplicate', 'note', 'actor', now() from generate_series(1, 2);

-- reconciliation_actions_subject
insert into reconciliation_actions values (gen_random_uuid(), gen_random_uuid(), 'resolve', 'duplicate', 'note', 'actor',
    now());

-- reconciliation_actions_action_known
insert into reconciliation_actions values (gen_random_uuid(), gen_random_uuid(), 'forget', 'duplicate', 'note', 'actor',
    now());

-- reconciliation_actions_told
insert into reconciliation_actions values (gen_random_uuid(), gen_random_uuid(), 'resolve', 'duplicate', '', 'actor',
    now());

-- reconciliation_scans_network
insert into reconciliation_scans select 'eip155:1', now(), gen_random_uuid(), gen_random_uuid(), now()
    from generate_series(1, 2);

-- statements_name
insert into statements select 'eip155:1', 'a', 'b', 1, 0, n, 0, 0, 0, 0, 0, p.key, null, p.key, now(), gen_random_uuid(), 0, 0, 0, 0, 0 from payments p, generate_series(1, 2) n limit 2;

-- statements_id
insert into statements select 'eip155:1', 'a', 'b' || n, 1, 0, 9, 0, 0, 0, 0, 0, p.key, null, p.key, now(), p.id, 0, 0, 0, 0, 0 from (select * from payments limit 1) p, generate_series(1, 2) n;

-- statements_period_once
insert into statements select 'eip155:1', 'a', 'b', n, 0, 9, 0, 0, 0, 1, 0, p.key, case when n > 1 then p.key end, p.key, now(), gen_random_uuid(), 0, 0, 0, 0, 0 from (select * from payments limit 1) p, generate_series(1, 2) n;

-- statements_sequence_range
insert into statements select 'eip155:1', 'a', 'b', 2, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1;

-- statements_period_order
insert into statements select 'eip155:1', 'a', 'b', 1, 9, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1;

-- statements_closes
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 1, 2, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1;

-- statements_closes
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 1, 1, 1, 0, key, null, key, now(), id, 1, 1, 1, 1, 0 from payments limit 1;

-- statements_closes
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, -1 from payments limit 1;

-- statements_evidence
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0, 1, 1, '0x1', 1 from payments limit 1;

-- statements_evidence
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0, 0, 1, '0x1', 9 from payments limit 1;

-- statements_evidence
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0, 0 from payments limit 1;

-- statements_lines_count
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 2, key, null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1;

-- statements_hash_length
insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, '', null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1;

-- statement_lines_name
insert into statement_lines select 'eip155:1', 'a', 'b', 1, 0, id from payments limit 2;

-- statement_lines_payment_once
insert into statement_lines select 'eip155:1', 'a', 'b', 1, n, id from (select id from payments limit 1) p, generate_series(1, 2) n;

-- statement_lines_statement
insert into statement_lines select 'eip155:1', 'a', 'b', 1, 0, id from payments limit 1;

-- statement_lines_payment
with closed as (insert into statements select 'eip155:1', 'a', 'b', 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0 from payments limit 1)
insert into statement_lines values ('eip155:1', 'a', 'b', 1, 0, '00000000-0000-0000-0000-000000000000');

-- statement_lines_position_range
insert into statement_lines select 'eip155:1', 'a', 'b', 1, -1, id from payments limit 1;

-- reports_id
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, sha256(n::text::bytea), 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p, generate_series(1, 2) n;

-- reports_once
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select gen_random_uuid(), p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p, generate_series(1, 2) n;

-- reports_ordered_length
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, 'x', 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p;

-- reports_state_known
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'lost', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p;

-- reports_claim_of_state
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'running', 0, 0, 0, null, null, null, p.id, null, now(), null from (select * from payments limit 1) p;

-- reports_end_of_state
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), now() from (select * from payments limit 1) p;

-- reports_done_complete
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'done', 0, 0, 0, null, p.key, null, null, null, now(), now() from (select * from payments limit 1) p;

-- reports_done_complete
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'done', 0, 0, 0, '[]', 'x', null, null, null, now(), now() from (select * from payments limit 1) p;

-- reports_failure_of_state
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, 'f', null, null, now(), null from (select * from payments limit 1) p;

-- reports_counts_range
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 0, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p;

-- report_pieces_report
insert into report_pieces values (gen_random_uuid(), 0, 'x');

-- report_pieces_name
with r as (insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p returning id)
insert into report_pieces select id, 0, 'x' from r, generate_series(1, 2) n;

-- report_pieces_position_range
with r as (insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, totals, sha256, failure, claimed_by, claimed_until, created_at, ended_at) 
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, null, null, null, null, null, now(), null from (select * from payments limit 1) p returning id)
insert into report_pieces select id, -1, 'x' from r;

-- notices_seq
insert into notices (seq, id, kind, subject, body, created_at) overriding system value
    select 1, gen_random_uuid(), 'a.b', 's', '{}', now() from generate_series(1, 2);

-- notices_id
insert into notices (id, kind, subject, body, created_at)
    select '00000000-0000-0000-0000-000000000000', 'a.b', 's', '{}', now() from generate_series(1, 2);

-- notices_kind_named
insert into notices (id, kind, subject, body, created_at) values (gen_random_uuid(), 'payment.lost', 's', '{}', now());

-- notices_subject_named
insert into notices (id, kind, subject, body, created_at) values (gen_random_uuid(), 'a.b', '', '{}', now());

-- webhook_endpoints_id
insert into webhook_endpoints (id, url, types, cursor, created_at)
    select '00000000-0000-0000-0000-000000000000', 'u', '{}', '', now() from generate_series(1, 2);

-- webhook_endpoints_url_named
insert into webhook_endpoints (id, url, types, cursor, created_at) values (gen_random_uuid(), '', '{}', '', now());

-- webhook_endpoints_generation_range
insert into webhook_endpoints (id, url, types, cursor, created_at, generation)
    values (gen_random_uuid(), 'u', '{}', '', now(), 0);

-- webhook_endpoints_disabled_complete
insert into webhook_endpoints (id, url, types, cursor, created_at, disabled_at)
    values (gen_random_uuid(), 'u', '{}', '', now(), now());

-- webhook_deliveries_endpoint
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at)
    values (gen_random_uuid(), 0, 1, now(), now());

-- webhook_deliveries_name
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at)
    select '00000000-0000-0000-0000-000000000000', 0, 1, now(), now() from generate_series(1, 2);

-- webhook_deliveries_source_known
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at)
    values (gen_random_uuid(), 2, 1, now(), now());

-- webhook_deliveries_payment_complete
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at, version)
    values (gen_random_uuid(), 0, 1, now(), now(), 1);

-- webhook_deliveries_state_known
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at, state, ended_at)
    values (gen_random_uuid(), 0, 1, now(), now(), 'lost', now());

-- webhook_deliveries_ended_of_state
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at, ended_at)
    values (gen_random_uuid(), 0, 1, now(), now(), now());

-- webhook_deliveries_attempts_range
insert into webhook_deliveries (endpoint_id, source, seq, due_at, created_at, attempts)
    values (gen_random_uuid(), 0, 1, now(), now(), -1);

-- refunds_id
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 2) n;

-- refunds_payment
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, gen_random_uuid(), 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_idempotency_key
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select gen_random_uuid(), p.id, 'k', p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 2) n;

-- refunds_idempotency_key_length
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, '', p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_digest_length
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, 'short', 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_amount_range
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 0, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_parties_named
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', '', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_labels_length
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, reason)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting', '' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_claimed_tx_length
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, claimed_tx)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting', '' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_paid_by_one
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, claimed_tx, wallet)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'executing', 't', 'w' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_height_range
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, -1, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_state_known
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, ended_at)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'lost', now() from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_execution_of_state
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'executing' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_execution_of_state
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, wallet)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting', 'w' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_attempts_range
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, attempts)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting', 1 from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_out_of_state
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, wallet, is_out)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'executing', 'w', true from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_paid_of_state
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, ended_at)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'paid', now() from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_paid_complete
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, paid_tx, paid_log_index, paid_height, paid_hash, ended_at)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'paid', 't', 1, 1, 'h', now() from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_end_of_state
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'cancelled' from (select * from payments limit 1) p, generate_series(1, 1) n;

-- refunds_transfer_once
insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state, paid_tx, paid_log_index, paid_height, paid_hash, paid_time, ended_at)
    select gen_random_uuid(), p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'paid', 't', 1, 1, 'h', 1, now() from (select * from payments limit 1) p, generate_series(1, 2) n;

-- refund_totals_payment_id
insert into refund_totals select p.id, 1, 0, 0 from (select * from payments limit 1) p, generate_series(1, 2);

-- refund_totals_payment
insert into refund_totals values (gen_random_uuid(), 1, 0, 0);

-- refund_totals_within_payment
insert into refund_totals select id, 1, 2, 0 from payments limit 1;

-- refund_totals_paid_recorded
insert into refund_totals select id, 2, 1, 2 from payments limit 1;

-- refund_attempts_refund
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select gen_random_uuid(), 1, key, 'n', '{}', '{}', 1, now() from payments limit 1;

-- refund_attempts_name
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n returning id, digest)
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select r.id, 1, sha256(n::text::bytea), 'n', '{}', '{}', 1, now() from r, generate_series(1, 2) n;

-- refund_attempts_key
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n returning id, digest)
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select r.id, n, r.digest, 'n', '{}', '{}', 1, now() from r, generate_series(1, 2) n;

-- refund_attempts_count_range
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n returning id, digest)
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select r.id, 0, r.digest, 'n', '{}', '{}', 1, now() from r, generate_series(1, 1) n;

-- refund_attempts_key_length
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n returning id, digest)
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select r.id, 1, 'short', 'n', '{}', '{}', 1, now() from r, generate_series(1, 1) n;

-- refund_attempts_proof_present
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k' || n, p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p, generate_series(1, 1) n returning id, digest)
insert into refund_attempts (refund_id, attempt, key, nonce, proof, extra, good_until, created_at)
    select r.id, 1, r.digest, '', '{}', '{}', 1, now() from r, generate_series(1, 1) n;

-- statements_refunds_range
insert into statements select network, asset, pay_to, 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0, 0, 0,
    null, null, null, null, 1 from payments limit 1;

-- statement_lines_of_one
insert into statement_lines select 'eip155:1', 'a', 'b', 1, 0, null from payments limit 1;

-- statement_lines_refund
with t as (insert into statements select network, asset, pay_to, 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id, 0, 0, 0,
    0, 0 from payments limit 1 returning network, asset, pay_to)
insert into statement_lines select network, asset, pay_to, 1, 0, null, gen_random_uuid() from t;

-- statement_lines_refund_once
with r as (insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount, settles_after, created_at, state)
    select p.id, p.id, 'k', p.key, 'eip155:1', 'a', 'b', 'c', 1, 0, now(), 'awaiting' from (select * from payments limit 1) p returning id)
insert into statement_lines select 'eip155:1', 'a', 'b', 1, n, null, id from r, generate_series(1, 2) n;

-- reports_schedule_named
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, created_at, schedule)
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, now(), '' from (select * from payments limit 1) p;

-- reports_edition_range
insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, created_at, edition)
select p.id, p.key, 'k', 'f', 'q', 1, 'queued', 0, 0, 0, now(), 0 from (select * from payments limit 1) p;

-- report_deliveries_once
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at)
    select 's', 0, 1, now(), now() from generate_series(1, 2);

-- report_deliveries_schedule_named
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at) values ('', 0, 1, now(), now());

-- report_deliveries_period_order
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at) values ('s', 1, 1, now(), now());

-- report_deliveries_state_known
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at, state, ended_at)
    values ('s', 0, 1, now(), now(), 'lost', now());

-- report_deliveries_ended_of_state
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at, state)
    values ('s', 0, 1, now(), now(), 'delivered');

-- report_deliveries_counts_range
insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at, claims)
    values ('s', 0, 1, now(), now(), -1);

-- payments_screening_known
update payments set screening = 'denied';

-- screenings_id
insert into screenings select id, 'settle', 'clear', 'p', network, '{}', key, id, null, now()
    from (select * from payments limit 1) p, generate_series(1, 2);

-- screenings_payment
insert into screenings select id, 'settle', 'clear', 'p', network, '{}', key, gen_random_uuid(), null, now()
    from (select * from payments limit 1) p;

-- screenings_refund
insert into screenings select id, 'settle', 'clear', 'p', network, '{}', key, null, gen_random_uuid(), now()
    from (select * from payments limit 1) p;

-- screenings_stage_known
insert into screenings select id, 'guess', 'clear', 'p', network, '{}', key, id, null, now() from (select * from payments limit 1) p;

-- screenings_decision_known
insert into screenings select id, 'settle', 'off', 'p', network, '{}', key, id, null, now() from (select * from payments limit 1) p;

-- screenings_policy_present
insert into screenings select id, 'settle', 'clear', '', network, '{}', key, id, null, now() from (select * from payments limit 1) p;

-- screenings_network_named
insert into screenings select id, 'settle', 'clear', 'p', 'base', '{}', key, id, null, now() from (select * from payments limit 1) p;

-- screenings_body_present
insert into screenings select id, 'settle', 'clear', 'p', network, '', key, id, null, now() from (select * from payments limit 1) p;

-- screenings_seal_length
insert into screenings select id, 'settle', 'clear', 'p', network, '{}', 'short', id, null, now() from (select * from payments limit 1) p;

-- screenings_of_one
insert into screenings select id, 'settle', 'clear', 'p', network, '{}', key, id, id, now() from (select * from payments limit 1) p;

-- screening_editions_name
insert into screening_editions select 's', 1, key, '', 1, 1, 0, now() from (select * from payments limit 1) p, generate_series(1, 2);

-- screening_editions_source_named
insert into screening_editions select '', 1, key, '', 1, 1, 0, now() from (select * from payments limit 1) p;

-- screening_editions_sha256_length
insert into screening_editions values ('s', 1, 'short', '', 1, 1, 0, now());

-- screening_editions_counts_range
insert into screening_editions select 's', 1, key, '', 0, 0, 0, now() from (select * from payments limit 1) p;

-- screening_heads_source
insert into screening_heads select 's', 1, now() from generate_series(1, 2);

-- screening_heads_edition
insert into screening_heads values ('s', 1, now());

-- screening_entries_name
insert into screening_entries select 's', 'a', '1', '', 1 from generate_series(1, 2);

-- screening_entries_added
insert into screening_entries values ('s', 'a', '1', '', 1);

-- screening_entries_removed
with e as (insert into screening_editions select 's', 1, key, '', 1, 1, 0, now() from payments limit 1)
insert into screening_entries values ('s', 'a', '1', '', 1, 2);

-- screening_entries_present
insert into screening_entries values ('s', '', '1', '', 1);

-- screening_entries_order
insert into screening_entries values ('s', 'a', '1', '', 1, 1);

-- screening_reviews_name
insert into screening_reviews select 'eip155:1', 'a', 's', 'pay_to', now() from generate_series(1, 2);

-- screening_reviews_named
insert into screening_reviews values ('eip155:1', '', 's', 'pay_to', now());

-- screening_reviews_role_known
insert into screening_reviews values ('eip155:1', 'a', 's', 'payer', now());

-- screening_reviews_order
insert into screening_reviews values ('eip155:1', 'a', 's', 'pay_to', now(), now() - interval '1 s');

-- paid_sums_name
insert into paid_sums select 'n', 'a', 'p', 1, 1, 1 from generate_series(1, 2);

-- paid_sums_range
insert into paid_sums values ('n', 'a', 'p', 1, 1, 0);

-- paid_sums_place_name
insert into paid_sums_place select 'sums', '' from generate_series(1, 2);

-- paid_sums_place_known
insert into paid_sums_place values ('other', '');

-- paid_sums_crossed_name
insert into paid_sums_crossed select 'n', 'a', 'p', 'day', 1, 1, 1, 1, now() from generate_series(1, 2);

-- paid_sums_crossed_span_known
insert into paid_sums_crossed values ('n', 'a', 'p', 'year', 1, 1, 1, 1, now());

-- paid_sums_crossed_reached
insert into paid_sums_crossed values ('n', 'a', 'p', 'day', 1, 1, 2, 1, now());

-- tenants_id
insert into tenants select id, 'other', now() from tenants;

-- tenants_name
insert into tenants select gen_random_uuid(), name, now() from tenants;

-- tenants_name_length
insert into tenants values (gen_random_uuid(), '', now());

-- merchants_id
insert into merchants select t.id, t.id, 'm', now() from tenants t, generate_series(1, 2);

-- merchants_tenant
insert into merchants values (gen_random_uuid(), gen_random_uuid(), 'm', now());

-- merchants_name_length
insert into merchants select gen_random_uuid(), id, '', now() from tenants;

-- merchant_accounts_name
insert into merchants select id, id, 'm', now() from tenants;
insert into merchant_accounts select 'eip155:1', 'a', id, id, 'operator', null, now() from tenants, generate_series(1, 2);

-- merchant_accounts_merchant
insert into merchant_accounts select 'eip155:1', 'a', id, id, 'operator', null, now() from tenants;

-- merchant_accounts_named
insert into merchant_accounts select 'eip155:1', '', id, id, 'operator', null, now() from tenants;

-- merchant_accounts_claim_known
insert into merchant_accounts select 'eip155:1', 'a', id, id, 'hearsay', null, now() from tenants;

-- merchant_accounts_claim_proven
insert into merchant_accounts select 'eip155:1', 'a', id, id, 'proof', null, now() from tenants;

-- gateway_keys_id
insert into gateway_keys select t.id, t.id, null, 'k', p.digest, '{read}', null, null, null, now() from tenants t, payments p;

-- gateway_keys_tenant
insert into gateway_keys select id, id, null, 'k', digest, '{read}', null, null, null, now() from payments;

-- gateway_keys_merchant
insert into gateway_keys select t.id, t.id, t.id, 'k', digest, '{settle}', null, null, null, now()
    from tenants t, (select * from payments limit 1) p;

-- gateway_keys_name_length
insert into gateway_keys select p.id, t.id, null, '', digest, '{read}', null, null, null, now() from tenants t, payments p;

-- gateway_keys_hash_length
insert into gateway_keys select id, id, null, 'k', 'short', '{read}', null, null, null, now() from tenants;

-- gateway_keys_scopes_known
insert into gateway_keys select p.id, t.id, null, 'k', digest, '{}', null, null, null, now() from tenants t, payments p;

-- gateway_keys_scopes_known
insert into gateway_keys select p.id, t.id, null, 'k', digest, '{all}', null, null, null, now() from tenants t, payments p;

-- gateway_keys_restricted_moves
insert into gateway_keys select p.id, t.id, null, 'k', digest, '{settle,read}', null, null, '{a}', now()
    from tenants t, payments p;

-- admin_log_seq
insert into admin_log select 1, null, '{}', digest, now() from payments;

-- admin_log_chained
insert into admin_log select 2, null, '{}', digest, now() from payments limit 1;

-- admin_log_entry_present
insert into admin_log select 1, null, '', digest, now() from payments limit 1;

-- admin_log_hash_length
insert into admin_log values (1, null, '{}', 'short', now());

-- tenant_budgets_tenant
insert into tenant_budgets values ('00000000-0000-0000-0000-000000000001', 'eip155:1', 'native', 1, 1);

-- tenant_budgets_name
insert into tenant_budgets select id, 'eip155:1', 'native', 1, 1 from tenants, generate_series(1, 2);

-- tenant_budgets_named
insert into tenant_budgets select id, 'base', 'native', 1, 1 from tenants;

-- tenant_budgets_named
insert into tenant_budgets select id, 'eip155:1', '', 1, 1 from tenants;

-- tenant_budgets_range
insert into tenant_budgets select id, 'eip155:1', 'native', null, -1 from tenants;

-- settlements_value_range
update settlements set value_held = -1;

-- gateway_keys_public_key_length
insert into gateway_keys (id, tenant, name, hash, scopes, created_at, public_key)
select id, id, 'a', '\x0000000000000000000000000000000000000000000000000000000000000000', array['verify'], now(), 'short'
from tenants;

-- paid_sums_of_tenants_name
insert into paid_sums_of_tenants select id, 'n', 'a', 'p', 1, 1, 1 from tenants, generate_series(1, 2);

-- paid_sums_of_tenants_range
insert into paid_sums_of_tenants select id, 'n', 'a', 'p', 1, 1, 0 from tenants;

-- thresholds_crossed_name
insert into thresholds_crossed select id, 'n', 'a', 'p', 'day', 1, 1, 1, 1, now() from tenants, generate_series(1, 2);

-- thresholds_crossed_span_known
insert into thresholds_crossed select id, 'n', 'a', 'p', 'year', 1, 1, 1, 1, now() from tenants;

-- thresholds_crossed_reached
insert into thresholds_crossed select id, 'n', 'a', 'p', 'day', 1, 1, 2, 1, now() from tenants;
