-- The hot acts of a lot. Each is one call in autocommit, so the call is the transaction: it sets the operator, decides,
-- writes and returns. One statement finds out all there is to know, one writes: each costs more than what it does. What
-- is written comes from one part of a statement to the next, so that the lot's counter is the last: every vehicle at the
-- lot waits for that row.

-- Vehicle in. `refusal` names why not; otherwise `outcome` is the action's first outcome, followed by the stay's facts.
create or replace function parking.enter(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_place integer, p_class smallint, p_stay uuid, p_serial bytea, p_short text,
    p_plate_sealed bytea, p_plate_tag bytea, p_tail_tag bytea, p_now timestamptz default foundation.now(),
    out refusal text, out outcome jsonb, out at timestamptz, out id uuid, out place integer, out vehicle_class smallint,
    out tariff integer, out rule jsonb, out entered_at timestamptz, out entered_device_id uuid, out serial bytea,
    out short text, out plate_sealed bytea, out settled_vnd bigint, out may_leave_until timestamptz,
    out left_at timestamptz, out charge_id uuid)
language plpgsql as $$
#variable_conflict use_column
declare
    v_operator text := set_config('app.operator', p_operator::text, true); -- first: what follows sees his rows only
    v_device uuid;
    v_staff uuid;
    v_kind text;
    v_body_hash bytea;
    v_counted boolean;
begin
    at := p_now;
    select d.device_id, d.staff_id, d.refusal, a.kind, a.body_hash, a.outcome, t.number, t.rule
    into v_device, v_staff, refusal, v_kind, v_body_hash, outcome, tariff, rule
    from foundation.on_duty(p_operator, p_session, p_place) d
    left join foundation.action a on a.operator_id = p_operator and a.device_id = d.device_id and a.id = p_action
    left join parking.tariff_row t
        on t.operator_id = p_operator and t.place = p_place and t.vehicle_class = p_class
        and t.valid_from <= foundation.hanoi_day(p_now) and (t.valid_to is null or foundation.hanoi_day(p_now) < t.valid_to);
    if not found then
        refusal := 'login_expired';
    elsif v_kind <> 'parking.in' or v_body_hash <> p_body_hash then
        refusal := coalesce(refusal, 'key_used_for_another');
    elsif outcome is null and tariff is null then
        refusal := coalesce(refusal, 'not_parked_here');
    end if;
    if refusal is not null then
        return;
    end if;

    if outcome is not null then
        id := (outcome ->> 'stay_id')::uuid;
    else
        outcome := jsonb_build_object('verdict', 'in', 'stay_id', p_stay);
        -- The same action twice at once, or a name drawn that is taken: it fails here with all it did, and asks again.
        with began as (
            insert into parking.stay (operator_id, id, place, vehicle_class, tariff, plate_sealed, plate_tag, tail_tag,
                                      serial, short, entered_at, entered_device_id, counted, settled_vnd)
            values (p_operator, p_stay, p_place, p_class, tariff, p_plate_sealed, p_plate_tag, p_tail_tag,
                    p_serial, p_short, p_now, v_device, true, 0)
            on conflict (operator_id, place, vehicle_class, plate_tag) where left_at is null and plate_tag is not null
            do nothing
            returning id),
        logged as (
            insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                           occurred_at, done_at)
            select p_operator, v_device, p_action, 'parking.in', p_counter, p_body_hash, outcome, v_staff,
                   p_occurred_at, p_now
            from began
            returning id)
        update parking.lot l set occupied = l.occupied + 1
        from logged where l.operator_id = p_operator and l.place = p_place;
        if found then
            id := p_stay; place := p_place; vehicle_class := p_class; entered_at := p_now; entered_device_id := v_device;
            serial := p_serial; short := p_short; plate_sealed := p_plate_sealed; settled_vnd := 0;
            return;
        end if;

        -- Its plate and class stand there already, or have just left.
        select s.id, s.counted into id, v_counted from parking.stay s
        where s.operator_id = p_operator and s.place = p_place and s.vehicle_class = p_class
          and s.plate_tag = p_plate_tag and s.left_at is null;
        if not found then
            refusal := 'try_once_more';
            return;
        end if;
        outcome := jsonb_build_object('verdict', 'already_in', 'stay_id', id);
        insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                       occurred_at, done_at)
        values (p_operator, v_device, p_action, 'parking.in', p_counter, p_body_hash, outcome, v_staff,
                p_occurred_at, p_now);
        if not v_counted then
            perform parking.count_in(p_operator, id);
        end if;
    end if;
    select s.place, s.vehicle_class, s.tariff, t.rule, s.entered_at, s.entered_device_id, s.serial, s.short,
           s.plate_sealed, s.settled_vnd, s.may_leave_until, s.left_at, s.charge_id
    into place, vehicle_class, tariff, rule, entered_at, entered_device_id, serial, short,
         plate_sealed, settled_vnd, may_leave_until, left_at, charge_id
    from parking.stay s join parking.tariff_row t
        on t.operator_id = s.operator_id and t.place = s.place and t.number = s.tariff
    where s.operator_id = p_operator and s.id = enter.id;
end $$;

-- Vehicle out. The stay is named by its id, or by serial and place of its code, or by its short form; by none of them if
-- what was read is no code of a stay. Neither refusal nor outcome: nothing was written, the fee at `at` decides, or a
-- payment that is still asked for has to be closed with the leaving; count the fee from the facts and call again with
-- p_fee_vnd and that p_now.
create or replace function parking.leave(
    p_operator uuid, p_session bytea, p_action uuid, p_counter bigint, p_body_hash bytea, p_occurred_at timestamptz,
    p_place integer, p_stay uuid, p_serial bytea, p_code_place integer, p_short text,
    p_fee_vnd bigint default null, p_now timestamptz default foundation.now(),
    out refusal text, out outcome jsonb, out at timestamptz, out id uuid, out place integer, out vehicle_class smallint,
    out tariff integer, out rule jsonb, out entered_at timestamptz, out entered_device_id uuid, out serial bytea,
    out short text, out plate_sealed bytea, out settled_vnd bigint, out may_leave_until timestamptz,
    out left_at timestamptz, out charge_id uuid)
language plpgsql as $$
#variable_conflict use_column
declare
    v_operator text := set_config('app.operator', p_operator::text, true); -- first: what follows sees his rows only
    v_device uuid;
    v_staff uuid;
    v_kind text;
    v_body_hash bytea;
    v_version xid;
    v_counted boolean;
    v_elsewhere integer;
    v_verdict text;
    v_logged uuid;
begin
    at := p_now;
    if p_code_place <> p_place then
        v_elsewhere := p_code_place;
    elsif p_serial is not null then
        select s.id into p_stay from parking.stay s where s.operator_id = p_operator and s.serial = p_serial;
    elsif p_short is not null then
        select s.id into p_stay from parking.stay s where s.operator_id = p_operator and s.short = p_short;
    end if;

    -- Reads, decides, writes; and looks again if the stay has changed meanwhile (another version of its row stands there)
    -- or the same action came twice at once. So two tablets that let one vehicle out follow each other, and the second
    -- one sees what the first did; a lock would cost every vehicle what only those two need.
    loop
        select d.device_id, d.staff_id, d.refusal, a.kind, a.body_hash, a.outcome, s.xmin, s.counted,
               s.id, s.place, s.vehicle_class, s.tariff, t.rule, s.entered_at, s.entered_device_id, s.serial, s.short,
               s.plate_sealed, s.settled_vnd, s.may_leave_until, s.left_at, s.charge_id
        into v_device, v_staff, refusal, v_kind, v_body_hash, outcome, v_version, v_counted,
             id, place, vehicle_class, tariff, rule, entered_at, entered_device_id, serial, short,
             plate_sealed, settled_vnd, may_leave_until, left_at, charge_id
        from foundation.on_duty(p_operator, p_session, p_place) d
        left join foundation.action a on a.operator_id = p_operator and a.device_id = d.device_id and a.id = p_action
        left join parking.stay s on s.operator_id = p_operator and s.id = p_stay
        left join parking.tariff_row t on t.operator_id = p_operator and t.place = s.place and t.number = s.tariff;
        if not found then
            refusal := 'login_expired';
        elsif v_kind <> 'parking.out' or v_body_hash <> p_body_hash then
            refusal := coalesce(refusal, 'key_used_for_another');
        end if;
        if refusal is not null then
            return;
        end if;

        if place <> p_place then
            v_elsewhere := place;
            id := null; -- not ours to show
        end if;
        if outcome is not null then
            return;
        elsif v_elsewhere is not null then
            v_verdict := 'wrong_place';
        elsif id is null then
            v_verdict := 'unknown';
        elsif left_at is not null then
            v_verdict := 'already_left';
        elsif charge_id is not null and p_fee_vnd is null then
            return;
        elsif may_leave_until >= p_now or settled_vnd >= p_fee_vnd then
            v_verdict := 'left';
            left_at := greatest(p_now, entered_at);
        elsif p_fee_vnd is not null then
            v_verdict := 'unpaid';
        else
            return;
        end if;

        if v_verdict = 'unknown' then
            outcome := jsonb_build_object('verdict', v_verdict, 'at', p_now);
        elsif v_verdict = 'wrong_place' then
            -- The name of another operator's place is not ours to read; then there is none.
            outcome := jsonb_build_object('verdict', v_verdict, 'at', p_now) || coalesce(
                (select jsonb_build_object('place_name_vi', p.name_vi, 'place_name_en', p.name_en)
                 from foundation.place p where p.operator_id = p_operator and p.number = v_elsewhere), '{}');
        else
            outcome := jsonb_build_object(
                'verdict', v_verdict, 'at', p_now, 'stay_id', id, 'left_at', left_at,
                'may_leave_until', may_leave_until,
                'due_vnd', case when v_verdict = 'unpaid' then p_fee_vnd - settled_vnd else 0 end);
        end if;
        with gone as (
            update parking.stay s set left_at = leave.left_at, left_device_id = v_device
            where v_verdict = 'left' and s.operator_id = p_operator and s.id = p_stay and s.xmin = v_version
            returning s.id),
        logged as (
            insert into foundation.action (operator_id, device_id, id, kind, counter, body_hash, outcome, staff_id,
                                           occurred_at, done_at)
            select p_operator, v_device, p_action, 'parking.out', p_counter, p_body_hash, outcome, v_staff,
                   p_occurred_at, p_now
            where v_verdict <> 'left' or exists (select from gone)
            on conflict do nothing
            returning id),
        counted as (
            update parking.lot l set occupied = l.occupied - 1
            from logged where v_verdict = 'left' and v_counted and l.operator_id = p_operator and l.place = p_place)
        select l.id into v_logged from logged l;
        if found then
            return;
        end if;
    end loop;
end $$;
