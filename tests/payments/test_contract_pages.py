"""Contracts on pages: what holds and what comes of it, proposing other terms, agreeing to them, whom they name."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from acts import OPERATOR_IDS, hidden, log_in, press

from payments.contract import Proposal
from payments.finance import contract_form
from payments.share import FeeTerm

PAGE = "/finance/contracts"
STRANGER = "00000000-0000-4000-8000-000000000000"
PARKING, TICKETING = f"{PAGE}/new?service=parking", f"{PAGE}/new?service=ticketing"


@pytest.fixture
async def manager(app: object) -> AsyncIterator[httpx.AsyncClient]:
    """A second browser, in which the manager of Văn Miếu is logged in."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as browser:
        assert (await log_in(browser, "quanly@vanmieu")).status_code == 303
        yield browser


@pytest.fixture
async def payees(admin: asyncpg.Connection) -> dict[str, UUID]:
    rows = await admin.fetch("select kind, id from payments.payee where operator_id = $1", OPERATOR_IDS["vanmieu"])
    return {row["kind"]: row["id"] for row in rows}


def fields(page: str) -> dict[str, str]:
    """The form of a proposal as it is filled: what a browser would send of it."""
    form = page[page.index('action="/finance/contracts"') :]
    typed = {}
    for tag in re.findall(r"<input [^>]*>", form):
        found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if found.get("type") != "checkbox" or re.search(r" checked\b", tag):
            typed[found["name"]] = html.unescape(found.get("value", ""))
    for name, options in re.findall(r'<select [^>]*name="(\w+)">(.*?)</select>', form):
        chosen = re.search(r'value="([^"]+)" selected', options) or re.search(r'value="([^"]+)"', options)
        typed[name] = chosen[1] if chosen else ""
    return typed


def refusal(answer: httpx.Response) -> str:
    """The sentence above a form that was refused."""
    found = re.search(r'id="refused"[^>]*>.*?</b> (.*?)</div>', answer.text, re.DOTALL)
    assert found, answer.text
    return html.unescape(found[1]).strip()


async def filled(browser: httpx.AsyncClient, page: str = TICKETING, **changes: str) -> dict[str, str]:
    """The form as it opens, with some fields changed."""
    form = fields((await browser.get(page)).text)
    return form | {"paper": "07/2030/HĐ", "valid_from": "2030-01-01"} | changes


async def proposes(browser: httpx.AsyncClient, page: str = TICKETING, **changes: str) -> str:
    """Proposes with the form; the path of the contract."""
    answer = await browser.post(PAGE, data=await filled(browser, page, **changes))
    assert answer.status_code == 303, refusal(answer)
    path: str = answer.headers["location"]
    return path


async def test_a_reader_sees_what_holds_and_who_gets_how_much_of_a_sale(manager: httpx.AsyncClient) -> None:
    page = (await manager.get(f"{PAGE}?lang=en")).text.replace("\N{NO-BREAK SPACE}", " ")
    for said in ("01/2024/HĐ-MC", "Budget of the city of Hanoi: 40 %", "42,000 ₫", "28,000 ₫", "card: 1.8 % + 500 ₫"):
        assert said in page, said
    assert "a fee of 350 ₫, VAT of 32 ₫ included" in page
    assert "41,650 ₫ are left" in page
    assert "2 %, for 7 d" in page
    assert "2,400,000 ₫" in page, "rent of a lot"
    for said in ("0100000003", "Kho bạc Nhà nước Khu vực I", "C 560 · TM 2714", "There are no others."):
        assert said in page, said
    assert f"{PAGE}/new" not in page, "a manager agrees, he does not propose"
    page = (await manager.get(f"{PAGE}?lang=vi")).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "thẻ: 1,8 % + 500 ₫" in page
    assert "42.000 ₫" in page


async def test_the_example_of_a_contract_shows_the_fee_of_each_means(clerk: httpx.AsyncClient) -> None:
    path = re.findall(rf"{PAGE}/[0-9a-f-]{{36}}", (await clerk.get(PAGE)).text)[0]
    page = (await clerk.get(f"{path}?lang=en")).text.replace("\N{NO-BREAK SPACE}", " ")
    for said in ("1,760 ₫", "160 ₫", "40,240 ₫", "Lê Thu Cúc", "agreed to a contract"):
        assert said in page, said
    assert "until another takes its place" in page


async def test_the_form_opens_with_what_holds_and_proposes_the_same_terms(
    clerk: httpx.AsyncClient, payees: dict[str, UUID]
) -> None:
    form = await filled(clerk, f"{PARKING}&lang=vi")
    assert form["fee_percent_CARD"] == "1,8"
    assert form["fee_vnd_CARD"] == "500"
    assert form[f"share_{payees['operator']}"] == "100"
    assert (form["area_2"], form["price_2"], form["due_day_2"]) == ("40", "60000", "10")
    assert form["rent_to_2"] == str(payees["city_budget"])
    await proposes(clerk, f"{PARKING}&lang=vi")
    listed = (await clerk.get(f"/api/v1{PAGE}")).json()["contracts"]
    new, old = [one for one in listed if one["service"] == "parking"]
    differing = {name for name in new if new[name] != old[name]}
    assert differing == {
        *("id", "standing", "valid_from", "paper", "proposed_at", "agreed_by", "agreed_at"),
    }


async def test_the_clerk_proposes_and_the_manager_agrees_beside_what_holds(
    clerk: httpx.AsyncClient, manager: httpx.AsyncClient, payees: dict[str, UUID]
) -> None:
    own, city = payees["operator"], payees["city_budget"]
    path = await proposes(clerk, **{f"share_{own}": "55,5", f"share_{city}": "44.50 %", f"sum_{own}": "2000"})
    listed = (await clerk.get(f"{PAGE}?lang=en")).text
    assert re.search(rf'<tr class="muted"><td><a href="{path}">', listed), "his own stands in grey"
    page = (await clerk.get(f"{path}?lang=en")).text
    assert re.search(r'<button class="button" disabled>', page), "his own"
    assert (await press(clerk, path, f"{path}/agree")).status_code == 403

    assert f'<tr><td><a href="{path}">' in (await manager.get(PAGE)).text
    page = (await manager.get(f"{path}?lang=en")).text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"<dd>[^<]*: 55.5 %<br>[^<]*: 44.5 %<br><small[^>]*>Today: [^<]*: 60 %<br>[^<]*: 40 %", page)
    assert "2,000 ₫ of each sale, before all others" in page
    assert "Agree: it holds from 1 Jan 2030" in page
    assert (await press(manager, path, f"{path}/agree")).status_code == 303
    assert (await press(manager, "/finance/", f"{path}/agree")).status_code == 409
    page = (await manager.get(f"{path}?lang=en")).text
    assert "agreed, holds later" in page
    assert "/withdraw" not in page
    assert "31 Dec 2029" in (await manager.get(f"{PAGE}?lang=en")).text, "until when the old one holds"
    trail = (await manager.get("/finance/audit?lang=en")).text
    assert "proposed a contract" in trail
    assert "agreed to a contract" in trail
    assert f'href="{path}"' in trail


async def test_a_proposal_is_taken_back_with_a_reason_by_either(
    clerk: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    for browser in (clerk, manager):
        path = await proposes(clerk)
        assert (await press(browser, path, f"{path}/withdraw", reason=" ")).status_code == 422
        assert (await press(browser, path, f"{path}/withdraw", reason="nhầm tỷ lệ")).status_code == 303
        page = (await browser.get(f"{path}?lang=en")).text
        assert "withdrew a contract" in page
        assert "nhầm tỷ lệ" in page
        assert "/agree" not in page
        assert (await press(manager, "/finance/", f"{path}/agree")).status_code == 409
    assert "withdrawn" in (await clerk.get(f"{PAGE}?lang=en")).text


async def test_a_form_sent_twice_proposes_once(clerk: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    form = await filled(clerk)
    first, second = [await clerk.post(PAGE, data=form) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    assert await admin.fetchval("select count(*) from payments.contract where agreed_at is null") == 1
    other = await clerk.post(PAGE, data=form | {"paper": "08"})
    assert other.status_code == 422
    assert fields(other.text)["key"] != form["key"], "sent again from here, it is another proposal"


@pytest.mark.parametrize(
    ("field", "typed", "en", "vi"),
    [
        ("vat", "abc", "“abc” is no percentage", "“abc” không phải phần trăm"),
        ("vat", "12,345", "at most two decimals", "tối đa hai chữ số thập phân"),
        ("fee_percent_CARD", "-1", "is no percentage", "không phải phần trăm"),
        ("fee_percent_CARD", "1e3", "is no percentage", "không phải phần trăm"),
        ("fee_percent_CARD", "1.", "is no percentage", "không phải phần trăm"),
        ("fee_percent_CARD", "²", "is no percentage", "không phải phần trăm"),
        ("hold_back", "200 %", "from 0 to 100", "từ 0 đến 100"),
        ("hold_back", "60", "what is held back", "tỷ lệ và số ngày giữ lại"),
        ("hold_back_days", "-3", "is no whole number", "không phải số nguyên"),
        ("hold_back_days", "181", "what is held back", "tỷ lệ và số ngày giữ lại"),
        ("vat", "51", "the VAT", "thuế GTGT"),
        ("fee_vnd_CARD", "1" * 23, "is no whole number", "không phải số nguyên"),
        ("fee_vnd_CARD", "60.000", "digits only", "chỉ ghi chữ số"),
        ("fee_vnd_CARD", "999999999", "a fee", "phí"),
        ("due_days", "", "Please fill in: the working days", "Xin điền: số ngày làm việc"),
        ("due_days", "0", "the working days", "số ngày làm việc"),
        ("valid_from", "", "Please fill in: the first day", "Xin điền: ngày bắt đầu"),
        ("valid_from", "2030-02-30", "is no day", "không phải ngày"),
        ("valid_from", "1999-12-31", "between 2000 and 2100", "từ năm 2000 đến 2100"),
        ("valid_from", "1/2/2030", "is no day", "không phải ngày"),
        ("paper", "  ", "Please fill in: the number", "Xin điền: số hợp đồng"),
        ("paper", "ơ" * 201, "at most 200 characters", "tối đa 200 ký tự"),
        ("area_2", "40.5", "is no whole number", "không phải số nguyên"),
        ("area_2", "", "a rent", "tiền thuê"),
        ("price_2", "999999999", "a rent", "tiền thuê"),
        ("due_day_2", "31", "the day on which a rent is due", "ngày đến hạn tiền thuê"),
        ("due_day_2", "", "Please fill in: the day on which a rent is due", "Xin điền: ngày đến hạn"),
        ("rent_to_2", "nobody", "a payee is unknown", "bên thụ hưởng không có"),
        ("rent_to_2", STRANGER, "a rent", "tiền thuê"),
        ("share_nobody", "1", "a payee is unknown", "bên thụ hưởng không có"),
        (f"sum_{STRANGER}", "5000", "a payee is unknown", "bên thụ hưởng không có"),
        ("area_x", "5", "a lot", "bãi xe"),
        ("area_1", "5", "the day on which a rent is due", "ngày đến hạn"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_the_readers_language_and_stays(
    clerk: httpx.AsyncClient, admin: asyncpg.Connection, field: str, typed: str, en: str, vi: str
) -> None:
    before = await admin.fetchval("select count(*) from payments.contract")
    form = await filled(clerk, PARKING, **{"paper": "<b>09</b>", "fees_returned": "true", field: typed})
    for language, said in (("en", en), ("vi", vi)):
        answer = await clerk.post(f"{PAGE}?lang={language}", data=form)
        assert answer.status_code == 422
        assert said in refusal(answer)
        again = fields(answer.text)
        assert again["fees_returned"] == "true"
        stays = form.keys() & again.keys() - {"key", "rent_to_2"}  # a choice of nobody cannot be shown
        assert {name: again[name] for name in stays} == {name: form[name] for name in stays}
        assert len(stays) > 15
    assert await admin.fetchval("select count(*) from payments.contract") == before


async def test_shares_that_are_not_whole_and_a_form_with_nothing_are_refused(
    clerk: httpx.AsyncClient, payees: dict[str, UUID]
) -> None:
    form = await filled(clerk, f"{TICKETING}&lang=en", **{f"share_{payees['operator']}": "59,99"})
    assert "add up to 99.99 %" in refusal(await clerk.post(PAGE, data=form))
    bare = {name: form[name] for name in ("csrf", "key", "service")}
    assert "Please fill in" in refusal(await clerk.post(PAGE, data=bare))
    assert "key" in refusal(await clerk.post(PAGE, data={name: form[name] for name in ("csrf", "service")}))
    for service in ({}, {"service": "boats"}):
        answer = await clerk.post(PAGE, data={"csrf": form["csrf"], "key": "k", **service})
        assert answer.status_code == 422
    assert (await clerk.get(f"{PAGE}/new?service=boats")).status_code == 422
    assert (await clerk.post(PAGE, data=form | {"csrf": ""})).status_code == 403


async def test_a_payee_is_added_once_and_a_refused_one_stays_in_its_form(clerk: httpx.AsyncClient) -> None:
    page = (await clerk.get(f"{PAGE}?lang=en")).text
    form = {"csrf": hidden(page, "csrf"), "key": hidden(page, "key"), "kind": "authority"}
    form |= {"name_vi": "Ban quản lý Văn Miếu", "name_en": "Văn Miếu authority", "tax_code": "0100000003"}
    for _ in range(2):
        assert (await clerk.post("/finance/payees", data=form)).headers["location"] == f"{PAGE}#payees"
    assert [each["kind"] for each in (await clerk.get(f"/api/v1{PAGE}")).json()["payees"]] == [
        *("operator", "authority", "city_budget", "platform")
    ]
    assert "added a payee" in (await clerk.get("/finance/audit")).text
    for wrong, status, said in (
        ({"kind": "platform"}, 409, "There is a payee of this kind already"),
        ({"kind": "city_budget"}, 422, "needs a name in both languages"),
        ({"kind": "king"}, 422, "Please fill in: the kind of payee"),
        ({"name_vi": " "}, 422, "needs a name in both languages"),
        ({"tax_code": "1" * 201}, 422, "at most 200 characters"),
        ({"key": ""}, 422, "key"),
    ):
        answer = await clerk.post("/finance/payees", data=form | {"key": f"{wrong}"} | wrong)
        assert answer.status_code == status
        assert said in refusal(answer)
        assert 'value="Văn Miếu authority"' in answer.text


async def test_another_operators_contract_is_not_there(clerk: httpx.AsyncClient) -> None:
    path = await proposes(clerk)
    await log_in(clerk, "ketoan@dongda")
    assert (await clerk.get(path)).status_code == 404
    for act in ("agree", "withdraw"):
        assert (await press(clerk, PAGE, f"{path}/{act}", reason="x")).status_code == 404
    assert path not in (await clerk.get(PAGE)).text
    assert path.rsplit("/", 1)[1] not in (await clerk.get(f"/api/v1{PAGE}")).text
    assert (await clerk.get(f"{PAGE}/{uuid4()}")).status_code == 404


async def test_who_may_not_read_sees_nothing_and_who_may_only_agree_cannot_propose(
    clerk: httpx.AsyncClient, manager: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    path = await proposes(clerk)
    assert (await manager.get(TICKETING)).status_code == 403
    form = {"csrf": hidden((await manager.get(path)).text, "csrf"), "service": "ticketing", "key": "k"}
    assert (await manager.post(PAGE, data=form)).status_code == 403
    assert (await manager.post("/finance/payees", data=form)).status_code == 403
    await admin.execute("update foundation.staff set roles = '{attendant}' where login = 'quanly'")
    for page in (PAGE, path, TICKETING, f"/api/v1{PAGE}"):
        assert (await manager.get(page)).status_code == 403
    assert (await manager.post(f"{path}/agree", data=form)).status_code == 403


async def test_an_operator_without_payees_or_contracts_reads_so_in_words(
    clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    async with admin.transaction():
        await admin.execute("set local session_replication_role = replica")
        for table in ("contract_rent", "contract_fee", "contract_part", "contract", "payee"):
            await admin.execute(f"delete from payments.{table}")
    page = (await clerk.get(f"{PAGE}?lang=en")).text
    for said in ("No contract holds today", "No rent of pavement is agreed", "There is no payee yet"):
        assert said in page, said
    form = await filled(clerk, f"{PARKING}&lang=en")
    answer = await clerk.post(PAGE, data=form)
    assert answer.status_code == 409
    assert "First name the operator himself" in refusal(answer)


async def test_programs_read_terms_in_basis_points_and_instants_in_utc(clerk: httpx.AsyncClient) -> None:
    path = await proposes(clerk, fees_returned="true")
    answer = await clerk.get(f"/api/v1{PAGE}")
    assert answer.headers["cache-control"] == "no-store"
    new, old, parking = answer.json()["contracts"]
    assert new["id"] == path.rsplit("/", 1)[1]
    assert [one["standing"] for one in (new, old, parking)] == ["proposed", "in_force", "in_force"]
    assert new["fees_returned"] is True
    assert [part["share_bp"] for part in old["entitlements"]] == [6_000, 4_000]
    assert old["fees"]["CARD"] == {"bp": 180, "vnd": 500}
    (rent,) = parking["rents"]
    assert (rent["place"], rent["area_m2"], rent["vnd_per_m2_month"], rent["due_day"]) == (2, 40, 60_000, 10)
    assert new["proposed_at"].endswith(("Z", "+00:00"))
    assert (new["agreed_at"], new["withdrawn_at"], new["valid_until"]) == (None, None, None)
    described = (await clerk.get("/api/openapi.json")).json()["paths"][f"/api/v1{PAGE}"]["get"]
    assert described["summary"] == "Contracts: who gets what of a sale"


@pytest.mark.parametrize(
    ("typed", "bp"),
    [("", 0), ("0", 0), ("7", 700), ("07,5", 750), ("12.50", 1_250), (" 99,99 % ", 9_999), ("100", 10_000)],
)
def test_a_percentage_is_read_to_the_basis_point_with_comma_or_point(typed: str, bp: int) -> None:
    said = contract_form.read({"paper": "1", "valid_from": "2030-01-01", "due_days": "1", "vat": typed})
    assert said.vat_bp == bp


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_form_filled_from_a_contract_is_read_as_that_contract(language: str) -> None:
    payee = uuid4()
    said = Proposal(
        service="parking",
        valid_from=date(2030, 1, 1),
        paper="07",
        entitlements=[
            contract_form.Entitlement(payee, sum_vnd=2_000),
            contract_form.Entitlement(payee, share_bp=10_000),
        ],
        fees={"CARD": FeeTerm(bp=101, vnd=500), "CASH": FeeTerm(bp=20), "WALLET": FeeTerm(vnd=1)},
        vat_bp=805,
        fee_vat_bp=1_000,
        fees_returned=True,
        hold_back_bp=250,
        hold_back_days=7,
        due_days=3,
        rents=[contract_form.Rent(2, payee, 40, 60_000, 10)],
    )
    typed = contract_form.filled(said, service="parking", first=said.valid_from, language=language)
    assert contract_form.read(typed | {"paper": "07"}) == said
