"""Refusals: what the bank will not do, said in plain words and with a stable code."""

from __future__ import annotations

import re
from typing import ClassVar


class Refusal(Exception):
    """The bank cannot do this."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "refused"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, **facts: object) -> None:
        """`facts` fill the sentence's placeholders; they are never secrets, for they are shown."""
        self.facts = facts
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The English sentence: the first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().splitlines()[0].format(**self.facts)


class NotAuthorised(Refusal):
    """This interface needs the bank's API key."""

    status = 401


class BadPayload(Refusal):
    """What was sent cannot be read: {reason}."""

    status = 422


class TooLarge(Refusal):
    """What was sent is larger than the bank accepts."""

    status = 413


class NotHere(Refusal):
    """There is nothing at this address."""

    status = 404


class WrongMethod(Refusal):
    """This address does not take that kind of request."""

    status = 405


class OutOfOrder(Refusal):
    """The bank cannot answer just now. Try again in a moment: the same payment is never made twice."""

    status = 503
