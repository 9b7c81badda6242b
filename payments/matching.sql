-- Everything in the books that a statement of a collection account tells of as well, one row per line that is expected
-- there: `amount_vnd` > 0 came in. What went through another gateway, or has not left yet, is not among it.
create or replace function payments.movements(p_operator uuid)
returns table (kind text, id uuid, bank_account text, bank_ref text, amount_vnd bigint, at timestamptz)
language sql stable as $$
    select 'receipt', r.id, r.bank_account, r.bank_ref, r.amount_vnd, r.paid_at
    from payments.receipt r where r.operator_id = p_operator and r.gateway = 'bank'
    union all
    select 'refund', f.id, r.bank_account, f.debit_ref, -f.amount_vnd, f.accepted_at
    from payments.refund f
    join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id and r.gateway = 'bank'
    where f.operator_id = p_operator and f.state in ('accepted', 'settled', 'returned')
    union all
    select 'refund_return', f.id, r.bank_account, f.return_ref, f.amount_vnd, f.ended_at
    from payments.refund f
    join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id and r.gateway = 'bank'
    where f.operator_id = p_operator and f.state = 'returned'
    union all
    -- Booked when the last part of it has left.
    select case when e.returns then 'payout_return' else 'payout' end, md5(e.bank_account || ' ' || e.bank_ref)::uuid,
           e.bank_account, e.bank_ref, case when e.returns then e.amount_vnd else -e.amount_vnd end,
           case when e.returns then e.at else greatest(e.at, p.left_at) end
    from payments.payout_entry e
    join payments.payout p on p.operator_id = e.operator_id and p.id = e.payout_id
    where e.operator_id = p_operator and p.left_at is not null
    union all
    select 'debit', d.id, d.bank_account, d.bank_ref, -d.amount_vnd, d.left_at
    from payments.debit d where d.operator_id = p_operator
$$;

-- The ids of open items follow from what they stand for: an item that was matched and is open again has the one it had.
create or replace function payments.line_item(p_statement uuid, p_position integer) returns uuid
language sql immutable as $$ select md5(p_statement::text || p_position::text)::uuid $$;

create or replace function payments.movement_item(p_kind text, p_movement uuid) returns uuid
language sql immutable as $$ select md5(p_kind || p_movement::text)::uuid $$;

-- Statements that count: accepted, or known already, and not withdrawn. What was known while one stood that was withdrawn
-- since may be known no more: nothing says what came behind the statement that is the last again.
create or replace function payments.standing_statements(p_operator uuid)
returns setof payments.bank_statement language sql stable as $$
    select s.* from payments.bank_statement s
    where s.operator_id = p_operator and s.state in ('accepted', 'known')
      and not exists (
        select from payments.statement_withdrawal w
        where w.operator_id = p_operator and w.bank_account = s.bank_account
          and (w.statement_id = s.id
               or s.state = 'known' and s.id < w.id and (w.back_to is null or s.day > least(w.back_to, w.day - 1))))
$$;

-- Accepted statements whose lines no run has looked at.
create or replace function payments.unseen_statements(p_operator uuid) returns setof uuid language sql stable as $$
    select s.id from payments.standing_statements(p_operator) s
    where s.state = 'accepted'
      and not exists (select from payments.matched_statement m
                      where m.operator_id = p_operator and m.statement_id = s.id)
$$;

-- The day in whose books a movement is: of what arrived or left late, when its own was closed, the one after.
-- Asked of many, by key whatever the planner believes: a plan that was made for empty tables reads all of the journal each time.
create or replace function payments.day_in_books(p_operator uuid, p_kind text, p_id uuid, p_at timestamptz)
returns date language sql stable set enable_seqscan = off as $$
    with event as (
        select case when p_kind in ('refund', 'refund_return') then 'refund'
                    when p_kind in ('payout', 'payout_return') then 'payout' else p_kind end as source_type,
               case when p_kind in ('payout', 'payout_return')
                    then (select e.payout_id from payments.payout_entry e where e.operator_id = p_operator
                          and md5(e.bank_account || ' ' || e.bank_ref)::uuid = p_id) else p_id end::text as source_id,
               case when p_kind in ('receipt', 'debit') then 'seen' else 'sent' end as purpose
    ), booked as (
        select j.id, j.effective_day from payments.journal j, event e
        where j.operator_id = p_operator and j.source_type = e.source_type and j.source_id = e.source_id
          and j.purpose = e.purpose
    )
    select coalesce(case when p_kind like '%_return' then (
        select r.effective_day from payments.journal r, booked b
        where r.operator_id = p_operator and r.source_type = 'journal' and r.source_id = b.id::text
          and r.purpose = 'reversed') else (select effective_day from booked) end, foundation.hanoi_day(p_at))
$$;

-- The same of many: of receipts, which are most, the journal is asked only where a day is closed by `p_closed` or was opened
-- again; what else there is stands in the books of its own day.
create or replace function payments.day_in_open_books(p_operator uuid, p_kind text, p_id uuid, p_at timestamptz, p_closed date,
                                                      p_reopened boolean)
returns date language sql stable as $$
    select case when p_kind <> 'receipt' or p_reopened or foundation.hanoi_day(p_at) <= p_closed
                then payments.day_in_books(p_operator, p_kind, p_id, p_at) else foundation.hanoi_day(p_at) end
$$;

-- The exact part of a run: lines that no run has looked at, and those still open, with the movements of the same account,
-- reference and amount, where each has one partner only. What a person has taken meanwhile stays his. Returns what was
-- matched, by account, day of booking and direction; new lines that were not are left in `left_line`. What belongs to a day
-- closed by `p_closed` takes effect on `p_open_day`. The lines stand in a table of their own meanwhile, so that ten are looked
-- up and a million joined.
create or replace function payments.match_exactly(p_operator uuid, p_event uuid, p_closed date, p_open_day date)
returns table (bank_account text, effective_day date, came_in boolean, lines bigint, amount_vnd bigint)
language plpgsql set work_mem = '64MB' as $$
#variable_conflict use_column
declare
    -- What came while a day was closed that is open again stands in the books of a later one.
    v_reopened boolean := exists (select from payments.day_reopening where operator_id = p_operator);
    v_matching text := $sql$
    with tied as materialized (
        -- Lines of one reference and amount differ in their part (their identity says so).
        select bank_account, bank_ref, amount_vnd from unmatched_line
        where bank_ref <> '' and bank_ref in (select bank_ref from unmatched_line where part > 0)
        group by 1, 2, 3 having count(*) > 1
    ), other as materialized (
        select l.statement_id, l.position, l.bank_account, l.bank_ref, l.amount_vnd, m.kind, m.id, m.at
        from payments.movements($1) m
        join unmatched_line l
          on m.bank_account = l.bank_account and m.bank_ref = l.bank_ref and m.amount_vnd = l.amount_vnd and l.bank_ref <> ''
        where m.kind <> 'receipt'
          and not exists (select from payments.claim c
                          where c.operator_id = $1 and c.kind = m.kind and c.movement_id = m.id)
    ), doubled as materialized (
        -- A reference is one receipt, so one of the two is something else.
        select statement_id, position from other group by 1, 2 having count(*) > 1
        union all
        select o.statement_id, o.position from other o
        join payments.receipt r on r.operator_id = $1 and r.bank_account = o.bank_account
            and r.bank_ref = o.bank_ref and r.amount_vnd = o.amount_vnd and r.gateway = 'bank'
        where not exists (select from payments.claim c
                          where c.operator_id = $1 and c.kind = 'receipt' and c.movement_id = r.id)
    ), pair as (
        select l.*, coalesce(o.id, r.id) as id,
               case when (l.statement_id, l.position) in (select * from doubled)
                      or (l.bank_account, l.bank_ref, l.amount_vnd) in (select * from tied) then null
                    when o.id is not null then o.kind when r.id is not null then 'receipt' end as kind,
               coalesce(o.at, r.paid_at) as at
        from unmatched_line l
        left join payments.receipt r on r.operator_id = $1 and r.bank_account = l.bank_account
            and r.bank_ref = l.bank_ref and r.amount_vnd = l.amount_vnd and r.gateway = 'bank' and l.bank_ref <> ''
        left join other o on o.statement_id = l.statement_id and o.position = l.position
    ), placed as materialized (
        select statement_id, position, bank_account, bank_ref, amount_vnd, day, is_new, kind, id,
               case when kind is not null then
                   greatest(day, payments.day_in_open_books($1, kind, id, at, $3, $5)) end as both_day
        from pair
    ), claimed as (
        insert into payments.claim (operator_id, kind, movement_id, statement_id, position, event_id, line_vnd, moved_vnd,
                                    bank_account, effective_day)
        select $1, kind, id, statement_id, position, $2, amount_vnd, amount_vnd, bank_account,
               case when both_day > $3 then both_day else $4 end
        from placed where kind is not null
        %s returning bank_account, effective_day, line_vnd
    ), kept as (
        insert into left_line select distinct statement_id, position, bank_account, bank_ref, amount_vnd, day
        from placed where kind is null and is_new  -- once, also where several movements are told of by one line
    )
    -- From the claims themselves: whatever was returned before one of them is refused stays returned.
    select bank_account::text, effective_day, line_vnd > 0, count(*), sum(line_vnd)::bigint
    from claimed group by 1, 2, 3 order by 1, 2, 3
    $sql$;
begin
    create temp table if not exists unmatched_line (
        statement_id uuid, position integer, part integer, bank_account text, bank_ref text, amount_vnd bigint, day date,
        is_new boolean
    ) on commit drop;
    create temp table if not exists left_line (
        statement_id uuid, position integer, bank_account text, bank_ref text, amount_vnd bigint, day date
    ) on commit drop;
    truncate unmatched_line, left_line;
    insert into unmatched_line
    select l.statement_id, l.position, l.part, l.bank_account, l.bank_ref, l.amount_vnd, l.day, true
    from payments.statement_line l
    where l.operator_id = p_operator
      and l.statement_id in (select payments.unseen_statements(p_operator))
    union all
    select l.statement_id, l.position, l.part, l.bank_account, l.bank_ref, l.amount_vnd, l.day, false
    from payments.open_item o
    join payments.statement_line l on l.operator_id = o.operator_id and l.statement_id = o.statement_id
        and l.position = o.position
    where o.operator_id = p_operator and o.side = 'line' and l.bank_ref <> '';
    analyze unmatched_line;
    -- Nobody has taken any of them, as a rule: to look first costs half as much again.
    begin
        return query execute format(v_matching, '') using p_operator, p_event, p_closed, p_open_day, v_reopened;
    exception when unique_violation then
        return query execute format(v_matching, 'on conflict do nothing')
            using p_operator, p_event, p_closed, p_open_day, v_reopened;
        truncate left_line;
        insert into left_line select statement_id, position, bank_account, bank_ref, amount_vnd, day
        from unmatched_line l where is_new
            and not exists (select from payments.claim c where c.operator_id = p_operator
                            and c.statement_id = l.statement_id and c.position = l.position);
    end;
end $$;

-- What a run leaves of the books, after `match_exactly`: every movement up to the last statement's day that nothing claims,
-- once, as work for a person; and what is claimed meanwhile is work no more. Receipts that a run has looked at before are
-- older than both `p_since` and `p_id`.
drop function if exists payments.keep_open_items(uuid, timestamptz, uuid, timestamptz);
create or replace function payments.keep_open_items(p_operator uuid, p_since timestamptz, p_id uuid, p_closed date,
                                                    p_now timestamptz)
returns void language plpgsql set work_mem = '128MB' as $$
declare
    v_reopened boolean := exists (select from payments.day_reopening where operator_id = p_operator);
begin
    delete from payments.open_item o
    where o.operator_id = p_operator and o.side = 'line'
      and exists (select from payments.claim c
                  where c.operator_id = p_operator and c.statement_id = o.statement_id and c.position = o.position);
    delete from payments.open_item o
    where o.operator_id = p_operator and o.side = 'movement'
      and exists (select from payments.claim c
                  where c.operator_id = p_operator and c.kind = o.kind and c.movement_id = o.movement_id);
    -- What had left and was declined after all is in the books no more.
    delete from payments.open_item o
    where o.operator_id = p_operator and o.side = 'movement' and o.kind <> 'receipt'
      and not exists (select from payments.movements(p_operator) m where m.kind = o.kind and m.id = o.movement_id);
    insert into payments.open_item (operator_id, id, side, kind, movement_id, bank_account, bank_ref, amount_vnd, day, since)
    with seen as materialized (
        select bank_account, max(day) as day from payments.standing_statements(p_operator)
        where state = 'accepted' group by 1
    ), left_over as (
        select 'receipt' as kind, r.id, r.bank_account, r.bank_ref, r.amount_vnd, r.paid_at as at
        from payments.receipt r
        where r.operator_id = p_operator and r.gateway = 'bank' and (r.paid_at >= p_since or r.id >= p_id)
          and not exists (select from payments.claim c
                          where c.operator_id = p_operator and c.kind = 'receipt' and c.movement_id = r.id)
        union all
        select m.kind, m.id, m.bank_account, coalesce(m.bank_ref, ''), m.amount_vnd, m.at
        from payments.movements(p_operator) m
        where m.kind <> 'receipt'
          and not exists (select from payments.claim c
                          where c.operator_id = p_operator and c.kind = m.kind and c.movement_id = m.id)
    )
    select p_operator, payments.movement_item(m.kind, m.id), 'movement', m.kind, m.id, m.bank_account, m.bank_ref, m.amount_vnd,
           payments.day_in_open_books(p_operator, m.kind, m.id, m.at, p_closed, v_reopened), p_now
    from left_over m join seen using (bank_account)
    where foundation.hanoi_day(m.at) <= seen.day
    on conflict do nothing;
end $$;
