"""When the bank misbehaves: every defect that real banks and networks show, on request and reproducibly.

A fault strikes everything from now on, or only the next so many, or a share drawn by a seed: see `when`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ConfigDict, Field, field_validator
from starlette.types import Receive, Scope, Send

from mock_bank.database import Database
from mock_bank.memo import PayerText, TextStyle
from mock_bank.web import ApiKey, In, StrictRoute

LATEST_IN_LIST_SECONDS = 3600
A_DAY_SECONDS = 24 * 3600

Flag = Annotated[bool, Field(strict=True)]
Told = Literal["told", "absent", "null", "empty"]


class Aim(In):
    """Whom one fault strikes. `next`: so many more, then none. `share`: each by chance; both: the next so many of these."""

    next: Annotated[int | None, Field(strict=True, ge=0, le=1_000_000)] = None
    share: Annotated[float | None, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = None


class Faults(In):
    """What goes wrong from now on. A field left out is as usual.

    The network keeps real time (delays, retries), the books keep the bank's (lists, reversals, refunds, days).
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "lose_notices": True,
                "text_style": "glued",
                "answers": "error_503",
                "seed": 7,
                "when": {"lose_notices": {"next": 3}, "answers": {"share": 0.2}},
            }
        },
    )

    # Notices of transactions booked, and of card payments ended, from now on.
    lose_notices: Flag = Field(False, description="Never sent: only the list tells.")
    repeat_notices: Annotated[int, Field(strict=True, ge=1, le=5)] = Field(
        1, description="Sent so many times although each arrived; same event id."
    )
    delay_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = Field(0, description="Real seconds.")
    shuffle_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = Field(
        0, description="Each waits 0 to so many real seconds by chance, so that later ones overtake."
    )
    two_event_ids: Flag = Field(False, description="One booking is announced by two events with ids of their own.")
    repeat_after_days: Annotated[int, Field(strict=True, ge=0, le=30)] = Field(
        0, description="Sent once more, same event id, so many days after the booking by the bank's time."
    )
    wrong_signature: Flag = Field(False, description="The first sending carries a signature that does not hold.")
    stale_timestamp: Flag = Field(False, description="The first sending is signed for an hour ago.")
    lose_notice_answers: Flag = Field(False, description="The receiver's 2xx is lost once: the bank sends again.")

    # Transactions booked from now on.
    payer_text: PayerText = Field(
        "as_typed", description="What the payer made of the text: edited is one wrong character."
    )
    text_style: TextStyle = Field("dirty", description="What the banks made of it.")
    payer: Told = Field("told", description="How the owner is told payer_name, payer_bin and payer_account.")
    bank_ref: Told = Field("told", description="How the owner is told bank_ref.")
    reverse_after_seconds: Annotated[int | None, Field(strict=True, ge=0, le=30 * A_DAY_SECONDS)] = Field(
        None, description="A credit is taken back by a debit so many seconds later, bank's time; null: never."
    )

    # The list.
    list_late_seconds: Annotated[int, Field(strict=True, ge=0, le=LATEST_IN_LIST_SECONDS)] = Field(
        0, description="Listed so many seconds after booked_at, bank's time, with the number of its booking."
    )
    list_overlap: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        0, description="A page begins with up to so many items that stand before its cursor."
    )

    # Answers to programs: transactions, payments, refunds, payouts, balances.
    answers: Literal["usual", "closed", "error_500", "error_502", "error_503"] = Field(
        "usual", description="Nothing is done; closed breaks the connection."
    )
    answer_delay_ms: Annotated[int, Field(strict=True, ge=0, le=30_000)] = 0
    lose_payment_answers: Flag = Field(False, description="The payment is made, then the connection breaks.")
    lose_refund_answers: Flag = Field(False, description="The refund is taken on, then the connection breaks.")
    lose_payout_answers: Flag = Field(False, description="The payout file is taken on, then the connection breaks.")

    # Refunds asked for from now on.
    refund_seconds: Annotated[int, Field(strict=True, ge=0, le=30 * A_DAY_SECONDS)] = Field(
        0, description="From accepted to settled or returned, bank's time."
    )
    return_refunds: Flag = Field(False, description="Accepted, and later returned by the receiving bank.")
    refuse_send_back: Flag = Field(False, description="Refused, unless a named account is given.")

    # Transfers of payout files handed in from now on; the reports, whenever they are asked for.
    payout_seconds: Annotated[int, Field(strict=True, ge=0, le=30 * A_DAY_SECONDS)] = Field(
        0, description="From debited to settled, and from settled to returned, bank's time."
    )
    reject_payouts: Flag = Field(
        False, description="Accepted, and on its day rejected: no such account; never debited."
    )
    return_payouts: Flag = Field(False, description="Settled, and later returned by the receiving bank.")
    split_payouts: Flag = Field(False, description="Booked as two debits that add up.")
    omit_payout_statuses: Flag = Field(False, description="A report leaves the transfer out.")

    # Statements issued from now on; a line is one of the statement's, drawn by the seed.
    withhold_statement: Flag = Field(False, description="Its number is used up, but it comes only when issued anew.")
    lose_statement_line: Flag = Field(False, description="A line is counted and not there: it does not tie.")
    delay_statement_line: Flag = Field(False, description="A line comes on the next day's statement; both tie.")
    repeat_statement_line: Flag = Field(False, description="A line stands twice and is counted once: it does not tie.")
    count_statement_line_twice: Flag = Field(
        False, description="A line stands twice, the second time with a bank_ref of its own, and is counted: it ties."
    )
    change_statement_text: Flag = Field(False, description="One character of a line's text is another one.")
    wrong_opening: Flag = Field(
        False, description="It ties, but does not open with what the day before closed with; the next day does."
    )
    wrong_closing: Flag = Field(False, description="It does not tie.")
    batch_credits: Literal["single", "details", "no_details", "wrong_details"] = Field(
        "single",
        description="The day's payments stand as one entry, if there are several; its details are told by camt only, "
        "with wrong_details they do not add up.",
    )

    seed: Annotated[int, Field(strict=True, ge=0, le=2**31)] = Field(
        0, description="The same seed and the same order of requests: the same run."
    )
    when: dict[str, Aim] = Field({}, description="By name of a fault: whom it strikes. Left out: everybody.")

    @field_validator("when")
    @classmethod
    def _aims_at_faults(cls, when: dict[str, Aim]) -> dict[str, Aim]:
        for name in when:
            if name not in FAULTS:
                raise ValueError(f"there is no fault {name!r}")
        return when


FAULTS = tuple(name for name in Faults.model_fields if name not in ("seed", "when"))


async def read(db: asyncpg.Pool[Any]) -> Faults:
    """What goes wrong at present; `next` has counted down."""
    row = await db.fetchrow(
        """SELECT settings, (SELECT json_object_agg(fault, json_build_object('next', next_left, 'share', share))
                               FROM mock_bank.aim) AS aims
             FROM mock_bank.faults"""
    )
    assert row is not None
    return Faults(**json.loads(row["settings"]), when=json.loads(row["aims"] or "{}"))


async def put(db: asyncpg.Pool[Any], faults: Faults) -> Faults:
    """Let exactly this go wrong; every count and every sequence of chances begins anew."""
    settings = faults.model_dump(exclude={"when"}, exclude_defaults=True)
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE mock_bank.faults SET settings = $1", json.dumps(settings))
        await connection.execute("DELETE FROM mock_bank.aim")
        await connection.executemany(
            "INSERT INTO mock_bank.aim (fault, next_left, share) VALUES ($1, $2, $3)",
            [(name, aim.next, aim.share) for name, aim in faults.when.items()],
        )
    return faults


class BadAnswer(Exception):
    """The bank answers as a bank in trouble does: `kind` is a value of `answers`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class CutOff(Response):
    """An answer that breaks off: its body never comes, so the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 502, "headers": [(b"content-length", b"1")]})


def answer_badly(app: FastAPI) -> None:
    """Teach the app to break off, and to fail with the page of a machine in front of it."""

    @app.exception_handler(BadAnswer)
    async def a_bad_answer(request: Request, error: BadAnswer) -> Response:
        if error.kind == "closed":
            return CutOff()
        status = int(error.kind.removeprefix("error_"))
        return HTMLResponse(f"<html><body><h1>{status}</h1></body></html>", status)


async def _behave_to_merchants(db: Database) -> None:
    row = await db.fetchrow("SELECT mock_bank.struck('answer_delay_ms') AS ms, mock_bank.struck('answers') AS answers")
    assert row is not None
    await asyncio.sleep(int(row["ms"] or 0) / 1000)
    if row["answers"] is not None:
        raise BadAnswer(row["answers"])


async def _behave(db: Database, key: ApiKey) -> None:
    await _behave_to_merchants(db)


BehavingToMerchants = Depends(_behave_to_merchants)
"""The same for those who sign what they ask instead of showing a key."""

Behaving = Depends(_behave)
"""For routes that programs use; before anything is done. Accounts, faults and the clock always answer as they should:
a bank that was left down could otherwise neither be mended nor be started on."""


async def lose_answer(
    db: asyncpg.Pool[Any], fault: Literal["lose_payment_answers", "lose_refund_answers", "lose_payout_answers"]
) -> None:
    """To be called when the act is committed: the answer may get lost."""
    if await db.fetchval("SELECT mock_bank.struck($1)", fault) == "true":
        raise BadAnswer("closed")


router = APIRouter(prefix="/api/v1/faults", tags=["faults"], route_class=StrictRoute)


@router.get("")
async def see_the_faults(db: Database, key: ApiKey) -> Faults:
    """What goes wrong at present."""
    return await read(db)


@router.put("")
async def set_the_faults(faults: Faults, db: Database, key: ApiKey) -> Faults:
    """Let exactly this go wrong; a field left out goes back to its usual value, and every count begins anew."""
    return await put(db, faults)
