-- A charge at one glance, in autocommit (Database.hot): the columns of ChargeView, whether anything that was paid for it
-- waits to go back or has gone, and the account it is paid to.
create or replace function payments.look(p_operator uuid, p_reference text)
returns table (id uuid, reference text, token text, amount_vnd bigint, received_vnd bigint, state text, return_path text,
               created_at timestamptz, holds_until timestamptz, topup_until timestamptz, paid_at timestamptz,
               touched boolean, bin text, account text, owner_name text)
language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return query
        select c.id, c.reference::text, c.token::text, c.amount_vnd, c.received_vnd, c.state::text, c.return_path::text,
               c.created_at, c.holds_until, c.topup_until, c.paid_at,
               exists (select from payments.held h where h.operator_id = p_operator and h.charge_id = c.id)
               or exists (select from payments.given_back g where g.operator_id = p_operator and g.charge_id = c.id),
               a.bin::text, a.account::text, a.owner_name::text
        from payments.charge c
        cross join lateral (select k.bin, k.account, k.owner_name from payments.collection_account k
                            where k.operator_id = p_operator order by k.bin, k.account limit 1) a
        where c.operator_id = p_operator and c.reference = p_reference;
end $$;
