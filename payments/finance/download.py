"""Files to take away: private, kept by nobody on the way, with a name that every system takes."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from typing import Literal

from fastapi import Response

from payments.finance.document import Document
from payments.finance.pdf import as_pdf
from payments.finance.spreadsheet import as_csv, as_xlsx

Form = Literal["csv", "xlsx", "pdf"]
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}


async def download(document: Document, form: Form, name: str, language: str) -> Response:
    """The document as a file `name.form`. It is written on a thread: a long one takes seconds, and others wait too."""
    return _file(await asyncio.to_thread(_content, document, form, language), form, f"{name}.{form}")


def csv_answer(text: str, name: str) -> Response:
    """A CSV text as a file."""
    return _file(text, "csv", name)


def _content(document: Document, form: Form, language: str) -> str | bytes:
    if form == "csv":
        return as_csv(document)
    return as_xlsx(document) if form == "xlsx" else as_pdf(document, language)


def _file(content: str | bytes, form: Form, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{_safe(name)}"', "cache-control": "private, no-store"}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


def _safe(name: str) -> str:
    """`Sao kê Đ/1.pdf` → `Sao-ke-D-1.pdf`."""
    letters = unicodedata.normalize("NFKD", name.translate({ord("đ"): "d", ord("Đ"): "D"}))
    bare = "".join(sign for sign in letters if not unicodedata.combining(sign))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", bare).strip("-.")
