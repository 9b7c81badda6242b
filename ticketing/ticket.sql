-- What a visitor's pages ask, each in one call in autocommit (Database.hot).

-- What stands behind an order's own address: its charge and, once it is paid, the columns of TicketView.
create or replace function ticketing.behind(p_operator uuid, p_token text)
returns table (charge_id uuid, serial bytea, short text, order_id uuid, place integer, product integer, valid_day date,
               heads integer, admitted integer, first_used_at timestamptz, last_used_at timestamptz,
               revoked_at timestamptz)
language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return query
        select o.charge_id, t.serial, t.short::text, t.order_id, t.place, t.product, t.valid_day, t.heads, t.admitted,
               t.first_used_at, t.last_used_at, t.revoked_at
        from ticketing."order" o
        left join ticketing.ticket t on t.operator_id = p_operator and t.order_id = o.id
        where o.operator_id = p_operator and o.token = p_token;
end $$;

-- The page of a ticket: the columns of TicketView, the lines of its order, its place as PlaceView has it, the time.
create or replace function ticketing.shown(p_operator uuid, p_serial bytea)
returns table (serial bytea, short text, order_id uuid, place integer, product integer, valid_day date, heads integer,
               admitted integer, first_used_at timestamptz, last_used_at timestamptz, revoked_at timestamptz,
               lines jsonb, code text, service text, name_vi text, name_en text, address text, ward text,
               now timestamptz)
language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return query
        select t.serial, t.short::text, t.order_id, t.place, t.product, t.valid_day, t.heads, t.admitted,
               t.first_used_at, t.last_used_at, t.revoked_at,
               o.lines, p.code::text, p.service::text, p.name_vi::text, p.name_en::text, p.address::text, p.ward::text,
               foundation.now()
        from ticketing.ticket t
        join ticketing."order" o on o.operator_id = p_operator and o.id = t.order_id
        join foundation.place p on p.operator_id = p_operator and p.number = t.place
        where t.operator_id = p_operator and t.serial = p_serial;
end $$;
