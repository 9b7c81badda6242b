-- One event, one journal, one transfer, one call. Returns false if exactly this was posted before.
create or replace function payments.post(
    p_operator uuid, p_journal uuid, p_template text, p_version integer,
    p_source_type text, p_source_id text, p_purpose text, p_effective_at timestamptz,
    p_debit text, p_credit text, p_amount_vnd bigint, p_flow uuid)
returns boolean language plpgsql as $$
declare
    v_journal uuid;
    v_same boolean;
begin
    insert into payments.journal (operator_id, id, template, version, source_type, source_id, purpose,
                                  effective_at, effective_day)
    values (p_operator, p_journal, p_template, p_version, p_source_type, p_source_id, p_purpose,
            p_effective_at, foundation.hanoi_day(p_effective_at))
    on conflict (operator_id, source_type, source_id, purpose) do nothing
    returning id into v_journal;
    if v_journal is null then
        select j.template = p_template and t.debit = p_debit and t.credit = p_credit and t.amount_vnd = p_amount_vnd
        into v_same
        from payments.journal j
        join payments.transfer t on t.operator_id = j.operator_id and t.journal_id = j.id and t.leg = 1
        where j.operator_id = p_operator and j.source_type = p_source_type and j.source_id = p_source_id
          and j.purpose = p_purpose;
        if v_same is not true then
            raise exception 'posted otherwise: % % %', p_source_type, p_source_id, p_purpose using errcode = 'MC409';
        end if;
        return false;
    end if;
    insert into payments.transfer (operator_id, journal_id, leg, debit, credit, amount_vnd, flow)
    values (p_operator, v_journal, 1, p_debit, p_credit, p_amount_vnd, p_flow);
    -- Only authorising accounts have a row; both sides in one statement, in account order.
    if p_debit like 'cash_drawer:%' or p_credit like 'cash_drawer:%' then
        update payments.balance b
        set balance_vnd = b.balance_vnd + case when b.account = p_debit then p_amount_vnd else -p_amount_vnd end
        from (select account from payments.balance
              where operator_id = p_operator and account in (p_debit, p_credit) order by account for update) locked
        where b.operator_id = p_operator and b.account = locked.account;
    end if;
    return true;
end $$;
