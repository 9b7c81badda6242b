"""Receipts and invoices as people meet them: a visitor behind his ticket or stay, anybody with a code, a clerk in the office."""

from __future__ import annotations

import io
import json
import re

import httpx
import pytest
from acts import bought_code, enrolled, notify, order, press
from pypdf import PdfReader

from foundation import outbox
from foundation.web import Platform
from payments import fiscal, fiscal_sending
from payments.tax_office import Key, Told, Verdict

BUYER = {"tax_code": "0100109106", "name": "Công ty Hoa Sen"}


class RejectsBuyers:
    """A tax office that takes everything but what is made out to somebody."""

    async def tell(self, issuer: str, items: list[Told]) -> dict[Key, Verdict]:
        return {
            each.key: Verdict("rejected", why="buyer_unknown") if each.facts.get("buyer") else Verdict("accepted", "M1")
            for each in items
        }

    async def fates_of(self, issuer: str, keys: list[Key]) -> dict[Key, Verdict]:
        return dict.fromkeys(keys, Verdict("unknown"))


async def told(here: Platform) -> None:
    await here.database.execute("update foundation.due set due_at = clock_timestamp() where kind = 'payments.fiscal'")
    for claim in await outbox.claim(here.database):
        if claim.kind == fiscal.SENDING:
            await fiscal_sending.pursue(here.database, here.sealer, RejectsBuyers(), claim)
            async with here.database.transaction(claim.operator_id) as tx:
                await outbox.done(tx, claim)


async def test_a_visitor_finds_his_receipt_and_has_it_made_out_to_his_firm(
    client: httpx.AsyncClient, here: Platform
) -> None:
    client.headers["accept-language"] = "en"
    code = await bought_code(client, adult=2)
    ticket = await client.get(f"/T/{code}")
    link = re.search(r'href="(/S/ticket/[^"]+/documents)"', ticket.text)
    assert link
    page = (await client.get(link[1])).headers["location"]
    first = await client.get(page)
    assert "Your receipt is being made" in first.text and 'http-equiv="refresh"' in first.text

    await fiscal.make_what_is_missing(here.database)
    shown = await client.get(page)
    assert "being made" not in shown.text and "140,000\N{NO-BREAK SPACE}₫" in shown.text
    path = re.search(r'href="(/documents/vanmieu/[^".]+)"', shown.text)
    assert path
    document = await client.get(path[1])
    for said in (
        "Fee receipt",
        "Trung tâm Văn Miếu",
        "0100000003",
        "00000001",
        "Một trăm bốn mươi nghìn đồng",
        "140,000",
    ):
        assert said in document.text, said
    paper = await client.get(f"{path[1]}.pdf")
    text = "".join(each.extract_text() for each in PdfReader(io.BytesIO(paper.content)).pages)
    assert "Phí tham quan, Văn Miếu – Quốc Tử Giám" in text and "00000001" in text

    for wrong, sentence in (({"tax_code": "0100109107"}, "That is no tax code"), ({"name": " "}, "buyer&#39;s name")):
        refused = await client.post(page, data=BUYER | wrong)
        assert refused.status_code == 422 and sentence in refused.text, refused.text
        assert 'value="Công ty Hoa Sen"' in refused.text or "name" in wrong, "what was typed stays"
    assert (await client.post(page, data=BUYER)).status_code == 303
    made_out = await client.get(page)
    assert "Made out to Công ty Hoa Sen, tax code 0100109106" in made_out.text and "00000002" in made_out.text
    assert "has taken the place of this one" in (await client.get(path[1])).text
    newer = re.search(r'href="(/documents/vanmieu/[^".]+)"', made_out.text)
    assert newer and "Replaces 01BLP" in (await client.get(newer[1])).text

    typed = re.search(r"vanmieu-[0-9A-Z-]{23}", (await client.get(newer[1])).text)
    assert typed
    found = await client.get("/documents", params={"code": f" {typed[0].lower()} "})
    assert found.headers["location"] == newer[1]
    for nothing in ("vanmieu-AAAAA-AAAAA-AAAAA-AAAAA", "x", typed[0].replace("vanmieu", "dongda")):
        assert (await client.get("/documents", params={"code": nothing})).status_code == 404
    assert (await client.get(page.replace("/documents", "x/documents"))).status_code == 404, "another token"
    assert "look-up code" in (await client.get("/documents")).text


async def test_a_person_is_not_shown_to_everybody_with_a_link(client: httpx.AsyncClient, here: Platform) -> None:
    code = await bought_code(client, adult=1)
    page = (await client.get(f"/S/ticket/{code}/documents")).headers["location"]
    await client.post(page, data={"tax_code": "001099012345", "name": "Nguyễn Thu Hà"})
    await fiscal.make_what_is_missing(here.database)
    shown = (await client.get(page)).text
    path = re.search(r'href="(/documents/vanmieu/[^".]+)"', shown)
    assert path and "********2345" in shown
    for text in (shown, (await client.get(path[1])).text):
        assert "001099012345" not in text
    for _ in range(4):
        await client.post(page, data=BUYER)
    assert (await client.post(page, data=BUYER | {"name": "Một công ty khác"})).status_code == 429


async def test_who_pays_names_his_firm_first_and_it_stands_on_the_first_document(
    client: httpx.AsyncClient, here: Platform
) -> None:
    client.headers["accept-language"] = "en"
    page = (await order(client, adult=2)).headers["location"]
    shown = await client.get(page)
    assert "I need an invoice for a company" in shown.text and "Made out to" not in shown.text
    assert 'http-equiv="refresh"' in shown.text and 'href="?buyer=1#buyer"' in shown.text, "without JavaScript"
    typing = await client.get(page, params={"buyer": "1"})
    assert 'http-equiv="refresh"' not in typing.text and f'action="{page}#buyer"' in typing.text, (
        "nobody is interrupted"
    )

    for wrong, sentence in (({"tax_code": "0100109107"}, "That is no tax code"), ({"name": "7"}, "buyer&#39;s name")):
        refused = await client.post(page, data=BUYER | wrong)
        assert refused.status_code == 422 and sentence in refused.text
        assert all(f'value="{said}"' in refused.text for said in (BUYER | wrong).values()), "what was typed stays"
        assert 'http-equiv="refresh"' not in refused.text
    for code, name in (("001099012345", "Nguyễn Thu Hà"), (BUYER["tax_code"], BUYER["name"])):
        said = await client.post(page, data={"tax_code": code, "name": name})
        assert (said.status_code, said.headers["location"]) == (303, f"{page}#buyer")
        again = (await client.get(page)).text
        assert f"Made out to {name}" in again and f'value="{name}"' in again, "it can be changed, and survives"
        assert "001099012345" not in again, "a person's number is not for everybody with a link"
    reference = page.split("/")[2]
    anybody = (await client.get(f"/pay/{reference}")).text
    assert "Hoa Sen" not in anybody and "I need an invoice" not in anybody
    assert (await client.post(f"{page}x", data=BUYER)).status_code == 404, "another token"

    assert (await notify(client, text=reference, amount_vnd=140_000)).status_code == 202
    await fiscal.make_what_is_missing(here.database)
    ticket = (await client.get(page)).headers["location"]
    ticket = (await client.get(ticket)).headers["location"]
    link = re.search(r'href="(/S/ticket/[^"]+/documents)"', (await client.get(ticket)).text)
    assert link
    documents = (await client.get((await client.get(link[1])).headers["location"])).text
    assert "Made out to Công ty Hoa Sen, tax code 0100109106" in documents
    assert "00000001" in documents and "00000002" not in documents, "nothing had to be replaced"


async def test_who_names_his_firm_while_the_money_arrives_has_it_on_his_documents_all_the_same(
    client: httpx.AsyncClient, here: Platform
) -> None:
    page = (await order(client, adult=1)).headers["location"]
    await notify(client, text=page.split("/")[2], amount_vnd=70_000)
    await fiscal.make_what_is_missing(here.database)
    assert (await client.post(page, data=BUYER)).status_code == 303
    assert "Công ty Hoa Sen" in (await client.get(f"{page}/documents")).text
    for _ in range(4):
        await client.post(page, data=BUYER)
    assert (await client.post(f"{page}/documents", data=BUYER)).status_code == 429, "one bound for both pages"


async def test_a_free_ticket_has_no_receipt(client: httpx.AsyncClient) -> None:
    answer = await order(client, child=2)
    ticket = (await client.get(answer.headers["location"])).headers["location"]
    assert "/documents" not in (await client.get(ticket)).text
    refused = await client.get(f"/S/ticket/{ticket.removeprefix('/T/')}/documents")
    assert refused.status_code == 409


async def test_a_stay_leads_to_its_invoice(client: httpx.AsyncClient, here: Platform) -> None:
    tablet = await enrolled(client, here)
    came = await tablet.does("vehicles/in", place=2, plate="29X1-234.56", vehicle_class="motorbike")
    code = came["stay"]["code_url"].rpartition("/")[2]
    out = await tablet.does("vehicles/out", place=2, code=code)
    await tablet.does("shift/open", place=2, notes={})
    await tablet.does("cash/stay", place=2, stay_id=came["stay"]["id"], amount_vnd=out["due_vnd"])
    await fiscal.make_what_is_missing(here.database)
    page = (await client.get(f"/T/{code}")).text
    link = re.search(r'href="(/P/stay/[^"]+/documents)"', page)
    assert link
    shown = await client.get((await client.get(link[1])).headers["location"])
    assert "Hóa đơn GTGT khởi tạo từ máy tính tiền" in shown.text and "Trông giữ xe, Bãi xe máy Văn Miếu" in shown.text


async def test_a_clerk_sees_the_day_mends_what_was_rejected_and_changes_the_terms(
    clerk: httpx.AsyncClient, here: Platform
) -> None:
    clerk.headers["accept-language"] = "en"
    code = await bought_code(clerk, adult=1)
    await bought_code(clerk, adult=2)
    page = (await clerk.get(f"/S/ticket/{code}/documents")).headers["location"]
    await clerk.post(page, data=BUYER)
    assert (
        "2 payments (210,000\N{NO-BREAK SPACE}₫) wait for their documents" in (await clerk.get("/finance/fiscal")).text
    )
    await fiscal.make_what_is_missing(here.database)
    await told(here)

    day = (await clerk.get("/finance/fiscal")).text
    assert "there is no such buyer" in day and "Phí tham quan" in day
    said = (await clerk.get("/api/v1/finance/fiscal")).json()
    receipts = next(each for each in said["series"] if each["kind"] == "receipt")
    assert {
        name: receipts[name] for name in ("made", "accepted", "rejected", "gaps", "first", "last", "valid_vnd")
    } == {
        "made": 2,
        "accepted": 1,
        "rejected": 1,
        "gaps": 0,
        "first": 1,
        "last": 2,
        "valid_vnd": 210_000,
    }
    assert "Hoa Sen" not in json.dumps(said, ensure_ascii=False)
    rejected = next(each for each in said["documents"] if each["state"] == "rejected")
    path = f"/finance/fiscal/{rejected['id']}"
    assert "Công ty Hoa Sen" in (await clerk.get(path)).text

    assert (await press(clerk, path, f"{path}/again")).status_code == 303
    await told(here)
    refused = await press(clerk, path, f"{path}/mend", reason="sai mã", tax_code="123", name="Hoa Sen")
    assert refused.status_code == 422 and 'value="sai mã"' in refused.text
    mended = await press(clerk, path, f"{path}/mend", reason="sai mã", tax_code="001099012345", name="Nguyễn Thu Hà")
    newer = (await clerk.get(mended.headers["location"])).text
    assert "Nguyễn Thu Hà" in newer and "********2345" in newer and "replaced by hand" in newer
    assert (await clerk.get("/finance/fiscal", params={"day": "2020-01-01"})).status_code == 200

    terms = {"service": "ticketing", "valid_from": "2099-01-01", "kind": "receipt", "form": "02blp", "symbol": "vm-99e"}
    for wrong in ({"valid_from": "x"}, {"vat": "8"}, {"vat": "tám"}):
        answer = await press(clerk, "/finance/fiscal", "/finance/fiscal/terms", **(terms | wrong))
        assert answer.status_code == 422 and 'value="02blp"' in answer.text
    assert (await press(clerk, "/finance/fiscal", "/finance/fiscal/terms", **terms)).status_code == 303
    twice = await press(clerk, "/finance/fiscal", "/finance/fiscal/terms", **terms)
    assert twice.status_code == 409 and "begins on the same day" in twice.text
    listed = (await clerk.get("/finance/fiscal")).text
    assert "VM-99E" in listed
    withdraw = re.search(r'action="(/finance/fiscal/terms/[^"]+/withdraw)"', listed)
    assert withdraw
    assert (await press(clerk, "/finance/fiscal", withdraw[1], reason="gõ nhầm")).status_code == 303
    trail = (await clerk.get("/finance/audit")).text
    assert "took a form, symbol or rate back" in trail and "replaced a document" in trail
    assert "Hoa Sen" not in trail and "Thu Hà" not in trail


@pytest.mark.parametrize("path", ["/finance/fiscal/0190a000-0000-7000-8000-000000000001", "/documents/nobody/AAAA"])
async def test_a_document_that_is_not_there_is_not_found(clerk: httpx.AsyncClient, path: str) -> None:
    assert (await clerk.get(path)).status_code == 404
