-- A gate scan: one call, in autocommit, so the call is the transaction. It finds out who scans, decides, logs and admits.
-- The log is what makes it happen once: an action that stands there already changes nothing, its first outcome is the
-- answer whatever the rules say now. The code's signature was checked before it is called.
--
-- p_serial or p_short names the ticket (a code's or a typed short form); p_foreign is a verdict of the code alone.
create or replace function ticketing.scan(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_gate_place integer, p_serial bytea, p_short text, p_heads integer, p_foreign text,
    p_now timestamptz default foundation.now())
returns jsonb language plpgsql as $$
declare
    v_operator text := set_config('app.operator', p_operator::text, true); -- first: what follows sees his rows only
    v record;
    v_last_device text;
    v_outcome jsonb;
    v_verdict text;
    v_admit integer;
begin
    if p_short is not null then
        select t.serial into p_serial from ticketing.ticket t where t.operator_id = p_operator and t.short = p_short;
    end if;
    -- Reads, decides, writes; and looks again if the ticket has changed meanwhile (another version of its row stands
    -- there) or the same action came twice at once. So two scans of one ticket follow each other, and the second one sees
    -- what the first did; a lock would cost every scan what only those two need.
    loop
        select d.device_id, d.staff_id, d.refusal, a.body_hash, a.outcome, t.xmin as version,
               t.serial, t.short, t.order_id, t.place, t.valid_day, t.heads, t.admitted, t.first_used_at,
               t.last_used_at, t.last_device_id, t.revoked_at, o.lines
        into v
        from foundation.on_duty(p_operator, p_session, p_gate_place) d
        left join foundation.action a on a.operator_id = p_operator and a.device_id = d.device_id and a.id = p_action
        left join ticketing.ticket t on t.operator_id = p_operator and t.serial = p_serial
        left join ticketing."order" o on o.operator_id = p_operator and o.id = t.order_id;
        if not found or v.refusal is not null then
            return jsonb_build_object('refusal', coalesce(v.refusal, 'login_expired'));
        elsif v.body_hash <> p_body_hash then
            return jsonb_build_object('refusal', 'key_used_for_another');
        elsif v.outcome is not null then
            return v.outcome;
        end if;

        v_admit := 0;
        if p_foreign is not null then
            v_verdict := p_foreign; -- the code itself already says no: another place, forged, unreadable
        elsif v.serial is null then
            v_verdict := 'unknown';
        elsif v.place <> p_gate_place then
            v_verdict := 'wrong_place';
        elsif v.revoked_at is not null then
            v_verdict := 'revoked';
        elsif v.valid_day <> foundation.hanoi_day(p_now) then
            v_verdict := 'wrong_day';
        elsif v.last_device_id = v.device_id and v.last_used_at > p_now - interval '3 seconds' then
            v_verdict := 'repeated';
        elsif v.admitted >= v.heads or coalesce(p_heads, 1) > v.heads - v.admitted then
            v_verdict := 'used';
        else
            v_verdict := 'valid';
            v_admit := coalesce(p_heads, v.heads - v.admitted);
        end if;

        if v.last_device_id is not null then
            select name into v_last_device from foundation.device
            where operator_id = p_operator and id = v.last_device_id;
        end if;
        if v.serial is null then
            v_outcome := jsonb_build_object('verdict', v_verdict);
        else
            v_outcome := jsonb_build_object(
                'verdict', v_verdict,
                'short', v.short, 'order_id', v.order_id, 'place', v.place, 'day', v.valid_day,
                'heads', v.heads, 'admitted_now', v_admit, 'admitted_total', v.admitted + v_admit,
                'first_used_at', coalesce(v.first_used_at, case when v_admit > 0 then p_now end),
                'last_used_at', v.last_used_at, 'last_used_where', v_last_device, 'lines', v.lines);
        end if;

        -- The CHECK on admitted is the rule; that the ticket is as it was read makes it kind.
        with admitted as (
            update ticketing.ticket t
            set admitted = t.admitted + v_admit, first_used_at = coalesce(t.first_used_at, p_now), last_used_at = p_now,
                last_device_id = v.device_id
            where v_admit > 0 and t.operator_id = p_operator and t.serial = v.serial and t.xmin = v.version
            returning t.serial)
        insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                       occurred_at, done_at)
        select p_operator, v.device_id, p_action, 'gate.scan', p_counter, p_body_hash, v_outcome, v.staff_id,
               p_occurred_at, p_now
        where v_admit = 0 or exists (select from admitted)
        on conflict do nothing;
        if found then
            return v_outcome;
        end if;
    end loop;
end $$;
