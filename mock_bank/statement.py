"""Daily statements: what became of an account on a Hanoi day that is over, numbered from the day it was opened.

A statement is issued when it is first asked for, with every one before it, under the faults of that moment; after that
it is fixed, to the byte. Only `reissue` makes another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args
from uuid import NAMESPACE_URL, uuid5

import asyncpg
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mock_bank import faults, language, memo
from mock_bank.account import AccountInPath, BinInPath, UnknownAccount
from mock_bank.database import Database
from mock_bank.refusal import Refusal
from mock_bank.statement_file import FORMS, Archive, File, Line, Statement
from mock_bank.web import ApiKey, StrictRoute

A_PIECE = 1000
"""Lines that are held at a time."""

MOST_DAYS = 31
"""In one archive."""

ISSUE_SECONDS = 120
ZIP = "application/zip"

Form = Literal[
    "camt.053.001.02",
    "camt.053.001.08",
    "camt.054.001.02",
    "camt.054.001.08",
    "mt940",
    "csv.example-two-columns",
    "csv.example-signed",
    "xlsx.example-two-columns",
    "xlsx.example-signed",
]
assert get_args(Form) == tuple(FORMS)


class NoStatement(Refusal):
    """There is no statement of {day}: that day is not over yet, or the account was not open."""

    status = 404


class StatementWithheld(Refusal):
    """The statement of {day} was not issued. Ask for it to be issued anew."""

    status = 404


class StatementOut(BaseModel):
    """`number` counts the days of the account and stays; a statement that was issued anew has an id of its own."""

    day: date
    number: int
    id: str
    issued_at: datetime


class Statements(BaseModel):
    """Oldest first. `has_more`: go on with `after` = the last day."""

    items: list[StatementOut]
    has_more: bool


async def issue_until(db: asyncpg.Pool[Any], *, bin: str, account: str, day: date) -> None:
    """Issue what is due up to that day and was not asked for before, each by itself. Raises UnknownAccount."""
    if not await db.fetchval("SELECT true FROM mock_bank.account WHERE bin = $1 AND account = $2", bin, account):
        raise UnknownAccount(bin=bin, account=account)
    while await db.fetchval("SELECT mock_bank.issue_next($1, $2, $3)", bin, account, day, timeout=ISSUE_SECONDS):
        pass


async def list_issued(db: asyncpg.Pool[Any], *, bin: str, account: str, after: date, limit: int) -> Statements:
    """The statements of the days after that one; a day whose statement is withheld is left out."""
    await issue_until(db, bin=bin, account=account, day=date.max)
    rows = await db.fetch(
        """SELECT day, number, id, issued_at FROM mock_bank.newest_statement
            WHERE bin = $1 AND account = $2 AND day > $3 AND NOT withheld ORDER BY day LIMIT $4""",
        bin,
        account,
        after,
        limit + 1,
    )
    return Statements(items=[_out(row) for row in rows[:limit]], has_more=len(rows) > limit)


async def reissue(db: asyncpg.Pool[Any], *, bin: str, account: str, day: date) -> StatementOut:
    """Another statement of the day, under the faults of now. Raises UnknownAccount, NoStatement, StatementWithheld."""
    await issue_until(db, bin=bin, account=account, day=day)
    if not await db.fetchval("SELECT mock_bank.reissue($1, $2, $3)", bin, account, day, timeout=ISSUE_SECONDS):
        raise NoStatement(day=day)
    return _out(await _newest(db, bin=bin, account=account, day=day))


async def hand_out(
    db: asyncpg.Pool[Any], *, bin: str, account: str, day: date, until: date, form: str, zipped: bool
) -> StreamingResponse:
    """The files of these days as a download; several come zipped. Raises UnknownAccount, NoStatement, StatementWithheld."""
    await issue_until(db, bin=bin, account=account, day=until)
    days = [day + timedelta(later) for later in range(min((until - day).days + 1, MOST_DAYS))]
    rows = [await _newest(db, bin=bin, account=account, day=one) for one in days]
    files = [FORMS[form](_told(row)) for row in rows]
    named = [f"{account}-{file.statement.day:%Y%m%d}.{file.suffix}" for file in files]
    zipped = zipped or len(files) > 1
    name = f"{account}-{day:%Y%m%d}.zip" if zipped else named[0]
    return StreamingResponse(
        _archive(db, rows, files, named) if zipped else _file(db, rows[0], files[0]),
        media_type=ZIP if zipped else files[0].media_type,
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )


async def _newest(db: asyncpg.Pool[Any], *, bin: str, account: str, day: date) -> asyncpg.Record:
    row: asyncpg.Record | None = await db.fetchrow(
        """SELECT s.*, a.owner_name FROM mock_bank.newest_statement s JOIN mock_bank.account a USING (bin, account)
            WHERE bin = $1 AND account = $2 AND day = $3""",
        bin,
        account,
        day,
    )
    if row is None:
        raise NoStatement(day=day)
    if row["withheld"]:
        raise StatementWithheld(day=day)
    return row


def _out(row: asyncpg.Record) -> StatementOut:
    return StatementOut(
        day=row["day"], number=row["number"], id=row["id"], issued_at=row["issued_at"].astimezone(language.HANOI)
    )


def _told(row: asyncpg.Record) -> Statement:
    """As the file says it."""
    same = ("bin", "account", "owner_name", "day", "number", "id", "credits", "credits_vnd", "debits", "debits_vnd")
    return Statement(
        **{name: row[name] for name in (*same, "batch", "batched", "batched_vnd")},
        issued_at=row["issued_at"].astimezone(language.HANOI),
        opening_vnd=row["opening_vnd"] + row["opening_error_vnd"],
        closing_vnd=row["closing_vnd"] + row["closing_error_vnd"],
    )


async def _archive(
    db: asyncpg.Pool[Any], rows: Sequence[asyncpg.Record], files: Sequence[File], names: Sequence[str]
) -> AsyncIterator[bytes]:
    archive = Archive(rows[0]["day"])
    for row, file, name in zip(rows, files, names, strict=True):
        archive.open(name)
        async for octets in _file(db, row, file):
            yield archive.write(octets)
    yield archive.end()


async def _file(db: asyncpg.Pool[Any], row: asyncpg.Record, file: File) -> AsyncIterator[bytes]:
    """The file in pieces. Nothing is held while its reader takes his time."""
    yield file.first(file.begin())
    if row["batch"] and not file.newest_first:
        async for text in _batch(db, row, file):
            yield file.more(text)
    async for lines in _lines(db, row, batched=False if row["batch"] else None, newest_first=file.newest_first):
        yield file.more("".join(map(file.line, lines)))
    if row["batch"] and file.newest_first:
        async for text in _batch(db, row, file):
            yield file.more(text)
    yield file.last(file.end())


async def _batch(db: asyncpg.Pool[Any], row: asyncpg.Record, file: File) -> AsyncIterator[str]:
    yield file.begin_batch()
    if file.tells_details and row["batch"] != "no_details":
        async for lines in _lines(db, row, batched=True, newest_first=False):
            yield "".join(map(file.detail, lines))
    yield file.end_batch()


async def _lines(
    db: asyncpg.Pool[Any], row: asyncpg.Record, *, batched: bool | None, newest_first: bool
) -> AsyncIterator[list[Line]]:
    """The lines of a statement, so many at a time. `batched`: only the payments that came in, or all others."""
    order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
    at = 2**31 - 1 if newest_first else 0
    while True:
        found = await db.fetch(
            f"""SELECT position, number, told FROM mock_bank.statement_line
                 WHERE bin = $1 AND account = $2 AND day = $3 AND version = $4 AND position {beyond} $5
                   AND payment = coalesce($6, payment)
                 ORDER BY position {order} LIMIT {A_PIECE}""",
            row["bin"],
            row["account"],
            row["day"],
            row["version"],
            at,
            batched,
        )
        booked = await db.fetch(
            "SELECT * FROM mock_bank.transaction WHERE bin = $1 AND account = $2 AND number = ANY($3)",
            row["bin"],
            row["account"],
            [one["number"] for one in found],
        )
        by_number = {one["number"]: one for one in booked}
        if found:
            yield [_line(by_number[one["number"]], one["told"], row["id"]) for one in found]
        if len(found) < A_PIECE:
            return
        at = found[-1]["position"]


def _line(booked: asyncpg.Record, told: str, statement_id: str) -> Line:
    """A booked transaction as the statement tells it to the account's owner."""
    is_credit = booked["direction"] == "credit"
    other = "payer" if is_credit else "payee"
    is_known = booked["payer_told"] == "told"
    bank_ref, text = booked["bank_ref"], booked["text"]
    if told == "counted_again":
        bank_ref = "FX" + bank_ref[2:]
    if told == "changed":
        text = memo.edited(text, seed=uuid5(NAMESPACE_URL, f"{booked['account']}/{statement_id}"))
    return Line(
        bank_ref=bank_ref if booked["bank_ref_told"] == "told" else "",
        amount_vnd=booked["amount_vnd"] if is_credit else -booked["amount_vnd"],
        booked_at=booked["booked_at"].astimezone(language.HANOI),
        text=text,
        bin=booked[f"{other}_bin"] if is_known else "",
        account=booked[f"{other}_account"] if is_known else "",
        name=booked[f"{other}_name"] if is_known else "",
        end_to_end_id=booked["payout_id"] or (booked["refund_id"].hex if booked["refund_id"] else ""),
        is_reversal=booked["kind"] == "reversal",
        is_return=booked["kind"] in ("refund_return", "payout_return"),
        is_counted=told != "again",
        is_written=told != "lost",
    )


router = APIRouter(
    prefix="/api/v1/accounts/{bank_bin}/{account}/statements",
    tags=["statements"],
    route_class=StrictRoute,
    dependencies=[faults.Behaving],
)
NONE: dict[int | str, dict[str, Any]] = {404: {"description": "unknown_account, no_statement or statement_withheld"}}
A_FILE: dict[str, Any] = {
    "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in ("application/xml", ZIP)},
    "description": "The file, in the media type of its format",
}


@router.get("")
async def list_statements(
    bank_bin: BinInPath,
    account: AccountInPath,
    db: Database,
    key: ApiKey,
    after: Annotated[date, Query(description="Only of later days.")] = date.min,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Statements:
    """One statement for each day that is over, also for an empty one. A number that is left out was withheld."""
    return await list_issued(db, bin=bank_bin, account=account, after=after, limit=limit)


@router.get("/{day}", response_class=StreamingResponse, responses={200: A_FILE, **NONE})
async def fetch_statement(
    bank_bin: BinInPath,
    account: AccountInPath,
    day: date,
    db: Database,
    key: ApiKey,
    form: Annotated[Form, Query(alias="format")] = "camt.053.001.08",
    zipped: Annotated[bool, Query(alias="zip")] = False,
    until: Annotated[
        date | None, Query(description="One file for each day up to this one, zipped; 31 at most.")
    ] = None,
) -> StreamingResponse:
    """The statement as a file. Asked for again: the same bytes, until it is issued anew."""
    return await hand_out(
        db, bin=bank_bin, account=account, day=day, until=max(until or day, day), form=form, zipped=zipped
    )


@router.post("/{day}/reissue", status_code=201, responses=NONE)
async def reissue_statement(
    bank_bin: BinInPath, account: AccountInPath, day: date, db: Database, key: ApiKey
) -> StatementOut:
    """Issue a statement anew, under the faults of now: another id, the same number.

    Statements of later days stay as they are: where this one closes with another balance, ask for those anew as well.
    """
    return await reissue(db, bin=bank_bin, account=account, day=day)
