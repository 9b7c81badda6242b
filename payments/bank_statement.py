"""What a bank's statements say of an operator's account: taken in once, line by line, each statement behind the one before.

A file is read in a process of its own (`statement.rows`), stored in one transaction, and known by its SHA-256. A statement
that does not tie, or does not continue the one before it, goes to quarantine with the numbers, and none of its lines is
kept. A line is known by the bank's reference and amount, or where there is no reference by its content: taken in again,
overlapping or in another order it adds nothing. What a line was is for `matching` to say; nothing is booked here. What two
people have withdrawn (`statement_withdrawal`) counts no more: not as a link of the chain, and none of its lines is known by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import struct
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, UniqueConstraint, text

from foundation import audit, clock
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal, refusal_of
from foundation.seal import Sealer
from foundation.tables import document, instant, keys, new_id, octets, owner_key
from payments import ledger
from payments.statement import FileRefused, StatementFileEmpty
from payments.statement.rows import BLOCK, COLUMNS, COMMAND

Source = Literal["upload", "bank"]
State = Literal["accepted", "known", "quarantined"]
UPLOAD_MAX_BYTES = 5 * 1024 * 1024
TEXT = "statement.text"
"""What the texts of a statement's lines are sealed for."""
SECONDS, MEGABYTES = 10, 512
"""What reading an uploaded file may take of a processor and of memory; a file that the bank itself was asked for may take
longer."""


LONGEST_S = 600
BATCH = 40
"""Blocks that are stored together."""
STEP = 50_000
"""Lines between two words of how far a file has been read."""
log = logging.getLogger("motcham.statement")
Progress = Callable[[Literal["read", "matched"], int], None]
"""Whoever shows how far it is: lines so far."""


def noted(step: str, lines: int) -> None:
    """A word in the log at every step; a small file passes without one."""
    if lines // STEP > (lines - BATCH * BLOCK) // STEP and lines >= STEP:
        log.info("%s lines of a statement %s", f"{lines:,}", step)


class StatementFile(SQLModel, table=True):
    """A file that was given in: by whom (nobody: fetched from the bank), and what it was, to the byte."""

    __tablename__ = "statement_file"
    __table_args__ = (
        UniqueConstraint(*keys("sha256"), name="statement_file_sha256_key"),
        ForeignKeyConstraint(
            keys("loaded_by"),
            ["foundation.staff.operator_id", "foundation.staff.id"],
            name="statement_file_loaded_fkey",
        ),
        CheckConstraint("source in ('upload', 'bank') and (loaded_by is null) = (source = 'bank')", name="source"),
        CheckConstraint("length(sha256) = 32 and size_bytes > 0", name="content"),
        {"schema": "payments", "comment": "insert-only: what was given in"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    sha256: bytes = octets()
    name: str
    size_bytes: int = Field(sa_type=BigInteger)
    source: str
    loaded_by: UUID | None = None
    loaded_at: datetime = instant()


class BankStatement(SQLModel, table=True):
    """One statement of a file. `state`: accepted, known (it added nothing), or quarantined: `why` is a refusal's code.

    `bank_account`: ours, "<bin>/<account>"; of one in quarantine maybe only what the bank wrote. `lines`: those that are
    new with it; `day`: its last; `first_day`: of an accepted one, from when on its lines say how each day ended.
    """

    __tablename__ = "bank_statement"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("file_id"),
            ["payments.statement_file.operator_id", "payments.statement_file.id"],
            name="bank_statement_file_fkey",
        ),
        CheckConstraint("state in ('accepted', 'known', 'quarantined')", name="state"),
        CheckConstraint("(why is not null) = (state = 'quarantined')", name="why"),
        CheckConstraint("state = 'quarantined' or num_nulls(day, opening_vnd, closing_vnd) = 0", name="balances"),
        CheckConstraint("lines = 0 or lines > 0 and state = 'accepted'", name="lines"),
        Index(
            "bank_statement_chain_idx",
            *keys("bank_account", "day", "id"),
            postgresql_where=text("state = 'accepted'"),
        ),
        {"schema": "payments", "comment": "insert-only: what the bank said"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    file_id: UUID
    bank_account: str
    said_id: str
    said_number: str
    page: int
    first_day: date | None = None
    day: date | None = None
    opening_vnd: int | None = Field(default=None, sa_type=BigInteger)
    closing_vnd: int | None = Field(default=None, sa_type=BigInteger)
    credits: int
    credits_vnd: int = Field(sa_type=BigInteger)
    debits: int
    debits_vnd: int = Field(sa_type=BigInteger)
    lines: int
    state: str
    why: str | None = None
    facts: dict[str, object] = document(default={})
    remarks: list[dict[str, object]] = document(default=[])
    at: datetime = instant()


class StatementLine(SQLModel, table=True):
    """Money that moved by the bank's word: `amount_vnd` > 0 came in. `day`: of the statement that told of it first; of one over
    several days the day on which it was booked, if that is one of them.

    With a reference it is known by that, its amount and part, and has no `identity`; else by the keyed hash of its content. Where
    a statement was withdrawn that had the same line, `identity` says so as well: what it was known by there, hashed.
    Its text and counterparty stand sealed in block `position` // 500 of `statement_text`. Without foreign keys: a file brings
    a million of them, and their statement last, with its verdict; the proof of the books looks after both.
    """

    __tablename__ = "statement_line"
    __table_args__ = (
        Index(
            "statement_line_ref_key",
            *keys("bank_ref", "amount_vnd", "part", "bank_account", "identity"),
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("bank_ref <> ''"),
        ),
        Index("statement_line_identity_key", *keys("identity"), unique=True, postgresql_where=text("bank_ref = ''")),
        CheckConstraint("bank_ref <> '' or identity is not null", name="known_by"),
        CheckConstraint("amount_vnd <> 0 and part >= 0 and position >= 0", name="amount"),
        {"schema": "payments", "comment": "insert-only: what the bank said"},
    )
    operator_id: UUID = owner_key(implied=True)
    statement_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    bank_account: str
    bank_ref: str
    part: int
    amount_vnd: int = Field(sa_type=BigInteger)
    day: date
    booked_day: date
    value_day: date
    is_reversal: bool
    identity: UUID | None
    end_to_end_id: str


class StatementText(SQLModel, table=True):
    """What is sensitive in 500 lines, sealed as one: a list of [text, counterparty's name, counterparty's account]."""

    __tablename__ = "statement_text"
    __table_args__ = ({"schema": "payments", "comment": "insert-only: what the bank said"},)
    operator_id: UUID = owner_key(implied=True)
    statement_id: UUID = Field(primary_key=True)
    block: int = Field(primary_key=True)
    sealed: bytes = octets()


class NoSuchStatement(NotFound):
    """There is no such bank statement."""


class StatementUnreadable(FileRefused):
    """Reading the file {file} takes more time or memory than a statement needs."""


class StatementIsNotification(Refusal):
    """This is a notification (camt.054) without balances: its lines are booked when the statement tells of them."""


class StatementForeign(Refusal):
    """Account {account} is not one of this operator's."""


class StatementDayMissing(Refusal):
    """The statement does not say which day it is of."""


class StatementOfTheFuture(Refusal):
    """The statement is of {day}, a day that has not come yet."""


class StatementNotChained(Refusal):
    """The account stood at {expected_vnd} đồng before, this statement begins with {opening_vnd}: one is missing or wrong."""


class StatementWithdrawn(Refusal):
    """Two people withdrew this statement: the bank has to issue another, or somebody gives this one in by hand."""


class StatementContradicts(Refusal):
    """For {day} the bank said before that the account closed at {before_vnd} đồng, and now {closing_vnd}."""


class StatementAddsToPast(Refusal):
    """It has {lines} lines that no statement up to {day} had: what is over takes no new lines."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one statement of a file. `known`: so many of its lines were here before."""

    id: UUID
    bank_account: str
    day: date | None
    state: State
    lines: int
    known: int
    why: Refusal | None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a file. `before`: when these same bytes were given in already. `by_itself`: fetched, nobody gave it in."""

    file_id: UUID
    before: datetime | None
    by_itself: bool = False
    statements: list[Taken] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return sum(each.lines for each in self.statements)


async def take_in(
    database: Database,
    sealer: Sealer,
    operator_id: UUID,
    path: Path,
    *,
    name: str,
    profile: str = "",
    staff_id: UUID | None,
    now: datetime,
    seconds: int = SECONDS,
    progress: Progress = noted,
) -> TakenIn:
    """Takes a file in, whole or not at all; of its statements each by itself. The same bytes again add nothing, but what
    stood in quarantine is looked at anew. `progress` is told how many of its lines have been read. Raises FileRefused.
    """
    size_bytes = (await asyncio.to_thread(path.stat)).st_size
    if not size_bytes:
        raise StatementFileEmpty(file=name)
    digest = asyncio.create_task(asyncio.to_thread(_digest, path))  # while the reader begins
    month = await sealer.ready(now)
    key = sealer.tag(operator_id, "statement line")
    for ahead in (True, False):
        try:
            async with _reading(path, name, profile, key, seconds) as frames, database.transaction(operator_id) as tx:
                # A large file is one long statement after the other, and the reader's pauses are not idleness.
                await tx.execute(
                    "set local statement_timeout = '10min'; set local idle_in_transaction_session_timeout = '1min'"
                )
                await tx.one_at_a_time("statement")
                sha256 = await digest
                done = await _file(tx, sha256, name, size_bytes, staff_id, now)
                await tx.execute(_STAGING)
                async for letter, body in frames:
                    if letter == "S":
                        taking = _Taking(tx, sealer, done, json.loads(body), month, now, ahead, progress)
                        done.statements.append(await taking.take(frames))
                tx.step("statement.taken")
                if staff_id is not None:
                    after = {"sha256": sha256.hex(), "lines": done.lines, "statements": len(done.statements)}
                    await audit.note(tx, staff_id, "statement.loaded", f"file {done.file_id}", after=after, now=now)
            return done
        except _OtherDay:
            continue
    raise AssertionError("without looking ahead there is no other day")


async def _file(tx: Tx, sha256: bytes, name: str, size_bytes: int, staff_id: UUID | None, now: datetime) -> TakenIn:
    before = await tx.row(
        "select id, loaded_at from payments.statement_file where operator_id = $1 and sha256 = $2",
        tx.operator_id,
        sha256,
    )
    if before:
        return TakenIn(before["id"], before["loaded_at"], staff_id is None)
    done = TakenIn(new_id(), None, staff_id is None)
    await tx.execute(
        "insert into payments.statement_file (operator_id, id, sha256, name, size_bytes, source, loaded_by,"
        " loaded_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.operator_id,
        done.file_id,
        sha256,
        name,
        size_bytes,
        "upload" if staff_id else "bank",
        staff_id,
        now,
    )
    return done


async def head(tx: Tx, bank_account: str) -> Any:
    """The statement that an account's next one has to continue: day, closing_vnd; None before the first."""
    return await tx.row(
        "select id, day, closing_vnd, said_number from payments.standing_statements($1)"
        " where bank_account = $2 and state = 'accepted' order by day desc, id desc limit 1",
        tx.operator_id,
        bank_account,
    )


async def accounts(tx: Tx) -> list[Any]:
    """The operator's accounts, each with its last statement (None before the first)."""
    return await tx.rows(
        "select a.bin || '/' || a.account as bank_account, a.owner_name, s.id, s.day, s.closing_vnd, s.said_number"
        " from payments.collection_account a left join lateral"
        " (select * from payments.standing_statements($1) where bank_account = a.bin || '/' || a.account"
        "   and state = 'accepted' order by day desc, id desc limit 1) s on true where a.operator_id = $1 order by 1",
        tx.operator_id,
    )


async def listed(tx: Tx, *, most: int, file_id: UUID | None = None) -> list[Any]:
    """Statements, newest first, with their files; `open`: lines that nobody has matched; `withdrawn_at`: it counts no more."""
    return await tx.rows(
        "select s.*, f.name as file_name, f.source, p.name as loaded_by, (select count(*) from payments.open_item o"
        "   where o.operator_id = s.operator_id and o.statement_id = s.id) as open, w.at as withdrawn_at"
        " from payments.bank_statement s"
        " join payments.statement_file f on f.operator_id = s.operator_id and f.id = s.file_id"
        " left join payments.statement_withdrawal w on w.operator_id = s.operator_id and w.statement_id = s.id"
        " left join foundation.staff p on p.operator_id = f.operator_id and p.id = f.loaded_by"
        " where s.operator_id = $1 and ($3::uuid is null or s.file_id = $3) order by s.id desc limit $2",
        tx.operator_id,
        most,
        file_id,
    )


async def file(tx: Tx, id: UUID) -> Any:
    """A file that was given in. Raises NoSuchStatement."""
    row = await tx.row("select * from payments.statement_file where operator_id = $1 and id = $2", tx.operator_id, id)
    if row is None:
        raise NoSuchStatement()
    return row


async def find(tx: Tx, id: UUID) -> Any:
    """A statement. Raises NoSuchStatement."""
    row = await tx.row("select * from payments.bank_statement where operator_id = $1 and id = $2", tx.operator_id, id)
    if row is None:
        raise NoSuchStatement()
    return row


async def lines(tx: Tx, id: UUID, *, first: int, most: int) -> list[Any]:
    """Lines of a statement from position `first` on, each with what it is matched with, if it is."""
    return await tx.rows(
        "select l.position, l.bank_ref, l.amount_vnd, l.booked_day, l.is_reversal, c.kind from payments.statement_line l"
        " left join payments.claim c on c.operator_id = l.operator_id and c.statement_id = l.statement_id"
        "   and c.position = l.position"
        " where l.operator_id = $1 and l.statement_id = $2 and l.position >= $3 order by l.position limit $4",
        tx.operator_id,
        id,
        first,
        most,
    )


def facts_of(row: Any) -> dict[str, object]:
    """The facts of the refusal for which a statement is in quarantine."""
    facts: dict[str, object] = json.loads(row["facts"])
    return facts


async def texts(tx: Tx, sealer: Sealer, lines: list[tuple[UUID, int]]) -> dict[tuple[UUID, int], list[str]]:
    """By (statement, position) the text, the counterparty's name and its account."""
    blocks = sorted({(statement_id, position // BLOCK) for statement_id, position in lines})
    rows = await tx.rows(
        "select t.statement_id, t.block, t.sealed from payments.statement_text t"
        " join unnest($2::uuid[], $3::int[]) wanted (statement_id, block)"
        " on wanted.statement_id = t.statement_id and wanted.block = t.block where t.operator_id = $1",
        tx.operator_id,
        [statement_id for statement_id, _ in blocks],
        [block for _, block in blocks],
    )
    opened = {
        (row["statement_id"], row["block"]): json.loads(await sealer.open(row["sealed"], context=TEXT)) for row in rows
    }
    return {
        (statement_id, position): opened[statement_id, position // BLOCK][position % BLOCK]
        for statement_id, position in lines
    }


class _OtherDay(Exception):
    """A statement is of another day than it told before its lines: read it again without believing that."""


# --- one statement -------------------------------------------------------------------------------------------------

_STAGING = """
create temp table if not exists incoming_line (position integer, bank_ref text, part integer, amount_vnd bigint,
    booked_day integer, value_day integer, is_reversal boolean, identity uuid, end_to_end_id text) on commit drop
"""
_DAY = "greatest(least(date '2000-01-01' + booked_day, $4), $5)"
_KEEP = f"""
insert into payments.statement_line (operator_id, statement_id, position, bank_account, bank_ref, part, amount_vnd, day,
    booked_day, value_day, is_reversal, identity, end_to_end_id)
select $1, $2, position, $3, bank_ref, part, amount_vnd, {_DAY}, date '2000-01-01' + booked_day,
    date '2000-01-01' + value_day, is_reversal, identity, end_to_end_id from incoming_line
"""
_COUNTED = "select count(*)::int as lines, coalesce(sum(amount_vnd), 0)::bigint as vnd, min(day) as first_day from"
_ALL_NEW = f"with kept as ({_KEEP}) {_COUNTED} (select amount_vnd, {_DAY} as day from incoming_line) incoming"
_ONLY_NEW = f"with kept as ({_KEEP} on conflict do nothing returning amount_vnd, day) {_COUNTED} kept"


class _Taking:
    """A statement on its way in: its lines a batch at a time, while the reader reads on, and taken back unless its verdict
    lets it in. A line that an earlier statement told of is not kept again."""

    def __init__(
        self,
        tx: Tx,
        sealer: Sealer,
        file: TakenIn,
        said: Any,
        month: int,
        now: datetime,
        ahead: bool,
        progress: Progress,
    ) -> None:
        self.tx, self.sealer, self.file, self.said, self.month, self.now = tx, sealer, file, said, month, now
        self.progress, self.id = progress, new_id()
        self.told = date.fromisoformat(said["day"]) if said["day"] and ahead else None
        self.began = date.fromisoformat(said["first_day"]) if said["first_day"] else None
        self.account: str | None = None
        self.last: Any = None
        self.withdrawn: list[UUID] = []
        self.first_line: date | None = None
        self.is_overlapping = False
        self.read = self.new = self.new_vnd = self.blocks = 0

    async def take(self, frames: AsyncIterator[tuple[str, bytes]]) -> Taken:
        tx = self.tx
        self.account = await tx.value(
            "select bin || '/' || account from payments.collection_account where operator_id = $1 and account = $2",
            tx.operator_id,
            self.said["account"],
        )
        if self.account is not None:
            self.last = await head(tx, self.account)
            rows = await tx.rows(
                "select statement_id from payments.statement_withdrawal where operator_id = $1 and bank_account = $2",
                tx.operator_id,
                self.account,
            )
            self.withdrawn = [row["statement_id"] for row in rows]
        await tx.execute("savepoint statement; truncate incoming_line")
        verdict = await self._lines(frames)
        day = date.fromisoformat(verdict["day"]) if verdict["day"] else None
        state, why = await self._judge(day, verdict)
        if state == "accepted" and self.new:
            await tx.execute("release savepoint statement")
        else:
            await tx.execute("rollback to savepoint statement; release savepoint statement")
        taken = Taken(
            self.id,
            self.account or self.said["account"],
            day,
            state,
            self.new if state == "accepted" else 0,
            verdict["credits"] + verdict["debits"] - self.new,
            why,
        )
        if self.file.before and state != "accepted" and await _was_so(tx, self.file, self.said, why):
            return taken
        if state == "accepted":
            assert self.account
            await ledger.open_bank(tx, self.account)
        await self.tx.execute(
            "insert into payments.bank_statement (operator_id, id, file_id, bank_account, said_id, said_number, page, first_day,"
            " day, opening_vnd, closing_vnd, credits, credits_vnd, debits, debits_vnd, lines, state, why, facts, remarks, at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
            self.tx.operator_id,
            taken.id,
            self.file.file_id,
            taken.bank_account,
            self.said["id"],
            self.said["number"],
            self.said["page"],
            self._first_day(day) if state == "accepted" and day else None,
            day,
            *(
                verdict[name]
                for name in ("opening_vnd", "closing_vnd", "credits", "credits_vnd", "debits", "debits_vnd")
            ),
            taken.lines,
            state,
            why.code if why else None,
            json.dumps(why.told if why else {}),
            json.dumps(verdict["remarks"]),
            self.now,
        )
        return taken

    async def _lines(self, frames: AsyncIterator[tuple[str, bytes]]) -> Any:
        """Stores the lines; returns the verdict. What is read while others are stored waits in a short queue."""
        waiting: asyncio.Queue[tuple[str, bytes] | Exception] = asyncio.Queue(4 * BATCH)

        async def read() -> None:
            try:
                async for frame in frames:
                    await waiting.put(frame)
                    if frame[0] == "V":
                        return
            except Exception as error:
                await waiting.put(error)

        reading = asyncio.create_task(read())
        lines: list[bytes] = []
        texts: list[bytes] = []
        try:
            while True:
                frame = await waiting.get()
                if isinstance(frame, Exception):
                    raise frame
                letter, body = frame
                if letter != "V":
                    (lines if letter == "L" else texts).append(body)
                if texts and (letter == "V" or len(texts) == BATCH):
                    await self._store(lines, texts)
                    lines, texts = [], []
                if letter == "V":
                    return json.loads(body)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _store(self, lines: list[bytes], texts: list[bytes]) -> None:
        connection = self.tx.connection

        async def source() -> AsyncIterator[bytes]:
            for body in lines:
                yield body

        status = await connection.copy_to_table(
            "incoming_line", source=source(), columns=COLUMNS, format="text", timeout=LONGEST_S
        )
        self.read += int(status.split()[1])
        self.progress("read", self.read)
        if self.account is None:
            return
        sealed = [self.sealer.seal(body.decode(), month=self.month, context=TEXT) for body in texts]
        await connection.execute(
            "insert into payments.statement_text (operator_id, statement_id, block, sealed)"
            " select $1, $2, n - 1 + $3, sealed from unnest($4::bytea[]) with ordinality t (sealed, n)",
            *(self.tx.operator_id, self.id, self.blocks, sealed),
            timeout=LONGEST_S,
        )
        self.blocks += len(sealed)
        if self.told:
            await self._keep(self.told)

    async def _keep(self, day: date) -> None:
        """What is staged, as lines of the statement. As a rule nobody told of them before: to look first costs half as much
        again, so it is looked when one was found."""
        tx = self.tx
        await self._rename()
        try:
            if self.is_overlapping:
                kept = await self._insert(day, _ONLY_NEW)
            else:
                async with tx.savepoint():
                    kept = await self._insert(day, _ALL_NEW)
        except asyncpg.UniqueViolationError:
            self.is_overlapping = True
            kept = await self._insert(day, _ONLY_NEW)
        self.new += kept["lines"]
        self.new_vnd += kept["vnd"]
        self.first_line = min(filter(None, (self.first_line, kept["first_day"])), default=None)
        await tx.execute("truncate incoming_line")

    async def _rename(self) -> None:
        """What a withdrawn statement told of is not known by it: another identity for each such line, the same every time."""
        done = "UPDATE" if self.withdrawn else "UPDATE 0"
        while done != "UPDATE 0":
            done = await self.tx.connection.execute(
                "update incoming_line i"
                " set identity = md5(concat_ws('|', i.identity, i.bank_ref, i.amount_vnd, i.part, l.statement_id))::uuid"
                " from payments.statement_line l where l.operator_id = $1 and l.statement_id = any($2) and l.bank_ref = i.bank_ref"
                "   and l.amount_vnd = i.amount_vnd and l.part = i.part and l.identity is not distinct from i.identity",
                *(self.tx.operator_id, self.withdrawn),
                timeout=LONGEST_S,
            )

    def _from(self, day: date) -> date | None:
        """The first day that a line may be of: what is over when the statement before ends belongs to the next day."""
        known = [self.began] if self.began else []
        if self.last:
            known.append(self.last["day"] + timedelta(days=1))
        return min(max(known), day) if known else None

    def _first_day(self, day: date) -> date:
        """From when on it tells of every day; a table says no more than that its lines follow each other."""
        return (self._from(day) if self.began else self.first_line) or day

    async def _insert(self, day: date, query: str) -> Any:
        return await self.tx.connection.fetchrow(
            query, *(self.tx.operator_id, self.id, self.account, day, self._from(day)), timeout=LONGEST_S
        )

    async def _judge(self, day: date | None, verdict: Any) -> tuple[State, Refusal | None]:
        if verdict["why"]:
            return "quarantined", refusal_of(verdict["why"]["code"], verdict["why"]["facts"])
        if self.said["kind"] == "notification":
            return "quarantined", StatementIsNotification()
        if self.account is None:
            return "quarantined", StatementForeign(account=self.said["account"])
        if day is None:
            return "quarantined", StatementDayMissing()
        if self.told and self.told != day:
            raise _OtherDay
        if not self.told:
            await self._keep(day)
        if self.file.by_itself and await _was_withdrawn(self.tx, self.file, self.said):
            return "quarantined", StatementWithdrawn()
        return await _place(self.tx, self.account, self.last, day, verdict, self.new, self.new_vnd, self.now)


async def _was_so(tx: Tx, file: TakenIn, said: Any, why: Refusal | None) -> bool:
    """Whether this statement of this file was looked at before with the same end: then nothing is news."""
    return bool(
        await tx.value(
            "select true from payments.bank_statement s where s.operator_id = $1 and file_id = $2 and said_id = $3"
            " and said_number = $4 and page = $5"
            " and (why = $6 or exists (select from payments.standing_statements($1) t where t.id = s.id)) limit 1",
            *(tx.operator_id, file.file_id, said["id"], said["number"], said["page"], why.code if why else None),
        )
    )


async def _was_withdrawn(tx: Tx, file: TakenIn, said: Any) -> bool:
    """Whether this statement was taken in from these very bytes, and two people withdrew it."""
    return file.before is not None and bool(
        await tx.value(
            "select true from payments.bank_statement s join payments.statement_withdrawal w"
            "   on w.operator_id = s.operator_id and w.statement_id = s.id"
            " where s.operator_id = $1 and file_id = $2 and said_id = $3 and said_number = $4 and page = $5 limit 1",
            *(tx.operator_id, file.file_id, said["id"], said["number"], said["page"]),
        )
    )


async def _place(
    tx: Tx, account: str, last: Any, day: date, verdict: dict[str, Any], new: int, new_vnd: int, now: datetime
) -> tuple[State, Refusal | None]:
    """Whether a statement that holds by itself continues what is known of its account: what the account stood at, and its
    new lines, make its closing balance. An older one may only say again what is known. `last`: its head."""
    opening_vnd, closing_vnd = verdict["opening_vnd"], verdict["closing_vnd"]
    if day > clock.hanoi_day(now):
        return "quarantined", StatementOfTheFuture(day=day)
    if last is None:
        return "accepted", None
    closed = await ledger.closed_through(tx)
    if new and closed and day <= closed:
        return "quarantined", StatementAddsToPast(lines=new, day=closed)
    same_day_vnd: int | None = await tx.value(
        "select closing_vnd from payments.standing_statements($1) where bank_account = $2 and day = $3"
        " and state = 'accepted' order by id desc limit 1",
        tx.operator_id,
        account,
        day,
    )
    if day < last["day"] or (day == last["day"] and not new):
        if new:
            return "quarantined", StatementAddsToPast(lines=new, day=last["day"])
        if same_day_vnd is not None and same_day_vnd != closing_vnd:
            return "quarantined", StatementContradicts(day=day, before_vnd=same_day_vnd, closing_vnd=closing_vnd)
        return "known", None
    if last["closing_vnd"] + new_vnd != closing_vnd:
        # In the words of its own: what it adds stands before its closing balance.
        expected_vnd = opening_vnd + last["closing_vnd"] + new_vnd - closing_vnd
        return "quarantined", StatementNotChained(expected_vnd=expected_vnd, opening_vnd=opening_vnd)
    return "accepted", None


# --- the process that reads ------------------------------------------------------------------------------------------


class _reading:
    """The frames of a file, read by a process of its own that is gone when the block ends."""

    def __init__(self, path: Path, name: str, profile: str, key: bytes, seconds: int) -> None:
        self._arguments = (str(path), name, profile, str(seconds), str(MEGABYTES))
        self._name, self._key = name, key

    async def __aenter__(self) -> AsyncIterator[tuple[str, bytes]]:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            COMMAND,
            str(Path(__file__).parent),
            *self._arguments,
            cwd=Path(__file__).parents[1],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        assert self._process.stdin
        self._process.stdin.write(self._key)
        self._process.stdin.close()
        return self._frames()

    async def _frames(self) -> AsyncIterator[tuple[str, bytes]]:
        out = self._process.stdout
        assert out
        while True:
            try:
                head = await out.readexactly(5)
                letter, length = head[:1].decode(), struct.unpack(">I", head[1:])[0]
                body = await out.readexactly(length)
            except asyncio.IncompleteReadError:  # it was ended for what it took
                raise StatementUnreadable(file=self._name) from None
            if letter == "E":
                told = json.loads(body)
                raise refusal_of(told["code"], told["facts"])
            if letter == ".":
                return
            yield letter, body

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
