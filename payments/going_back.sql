-- The charges of a thing of another service for which money was put aside. Of nearly every thing nothing goes back: that
-- much is asked first, in autocommit (Database.hot), and costs a tenth.
create or replace function payments.put_aside(p_operator uuid, p_purpose text, p_reference text)
returns uuid[] language plpgsql as $$
begin
    perform set_config('app.operator', p_operator::text, true);
    return array(
        select l.charge_id from payments.charge_line l
        where l.operator_id = p_operator and l.reference = p_reference and l.purpose = p_purpose
        and (exists (select from payments.held h where h.operator_id = p_operator and h.charge_id = l.charge_id)
             or exists (select from payments.given_back g where g.operator_id = p_operator and g.charge_id = l.charge_id)));
end $$;
