-- An order in two calls, each its own transaction (Database.hot): what there is to know, and all that is written.

-- The site behind a code as SiteView has it, its offers of a product column by column; what was answered to the form with
-- that key, if it came before; the time.
create or replace function ticketing.to_order(p_operator uuid, p_code text, p_product integer, p_key text)
returns table (number integer, code text, service text, name_vi text, name_en text, address text, ward text, slug text,
               opens_minute integer, closes_minute integer, product integer[], valid_from date[], valid_to date[],
               price_vnd bigint[], offer_vi text[], offer_en text[], body_hash bytea, answer jsonb, now timestamptz)
language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return query
        select p.number, p.code::text, p.service::text, p.name_vi::text, p.name_en::text, p.address::text, p.ward::text,
               s.slug::text, s.opens_minute, s.closes_minute, o.product, o.valid_from, o.valid_to, o.price_vnd,
               o.name_vi, o.name_en, a.body_hash, a.answer, foundation.now()
        from foundation.place p
        join ticketing.site s on s.operator_id = p_operator and s.place = p.number
        cross join lateral (
            select array_agg(d.product) as product, array_agg(d.valid_from) as valid_from,
                   array_agg(d.valid_to) as valid_to, array_agg(d.price_vnd) as price_vnd,
                   array_agg(d.name_vi::text) as name_vi, array_agg(d.name_en::text) as name_en
            from (select * from ticketing.offer f where f.operator_id = p_operator and f.place = p.number
                  and f.product = p_product order by f.valid_from) d) o
        left join foundation.stored_answer a on a.operator_id = p_operator and a.principal = 'visitor'
                                            and a.route = 'order' and a.key = p_key
        where p.operator_id = p_operator and p.code = p_code and o.product is not null;
end $$;

-- An order that costs something, and its charge. False if the form with that key has been answered meanwhile: who comes
-- second waits for the first. The day's count is last, because all payers of a day touch that row.
create or replace function ticketing.place_order(
    p_operator uuid, p_key text, p_body_hash bytea, p_answer jsonb, p_id uuid, p_token text, p_place integer,
    p_product integer, p_visit_day date, p_heads integer, p_lines jsonb, p_total_vnd bigint, p_now timestamptz,
    p_charge jsonb)
returns boolean language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    if not foundation.keep_answer(p_operator, 'visitor', 'order', p_key, p_body_hash, p_answer) then
        return false;
    end if;
    perform payments.charge(p_operator, p_charge);
    insert into ticketing."order" (operator_id, id, token, place, product, visit_day, heads, lines, total_vnd,
                                   ordered_at, charge_id)
    values (p_operator, p_id, p_token, p_place, p_product, p_visit_day, p_heads, p_lines, p_total_vnd, p_now,
            (p_charge ->> 'id')::uuid);
    perform payments.count_anew(p_operator, p_charge);
    return true;
end $$;
