-- Who works with a session of a tablet; inlined by every hot act. Real time: a login is about people, not the trade.
-- `refusal` says why not, also for a place that is named and not one of the tablet's; no row at all is login_expired, too.
create or replace function foundation.on_duty(p_operator uuid, p_session bytea, p_place integer default null)
returns table (device_id uuid, device_name text, places integer[], staff_id uuid, login text, name text, refusal text)
language sql stable as $$
    select d.id, d.name, d.places, p.id, p.login, p.name,
           case when d.revoked_at is not null then 'device_revoked'
                when s.ended_at is not null or s.expires_at <= clock_timestamp() or not p.active then 'login_expired'
                when not p_place = any (d.places) then 'place_not_yours'
           end
    from foundation.session s
    join foundation.device d on d.operator_id = s.operator_id and d.id = s.device_id
    join foundation.staff p on p.operator_id = s.operator_id and p.id = s.staff_id
    where s.operator_id = p_operator and s.id_hash = p_session
$$;
