"""The gateways: the only rooms that speak a bank's language.

What each of them does for us is said here once. A gateway reads what it is told into these shapes and asks in its own
words; nobody outside of its file knows those. A third gateway is a third file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from foundation.errors import Refusal


class GatewaySilent(Refusal):
    """The bank does not answer at the moment."""

    status = 503


@dataclass(frozen=True, slots=True)
class PayeeAccount:
    """An account that a payer named, for when money cannot go back where it came from."""

    bin: str
    account: str
    name: str


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money that goes back. `id` is ours, the same however often it is asked: with it a gateway does it once.

    `account`: where the original came to, "<bin>/<account>" or "<gateway>/<merchant>"; `original_ref`: the gateway's
    reference of the original there, `original_vnd` its amount, `facts` what the receipt keeps for its gateway.
    """

    id: UUID
    account: str
    original_ref: str
    original_vnd: int
    amount_vnd: int
    text: str
    asked_by: str
    asked_at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    to: PayeeAccount | None = None


RefundFate = Literal["unknown", "accepted", "sent", "settled", "returned", "refused"]
"""`unknown`: nothing was ever asked under this id, so it may be asked (again). `accepted`, `sent`: on its way. `settled`:
arrived. `returned`: came back. `refused`: never left, and never will under this id."""


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """What a gateway says of a refund. `why`: its code for a refusal; `ref`: its reference of the debit; `at`: when."""

    fate: RefundFate
    why: str | None = None
    ref: str | None = None
    at: datetime | None = None


class Refunding(Protocol):
    """A gateway as refunds see it. Neither call is made inside a transaction of ours."""

    async def send_back(self, order: RefundOrder) -> RefundAnswer:
        """Asks for it once. Raises GatewaySilent: the outcome is unknown, and only `fate_of` may find it out."""
        ...

    async def fate_of(self, order: RefundOrder) -> RefundAnswer:
        """What became of it. Raises GatewaySilent."""
        ...


@dataclass(frozen=True, slots=True)
class RefundLine:
    """A line of a gateway's list that is no payment: money that a refund of ours took, or (`returns`) brought back.

    `account`: "<bin>/<account>" on which it stands; `ref`: the gateway's reference of the line.
    """

    refund_id: UUID
    account: str
    ref: str
    amount_vnd: int
    returns: bool
    at: datetime
