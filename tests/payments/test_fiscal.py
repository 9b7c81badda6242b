"""Receipts and invoices: one for every paid line, numbers without a gap, cancelled or replaced and never changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as some
from trade import Trade

from foundation import outbox
from foundation.clock import hanoi_day
from foundation.database import Database
from foundation.settings import Settings
from payments import fiscal, fiscal_sending, fiscal_series, give_back, tax_code
from payments.fiscal import Buyer, Document
from payments.in_words import DIGITS, SCALES, in_words
from payments.payment import ChargeView, release
from payments.tax_office import Key, TaxOfficeSilent, Told, Verdict


@dataclass
class Office:
    """A tax office by the contract of `TaxOffice`. `silent`: it acts and does not answer; `rejects`: documents by number."""

    had: dict[Key, list[Any]] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)
    rejects: dict[int, str] = field(default_factory=dict)
    silent: bool = False
    undecided: bool = False

    async def tell(self, issuer: str, items: Sequence[Told]) -> dict[Key, Verdict]:
        for item in items:
            self.had.setdefault(item.key, []).append(dict(item.facts))
            self.order.append(item.key)
        if self.silent:
            raise TaxOfficeSilent()
        return await self.fates_of(issuer, [item.key for item in items])

    async def fates_of(self, issuer: str, keys: Sequence[Key]) -> dict[Key, Verdict]:
        if self.silent:
            raise TaxOfficeSilent()
        return {key: self._fate(key) for key in keys}

    def _fate(self, key: Key) -> Verdict:
        if key not in self.had:
            return Verdict("unknown")
        if self.undecided:
            return Verdict("received")
        why = self.rejects.get(key.number)
        return Verdict("rejected", why=why) if why else Verdict("accepted", f"M1-{key.number}")


@dataclass
class Papers:
    """A trade whose documents are made when it is said so, and the tax office."""

    trade: Trade
    office: Office = field(default_factory=Office)

    async def made(self) -> list[Document]:
        await fiscal.make_what_is_missing(self.trade.database)
        return await self.all()

    async def all(self) -> list[Document]:
        async with self.trade.database.transaction(self.trade.operator_id) as tx:
            return await fiscal.documents(tx, "$2 order by s.symbol, d.number", True)

    async def tells(self) -> None:
        database = self.trade.database
        await database.execute("update foundation.due set due_at = clock_timestamp() where kind = 'payments.fiscal'")
        for claim in await outbox.claim(database):
            if claim.kind == fiscal.SENDING:
                try:
                    await fiscal_sending.pursue(database, self.trade.sealer, self.office, claim)
                    async with database.transaction(claim.operator_id) as tx:
                        await outbox.done(tx, claim)
                except TaxOfficeSilent as error:
                    await outbox.failed(database, claim, repr(error))

    async def buyer(self, owed: ChargeView, code: str = "0100109106", name: str = "Công ty Hoa Sen") -> None:
        trade = self.trade
        month = await trade.sealer.ready(trade.now)
        async with trade.database.transaction(trade.operator_id) as tx:
            buyer = fiscal.buyer_of(code, name)
            await fiscal.name_buyer(tx, trade.sealer, owed, buyer, month=month, now=trade.now)

    async def gives_back(self, owed: ChargeView, amount_vnd: int | None = None) -> None:
        trade = self.trade
        who = (await trade.colleague()).staff_id
        async with trade.database.transaction(trade.operator_id) as tx:
            await give_back.give_back(
                tx, owed.reference, amount_vnd, staff_id=who, reason="ốm", limit_vnd=10**8, now=trade.now
            )

    async def paid(self, *amounts: int, service: str = "ticketing") -> ChargeView:
        owed = await self.trade.owes(*(self.trade.line(amount, service=service) for amount in amounts))
        assert await self.trade.transfers(owed.reference, sum(amounts)) == "applied"
        return owed


@pytest.fixture
async def papers(trade: Trade) -> Papers:
    return Papers(trade)


def standing(found: Sequence[Document]) -> list[tuple[int, int, str]]:
    return [(each.number, each.amount_vnd, each.standing) for each in found]


async def test_every_paid_line_gets_its_document_and_what_is_given_back_ends_it(papers: Papers) -> None:
    trade = papers.trade
    owed = await trade.owes(trade.line(70_000), trade.line(10_800, service="parking"))
    assert await papers.made() == [], "nothing is made before it is paid"
    await trade.transfers(owed.reference, 80_800)
    invoice, receipt = await papers.made()
    assert (receipt.kind, receipt.amount_vnd, receipt.vat_vnd, receipt.number) == ("receipt", 70_000, 0, 1)
    assert (invoice.kind, invoice.amount_vnd, invoice.vat_vnd, invoice.number) == ("invoice", 10_800, 800, 1)
    assert receipt.item == "Phí tham quan, Văn Miếu – Quốc Tử Giám"
    assert await papers.made() == [invoice, receipt], "and once"

    await papers.gives_back(owed, 5_400)  # of the last line first
    changed = await papers.made()
    assert standing(changed) == [(1, 10_800, "replaced"), (2, 5_400, "valid"), (1, 70_000, "valid")]
    assert changed[1].vat_vnd == 400 and changed[1].replaces == changed[0].id
    await papers.gives_back(owed)
    assert standing(await papers.made()) == [
        (1, 10_800, "replaced"),
        (2, 5_400, "cancelled"),
        (1, 70_000, "cancelled"),
    ]

    at_once = await papers.paid(20_000)
    await papers.gives_back(at_once)
    assert len(await papers.made()) == 3, "of what was given back before it was made there is nothing to say"


async def test_a_buyer_is_named_until_midnight_and_what_was_made_is_replaced(papers: Papers) -> None:
    trade = papers.trade
    early = await papers.paid(70_000)
    await papers.buyer(early)
    (first,) = await papers.made()
    assert await fiscal.buyer_on(trade.sealer, first) == Buyer("0100109106", "Công ty Hoa Sen")

    late = await papers.paid(70_000)
    await papers.made()
    await papers.buyer(late, "0100109106 - 001", " Công ty   Hoa Sen ")
    await papers.buyer(late, "0100109106-001", "Công ty Hoa Sen")  # pressed twice
    assert standing(await papers.all()) == [(1, 70_000, "valid"), (2, 70_000, "replaced"), (3, 70_000, "valid")]
    replacing = (await papers.all())[-1]
    assert await fiscal.buyer_on(trade.sealer, replacing) == Buyer("0100109106-001", "Công ty Hoa Sen")
    with pytest.raises(fiscal.BuyerNameless):
        await papers.buyer(late, name=" ")
    with pytest.raises(tax_code.TaxCodeUnreadable):
        await papers.buyer(late, "0100109107")
    await papers.gives_back(late)
    with pytest.raises(fiscal.NothingToDocument):
        await papers.buyer(late)
    trade.now += timedelta(days=1)
    with pytest.raises(fiscal.BuyerTooLate):
        await papers.buyer(early, name="Công ty Sao Mai")


async def test_a_buyer_may_be_named_before_anything_is_paid_but_not_when_nothing_can_be(papers: Papers) -> None:
    trade = papers.trade
    owed = await trade.owes(trade.line(70_000), trade.line(10_800, service="parking"))
    await papers.buyer(owed, name="Công ty Sao Mai")
    await trade.transfers(owed.reference, 20_000)
    await papers.buyer(owed)  # the one named last counts, also behind a part of the money
    await trade.transfers(owed.reference, 60_800)
    made = await papers.made()
    assert standing(made) == [(1, 10_800, "valid"), (1, 70_000, "valid")]
    assert {await fiscal.buyer_on(trade.sealer, each) for each in made} == {Buyer("0100109106", "Công ty Hoa Sen")}

    given_up = await trade.owes(trade.line(70_000))
    async with trade.database.transaction(trade.operator_id) as tx:
        await release(tx, given_up.id, now=trade.now)
    with pytest.raises(fiscal.NothingToDocument):
        await papers.buyer(given_up)


async def test_what_a_buyer_typed_is_sealed(papers: Papers, admin: asyncpg.Connection) -> None:
    await papers.buyer(await papers.paid(70_000), "001099012345", "Nguyễn Thu Hà")
    await papers.made()
    for table in ("fiscal_buyer", "fiscal_document"):
        (row,) = await admin.fetch(f"select t::text from payments.{table} t")
        assert "001099012345" not in row["t"] and "Thu Hà" not in row["t"]
    assert Buyer("001099012345", "Nguyễn Thu Hà").for_all().tax_code == "********2345"


async def test_numbers_have_no_gap_however_many_make_and_replace_at_once(
    papers: Papers, settings: Settings, admin: asyncpg.Connection
) -> None:
    charges = [await papers.paid(10_000 + n, service="parking") for n in range(24)]
    other = await Database.open(settings.url("database_app_url"), size=4)

    async def makes(database: Database) -> None:
        for _ in range(4):
            await fiscal.make_what_is_missing(database)
            await asyncio.sleep(0)

    try:
        await asyncio.gather(
            *(makes(database) for database in (papers.trade.database, other, other)),
            *(papers.buyer(owed) for owed in charges[::3]),
            *(papers.gives_back(owed, 1_000) for owed in charges[1::3]),
        )
        await papers.made()
    finally:
        await other.close()
    found = await papers.all()
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    assert await admin.fetchval(
        "select last_number from payments.fiscal_series where kind = 'invoice' and symbol like '%VM'"
    ) == len(found)
    valid = [each for each in found if each.standing == "valid"]
    assert len({each.charge_id for each in valid}) == len(valid) == len(charges), "one valid document each"
    assert sum(each.amount_vnd for each in valid) == sum(10_000 + n for n in range(24)) - 8_000
    named = {owed.id for owed in charges[::3]}
    for each in valid:
        assert (await fiscal.buyer_on(papers.trade.sealer, each) is not None) is (each.charge_id in named)


async def test_a_transaction_that_is_rolled_back_leaves_no_gap(papers: Papers) -> None:
    trade = papers.trade
    await papers.paid(70_000)
    async with trade.database.transaction(trade.operator_id) as tx:
        (row,) = await tx.rows("select id from payments.charge where state = 'paid'")
    with pytest.raises(ZeroDivisionError):
        async with trade.database.transaction(trade.operator_id) as tx:
            await fiscal._make(tx, [row["id"]], now=trade.now)
            raise ZeroDivisionError
    assert standing(await papers.made()) == [(1, 70_000, "valid")]


async def test_the_tax_office_is_told_in_order_and_asked_before_it_is_told_again(papers: Papers) -> None:
    office = papers.office
    owed = [await papers.paid(10_000, service="parking") for _ in range(3)]
    await papers.made()
    office.silent = True
    await papers.tells()
    assert {each.state for each in await papers.all()} == {"asking"}
    office.silent, office.undecided = False, True
    await papers.tells()
    assert {each.state for each in await papers.all()} == {"asking"}, "it has it and has not decided"
    office.undecided = False
    await papers.gives_back(owed[0])
    await papers.made()
    await papers.tells()
    assert [each.state for each in await papers.all()] == ["accepted"] * 3
    assert (await papers.all())[0].tax_code == "M1-1"
    assert (await papers.all())[0].cancel_state == "accepted"
    assert [(key.what, key.number) for key in office.order] == [("issue", 1), ("issue", 2), ("issue", 3), ("cancel", 1)]

    # Told, and never arrived: only then it is told once more, to the byte.
    await papers.paid(20_000, service="parking")
    await papers.made()
    office.silent = True
    await papers.tells()
    lost = office.order.pop()
    office.had.pop(lost)
    office.silent = False
    await papers.tells()
    assert office.order[-1] == lost and (await papers.all())[-1].state == "accepted"


async def test_what_is_rejected_is_replaced_or_told_again(papers: Papers) -> None:
    trade, office = papers.trade, papers.office
    who = (await trade.colleague()).staff_id
    await papers.paid(10_800, service="parking")
    await papers.paid(21_600, service="parking")
    await papers.made()
    office.rejects = {1: "buyer_unknown", 2: "by_lot"}
    await papers.tells()
    first, second = await papers.all()
    assert [(each.state, each.why) for each in (first, second)] == [
        ("rejected", "buyer_unknown"),
        ("rejected", "by_lot"),
    ]

    office.rejects = {1: "buyer_unknown"}
    async with trade.database.transaction(trade.operator_id) as tx:
        await fiscal_sending.again(tx, second.id, staff_id=who, now=trade.now)
    month = await trade.sealer.ready(trade.now)
    async with trade.database.transaction(trade.operator_id) as tx:
        made = await fiscal.mend(
            tx,
            trade.sealer,
            first.id,
            buyer=Buyer("0100109106", "Hoa Sen"),
            staff_id=who,
            reason="sai mã",
            month=month,
            now=trade.now,
        )
    await papers.tells()
    assert [(each.number, each.state, each.standing) for each in await papers.all()] == [
        (1, "rejected", "replaced"),
        (2, "accepted", "valid"),
        (3, "accepted", "valid"),
    ]
    told = office.had[Key("issue", first.form, first.symbol, 3)][0]
    assert told["replaces"]["number"] == 1 and told["buyer"]["name"] == "Hoa Sen"
    with pytest.raises(fiscal_sending.NotRejected):
        async with trade.database.transaction(trade.operator_id) as tx:
            await fiscal_sending.again(tx, made, staff_id=who, now=trade.now)
    with pytest.raises(fiscal.DocumentEnded):
        async with trade.database.transaction(trade.operator_id) as tx:
            await fiscal.mend(
                tx, trade.sealer, first.id, buyer=None, staff_id=who, reason="sai mã", month=month, now=trade.now
            )


async def test_forms_symbols_and_rates_hold_from_their_day_on(papers: Papers, admin: asyncpg.Connection) -> None:
    trade = papers.trade
    today = hanoi_day(trade.now)
    usual: dict[str, Any] = {
        "service": "parking",
        "valid_from": today + timedelta(days=1),
        "kind": "invoice",
        "form": "1",
        "symbol": "C27MVM",
        "vat_bp": 1_000,
        "staff_id": (await trade.colleague()).staff_id,
        "now": trade.now,
    }

    async def adds(**changes: Any) -> UUID:
        async with trade.database.transaction(trade.operator_id) as tx:
            return await fiscal_series.add(tx, **(usual | changes))

    await papers.paid(10_800, service="parking")
    await papers.made()
    with pytest.raises(fiscal_series.TermTooEarly):
        await adds(valid_from=today)
    for wrong in ({"symbol": "có dấu"}, {"kind": "bill"}, {"vat_bp": 9_000}, {"kind": "receipt"}, {"service": "food"}):
        with pytest.raises(fiscal_series.SeriesUnfit):
            await adds(**wrong)
    with pytest.raises(fiscal_series.SeriesOfAnotherKind):
        await adds(
            form="01BLP",
            symbol=await admin.fetchval("select symbol from payments.fiscal_series where symbol like 'VM-%'"),
        )
    mistaken = await adds(vat_bp=500)
    with pytest.raises(asyncpg.UniqueViolationError):  # TermTwice, where a route is asked
        await adds()
    async with trade.database.transaction(trade.operator_id) as tx:
        await fiscal_series.withdraw(tx, mistaken, staff_id=usual["staff_id"], reason="gõ nhầm", now=trade.now)
    id = await adds()

    trade.now += timedelta(days=1)
    await admin.execute("select foundation.set_clock($1, 1)", trade.now)
    owed = await papers.paid(11_000, service="parking")
    before, after = await papers.made()
    assert (before.symbol[3:], before.vat_vnd, after.symbol, after.number, after.vat_vnd) == (
        "MVM",
        800,
        "C27MVM",
        1,
        1_000,
    )
    await papers.gives_back(owed, 5_500)
    assert (await papers.made())[-1].vat_vnd == 500
    for term in (mistaken, id):
        with pytest.raises(fiscal_series.TermInUse):
            async with trade.database.transaction(trade.operator_id) as tx:
                await fiscal_series.withdraw(tx, term, staff_id=usual["staff_id"], reason="x", now=trade.now)
    with pytest.raises(fiscal_series.NoSuchTerm):
        async with trade.database.transaction(trade.operator_id) as tx:
            await fiscal_series.withdraw(tx, trade.operator_id, staff_id=usual["staff_id"], reason="x", now=trade.now)
    async with trade.database.transaction(trade.operator_id) as tx:
        assert await tx.value("select count(*) from foundation.audit_entry where act = 'fiscal.term_withdrawn'") == 1


async def test_without_a_tax_code_of_the_operator_there_is_no_series(papers: Papers, admin: asyncpg.Connection) -> None:
    await admin.execute("alter table payments.payee disable trigger all; update payments.payee set tax_code = null")
    with pytest.raises(fiscal_series.IssuerUnknown):
        async with papers.trade.database.transaction(papers.trade.operator_id) as tx:
            await fiscal_series.add(
                tx,
                service="parking",
                valid_from=date(2100, 1, 1),
                kind="invoice",
                form="1",
                symbol="C26MXX",
                vat_bp=0,
                staff_id=(await papers.trade.colleague()).staff_id,
                now=papers.trade.now,
            )


@given(some.integers(0, 10**9 - 1))
def test_one_wrong_digit_of_a_tax_code_is_noticed(nine: int) -> None:
    digits = f"{nine:09}"
    checked = tax_code.check_digit(digits)
    for tenth in range(10):
        if tenth == checked:
            assert tax_code.read(f"{digits}{tenth}") == f"{digits}{tenth}"
            assert tax_code.read(f" {digits}{tenth} - 002") == f"{digits}{tenth}-002"
        else:
            with pytest.raises(tax_code.TaxCodeUnreadable):
                tax_code.read(f"{digits}{tenth}")


@pytest.mark.parametrize("typed", ["", "0100109106-000", "000099012345", "097099012345", "01001091", "0100109106 ABC"])
def test_what_is_no_tax_code_is_refused(typed: str) -> None:
    with pytest.raises(tax_code.TaxCodeUnreadable):
        tax_code.read(typed)


@pytest.mark.parametrize(
    ("amount_vnd", "words"),
    [
        (0, "Không đồng"),
        (15_000, "Mười lăm nghìn đồng"),
        (70_000, "Bảy mươi nghìn đồng"),
        (101_001, "Một trăm lẻ một nghìn không trăm lẻ một đồng"),
        (1_000_021, "Một triệu không trăm hai mươi mốt đồng"),
        (499_999_999, "Bốn trăm chín mươi chín triệu chín trăm chín mươi chín nghìn chín trăm chín mươi chín đồng"),
    ],
)
def test_an_amount_is_said_as_people_say_it(amount_vnd: int, words: str) -> None:
    assert in_words(amount_vnd) == words


@given(some.integers(0, 10**12 - 1))
def test_the_words_of_an_amount_say_that_amount(amount_vnd: int) -> None:
    """Read back by another rule."""
    value = {word: number for number, word in enumerate(DIGITS)} | {"mốt": 1, "lăm": 5}
    scales = {scale.strip(): 1000**place for place, scale in enumerate(SCALES) if scale}
    total = group = digit = 0
    for word in in_words(amount_vnd).removesuffix(" đồng").lower().split():
        if word in scales:
            total, group, digit = total + (group + digit) * scales[word], 0, 0
        elif word == "trăm":
            group, digit = digit * 100, 0
        elif word in ("mươi", "mười"):
            group, digit = group + (digit or 1) * 10, 0
        elif word != "lẻ":
            digit = value[word]
    assert total + group + digit == amount_vnd
