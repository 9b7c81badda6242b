"""Server-rendered pages: Jinja templates of all services under one roof, in the reader's language.

A template is named `<service>/<page>.html`; its folder is given in FOLDERS.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from foundation import clock, qr, texts
from foundation.money import format_vnd

HOUSE = Path(__file__).resolve().parent.parent
FOLDERS = {
    "foundation": HOUSE / "foundation" / "pages",
    "ticketing": HOUSE / "ticketing" / "visitor",
    "parking": HOUSE / "parking" / "visitor",
    "payments": HOUSE / "payments" / "pages",
    "finance": HOUSE / "payments" / "finance",
    "city": HOUSE / "payments" / "city",
}


def _hour(at: datetime) -> str:
    return f"{clock.hanoi(at):%H:%M}"


def _qr(text: str) -> Markup:
    return Markup(qr.svg(text))  # noqa: S704 - our own drawing, the text is not in it


@cache
def environment(language: str) -> Environment:
    """The templates in one language, compiled once per process; a missing variable is an error, not an empty string.

    The language is no variable of a page: so what pages are made of (`parts.html`) is put together once, not every time.
    """
    found = Environment(
        loader=PrefixLoader({name: FileSystemLoader(folder) for name, folder in FOLDERS.items()}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals |= {
        "language": language,
        "languages": texts.languages(),
        "t": partial(texts.text, language),
        "refusal_text": texts.refusal_text,
        "qr": _qr,
        "fresh_key": secrets.token_urlsafe,
    }
    found.filters |= {
        "vnd": partial(format_vnd, language=language),
        "day": partial(clock.day_text, language=language),
        "moment": partial(clock.moment_text, language=language),
        "hour": _hour,
    }
    return found


def language_of(request: Request) -> str:
    """The reader's language: `?lang=`, then the cookie, then what the browser asks for."""
    return texts.choose_language(
        request.query_params.get("lang"), request.cookies.get("lang"), request.headers.get("accept-language")
    )


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page. Whatever `?lang=` chose is remembered. Pages are private: they show a code or a person's money."""
    language = language_of(request)
    html = environment(language).get_template(template).render(request=request, path=request.scope["path"], **context)
    answer = HTMLResponse(html, status, headers={"cache-control": "no-store"})
    if request.query_params.get("lang") in texts.languages():
        secure = request.app.state.settings.secure
        answer.set_cookie("lang", language, max_age=31_536_000, samesite="lax", secure=secure)
    return answer
