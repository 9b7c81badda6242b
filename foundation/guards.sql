-- The walls around every table, applied afresh after each migration and after all other files.

-- 1. Row-level security, forced, on every table that has an operator. Exceptions carry no money and no person:
--    the directory and the queue of due work (design.md 3).
do $$
declare
    t record;
    own text;
begin
    for t in
        select c.oid::regclass as name from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'operator_id' and not a.attisdropped
        where n.nspname in ('foundation', 'payments', 'parking', 'ticketing') and c.relkind = 'r'
          and c.oid not in ('foundation.directory'::regclass, 'foundation.due'::regclass)
    loop
        execute format('alter table %s enable row level security', t.name);
        execute format('alter table %s force row level security', t.name);
        execute format('drop policy if exists own_rows on %s', t.name);
        -- NULLIF: after a transaction that used set_config(…, true) the setting reads '', not NULL. Asked once per statement
        -- where a million rows are written by one; for a single row that takes 1 µs longer.
        own := 'nullif(current_setting(''app.operator'', true), '''')::uuid';
        if t.name::text in ('payments.statement_line', 'payments.claim') then
            own := format('(select %s)', own);
        end if;
        execute format('create policy own_rows on %1$s using (operator_id = %2$s) with check (operator_id = %2$s)', t.name, own);
    end loop;
end $$;

create or replace function foundation.never() returns trigger
language plpgsql as $$
begin
    raise exception '% is insert-only: % refused', tg_table_schema || '.' || tg_table_name, tg_op using errcode = 'MC001';
end $$;

-- 2. Who may do what. The app owns nothing; the city reads rollups; the keeper reads everything.
do $$
declare s text;
begin
    foreach s in array array['foundation', 'payments', 'parking', 'ticketing'] loop
        execute format('revoke all on all tables in schema %I from public, motcham_app, motcham_city, motcham_keeper', s);
        execute format('grant usage on schema %I to motcham_app, motcham_keeper', s);
        execute format('grant select, insert on all tables in schema %I to motcham_app', s);
        execute format('grant select on all tables in schema %I to motcham_keeper', s);
        execute format('revoke execute on all functions in schema %I from public', s);
        execute format('grant execute on all functions in schema %I to motcham_app, motcham_keeper', s);
        if to_regclass(s || '.alembic_version') is not null then -- a database built for comparison has no history
            execute format('revoke all on %I.alembic_version from motcham_app', s);
        end if;
    end loop;
end $$;
revoke insert on foundation.installation, foundation.clock from motcham_app;
-- Proofs need no secrets: the keeper sees that there are people and sessions, not what would open them.
revoke select on foundation.staff, foundation.session, foundation.device, foundation.enrolment, foundation.month_key
    from motcham_keeper;

-- 3. Insert-only tables: neither the app nor the owner changes or removes a row; TRUNCATE is refused as well.
do $$
declare t regclass;
begin
    for t in
        select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('foundation', 'payments', 'parking', 'ticketing') and c.relkind = 'r'
          and obj_description(c.oid) like 'insert-only%'
    loop
        execute format('revoke update, delete, truncate on %s from motcham_app', t);
        execute format('create or replace trigger never_changed before update or delete on %s'
                       ' for each row execute function foundation.never()', t);
        execute format('create or replace trigger never_emptied before truncate on %s'
                       ' for each statement execute function foundation.never()', t);
    end loop;
end $$;

-- 4. Rollups: the only tables the city reads, across operators. They name no person and hold nothing but sums.
do $$
declare t record;
begin
    for t in
        select c.oid::regclass as name, n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('foundation', 'payments', 'parking', 'ticketing') and c.relkind = 'r'
          and obj_description(c.oid) like 'rollup%'
    loop
        execute format('grant usage on schema %I to motcham_city', t.schema);
        execute format('grant select on %s to motcham_city', t.name);
        execute format('drop policy if exists city_reads on %s', t.name);
        execute format('create policy city_reads on %s for select to motcham_city using (true)', t.name);
    end loop;
end $$;
