"""What may become of a refund: every state met with every event, as data (money.md 4.5, R20, R21).

`requested` waits for a second person, `approved` for its turn. `asking` is written down and committed before the gateway
hears of it; when the gateway is silent it is `unknown`: nobody tries anew, only its fate is looked up. `accepted`: the
gateway has debited the account. `settled`, `returned`, `refused` (by the gateway) and `rejected` (by a person) are ends,
and only a settled one may still come back. Pure: no database in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

State = Literal["requested", "approved", "asking", "unknown", "accepted", "settled", "returned", "refused", "rejected"]
Event = Literal["approve", "reject", "ask", "silent", "unheard", "taken", "arrived", "came_back", "declined"]
"""`approve`, `reject`: a second person. `ask`: we are about to ask the gateway. `silent`: it did not answer. `unheard`: it
says that it was never asked. `taken`: it has taken the refund on. `arrived`: at the payer. `came_back`: the payer's bank
sent it back. `declined`: the gateway refuses, for ever under that id."""

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
LEFT: frozenset[State] = frozenset({"accepted", "settled", "returned"})
"""The money has left the account (and of `returned` has come back)."""
HELD_AGAIN: frozenset[State] = frozenset({"returned", "refused", "rejected"})
"""The money is held for its payer as before the refund was requested."""
WAITING: frozenset[State] = frozenset({"requested", "approved", "asking", "unknown"})
"""Set aside, and not known to have left."""
WORKED_ON: frozenset[State] = frozenset({"approved", "asking", "unknown", "accepted"})
"""The worker looks at it again and again until it has ended."""
ENDED: frozenset[State] = HELD_AGAIN | {"settled"}


@dataclass(frozen=True, slots=True)
class Step:
    """The next state."""

    state: State


@dataclass(frozen=True, slots=True)
class NoStep:
    """The event means nothing in that state, and why; nothing changes."""

    why: str


_NEVER_ASKED = NoStep("the gateway was never asked for it")
_DECIDED = NoStep("it was decided before")
_LEAVING = NoStep("it may have left already; only its fate may be looked up")
_ON_ITS_WAY = NoStep("it is on its way; what becomes of it is asked again later")
_OVER = NoStep("this refund has ended; it stays as it is")

STEPS: Mapping[tuple[State, Event], Step | NoStep] = {
    ("requested", "approve"): Step("approved"),
    ("requested", "reject"): Step("rejected"),
    ("requested", "ask"): NoStep("a second person has to say yes first"),
    ("requested", "silent"): _NEVER_ASKED,
    ("requested", "unheard"): _NEVER_ASKED,
    ("requested", "taken"): _NEVER_ASKED,
    ("requested", "arrived"): _NEVER_ASKED,
    ("requested", "came_back"): _NEVER_ASKED,
    ("requested", "declined"): _NEVER_ASKED,
    ("approved", "approve"): _DECIDED,
    ("approved", "reject"): Step("rejected"),
    ("approved", "ask"): Step("asking"),
    ("approved", "silent"): _NEVER_ASKED,
    ("approved", "unheard"): _NEVER_ASKED,
    ("approved", "taken"): _NEVER_ASKED,
    ("approved", "arrived"): _NEVER_ASKED,
    ("approved", "came_back"): _NEVER_ASKED,
    ("approved", "declined"): _NEVER_ASKED,
    ("asking", "approve"): _DECIDED,
    ("asking", "reject"): _LEAVING,
    ("asking", "ask"): _LEAVING,
    ("asking", "silent"): Step("unknown"),
    ("asking", "unheard"): Step("asking"),
    ("asking", "taken"): Step("accepted"),
    ("asking", "arrived"): Step("settled"),
    ("asking", "came_back"): Step("returned"),
    ("asking", "declined"): Step("refused"),
    ("unknown", "approve"): _DECIDED,
    ("unknown", "reject"): _LEAVING,
    ("unknown", "ask"): _LEAVING,
    ("unknown", "silent"): NoStep("still silent; its fate is looked up again later"),
    ("unknown", "unheard"): Step("asking"),
    ("unknown", "taken"): Step("accepted"),
    ("unknown", "arrived"): Step("settled"),
    ("unknown", "came_back"): Step("returned"),
    ("unknown", "declined"): Step("refused"),
    ("accepted", "approve"): _DECIDED,
    ("accepted", "reject"): _LEAVING,
    ("accepted", "ask"): _ON_ITS_WAY,
    ("accepted", "silent"): _ON_ITS_WAY,
    ("accepted", "unheard"): NoStep("the gateway has forgotten what it took on; a person asks it"),
    ("accepted", "taken"): _ON_ITS_WAY,
    ("accepted", "arrived"): Step("settled"),
    ("accepted", "came_back"): Step("returned"),
    ("accepted", "declined"): Step("refused"),
    ("settled", "approve"): _OVER,
    ("settled", "reject"): _OVER,
    ("settled", "ask"): _OVER,
    ("settled", "silent"): _OVER,
    ("settled", "unheard"): _OVER,
    ("settled", "taken"): _OVER,
    ("settled", "arrived"): _OVER,
    ("settled", "came_back"): Step("returned"),
    ("settled", "declined"): _OVER,
    **{(state, event): _OVER for state in ("returned", "refused", "rejected") for event in EVENTS},
}
"""Every state met with every event."""
