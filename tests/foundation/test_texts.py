"""Every language says everything: same keys, same placeholders, and every refusal has its sentence."""

from __future__ import annotations

import importlib
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from foundation.errors import Refusal, refusal_of
from foundation.migrate import load_tables
from foundation.texts import catalogue, choose_language, languages, refusal_text, text
from payments.bank_statement import StatementContradicts
from payments.shift import ShiftOver

PLACEHOLDER = re.compile(r"\{(\w+)\}")
HOUSE = Path(__file__).resolve().parents[2]


def all_refusals() -> set[type[Refusal]]:
    load_tables()
    for service in ("foundation", "payments", "parking", "ticketing"):
        for file in (HOUSE / service).rglob("*.py"):
            parts = file.relative_to(HOUSE).with_suffix("").parts
            if "migrations" not in parts and "(Refusal" in file.read_text("utf-8"):
                importlib.import_module(".".join(parts).removesuffix(".__init__"))
    found: set[type[Refusal]] = set()
    waiting = [Refusal]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += one.__subclasses__()
    ours = ("foundation", "payments", "parking", "ticketing", "run")
    return {refusal for refusal in found if refusal.__module__.partition(".")[0] in ours}


def test_every_language_has_every_sentence() -> None:
    assert languages()[:2] == ("vi", "en")
    wanted = {key for key in catalogue("en") if not key.startswith("refusals.")}
    for language in languages():
        assert {key for key in catalogue(language) if not key.startswith("refusals.")} == wanted, language


@pytest.mark.parametrize("language", languages())
def test_placeholders_are_the_same_in_every_language(language: str) -> None:
    for key, sentence in catalogue(language).items():
        if key in catalogue("en"):
            assert set(PLACEHOLDER.findall(sentence)) == set(PLACEHOLDER.findall(catalogue("en")[key])), key


def test_every_refusal_has_a_vietnamese_sentence_with_its_facts() -> None:
    missing = [r.code for r in all_refusals() if f"refusals.{r.code}" not in catalogue("vi") and r is not Refusal]
    assert not missing
    for refusal in all_refusals() - {Refusal}:
        told = set(PLACEHOLDER.findall(catalogue("vi")[f"refusals.{refusal.code}"]))
        assert told <= set(PLACEHOLDER.findall(refusal.sentence())), refusal.code


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            StatementContradicts(day=date(2026, 11, 3), before_vnd=5_030_000, closing_vnd=-70_000),
            {"vi": ["03/11/2026", "5.030.000", "-70.000"], "en": ["3 Nov 2026", "5,030,000", "-70,000"]},
        ),
        (
            ShiftOver(number=7, at=datetime(2026, 11, 2, 17, 30, tzinfo=UTC)),
            {"vi": ["03/11/2026 00:30"], "en": ["3 Nov 2026 00:30"]},
        ),
    ],
)
def test_a_refusal_writes_days_moments_and_amounts_as_its_reader_does(
    refusal: Refusal, words: dict[str, list[str]]
) -> None:
    stored = refusal_of(refusal.code, json.loads(json.dumps(refusal.told)))
    for language, said in words.items():
        for one in (refusal, stored):
            assert [word for word in said if word not in refusal_text(language, one)] == [], "also after being stored"


def test_codes_of_refusals_are_unique() -> None:
    codes = [refusal.code for refusal in all_refusals()]
    assert sorted(codes) == sorted(set(codes))


def test_templates_use_only_keys_that_exist() -> None:
    used = set()
    for template in HOUSE.rglob("*.html"):
        if "mock_bank" in template.parts or ".venv" in template.parts or "tablet" in template.parts:
            continue
        used |= set(re.findall(r"""\bt\(\s*["']([a-z_.]+[a-z_])["']\s*[,)]""", template.read_text("utf-8")))
    assert len(used) > 50
    assert used - set(catalogue("en")) == set()


@pytest.mark.parametrize(
    ("wanted", "cookie", "accept", "chosen"),
    [
        (None, None, None, "vi"),
        ("en", "vi", "vi", "en"),
        (None, "en", "vi", "en"),
        (None, None, "en-US,vi;q=0.5", "en"),
        (None, None, "vi-VN,en;q=0.5", "vi"),
        (None, None, "ko-KR", "en"),
        ("xx", None, "vi", "vi"),
        (None, None, "en;q=nonsense", "vi"),
    ],
)
def test_the_reader_decides_the_language(
    wanted: str | None, cookie: str | None, accept: str | None, chosen: str
) -> None:
    assert choose_language(wanted, cookie, accept) == chosen


def test_an_unknown_sentence_is_a_defect() -> None:
    with pytest.raises(KeyError):
        text("en", "nothing.here")
