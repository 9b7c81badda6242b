-- The hot acts of a lot. Each is one call in autocommit, so the call is the transaction: it sets the operator, decides,
-- writes and returns. The lot's counter is updated last, because every vehicle at the lot waits for that row.

-- Vehicle in. `refusal` names why not; otherwise `outcome` is the action's first outcome, followed by the stay's facts.
create or replace function parking.enter(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_place integer, p_class smallint, p_stay uuid, p_serial bytea, p_short text,
    p_plate_sealed bytea, p_plate_tag bytea, p_tail_tag bytea, p_now timestamptz default foundation.now())
returns table (
    refusal text, outcome jsonb, at timestamptz, id uuid, place integer, vehicle_class smallint, tariff integer,
    rule jsonb, entered_at timestamptz, entered_by text, serial bytea, short text, plate_sealed bytea, settled_vnd bigint,
    may_leave_until timestamptz, left_at timestamptz, charge_id uuid)
language plpgsql as $$
#variable_conflict use_column
declare
    v_duty record;
    v_first foundation.action;
    v_tariff integer;
    v_stay parking.stay;
begin
    perform set_config('app.operator', p_operator::text, true);
    select * into v_duty from foundation.on_duty(p_operator, p_session);
    if not found then
        refusal := 'login_expired';
    elsif v_duty.refusal is not null then
        refusal := v_duty.refusal;
    elsif not p_place = any (v_duty.places) then
        refusal := 'place_not_yours';
    end if;
    if refusal is not null then
        return next;
        return;
    end if;

    select * into v_first from foundation.action a
    where a.operator_id = p_operator and a.device_id = v_duty.device_id and a.id = p_action;
    if found then
        if v_first.kind <> 'parking.in' or v_first.body_hash <> p_body_hash then
            refusal := 'key_used_for_another';
            return next;
            return;
        end if;
        outcome := v_first.outcome;
        select * into v_stay from parking.stay s
        where s.operator_id = p_operator and s.id = (v_first.outcome ->> 'stay_id')::uuid;
    else
        select t.number into v_tariff from parking.tariff_row t
        where t.operator_id = p_operator and t.place = p_place and t.vehicle_class = p_class
          and t.valid_from <= foundation.hanoi_day(p_now) and (t.valid_to is null or foundation.hanoi_day(p_now) < t.valid_to);
        if not found then
            refusal := 'not_parked_here';
            return next;
            return;
        end if;
        v_stay := parking.begin_stay(p_operator, p_stay, p_place, p_class, v_tariff, p_serial, p_short, p_plate_sealed,
                                     p_plate_tag, p_tail_tag, 'device', v_duty.device_id, p_now);
        if v_stay.id is null then
            refusal := 'draw_again';
            return next;
            return;
        end if;
        outcome := jsonb_build_object(
            'verdict', case when v_stay.id = p_stay then 'in' else 'already_in' end, 'stay_id', v_stay.id);
        -- The same action twice at once: the second one fails here with all it did, and asks again.
        insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                       occurred_at, done_at)
        values (p_operator, v_duty.device_id, p_action, 'parking.in', p_counter, p_body_hash, outcome,
                v_duty.staff_id, p_occurred_at, p_now);
        if v_stay.id = p_stay then
            update parking.lot l set occupied = l.occupied + 1 where l.operator_id = p_operator and l.place = p_place;
        elsif not v_stay.counted then
            perform parking.count_in(p_operator, v_stay.id);
        end if;
    end if;
    return query
        select null::text, outcome, p_now, v_stay.id, v_stay.place, v_stay.vehicle_class, v_stay.tariff, t.rule,
               v_stay.entered_at, v_stay.entered_by::text, v_stay.serial, v_stay.short::text, v_stay.plate_sealed, v_stay.settled_vnd,
               v_stay.may_leave_until, v_stay.left_at, v_stay.charge_id
        from parking.tariff_row t
        where t.operator_id = p_operator and t.place = v_stay.place and t.number = v_stay.tariff;
end $$;

-- Vehicle out. The stay is named by its id, or by serial and place of its code, or by its short form; by none of them if
-- what was read is no code of a stay. Neither refusal nor outcome: nothing was written, the fee at `at` decides, or a
-- payment that is still asked for has to be closed with the leaving; count the fee from the facts and call again with
-- p_fee_vnd and that p_now.
create or replace function parking.leave(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_place integer, p_stay uuid, p_serial bytea, p_code_place integer, p_short text,
    p_fee_vnd bigint default null, p_now timestamptz default foundation.now())
returns table (
    refusal text, outcome jsonb, at timestamptz, id uuid, place integer, vehicle_class smallint, tariff integer,
    rule jsonb, entered_at timestamptz, entered_by text, serial bytea, short text, plate_sealed bytea, settled_vnd bigint,
    may_leave_until timestamptz, left_at timestamptz, charge_id uuid)
language plpgsql as $$
#variable_conflict use_column
declare
    v_duty record;
    v_first foundation.action;
    v_stay parking.stay;
    v_verdict text;
    v_elsewhere integer;
begin
    perform set_config('app.operator', p_operator::text, true);
    select * into v_duty from foundation.on_duty(p_operator, p_session);
    if not found then
        refusal := 'login_expired';
    elsif v_duty.refusal is not null then
        refusal := v_duty.refusal;
    elsif not p_place = any (v_duty.places) then
        refusal := 'place_not_yours';
    end if;
    if refusal is not null then
        return next;
        return;
    end if;

    -- The stay's row is the lock: two tablets that let one vehicle out follow each other, and the second one sees what
    -- the first did. Only then are the action and the stay read.
    if p_code_place is distinct from p_place and p_code_place is not null then
        v_elsewhere := p_code_place;
    elsif p_stay is not null then
        select * into v_stay from parking.stay s where s.operator_id = p_operator and s.id = p_stay for update;
    elsif p_serial is not null then
        select * into v_stay from parking.stay s where s.operator_id = p_operator and s.serial = p_serial for update;
    elsif p_short is not null then
        select * into v_stay from parking.stay s where s.operator_id = p_operator and s.short = p_short for update;
    end if;
    if v_stay.place <> p_place then
        v_elsewhere := v_stay.place;
    end if;

    select * into v_first from foundation.action a
    where a.operator_id = p_operator and a.device_id = v_duty.device_id and a.id = p_action;
    if found then
        if v_first.kind <> 'parking.out' or v_first.body_hash <> p_body_hash then
            refusal := 'key_used_for_another';
            return next;
            return;
        end if;
        outcome := v_first.outcome;
    elsif v_elsewhere is not null then
        v_verdict := 'wrong_place';
    elsif v_stay.id is null then
        v_verdict := 'unknown';
    elsif v_stay.left_at is not null then
        v_verdict := 'already_left';
    elsif v_stay.charge_id is not null and p_fee_vnd is null then
        v_verdict := null;
    elsif v_stay.may_leave_until >= p_now or v_stay.settled_vnd >= p_fee_vnd then
        v_verdict := 'left';
        v_stay.left_at := greatest(p_now, v_stay.entered_at);
    elsif p_fee_vnd is not null then
        v_verdict := 'unpaid';
    end if;

    if v_verdict is not null then
        outcome := jsonb_build_object('verdict', v_verdict, 'at', p_now);
        if v_verdict = 'wrong_place' then
            -- The name of another operator's place is not ours to read; then there is none.
            outcome := outcome || coalesce(
                (select jsonb_build_object('place_name_vi', p.name_vi, 'place_name_en', p.name_en)
                 from foundation.place p where p.operator_id = p_operator and p.number = v_elsewhere), '{}');
        elsif v_verdict <> 'unknown' then
            outcome := outcome || jsonb_build_object(
                'stay_id', v_stay.id, 'left_at', v_stay.left_at, 'may_leave_until', v_stay.may_leave_until,
                'due_vnd', case when v_verdict = 'unpaid' then p_fee_vnd - v_stay.settled_vnd else 0 end);
        end if;
        if v_verdict = 'left' then
            update parking.stay s set left_at = v_stay.left_at, left_device_id = v_duty.device_id
            where s.operator_id = p_operator and s.id = v_stay.id;
        end if;
        insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                       occurred_at, done_at)
        values (p_operator, v_duty.device_id, p_action, 'parking.out', p_counter, p_body_hash, outcome,
                v_duty.staff_id, p_occurred_at, p_now);
        if v_verdict = 'left' and v_stay.counted then
            update parking.lot l set occupied = l.occupied - 1 where l.operator_id = p_operator and l.place = p_place;
        end if;
    end if;

    if v_stay.id is null or v_elsewhere is not null then
        at := p_now;
        return next;
        return;
    end if;
    return query
        select null::text, outcome, p_now, v_stay.id, v_stay.place, v_stay.vehicle_class, v_stay.tariff, t.rule,
               v_stay.entered_at, v_stay.entered_by::text, v_stay.serial, v_stay.short::text, v_stay.plate_sealed, v_stay.settled_vnd,
               v_stay.may_leave_until, v_stay.left_at, v_stay.charge_id
        from parking.tariff_row t
        where t.operator_id = p_operator and t.place = v_stay.place and t.number = v_stay.tariff;
end $$;
