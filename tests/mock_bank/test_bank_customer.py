"""The customer's banking app, page by page, as a browser without JavaScript uses it."""

from __future__ import annotations

import asyncio
import io
import re
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import qrcode
from PIL import Image

from mock_bank import customer, language, refusal
from mock_bank.vietqr import BadAmount, checksum
from tests.mock_bank.receiving import ACCOUNT, BIN, Receiver

Form = dict[str, str]


def code(account: str = ACCOUNT, amount: str = "540570000", text: str = "0812HNTKA8B4C6D2") -> str:
    bank = f"0006{BIN}01{len(account):02}{account}"
    beneficiary = f"0010A00000072701{len(bank):02}{bank}0208QRIBFTTA"
    body = f"00020101021238{len(beneficiary):02}{beneficiary}5303704{amount}5802VN62{len(text):02}{text}6304"
    return body + checksum(body)


def picture_of(text: str, form: str = "PNG") -> bytes:
    drawn = qrcode.make(text).get_image().convert("RGB")
    content = io.BytesIO()
    drawn.save(content, form)
    return content.getvalue()


async def confirmation(
    phone: httpx.AsyncClient, wanted: str | None = None, **query: str
) -> tuple[httpx.Response, Form]:
    """The confirmation page and what its form would send."""
    page = await phone.get("/app/confirm", params={"code": wanted or code(), **query})
    inputs = re.findall(r'<input [^>]*name="(\w+)"[^>]*>', page.text)
    values = {name: re.search(rf'name="{name}"[^>]*value="([^"]*)"', page.text) for name in inputs}
    return page, {name: unescape(found[1]) for name, found in values.items() if found is not None}


async def send(phone: httpx.AsyncClient, form: Form, **changed: str) -> httpx.Response:
    return await phone.post("/app/pay", data={**form, "act": "pay", **changed}, follow_redirects=True)


async def booked(db: asyncpg.Pool[Any]) -> list[int]:
    rows = await db.fetch("SELECT amount_vnd FROM mock_bank.transaction ORDER BY number")
    return [row["amount_vnd"] for row in rows]


async def test_the_front_door_leads_to_the_app(phone: httpx.AsyncClient) -> None:
    page = await phone.get("/", follow_redirects=True)
    assert page.status_code == 200
    assert "Practice money, not real money" in page.text
    assert "No collection account has been opened" in page.text


async def test_a_deep_link_leads_straight_to_the_confirmation(phone: httpx.AsyncClient, account: str) -> None:
    page = await phone.get("/app", params={"code": code(), "lang": "vi"}, follow_redirects=True)
    assert page.url.path == "/app/confirm"
    assert "Xác nhận chuyển tiền" in page.text


async def test_the_confirmation_shows_payee_bank_account_amount_and_text(
    phone: httpx.AsyncClient, account: str
) -> None:
    page, form = await confirmation(phone)
    assert "TRUNG TAM VAN MIEU" in page.text
    assert "Vietcombank" in page.text
    assert ACCOUNT in page.text
    assert "70,000 ₫" in page.text
    assert (form["amount"], form["text"]) == ("70000", "HNTKA8B4C6D2")


async def test_paying_shows_the_reference_and_sends_the_notice(
    phone: httpx.AsyncClient, account: str, receiver: Receiver, db: asyncpg.Pool[Any]
) -> None:
    _, form = await confirmation(phone)
    receipt = await send(phone, form)
    assert receipt.url.path.startswith("/app/receipt/")
    assert await db.fetchval("SELECT bank_ref FROM mock_bank.transaction") in receipt.text
    assert "70,000 ₫" in receipt.text
    await receiver.has(1)


@pytest.mark.parametrize(("typed", "amount_vnd"), [("50.000", 50_000), ("90,000", 90_000), ("1", 1)])
async def test_the_payer_may_pay_less_or_more(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any], typed: str, amount_vnd: int
) -> None:
    _, form = await confirmation(phone)
    await send(phone, form, amount=typed)
    assert await booked(db) == [amount_vnd]


async def test_a_double_click_pays_once(phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]) -> None:
    _, form = await confirmation(phone)
    receipts = await asyncio.gather(*(send(phone, form) for _ in range(4)))
    assert len({receipt.text for receipt in receipts}) == 1
    assert await booked(db) == [70_000]


async def test_pay_twice_makes_two_transfers_and_never_a_third(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]
) -> None:
    _, form = await confirmation(phone)
    await send(phone, form, act="twice")
    receipt = await send(phone, form, act="twice")
    assert await booked(db) == [70_000, 70_000]
    refs = await db.fetch("SELECT bank_ref FROM mock_bank.transaction")
    assert all(row["bank_ref"] in receipt.text for row in refs)
    assert "140,000 ₫" in receipt.text


async def test_refusing_pays_nothing(phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]) -> None:
    _, form = await confirmation(phone)
    page = await send(phone, form, act="refuse", amount="")
    assert "No money was transferred" in page.text
    assert await booked(db) == []


@pytest.mark.parametrize(
    "typed", ["", "0", "-5", "1e3", "1.5", "70.00", "500000000", "9" * 23, "seventy", "٧٠٠٠٠", "1.000,50"]
)
async def test_a_bad_amount_is_said_in_words_and_what_was_typed_stays(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any], typed: str
) -> None:
    _, form = await confirmation(phone)
    page = await send(phone, form, amount=typed, text="MY TEXT")
    assert page.status_code == 400
    assert "whole number of đồng" in page.text
    assert 'value="MY TEXT"' in page.text
    assert form["payment"] in page.text
    assert await booked(db) == []


@pytest.mark.parametrize("text", ["A" * 141, "two\nlines", "\x00"])
async def test_a_bad_text_is_refused(phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any], text: str) -> None:
    _, form = await confirmation(phone)
    assert (await send(phone, form, text=text)).status_code == 400
    assert await booked(db) == []


async def test_a_form_used_for_another_payment_is_refused(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]
) -> None:
    _, form = await confirmation(phone)
    await send(phone, form)
    page = await send(phone, form, amount="1000")
    assert page.status_code == 422
    assert "Another payment was already made" in page.text
    assert await booked(db) == [70_000]


async def test_a_form_without_its_id_is_refused_as_a_page(phone: httpx.AsyncClient, account: str) -> None:
    page = await phone.post("/app/pay", data={"code": code(), "amount": "1"})
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")


async def test_a_code_for_an_account_the_bank_does_not_know_is_refused_in_words(phone: httpx.AsyncClient) -> None:
    page, _ = await confirmation(phone, code("404404"))
    assert page.status_code == 404
    assert "knows no account 404404" in page.text


async def test_a_damaged_code_is_explained_and_stays_in_the_field(phone: httpx.AsyncClient, account: str) -> None:
    broken = code()[:-4] + ("0000" if code()[-4:] != "0000" else "1111")
    page, _ = await confirmation(phone, broken)
    assert page.status_code == 400
    assert "check digits do not agree" in page.text
    assert broken in page.text


async def test_a_code_without_an_amount_asks_for_one(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]
) -> None:
    page, form = await confirmation(phone, code(amount=""))
    assert "names no amount" in page.text
    await send(phone, form, amount="12.000")
    assert await booked(db) == [12_000]


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
async def test_a_picture_of_the_code_is_read(phone: httpx.AsyncClient, account: str, form: str) -> None:
    files = {"picture": ("qr", picture_of(code(), form), "image/png")}
    page = await phone.post("/app/picture", files=files, data={"back": "http://localhost/T/X"}, follow_redirects=True)
    assert page.url.path == "/app/confirm"
    assert "TRUNG TAM VAN MIEU" in page.text
    assert 'value="http://localhost/T/X"' in page.text


async def test_a_code_drawn_on_nothing_is_read_too(phone: httpx.AsyncClient, account: str) -> None:
    drawn = qrcode.make(code()).get_image().convert("L")
    clear = Image.new("RGBA", drawn.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=drawn.point(lambda grey: 255 - grey))
    content = io.BytesIO()
    clear.save(content, "PNG")
    page = await phone.post("/app/picture", files={"picture": ("qr", content.getvalue())}, follow_redirects=True)
    assert page.url.path == "/app/confirm"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable PNG or JPEG"),
        (b"GIF89a" + bytes(50), "not a readable PNG or JPEG"),
        (picture_of("A")[:200], "not a readable PNG or JPEG"),
    ],
)
async def test_what_is_no_picture_is_said_in_words(phone: httpx.AsyncClient, content: bytes, words: str) -> None:
    page = await phone.post("/app/picture", files={"picture": ("qr", content)})
    assert page.status_code == 400
    assert words in page.text


async def test_a_picture_without_a_code_is_said_in_words(phone: httpx.AsyncClient) -> None:
    content = io.BytesIO()
    Image.new("RGB", (300, 300), "teal").save(content, "JPEG")
    page = await phone.post("/app/picture", files={"picture": ("qr", content.getvalue())})
    assert page.status_code == 400
    assert "no QR code to be seen" in page.text


async def test_a_picture_with_too_many_pixels_is_refused_unopened(phone: httpx.AsyncClient) -> None:
    content = io.BytesIO()
    Image.new("1", (9000, 9000)).save(content, "PNG")
    assert len(content.getvalue()) < 100_000
    page = await phone.post("/app/picture", files={"picture": ("qr", content.getvalue())})
    assert page.status_code == 400


async def test_a_picture_beyond_two_megabytes_is_refused(phone: httpx.AsyncClient) -> None:
    page = await phone.post("/app/picture", files={"picture": ("qr", bytes(3_000_000))})
    assert page.status_code == 413
    assert "larger than the bank accepts" in page.text


@pytest.mark.parametrize(
    "wanted",
    ["http://localhost:8000/T/ABC", "https://127.0.0.1/P/7?lang=en", "http://bank.example:8001/app"],
)
async def test_the_receipt_links_back_to_a_host_on_the_list(
    phone: httpx.AsyncClient, account: str, settings: Any, wanted: str
) -> None:
    settings.public_url = "http://bank.example:8001"
    _, form = await confirmation(phone, **{"return": wanted})
    assert f'href="{wanted}"' in (await send(phone, form)).text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "JAVASCRIPT://localhost/%0aalert(1)",
        "data:text/html,x",
        "http://localhost@evil.example/",
        "http://localhost\\@evil.example/",
        "http://localhost.evil.example/",
        "http://evil.example\\.localhost/",
        "http://[",
        "http://localhost\t.evil.example",
        "/app",
        "",
    ],
)
async def test_no_page_links_back_anywhere_else(phone: httpx.AsyncClient, account: str, wanted: str) -> None:
    _, form = await confirmation(phone, **{"return": wanted})
    for act in ("pay", "refuse"):
        page = await send(phone, form, act=act, back=wanted)
        assert page.status_code == 200
        assert "Back to the seller" not in page.text


async def test_the_history_is_empty_first_and_then_shows_what_was_paid(
    phone: httpx.AsyncClient, account: str, db: asyncpg.Pool[Any]
) -> None:
    assert "No transactions yet" in (await phone.get("/app/history")).text
    _, form = await confirmation(phone)
    await send(phone, form)
    page = await phone.get("/app/history")
    assert await db.fetchval("SELECT bank_ref FROM mock_bank.transaction") in page.text
    assert "TRUNG TAM VAN MIEU" in page.text


async def test_a_receipt_of_nothing_says_so(phone: httpx.AsyncClient) -> None:
    page = await phone.get(f"/app/receipt/{uuid4()}")
    assert page.status_code == 404
    assert "No payment has been made" in page.text


async def test_the_page_speaks_the_language_asked_for_and_remembers_it(phone: httpx.AsyncClient) -> None:
    assert "Pay by QR code" in (await phone.get("/app")).text
    assert "Chuyển tiền bằng mã QR" in (await phone.get("/app?lang=vi")).text
    assert "Chuyển tiền bằng mã QR" in (await phone.get("/app")).text
    assert 'href="/app/history?lang=en"' in (await phone.get("/app/history")).text


@pytest.mark.parametrize(
    "path",
    ["/app", "/app/history", "/app/faults", "/app/confirm?code=x", "/nothing", "/app/receipt/no-uuid", "/healthz"],
)
async def test_every_answer_carries_the_safety_headers(phone: httpx.AsyncClient, path: str) -> None:
    answer = await phone.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert " style=" not in answer.text
    assert "<script" not in answer.text


async def test_what_a_payer_writes_is_shown_and_not_run(phone: httpx.AsyncClient, account: str) -> None:
    _, form = await confirmation(phone)
    receipt = await send(phone, form, text="<script>alert(1)</script>")
    assert "<script" not in receipt.text.lower()


@pytest.mark.parametrize("typed", ["70000", "70.000", "70,000", "70 000", "70\u00a0000", " 70.000 ₫ "])
def test_people_write_seventy_thousand_in_many_ways(typed: str) -> None:
    assert customer.amount_typed(typed) == 70_000


def test_an_amount_with_a_fraction_is_not_guessed_at() -> None:
    with pytest.raises(BadAmount):
        customer.amount_typed("70.5")


def test_the_second_transfer_has_an_id_of_its_own_that_never_changes() -> None:
    first = UUID("11111111-1111-4111-8111-111111111111")
    assert customer.second_of(first) == customer.second_of(first) != first


def test_both_languages_say_the_same_things() -> None:
    vietnamese, english = language.words("vi"), language.words("en")
    assert set(vietnamese["pages"]) == set(english["pages"])
    for name, sentence in vietnamese["pages"].items():
        assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", english["pages"][name])), name


def test_every_refusal_has_a_vietnamese_sentence() -> None:
    def kinds(kind: type[refusal.Refusal]) -> set[str]:
        return {kind.code}.union(*(kinds(one) for one in kind.__subclasses__()))

    assert kinds(refusal.Refusal) == set(language.words("vi")["refusals"])
