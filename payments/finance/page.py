"""What every page of finance is given: who reads it, whose money it shows, what he may do, how codes and ages are said."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request, Response

from foundation import pages
from foundation.staff import OnDuty
from payments.finance.words import age, word


def page(
    request: Request, name: str, person: OnDuty, language: str, now: datetime, *, operator_name: str, **facts: Any
) -> Response:
    """The page `finance/<name>.html`; `facts` are its own."""
    return pages.render(
        request,
        f"finance/{name}.html",
        person=person,
        operator_name=operator_name,
        may_handle="finance:handle" in person.permissions,
        may_approve="finance:approve" in person.permissions,
        word=lambda area, code: word(language, area, code),
        age=lambda since: age(language, now, since),
        **facts,
    )
