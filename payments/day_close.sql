-- The day that is to be closed next: the one after the last, or at first the one on which anything moved for the first
-- time, since one cut through years would hold up all payments. Null before anything moved.
create or replace function payments.next_day(p_operator uuid) returns date language sql stable as $$
    select coalesce((select closed_through + 1 from payments.book where operator_id = p_operator),
                    (select min(effective_day) from payments.journal where operator_id = p_operator))
$$;

-- The journals that the close of a day would put into closed books. They are never changed: as many are the same ones.
create or replace function payments.journals_to_close(p_operator uuid, p_day date) returns bigint language sql stable as $$
    select count(*) from payments.journal j
    left join payments.book b on b.operator_id = j.operator_id
    where j.operator_id = p_operator and j.effective_day <= p_day
      and (b.closed_through is null or j.effective_day > b.closed_through)
$$;

-- Closes a day in one call, if its journals are still as many as when somebody looked at it (`p_journals`). lock_timeout:
-- whoever waits for the lock alone makes later postings wait behind him.
drop function if exists payments.close_day(uuid, date, uuid, timestamptz, uuid);
create or replace function payments.close_day(
    p_operator uuid, p_day date, p_journals bigint, p_staff uuid, p_now timestamptz, p_trace uuid)
returns table (refusal text, next_day date, closed_now boolean) language plpgsql set lock_timeout = '500ms' as $$
#variable_conflict use_column
declare
    v_closed date;
    v_next date;
    v_number integer;
    v_journals bigint;
    v_account text;
begin
    perform set_config('app.operator', p_operator::text, true);
    -- The book before the day lock, as whoever settles or reopens a day: no payment waits while we wait for them.
    perform from payments.book where operator_id = p_operator for update;
    perform pg_advisory_xact_lock(payments.day_lock(p_operator));
    select closed_through into v_closed from payments.book where operator_id = p_operator;
    if p_day <= v_closed then
        return query select null::text, null::date, false;
        return;
    end if;
    v_next := payments.next_day(p_operator);
    if p_day is distinct from v_next then
        return query select 'day_before_open', v_next, false;
        return;
    end if;
    select coalesce(max(number), 0) + 1 into v_number from payments.day_close
        where operator_id = p_operator and day = p_day;
    -- One statement, so that the balances are computed without the close that they belong to.
    with closed as (
        insert into payments.day_close (operator_id, day, number, journals, turnover_vnd, closed_by, closed_at)
        select p_operator, p_day, v_number, count(distinct j.id), coalesce(sum(t.amount_vnd), 0), p_staff, p_now
        from payments.journal j
        join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
        where j.operator_id = p_operator and j.effective_day <= p_day
          and (v_closed is null or j.effective_day > v_closed))
    insert into payments.day_balance (operator_id, day, number, account, debits_vnd, credits_vnd, closing_vnd)
    select p_operator, p_day, v_number, account, debits_vnd, credits_vnd, closing_vnd
    from payments.balances(p_operator, p_day);
    select journals into v_journals from payments.day_close
        where operator_id = p_operator and day = p_day and number = v_number;
    if v_journals <> p_journals then
        raise exception 'booked meanwhile' using errcode = 'MC416';
    end if;
    -- What the guarded balances say must follow from the rows: the snapshot and everything after it.
    select b.account into v_account
    from payments.balance b
    left join payments.day_balance d on d.operator_id = b.operator_id and d.day = p_day and d.number = v_number
                                    and d.account = b.account
    left join (
        select side.account, sum(side.signed_vnd) as moved_vnd
        from payments.journal j
        join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
        cross join lateral (values (t.debit, t.amount_vnd), (t.credit, -t.amount_vnd)) side (account, signed_vnd)
        where j.operator_id = p_operator and j.effective_day > p_day
          and side.account in (select account from payments.balance where operator_id = p_operator)
        group by side.account
    ) after on after.account = b.account
    where b.operator_id = p_operator
      and b.balance_vnd <> coalesce(d.closing_vnd, 0) + coalesce(after.moved_vnd, 0)
    limit 1;
    if v_account is not null then
        raise exception '%', v_account using errcode = 'MC413';
    end if;
    insert into payments.book (operator_id, closed_through) values (p_operator, p_day)
    on conflict (operator_id) do update set closed_through = excluded.closed_through;
    insert into foundation.audit_entry (operator_id, id, staff_id, act, subject, reason, after, at)
    values (p_operator, p_trace, p_staff, 'day.closed', 'day ' || p_day, '', jsonb_build_object('close', v_number), p_now);
    return query select null::text, null::date, true;
end $$;

-- The trial balance of a day: from its snapshot, or for a day that is open, from the last snapshot and what came after.
-- Of a day that is closed the last close counts; those before it have ended.
create or replace function payments.balances(p_operator uuid, p_day date)
returns table (account text, kind text, debits_vnd bigint, credits_vnd bigint, closing_vnd bigint)
language sql stable as $$
    with base as (
        select max(c.day) as day, max(c.number) as number
        from (select c.day, c.number from payments.book b
              join payments.day_close c on c.operator_id = b.operator_id and c.day <= b.closed_through
              where b.operator_id = p_operator and c.day <= p_day order by c.day desc, c.number desc limit 1) c
    ), moved as (
        select side.account,
               sum(side.debit_vnd) filter (where j.effective_day = p_day) as debits_vnd,
               sum(side.credit_vnd) filter (where j.effective_day = p_day) as credits_vnd,
               sum(side.debit_vnd - side.credit_vnd) as moved_vnd
        from base
        join payments.journal j on j.operator_id = p_operator and j.effective_day <= p_day
                               and (base.day is null or j.effective_day > base.day)
        join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id
        cross join lateral (values (t.debit, t.amount_vnd, 0), (t.credit, 0, t.amount_vnd))
            side (account, debit_vnd, credit_vnd)
        group by side.account
    ), kept as (
        select d.account, case when d.day = p_day then d.debits_vnd else 0 end as debits_vnd,
               case when d.day = p_day then d.credits_vnd else 0 end as credits_vnd, d.closing_vnd
        from base join payments.day_balance d on d.operator_id = p_operator and d.day = base.day
                                                and d.number = base.number
    )
    select a.code, a.kind, (coalesce(k.debits_vnd, 0) + coalesce(m.debits_vnd, 0))::bigint,
           (coalesce(k.credits_vnd, 0) + coalesce(m.credits_vnd, 0))::bigint,
           (coalesce(k.closing_vnd, 0) + coalesce(m.moved_vnd, 0))::bigint
    from kept k
    full join moved m on m.account = k.account
    join payments.account a on a.operator_id = p_operator and a.code = coalesce(k.account, m.account)
    where coalesce(k.debits_vnd, 0) + coalesce(m.debits_vnd, 0) + coalesce(k.credits_vnd, 0)
        + coalesce(m.credits_vnd, 0) <> 0
       or coalesce(k.closing_vnd, 0) + coalesce(m.moved_vnd, 0) <> 0
$$;

-- The wall behind payments.journal: nobody writes into a closed day.
create or replace function payments.day_is_open() returns trigger language plpgsql as $$
begin
    if exists (select from payments.book where operator_id = new.operator_id and closed_through >= new.effective_day) then
        raise exception 'the day % is closed', new.effective_day using errcode = 'MC414';
    end if;
    return new;
end $$;
create or replace trigger day_is_open before insert on payments.journal
    for each row execute function payments.day_is_open();
