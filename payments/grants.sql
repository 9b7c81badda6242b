-- What the app may change in payments: states of what is owed and waits, never an amount or an account.
grant update (poll_cursor, polled_at, swept_at, statement_at) on payments.collection_account to motcham_app;
grant update (balance_vnd, reserved_vnd) on payments.balance to motcham_app;
grant update (closed_through) on payments.book to motcham_app;
grant update (state, decided_by, decided_at, why) on payments.book_request to motcham_app;
grant update (state, received_vnd, given_back_vnd, documented_vnd, paid_at, topup_until) on payments.charge to motcham_app;
grant update (amount_vnd, used_vnd, opened_at, closed_at, owner_id, reason, charge_id) on payments.held to motcham_app;
grant update (state, approved_by, approved_at, asked_at, accepted_at, ended_at, debit_ref, return_ref, why, looks, look_at)
    on payments.refund to motcham_app;
grant update (state, decided_by, decided_at, why) on payments.give_back_request to motcham_app;
grant update (settled_vnd, asked_way, asked_ref, asked_reason, asked_by, asked_at) on payments.debit to motcham_app;
grant update (asked_vnd) on payments.refund_day to motcham_app;
grant update (receipts, closed_at, counted_vnd, expected_vnd) on payments.shift to motcham_app;
grant update (used_vnd, closed_at, owner_id, reason, charge_id) on payments.held to motcham_app;
grant update (receipts, drops, refunds, voids, drops_refused, counted_at, counted_notes, counted_vnd, expected_vnd, uncounted, explained_vnd,
              closed_at, reason, words, countersigned_by, closed_by, safe_vnd, bagged_vnd)
    on payments.shift to motcham_app;
grant update (received_at, received_by, voided_at) on payments.cash_drop to motcham_app;
grant update (given_vnd) on payments.cash_refund_day to motcham_app;
grant update (used_at) on payments.witness to motcham_app;
grant update (arrived_vnd, arrived_at, short_vnd, short_reason, short_asked_by, short_asked_at, short_agreed_by,
              short_agreed_at) on payments.deposit to motcham_app;
grant update (received_vnd, released_vnd) on payments.proxy_transfer to motcham_app;
grant update (units, amount_vnd) on payments.cashless_day to motcham_app;
grant update (counted_at, recount_at) on payments.cashless_counted to motcham_app;
grant update (at, lines) on payments.books_proof to motcham_app;
grant update (state, code, transaction_no, ended_at, ask_at, asks) on payments.attempt to motcham_app;
grant update (agreed_by, agreed_at, withdrawn_at) on payments.contract to motcham_app;
grant update (netted_vnd) on payments.due_item to motcham_app;
grant update (released_with) on payments.held_back to motcham_app;
grant update (agreed_by, agreed_at, usable_from, told, withdrawn_at, came_back_at) on payments.payee_account to motcham_app;
grant update (approved_by, approved_at, looks, look_at) on payments.payout_run to motcham_app;
grant update (state, why, debited_vnd, approved_at, left_at, ended_at) on payments.payout to motcham_app;
grant update (released) on payments.payout_day to motcham_app;
grant delete on payments.claim, payments.suggestion, payments.suggestion_item to motcham_app;
grant update (state, score, sealed, codes, name, note, named_by, named_at), delete on payments.open_item to motcham_app;
grant update (decided_by, decided_at, agreed) on payments.write_off_ask to motcham_app;
grant update (last_number) on payments.fiscal_series to motcham_app;
grant update (withdrawn_at) on payments.fiscal_term to motcham_app;
grant update (state, tax_code, why, tries, ended_at) on payments.fiscal_sending to motcham_app;
