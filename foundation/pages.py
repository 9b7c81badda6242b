"""Server-rendered pages: Jinja templates of all services under one roof, in the reader's language.

A template is named `<service>/<page>.html`; its folder is given in FOLDERS.
"""

from __future__ import annotations

import secrets
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
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


@pass_context
def _text(context: Context, key: str, **facts: object) -> str:
    return texts.text(context["language"], key, **facts)


@pass_context
def _vnd(context: Context, amount_vnd: int) -> str:
    return format_vnd(amount_vnd, context["language"])


@pass_context
def _day(context: Context, when: date) -> str:
    return clock.day_text(when, context["language"])


@pass_context
def _moment(context: Context, at: datetime) -> str:
    return clock.moment_text(at, context["language"])


def _hour(at: datetime) -> str:
    return f"{clock.hanoi(at):%H:%M}"


def _qr(text: str) -> Markup:
    return Markup(qr.svg(text))  # noqa: S704 - our own drawing, the text is not in it


@cache
def environment() -> Environment:
    """The templates, compiled once per process; a missing variable is an error, not an empty string."""
    found = Environment(
        loader=PrefixLoader({name: FileSystemLoader(folder) for name, folder in FOLDERS.items()}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"t": _text, "languages": texts.languages(), "qr": _qr, "fresh_key": secrets.token_urlsafe}
    found.filters |= {"vnd": _vnd, "day": _day, "moment": _moment, "hour": _hour}
    return found


def language_of(request: Request) -> str:
    """The reader's language: `?lang=`, then the cookie, then what the browser asks for."""
    return texts.choose_language(
        request.query_params.get("lang"), request.cookies.get("lang"), request.headers.get("accept-language")
    )


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page. Whatever `?lang=` chose is remembered. Pages are private: they show a code or a person's money."""
    language = language_of(request)
    html = (
        environment()
        .get_template(template)
        .render(
            request=request, language=language, path=request.scope["path"], refusal_text=texts.refusal_text, **context
        )
    )
    answer = HTMLResponse(html, status, headers={"cache-control": "no-store"})
    if request.query_params.get("lang") in texts.languages():
        secure = request.app.state.settings.secure
        answer.set_cookie("lang", language, max_age=31_536_000, samesite="lax", secure=secure)
    return answer
