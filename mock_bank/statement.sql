-- Daily statements. One is issued when it is first asked for and never changes then; issued anew it is another version,
-- with the number of the first and an id of its own. Everything here may run again on a schema that is already there.

-- What the bank counted, and what the file says of it wrongly: `opening_error_vnd` and `closing_error_vnd` are added to
-- its balances. The next day opens with `closing_vnd`. `withheld`: drawn up, but not given out. `batch`: how the payments
-- that came in stand there as one entry, `batched` of them over `batched_vnd`; null: each by itself.
CREATE TABLE IF NOT EXISTS mock_bank.statement (
    bin text NOT NULL,
    account text NOT NULL,
    day date NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    number integer NOT NULL CHECK (number > 0),
    id text NOT NULL,
    issued_at timestamptz NOT NULL,
    withheld boolean NOT NULL DEFAULT false,
    opening_vnd bigint NOT NULL,
    credits integer NOT NULL DEFAULT 0,
    credits_vnd bigint NOT NULL DEFAULT 0,
    debits integer NOT NULL DEFAULT 0,
    debits_vnd bigint NOT NULL DEFAULT 0,
    closing_vnd bigint NOT NULL,
    opening_error_vnd bigint NOT NULL DEFAULT 0,
    closing_error_vnd bigint NOT NULL DEFAULT 0,
    batch text CHECK (batch IN ('details', 'no_details', 'wrong_details')),
    batched integer NOT NULL DEFAULT 0,
    batched_vnd bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bin, account, day, version),
    UNIQUE (bin, account, id),
    UNIQUE (bin, account, number, version),
    FOREIGN KEY (bin, account) REFERENCES mock_bank.account,
    CHECK (opening_vnd + credits_vnd - debits_vnd = closing_vnd)
);

-- Its lines, by transaction; `payment`: one that came in, which a batch may hold. `told`: as it was booked; lost, counted and not there; again, a copy that is there and not
-- counted; counted_again, a copy with a reference of its own that is counted; changed, with another text. No key refers to the
-- transactions, which nobody deletes: to check 100,000 rows one by one takes minutes where there are no statistics yet.
CREATE TABLE IF NOT EXISTS mock_bank.statement_line (
    bin text NOT NULL,
    account text NOT NULL,
    day date NOT NULL,
    version integer NOT NULL,
    position integer NOT NULL,
    number bigint NOT NULL,
    payment boolean NOT NULL,
    told text NOT NULL CHECK (told IN ('booked', 'lost', 'again', 'counted_again', 'changed')),
    PRIMARY KEY (bin, account, day, version, position),
    FOREIGN KEY (bin, account, day, version) REFERENCES mock_bank.statement
);
CREATE INDEX IF NOT EXISTS statement_line_by_transaction ON mock_bank.statement_line (bin, account, number);

CREATE OR REPLACE VIEW mock_bank.newest_statement AS
    SELECT s.* FROM mock_bank.statement s
     WHERE NOT EXISTS (SELECT FROM mock_bank.statement later WHERE later.bin = s.bin AND later.account = s.account
                          AND later.day = s.day AND later.version > s.version);

CREATE OR REPLACE FUNCTION mock_bank.end_of(p_day date) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_day + 1)::timestamp AT TIME ZONE 'Asia/Ho_Chi_Minh'
$$;

-- The place of a line that this fault strikes, drawn among those to which nothing has happened; null: none is struck.
CREATE OR REPLACE FUNCTION mock_bank.struck_line(s mock_bank.statement, p_faults jsonb, p_fault text) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_lines integer := (SELECT count(*) FROM mock_bank.statement_line l
                         WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version
                           AND l.told = 'booked');
BEGIN
    IF v_lines = 0 OR mock_bank.struck(p_faults, p_fault) IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT l.position FROM mock_bank.statement_line l
             WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version
               AND l.told = 'booked'
             ORDER BY l.position LIMIT 1
            OFFSET floor(v_lines * mock_bank.draw(
                       coalesce(p_faults ->> 'seed', '0'), p_fault || s.bin || s.account || s.id, 0)));
END
$$;

-- Draw a statement up under the faults of now. It holds what was booked by the end of its day and stands in no statement
-- of another day: what one day left out comes on the next. The account's row is locked, so that nothing more is booked
-- on that day. No nested loops: rows that were written a moment ago are in no statistics, and a day may have 100,000.
CREATE OR REPLACE FUNCTION mock_bank.issue(p_bin text, p_account text, p_day date) RETURNS void LANGUAGE plpgsql
SET enable_nestloop = off AS $$
DECLARE
    s mock_bank.statement;
    v_faults jsonb := (SELECT settings FROM mock_bank.faults);
    v_former mock_bank.statement;
    v_before mock_bank.statement;
    v_at integer;
BEGIN
    SELECT * INTO v_former FROM mock_bank.newest_statement n
     WHERE n.bin = p_bin AND n.account = p_account AND n.day = p_day;
    SELECT * INTO v_before FROM mock_bank.newest_statement n
     WHERE n.bin = p_bin AND n.account = p_account AND n.day = p_day - 1;
    s.bin := p_bin;
    s.account := p_account;
    s.day := p_day;
    s.version := coalesce(v_former.version, 0) + 1;
    s.number := coalesce(v_former.number, v_before.number + 1, 1);
    s.id := 'SK' || to_char(p_day, 'YYDDD') || lpad(s.number::text, 5, '0') || '-' || s.version;
    s.issued_at := mock_bank.now();
    s.opening_vnd := coalesce(v_before.closing_vnd, 0);
    INSERT INTO mock_bank.statement (bin, account, day, version, number, id, issued_at, opening_vnd, closing_vnd)
    VALUES (s.bin, s.account, s.day, s.version, s.number, s.id, s.issued_at, s.opening_vnd, s.opening_vnd);
    INSERT INTO mock_bank.statement_line (bin, account, day, version, position, number, payment, told)
    SELECT s.bin, s.account, s.day, s.version, 3 * row_number() OVER (ORDER BY t.booked_at, t.number), t.number,
           t.kind = 'payment', 'booked'
      FROM mock_bank.transaction t
     WHERE t.bin = p_bin AND t.account = p_account AND t.booked_at < mock_bank.end_of(p_day)
       AND NOT EXISTS (SELECT FROM mock_bank.statement_line l
                         JOIN mock_bank.newest_statement n USING (bin, account, day, version)
                        WHERE l.bin = t.bin AND l.account = t.account AND l.number = t.number AND l.day <> p_day);

    -- What the next day has not told, it will.
    IF NOT EXISTS (SELECT FROM mock_bank.statement later
                    WHERE later.bin = p_bin AND later.account = p_account AND later.day > p_day) THEN
        v_at := mock_bank.struck_line(s, v_faults, 'delay_statement_line');
        DELETE FROM mock_bank.statement_line l
         WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.position = v_at;
    END IF;
    v_at := mock_bank.struck_line(s, v_faults, 'lose_statement_line');
    UPDATE mock_bank.statement_line l SET told = 'lost'
     WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.position = v_at;
    v_at := mock_bank.struck_line(s, v_faults, 'change_statement_text');
    UPDATE mock_bank.statement_line l SET told = 'changed'
     WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.position = v_at;
    v_at := mock_bank.struck_line(s, v_faults, 'repeat_statement_line');
    INSERT INTO mock_bank.statement_line
    SELECT l.bin, l.account, l.day, l.version, l.position + 1, l.number, l.payment, 'again'
      FROM mock_bank.statement_line l
     WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.position = v_at;
    v_at := mock_bank.struck_line(s, v_faults, 'count_statement_line_twice');
    INSERT INTO mock_bank.statement_line
    SELECT l.bin, l.account, l.day, l.version, l.position + 2, l.number, l.payment, 'counted_again'
      FROM mock_bank.statement_line l
     WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.position = v_at;

    SELECT count(*) FILTER (WHERE t.direction = 'credit'),
           coalesce(sum(t.amount_vnd) FILTER (WHERE t.direction = 'credit'), 0),
           count(*) FILTER (WHERE t.direction = 'debit'),
           coalesce(sum(t.amount_vnd) FILTER (WHERE t.direction = 'debit'), 0),
           count(*) FILTER (WHERE l.payment),
           coalesce(sum(t.amount_vnd) FILTER (WHERE l.payment), 0)
      INTO s.credits, s.credits_vnd, s.debits, s.debits_vnd, s.batched, s.batched_vnd
      FROM mock_bank.statement_line l JOIN mock_bank.transaction t USING (bin, account, number)
     WHERE l.bin = s.bin AND l.account = s.account AND l.day = s.day AND l.version = s.version AND l.told <> 'again';
    IF s.batched > 1 THEN
        s.batch := mock_bank.struck(v_faults, 'batch_credits');
    END IF;
    s.withheld := mock_bank.struck(v_faults, 'withhold_statement') IS NOT NULL;
    s.opening_error_vnd := 0;
    IF mock_bank.struck(v_faults, 'wrong_opening') IS NOT NULL THEN
        s.opening_error_vnd := 1000 * (1 + floor(999 * mock_bank.draw(
            coalesce(v_faults ->> 'seed', '0'), 'wrong_opening' || s.bin || s.account || s.id, 0)));
    END IF;
    s.closing_error_vnd := s.opening_error_vnd;
    IF mock_bank.struck(v_faults, 'wrong_closing') IS NOT NULL THEN
        s.closing_error_vnd := s.opening_error_vnd + 1000 * (1 + floor(999 * mock_bank.draw(
            coalesce(v_faults ->> 'seed', '0'), 'wrong_closing' || s.bin || s.account || s.id, 0)));
    END IF;
    UPDATE mock_bank.statement x
       SET withheld = s.withheld, credits = s.credits, credits_vnd = s.credits_vnd, debits = s.debits,
           debits_vnd = s.debits_vnd, closing_vnd = s.opening_vnd + s.credits_vnd - s.debits_vnd,
           opening_error_vnd = s.opening_error_vnd, closing_error_vnd = s.closing_error_vnd, batch = s.batch,
           batched = CASE WHEN s.batch IS NULL THEN 0 ELSE s.batched END,
           batched_vnd = CASE WHEN s.batch IS NULL THEN 0 ELSE s.batched_vnd END
     WHERE x.bin = s.bin AND x.account = s.account AND x.day = s.day AND x.version = s.version;
END
$$;

-- Issue the next statement that is due up to that day; false: there is none.
CREATE OR REPLACE FUNCTION mock_bank.issue_next(p_bin text, p_account text, p_until date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_account mock_bank.account;
    v_day date;
BEGIN
    SELECT * INTO v_account FROM mock_bank.account WHERE bin = p_bin AND account = p_account FOR UPDATE;
    v_day := coalesce(
        (SELECT max(s.day) + 1 FROM mock_bank.statement s WHERE s.bin = p_bin AND s.account = p_account),
        (least(v_account.opened_at, (SELECT min(t.booked_at) FROM mock_bank.transaction t
                                      WHERE t.bin = p_bin AND t.account = p_account))
            AT TIME ZONE 'Asia/Ho_Chi_Minh')::date);
    IF v_day IS NULL OR v_day > p_until OR mock_bank.end_of(v_day) > mock_bank.now() THEN
        RETURN false;
    END IF;
    PERFORM mock_bank.issue(p_bin, p_account, v_day);
    RETURN true;
END
$$;

-- Issue the statement of a day anew; false: there is none to begin with.
CREATE OR REPLACE FUNCTION mock_bank.reissue(p_bin text, p_account text, p_day date) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM mock_bank.account WHERE bin = p_bin AND account = p_account FOR UPDATE;
    IF NOT EXISTS (SELECT FROM mock_bank.statement WHERE bin = p_bin AND account = p_account AND day = p_day) THEN
        RETURN false;
    END IF;
    PERFORM mock_bank.issue(p_bin, p_account, p_day);
    RETURN true;
END
$$;
