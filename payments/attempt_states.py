"""What may become of an attempt to pay on a gateway's page: every state met with every event, as data.

An attempt is `open` until the gateway says what became of it, or until nothing came in its time (`abandoned`). A later
truth wins over an earlier one, and money over everything: `paid` is never left. So in whatever order and however often
the same things are told, the end is the same. Pure: no database in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from payments.gateway import AttemptEvent

State = Literal["open", "paid", "declined", "abandoned", "reversed"]
STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[AttemptEvent, ...] = get_args(AttemptEvent)
ENDS: frozenset[State] = frozenset({"paid", "declined", "abandoned", "reversed"})


@dataclass(frozen=True, slots=True)
class Step:
    """What an event does: the next state, and the gateway's code for it is kept."""

    state: State


@dataclass(frozen=True, slots=True)
class NoStep:
    """The event changes nothing. `contradicts`: it cannot be true beside what is known, so a person is told."""

    contradicts: bool = False


_KNOWN = NoStep()
_CONTRADICTS = NoStep(contradicts=True)

STEPS: Mapping[tuple[State, AttemptEvent], Step | NoStep] = {
    ("open", "paid"): Step("paid"),
    ("open", "declined"): Step("declined"),
    ("open", "reversed"): Step("reversed"),
    ("open", "suspected"): Step("open"),
    ("open", "window_over"): Step("abandoned"),
    ("abandoned", "paid"): Step("paid"),
    ("abandoned", "declined"): Step("declined"),
    ("abandoned", "reversed"): Step("reversed"),
    ("abandoned", "suspected"): Step("abandoned"),
    ("abandoned", "window_over"): _KNOWN,
    ("declined", "paid"): Step("paid"),
    ("declined", "declined"): _KNOWN,
    ("declined", "reversed"): Step("reversed"),
    ("declined", "suspected"): _KNOWN,
    ("declined", "window_over"): _KNOWN,
    ("reversed", "paid"): Step("paid"),
    ("reversed", "declined"): _KNOWN,
    ("reversed", "reversed"): _KNOWN,
    ("reversed", "suspected"): _KNOWN,
    ("reversed", "window_over"): _KNOWN,
    ("paid", "paid"): _KNOWN,
    ("paid", "declined"): _KNOWN,
    ("paid", "reversed"): _CONTRADICTS,
    ("paid", "suspected"): _KNOWN,
    ("paid", "window_over"): _KNOWN,
}
"""Every state met with every event."""
