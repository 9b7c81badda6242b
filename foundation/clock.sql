-- Time. Every function that needs "now" takes it as p_now with foundation.now() as its default.

-- In plpgsql: every hot act asks for it, and a function in SQL with a sub-select, which is never inlined, costs twice that.
create or replace function foundation.now() returns timestamptz
language plpgsql stable parallel safe as $$
begin
    return coalesce(
        (select base_at + (clock_timestamp() - set_at) * rate from foundation.clock),
        clock_timestamp());
end $$;

-- No daylight saving since 1975: a fixed offset is exact, and a third of what looking up the zone costs.
create or replace function foundation.hanoi_day(p_at timestamptz) returns date
language sql immutable parallel safe as $$
    select (p_at at time zone interval '7 hours')::date
$$;

-- The environment is written by the migration, so a process cannot talk production into moving its clock.
create or replace function foundation.set_clock(p_at timestamptz, p_rate double precision) returns void
language plpgsql security definer set search_path = pg_catalog as $$
begin
    if (select environment from foundation.installation) not in ('demo', 'test') then
        raise exception 'The clock of a production platform cannot be moved.' using errcode = 'MC403';
    end if;
    insert into foundation.clock (one, base_at, set_at, rate) values (true, p_at, clock_timestamp(), p_rate)
    on conflict (one) do update set base_at = excluded.base_at, set_at = excluded.set_at, rate = excluded.rate;
end $$;
