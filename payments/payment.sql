-- A charge at one glance, in autocommit (Database.hot): whose it is, the columns of ChargeView, whether anything that was
-- paid for it waits to go back or has gone, and the account it is paid to. A reference is new to nearly every process that
-- is asked for it, so whose it is comes from the directory in the same call.
drop function if exists payments.look(uuid, text);
create or replace function payments.look(p_reference text)
returns table (operator_id uuid, id uuid, reference text, token text, amount_vnd bigint, received_vnd bigint, state text,
               return_path text, created_at timestamptz, holds_until timestamptz, topup_until timestamptz,
               paid_at timestamptz, touched boolean, bin text, account text, owner_name text)
language plpgsql as $$
declare
    v_operator uuid := (select d.operator_id from foundation.directory d
                        where d.kind = 'reference' and d.key = p_reference);
begin
    perform set_config('app.operator', v_operator::text, true);
    return query
        select v_operator, c.id, c.reference::text, c.token::text, c.amount_vnd, c.received_vnd, c.state::text,
               c.return_path::text, c.created_at, c.holds_until, c.topup_until, c.paid_at,
               exists (select from payments.held h where h.operator_id = v_operator and h.charge_id = c.id)
               or exists (select from payments.given_back g where g.operator_id = v_operator and g.charge_id = c.id),
               a.bin::text, a.account::text, a.owner_name::text
        from payments.charge c
        cross join lateral (select k.bin, k.account, k.owner_name from payments.collection_account k
                            where k.operator_id = v_operator order by k.bin, k.account limit 1) a
        where c.operator_id = v_operator and c.reference = p_reference;
end $$;
