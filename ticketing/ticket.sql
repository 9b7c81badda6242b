-- What a visitor's pages ask, each in one call in autocommit (Database.hot), as one value: as a table it would go through one.

drop function if exists ticketing.behind(uuid, text);
-- What stands behind an order's own address: its charge and, once it is paid, the columns of TicketView.
create or replace function ticketing.behind(
    p_operator uuid, p_token text,
    out order_id uuid, out charge_id uuid, out serial bytea, out short text, out place integer, out product integer,
    out valid_day date, out heads integer, out admitted integer, out first_used_at timestamptz,
    out last_used_at timestamptz, out revoked_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
    perform set_config('app.operator', p_operator::text, true);
    select o.id, o.charge_id, t.serial, t.short, t.place, t.product, t.valid_day, t.heads, t.admitted, t.first_used_at,
           t.last_used_at, t.revoked_at
    into order_id, charge_id, serial, short, place, product, valid_day, heads, admitted, first_used_at, last_used_at,
         revoked_at
    from ticketing."order" o
    left join ticketing.ticket t on t.operator_id = p_operator and t.order_id = o.id
    where o.operator_id = p_operator and o.token = p_token;
end $$;

drop function if exists ticketing.shown(uuid, bytea);
-- The page of a ticket: the columns of TicketView, the lines of its order, whether anything paid for it waits to go back
-- or has gone, its place as PlaceView has it, the time.
create or replace function ticketing.shown(
    p_operator uuid, p_serial bytea, p_purpose text,
    out serial bytea, out short text, out order_id uuid, out place integer, out product integer, out valid_day date,
    out heads integer, out admitted integer, out first_used_at timestamptz, out last_used_at timestamptz,
    out revoked_at timestamptz, out lines jsonb, out touched boolean, out code text, out service text, out name_vi text,
    out name_en text, out address text, out ward text, out now timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
    perform set_config('app.operator', p_operator::text, true);
    select t.serial, t.short, t.order_id, t.place, t.product, t.valid_day, t.heads, t.admitted, t.first_used_at,
           t.last_used_at, t.revoked_at, o.lines, payments.put_aside(p_operator, p_purpose, t.order_id::text) <> '{}',
           p.code, p.service, p.name_vi, p.name_en, p.address, p.ward, foundation.now()
    into serial, short, order_id, place, product, valid_day, heads, admitted, first_used_at, last_used_at, revoked_at, lines,
         touched, code, service, name_vi, name_en, address, ward, now
    from ticketing.ticket t
    join ticketing."order" o on o.operator_id = p_operator and o.id = t.order_id
    join foundation.place p on p.operator_id = p_operator and p.number = t.place
    where t.operator_id = p_operator and t.serial = p_serial;
end $$;
