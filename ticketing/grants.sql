-- What the app may change in ticketing: who went in, which charge an order waits for; never heads or a price.
grant update (charge_id) on ticketing."order" to motcham_app;
grant update (admitted, first_used_at, last_used_at, last_device_id, revoked_at) on ticketing.ticket to motcham_app;
