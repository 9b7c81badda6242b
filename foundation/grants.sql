-- What the app may change, column by column; everything else it can only read and add (guards.sql). A row lock needs the
-- right to change one column, which is why places are here.
grant update (address) on foundation.place to motcham_app;
grant update (active) on foundation.staff to motcham_app;
grant update (seen_at, ended_at) on foundation.session to motcham_app;
grant update (revoked_at) on foundation.device to motcham_app;
grant update (used_at, device_id) on foundation.enrolment to motcham_app;
grant update (answer) on foundation.stored_answer to motcham_app;
grant update, delete on foundation.due, foundation.wake to motcham_app;
