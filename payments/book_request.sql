-- The month that is to be locked next: the one after the last, or at first the one in which a day was closed.
create or replace function payments.next_month(p_operator uuid) returns date language sql stable as $$
    select coalesce((select max(month) + interval '1 month' from payments.month_lock where operator_id = p_operator),
                    (select date_trunc('month', min(day)) from payments.day_close where operator_id = p_operator))::date
$$;

-- A second person agrees, and the day is open again or the month locked, in one call. A posting on its way when a day is
-- opened again is waited for and stands where it was put; whoever posts later finds the day open.
create or replace function payments.agree_to_request(
    p_operator uuid, p_request uuid, p_staff uuid, p_now timestamptz, p_trace uuid)
returns table (refusal text, about date, agreed_now boolean) language plpgsql set lock_timeout = '500ms' as $$
#variable_conflict use_column
declare
    v_asked payments.book_request;
    v_closed date;
    v_next date;
begin
    perform set_config('app.operator', p_operator::text, true);
    -- The book before the day lock, as in payments.close_day; whatever is asked and decided is asked and decided behind it.
    select closed_through into v_closed from payments.book where operator_id = p_operator for update;
    select * into v_asked from payments.book_request
        where operator_id = p_operator and id = p_request and kind in ('reopen', 'lock') for update;
    v_next := payments.next_month(p_operator);
    refusal := case
        when v_asked.id is null then 'no_such_book_request'
        when v_asked.state = 'agreed' and v_asked.decided_by = p_staff then null
        when v_asked.state <> 'requested' then 'book_request_decided'
        when v_asked.requested_by = p_staff then 'own_book_request'
        when v_asked.day < v_next then 'month_locked'
        when v_asked.kind = 'reopen' and v_asked.day is distinct from v_closed then 'not_last_closed'
        when v_asked.kind = 'lock' and v_asked.day <> v_next then 'month_before_unlocked'
        when v_asked.kind = 'lock' and (v_closed < v_asked.day + interval '1 month' - interval '1 day') is not false
            then 'month_not_closed' end;
    about := case refusal when 'not_last_closed' then v_closed when 'month_before_unlocked' then v_next
                 else v_asked.day end;
    agreed_now := refusal is null and v_asked.state = 'requested';
    if not agreed_now then
        return next;
        return;
    end if;
    update payments.book_request set state = 'agreed', decided_by = p_staff, decided_at = p_now
        where operator_id = p_operator and id = p_request;
    insert into foundation.audit_entry (operator_id, id, staff_id, act, subject, reason, before, at)
    values (p_operator, p_trace, p_staff, v_asked.kind || '.agreed',
            case v_asked.kind when 'reopen' then 'day ' || v_asked.day
                else 'month ' || to_char(v_asked.day, 'MM/YYYY') end,
            v_asked.reason, jsonb_build_object('close', v_asked.number, 'requested_by', v_asked.requested_by), p_now);
    if v_asked.kind = 'lock' then
        insert into payments.month_lock (operator_id, month, request_id, asked_by, agreed_by, at)
        values (p_operator, v_asked.day, p_request, v_asked.requested_by, p_staff, p_now);
    else
        perform pg_advisory_xact_lock(payments.day_lock(p_operator));
        insert into payments.day_reopening (operator_id, day, number, request_id, asked_by, agreed_by, reason, at)
        values (p_operator, v_asked.day, v_asked.number, p_request, v_asked.requested_by, p_staff, v_asked.reason, p_now);
        update payments.book
        set closed_through = (select max(day) from payments.day_close where operator_id = p_operator and day < v_asked.day)
        where operator_id = p_operator;
    end if;
    return next;
end $$;

-- The walls behind it: no close in a locked month ends, and the books are never closed up to less than that.
create or replace function payments.month_is_open() returns trigger language plpgsql as $$
begin
    if exists (select from payments.month_lock
               where operator_id = new.operator_id and month >= date_trunc('month', new.day)) then
        raise exception 'the month of % is locked', new.day using errcode = 'MC415';
    end if;
    return new;
end $$;
create or replace trigger month_is_open before insert on payments.day_reopening
    for each row execute function payments.month_is_open();

create or replace function payments.month_stays_closed() returns trigger language plpgsql as $$
declare
    v_through date;
begin
    if tg_op = 'UPDATE' and new.operator_id = old.operator_id then
        v_through := new.closed_through;
    end if;
    if exists (select from payments.month_lock where operator_id = old.operator_id
               and (v_through < month + interval '1 month' - interval '1 day') is not false) then
        raise exception 'the books are locked' using errcode = 'MC415';
    end if;
    return case tg_op when 'UPDATE' then new else old end;
end $$;
create or replace trigger month_stays_closed before update or delete on payments.book
    for each row execute function payments.month_stays_closed();
