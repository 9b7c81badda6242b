-- The practice bank's schema. Every statement may run again on a schema that is already there.
CREATE SCHEMA IF NOT EXISTS mock_bank;

CREATE TABLE IF NOT EXISTS mock_bank.clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    bank_at timestamptz NOT NULL,
    real_at timestamptz NOT NULL,
    rate double precision NOT NULL CHECK (rate >= 0)
);
INSERT INTO mock_bank.clock (bank_at, real_at, rate) SELECT t, t, 1 FROM clock_timestamp() t ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS mock_bank.faults (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    lose_notices boolean NOT NULL DEFAULT false,
    repeat_notices integer NOT NULL DEFAULT 1 CHECK (repeat_notices BETWEEN 1 AND 5),
    delay_seconds integer NOT NULL DEFAULT 0 CHECK (delay_seconds BETWEEN 0 AND 3600),
    text_style text NOT NULL DEFAULT 'dirty' CHECK (text_style IN ('clean', 'dirty'))
);
INSERT INTO mock_bank.faults DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS mock_bank.account (
    bin text NOT NULL CHECK (bin ~ '^[0-9]{6}$'),
    account text NOT NULL CHECK (account ~ '^[0-9A-Za-z]{1,19}$'),
    owner_name text NOT NULL,
    webhook_url text,
    balance_vnd bigint NOT NULL DEFAULT 0 CHECK (balance_vnd >= 0),
    last_number bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (bin, account)
);

-- `number` counts the transactions of one account. It is given under the account row's lock, which is held until the
-- commit, so no row can ever appear behind a number that somebody has already seen.
CREATE TABLE IF NOT EXISTS mock_bank.transaction (
    bin text NOT NULL,
    account text NOT NULL,
    number bigint NOT NULL,
    bank_ref text NOT NULL,
    direction text NOT NULL DEFAULT 'credit' CHECK (direction IN ('credit', 'debit')),
    amount_vnd bigint NOT NULL CHECK (amount_vnd BETWEEN 1 AND 500000000000),
    text text NOT NULL,
    booked_at timestamptz NOT NULL,
    payer_name text NOT NULL,
    payer_bin text NOT NULL,
    payer_account text NOT NULL,
    payment_id uuid NOT NULL UNIQUE,
    request jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bin, account, number),
    UNIQUE (bin, account, bank_ref),
    FOREIGN KEY (bin, account) REFERENCES mock_bank.account
);
CREATE INDEX IF NOT EXISTS transaction_by_payer
    ON mock_bank.transaction (payer_bin, payer_account, recorded_at DESC);

-- The outbox. `due_at` is also the lease: who takes a notice moves it ahead, so one that died with its sender comes back
-- by itself. `sends` is the fencing token: only the newest sender may write down how it went.
CREATE TABLE IF NOT EXISTS mock_bank.notice (
    id text PRIMARY KEY,
    bin text NOT NULL,
    account text NOT NULL,
    number bigint NOT NULL,
    body text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'silent', 'lost')),
    due_at timestamptz NOT NULL,
    copies_left integer NOT NULL CHECK (copies_left >= 0),
    sends integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    settled_at timestamptz,
    FOREIGN KEY (bin, account, number) REFERENCES mock_bank.transaction
);
CREATE INDEX IF NOT EXISTS notice_due ON mock_bank.notice (due_at) WHERE state = 'waiting';

CREATE OR REPLACE FUNCTION mock_bank.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT bank_at + (clock_timestamp() - real_at) * rate FROM mock_bank.clock
$$;

CREATE OR REPLACE FUNCTION mock_bank.moment(at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(at AT TIME ZONE 'Asia/Ho_Chi_Minh', 'YYYY-MM-DD"T"HH24:MI:SS.US"+07:00"')
$$;

-- One transaction as the bank shows it to programs: the same in a notice, in a list and in the answer to a payment.
CREATE OR REPLACE FUNCTION mock_bank.shown(t mock_bank.transaction) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'bank_ref', t.bank_ref, 'bin', t.bin, 'account', t.account, 'direction', t.direction,
        'amount_vnd', t.amount_vnd, 'text', t.text, 'booked_at', mock_bank.moment(t.booked_at),
        'payer_name', t.payer_name, 'payer_bin', t.payer_bin, 'payer_account', t.payer_account)
$$;

-- Book one payment on a collection account, and put its notice into the outbox of the same transaction.
-- Answers how it went (booked, replayed, other_body, unknown_account) and the transaction as shown.
CREATE OR REPLACE FUNCTION mock_bank.book(
    p_payment_id uuid, p_request jsonb, p_bin text, p_account text, p_amount_vnd bigint,
    p_text text, p_dirty_text text, p_payer_name text, p_payer_bin text, p_payer_account text,
    OUT outcome text, OUT shown json
) LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_faults mock_bank.faults;
    v_transaction mock_bank.transaction;
    v_at timestamptz;
    v_number bigint;
BEGIN
    SELECT * INTO v_account FROM mock_bank.account WHERE bin = p_bin AND account = p_account FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_account';
        RETURN;
    END IF;

    SELECT * INTO v_transaction FROM mock_bank.transaction WHERE payment_id = p_payment_id;
    IF FOUND THEN
        outcome := CASE WHEN v_transaction.request = p_request THEN 'replayed' ELSE 'other_body' END;
        shown := mock_bank.shown(v_transaction);
        RETURN;
    END IF;

    SELECT * INTO v_faults FROM mock_bank.faults;
    v_at := mock_bank.now();
    v_number := v_account.last_number + 1;
    INSERT INTO mock_bank.transaction (bin, account, number, bank_ref, amount_vnd, text, booked_at,
                                       payer_name, payer_bin, payer_account, payment_id, request)
    VALUES (p_bin, p_account, v_number,
            'FT' || to_char(v_at AT TIME ZONE 'Asia/Ho_Chi_Minh', 'YYDDD') || lpad(v_number::text, 8, '0'),
            p_amount_vnd, CASE v_faults.text_style WHEN 'clean' THEN p_text ELSE p_dirty_text END, v_at,
            p_payer_name, p_payer_bin, p_payer_account, p_payment_id, p_request)
    ON CONFLICT (payment_id) DO NOTHING
    RETURNING * INTO v_transaction;
    IF NOT FOUND THEN  -- the same id was booked on another account at this very moment
        outcome := 'other_body';
        RETURN;
    END IF;
    UPDATE mock_bank.account SET last_number = v_number, balance_vnd = balance_vnd + p_amount_vnd
     WHERE bin = p_bin AND account = p_account;

    outcome := 'booked';
    shown := mock_bank.shown(v_transaction);
    IF v_account.webhook_url IS NOT NULL THEN
        INSERT INTO mock_bank.notice (id, bin, account, number, body, state, due_at, copies_left)
        VALUES ('evt_' || replace(gen_random_uuid()::text, '-', ''), p_bin, p_account, v_number,
                json_build_object('type', 'transaction.booked', 'timestamp', mock_bank.moment(v_at), 'data', shown)::text,
                CASE WHEN v_faults.lose_notices THEN 'lost' ELSE 'waiting' END,
                clock_timestamp() + make_interval(secs => v_faults.delay_seconds), v_faults.repeat_notices);
    END IF;
END
$$;
