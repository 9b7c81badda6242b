-- How full a lot is, how a stay begins, and when it takes a space. The lot's counter is updated last, because every
-- vehicle at the lot waits for that row.

create or replace function parking.occupancy(p_operator uuid, p_place integer)
returns table (occupied integer, capacity integer) language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return query select l.occupied, l.capacity::integer from parking.lot l
    where l.operator_id = p_operator and l.place = p_place;
end $$;

-- Begins a visitor's stay, or finds the open one of the same plate and class (its id is then not p_stay). Null: what was
-- drawn is taken, draw again; or the plate stands there in another class.
create or replace function parking.begin_stay(
    p_operator uuid, p_stay uuid, p_place integer, p_class smallint, p_tariff integer, p_serial bytea, p_short text,
    p_plate_sealed bytea, p_plate_tag bytea, p_tail_tag bytea, p_now timestamptz)
returns uuid language plpgsql as $$
declare
    v_stay uuid;
begin
    insert into parking.stay (operator_id, id, place, vehicle_class, tariff, plate_sealed, plate_tag, tail_tag, serial,
                              short, entered_at, counted, settled_vnd)
    values (p_operator, p_stay, p_place, p_class, p_tariff, p_plate_sealed, p_plate_tag, p_tail_tag, p_serial,
            p_short, p_now, false, 0)
    on conflict do nothing
    returning id into v_stay;
    if not found then
        select id into v_stay from parking.stay
        where operator_id = p_operator and place = p_place and vehicle_class = p_class and plate_tag = p_plate_tag
          and left_at is null;
    end if;
    return v_stay;
end $$;

-- A stay that a visitor began takes its space now, if there is one: he paid, or an attendant has seen the vehicle. The
-- stay's row is locked before the lot's, as in leaving.
create or replace function parking.count_in(p_operator uuid, p_stay uuid)
returns void language plpgsql as $$
declare
    v_place integer;
begin
    select place into v_place from parking.stay
    where operator_id = p_operator and id = p_stay and not counted and left_at is null for update;
    if not found then
        return;
    end if;
    update parking.lot set occupied = occupied + 1
    where operator_id = p_operator and place = v_place and occupied < capacity;
    if found then
        update parking.stay set counted = true where operator_id = p_operator and id = p_stay;
    end if;
end $$;
