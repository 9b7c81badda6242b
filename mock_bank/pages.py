"""Showing a page: templates, the reader's language, and links that stay on the bank's own ground."""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mock_bank import language

HERE = Path(__file__).parent
BANKS: dict[str, str] = tomllib.loads((HERE / "banks.toml").read_text(encoding="utf-8"))
A_YEAR_SECONDS = 365 * 24 * 3600

templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def show(request: Request, template: str, *, status: int = 200, here: str | None = None, **facts: Any) -> HTMLResponse:
    """The page in the reader's language. `here` is its own address where the request's will not do (after a POST)."""
    tongue = language.chosen(request)
    text = templates.get_template(template).render(
        lang=tongue,
        say=partial(language.say, tongue),
        money=partial(language.money, tongue),
        moment=partial(language.moment, tongue),
        why=partial(language.refusal, tongue),
        bank=lambda number: BANKS.get(number, number),
        other_languages=_in_other_languages(request, here),
        **facts,
    )
    answer = HTMLResponse(text, status, {"cache-control": "no-store"})
    if request.query_params.get("lang") in language.LANGUAGES:
        answer.set_cookie("lang", tongue, max_age=A_YEAR_SECONDS, httponly=True, samesite="lax")
    return answer


def go_to(path: str, **query: str) -> RedirectResponse:
    """On to another page of ours by GET, so that reloading it sends nothing twice; empty values are left out."""
    kept = {name: value for name, value in query.items() if value}
    return RedirectResponse(f"{path}?{urlencode(kept)}" if kept else path, 303, {"cache-control": "no-store"})


def link_back(request: Request, wanted: str) -> str:
    """The address to link back to, or nothing unless it is http(s) at a host on the list: never an open redirect."""
    try:
        parts = urlsplit(wanted)
        host = (parts.hostname or "").lower()
    except ValueError:
        return ""
    plain = wanted.isascii() and wanted.isprintable() and not {" ", "\\", "@"} & set(wanted)
    allowed: frozenset[str] = request.app.state.settings.hosts_to_return_to
    return wanted if plain and parts.scheme in ("http", "https") and host in allowed else ""


def _in_other_languages(request: Request, here: str | None) -> dict[str, str]:
    url = urlsplit(here) if here is not None else urlsplit(f"{request.url.path}?{request.url.query}")
    if here is None and request.method != "GET":
        url = urlsplit("/app")
    kept = [part for part in url.query.split("&") if part and not part.startswith("lang=")]
    return {
        tongue: f"{url.path}?{'&'.join([*kept, f'lang={tongue}'])}"
        for tongue in language.LANGUAGES
        if tongue != language.chosen(request)
    }
