"""The audit trail, readable and exportable: who did what to what, when and why, in the office and at the tablets."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from foundation import audit, clock, texts
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit
from payments.finance.download import csv_answer
from payments.finance.page import page
from payments.finance.spreadsheet import csv_file
from payments.finance.words import word

routes = APIRouter(tags=["finance"])
Where = Literal["office", "tablets"]
READ = {"office": audit.trail, "tablets": audit.at_tablets}
WORDS = {"office": "act", "tablets": "tablet"}
LISTED_MAX = 100
EXPORTED_MAX = 100_000
COLUMNS = ("at", "person", "act", "subject", "why", "before", "after")


async def _wanted(
    who: str = "",
    act: Annotated[str, Query(max_length=60)] = "",
    subject: Annotated[str, Query(max_length=200)] = "",
    first: str = "",
    last: str = "",
) -> audit.Wanted:
    """The filter as its form sends it, where a field that was left empty stands for everything."""
    return audit.Wanted(
        staff_id=_read(UUID, who),
        act=act,
        subject=subject.strip(),
        first=_read(date.fromisoformat, first),
        last=_read(date.fromisoformat, last),
    )


def _read(read: Any, text: str) -> Any:
    try:
        return read(text) if text else None
    except ValueError:
        return None


Wanted = Annotated[audit.Wanted, Depends(_wanted)]


@routes.get("/finance/audit", include_in_schema=False)
@permit("finance:read")
async def trail_page(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    wanted: Wanted,
    where: Where = "office",
    before: UUID | None = None,
) -> Response:
    """The trail, newest first, a page at a time."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        entries = await READ[where](tx, wanted, most=LISTED_MAX + 1, before=before)
        people = await tx.rows(
            "select id, name from foundation.staff where operator_id = $1 order by name", tx.operator_id
        )
        now, name = await clock.now(tx), await operator_name(tx, language)
    more = len(entries) > LISTED_MAX
    return page(
        request,
        "trail",
        person,
        language,
        now,
        operator_name=name,
        entries=[(entry, _values(entry["before"]), _values(entry["after"])) for entry in entries[:LISTED_MAX]],
        older=request.url.include_query_params(before=entries[LISTED_MAX - 1]["id"]).query if more else None,
        people=people,
        acts=[
            code.removeprefix("finance.act.") for code in texts.catalogue(language) if code.startswith("finance.act.")
        ],
        wanted=wanted,
        where=where,
        act_word=lambda act: word(language, WORDS[where], act),
    )


@routes.get("/finance/audit.csv", include_in_schema=False)
@permit("finance:read")
async def trail_csv(here: Here, person: Clerk, language: Language, wanted: Wanted, where: Where = "office") -> Response:
    """The same entries as a file, up to a hundred thousand; that it was taken is itself written down."""
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
        entries = await READ[where](tx, wanted, most=EXPORTED_MAX)
        await audit.note(tx, person.staff_id, "audit.exported", where, after={"entries": len(entries)}, now=now)
    rows = [
        (
            entry["at"],
            entry["name"],
            word(language, WORDS[where], entry["act"]),
            entry["subject"],
            entry["reason"],
            entry["before"],
            entry["after"],
        )
        for entry in entries
    ]
    headings = [texts.text(language, f"finance.trail.{column}") for column in COLUMNS]
    return csv_answer(csv_file(headings, rows), f"motcham-audit-{where}-{clock.hanoi_day(now).isoformat()}.csv")


@routes.get("/api/v1/finance/audit")
@permit("finance:read")
async def trail_json(
    here: Here, person: Clerk, wanted: Wanted, answer: Response, where: Where = "office", before: UUID | None = None
) -> dict[str, Any]:
    """The same for programs, newest first; `next_before` goes on with what is older, null at the end."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        entries = await READ[where](tx, wanted, most=LISTED_MAX, before=before)
    return {
        "items": [
            {**entry, "before": json.loads(entry["before"] or "null"), "after": json.loads(entry["after"] or "null")}
            for entry in entries
        ],
        "next_before": entries[-1]["id"] if len(entries) == LISTED_MAX else None,
    }


def _values(stored: str | None) -> dict[str, Any]:
    """What an act changed, value by value; what is itself a list or an object is shown as its text."""
    values = json.loads(stored or "{}")
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        for name, value in values.items()
    }
