-- Claims a key for this transaction, or says what was answered under it. Whoever comes second waits a second for the first.
create or replace function foundation.claim_answer(
    p_operator uuid, p_principal text, p_route text, p_key text, p_body_hash bytea,
    out claimed boolean, out body_hash bytea, out answer jsonb)
language plpgsql set lock_timeout = '1s' as $$
begin
    insert into foundation.stored_answer (operator_id, principal, route, key, body_hash, recorded_at)
    values (p_operator, p_principal, p_route, p_key, p_body_hash, clock_timestamp())
    on conflict do nothing;
    claimed := found;
    if not claimed then
        select s.body_hash, s.answer into claim_answer.body_hash, claim_answer.answer from foundation.stored_answer s
        where s.operator_id = p_operator and s.principal = p_principal and s.route = p_route and s.key = p_key;
    end if;
end $$;

-- Keeps what is answered under a key together with its effect, in the same transaction. False if there is an answer.
create or replace function foundation.keep_answer(
    p_operator uuid, p_principal text, p_route text, p_key text, p_body_hash bytea, p_answer jsonb)
returns boolean language plpgsql as $$
begin
    insert into foundation.stored_answer (operator_id, principal, route, key, body_hash, answer, recorded_at)
    values (p_operator, p_principal, p_route, p_key, p_body_hash, p_answer, clock_timestamp())
    on conflict do nothing;
    return found;
end $$;
