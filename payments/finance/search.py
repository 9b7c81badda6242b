"""The search box of finance's pages: one field for references, amounts, plates, tickets, days and the bank's texts."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from foundation import audit, clock
from foundation.money import grouped
from foundation.operator import operator_name
from foundation.texts import fold
from foundation.web import Clerk, Here, Language, permit
from payments import search
from payments.finance.page import page
from payments.search import Hit, Texts

routes = APIRouter(tags=["finance"])
GROUPS = ("payment", "thing", "receipt", "line", "run", "payout", "bag", "debit", "refund", "day", "text")
AREAS = {"payment": "charge_state", "thing": "charge_state", "payout": "payouts.state", "refund": "refund_state"}
"""Where the words for a state stand, by kind of what was found."""


@routes.get("/finance/search", include_in_schema=False)
@permit("finance:read")
async def search_page(
    request: Request,
    here: Here,
    person: Clerk,
    language: Language,
    q: Annotated[str, Query(max_length=400)] = "",
    texts: bool = False,
) -> Response:
    """What was found, in groups, each with its page; and what was looked through. The bank's texts are opened when nothing
    else was found, or when the reader asks for it (`texts`), and only for who may read them one by one as well."""
    typed = search.read(q)
    hits: list[Hit] = []
    if typed.text:
        await here.limits.spend("60/minute", "finance search", person.staff_id.hex)
    async with here.database.transaction(person.operator_id) as tx:
        now, name = await clock.now(tx), await operator_name(tx, language)
        if typed.text:
            hits = await search.find(tx, here.sealer, typed)
        may_read = "finance:handle" in person.permissions
        opens = bool(typed.words) and may_read and (texts or not hits)
        if typed.text and not typed.exact:
            # A name, a plate, a text: the trail says that somebody looked for it, by a keyed tag, never in clear.
            subject = f"search {here.sealer.tag(person.operator_id, 'search ' + fold(q)).hex()[:16]}"
            after = {"found": len(hits), "texts": opens}
            await audit.note(tx, person.staff_id, "search.made", subject, after=after, now=now)
    said = Texts()
    if opens:
        said = await search.find_texts(here.database, here.sealer, person.operator_id, typed.words)
        async with here.database.transaction(person.operator_id) as tx:
            for act, subject in said.read:
                await audit.note(tx, person.staff_id, act, subject, now=now)
    groups: dict[str, list[Hit]] = defaultdict(list)
    for hit in dict.fromkeys([*hits, *said.hits]):
        groups[hit.kind].append(hit)
    return page(
        request,
        "search",
        person,
        language,
        now,
        operator_name=name,
        typed=typed,
        groups=[(kind, groups[kind]) for kind in GROUPS if groups[kind]],
        said=said if opens else None,
        may_read=may_read,
        areas=AREAS,
        most=search.FOUND_MAX,
        latest=grouped(search.LATEST, language),
        yesterday=clock.hanoi_day(now) - timedelta(days=1),
    )
