"""Contracts: two people, whole shares, and nothing that is settled is divided anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from trade import Trade

from foundation import clock
from foundation.errors import Refusal
from foundation.tables import new_id
from payments import contract, dues, settlement
from payments.contract import Proposal, Rent
from payments.share import BP, Entitlement, FeeTerm


class Desk:
    """Two people of an operator who agree on contracts."""

    def __init__(self, trade: Trade, people: dict[str, UUID], payees: dict[str, UUID]) -> None:
        self.trade, self.people, self.payees = trade, people, payees

    def says(self, **other: Any) -> Proposal:
        own, city = self.payees["operator"], self.payees["city_budget"]
        return replace(
            Proposal(
                service="ticketing",
                valid_from=date(2030, 1, 1),
                paper="07/2029/HĐ",
                entitlements=(Entitlement(own, share_bp=7_000), Entitlement(city, share_bp=3_000)),
            ),
            **other,
        )

    async def proposes(self, said: Proposal, who: str = "ketoan") -> UUID:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await contract.propose(tx, said, staff_id=self.people[who], now=self.trade.now)

    async def agrees(self, id: UUID, who: str = "quanly") -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await contract.agree(tx, id, staff_id=self.people[who], now=self.trade.now)

    async def withdraws(self, id: UUID, who: str = "ketoan") -> None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            await contract.withdraw(tx, id, staff_id=self.people[who], reason="nhầm", now=self.trade.now)

    async def holds(self, service: str, day: date) -> contract.ContractView | None:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return contract.in_force(await contract.contracts(tx), service, day)


@pytest.fixture
async def desk(trade: Trade) -> Desk:
    async with trade.database.transaction(trade.operator_id) as tx:
        rows = await tx.rows("select id, login from foundation.staff where operator_id = $1", tx.operator_id)
        payees = {each.kind: each.id for each in await contract.payees(tx)}
    return Desk(trade, {row["login"]: row["id"] for row in rows}, payees)


async def test_a_contract_holds_once_another_person_agrees_and_from_its_day_on(
    desk: Desk, admin: asyncpg.Connection
) -> None:
    before = await desk.holds("ticketing", date(2029, 12, 31))
    id = await desk.proposes(desk.says())
    assert await desk.holds("ticketing", date(2030, 1, 1)) == before
    with pytest.raises(contract.OwnProposal):
        await desk.agrees(id, "ketoan")
    await desk.agrees(id)
    held = await desk.holds("ticketing", date(2030, 1, 1))
    assert held and held.id == id and held.terms.entitlements == desk.says().entitlements
    assert await desk.holds("ticketing", date(2029, 12, 31)) == before
    acts = await admin.fetch(
        "select act from foundation.audit_entry where subject = $1 order by recorded_at", f"contract {id}"
    )
    assert [row["act"] for row in acts] == ["contract.proposed", "contract.agreed"]


async def test_what_was_agreed_or_withdrawn_is_decided(desk: Desk) -> None:
    agreed, withdrawn = await desk.proposes(desk.says()), await desk.proposes(desk.says(valid_from=date(2031, 1, 1)))
    await desk.agrees(agreed)
    await desk.withdraws(withdrawn)
    for act in (desk.agrees, desk.withdraws):
        for id in (agreed, withdrawn):
            with pytest.raises(contract.ContractDecided):
                await act(id)
    with pytest.raises(contract.NoSuchContract):
        await desk.agrees(new_id())


async def test_two_contracts_for_a_service_cannot_begin_on_one_day(desk: Desk) -> None:
    await desk.agrees(await desk.proposes(desk.says()))
    second = await desk.proposes(desk.says(paper="08"))
    with pytest.raises(asyncpg.UniqueViolationError) as found:
        await desk.agrees(second)
    assert found.value.constraint_name == contract.BeginsTwice.constraint


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (contract.SharesNotWhole, {"entitlements": ((7_000, 0), (2_999, 0))}),
        (contract.SharesNotWhole, {"entitlements": ((7_000, 0), (3_001, 0))}),
        (contract.SharesNotWhole, {"entitlements": ()}),
        (contract.TermsUnfit, {"entitlements": ((BP, 5_000),)}),
        (contract.TermsUnfit, {"entitlements": ((BP, 0), (0, -5))}),
        (contract.TermsUnfit, {"service": "boats"}),
        (contract.TermsUnfit, {"paper": "  "}),
        (contract.TermsUnfit, {"vat_bp": -1}),
        (contract.TermsUnfit, {"fees": {"CARD": FeeTerm(bp=BP + 1)}}),
        (contract.TermsUnfit, {"fees": {"FREE": FeeTerm(bp=1)}}),
        (contract.TermsUnfit, {"hold_back_bp": 100}),
        (contract.TermsUnfit, {"hold_back_bp": 9_000, "hold_back_days": 3}),
        (contract.TermsUnfit, {"due_days": 0}),
        (contract.TermsUnfit, {"rents": ((2, 40, 60_000, 10),)}),  # of a site
        (contract.TermsUnfit, {"service": "parking", "rents": ((1, 40, 60_000, 10),)}),  # 1 is no lot
        (contract.TermsUnfit, {"service": "parking", "rents": ((2, 0, 60_000, 10),)}),
        (contract.TermsUnfit, {"service": "parking", "rents": ((2, 40, 60_000, 31),)}),
    ],
)
async def test_terms_that_cannot_be_are_refused_with_a_name(
    desk: Desk, refusal: type[Refusal], said: dict[str, Any]
) -> None:
    payees = [desk.payees["operator"], desk.payees["city_budget"]]
    if "entitlements" in said:
        said = said | {
            "entitlements": tuple(
                Entitlement(payee, sum_vnd=vnd, share_bp=bp)
                for payee, (bp, vnd) in zip(payees, said["entitlements"], strict=False)
            )
        }
    if "rents" in said:
        said = said | {"rents": tuple(Rent(place, payees[1], *rest) for place, *rest in said["rents"])}
    with pytest.raises(refusal):
        await desk.proposes(desk.says(**said))


async def test_a_contract_cannot_reach_back_to_what_is_settled(desk: Desk) -> None:
    trade = desk.trade
    today = clock.hanoi_day(trade.now)
    await trade.pays(trade.line(70_000))
    waiting = await desk.proposes(desk.says(valid_from=today))
    async with trade.database.transaction(trade.operator_id, isolation="repeatable read") as tx:
        assert await settlement.settle_day(tx, today, now=trade.now)
    for act in (lambda: desk.agrees(waiting), lambda: desk.proposes(desk.says(valid_from=today))):
        with pytest.raises(contract.BeginsTooEarly):
            await act()
    await desk.proposes(desk.says(valid_from=today + timedelta(days=1)))


async def test_a_payee_has_its_names_its_treasury_and_its_kind_once(desk: Desk) -> None:
    async def add(**said: str) -> UUID:
        async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
            return await contract.add_payee(tx, **said, staff_id=desk.people["ketoan"], now=desk.trade.now)  # type: ignore[arg-type]

    await add(kind="authority", name_vi="Ban quản lý", name_en="Authority")
    for missing in (
        {"kind": "authority", "name_vi": " ", "name_en": "Authority"},
        {"kind": "city_budget", "name_vi": "Ngân sách", "name_en": "Budget"},
        {"kind": "authority", "name_vi": "Ban", "name_en": "Board", "treasury": "KBNN", "budget_line": "C 1"},
    ):
        with pytest.raises(contract.PayeeNameless):
            await add(**missing)
    with pytest.raises(asyncpg.UniqueViolationError) as found:
        await add(kind="platform", name_vi="Hai", name_en="Two")
    assert found.value.constraint_name == contract.PayeeKnown.constraint


async def test_a_rent_counts_the_days_on_which_its_contract_held(desk: Desk) -> None:
    own, city = desk.payees["operator"], desk.payees["city_budget"]

    def parking(first: date, area: int, price: int = 60_000) -> Proposal:
        return desk.says(
            service="parking",
            valid_from=first,
            paper=f"{area}",
            entitlements=(Entitlement(own, share_bp=BP),),
            rents=(Rent(2, city, area, price, 10),),
        )

    await desk.agrees(await desk.proposes(parking(date(2030, 4, 11), 30)))
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        found = dues.rents_of(await contract.contracts(tx), date(2030, 4, 1))
    assert [(rent.area_m2, rent.days, rent.amount_vnd) for rent in found] == [
        (40, 10, 40 * 60_000 * 10 // 30),
        (30, 20, 30 * 60_000 * 20 // 30),
    ]
    assert {rent.due_on for rent in found} == {date(2030, 5, 10)}
    for first in (date(2030, 6, 1), date(2030, 6, 16)):  # the same terms, twice half a month
        await desk.agrees(await desk.proposes(parking(first, 1, 60_001)))
    async with desk.trade.database.transaction(desk.trade.operator_id) as tx:
        found = dues.rents_of(await contract.contracts(tx), date(2030, 6, 1))
    assert [rent.amount_vnd for rent in found] == [30_001, 30_000]
