"""What may become of a payout: every state met with every event, as data (money.md R21, R35).

`draft` waits for a second person, `approved` for its turn. `asking` is committed before the bank hears of it; when the bank
is silent, or its report leaves the payout out, it is `unknown`: nobody sends it anew, only its fate is looked up.
`accepted`: the bank has taken it on. `settled`: it has left the account. `rejected` and `cancelled` never left; `returned`
came back, also after it was settled. Of the last three the payee is owed again. Pure: no database in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

State = Literal["draft", "approved", "asking", "unknown", "accepted", "settled", "rejected", "returned", "cancelled"]
Event = Literal["approve", "cancel", "ask", "silent", "unheard", "taken", "left", "declined", "came_back"]
"""`approve`: a second person. `cancel`: a person, or bank details that changed. `ask`: we are about to send the file.
`silent`: no answer, or none about this one. `unheard`: the bank says that it never got the file. `taken`: it will carry it
out. `left`: the money has left the account. `declined`: it never will. `came_back`: the payee's bank sent it back."""

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
RESERVED: frozenset[State] = frozenset({"approved", "asking", "unknown", "accepted"})
"""Set aside from what the payee is owed, and not known to have left."""
LIVE: frozenset[State] = RESERVED | {"draft", "settled"}
"""The days it pays are paid by nothing else."""
WORKED_ON: frozenset[State] = RESERVED
"""The worker looks at it again and again until it has ended."""
OWED_AGAIN: frozenset[State] = frozenset({"rejected", "returned", "cancelled"})


@dataclass(frozen=True, slots=True)
class Step:
    """The next state."""

    state: State


@dataclass(frozen=True, slots=True)
class NoStep:
    """The event means nothing in that state, and why; nothing changes."""

    why: str


_UNSENT = NoStep("the bank has not heard of it")
_DECIDED = NoStep("it was decided before")
_LEAVING = NoStep("it may have left already; only its fate may be looked up")
_WAITS = NoStep("it is on its way; what becomes of it is asked again later")
_OVER = NoStep("this payout has ended; it stays as it is")

_FROM_THE_BANK: Mapping[Event, Step | NoStep] = {
    "taken": Step("accepted"),
    "left": Step("settled"),
    "declined": Step("rejected"),
    "came_back": Step("returned"),
}
STEPS: Mapping[tuple[State, Event], Step | NoStep] = {
    **{("draft", event): _UNSENT for event in EVENTS},
    ("draft", "approve"): Step("approved"),
    ("draft", "cancel"): Step("cancelled"),
    ("draft", "ask"): NoStep("a second person has to say yes first"),
    **{("approved", event): _UNSENT for event in EVENTS},
    ("approved", "approve"): _DECIDED,
    ("approved", "cancel"): Step("cancelled"),
    ("approved", "ask"): Step("asking"),
    **{("asking", event): _LEAVING for event in EVENTS},
    ("asking", "approve"): _DECIDED,
    ("asking", "silent"): Step("unknown"),
    ("asking", "unheard"): NoStep("it is being sent"),
    **{("asking", event): step for event, step in _FROM_THE_BANK.items()},
    **{("unknown", event): _LEAVING for event in EVENTS},
    ("unknown", "approve"): _DECIDED,
    ("unknown", "silent"): NoStep("still silent; its fate is looked up again later"),
    ("unknown", "unheard"): Step("asking"),
    **{("unknown", event): step for event, step in _FROM_THE_BANK.items()},
    **{("accepted", event): _WAITS for event in EVENTS},
    ("accepted", "approve"): _DECIDED,
    ("accepted", "cancel"): _LEAVING,
    **{("accepted", event): step for event, step in _FROM_THE_BANK.items() if event != "taken"},
    **{(state, event): _OVER for state in ("settled", "rejected", "returned", "cancelled") for event in EVENTS},
    ("settled", "came_back"): Step("returned"),
}
"""Every state met with every event."""
