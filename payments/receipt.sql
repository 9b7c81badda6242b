-- Transaction 1 (design.md 4): inbox + receipt + transfer + what is due, in one call that is its own transaction.
drop function if exists payments.receive(
    uuid, uuid, uuid, text, text, bigint, timestamptz, text[], bytea, bytea, text, text, bytea, text);
drop function if exists payments.receive(
    uuid, uuid, uuid, text, text, bigint, timestamptz, text[], text[], bytea, bytea, text, text, bytea, text);
drop function if exists payments.receive(
    uuid, uuid, uuid, text, text, bigint, timestamptz, text[], text[], bytea, bytea, text, text, bytea, text, text, text, jsonb);
create or replace function payments.receive(
    p_operator uuid, p_receipt uuid, p_journal uuid, p_account text, p_bank_ref text, p_amount_vnd bigint,
    p_paid_at timestamptz, p_references text[], p_like text[], p_text bytea, p_payer bytea, p_source text,
    p_event text, p_raw bytea, p_type text, p_gateway text, p_means text, p_facts jsonb, p_now timestamptz,
    out receipt_id uuid, out fresh boolean, out same boolean)
language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    -- Nobody pays in the future: what a gateway's clock says beyond ours was paid now, or a grace time would last for ever.
    p_paid_at := least(p_paid_at, coalesce(p_now, foundation.now()));
    if p_event is not null then
        insert into payments.notice (operator_id, event_id, type, sealed)
        values (p_operator, p_event, p_type, p_raw) on conflict do nothing;
    end if;
    insert into payments.receipt (operator_id, id, bank_account, bank_ref, amount_vnd, paid_at, references_found,
                                  references_like, text_sealed, payer_sealed, source, gateway, means, facts)
    values (p_operator, p_receipt, p_account, p_bank_ref, p_amount_vnd, p_paid_at, p_references, p_like, p_text, p_payer, p_source,
            p_gateway, p_means, p_facts)
    on conflict (operator_id, bank_account, bank_ref) do nothing
    returning id into receipt_id;
    if receipt_id is null then
        select r.id, false, r.amount_vnd = p_amount_vnd into receipt_id, fresh, same from payments.receipt r
        where r.operator_id = p_operator and r.bank_account = p_account and r.bank_ref = p_bank_ref;
        return;
    end if;
    perform payments.post(p_operator, p_journal, 'receipt.seen', 1, 'receipt', receipt_id::text, 'seen', p_paid_at,
                          'gw_receivable', 'unapplied_receipts', p_amount_vnd, receipt_id);
    insert into foundation.due (operator_id, kind, id, due_at, version, attempts)
    values (p_operator, 'payments.apply', receipt_id::text, clock_timestamp() + interval '2 seconds', 1, 0);
    fresh := true;
    same := true;
end $$;
