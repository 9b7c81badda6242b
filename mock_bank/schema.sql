-- The practice bank's schema. Every statement may run again on a schema that is already there.
CREATE SCHEMA IF NOT EXISTS mock_bank;

CREATE TABLE IF NOT EXISTS mock_bank.clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    bank_at timestamptz NOT NULL,
    real_at timestamptz NOT NULL,
    rate double precision NOT NULL CHECK (rate >= 0)
);
INSERT INTO mock_bank.clock (bank_at, real_at, rate) SELECT t, t, 1 FROM clock_timestamp() t ON CONFLICT DO NOTHING;

-- What goes wrong: only what is not as usual stands in `settings`; faults.py says what there is.
CREATE TABLE IF NOT EXISTS mock_bank.faults (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
ALTER TABLE mock_bank.faults ADD COLUMN IF NOT EXISTS settings jsonb NOT NULL DEFAULT '{}';
INSERT INTO mock_bank.faults DEFAULT VALUES ON CONFLICT DO NOTHING;
DO $$ BEGIN  -- the first four faults had columns of their own
    IF EXISTS (SELECT FROM information_schema.columns
                WHERE table_schema = 'mock_bank' AND table_name = 'faults' AND column_name = 'lose_notices') THEN
        UPDATE mock_bank.faults f SET settings = to_jsonb(f) - ARRAY['only_row', 'settings'];
        ALTER TABLE mock_bank.faults DROP COLUMN lose_notices, DROP COLUMN repeat_notices,
                                     DROP COLUMN delay_seconds, DROP COLUMN text_style;
    END IF;
END $$;

-- Whom a fault strikes: only the next so many, or only a share, drawn by the seed and counted. Without a row: everybody.
CREATE TABLE IF NOT EXISTS mock_bank.aim (
    fault text PRIMARY KEY,
    next_left integer CHECK (next_left >= 0),
    share double precision CHECK (share BETWEEN 0 AND 1),
    drawn bigint NOT NULL DEFAULT 0
);

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
-- `relates_to` is the bank_ref, on the same account, of the line that this one undoes or gives back. A line whose
-- `visible_at` is still to come is booked and counted, but not yet listed; at `reverse_at` a credit is taken back; both
-- by the bank's time. `payer_told` and `bank_ref_told` say how the owner is told of them: told, absent, null or empty.
ALTER TABLE mock_bank.transaction
    ALTER COLUMN payment_id DROP NOT NULL,
    ALTER COLUMN request DROP NOT NULL,
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'payment',
    ADD COLUMN IF NOT EXISTS relates_to text,
    ADD COLUMN IF NOT EXISTS refund_id uuid,
    ADD COLUMN IF NOT EXISTS payee_name text,
    ADD COLUMN IF NOT EXISTS payee_bin text,
    ADD COLUMN IF NOT EXISTS payee_account text,
    ADD COLUMN IF NOT EXISTS visible_at timestamptz,
    ADD COLUMN IF NOT EXISTS reverse_at timestamptz,
    ADD COLUMN IF NOT EXISTS payer_told text NOT NULL DEFAULT 'told',
    ADD COLUMN IF NOT EXISTS bank_ref_told text NOT NULL DEFAULT 'told',
    ADD COLUMN IF NOT EXISTS payout_id text;
ALTER TABLE mock_bank.transaction  -- anew at every start, since the kinds have grown; what is there was checked before
    DROP CONSTRAINT IF EXISTS transaction_kind_check,
    ADD CONSTRAINT transaction_kind_check
        CHECK (kind IN ('payment', 'reversal', 'refund', 'refund_return', 'payout', 'payout_return')) NOT VALID;
CREATE INDEX IF NOT EXISTS transaction_by_payer
    ON mock_bank.transaction (payer_bin, payer_account, recorded_at DESC);
CREATE INDEX IF NOT EXISTS transaction_by_payee
    ON mock_bank.transaction (payee_bin, payee_account, recorded_at DESC) WHERE payee_account IS NOT NULL;
CREATE INDEX IF NOT EXISTS transaction_to_reverse ON mock_bank.transaction (reverse_at) WHERE reverse_at IS NOT NULL;
-- Money goes back once: a credit is reversed once, and a refund leaves once and comes back once.
CREATE UNIQUE INDEX IF NOT EXISTS transaction_reversed_once
    ON mock_bank.transaction (bin, account, relates_to) WHERE kind = 'reversal';
CREATE UNIQUE INDEX IF NOT EXISTS transaction_refunded_once
    ON mock_bank.transaction (refund_id, kind) WHERE refund_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS transaction_payout_returned_once
    ON mock_bank.transaction (bin, account, payout_id) WHERE kind = 'payout_return';

-- Money out, once per `id` of the owner's. What was refused stays refused under its id. `due_at`: its next step, by the
-- bank's time. `returns`: the receiving bank will send it back.
CREATE TABLE IF NOT EXISTS mock_bank.refund (
    id uuid PRIMARY KEY,
    request jsonb NOT NULL,
    bin text NOT NULL,
    account text NOT NULL,
    original text NOT NULL,
    amount_vnd bigint NOT NULL CHECK (amount_vnd > 0),
    state text NOT NULL CHECK (state IN ('refused', 'accepted', 'sent', 'settled', 'returned')),
    refusal jsonb CHECK ((refusal IS NOT NULL) = (state = 'refused')),
    debit_bank_ref text CHECK ((debit_bank_ref IS NULL) = (state = 'refused')),
    return_bank_ref text CHECK ((return_bank_ref IS NOT NULL) = (state = 'returned')),
    returns boolean NOT NULL,
    seconds integer NOT NULL CHECK (seconds >= 0),
    asked_at timestamptz NOT NULL,
    sent_at timestamptz,
    ended_at timestamptz,
    due_at timestamptz CHECK ((due_at IS NOT NULL) = (state IN ('accepted', 'sent'))),
    FOREIGN KEY (bin, account) REFERENCES mock_bank.account
);
CREATE INDEX IF NOT EXISTS refund_by_original ON mock_bank.refund (bin, account, original);
CREATE INDEX IF NOT EXISTS refund_due ON mock_bank.refund (due_at) WHERE due_at IS NOT NULL;

-- Payout files, once per message id of the owner's. `number`, `total_vnd`: what the file says of itself; `refusal`: the
-- reason for which nothing of it was taken on; `answer`: the report that was given when it was handed in.
CREATE TABLE IF NOT EXISTS mock_bank.payout_file (
    message_id text PRIMARY KEY,
    digest text NOT NULL,
    payment_id text NOT NULL,
    number bigint NOT NULL,
    total_vnd bigint NOT NULL,
    refusal text,
    answer text,
    taken_at timestamptz NOT NULL
);

-- One transfer of a file. `id`: its EndToEndId, used once on an account unless it was rejected; `due_at`: its next step, by
-- the bank's time. `rejects`, `returns`, `splits`: what will go wrong with it.
CREATE TABLE IF NOT EXISTS mock_bank.payout (
    message_id text NOT NULL REFERENCES mock_bank.payout_file,
    id text NOT NULL,
    position integer NOT NULL,
    bin text NOT NULL,
    account text NOT NULL,
    amount_vnd bigint NOT NULL CHECK (amount_vnd > 0),
    payee_bin text NOT NULL,
    payee_account text NOT NULL,
    payee_name text NOT NULL,
    text text NOT NULL,
    state text NOT NULL CHECK (state IN ('rejected', 'accepted', 'booked', 'settled', 'returned')),
    reason text CHECK ((reason IS NOT NULL) = (state = 'rejected')),
    rejects boolean NOT NULL,
    returns boolean NOT NULL,
    splits boolean NOT NULL,
    seconds integer NOT NULL CHECK (seconds >= 0),
    due_at timestamptz CHECK ((due_at IS NOT NULL) = (state IN ('accepted', 'booked') OR state = 'settled' AND returns)),
    PRIMARY KEY (message_id, id)
);
CREATE UNIQUE INDEX IF NOT EXISTS payout_once ON mock_bank.payout (bin, account, id) WHERE state <> 'rejected';
CREATE INDEX IF NOT EXISTS payout_due ON mock_bank.payout (due_at) WHERE due_at IS NOT NULL;

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
-- `not_before`: not to be sent until the bank's time is that. `again_at`: when it is sent once more although it arrived.
-- `defects`: what is wrong with its first, second, third sending.
ALTER TABLE mock_bank.notice
    ADD COLUMN IF NOT EXISTS not_before timestamptz,
    ADD COLUMN IF NOT EXISTS again_at timestamptz,
    ADD COLUMN IF NOT EXISTS defects text[] NOT NULL DEFAULT '{}';
CREATE INDEX IF NOT EXISTS notice_due ON mock_bank.notice (due_at) WHERE state = 'waiting';

CREATE OR REPLACE FUNCTION mock_bank.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT bank_at + (clock_timestamp() - real_at) * rate FROM mock_bank.clock
$$;

CREATE OR REPLACE FUNCTION mock_bank.moment(at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(at AT TIME ZONE 'Asia/Ho_Chi_Minh', 'YYYY-MM-DD"T"HH24:MI:SS.US"+07:00"')
$$;

-- A number in [0, 1) that depends on nothing but its arguments.
CREATE OR REPLACE FUNCTION mock_bank.draw(p_seed text, p_what text, p_count bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || left(md5(p_seed || ':' || p_what || ':' || p_count), 7))::bit(28)::integer / 268435456.0
$$;

-- What this fault does this time, or null for the usual. Each asking counts; a seed draws the same sequence again.
CREATE OR REPLACE FUNCTION mock_bank.struck(p_faults jsonb, p_fault text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_aim mock_bank.aim;
    v_hit boolean;
BEGIN
    IF NOT p_faults ? p_fault THEN
        RETURN NULL;
    END IF;
    SELECT * INTO v_aim FROM mock_bank.aim WHERE fault = p_fault FOR UPDATE;
    IF FOUND THEN
        v_hit := v_aim.next_left IS DISTINCT FROM 0
             AND (v_aim.share IS NULL
                  OR mock_bank.draw(coalesce(p_faults ->> 'seed', '0'), p_fault, v_aim.drawn) < v_aim.share);
        UPDATE mock_bank.aim SET drawn = drawn + 1, next_left = next_left - v_hit::integer WHERE fault = p_fault;
        IF NOT v_hit THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN p_faults ->> p_fault;
END
$$;

CREATE OR REPLACE FUNCTION mock_bank.struck(p_fault text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT mock_bank.struck(settings, p_fault) FROM mock_bank.faults
$$;

-- One transaction with all that the bank knows of it: what the payer's side is shown.
CREATE OR REPLACE FUNCTION mock_bank.shown(t mock_bank.transaction) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN t.kind = 'payment' THEN fact ELSE (fact::jsonb || jsonb_strip_nulls(jsonb_build_object(
               'kind', t.kind, 'relates_to', t.relates_to, 'refund_id', t.refund_id, 'payout_id', t.payout_id,
               'payee_name', t.payee_name, 'payee_bin', t.payee_bin, 'payee_account', t.payee_account)))::json END
      FROM json_build_object(
        'bank_ref', t.bank_ref, 'bin', t.bin, 'account', t.account, 'direction', t.direction,
        'amount_vnd', t.amount_vnd, 'text', t.text, 'booked_at', mock_bank.moment(t.booked_at),
        'payer_name', t.payer_name, 'payer_bin', t.payer_bin, 'payer_account', t.payer_account) AS fact
$$;

CREATE OR REPLACE FUNCTION mock_bank.withheld(p_facts jsonb, p_names text[], p_how text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_how
             WHEN 'told' THEN p_facts
             WHEN 'absent' THEN p_facts - p_names
             ELSE p_facts || (SELECT jsonb_object_agg(name, CASE p_how WHEN 'empty' THEN '' END) FROM unnest(p_names) name)
           END
$$;

-- The same as the account's owner is told, in a notice and in the list alike.
CREATE OR REPLACE FUNCTION mock_bank.told(t mock_bank.transaction) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN t.payer_told = 'told' AND t.bank_ref_told = 'told' THEN mock_bank.shown(t) ELSE
        mock_bank.withheld(
            mock_bank.withheld(mock_bank.shown(t)::jsonb, '{payer_name,payer_bin,payer_account}', t.payer_told),
            '{bank_ref}', t.bank_ref_told)::json END
$$;

-- Put the notice of a transaction into the outbox, with everything that will go wrong with it.
CREATE OR REPLACE FUNCTION mock_bank.announce(t mock_bank.transaction, p_faults jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_lost boolean := mock_bank.struck(p_faults, 'lose_notices') = 'true';
    v_copies integer := mock_bank.struck(p_faults, 'repeat_notices');
    v_delay_seconds integer := mock_bank.struck(p_faults, 'delay_seconds');
    v_shuffle_seconds integer := mock_bank.struck(p_faults, 'shuffle_seconds');
    v_again_days integer := mock_bank.struck(p_faults, 'repeat_after_days');
    v_defects text[] := array_remove(ARRAY[
        CASE WHEN mock_bank.struck(p_faults, 'wrong_signature') = 'true' THEN 'wrong_signature' END,
        CASE WHEN mock_bank.struck(p_faults, 'stale_timestamp') = 'true' THEN 'stale_timestamp' END,
        CASE WHEN mock_bank.struck(p_faults, 'lose_notice_answers') = 'true' THEN 'answer_lost' END], NULL);
    v_events integer := CASE WHEN mock_bank.struck(p_faults, 'two_event_ids') = 'true' THEN 2 ELSE 1 END;
    v_shuffled double precision := mock_bank.draw(coalesce(p_faults ->> 'seed', '0'), 'shuffle', t.number);
BEGIN
    INSERT INTO mock_bank.notice (id, bin, account, number, body, state, due_at, copies_left, again_at, defects)
    SELECT 'evt_' || replace(gen_random_uuid()::text, '-', ''), t.bin, t.account, t.number,
           json_build_object('type', 'transaction.booked', 'timestamp', mock_bank.moment(t.booked_at),
                             'data', mock_bank.told(t))::text,
           CASE WHEN v_lost THEN 'lost' ELSE 'waiting' END,
           clock_timestamp()
               + make_interval(secs => coalesce(v_delay_seconds, 0) + coalesce(v_shuffle_seconds, 0) * v_shuffled),
           coalesce(v_copies, 1), t.booked_at + make_interval(days => v_again_days), v_defects
      FROM generate_series(1, v_events);
END
$$;

-- The only way onto the books: one line, the account's balance and the notice, together. It gives the line its number,
-- its reference and its time, and answers null if the payment was booked elsewhere at this very moment.
CREATE OR REPLACE FUNCTION mock_bank.enter(t mock_bank.transaction) RETURNS mock_bank.transaction
LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_faults jsonb := (SELECT settings FROM mock_bank.faults);
BEGIN
    SELECT * INTO STRICT v_account FROM mock_bank.account WHERE bin = t.bin AND account = t.account FOR UPDATE;
    t.number := v_account.last_number + 1;
    t.booked_at := mock_bank.now();
    t.bank_ref := 'FT' || to_char(t.booked_at AT TIME ZONE 'Asia/Ho_Chi_Minh', 'YYDDD') || lpad(t.number::text, 8, '0');
    t.recorded_at := clock_timestamp();
    t.payer_told := coalesce(t.payer_told, 'told');
    t.bank_ref_told := coalesce(t.bank_ref_told, 'told');
    t.visible_at := t.booked_at + make_interval(secs => mock_bank.struck(v_faults, 'list_late_seconds')::integer);
    INSERT INTO mock_bank.transaction SELECT t.* ON CONFLICT (payment_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE mock_bank.account
       SET last_number = t.number,
           balance_vnd = balance_vnd + CASE t.direction WHEN 'credit' THEN t.amount_vnd ELSE -t.amount_vnd END
     WHERE bin = t.bin AND account = t.account;
    IF v_account.webhook_url IS NOT NULL THEN
        PERFORM mock_bank.announce(t, v_faults);
    END IF;
    RETURN t;
END
$$;

-- Book one payment on a collection account. `p_texts` holds the text as each kind of payer and of bank would deliver it.
-- Answers how it went (booked, replayed, other_body, unknown_account) and the transaction as shown.
DROP FUNCTION IF EXISTS mock_bank.book(uuid, jsonb, text, text, bigint, text, text, text, text, text);
CREATE OR REPLACE FUNCTION mock_bank.book(
    p_payment_id uuid, p_request jsonb, p_bin text, p_account text, p_amount_vnd bigint,
    p_texts jsonb, p_payer_name text, p_payer_bin text, p_payer_account text,
    OUT outcome text, OUT shown json
) LANGUAGE plpgsql AS $$
DECLARE
    v_faults jsonb;
    v_known mock_bank.transaction;
    v_line mock_bank.transaction;
BEGIN
    PERFORM 1 FROM mock_bank.account WHERE bin = p_bin AND account = p_account FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_account';
        RETURN;
    END IF;

    SELECT * INTO v_known FROM mock_bank.transaction WHERE payment_id = p_payment_id;
    IF FOUND THEN
        outcome := CASE WHEN v_known.request = p_request THEN 'replayed' ELSE 'other_body' END;
        shown := mock_bank.shown(v_known);
        RETURN;
    END IF;

    SELECT settings INTO v_faults FROM mock_bank.faults;
    v_line.kind := 'payment';
    v_line.direction := 'credit';
    v_line.bin := p_bin;
    v_line.account := p_account;
    v_line.amount_vnd := p_amount_vnd;
    v_line.text := p_texts -> coalesce(mock_bank.struck(v_faults, 'payer_text'), 'as_typed')
                           ->> coalesce(mock_bank.struck(v_faults, 'text_style'), 'dirty');
    v_line.payer_name := p_payer_name;
    v_line.payer_bin := p_payer_bin;
    v_line.payer_account := p_payer_account;
    v_line.payer_told := mock_bank.struck(v_faults, 'payer');
    v_line.bank_ref_told := mock_bank.struck(v_faults, 'bank_ref');
    v_line.payment_id := p_payment_id;
    v_line.request := p_request;
    v_line.reverse_at :=
        mock_bank.now() + make_interval(secs => mock_bank.struck(v_faults, 'reverse_after_seconds')::integer);
    v_line := mock_bank.enter(v_line);
    outcome := CASE WHEN v_line.number IS NULL THEN 'other_body' ELSE 'booked' END;
    shown := CASE WHEN v_line.number IS NOT NULL THEN mock_bank.shown(v_line) END;
END
$$;

-- Take a refund on, or refuse it for ever: `p_request` is the body as it was asked. An accepted one is debited here, so
-- no đồng is promised twice. Outcomes: asked, replayed, other_body, unknown_account. One id asked for on two accounts at
-- the same moment violates the key, and nothing of the second is done.
CREATE OR REPLACE FUNCTION mock_bank.give_back(p_id uuid, p_request jsonb, OUT outcome text, OUT refund mock_bank.refund)
LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_faults jsonb;
    v_original mock_bank.transaction;
    v_line mock_bank.transaction;
    v_amount_vnd bigint := p_request -> 'amount_vnd';
    v_left_vnd bigint;
BEGIN
    SELECT * INTO v_account FROM mock_bank.account
     WHERE bin = p_request ->> 'bin' AND account = p_request ->> 'account' FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_account';
        RETURN;
    END IF;

    SELECT * INTO refund FROM mock_bank.refund r WHERE r.id = p_id;
    IF FOUND THEN
        outcome := CASE WHEN refund.request = p_request THEN 'replayed' ELSE 'other_body' END;
        RETURN;
    END IF;

    SELECT settings INTO v_faults FROM mock_bank.faults;
    SELECT * INTO v_original FROM mock_bank.transaction t
     WHERE t.bin = v_account.bin AND t.account = v_account.account
       AND t.bank_ref = p_request ->> 'bank_ref' AND t.kind = 'payment';
    v_left_vnd := v_original.amount_vnd - (
        SELECT coalesce(sum(r.amount_vnd), 0) FROM mock_bank.refund r
         WHERE r.bin = v_account.bin AND r.account = v_account.account AND r.original = v_original.bank_ref
           AND r.state IN ('accepted', 'sent', 'settled'));
    IF EXISTS (SELECT FROM mock_bank.transaction t WHERE t.bin = v_account.bin AND t.account = v_account.account
                  AND t.kind = 'reversal' AND t.relates_to = v_original.bank_ref) THEN
        v_left_vnd := 0;
    END IF;

    refund := NULL;
    refund.id := p_id;
    refund.request := p_request;
    refund.bin := v_account.bin;
    refund.account := v_account.account;
    refund.original := p_request ->> 'bank_ref';
    refund.amount_vnd := v_amount_vnd;
    refund.asked_at := mock_bank.now();
    refund.refusal := CASE
        WHEN v_original.number IS NULL THEN '{"code": "unknown_original"}'
        WHEN v_amount_vnd > v_left_vnd THEN jsonb_build_object('code', 'more_than_left', 'left_vnd', v_left_vnd)
        WHEN v_amount_vnd > v_account.balance_vnd
            THEN jsonb_build_object('code', 'insufficient_balance', 'balance_vnd', v_account.balance_vnd)
        WHEN p_request ->> 'to' IS NULL AND mock_bank.struck(v_faults, 'refuse_send_back') = 'true'
            THEN '{"code": "cannot_send_back"}'
    END;
    refund.state := CASE WHEN refund.refusal IS NULL THEN 'accepted' ELSE 'refused' END;
    refund.returns := false;
    refund.seconds := 0;
    IF refund.refusal IS NULL THEN
        refund.returns := coalesce(mock_bank.struck(v_faults, 'return_refunds') = 'true', false);
        refund.seconds := coalesce(mock_bank.struck(v_faults, 'refund_seconds')::integer, 0);
        refund.due_at := refund.asked_at + make_interval(secs => refund.seconds / 2.0);
        v_line.kind := 'refund';
        v_line.direction := 'debit';
        v_line.bin := v_account.bin;
        v_line.account := v_account.account;
        v_line.amount_vnd := v_amount_vnd;
        v_line.text := p_request ->> 'text';
        v_line.relates_to := v_original.bank_ref;
        v_line.refund_id := p_id;
        v_line.payer_name := v_account.owner_name;
        v_line.payer_bin := v_account.bin;
        v_line.payer_account := v_account.account;
        v_line.payee_name := coalesce(p_request -> 'to' ->> 'name', v_original.payer_name);
        v_line.payee_bin := coalesce(p_request -> 'to' ->> 'bin', v_original.payer_bin);
        v_line.payee_account := coalesce(p_request -> 'to' ->> 'account', v_original.payer_account);
        refund.debit_bank_ref := (mock_bank.enter(v_line)).bank_ref;
    END IF;
    INSERT INTO mock_bank.refund SELECT refund.*;
    outcome := 'asked';
END
$$;

-- Where a transfer stands, as a report says it. What came back stays settled.
CREATE OR REPLACE FUNCTION mock_bank.status(p mock_bank.payout) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p.state WHEN 'rejected' THEN 'RJCT' WHEN 'accepted' THEN 'ACCP' WHEN 'booked' THEN 'ACSP' ELSE 'ACSC' END
$$;

-- Take a payout file on, transfer by transfer, in its order: `p_file` is what it says, `p_digest` tells its bytes apart.
-- What is promised and not yet debited counts as gone. Outcomes: taken, and then there is no answer yet; replayed,
-- other_file. AC02: no such account to pay from, AM04: not enough money, DU04: the id was used on this account.
CREATE OR REPLACE FUNCTION mock_bank.take_on(
    p_message_id text, p_digest text, p_file jsonb, OUT outcome text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_payout mock_bank.payout;
    v_faults jsonb;
    v_refusal text := p_file ->> 'refusal';
    v_left_vnd bigint;
    v_due_at timestamptz := greatest(
        mock_bank.now(), (p_file ->> 'execute_on')::date::timestamp AT TIME ZONE 'Asia/Ho_Chi_Minh');
    v_asked jsonb;
BEGIN
    INSERT INTO mock_bank.payout_file (message_id, digest, payment_id, number, total_vnd, taken_at)
    VALUES (p_message_id, p_digest, p_file ->> 'payment_id', (p_file -> 'number')::bigint,
            (p_file -> 'total_vnd')::bigint, mock_bank.now())
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT CASE WHEN f.digest = p_digest THEN 'replayed' ELSE 'other_file' END, f.answer INTO STRICT outcome, answer
          FROM mock_bank.payout_file f WHERE f.message_id = p_message_id;
        RETURN;
    END IF;

    SELECT * INTO v_account FROM mock_bank.account
     WHERE bin = p_file ->> 'bin' AND account = p_file ->> 'account' FOR UPDATE;
    IF NOT FOUND THEN
        v_refusal := 'AC02';
    END IF;
    UPDATE mock_bank.payout_file SET refusal = v_refusal WHERE message_id = p_message_id;
    v_left_vnd := v_account.balance_vnd - (
        SELECT coalesce(sum(p.amount_vnd), 0) FROM mock_bank.payout p
         WHERE p.bin = v_account.bin AND p.account = v_account.account AND p.state = 'accepted');

    SELECT settings INTO v_faults FROM mock_bank.faults;
    FOR v_asked, v_payout.position IN SELECT * FROM jsonb_array_elements(p_file -> 'transfers') WITH ORDINALITY LOOP
        v_payout.message_id := p_message_id;
        v_payout.id := v_asked ->> 'id';
        v_payout.bin := p_file ->> 'bin';
        v_payout.account := p_file ->> 'account';
        v_payout.amount_vnd := v_asked -> 'amount_vnd';
        v_payout.payee_bin := v_asked ->> 'bin';
        v_payout.payee_account := v_asked ->> 'account';
        v_payout.payee_name := v_asked ->> 'name';
        v_payout.text := v_asked ->> 'text';
        v_payout.reason := CASE
            WHEN v_refusal IS NOT NULL THEN v_refusal
            WHEN EXISTS (SELECT FROM mock_bank.payout p WHERE p.bin = v_payout.bin AND p.account = v_payout.account
                            AND p.id = v_payout.id AND p.state <> 'rejected') THEN 'DU04'
            WHEN v_payout.amount_vnd > v_left_vnd THEN 'AM04'
        END;
        v_payout.state := CASE WHEN v_payout.reason IS NULL THEN 'accepted' ELSE 'rejected' END;
        v_payout.rejects := false;
        v_payout.returns := false;
        v_payout.splits := false;
        v_payout.seconds := 0;
        v_payout.due_at := NULL;
        IF v_payout.reason IS NULL THEN
            v_left_vnd := v_left_vnd - v_payout.amount_vnd;
            v_payout.rejects := mock_bank.struck(v_faults, 'reject_payouts') IS NOT NULL;
            v_payout.returns := mock_bank.struck(v_faults, 'return_payouts') IS NOT NULL;
            v_payout.splits := mock_bank.struck(v_faults, 'split_payouts') IS NOT NULL AND v_payout.amount_vnd > 1;
            v_payout.seconds := coalesce(mock_bank.struck(v_faults, 'payout_seconds')::integer, 0);
            v_payout.due_at := v_due_at;
        END IF;
        INSERT INTO mock_bank.payout SELECT v_payout.*;
    END LOOP;
    outcome := 'taken';
END
$$;

-- Take the next step of a payout that is due; false: there is none. A rejected one is never debited. AC03: no such payee.
CREATE OR REPLACE FUNCTION mock_bank.proceed_payout(p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_payout mock_bank.payout;
    v_line mock_bank.transaction;
    v_part_vnd bigint;
BEGIN
    SELECT * INTO v_payout FROM mock_bank.payout WHERE due_at <= p_now ORDER BY due_at, position LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO STRICT v_account FROM mock_bank.account
     WHERE bin = v_payout.bin AND account = v_payout.account FOR UPDATE;
    SELECT * INTO v_payout FROM mock_bank.payout
     WHERE message_id = v_payout.message_id AND id = v_payout.id AND due_at <= p_now;
    v_line.bin := v_account.bin;
    v_line.account := v_account.account;
    v_line.payout_id := v_payout.id;
    IF v_payout.state = 'accepted' AND (v_payout.rejects OR v_payout.amount_vnd > v_account.balance_vnd) THEN
        v_payout.reason := CASE WHEN v_payout.rejects THEN 'AC03' ELSE 'AM04' END;
        v_payout.state := 'rejected';
    ELSIF v_payout.state = 'accepted' THEN
        v_line.kind := 'payout';
        v_line.direction := 'debit';
        v_line.text := v_payout.text;
        v_line.payer_name := v_account.owner_name;
        v_line.payer_bin := v_account.bin;
        v_line.payer_account := v_account.account;
        v_line.payee_name := v_payout.payee_name;
        v_line.payee_bin := v_payout.payee_bin;
        v_line.payee_account := v_payout.payee_account;
        v_part_vnd := CASE WHEN v_payout.splits THEN v_payout.amount_vnd / 2 ELSE 0 END;
        IF v_payout.splits THEN
            v_line.amount_vnd := v_part_vnd;
            PERFORM mock_bank.enter(v_line);
        END IF;
        v_line.amount_vnd := v_payout.amount_vnd - v_part_vnd;
        PERFORM mock_bank.enter(v_line);
        v_payout.state := 'booked';
    ELSIF v_payout.state = 'booked' THEN
        v_payout.state := 'settled';
    ELSIF v_payout.state = 'settled' THEN
        SELECT bank_ref INTO STRICT v_line.relates_to FROM mock_bank.transaction
         WHERE bin = v_line.bin AND account = v_line.account AND payout_id = v_payout.id AND kind = 'payout'
         ORDER BY number LIMIT 1;
        v_line.kind := 'payout_return';
        v_line.direction := 'credit';
        v_line.amount_vnd := v_payout.amount_vnd;
        v_line.text := 'HOAN TRA GD ' || v_line.relates_to || ' TAI KHOAN NHAN KHONG HOP LE';
        v_line.payer_name := v_payout.payee_name;
        v_line.payer_bin := v_payout.payee_bin;
        v_line.payer_account := v_payout.payee_account;
        PERFORM mock_bank.enter(v_line);
        v_payout.state := 'returned';
    END IF;
    UPDATE mock_bank.payout
       SET state = v_payout.state, reason = v_payout.reason,
           due_at = CASE WHEN v_payout.state = 'booked' OR v_payout.state = 'settled' AND returns
                         THEN v_payout.due_at + make_interval(secs => seconds) END
     WHERE message_id = v_payout.message_id AND id = v_payout.id;
    RETURN true;
END
$$;

-- Do one thing that has become due by the bank's time; false: there is nothing. An account's row is always locked first,
-- and what was seen before the lock is looked at again.
CREATE OR REPLACE FUNCTION mock_bank.proceed() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := mock_bank.now();
    v_account mock_bank.account;
    v_refund mock_bank.refund;
    v_line mock_bank.transaction;
    v_back mock_bank.transaction;
BEGIN
    SELECT * INTO v_refund FROM mock_bank.refund WHERE due_at <= v_now ORDER BY due_at LIMIT 1;
    IF FOUND THEN
        PERFORM 1 FROM mock_bank.account WHERE bin = v_refund.bin AND account = v_refund.account FOR UPDATE;
        SELECT * INTO v_refund FROM mock_bank.refund WHERE id = v_refund.id AND due_at <= v_now;
        IF v_refund.state = 'accepted' THEN
            UPDATE mock_bank.refund
               SET state = 'sent', sent_at = v_now, due_at = asked_at + make_interval(secs => seconds)
             WHERE id = v_refund.id;
        ELSIF v_refund.returns THEN
            SELECT * INTO v_line FROM mock_bank.transaction WHERE refund_id = v_refund.id AND kind = 'refund';
            v_back.kind := 'refund_return';
            v_back.direction := 'credit';
            v_back.bin := v_line.bin;
            v_back.account := v_line.account;
            v_back.amount_vnd := v_line.amount_vnd;
            v_back.text := 'HOAN TRA GD ' || v_line.bank_ref || ' TAI KHOAN NHAN KHONG HOP LE';
            v_back.relates_to := v_line.bank_ref;
            v_back.refund_id := v_refund.id;
            v_back.payer_name := v_line.payee_name;
            v_back.payer_bin := v_line.payee_bin;
            v_back.payer_account := v_line.payee_account;
            v_back := mock_bank.enter(v_back);
            UPDATE mock_bank.refund
               SET state = 'returned', return_bank_ref = v_back.bank_ref, ended_at = v_now, due_at = NULL
             WHERE id = v_refund.id;
        ELSIF v_refund.state = 'sent' THEN
            UPDATE mock_bank.refund SET state = 'settled', ended_at = v_now, due_at = NULL WHERE id = v_refund.id;
        END IF;
        RETURN true;
    END IF;

    IF mock_bank.proceed_payout(v_now) THEN
        RETURN true;
    END IF;

    -- A reversal waits until the account holds its money. It does not ask whether a refund has gone back already: that
    -- is how an owner loses twice.
    SELECT t.* INTO v_line FROM mock_bank.transaction t JOIN mock_bank.account a USING (bin, account)
     WHERE t.reverse_at <= v_now AND t.amount_vnd <= a.balance_vnd ORDER BY t.reverse_at LIMIT 1;
    IF FOUND THEN
        SELECT * INTO STRICT v_account FROM mock_bank.account
         WHERE bin = v_line.bin AND account = v_line.account FOR UPDATE;
        SELECT * INTO v_line FROM mock_bank.transaction
         WHERE bin = v_line.bin AND account = v_line.account AND number = v_line.number AND reverse_at IS NOT NULL;
        IF NOT FOUND OR v_line.amount_vnd > v_account.balance_vnd THEN
            RETURN true;
        END IF;
        v_back.kind := 'reversal';
        v_back.direction := 'debit';
        v_back.bin := v_line.bin;
        v_back.account := v_line.account;
        v_back.amount_vnd := v_line.amount_vnd;
        v_back.text := 'HUY GD ' || v_line.bank_ref || ' ' || v_line.text;
        v_back.relates_to := v_line.bank_ref;
        v_back.payer_name := v_account.owner_name;
        v_back.payer_bin := v_account.bin;
        v_back.payer_account := v_account.account;
        v_back.payee_name := v_line.payer_name;
        v_back.payee_bin := v_line.payer_bin;
        v_back.payee_account := v_line.payer_account;
        PERFORM mock_bank.enter(v_back);
        UPDATE mock_bank.transaction SET reverse_at = NULL
         WHERE bin = v_line.bin AND account = v_line.account AND number = v_line.number;
        RETURN true;
    END IF;
    RETURN false;
END
$$;

-- The gateway for cards and foreign wallets: merchants, what is paid on its page, what goes back, and its notices (IPN).
CREATE TABLE IF NOT EXISTS mock_bank.merchant (
    code text PRIMARY KEY CHECK (code ~ '^[A-Za-z0-9]{4,20}$'),
    owner_name text NOT NULL,
    secret text NOT NULL CHECK (secret <> ''),
    ipn_url text NOT NULL,
    opened_at timestamptz NOT NULL
);

-- Numbers of payments and refunds, as the gateway counts them.
CREATE SEQUENCE IF NOT EXISTS mock_bank.card_number START 14000001;

-- One payment on the page, from the first look at it. `asked`: the signed fields. `status` 01: the payer has not finished.
CREATE TABLE IF NOT EXISTS mock_bank.card_payment (
    merchant text NOT NULL REFERENCES mock_bank.merchant,
    txn_ref text NOT NULL,
    asked jsonb NOT NULL,
    amount_vnd bigint NOT NULL CHECK (amount_vnd > 0),
    number bigint NOT NULL UNIQUE DEFAULT nextval('mock_bank.card_number'),
    status text NOT NULL DEFAULT '01' CHECK (status IN ('00', '01', '02', '04', '07')),
    response_code text CHECK ((response_code IS NULL) = (status = '01')),
    bank_code text,
    card_type text,
    ended_at timestamptz CHECK ((ended_at IS NULL) = (status = '01')),
    PRIMARY KEY (merchant, txn_ref)
);

-- Money that goes back, once per `request_id`. `seconds`: how long it takes, by the bank's time; `refused`: it ends in 09.
CREATE TABLE IF NOT EXISTS mock_bank.card_refund (
    merchant text NOT NULL,
    request_id text NOT NULL,
    txn_ref text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('02', '03')),
    amount_vnd bigint NOT NULL CHECK (amount_vnd > 0),
    number bigint NOT NULL UNIQUE DEFAULT nextval('mock_bank.card_number'),
    create_date text NOT NULL,
    text text NOT NULL,
    asked_at timestamptz NOT NULL,
    seconds integer NOT NULL,
    refused boolean NOT NULL,
    PRIMARY KEY (merchant, request_id),
    FOREIGN KEY (merchant, txn_ref) REFERENCES mock_bank.card_payment
);
CREATE INDEX IF NOT EXISTS card_refund_by_payment ON mock_bank.card_refund (merchant, txn_ref);

-- The outbox of its notices: the columns of mock_bank.notice, and the signed query instead of a body.
CREATE TABLE IF NOT EXISTS mock_bank.ipn (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    merchant text NOT NULL REFERENCES mock_bank.merchant,
    query text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'silent', 'lost')),
    due_at timestamptz NOT NULL,
    copies_left integer NOT NULL CHECK (copies_left >= 0),
    sends integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    settled_at timestamptz,
    not_before timestamptz,
    again_at timestamptz,
    defects text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS ipn_due ON mock_bank.ipn (due_at) WHERE state = 'waiting';

-- Where a refund stands by the bank's time, as vnp_TransactionStatus.
CREATE OR REPLACE FUNCTION mock_bank.status(r mock_bank.card_refund) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN mock_bank.now() < r.asked_at + make_interval(secs => r.seconds / 2.0) THEN '05'
                WHEN mock_bank.now() < r.asked_at + make_interval(secs => r.seconds) THEN '06'
                WHEN r.refused THEN '09' ELSE '00' END
$$;

-- Put a notice of a payment into the outbox, with everything that will go wrong with it.
CREATE OR REPLACE FUNCTION mock_bank.announce_card(p_merchant text, p_number bigint, p_ended_at timestamptz, p_query text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_faults jsonb := (SELECT settings FROM mock_bank.faults);
    v_delay_seconds integer := mock_bank.struck(v_faults, 'delay_seconds');
    v_shuffle_seconds integer := mock_bank.struck(v_faults, 'shuffle_seconds');
    v_shuffled double precision := mock_bank.draw(coalesce(v_faults ->> 'seed', '0'), 'shuffle', p_number);
BEGIN
    INSERT INTO mock_bank.ipn (merchant, query, state, due_at, copies_left, again_at, defects)
    VALUES (p_merchant, p_query,
            CASE WHEN mock_bank.struck(v_faults, 'lose_notices') = 'true' THEN 'lost' ELSE 'waiting' END,
            clock_timestamp()
                + make_interval(secs => coalesce(v_delay_seconds, 0) + coalesce(v_shuffle_seconds, 0) * v_shuffled),
            coalesce(mock_bank.struck(v_faults, 'repeat_notices')::integer, 1),
            p_ended_at + make_interval(days => mock_bank.struck(v_faults, 'repeat_after_days')::integer),
            array_remove(ARRAY[
                CASE WHEN mock_bank.struck(v_faults, 'wrong_signature') = 'true' THEN 'wrong_signature' END,
                CASE WHEN mock_bank.struck(v_faults, 'lose_notice_answers') = 'true' THEN 'answer_lost' END], NULL));
END
$$;
