"""A form that was refused comes back as it was filled in: the page that it stands on, with the refusal on top.

No page knows of it. Its address is the Referer, which only pages of offices tell, and only to ourselves; the page is asked
for again as its reader would, and what was sent is put into the form that it was sent with. Hidden fields, passwords and
files are the page's and the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from foundation.errors import Refusal

OFFICES = ("/finance/", "/manage/")
"""Whose pages tell their address to ourselves (Referrer-Policy: same-origin)."""
OWN = ("hidden", "password", "file", "submit", "button", "image", "reset")
BACK = "back"
"""The field in which a page that came back says its address: its Referer is where the form was sent."""
FRESH = ("csrf", "key")
"""Hidden fields that are others in every copy of a form; by the rest one form of a page is told from another."""
Attrs = list[tuple[str, str | None]]
Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""


async def page_again(request: Request, refusal: Refusal) -> Response | None:
    """The page with its form, under the status of the refusal. None if it was no form of such a page, or if the page is not
    to be had any more."""
    form = request._form
    if form is None:
        return None
    back = urlsplit(str(form.get(BACK) or request.headers.get("referer", "")))
    if back.netloc not in ("", request.headers.get("host")) or not back.path.startswith(OFFICES):
        return None
    told: list[MutableMapping[str, Any]] = []

    async def asks() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def hears(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    raw = back.path.encode()
    asked = {"method": "GET", "path": unquote(back.path), "raw_path": raw, "query_string": back.query.encode()}
    try:
        await request.app.router({**request.scope, **asked, "refusal": refusal}, asks, hears)
    except HTTPException:
        return None
    head, *rest = told
    if head["status"] != 200 or not dict(head["headers"]).get(b"content-type", b"").startswith(b"text/html"):
        return None
    typed: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            typed.setdefault(name, []).append(value)
    page = b"".join(message.get("body", b"") for message in rest).decode()
    address, sent_to = f"{back.path}?{back.query}" if back.query else back.path, request.scope["path"]
    if query := request.scope["query_string"].decode():
        sent_to += f"?{query}"
    return HTMLResponse(filled(page, address, sent_to, typed), refusal.status, headers={"cache-control": "no-store"})


def filled(page: str, address: str, sent_to: str, typed: Mapping[str, Sequence[str]]) -> str:
    """The page at an address, with its form that was sent to `sent_to` filled in, and open where it was folded.

    What the page says relative to its address is said in full: the reader's browser stands at `sent_to`.
    """
    found = _Page(page, address, sent_to, typed)
    found.feed(page)
    found.close()
    parts, at = [], 0
    for start, end, text in sorted(set(found.edits)):
        parts += [page[at:start], text]
        at = end
    return "".join([*parts, page[at:]])


class _Page(HTMLParser):
    def __init__(self, page: str, address: str, sent_to: str, typed: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.address, self.path, self.sent_to, self.typed = address, address.partition("?")[0], sent_to, typed
        self.lines = [0]
        for line in page.split("\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)
        self.edits: list[Edit] = []
        self.folds: list[tuple[int, int, Attrs]] = []
        self.form: list[Edit] | None = None
        self.is_sent = self.is_other = False
        self.left: dict[str, list[str]] = {}
        self.select = ""
        self.textarea: int | None = None

    def handle_starttag(self, tag: str, attrs: Attrs) -> None:
        start = self.here()
        end = start + len(self.get_starttag_text() or "")
        said = dict(attrs)
        whole = [(name, self.path + value if value and value[0] == "?" else value) for name, value in attrs]
        if tag == "form" and "action" not in said:
            whole.append(("action", self.address))
        if tag == "form":
            back: Attrs = [("type", "hidden"), ("name", BACK), ("value", self.address)]
            self.edits.append((start, end, _tag(tag, whole) + _tag("input", back)))
        elif whole != attrs:
            self.edits.append((start, end, _tag(tag, whole)))
        match tag:
            case "details":
                self.folds.append((start, end, attrs))
            case "form":
                self.form, self.left = [], {name: list(values) for name, values in self.typed.items()}
                self.is_sent, self.is_other = dict(whole)["action"] == self.sent_to, False
            case "button" if dict(whole).get("formaction") == self.sent_to:
                self.is_sent = True
            case "input" | "select" | "textarea" | "option" if self.form is not None:
                self.field(tag, attrs, start, end)

    def field(self, tag: str, attrs: Attrs, start: int, end: int) -> None:
        assert self.form is not None
        said = dict(attrs)
        name, kind, value = said.get("name") or "", said.get("type") or "text", said.get("value") or ""
        sent = self.typed.get(name, ())
        if tag == "input" and kind == "hidden":
            self.is_other |= name not in FRESH and value not in sent
        elif tag == "select":
            self.select = name
        elif tag == "option" and (chosen := self.typed.get(self.select)):
            self.form.append((start, end, _tag(tag, _with(attrs, "selected", value in chosen))))
        elif tag == "input" and kind in ("checkbox", "radio"):
            self.form.append((start, end, _tag(tag, _with(attrs, "checked", (said.get("value") or "on") in sent))))
        elif tag == "textarea" and self.left.get(name):
            self.textarea = end
            self.form.append((end, end, escape(self.left[name].pop(0))))
        elif tag == "input" and kind not in OWN and self.left.get(name):
            kept = [each for each in attrs if each[0] != "value"]
            self.form.append((start, end, _tag(tag, [*kept, ("value", self.left[name].pop(0))])))

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "details":
                self.folds.pop()
            case "select":
                self.select = ""
            case "textarea" if self.textarea is not None and self.form is not None:
                start, _, text = self.form.pop()
                self.form.append((start, self.here(), text))
                self.textarea = None
            case "form" if self.form is not None:
                if self.is_sent and not self.is_other:
                    self.edits += self.form
                    self.edits += [
                        (start, end, _tag("details", _with(of, "open", True))) for start, end, of in self.folds
                    ]
                self.form = None

    def here(self) -> int:
        line, column = self.getpos()
        return self.lines[line - 1] + column


def _with(attrs: Attrs, name: str, there: bool) -> Attrs:
    return [each for each in attrs if each[0] != name] + ([(name, None)] if there else [])


def _tag(tag: str, attrs: Attrs) -> str:
    said = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in attrs)
    return f"<{tag}{said}>"
