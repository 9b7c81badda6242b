"""Who is owed what of an operator's sales: his payees, and the dated contracts that divide each service's takings.

A contract holds for one service from a day on, until a later one takes its place. It is proposed by one person and holds
once another has agreed; what was settled by it is never divided anew, so a new one begins after the last sale that is
settled. Shares, fees and VAT are data; how they divide a sale is `share`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, ForeignKeyConstraint, Index, SQLModel, text

from foundation import audit
from foundation.database import Tx
from foundation.errors import NotFound, Refusal
from foundation.money import CHARGE_MAX_VND
from foundation.tables import instant, keys, new_id, owner_key
from payments import ledger, postings
from payments.held import reason_of
from payments.payment import Means
from payments.share import BP, Entitlement, FeeTerm, Terms

PayeeKind = Literal["operator", "authority", "city_budget", "platform"]
PAYEE_KINDS: tuple[PayeeKind, ...] = get_args(PayeeKind)
SERVICES = ("ticketing", "parking")
FEE_MEANS: tuple[Means, ...] = ("QR_TRANSFER", "CARD", "WALLET", "CASH")
HOLD_BACK_MAX_BP = BP // 2
HOLD_BACK_MAX_DAYS = 180
DUE_MAX_DAYS = 30
RENT_MAX_VND = 10_000_000
"""Per m² and month: forty times the dearest street of 2017."""


class Payee(SQLModel, table=True):
    """Who gets money out of an operator's sales: himself, a site's authority, the city's budget, the platform.

    The city's budget is paid at the State Treasury, under a line of the budget. An operator has one payee of his own and
    one platform. Bank details are not part of it: they have versions of their own.
    """

    __tablename__ = "payee"
    __table_args__ = (
        CheckConstraint("kind in ('operator', 'authority', 'city_budget', 'platform')", name="kind"),
        CheckConstraint("(kind = 'city_budget') = (treasury is not null)", name="treasury"),
        CheckConstraint("num_nulls(treasury, budget_line) in (0, 2)", name="budget_line"),
        Index("payee_one_key", *keys("kind"), unique=True, postgresql_where=text("kind in ('operator', 'platform')")),
        {"schema": "payments", "comment": "insert-only: a payee never becomes another"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    kind: str
    name_vi: str
    name_en: str
    tax_code: str | None = None
    treasury: str | None = None
    budget_line: str | None = None
    added_at: datetime = instant()


class Contract(SQLModel, table=True):
    """What holds for one service from `valid_from` on. Proposed by one, agreed by another, or withdrawn.

    `vat_bp`: VAT contained in the price; `fee_vat_bp`: in the fees. `hold_back_bp` of what the operator earns is held back
    for `hold_back_days`. `due_days`: working days from the service to the payout.
    """

    __tablename__ = "contract"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("proposed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="contract_proposed_fkey"
        ),
        ForeignKeyConstraint(
            keys("agreed_by"), ["foundation.staff.operator_id", "foundation.staff.id"], name="contract_agreed_fkey"
        ),
        CheckConstraint("service in ('ticketing', 'parking')", name="service"),
        CheckConstraint("vat_bp between 0 and 5000 and fee_vat_bp between 0 and 5000", name="vat"),
        CheckConstraint(f"hold_back_bp between 0 and {HOLD_BACK_MAX_BP}", name="hold_back"),
        CheckConstraint("(hold_back_bp > 0) = (hold_back_days > 0)", name="hold_back_days"),
        CheckConstraint(f"due_days between 1 and {DUE_MAX_DAYS}", name="due"),
        CheckConstraint("num_nulls(agreed_by, agreed_at) in (0, 2)", name="agreed"),
        CheckConstraint("agreed_by <> proposed_by", name="second_person"),
        CheckConstraint("agreed_at is null or withdrawn_at is null", name="withdrawn"),
        Index(
            "contract_from_key",
            *keys("service", "valid_from"),
            unique=True,
            postgresql_where=text("agreed_at is not null"),
        ),
        {"schema": "payments"},
    )
    operator_id: UUID = owner_key()
    id: UUID = Field(primary_key=True)
    service: str
    valid_from: date
    paper: str
    vat_bp: int
    fee_vat_bp: int
    fees_returned: bool
    hold_back_bp: int
    hold_back_days: int
    due_days: int
    proposed_by: UUID
    proposed_at: datetime = instant()
    agreed_by: UUID | None = None
    agreed_at: datetime | None = instant(default=None)
    withdrawn_at: datetime | None = instant(default=None)


class ContractPart(SQLModel, table=True):
    """What a payee gets of each sale: a sum, or a share of what remains."""

    __tablename__ = "contract_part"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("contract_id"),
            ["payments.contract.operator_id", "payments.contract.id"],
            name="contract_part_contract_fkey",
        ),
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="contract_part_payee_fkey"
        ),
        CheckConstraint(f"sum_vnd between 0 and {CHARGE_MAX_VND} and share_bp between 0 and {BP}", name="amounts"),
        CheckConstraint("(sum_vnd > 0) <> (share_bp > 0)", name="one_way"),
        {"schema": "payments", "comment": "insert-only: terms"},
    )
    operator_id: UUID = owner_key()
    contract_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    payee_id: UUID
    sum_vnd: int = Field(sa_type=BigInteger)
    share_bp: int


class ContractFee(SQLModel, table=True):
    """What taking money by one means costs the operator, VAT included."""

    __tablename__ = "contract_fee"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("contract_id"),
            ["payments.contract.operator_id", "payments.contract.id"],
            name="contract_fee_contract_fkey",
        ),
        CheckConstraint("means in ('CASH', 'QR_TRANSFER', 'WALLET', 'CARD', 'ETC_ACCOUNT')", name="means"),
        CheckConstraint(f"fee_bp between 0 and {BP} and fee_vnd between 0 and 1000000", name="amounts"),
        {"schema": "payments", "comment": "insert-only: terms"},
    )
    operator_id: UUID = owner_key()
    contract_id: UUID = Field(primary_key=True)
    means: str = Field(primary_key=True)
    fee_bp: int
    fee_vnd: int = Field(sa_type=BigInteger)


class ContractRent(SQLModel, table=True):
    """Rent of pavement or roadbed that a lot stands on, owed by the operator for each month."""

    __tablename__ = "contract_rent"
    __table_args__ = (
        ForeignKeyConstraint(
            keys("contract_id"),
            ["payments.contract.operator_id", "payments.contract.id"],
            name="contract_rent_contract_fkey",
        ),
        ForeignKeyConstraint(
            keys("place"), ["foundation.place.operator_id", "foundation.place.number"], name="contract_rent_place_fkey"
        ),
        ForeignKeyConstraint(
            keys("payee_id"), ["payments.payee.operator_id", "payments.payee.id"], name="contract_rent_payee_fkey"
        ),
        CheckConstraint("area_m2 between 1 and 1000000", name="area"),
        CheckConstraint(f"vnd_per_m2_month between 1 and {RENT_MAX_VND}", name="price"),
        CheckConstraint("due_day between 1 and 28", name="due_day"),
        {"schema": "payments", "comment": "insert-only: terms"},
    )
    operator_id: UUID = owner_key()
    contract_id: UUID = Field(primary_key=True)
    place: int = Field(primary_key=True)
    payee_id: UUID
    area_m2: int
    vnd_per_m2_month: int = Field(sa_type=BigInteger)
    due_day: int


class NoSuchContract(NotFound):
    """There is no such contract."""


class PayeeKnown(Refusal):
    """There is a payee of this kind already."""

    constraint = "payee_one_key"


class PayeeNameless(Refusal):
    """A payee needs a name in both languages, and the city's budget its treasury office and line of the budget."""

    status = 422


class SharesNotWhole(Refusal):
    """The shares add up to {percent} %; they have to be 100 %."""

    status = 422


class TermsUnfit(Refusal):
    """These terms cannot be: {which}."""

    status = 422


class SellerMissing(Refusal):
    """First name the operator himself as a payee, and for fees the platform."""


class BeginsTooEarly(Refusal):
    """Sales up to {day} are settled already; a new contract can begin on the day after."""


class BeginsTwice(Refusal):
    """Another contract for this service begins on the same day."""

    constraint = "contract_from_key"


class OwnProposal(Refusal):
    """You proposed this contract; another person has to agree to it."""

    status = 403


class ContractDecided(Refusal):
    """This contract was agreed or withdrawn before."""


@dataclass(frozen=True, slots=True)
class PayeeView:
    """A payee as pages show it."""

    id: UUID
    kind: PayeeKind
    name_vi: str
    name_en: str
    tax_code: str | None
    treasury: str | None
    budget_line: str | None

    def name(self, language: str) -> str:
        return self.name_vi if language == "vi" else self.name_en

    @property
    def account(self) -> str:
        """The ledger account of what it is owed."""
        return postings.PAYABLE.format(payee=self.id)


@dataclass(frozen=True, slots=True)
class Rent:
    """Pavement that a lot stands on: to whom, how much of it, at what price, due on which day of the month."""

    place: int
    payee_id: UUID
    area_m2: int
    vnd_per_m2_month: int
    due_day: int

    @property
    def month_vnd(self) -> int:
        """For a whole month."""
        return self.area_m2 * self.vnd_per_m2_month


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a person proposes: everything that a contract says."""

    service: str
    valid_from: date
    paper: str
    entitlements: Sequence[Entitlement]
    fees: Mapping[str, FeeTerm] = field(default_factory=dict)
    vat_bp: int = 0
    fee_vat_bp: int = 0
    fees_returned: bool = False
    hold_back_bp: int = 0
    hold_back_days: int = 0
    due_days: int = 1
    rents: Sequence[Rent] = ()


@dataclass(frozen=True, slots=True)
class ContractView:
    """A contract with its terms and its history; `state` is proposed, agreed or withdrawn."""

    id: UUID
    said: Proposal
    terms: Terms
    state: str
    proposed_by: UUID
    proposer: str
    proposed_at: datetime
    agreer: str | None
    agreed_at: datetime | None
    withdrawn_at: datetime | None


async def add_payee(
    tx: Tx,
    *,
    kind: PayeeKind,
    name_vi: str,
    name_en: str,
    tax_code: str = "",
    treasury: str = "",
    budget_line: str = "",
    staff_id: UUID | None = None,
    now: datetime,
) -> UUID:
    """A new payee with its account in the ledger. `staff_id` is None only where no person acts (the demo city).

    Raises PayeeNameless, PayeeKnown.
    """
    said = [each.strip() for each in (name_vi, name_en, tax_code, treasury, budget_line)]
    of_budget = kind == "city_budget"
    if not (said[0] and said[1]) or bool(said[3] and said[4]) != of_budget:
        raise PayeeNameless()
    id = new_id()
    await tx.execute(
        "insert into payments.payee (operator_id, id, kind, name_vi, name_en, tax_code, treasury, budget_line, added_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.operator_id,
        id,
        kind,
        *said[:2],
        *(each or None for each in said[2:]),
        now,
    )
    await ledger.open_payable(tx, id)
    if staff_id is not None:
        after = dict(
            zip(("kind", "name_vi", "name_en", "tax_code", "treasury", "budget_line"), (kind, *said), strict=True)
        )
        await audit.note(tx, staff_id, "payee.added", f"payee {id}", after=after, now=now)
    return id


async def payees(tx: Tx) -> list[PayeeView]:
    """All payees of this operator, himself first, the platform last."""
    rows = await tx.rows(
        "select id, kind, name_vi, name_en, tax_code, treasury, budget_line from payments.payee where operator_id = $1"
        " order by array_position(array['operator', 'authority', 'city_budget', 'platform'], kind), added_at, id",
        tx.operator_id,
    )
    return [PayeeView(**row) for row in rows]


async def propose(tx: Tx, said: Proposal, *, staff_id: UUID, now: datetime) -> UUID:
    """Writes a contract down; it holds once another person agrees.

    Raises SharesNotWhole, TermsUnfit, SellerMissing, BeginsTooEarly.
    """
    await _check(tx, said)
    id = new_id()
    await tx.execute(
        "insert into payments.contract (operator_id, id, service, valid_from, paper, vat_bp, fee_vat_bp, fees_returned,"
        " hold_back_bp, hold_back_days, due_days, proposed_by, proposed_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        tx.operator_id,
        id,
        said.service,
        said.valid_from,
        said.paper.strip(),
        said.vat_bp,
        said.fee_vat_bp,
        said.fees_returned,
        said.hold_back_bp,
        said.hold_back_days,
        said.due_days,
        staff_id,
        now,
    )
    await tx.connection.executemany(
        "insert into payments.contract_part (operator_id, contract_id, number, payee_id, sum_vnd, share_bp)"
        " values ($1, $2, $3, $4, $5, $6)",
        [
            (tx.operator_id, id, number, part.payee_id, part.sum_vnd, part.share_bp)
            for number, part in enumerate(said.entitlements, 1)
        ],
    )
    await tx.connection.executemany(
        "insert into payments.contract_fee (operator_id, contract_id, means, fee_bp, fee_vnd) values ($1, $2, $3, $4, $5)",
        [(tx.operator_id, id, means, term.bp, term.vnd) for means, term in said.fees.items()],
    )
    await tx.connection.executemany(
        "insert into payments.contract_rent (operator_id, contract_id, place, payee_id, area_m2, vnd_per_m2_month, due_day)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        [
            (tx.operator_id, id, rent.place, rent.payee_id, rent.area_m2, rent.vnd_per_m2_month, rent.due_day)
            for rent in said.rents
        ],
    )
    await audit.note(tx, staff_id, "contract.proposed", f"contract {id}", after=_in_short(said), now=now)
    return id


async def agree(tx: Tx, id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """A second person agrees: the contract holds from its day on.

    Raises NoSuchContract, OwnProposal, ContractDecided, BeginsTwice, and what `propose` raises if the world has changed.
    """
    # Settlements hold all contracts while they divide by them: what is checked below is what they left.
    await tx.execute("select from payments.contract where operator_id = $1 and id = $2 for update", tx.operator_id, id)
    found = await find(tx, id)
    if found.proposed_by == staff_id:
        raise OwnProposal()
    await _check(tx, found.said)
    await _decide(tx, id, "agreed_by = $3, agreed_at = $4", staff_id, now)
    await audit.note(tx, staff_id, "contract.agreed", f"contract {id}", after=_in_short(found.said), now=now)


async def withdraw(tx: Tx, id: UUID, *, staff_id: UUID, reason: str, now: datetime) -> None:
    """A proposal is taken back, by whoever made it or by who should have agreed.

    Raises NoSuchContract, ReasonMissing, ContractDecided.
    """
    found = await find(tx, id)
    reason = reason_of(reason)
    await _decide(tx, id, "withdrawn_at = $3", now)
    await audit.note(
        tx,
        staff_id,
        "contract.withdrawn",
        f"contract {id}",
        reason=reason,
        before=_in_short(found.said),
        now=now,
    )


async def find(tx: Tx, id: UUID) -> ContractView:
    """One contract. Raises NoSuchContract."""
    found = [view for view in await contracts(tx) if view.id == id]
    if not found:
        raise NoSuchContract()
    return found[0]


async def contracts(tx: Tx) -> list[ContractView]:
    """All contracts of this operator, by service, the latest first."""
    rows = await tx.rows(
        "select c.*, p.name as proposer, a.name as agreer from payments.contract c"
        " join foundation.staff p on p.operator_id = c.operator_id and p.id = c.proposed_by"
        " left join foundation.staff a on a.operator_id = c.operator_id and a.id = c.agreed_by"
        " where c.operator_id = $1 order by c.service desc, c.valid_from desc, c.proposed_at desc",
        tx.operator_id,
    )
    parts, fees, rents = [
        await tx.rows(f"select * from payments.contract_{what} where operator_id = $1 order by {order}", tx.operator_id)
        for what, order in (
            ("part", "contract_id, number"),
            ("fee", "contract_id, means"),
            ("rent", "contract_id, place"),
        )
    ]
    known: dict[str, UUID] = {payee.kind: payee.id for payee in await payees(tx)}
    return [_view(row, _of(row, parts), _of(row, fees), _of(row, rents), known) for row in rows]


def in_force(found: Sequence[ContractView], service: str, day: date) -> ContractView | None:
    """Which of the contracts holds for a service on a day: the agreed one that began last."""
    holding = [
        view
        for view in found
        if view.state == "agreed" and view.said.service == service and view.said.valid_from <= day
    ]
    return max(holding, key=lambda view: view.said.valid_from, default=None)


def _of(row: Any, rows: Sequence[Any]) -> list[Any]:
    return [each for each in rows if each["contract_id"] == row["id"]]


def _view(row: Any, parts: list[Any], fees: list[Any], rents: list[Any], known: Mapping[str, UUID]) -> ContractView:
    entitlements = tuple(Entitlement(part["payee_id"], part["sum_vnd"], part["share_bp"]) for part in parts)
    by_means = {fee["means"]: FeeTerm(fee["fee_bp"], fee["fee_vnd"]) for fee in fees}
    said = Proposal(
        entitlements=entitlements,
        fees=by_means,
        rents=tuple(
            Rent(*(rent[name] for name in ("place", "payee_id", "area_m2", "vnd_per_m2_month", "due_day")))
            for rent in rents
        ),
        **{
            name: row[name]
            for name in (
                *("service", "valid_from", "paper", "vat_bp", "fee_vat_bp", "fees_returned"),
                *("hold_back_bp", "hold_back_days", "due_days"),
            )
        },
    )
    return ContractView(
        row["id"],
        said,
        Terms(
            seller=known["operator"],
            platform=known.get("platform"),
            entitlements=entitlements,
            vat_bp=said.vat_bp,
            fees=by_means,
            fee_vat_bp=said.fee_vat_bp,
            fees_returned=said.fees_returned,
        ),
        "agreed" if row["agreed_at"] else "withdrawn" if row["withdrawn_at"] else "proposed",
        row["proposed_by"],
        row["proposer"],
        row["proposed_at"],
        row["agreer"],
        row["agreed_at"],
        row["withdrawn_at"],
    )


async def _check(tx: Tx, said: Proposal) -> None:
    """What the tables cannot say of terms: that they are whole, and that they change nothing that is settled."""
    known = {payee.id: payee.kind for payee in await payees(tx)}
    kinds = set(known.values())
    if "operator" not in kinds or (said.fees and "platform" not in kinds):
        raise SellerMissing()
    whole = sum(part.share_bp for part in said.entitlements)
    if whole != BP:
        raise SharesNotWhole(percent=f"{whole // 100}.{whole % 100:02}")
    places = {
        row["number"]: row["service"]
        for row in await tx.rows("select number, service from foundation.place where operator_id = $1", tx.operator_id)
    }
    for which, unfit in (
        ("terms_service", said.service not in SERVICES),
        ("terms_paper", not said.paper.strip() or len(said.paper) > 200),
        ("terms_payee", any(part.payee_id not in known for part in said.entitlements)),
        ("terms_sum_or_share", any((part.sum_vnd > 0) == (part.share_bp > 0) for part in said.entitlements)),
        ("terms_sum", any(not 0 <= part.sum_vnd <= CHARGE_MAX_VND for part in said.entitlements)),
        ("terms_share", any(part.share_bp < 0 for part in said.entitlements)),
        (
            "terms_payee",
            len({(part.payee_id, part.sum_vnd > 0) for part in said.entitlements}) != len(said.entitlements),
        ),
        ("terms_fee", any(not (0 <= fee.bp <= BP and 0 <= fee.vnd <= 1_000_000) for fee in said.fees.values())),
        ("terms_means", bool(set(said.fees) - set(FEE_MEANS))),
        ("terms_vat", not (0 <= said.vat_bp <= BP // 2 and 0 <= said.fee_vat_bp <= BP // 2)),
        (
            "terms_hold_back",
            not 0 <= said.hold_back_bp <= HOLD_BACK_MAX_BP or not 0 <= said.hold_back_days <= HOLD_BACK_MAX_DAYS,
        ),
        ("terms_hold_back", bool(said.hold_back_bp) != bool(said.hold_back_days)),
        ("terms_due_days", not 1 <= said.due_days <= DUE_MAX_DAYS),
        ("terms_rent", bool(said.rents) and said.service != "parking"),
        ("terms_lot", any(places.get(rent.place) != "parking" for rent in said.rents)),
        ("terms_lot", len({rent.place for rent in said.rents}) != len(said.rents)),
        ("terms_rent", any(known.get(rent.payee_id) not in ("authority", "city_budget") for rent in said.rents)),
        (
            "terms_rent",
            any(not (0 < rent.area_m2 <= 10**6 and 0 < rent.vnd_per_m2_month <= RENT_MAX_VND) for rent in said.rents),
        ),
        ("terms_due_day", any(not 1 <= rent.due_day <= 28 for rent in said.rents)),
    ):
        if unfit:
            raise TermsUnfit(which=which)
    settled: date | None = await tx.value(
        "select max(l.service_day) from payments.settlement_item i"
        " join payments.charge_line l on l.operator_id = i.operator_id and l.charge_id = i.charge_id and l.line_no = i.line_no"
        " where i.operator_id = $1 and l.service = $2 and l.service_day >= $3",
        tx.operator_id,
        said.service,
        said.valid_from,
    )
    if settled is not None:
        raise BeginsTooEarly(day=settled)


async def _decide(tx: Tx, id: UUID, change: str, *values: object) -> None:
    status = await tx.execute(
        f"update payments.contract set {change}"
        " where operator_id = $1 and id = $2 and agreed_at is null and withdrawn_at is null",
        tx.operator_id,
        id,
        *values,
    )
    if status != "UPDATE 1":
        raise ContractDecided()


def _in_short(said: Proposal) -> dict[str, Any]:
    """The terms as the audit trail keeps them."""
    return {
        "service": said.service,
        "valid_from": said.valid_from.isoformat(),
        "paper": said.paper.strip(),
        "parts": [
            {
                "payee": str(part.payee_id),
                **({"sum_vnd": part.sum_vnd} if part.sum_vnd else {"share_bp": part.share_bp}),
            }
            for part in said.entitlements
        ],
        "fees": {means: {"bp": term.bp, "vnd": term.vnd} for means, term in said.fees.items()},
        "vat_bp": said.vat_bp,
        "fee_vat_bp": said.fee_vat_bp,
        "fees_returned": said.fees_returned,
        "hold_back": [said.hold_back_bp, said.hold_back_days],
        "due_days": said.due_days,
        "rents": [[rent.place, rent.area_m2, rent.vnd_per_m2_month, rent.due_day] for rent in said.rents],
    }
