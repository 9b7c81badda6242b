"""The languages: `locales/<language>/<area>.toml`, one flat key per sentence, `{fact}` placeholders.

A further language is a further folder; a test holds all of them to the same keys and placeholders.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path

from foundation.clock import day_text, moment_text
from foundation.errors import Refusal
from foundation.money import grouped

LOCALES = Path(__file__).resolve().parent.parent / "locales"
DEFAULT = "vi"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """All sentences of a language: `area.key` → text."""
    texts: dict[str, str] = {}
    for file in sorted((LOCALES / language).glob("*.toml")):
        _flatten(file.stem, tomllib.loads(file.read_text("utf-8")), texts)
    return texts


@cache
def languages() -> tuple[str, ...]:
    """The languages there are, the default first."""
    names = sorted(folder.name for folder in LOCALES.iterdir() if folder.is_dir())
    return (DEFAULT, *(name for name in names if name != DEFAULT))


def text(language: str, key: str, **facts: object) -> str:
    """The sentence under `key`, e.g. `text("en", "ticketing.choose")`. An unknown key is a defect and raises."""
    sentence = catalogue(language)[key]
    return sentence.format(**facts) if facts else sentence


def refusal_text(language: str, refusal: Refusal) -> str:
    """A refusal in the reader's language; its own English sentence where a language lacks it.

    Days, moments and amounts are written as that language writes them; a fact that names a text of `[said]` is said in it.
    """
    sentence = catalogue(language).get(f"refusals.{refusal.code}") or refusal.sentence()
    facts = {name: _said(language, name, fact) for name, fact in refusal.facts.items()}
    return sentence.format(**facts) if facts else sentence


def _said(language: str, name: str, fact: object) -> object:
    if isinstance(fact, datetime):
        return moment_text(fact, language)
    if isinstance(fact, date):
        return day_text(fact, language)
    if isinstance(fact, int) and name.endswith("_vnd"):
        return grouped(fact, language)
    return catalogue(language).get(f"common.said.{fact}", fact)


def fold(text: str) -> str:
    """Letters without their marks, in small, one space between words: banks write NGUYEN for Nguyễn."""
    if not text.isascii():  # as banks mostly write
        marked = unicodedata.normalize("NFD", text).replace("Đ", "D").replace("đ", "d")
        text = "".join(character for character in marked if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def choose_language(wanted: str | None, cookie: str | None, accept: str | None) -> str:
    """`?lang=`, then the cookie, then Accept-Language in its order of quality, then Vietnamese."""
    for choice in (wanted, cookie):
        if choice in languages():
            return choice
    ranked = []
    for part in (accept or "")[:500].split(","):
        name, _, quality = part.strip().partition(";q=")
        if not name:
            continue
        try:
            ranked.append((float(quality or 1), name[:2].lower()))
        except ValueError:
            continue
    for _, name in sorted(ranked, key=lambda pair: -pair[0]):
        if name in languages():
            return name
    # A visitor whose language we lack reads English more likely than Vietnamese.
    return "en" if ranked else DEFAULT


def _flatten(prefix: str, node: Mapping[str, object], into: dict[str, str]) -> None:
    for key, value in node.items():
        if isinstance(value, Mapping):
            _flatten(f"{prefix}.{key}", value, into)
        else:
            into[f"{prefix}.{key}"] = str(value)
