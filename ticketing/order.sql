-- An order in two calls, each its own transaction (Database.hot): what there is to know, and all that is written.

-- The site behind a code as SiteView has it, its offers of a product as arrays of OfferView's fields; what was answered to the form with
-- that key, if it came before; the time.
create or replace function ticketing.to_order(
    p_operator uuid, p_code text, p_product integer, p_key text,
    out number integer, out code text, out service text, out name_vi text, out name_en text, out address text, out ward text,
    out slug text, out opens_minute integer, out closes_minute integer, out offers jsonb, out body_hash bytea,
    out answer jsonb, out now timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
    perform set_config('app.operator', p_operator::text, true);
    select p.number, p.code, p.service, p.name_vi, p.name_en, p.address, p.ward, s.slug, s.opens_minute, s.closes_minute,
           o.offers, a.body_hash, a.answer, foundation.now()
    into number, code, service, name_vi, name_en, address, ward, slug, opens_minute, closes_minute,
         offers, body_hash, answer, now
    from foundation.place p
    join ticketing.site s on s.operator_id = p_operator and s.place = p.number
    cross join lateral (
        select jsonb_agg(jsonb_build_array(f.product, f.valid_from, f.valid_to, f.price_vnd, f.name_vi, f.name_en)
                         order by f.valid_from) as offers
        from ticketing.offer f
        where f.operator_id = p_operator and f.place = p.number and f.product = p_product) o
    left join foundation.stored_answer a on a.operator_id = p_operator and a.principal = 'visitor'
                                        and a.route = 'order' and a.key = p_key
    where p.operator_id = p_operator and p.code = p_code and o.offers is not null;
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
