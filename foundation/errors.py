"""Refusals: a rule of the trade that was violated, said in plain words and with a stable code.

A `Refusal` is answered as RFC 9457 `application/problem+json` (or as a page) in the reader's language. Its docstring's
first line is the English sentence; other languages stand in `locales/<language>/*.toml` under `refusals.<code>`.
422 is only for a payload that cannot be read; everything else says what rule was hit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import ClassVar

_by_constraint: dict[str, type[Refusal]] = {}
_by_code: dict[str, type[Refusal]] = {}


def refusal_of_constraint(name: str | None) -> Refusal | None:
    """The refusal that a violated constraint means, or None if it is a defect of ours."""
    found = _by_constraint.get(name or "")
    return found() if found else None


def refusal_of(code: str, facts: Mapping[str, object]) -> Refusal:
    """The refusal that was stored by its code, with its facts as JSON kept them (`Refusal.told`)."""
    return _by_code[code](**{name: _meant(name, fact) for name, fact in facts.items()})


def _in_json(fact: object) -> object:
    if isinstance(fact, date):
        return fact.isoformat()
    return fact if fact is None or isinstance(fact, (str, int)) else str(fact)


def _meant(name: str, told: object) -> object:
    try:
        if name.endswith("_vnd"):
            return int(str(told))
        if name == "day":
            return date.fromisoformat(str(told))
        if name in ("at", "until"):
            return datetime.fromisoformat(str(told))
    except ValueError:  # such as "–", where there is none
        pass
    return told


class Refusal(Exception):
    """This cannot be done."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "refused"
    retry_after_s: ClassVar[int | None] = None
    """Set where the same request may simply be sent again, after so many seconds."""
    constraint: ClassVar[str | None] = None
    """The database constraint whose violation means this refusal: the `if` before it only makes the message kind."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        _by_code[cls.code] = cls
        if "constraint" in cls.__dict__ and cls.constraint:
            _by_constraint[cls.constraint] = cls

    def __init__(self, **facts: object) -> None:
        """`facts` fill the placeholders of the sentence and travel as extension members of the problem document."""
        super().__init__(self.sentence().format(**facts) if facts else self.sentence())
        self.facts = facts

    @property
    def told(self) -> dict[str, object]:
        """The facts as JSON can hold them."""
        return {name: _in_json(fact) for name, fact in self.facts.items()}

    @classmethod
    def sentence(cls) -> str:
        """The English sentence, with `{fact}` placeholders."""
        return (cls.__doc__ or "This cannot be done.").strip().splitlines()[0]


class NotFound(Refusal):
    """There is nothing here under that name."""

    status = 404


class Forbidden(Refusal):
    """You may not do this."""

    status = 403


class LoginNeeded(Refusal):
    """Please log in first."""

    status = 401


class TryAgain(Refusal):
    """Others wanted the same at the same moment, and nothing was changed; please try again."""

    status = 503
    retry_after_s = 1


class BadPayload(Refusal):
    """What was sent cannot be read: {reason}."""

    status = 422
