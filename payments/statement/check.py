"""`motcham statement check FILE`: what a file of statements holds, said without importing anything of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from foundation import texts
from foundation.errors import Refusal
from foundation.money import format_vnd
from payments.statement import Verdict, reader, shown
from payments.statement.profile import names, profile_of

LANGUAGE = "en"


def report(arguments: Sequence[str]) -> int:
    """0 if every statement of the file holds, 1 if one does not or the file cannot be read."""
    parser = argparse.ArgumentParser(prog="motcham statement", description=__doc__)
    acts = parser.add_subparsers(required=True, metavar="act")
    check = acts.add_parser("check", help="say what a file holds, without importing it")
    check.add_argument("file", type=Path, help="camt.053, camt.054, MT940, CSV or XLSX; may be zipped")
    check.add_argument("--profile", help=f"the layout of a table: {names()}")
    given = parser.parse_args(arguments)
    all_hold = True
    try:
        profile = profile_of(given.profile) if given.profile else None
        with given.file.open("rb") as file:
            for event in reader.read_blocks(file, given.file.name, profile):
                if isinstance(event, Verdict):
                    all_hold = all_hold and event.refusal is None
                    for line in lines_of(event):
                        print(line)
    except Refusal as refusal:
        print(_say("refused", why=texts.refusal_text(LANGUAGE, refusal)))
        return 1
    except OSError as error:
        print(_say("unopened", file=shown(str(given.file)), reason=error.strerror or type(error).__name__))
        return 1
    print(_say("all_hold" if all_hold else "not_all_hold"))
    return 0 if all_hold else 1


def lines_of(verdict: Verdict) -> Iterator[str]:
    """A statement in words: whose, its balances and sums, whether they tie, what is to be known of it."""
    statement = verdict.statement
    unknown = _say("unknown")
    yield _say(
        f"head.{statement.kind}",
        account=statement.account or unknown,
        number=statement.number or statement.id or unknown,
        page=statement.page,
        day=verdict.day or unknown,
    )
    if statement.kind == "statement":
        yield _say("opening", sum=_money(verdict.opening_vnd))
    yield _say("credits", count=f"{verdict.credits:,}", sum=_money(verdict.credits_vnd))
    yield _say("debits", count=f"{verdict.debits:,}", sum=_money(verdict.debits_vnd))
    if statement.kind == "statement":
        yield _say("closing", sum=_money(verdict.closing_vnd))
    if verdict.refusal:
        yield _say("fails", why=texts.refusal_text(LANGUAGE, verdict.refusal))
    else:
        yield _say("ties" if statement.kind == "statement" else "no_balances")
    if verdict.difference_vnd:
        yield _say("difference", sum=_money(verdict.difference_vnd))
    for remark in verdict.remarks:
        yield _say(f"remark.{remark.code}", count=f"{remark.count:,}", line=remark.line, where=remark.where)


def _money(amount_vnd: int | None) -> str:
    return _say("unknown") if amount_vnd is None else format_vnd(amount_vnd, LANGUAGE)


def _say(key: str, **facts: object) -> str:
    return texts.text(LANGUAGE, f"statement.{key}", **facts)
