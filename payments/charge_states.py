"""What may become of a charge: every state met with every event, as data (money.md 4.5, R15, R18).

A charge is `open` (nothing came yet), `partial` (some came; the rest is asked for until its window is over) or one of
three ends that it never leaves: `paid`, `refused` (it cannot be supplied any more, or was supplied another way) and
`lapsed` (its rest never came). Money that meets an end is never refused at the door: it was recorded before anybody asked
what it is for, and is held for its payer. Tolerance is zero. Pure: no database in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

POLICY = 1
"""The version of the table below; every outcome names the one it was decided by."""

State = Literal["open", "partial", "paid", "refused", "lapsed"]
Event = Literal["less", "exact", "more", "undeliverable", "supplied_otherwise", "window_over"]
"""`less`, `exact`, `more`: a receipt of less than, exactly, more than what remains. `undeliverable`: the money is there
and the service's act refuses. `supplied_otherwise`: somebody else paid, or paid with notes. `window_over`: the time for
the rest of a part payment is over."""

Outcome = Literal["applied", "partly", "overpaid", "duplicate", "refused", "lapsed"]
"""What a receipt is told to have been."""

Apply = Literal["all", "remaining", "nothing"]
"""How much of a receipt goes to the charge; the rest of it is held for its payer."""

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
ENDS: frozenset[State] = frozenset({"paid", "refused", "lapsed"})


@dataclass(frozen=True, slots=True)
class Step:
    """What an event does: the next state, and for a receipt its outcome and how much of it is applied."""

    state: State
    outcome: Outcome | None = None
    apply: Apply = "nothing"
    gives_back: bool = False
    """What was applied to the charge before goes back to its payer."""


@dataclass(frozen=True, slots=True)
class NoStep:
    """The event means nothing in that state, and why; nothing changes."""

    why: str


_PART = Step("partial", "partly", "all")
_WHOLE = Step("paid", "applied", "all")
_TOO_MUCH = Step("paid", "overpaid", "remaining")
_UNDELIVERABLE = Step("refused", "refused", gives_back=True)
_NOT_NEEDED = Step("refused", gives_back=True)
_OVER = NoStep("this charge has ended; it stays as it is")

STEPS: Mapping[tuple[State, Event], Step | NoStep] = {
    ("open", "less"): _PART,
    ("open", "exact"): _WHOLE,
    ("open", "more"): _TOO_MUCH,
    ("open", "undeliverable"): _UNDELIVERABLE,
    ("open", "supplied_otherwise"): _NOT_NEEDED,
    ("open", "window_over"): NoStep("nothing came, so nothing has to go back; it may still be paid"),
    ("partial", "less"): _PART,
    ("partial", "exact"): _WHOLE,
    ("partial", "more"): _TOO_MUCH,
    ("partial", "undeliverable"): _UNDELIVERABLE,
    ("partial", "supplied_otherwise"): _NOT_NEEDED,
    ("partial", "window_over"): Step("lapsed", gives_back=True),
    ("paid", "less"): Step("paid", "duplicate"),
    ("paid", "exact"): Step("paid", "duplicate"),
    ("paid", "more"): Step("paid", "duplicate"),
    ("paid", "undeliverable"): _OVER,
    ("paid", "supplied_otherwise"): _OVER,
    ("paid", "window_over"): _OVER,
    ("refused", "less"): Step("refused", "refused"),
    ("refused", "exact"): Step("refused", "refused"),
    ("refused", "more"): Step("refused", "refused"),
    ("refused", "undeliverable"): _OVER,
    ("refused", "supplied_otherwise"): _OVER,
    ("refused", "window_over"): _OVER,
    ("lapsed", "less"): Step("lapsed", "lapsed"),
    ("lapsed", "exact"): Step("lapsed", "lapsed"),
    ("lapsed", "more"): Step("lapsed", "lapsed"),
    ("lapsed", "undeliverable"): _OVER,
    ("lapsed", "supplied_otherwise"): _OVER,
    ("lapsed", "window_over"): _OVER,
}
"""Every state met with every event."""


def receipt_event(remaining_vnd: int, received_vnd: int) -> Event:
    """Which event a receipt is for a charge of which so much remains."""
    if received_vnd < remaining_vnd:
        return "less"
    return "exact" if received_vnd == remaining_vnd else "more"


def applied_vnd(step: Step, remaining_vnd: int, received_vnd: int) -> int:
    """How much of a receipt goes to the charge."""
    return {"all": received_vnd, "remaining": remaining_vnd, "nothing": 0}[step.apply]
