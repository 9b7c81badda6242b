-- A charge at one glance, in autocommit (Database.hot): whose it is, the columns of ChargeView, whether anything that was
-- paid for it waits to go back or has gone, and the account it is paid to. A reference is new to nearly every process that
-- is asked for it, so whose it is comes from the directory in the same call. Asked for as one value: as a table it would go
-- through one.
drop function if exists payments.look(uuid, text);
drop function if exists payments.look(text);
create or replace function payments.look(
    p_reference text,
    out operator_id uuid, out id uuid, out reference text, out token text, out amount_vnd bigint, out received_vnd bigint,
    out state text, out return_path text, out created_at timestamptz, out holds_until timestamptz,
    out topup_until timestamptz, out paid_at timestamptz, out touched boolean, out bin text, out account text,
    out owner_name text)
language plpgsql as $$
#variable_conflict use_column
begin
    select d.operator_id into operator_id from foundation.directory d where d.kind = 'reference' and d.key = p_reference;
    perform set_config('app.operator', look.operator_id::text, true);
    select c.id, c.reference, c.token, c.amount_vnd, c.received_vnd, c.state, c.return_path, c.created_at, c.holds_until,
           c.topup_until, c.paid_at,
           exists (select from payments.held h where h.operator_id = look.operator_id and h.charge_id = c.id)
           or exists (select from payments.given_back g where g.operator_id = look.operator_id and g.charge_id = c.id),
           a.bin, a.account, a.owner_name
    into id, reference, token, amount_vnd, received_vnd, state, return_path, created_at, holds_until, topup_until, paid_at,
         touched, bin, account, owner_name
    from payments.charge c
    cross join lateral (select k.bin, k.account, k.owner_name from payments.collection_account k
                        where k.operator_id = look.operator_id order by k.bin, k.account limit 1) a
    where c.operator_id = look.operator_id and c.reference = p_reference;
end $$;

-- A new charge with its lines, first event and name in the directory; p_charge has the names of their columns.
create or replace function payments.charge(p_operator uuid, p_charge jsonb) returns void language plpgsql as $$
begin
    with asked as (
        insert into payments.charge (operator_id, id, reference, token, amount_vnd, received_vnd, state, return_path,
                                     created_at, holds_until)
        select p_operator, id, reference, token, amount_vnd, 0, 'open', return_path, created_at, holds_until
        from jsonb_populate_record(null::payments.charge, p_charge)),
    noted as (
        insert into payments.charge_event (operator_id, charge_id, id, state, cause, at)
        values (p_operator, (p_charge ->> 'id')::uuid, (p_charge ->> 'event_id')::uuid, 'open', 'charged',
                (p_charge ->> 'created_at')::timestamptz)),
    named as (
        insert into foundation.directory (kind, key, operator_id)
        values ('reference', p_charge ->> 'reference', p_operator))
    insert into payments.charge_line (operator_id, charge_id, line_no, purpose, reference, amount_vnd, service, place,
                                      ward, "class", service_day, environment)
    select p_operator, (p_charge ->> 'id')::uuid, line_no, purpose, reference, amount_vnd, service, place, ward,
           "class", service_day, environment
    from jsonb_populate_recordset(null::payments.charge_line, p_charge -> 'lines');
end $$;

-- The days of a charge's lines are counted anew a moment later. Every payer of a day touches its row: called last.
create or replace function payments.count_anew(p_operator uuid, p_charge jsonb) returns void language plpgsql as $$
begin
    insert into foundation.due (operator_id, kind, id, due_at, version, attempts)
    select distinct p_operator, 'payments.rollup', line ->> 'service_day', clock_timestamp() + interval '200 ms', 1, 0
    from jsonb_array_elements(p_charge -> 'lines') line order by 3
    on conflict (operator_id, kind, id) do update set version = foundation.due.version + 1, attempts = 0,
        parked_at = null, due_at = least(foundation.due.due_at, excluded.due_at);
end $$;
