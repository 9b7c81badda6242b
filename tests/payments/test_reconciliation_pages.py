"""Finance's pages of statements and reconciliation, as a browser without JavaScript sees them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import httpx
import pytest
from acts import log_in, press
from banking import Statements
from trade import Trade

from loadtests import statements as files
from payments.bank_statement import UPLOAD_MAX_BYTES

HOME = "/finance/reconciliation"


@pytest.fixture
async def manager(app: object) -> AsyncIterator[httpx.AsyncClient]:
    """A second browser, in which the manager of Văn Miếu is logged in."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as made:
        assert (await log_in(made, "quanly@vanmieu")).status_code == 303
        yield made


async def give_in(
    browser: httpx.AsyncClient, content: bytes, name: str = "saoke.xml", profile: str = ""
) -> httpx.Response:
    csrf = re.findall(r'name="csrf" value="([^"]+)"', (await browser.get("/finance/statements")).text)[0]
    sent = {"file": (name, io.BytesIO(content), "application/octet-stream")}
    return await browser.post("/finance/statements/load", data={"csrf": csrf, "profile": profile}, files=sent)


async def test_a_file_is_given_in_and_everybody_sees_what_became_of_it(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    assert "No statement has come yet." in (await clerk.get("/finance/statements?lang=en")).text
    assert "No bank statement is here yet." in (await clerk.get(f"{HOME}?lang=en")).text
    bank = Statements(trade)
    await trade.transfers("?", 70_000, bank_ref="FT1")
    day = bank.day(bank.line("FT1", 70_000))
    book = files.xlsx([files.two_columns([day])])
    assert b"\x00" in book, "what no text field may hold"
    done = await give_in(clerk, book, "saoke.xlsx", "example-two-columns")
    assert done.status_code == 303
    shown = (await clerk.get(done.headers["location"] + "&lang=en")).text
    assert "1 of 1 statements taken in." in shown and "70,000" in shown
    again = await give_in(clerk, book, "saoke-2.xlsx", "example-two-columns")
    assert "given in before" in (await clerk.get(again.headers["location"] + "&lang=en")).text
    trade.now += timedelta(days=1)
    await admin.execute("select foundation.set_clock(foundation.now() + interval '1 day', 1)")
    gap = "".join(files.camt053([bank.day(opening_vnd=5)]))
    waits = await give_in(clerk, gap.encode())
    assert "stood at 70,000 đồng before" in (await clerk.get(waits.headers["location"] + "&lang=en")).text
    said = (await clerk.get("/api/v1/finance/statements")).json()
    assert [(each["state"], each["why"]) for each in said] == [
        ("quarantined", "statement_not_chained"),
        ("accepted", None),
    ]
    for content, status in ((b"<a>", 422), (b"", 422), (b"x" * (UPLOAD_MAX_BYTES + 100_000), 413)):
        assert (await give_in(clerk, content)).status_code == status
    assert await admin.fetchval("select count(*) from payments.statement_file") == 2


async def test_from_a_line_of_the_bank_to_the_payment_and_back_in_two_clicks(
    trade: Trade, clerk: httpx.AsyncClient
) -> None:
    owed = await trade.owes(trade.line(35_000))
    await trade.transfers(owed.reference, 35_000, bank_ref="FT1")
    bank = Statements(trade)
    await bank.load(bank.day(bank.line("FT1", 35_000)))
    (statement,) = re.findall(
        r'href="(/finance/statements/[0-9a-f-]{36})"', (await clerk.get("/finance/statements")).text
    )
    (line,) = re.findall(r'href="(/finance/lines/[^"]+)"', (await clerk.get(statement)).text)
    page = (await clerk.get(f"{line}?lang=en")).text
    assert f"/finance/charges?reference={owed.reference}" in page
    assert "NGUYEN VAN THU" in page, "who paid stands on the line alone …"
    assert "read a line" in (await clerk.get("/finance/audit?lang=en")).text, "… and reading it leaves a trace"
    assert line in (await clerk.get(f"/finance/charges?reference={owed.reference}", follow_redirects=True)).text


async def test_what_was_chosen_and_said_stays_where_an_act_is_refused(trade: Trade, clerk: httpx.AsyncClient) -> None:
    bank = Statements(trade)
    await trade.transfers("?", 1_000, bank_ref="FT1")
    await bank.load(bank.day(bank.line("FT1", 990)), who=(await trade.colleague()).staff_id)
    (line,) = (await clerk.get("/api/v1/finance/open-items")).json()["items"]
    (moved,) = (await clerk.get("/api/v1/finance/open-items?side=movement")).json()["items"]
    item, query = f"{HOME}/items/{line['id']}", "side=line"

    async def sends(page: str, act: str, **said: object) -> str:
        csrf = re.findall(r'name="csrf" value="([^"]+)"', (await clerk.get(f"{page}?{query}&lang=en")).text)[0]
        at = {"referer": f"http://test.local{page}?{query}"}
        answer = await clerk.post(f"{HOME}/{act}?{query}", data={"csrf": csrf, **said}, headers=at)
        assert answer.status_code in (409, 422)
        assert re.search(
            r'<div id="refused" tabindex="-1" autofocus>\s*<div class="notice error" role="alert">', answer.text
        )
        return answer.text

    page = await sends(item, "match", item=[line["id"], moved["id"]], reason="chưa rõ")
    assert "differs by -10 đồng" in page and 'value="chưa rõ"' in page
    assert re.search(rf'value="{moved["id"]}"[^>]* checked', page)
    page = await sends(item, "match", item=[line["id"], moved["id"]], difference="interest")
    assert "A difference of -10" in page and '<option value="interest" selected>' in page
    page = await sends(item, "name", item=line["id"], name="dispute", reason="  ")
    assert '<option value="dispute" selected>' in page and not re.search(rf'value="{moved["id"]}"[^>]* checked', page)
    page = await sends(HOME, "match", item=line["id"], reason="một mình")
    assert re.search(rf'value="{line["id"]}"[^>]* checked', page) and 'value="một mình"' in page
    assert 'name="name"' in page and f"{HOME}?side=movement" not in page


async def test_whoever_lists_open_lines_has_read_their_texts_and_leaves_one_entry_a_page(
    trade: Trade, clerk: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    bank = Statements(trade)
    who = (await trade.colleague()).staff_id
    await trade.transfers("?", 9_000, bank_ref="FT1")
    await bank.load(bank.day(*(bank.line(f"X{n}", 1_000 + n) for n in range(3))), who=who)
    read = "select subject, after from foundation.audit_entry where act in ('items.read', 'statement.read') order by id"
    for address in (HOME, "/api/v1/finance/open-items", f"{HOME}?side=movement", f"{HOME}?q=nothing"):
        assert (await clerk.get(address)).status_code == 200
    page, program = await admin.fetch(read)
    assert page == program, "what shows no text leaves nothing"
    (shown,) = json.loads(page["after"])["positions"].values()
    assert (page["subject"], shown, json.loads(page["after"])["lines"]) == ("open items", [0, 1, 2], 3)
    found = (await clerk.get("/api/v1/finance/open-items?q=MBVCB+X1")).json()["items"]
    await clerk.get(f"{HOME}/items/{found[0]['id']}")
    searched, alone = (await admin.fetch(read))[2:]
    assert json.loads(searched["after"])["lines"] == 1 and "MBVCB" not in searched["after"]
    assert len(json.loads(searched["after"])["search"]) == 16
    assert alone["subject"] == f"statement {found[0]['statement_id']} {found[0]['position']}"
    assert "read a page of open lines" in (await clerk.get("/finance/audit?lang=en")).text


async def test_a_clerk_decides_and_a_second_person_agrees_where_it_is_much(
    trade: Trade, clerk: httpx.AsyncClient, manager: httpx.AsyncClient
) -> None:
    bank = Statements(trade)
    for ref, amount_vnd in (("FT1", 500_000), ("FT2", 7_000), ("FT3", 9_000), ("FT4", 400_000)):
        await trade.transfers("?", amount_vnd, bank_ref=ref)
    lines = [bank.line("FT1", 200_000), bank.line("", 7_000, text="ve tham quan"), bank.line("NEW", 3_000)]
    given = "".join(files.camt053([bank.day(*lines)]))
    await give_in(clerk, given.encode())
    items = (await clerk.get("/api/v1/finance/open-items?q=ve+tham")).json()
    assert (items["count"], items["bulk"]["lines"], items["bulk"]["sum_vnd"]) == (1, 1, 7_000)
    filtered = f"{HOME}?q=7000"
    stale = await press(clerk, filtered, f"{HOME}/accept?q=7000", seen="0" * 32, least="65")
    assert (stale.status_code, "tổng 7.000 đồng" in stale.text) == (409, True), "not what the page had counted"
    assert (await press(clerk, filtered, f"{HOME}/accept?q=7000", seen=items["bulk"]["seen"])).status_code == 303

    by_ref = {}
    for side in ("line", "movement"):
        for item in (await clerk.get(f"/api/v1/finance/open-items?side={side}")).json()["items"]:
            by_ref[side, item["bank_ref"]] = item["id"]
    both = [by_ref["line", "FT1"], by_ref["movement", "FT1"]]
    unsaid = await press(clerk, HOME, f"{HOME}/match", item=both)
    assert (unsaid.status_code, "-300.000" in unsaid.text) == (409, True)
    assert (await press(clerk, HOME, f"{HOME}/match", item=both, difference="shortage")).status_code == 303
    page = (await clerk.get(f"{HOME}?lang=en")).text
    (ask,) = set(re.findall(rf'action="({HOME}/asks/[^"]+)"', (await manager.get(HOME)).text))
    assert "Waits for a second person" in page
    assert (await press(manager, HOME, ask, agree="true")).status_code == 303
    own = await press(clerk, HOME, f"{HOME}/book", item=by_ref["line", "NEW"])
    assert own.status_code == 403, "he has given the file in himself"
    assert (await press(manager, HOME, f"{HOME}/book", item=by_ref["line", "NEW"])).status_code == 303
    named = await press(clerk, HOME, f"{HOME}/name", item=by_ref["movement", "FT3"], name="bank_asked")
    assert named.headers["location"] == f"{HOME}?side=line#items"
    much = f"{HOME}/items/{by_ref['movement', 'FT4']}"
    named = await press(
        clerk, much, f"{HOME}/name?side=movement", item=much[-36:], name="payer_asked", reason="gọi rồi"
    )
    assert named.headers["location"] == f"{HOME}?side=movement#asked"
    front = (await manager.get("/finance/?lang=en")).text
    assert "Items that stay open: to agree to" in front and "the payer is asked" in front
    shown = (await manager.get(f"{much}?lang=en")).text
    assert (
        "gọi rồi" in shown and "400,000" in shown.split("1 items stay open:")[0].split("Waits for a second person")[1]
    )
    (ask,) = set(re.findall(rf'action="({HOME}/asks/[^"]+)"', shown))
    assert (await press(manager, much, ask, agree="true")).status_code == 303
    proof = (await clerk.get("/api/v1/finance/proof-of-cash")).json()
    assert (proof["difference_vnd"], proof["hindrance"], proof["movements"]["count"]) == (0, None, 2)
    history = (await clerk.get(f"{HOME}/history?lang=en")).text
    for act in ("accepted", "difference written off", "taken into the books", "stays open"):
        assert act in history
    (line,) = re.findall(r'href="(/finance/lines/[^"]+)"', history.split("difference written off")[1])[:1]
    assert (await press(clerk, line, f"{line}/undo", reason="nhầm")).status_code == 303
    assert "undone" in (await clerk.get(f"{HOME}/history?lang=en")).text
    item = f"{HOME}/items/{by_ref['movement', 'FT3']}"
    (movement,) = set(re.findall(r'href="(/finance/movements/[^"]+)"', (await clerk.get(item)).text))
    off = await press(clerk, item, f"{HOME}/match", item=item[-36:], difference="shortage")
    assert off.status_code == 303 and "No line of the bank" in (await clerk.get(f"{movement}?lang=en")).text
    assert movement in (await clerk.get(f"{HOME}/history")).text, "where what has no line is found again"
    assert (await press(clerk, movement, f"{movement}/undo", reason="thấy rồi")).headers["location"] == movement
    assert item in (await clerk.get(movement)).text, "open again"
    assert (await clerk.get(movement.replace("receipt", "nothing"))).status_code == 404
    for address in (HOME, f"{HOME}/cash", item, movement, line):
        for language in ("vi", "en"):
            shown = await clerk.get(address, params={"lang": language, "day": str(bank.today)})
            assert shown.status_code == 200
    gone = await clerk.get(f"{HOME}/items/{by_ref['line', 'NEW']}")
    assert gone.status_code == 404
