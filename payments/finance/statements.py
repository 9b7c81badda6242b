"""Finance's pages of the bank's statements: which are here, what became of each, every line of one; giving a file in, and
withdrawing what was wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from foundation import audit, clock, texts
from foundation.errors import Refusal, refusal_of
from foundation.operator import operator_name
from foundation.web import Clerk, Here, Language, permit, takes_file
from payments import bank_statement, book_request, matching, open_items, statement_withdrawal
from payments.claim import Matched
from payments.finance.page import page
from payments.statement.profile import profiles

routes = APIRouter(tags=["finance"])
LISTED_MAX = 60
LINES_MAX = 200


class FileMissing(Refusal):
    """Choose the file that the bank gave you first."""

    status = 422


@routes.get("/finance/statements", include_in_schema=False)
@permit("finance:read")
async def statements_page(
    request: Request, here: Here, person: Clerk, language: Language, loaded: UUID | None = None, known: bool = False
) -> Response:
    """Each account with its last statement, the statements taken in last, and the form for a file; `loaded`: the one just
    given in comes first, `known`: nothing of it was new."""
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        accounts = await bank_statement.accounts(tx)
        statements = await bank_statement.listed(tx, most=LISTED_MAX)
        just = await bank_statement.listed(tx, most=LISTED_MAX, file_id=loaded) if loaded and not known else []
        file = await bank_statement.file(tx, loaded) if loaded else None
    return page(
        request,
        "statements",
        person,
        language,
        now,
        operator_name=name,
        accounts=accounts,
        statements=statements,
        just=just,
        file=file,
        profiles=sorted(profiles()),
        most_mb=bank_statement.UPLOAD_MAX_BYTES >> 20,
        today=clock.hanoi_day(now),
        why=lambda row: why(row, language),
    )


@routes.post("/finance/statements/load", include_in_schema=False)
@permit("finance:handle")
@takes_file(bank_statement.UPLOAD_MAX_BYTES)
async def load(request: Request, here: Here, person: Clerk) -> Response:
    """Takes a file in, matches what leaves no doubt, and shows what became of each statement. 422 for what is no statement."""
    form = await request.form()
    file, profile = form.get("file"), form.get("profile") or ""
    if not isinstance(file, UploadFile) or not file.filename or not isinstance(profile, str):
        raise FileMissing()
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
    with tempfile.NamedTemporaryFile() as kept:
        while piece := await file.read(1 << 20):
            kept.write(piece)
        kept.flush()
        done = await bank_statement.take_in(
            here.database,
            here.sealer,
            person.operator_id,
            Path(kept.name),
            name=file.filename[-120:],
            profile=profile,
            staff_id=person.staff_id,
            now=now,
        )
    await matching.run(here.database, here.sealer, person.operator_id)
    known = done.before is not None and all(each.state == "known" for each in done.statements)
    return RedirectResponse(f"/finance/statements?loaded={done.file_id}{'&known=1' if known else ''}", 303)


@routes.get("/finance/statements/{statement_id}", include_in_schema=False)
@permit("finance:read")
async def bank_statement_page(
    request: Request, here: Here, person: Clerk, language: Language, statement_id: UUID, first: int = 0
) -> Response:
    """One statement: its balances, its lines with what each is matched with, and who wants it withdrawn."""
    first = min(max(first, 0), 10_000_000)
    async with here.database.transaction(person.operator_id, isolation="repeatable read") as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        said = await bank_statement.find(tx, statement_id)
        lines = await bank_statement.lines(tx, statement_id, first=first, most=LINES_MAX)
        withdrawal = await statement_withdrawal.of(tx, statement_id)
        waiting = [row for row in await book_request.waiting(tx) if row["statement_id"] == statement_id]
        refused = None if waiting else await statement_withdrawal.hindrance(tx, statement_id)
    return page(
        request,
        "bank_statement",
        person,
        language,
        now,
        operator_name=name,
        said=said,
        lines=lines,
        first=first,
        following=first + LINES_MAX if len(lines) == LINES_MAX else None,
        withdrawal=withdrawal,
        waiting=waiting,
        refused=texts.refusal_text(language, refused) if refused else None,
        why=lambda row: why(row, language),
    )


@routes.post("/finance/statements/{statement_id}/withdraw", include_in_schema=False)
@permit("finance:handle")
async def ask_to_withdraw(
    here: Here, person: Clerk, statement_id: UUID, reason: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """Asks that the statement be withdrawn; nothing changes yet."""
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
        await statement_withdrawal.ask(tx, statement_id, staff_id=person.staff_id, reason=reason, now=now)
    return RedirectResponse(f"/finance/statements/{statement_id}#waiting", 303)


@routes.post("/finance/statements/{statement_id}/withdrawals/{id}/agree", include_in_schema=False)
@permit("finance:approve")
async def agree_to_withdraw(here: Here, person: Clerk, statement_id: UUID, id: UUID) -> Response:
    """A second person agrees: the statement counts no more, and what is open is matched anew."""
    async with here.database.transaction(person.operator_id) as tx:
        now = await clock.now(tx)
    await statement_withdrawal.agree(
        here.database, here.sealer, person.operator_id, id, staff_id=person.staff_id, now=now
    )
    return RedirectResponse(f"/finance/statements/{statement_id}", 303)


@routes.get("/finance/lines/{statement_id}/{position}", include_in_schema=False)
@permit("finance:read")
async def line_page(
    request: Request, here: Here, person: Clerk, language: Language, statement_id: UUID, position: int
) -> Response:
    """A line of the bank: what it says, and down to the payments that it is the money of."""
    if not 0 <= position < 2**31:
        raise bank_statement.NoSuchStatement()
    async with here.database.transaction(person.operator_id) as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        line = await open_items.line(tx, here.sealer, statement_id, position)
        if line is None:
            raise bank_statement.NoSuchStatement()
        matched = await open_items.matched_with(tx, Matched(statement_id, position))
        withdrawal = await statement_withdrawal.of(tx, statement_id)
        # Who paid is a person: whoever opens a single line has read it.
        await audit.note(tx, person.staff_id, "statement.read", f"statement {statement_id} {position}", now=now)
    return page(
        request,
        "line",
        person,
        language,
        now,
        operator_name=name,
        line=line,
        matched=matched,
        withdrawal=withdrawal,
    )


@routes.get("/api/v1/finance/statements")
@permit("finance:read")
async def statements_json(here: Here, person: Clerk, answer: Response) -> list[dict[str, Any]]:
    """The bank statements taken in last, newest first: balances in VND, `state` accepted, known or quarantined with `why`;
    one with `withdrawn_at` counts no more."""
    answer.headers["cache-control"] = "no-store"
    async with here.database.transaction(person.operator_id) as tx:
        return [dict(row) for row in await bank_statement.listed(tx, most=LISTED_MAX)]


def why(row: Any, language: str) -> str:
    """Why a statement is in quarantine, in the reader's language."""
    return texts.refusal_text(language, refusal_of(row["why"], bank_statement.facts_of(row))) if row["why"] else ""
