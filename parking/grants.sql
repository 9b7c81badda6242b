-- What the app may change in parking: a stay goes on, a place is taken; never when and as what a vehicle came.
grant update (left_at, left_device_id, counted, settled_vnd, may_leave_until, charge_id) on parking.stay to motcham_app;
grant update (occupied) on parking.lot to motcham_app;
