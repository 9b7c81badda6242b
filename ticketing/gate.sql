-- A gate scan: one call, in autocommit, so the call is the transaction. It finds out who scans, decides, logs and admits.
-- The log is what makes it happen once: an action that stands there already changes nothing, its first outcome is the
-- answer whatever the rules say now. The code's signature was checked before it is called.
--
-- p_serial or p_short names the ticket; p_place and p_day stand in the code (null for a typed short form).
create or replace function ticketing.scan(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_gate_place integer, p_serial bytea, p_short text, p_heads integer, p_foreign text,
    p_now timestamptz default foundation.now())
returns jsonb language plpgsql as $$
declare
    v_duty record;
    v_ticket record;
    v_last_device text;
    v_first foundation.action;
    v_outcome jsonb;
    v_verdict text;
    v_admit integer := 0;
    v_today date := foundation.hanoi_day(p_now);
begin
    perform set_config('app.operator', p_operator::text, true);
    select * into v_duty from foundation.on_duty(p_operator, p_session);
    if not found then
        return jsonb_build_object('refusal', 'login_expired');
    elsif v_duty.refusal is not null then
        return jsonb_build_object('refusal', v_duty.refusal);
    elsif not p_gate_place = any (v_duty.places) then
        return jsonb_build_object('refusal', 'place_not_yours');
    end if;

    -- The ticket's row is the lock: two scans of one ticket follow each other, and the second sees what the first did.
    if p_short is null then
        select t.*, o.lines into v_ticket
        from ticketing.ticket t join ticketing."order" o on o.operator_id = t.operator_id and o.id = t.order_id
        where t.operator_id = p_operator and t.serial = p_serial for update of t;
    else
        select t.*, o.lines into v_ticket
        from ticketing.ticket t join ticketing."order" o on o.operator_id = t.operator_id and o.id = t.order_id
        where t.operator_id = p_operator and t.short = p_short for update of t;
    end if;

    if p_foreign is not null then
        v_verdict := p_foreign; -- the code itself already says no: another place, forged, unreadable
    elsif v_ticket.serial is null then
        v_verdict := 'unknown';
    elsif v_ticket.place <> p_gate_place then
        v_verdict := 'wrong_place';
    elsif v_ticket.revoked_at is not null then
        v_verdict := 'revoked';
    elsif v_ticket.valid_day <> v_today then
        v_verdict := 'wrong_day';
    elsif v_ticket.last_device_id = v_duty.device_id and v_ticket.last_used_at > p_now - interval '3 seconds' then
        v_verdict := 'repeated';
    elsif v_ticket.admitted >= v_ticket.heads or coalesce(p_heads, 1) > v_ticket.heads - v_ticket.admitted then
        v_verdict := 'used';
    else
        v_verdict := 'valid';
        v_admit := coalesce(p_heads, v_ticket.heads - v_ticket.admitted);
    end if;

    if v_ticket.last_device_id is not null then
        select name into v_last_device from foundation.device
        where operator_id = p_operator and id = v_ticket.last_device_id;
    end if;
    if v_ticket.serial is null then
        v_outcome := jsonb_build_object('verdict', v_verdict);
    else
        v_outcome := jsonb_build_object(
            'verdict', v_verdict,
            'short', v_ticket.short, 'order_id', v_ticket.order_id, 'place', v_ticket.place, 'day', v_ticket.valid_day,
            'heads', v_ticket.heads, 'admitted_now', v_admit, 'admitted_total', v_ticket.admitted + v_admit,
            'first_used_at', coalesce(v_ticket.first_used_at, case when v_admit > 0 then p_now end),
            'last_used_at', v_ticket.last_used_at, 'last_used_where', v_last_device, 'lines', v_ticket.lines);
    end if;

    insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                   occurred_at, done_at)
    values (p_operator, v_duty.device_id, p_action, 'gate.scan', p_counter, p_body_hash, v_outcome, v_duty.staff_id,
            p_occurred_at, p_now)
    on conflict do nothing;
    if not found then
        select * into v_first from foundation.action
        where operator_id = p_operator and device_id = v_duty.device_id and id = p_action;
        if v_first.body_hash is distinct from p_body_hash then
            return jsonb_build_object('refusal', 'key_used_for_another');
        end if;
        return v_first.outcome;
    end if;

    -- Last, because it is the row that others wait for. The CHECK on admitted is the rule; the lock made it kind.
    if v_admit > 0 then
        update ticketing.ticket
        set admitted = admitted + v_admit, first_used_at = coalesce(first_used_at, p_now), last_used_at = p_now,
            last_device_id = v_duty.device_id
        where operator_id = p_operator and serial = v_ticket.serial;
    end if;
    return v_outcome;
end $$;
