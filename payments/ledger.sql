-- What every posting of an operator holds shared until it commits, and the close of a day holds alone: while a posting
-- is on its way, the day it takes effect on cannot be closed under it.
create or replace function payments.day_lock(p_operator uuid) returns bigint language sql immutable as $$
    select hashtextextended(p_operator::text, 2017)
$$;

-- The journal of an event, on the day it belongs to, or if that is closed, on the open one. Null if it is there already.
create or replace function payments.journal(
    p_operator uuid, p_journal uuid, p_template text, p_version integer,
    p_source_type text, p_source_id text, p_purpose text, p_effective_at timestamptz)
returns uuid language plpgsql as $$
declare
    v_day date := foundation.hanoi_day(p_effective_at);
    v_closed date;
    v_journal uuid;
begin
    perform pg_advisory_xact_lock_shared(payments.day_lock(p_operator));
    select closed_through into v_closed from payments.book where operator_id = p_operator;
    if v_day <= v_closed then
        v_day := greatest(v_closed + 1, foundation.hanoi_day(foundation.now()));
    end if;
    insert into payments.journal (operator_id, id, template, version, source_type, source_id, purpose, effective_at,
                                  effective_day)
    values (p_operator, p_journal, p_template, p_version, p_source_type, p_source_id, p_purpose, p_effective_at, v_day)
    on conflict (operator_id, source_type, source_id, purpose) do nothing
    returning id into v_journal;
    return v_journal;
end $$;

-- Only authorising accounts have a row; both sides in one statement, in account order.
create or replace function payments.move_balances(p_operator uuid, p_debit text, p_credit text, p_amount_vnd bigint)
returns void language sql as $$
    update payments.balance b
    set balance_vnd = b.balance_vnd + case when b.account = p_debit then p_amount_vnd else -p_amount_vnd end
    from (select account from payments.balance
          where operator_id = p_operator and account in (p_debit, p_credit) order by account for update) locked
    where b.operator_id = p_operator and b.account = locked.account
$$;

-- A reservation ends, and its account is free of it. Raises if it has ended already, or its time is over.
create or replace function payments.end_reservation(
    p_operator uuid, p_reservation uuid, p_posted_vnd bigint, p_account text default null)
returns boolean language plpgsql as $$
declare
    v_reserved payments.reservation;
    v_expired boolean;
    v_before text;
begin
    select * into v_reserved from payments.reservation where operator_id = p_operator and id = p_reservation;
    v_expired := v_reserved.expires_at <= foundation.now();
    if p_posted_vnd > 0 and v_expired then
        raise exception 'expired' using errcode = 'MC411';
    end if;
    if v_reserved.id is null or p_posted_vnd > v_reserved.amount_vnd or p_account <> v_reserved.account then
        raise exception 'never reserved' using errcode = 'MC410';
    end if;
    insert into payments.reservation_end (operator_id, reservation_id, outcome, posted_vnd)
    values (p_operator, p_reservation,
            case when p_posted_vnd > 0 then 'posted' when v_expired then 'expired' else 'voided' end, p_posted_vnd)
    on conflict do nothing;
    if not found then
        select outcome into v_before from payments.reservation_end
            where operator_id = p_operator and reservation_id = p_reservation;
        if p_posted_vnd > 0 or v_before = 'posted' then
            raise exception 'ended before' using errcode = 'MC410';
        end if;
        return false;
    end if;
    update payments.balance set reserved_vnd = reserved_vnd - v_reserved.amount_vnd
        where operator_id = p_operator and account = v_reserved.account;
    return true;
end $$;

create or replace function payments.reserve(
    p_operator uuid, p_id uuid, p_account text, p_amount_vnd bigint,
    p_source_type text, p_source_id text, p_purpose text, p_expires_at timestamptz)
returns uuid language plpgsql as $$
declare
    v_there payments.reservation;
begin
    insert into payments.reservation (operator_id, id, account, amount_vnd, source_type, source_id, purpose, expires_at)
    values (p_operator, p_id, p_account, p_amount_vnd, p_source_type, p_source_id, p_purpose, p_expires_at)
    on conflict (operator_id, source_type, source_id, purpose) do nothing;
    if found then
        update payments.balance set reserved_vnd = reserved_vnd + p_amount_vnd
            where operator_id = p_operator and account = p_account;
        return p_id;
    end if;
    select * into v_there from payments.reservation
        where operator_id = p_operator and source_type = p_source_type and source_id = p_source_id
          and purpose = p_purpose;
    if v_there.account <> p_account or v_there.amount_vnd <> p_amount_vnd then
        raise exception '%', case when v_there.account <> p_account then 'account' else 'amount_vnd' end
            using errcode = 'MC409';
    end if;
    return v_there.id;
end $$;

-- One event, one journal, one transfer, one call. False if exactly this was posted before.
drop function if exists payments.post(uuid, uuid, text, integer, text, text, text, timestamptz, text, text, bigint, uuid);
create or replace function payments.post(
    p_operator uuid, p_journal uuid, p_template text, p_version integer,
    p_source_type text, p_source_id text, p_purpose text, p_effective_at timestamptz,
    p_debit text, p_credit text, p_amount_vnd bigint, p_flow uuid, p_reserved uuid default null)
returns boolean language plpgsql as $$
declare
    v_journal uuid := payments.journal(p_operator, p_journal, p_template, p_version, p_source_type, p_source_id,
                                       p_purpose, p_effective_at);
    v_differs text;
begin
    if v_journal is null then
        select case when j.template <> p_template then 'template' when t.debit <> p_debit then 'debit'
                    when t.credit <> p_credit then 'credit' when t.amount_vnd <> p_amount_vnd then 'amount_vnd'
                    when t.flow is distinct from p_flow then 'flow' when t.journal_id is null then 'transfer'
                    when j.effective_at <> p_effective_at then 'effective_at' when r.id is not null then 'reversal' end
        into v_differs
        from payments.journal j
        left join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id and t.leg = 1
        left join payments.journal r on r.operator_id = j.operator_id and r.source_type = 'journal'
                                    and r.source_id = j.id::text and r.purpose = 'reversed'
        where j.operator_id = p_operator and j.source_type = p_source_type and j.source_id = p_source_id
          and j.purpose = p_purpose;
        if v_differs is not null then
            raise exception '%', v_differs using errcode = 'MC409';
        end if;
        return false;
    end if;
    insert into payments.transfer (operator_id, journal_id, leg, debit, credit, amount_vnd, flow)
    values (p_operator, v_journal, 1, p_debit, p_credit, p_amount_vnd, p_flow);
    if p_reserved is not null then
        perform payments.end_reservation(p_operator, p_reserved, p_amount_vnd, p_credit);
    end if;
    if p_debit like 'cash_drawer:%' or p_credit like 'cash_drawer:%' then
        perform payments.move_balances(p_operator, p_debit, p_credit, p_amount_vnd);
    end if;
    return true;
end $$;

-- The mirror of a whole journal. Its own natural key is the journal it reverses, so there is one at most.
-- Null if there is no such journal, false if it was reversed before.
create or replace function payments.reverse(
    p_operator uuid, p_journal uuid, p_source_type text, p_source_id text, p_purpose text, p_effective_at timestamptz)
returns boolean language plpgsql as $$
declare
    v_wrong payments.journal;
    v_journal uuid;
    v_leg record;
begin
    select * into v_wrong from payments.journal
        where operator_id = p_operator and source_type = p_source_type and source_id = p_source_id
          and purpose = p_purpose;
    if v_wrong.id is null then
        return null;
    end if;
    if v_wrong.template = 'reversal' then
        raise exception 'a reversal' using errcode = 'MC412';
    end if;
    v_journal := payments.journal(p_operator, p_journal, 'reversal', 1, 'journal', v_wrong.id::text, 'reversed',
                                  p_effective_at);
    if v_journal is null then
        return false;
    end if;
    for v_leg in select * from payments.transfer where operator_id = p_operator and journal_id = v_wrong.id order by leg
    loop
        insert into payments.transfer (operator_id, journal_id, leg, debit, credit, amount_vnd, flow)
        values (p_operator, v_journal, v_leg.leg, v_leg.credit, v_leg.debit, v_leg.amount_vnd, v_leg.flow);
        perform payments.move_balances(p_operator, v_leg.credit, v_leg.debit, v_leg.amount_vnd);
    end loop;
    return true;
end $$;
