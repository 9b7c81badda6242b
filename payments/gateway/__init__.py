"""The gateways: the only rooms that speak a bank's language.

What each of them does for us is said here once. A gateway reads what it is told into these shapes and asks in its own
words; nobody outside of its file knows those. A third gateway is a third file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

from foundation.errors import NotFound, Refusal
from payments.receipt import Credit


class GatewaySilent(Refusal):
    """The bank does not answer at the moment."""

    status = 503


class PayoutFileRefused(Refusal):
    """The bank did not take this payout file on: {why}."""


class NoticeForged(Refusal):
    """The signature of this notice does not hold, or it is too old."""

    status = 401


class NoSuchAttempt(NotFound):
    """No payment was begun under that number."""


class AttemptAmountDiffers(Refusal):
    """This payment was begun with another amount."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as it came over the wire. Nothing of it is believed yet. `query`: as it stands behind the question mark."""

    headers: Mapping[str, str]
    query: str
    body: bytes

    @property
    def raw(self) -> str:
        """What the inbox keeps of it."""
        return self.body.decode("utf-8", "replace") or self.query


AttemptEvent = Literal["paid", "declined", "reversed", "suspected", "window_over"]
"""What becomes of an attempt to pay on a gateway's page. `reversed`: the payer was debited, and the gateway gives it back
by itself. `suspected`: debited, and the gateway still looks into it. `window_over`: nothing came in its time."""


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What a gateway says of an attempt that we began there under `ref`. `code`: its own word for why."""

    ref: str
    amount_vnd: int
    event: AttemptEvent
    code: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A line of a gateway's list that tells of money that left. `kind`, `relates_to`: its words for what it was."""

    account: str
    bank_ref: str
    amount_vnd: int
    left_at: datetime
    kind: str
    relates_to: str


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


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """A line of a gateway's list that is no payment: money that a transfer of a payout file of ours took, or (`returns`)
    brought back. A bank may book one transfer as several debits that add up.

    `payout_id`: the transfer's; `account`: "<bin>/<account>" on which the line stands; `ref`: the gateway's reference of it.
    """

    payout_id: UUID
    account: str
    ref: str
    amount_vnd: int
    returns: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class News:
    """What a gateway says of one payment, verified and read.

    `account`: what it came to, "<bin>/<account>" or "<gateway>/<merchant>"; `credit`: the money, if there is any; `end`:
    of what we began there, where payments are begun by us; `refund`, `payout`: a line of one of ours. `event_id`: the same
    however often this is told.
    """

    account: str
    event_id: str
    credit: Credit | None
    end: AttemptEnd | None = None
    refund: RefundLine | None = None
    payout: PayoutLine | None = None


Done = Literal["booked", "known", "ignored"]
"""What became of a notice: written down now, written down before, of no interest."""


class Telling(Protocol):
    """A gateway as its notices arrive."""

    name: str
    """As receipts and attempts carry it."""

    def hear(self, told: Told) -> News | None:
        """Verifies and reads a notice; None: of a kind we do not need. Raises NoticeForged, BadPayload."""
        ...

    def answer(self, done: Done | Exception) -> tuple[int, dict[str, object]]:
        """Status and body, in the gateway's own words. An exception it has no words for is raised."""
        ...


class Listing(Protocol):
    """A gateway that lists what was booked on an account, page by page: nothing can be missed."""

    async def transactions(
        self, *, bin: str, account: str, after: str | None, since: datetime | None = None
    ) -> tuple[list[object], str | None]:
        """A page of what was booked after a cursor, oldest first and not read yet, and the cursor behind it. Raises
        GatewaySilent."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """One attempt to pay on a gateway's page. `ref` is ours, unique for that merchant; `text` is read by people."""

    merchant: str
    ref: str
    amount_vnd: int
    text: str
    opened_at: datetime
    expires_at: datetime


class Hosting(Protocol):
    """A gateway whose page the payer is sent to. What it knows of an attempt can be asked: nothing can be missed."""

    name: str

    def serves(self, merchant: str) -> bool:
        """Whether payments to that merchant can be begun: without his secret they cannot."""
        ...

    def begin(self, order: AttemptOrder, *, language: str, back: str, payer_address: str) -> str:
        """The address of the page on which this is paid. Asks nobody."""
        ...

    async def ask(self, order: AttemptOrder) -> News | None:
        """What became of it; None: nothing yet. Raises GatewaySilent."""
        ...

    async def close(self) -> None: ...


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
    reference of the original there, `original_vnd` its amount, `facts` what the receipt keeps for its gateway (of an attempt: its `ref`
    there and `opened_at`).
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

    a_second_apart: bool
    """It knows the refunds of one payment by their second only, so no two are asked in the same."""

    async def send_back(self, order: RefundOrder) -> RefundAnswer:
        """Asks for it once. Raises GatewaySilent: the outcome is unknown, and only `fate_of` may find it out."""
        ...

    async def fate_of(self, order: RefundOrder) -> RefundAnswer:
        """What became of it. Raises GatewaySilent."""
        ...


@dataclass(frozen=True, slots=True)
class PayoutTransfer:
    """One transfer of a payout file. `id` is ours and unique for ever; `bin`, `account`, `name`: the payee's; `text`: read
    by people, behind the batch number."""

    id: UUID
    amount_vnd: int
    bin: str
    account: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What a payout file says. `message_id` is ours: with it a bank takes a file on once.

    `account`, `account_name`: the collection account that pays, "<bin>/<account>", and its owner. `batch`: the number by
    which people know the file; it stands in the text of every transfer. `execute_on`: the bank's day, in Hanoi.
    """

    message_id: UUID
    batch: str
    created_at: datetime
    execute_on: date
    account: str
    account_name: str
    transfers: Sequence[PayoutTransfer]


PayoutFate = Literal["unknown", "pending", "accepted", "settled", "rejected"]
"""`unknown`: the bank did not say. `pending`: it has not decided. `accepted`: it will pay, or has sent it. `settled`: paid;
the payee's bank may still return it, which only a line of the list tells. `rejected`: not paid, and never will be."""


@dataclass(frozen=True, slots=True)
class PayoutAnswer:
    """What a bank says of one transfer. `status`: its code (pain.002), None where it said nothing; `why`: its code for it."""

    fate: PayoutFate
    status: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutReport:
    """What a bank says of a payout file. `transfers` holds every transfer of the file, by its id, also those of which
    nothing was said. `group_status`, `group_why`: its codes for the file as a whole, for people only."""

    message_id: UUID
    group_status: str | None
    group_why: str | None
    transfers: Mapping[UUID, PayoutAnswer]


class Paying(Protocol):
    """A gateway as payouts see it. `file` is what `pain.write` made and a person signed, to the byte: both calls read
    from it what the bank may answer for. Neither is made inside a transaction of ours."""

    async def pay_out(self, file: bytes) -> PayoutReport:
        """Hands the file in; the bank takes it on once. Raises GatewaySilent: whether it was taken on is unknown, and
        only `payout_report` (or the same bytes again) finds it out; PayoutFileRefused: it was not, and nothing is paid.
        """
        ...

    async def payout_report(self, file: bytes) -> PayoutReport | None:
        """What became of it; None: it was never taken on. Raises GatewaySilent."""
        ...


class Gateway(Telling, Refunding, Protocol):
    """All that every gateway does. Beside it, each is Listing or Hosting: so that what no notice told is found out."""

    async def close(self) -> None: ...
