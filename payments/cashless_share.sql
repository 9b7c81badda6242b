-- Counts one day of one operator anew, from the facts of its charges and free notes (statistics.md 1.3).
-- The day's row in cashless_counted is the lock: whoever waits for it counts afterwards, with a snapshot of its own, so
-- of two workers the later one writes the fresher figures. Nothing is deleted: a cell that is empty now becomes zero.
create or replace function payments.recount_cashless(p_day date, p_now timestamptz) returns void
language plpgsql as $$
declare
    v_operator uuid := nullif(current_setting('app.operator', true), '')::uuid;
    v_environment text := (select environment from foundation.installation);
begin
    insert into payments.cashless_counted (operator_id, service_day, counted_at)
    values (v_operator, p_day, p_now)
    on conflict (operator_id, service_day) do update set counted_at = excluded.counted_at;

    with line as (
        -- What the operator gives back in part lowers the value, from the last line on; as a whole it was no sale.
        select l.environment, l.service, l.place, l.ward, l."class", p.means, p.channel,
               case when c.given_back_vnd = 0 then l.amount_vnd
                    else greatest(0, least(l.amount_vnd, c.amount_vnd - c.given_back_vnd - coalesce((
                        select sum(e.amount_vnd) from payments.charge_line e
                        where e.operator_id = l.operator_id and e.charge_id = l.charge_id and e.line_no < l.line_no), 0)))
               end as amount_vnd
        from payments.charge_line l
        join payments.line_paid p
          on p.operator_id = l.operator_id and p.charge_id = l.charge_id and p.line_no = l.line_no
        join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id
        where l.operator_id = v_operator and l.service_day = p_day and l.environment = v_environment
          and c.given_back_vnd < c.amount_vnd
        union all
        select l.environment, l.service, l.place, l.ward, l."class", 'PENDING', '', l.amount_vnd
        from payments.charge_line l
        join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id
        where l.operator_id = v_operator and l.service_day = p_day and l.environment = v_environment
          and (c.state = 'partial' or c.state = 'open' and c.holds_until > p_now)
        union all
        select f.environment, f.service, f.place, f.ward, f."class", f.means, '', 0
        from payments.free_note f
        where f.operator_id = v_operator and f.service_day = p_day and f.environment = v_environment
    ), counted as (
        select environment, service, place, ward, "class", means, channel,
               count(*) as units, sum(amount_vnd)::bigint as amount_vnd
        from line group by 1, 2, 3, 4, 5, 6, 7
    ), written as (
        insert into payments.cashless_day as d
            (operator_id, service_day, environment, service, place, ward, "class", means, channel, units, amount_vnd)
        select v_operator, p_day, environment, service, place, ward, "class", means, channel, units, amount_vnd
        from counted
        on conflict (operator_id, service_day, environment, service, place, ward, "class", means, channel) do update
        set units = excluded.units, amount_vnd = excluded.amount_vnd
        where (d.units, d.amount_vnd) is distinct from (excluded.units, excluded.amount_vnd)
    )
    update payments.cashless_day d set units = 0, amount_vnd = 0
    where d.operator_id = v_operator and d.service_day = p_day and d.units <> 0
      and not exists (
          select from counted c
          where (c.environment, c.service, c.place, c.ward, c."class", c.means, c.channel)
              = (d.environment, d.service, d.place, d.ward, d."class", d.means, d.channel));

    -- A pending charge stops being pending by itself when its hold runs out: the day is counted again then.
    update payments.cashless_counted d set recount_at = (
        select min(c.holds_until)
        from payments.charge_line l
        join payments.charge c on c.operator_id = l.operator_id and c.id = l.charge_id
        where l.operator_id = v_operator and l.service_day = p_day
          and c.state = 'open' and c.holds_until > p_now)
    where d.operator_id = v_operator and d.service_day = p_day;
end $$;
