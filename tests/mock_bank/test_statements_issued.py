"""Statements of the practice bank: one per day that is over, the same to the byte, read back by the platform's readers."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from openpyxl import load_workbook
from starlette.types import Message

from mock_bank.statement_file import FORMS
from payments.gateway import GatewaySilent
from payments.gateway.bank import Bank
from payments.statement import Entry, Event, FileRefused, StatementFileTooLarge, Verdict, reader
from payments.statement.profile import profile_of
from tests.mock_bank.receiving import ACCOUNT, BIN, KEY, Misbehave, Pay
from tests.mock_bank.test_bank_payout import becomes, file, listed

STATEMENTS = f"/api/v1/accounts/{BIN}/{ACCOUNT}/statements"
BALANCE = f"/api/v1/accounts/{BIN}/{ACCOUNT}/balance"
OPENED, BUSY, EMPTY, TODAY = date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1), date(2027, 1, 2)
BALANCED = [form for form in FORMS if not form.startswith("camt.054")]
LONG = "PHI THAM QUAN VAN MIEU QUOC TU GIAM <&> " * 3


@pytest.fixture(autouse=True)
async def _the_year_ends(api: httpx.AsyncClient) -> None:
    await it_is(api, OPENED)


async def it_is(api: httpx.AsyncClient, day: date, hour: int = 10) -> None:
    (await api.put("/clock", json={"at": f"{day}T{hour:02}:00:00+07:00", "rate": 0})).raise_for_status()


async def fetched(api: httpx.AsyncClient, day: date = BUSY, form: str = "camt.053.001.08", **query: Any) -> bytes:
    answer = await api.get(f"{STATEMENTS}/{day}", params={"format": form, **query})
    return answer.raise_for_status().content


def read(octets: bytes, form: str = "camt.053.001.08") -> tuple[list[Entry], Verdict]:
    """The entries of the one statement of a file, in the order of time, and its verdict."""
    events = events_of(octets, form)
    (verdict,) = [event for event in events if isinstance(event, Verdict)]
    entries = [event for event in events if isinstance(event, Entry)]
    return entries[::-1] if form.endswith("-signed") else entries, verdict


def events_of(octets: bytes, form: str) -> list[Event]:
    table, _, layout = form.partition(".")
    return list(reader.read(io.BytesIO(octets), "file", profile_of(layout) if table in ("csv", "xlsx") else None))


def code(verdict: Verdict) -> str | None:
    return verdict.refusal.code if verdict.refusal else None


def sums(verdict: Verdict) -> tuple[object, ...]:
    return verdict.opening_vnd, verdict.credits_vnd, verdict.debits_vnd, verdict.closing_vnd


@pytest.fixture
async def three_days(api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave) -> None:
    """A day of nothing, a day of every kind of line, another day of nothing; then it is the second of January."""
    await it_is(api, BUSY)
    await pay(text=LONG, payer={"name": "LÊ THỊ <A> & CON", "bin": "970422", "account": "55501234"})
    await misbehave(bank_ref="absent", payer="absent")
    await pay(amount_vnd=20_000, text="")
    await pay(amount_vnd=20_000, text='HAI "MUOI"; NGHIN')
    await misbehave(reverse_after_seconds=0, list_late_seconds=3600)
    await pay(amount_vnd=30_000)
    await misbehave(return_refunds=True, split_payouts=True, return_payouts=True)
    original = (await pay(amount_vnd=40_000)).json()["bank_ref"]
    asked = {"id": str(uuid4()), "bin": BIN, "account": ACCOUNT, "bank_ref": original, "amount_vnd": 15_000}
    (await api.post("/api/v1/refunds", json={**asked, "text": "HOAN PHI", "to": None})).raise_for_status()
    await api.post("/api/v1/payout-files", content=file(50_001), headers={"content-type": "application/xml"})
    await becomes(api, "ACSC")
    async with asyncio.timeout(5):
        while (day := (await api.get(BALANCE)).json()) and (day["credits"], day["debits"]) != (7, 4):
            await asyncio.sleep(0.02)
    await misbehave()
    await it_is(api, TODAY)


# What is told


@pytest.mark.usefixtures("three_days")
async def test_every_format_tells_every_kind_of_line(api: httpx.AsyncClient, db: asyncpg.Pool[Any]) -> None:
    booked = await db.fetch("SELECT * FROM mock_bank.transaction ORDER BY number")
    kinds = [row["kind"] for row in booked]
    assert (len(kinds), set(kinds)) == (
        11,
        {"payment", "reversal", "refund", "refund_return", "payout", "payout_return"},
    )
    for form in FORMS:
        entries, verdict = read(await fetched(api, form=form), form)
        assert code(verdict) is None, (form, verdict.refusal)
        unknown = [remark.count for remark in verdict.remarks if remark.code == "no_bank_ref"]
        assert (len(entries), unknown) == (11, [2]), form
        for entry, row in zip(entries, booked, strict=True):
            is_credit = row["direction"] == "credit"
            amount_vnd = row["amount_vnd"] if is_credit else -row["amount_vnd"]
            ref = row["bank_ref"] if row["bank_ref_told"] == "told" else ""
            text = " ".join(row["text"].split())
            assert (entry.bank_ref, entry.amount_vnd, entry.text) == (ref, amount_vnd, text), form
            assert (entry.booked_day, entry.value_day) == (BUSY, BUSY), form
            if form.startswith("camt") or form.endswith("-signed"):
                other = "payer" if is_credit else "payee"
                known = row["payer_told"] == "told"
                name, account = (row[f"{other}_name"], row[f"{other}_account"]) if known else ("", "")
                assert (entry.counterparty_name, entry.counterparty_account) == (name, account), form
            if form.startswith(("camt", "mt940")):
                own = row["payout_id"] or (row["refund_id"].hex if row["refund_id"] else "")
                assert (entry.end_to_end_id, entry.is_reversal) == (own, row["kind"] == "reversal"), form
            if form.endswith(("08", "-signed")):
                assert entry.booked_at == row["booked_at"].replace(microsecond=0), form
        day = (await api.get(BALANCE, params={"day": str(BUSY)})).json()
        assert (verdict.credits_vnd, verdict.debits_vnd) == (day["credits_vnd"], day["debits_vnd"])
        if form in BALANCED:
            assert sums(verdict) == (0, day["credits_vnd"], day["debits_vnd"], day["closing_vnd"]), form
        assert verdict.statement.account == ACCOUNT
        if not form.endswith("-signed"):
            assert verdict.statement.number == "2", form


@pytest.mark.usefixtures("three_days")
async def test_the_days_chain_and_asking_again_gives_the_same_bytes(
    api: httpx.AsyncClient, misbehave: Misbehave
) -> None:
    first = {form: await fetched(api, form=form) for form in FORMS}
    await misbehave(lose_statement_line=True, wrong_closing=True, batch_credits="details")
    await it_is(api, TODAY, 23)
    assert {form: await fetched(api, form=form) for form in FORMS} == first
    assert [await fetched(api, EMPTY, form) for form in BALANCED] == [
        await fetched(api, EMPTY, form) for form in BALANCED
    ]
    await misbehave()
    answer = (await api.get(STATEMENTS)).json()
    assert [(one["day"], one["number"]) for one in answer["items"]] == [
        ("2026-12-30", 1),
        ("2026-12-31", 2),
        ("2027-01-01", 3),
    ]
    assert (len({one["id"] for one in answer["items"]}), answer["has_more"]) == (3, False)
    page = (await api.get(STATEMENTS, params={"after": "2026-12-30", "limit": 1})).json()
    assert ([one["number"] for one in page["items"]], page["has_more"]) == ([2], True)
    for form in ("camt.053.001.02", "mt940", "csv.example-two-columns", "xlsx.example-two-columns"):
        closing_vnd = 0
        for day in (OPENED, BUSY):
            _, verdict = read(await fetched(api, day, form), form)
            assert (code(verdict), verdict.opening_vnd) == (None, closing_vnd), (form, day)
            assert verdict.closing_vnd is not None
            closing_vnd = verdict.closing_vnd
        assert closing_vnd > 0


async def test_there_is_no_statement_of_a_day_that_is_not_over_or_before_the_account_was_open(
    api: httpx.AsyncClient, pay: Pay
) -> None:
    await pay()
    assert (await api.get(STATEMENTS)).json() == {"items": [], "has_more": False}
    await it_is(api, BUSY, 0)
    for day in (date(2026, 12, 29), BUSY, date(9999, 12, 31)):
        answer = await api.get(f"{STATEMENTS}/{day}")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_statement")
        assert (await api.post(f"{STATEMENTS}/{day}/reissue")).json()["code"] == "no_statement"
    assert (await api.get(f"{STATEMENTS}/{OPENED}")).status_code == 200
    assert (await api.get(f"/api/v1/accounts/{BIN}/404/statements")).json()["code"] == "unknown_account"
    assert (await api.get(f"{STATEMENTS}/{OPENED}", params={"format": "pdf"})).status_code == 422
    assert (await api.get(STATEMENTS, headers={"authorization": ""})).status_code == 401


@pytest.mark.usefixtures("three_days")
async def test_files_are_zipped_and_several_days_come_in_one_archive(api: httpx.AsyncClient) -> None:
    for form in FORMS:
        zipped = await fetched(api, form=form, zip="true")
        assert zipped == await fetched(api, form=form, zip="true")
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            (name,) = archive.namelist()
            assert name.startswith(f"{ACCOUNT}-20261231.") and archive.read(name) == await fetched(api, form=form)
        if form.startswith("xlsx"):
            with pytest.raises(FileRefused, match="an archive itself"):
                read(zipped, form)
        else:
            assert code(read(zipped, form)[1]) is None
    answer = await api.get(f"{STATEMENTS}/{OPENED}", params={"format": "mt940", "until": str(EMPTY)})
    assert answer.headers["content-disposition"] == f'attachment; filename="{ACCOUNT}-20261230.zip"'
    told = [event for event in events_of(answer.content, "mt940") if isinstance(event, Verdict)]
    assert [(one.statement.number, code(one)) for one in told] == [("1", None), ("2", None), ("3", None)]
    sheet: Any = load_workbook(io.BytesIO(await fetched(api, form="xlsx.example-signed"))).active
    assert (sheet["A2"].value, sheet["B2"].value, sheet["B2"].is_date) == (ACCOUNT, datetime(2026, 12, 31, 10), True)
    assert sheet["D13"].value == sum(row[3].value for row in sheet["A2:D12"])


async def test_a_day_without_lines_has_a_statement_but_one_layout_cannot_say_whose(
    api: httpx.AsyncClient, account: str
) -> None:
    await it_is(api, BUSY)
    for form in FORMS:
        entries, verdict = read(await fetched(api, OPENED, form), form)
        expected = "statement_account_missing" if form.endswith("-signed") else None
        assert (entries, code(verdict)) == ([], expected), form


# Defects


@pytest.fixture
async def five(api: httpx.AsyncClient, pay: Pay) -> Sequence[int]:
    """Five payments on the last day of the year; then it is the second of January."""
    await it_is(api, BUSY)
    amounts_vnd = [10_000, 20_000, 30_000, 40_000, 50_000]
    for amount_vnd in amounts_vnd:
        await pay(amount_vnd=amount_vnd)
    await it_is(api, TODAY)
    return amounts_vnd


NOT_TIED, LINE, TWICE, TOTALS = (
    f"statement_{why}" for why in ("not_tied", "line_not_tied", "entry_twice", "totals_differ")
)


@pytest.mark.parametrize(
    ("fault", "camt", "notification", "mt940", "two_columns", "signed"),
    [
        ("lose_statement_line", NOT_TIED, TOTALS, NOT_TIED, LINE, LINE),
        ("repeat_statement_line", TWICE, TWICE, TWICE, LINE, LINE),
        ("wrong_closing", NOT_TIED, None, NOT_TIED, NOT_TIED, LINE),
    ],
)
async def test_what_does_not_tie_is_refused_and_a_new_issue_mends_it(
    api: httpx.AsyncClient,
    misbehave: Misbehave,
    five: Sequence[int],
    fault: str,
    camt: str,
    notification: str | None,
    mt940: str,
    two_columns: str,
    signed: str,
) -> None:
    await misbehave(**{fault: True}, seed=3)
    refused = {"camt.053": camt, "camt.054": notification, "mt940": mt940}
    for form in FORMS:
        expected = refused.get(form[:8], refused.get(form, signed if form.endswith("-signed") else two_columns))
        assert code(read(await fetched(api, form=form), form)[1]) == expected, form
    await misbehave()
    (before,) = [one for one in (await api.get(STATEMENTS)).json()["items"] if one["day"] == str(BUSY)]
    made = (await api.post(f"{STATEMENTS}/{BUSY}/reissue")).raise_for_status().json()
    assert (made["number"], made["day"]) == (before["number"], before["day"])
    assert made["id"] != before["id"]
    for form in FORMS:
        entries, verdict = read(await fetched(api, form=form), form)
        assert ([entry.amount_vnd for entry in entries], code(verdict)) == (five, None), form


async def test_a_seed_draws_the_same_line_again(
    api: httpx.AsyncClient, db: asyncpg.Pool[Any], misbehave: Misbehave, five: Sequence[int]
) -> None:
    async def lost(seed: int) -> int:
        # As if it had never been issued.
        await db.execute("TRUNCATE mock_bank.statement CASCADE")
        await misbehave(lose_statement_line=True, seed=seed)
        return sum(five) - read(await fetched(api))[1].credits_vnd

    drawn = [await lost(seed) for seed in range(12)]
    assert len(set(drawn)) > 2
    assert [await lost(seed) for seed in range(12)] == drawn


async def test_a_line_that_comes_a_day_late_ties_on_both_days(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int]
) -> None:
    await misbehave(delay_statement_line=True, when={"delay_statement_line": {"next": 1}})
    entries, busy = read(await fetched(api))
    (late,), empty = read(await fetched(api, EMPTY))
    assert (code(busy), code(empty), len(entries)) == (None, None, 4)
    assert sorted([*(entry.amount_vnd for entry in entries), late.amount_vnd]) == five
    assert (late.booked_day, empty.opening_vnd, empty.closing_vnd) == (BUSY, busy.closing_vnd, sum(five))
    # Issued anew, neither takes the line from the other.
    await misbehave()
    for day, lines in ((BUSY, 4), (EMPTY, 1)):
        await api.post(f"{STATEMENTS}/{day}/reissue")
        assert len(read(await fetched(api, day))[0]) == lines


async def test_a_line_counted_twice_ties_and_carries_on_until_both_days_are_issued_anew(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int]
) -> None:
    await misbehave(count_statement_line_twice=True, seed=1)
    for form in FORMS:
        entries, verdict = read(await fetched(api, form=form), form)
        assert (code(verdict), len(entries), len({entry.bank_ref for entry in entries})) == (None, 6, 6), form
        assert verdict.credits_vnd > sum(five)
    _, busy = read(await fetched(api))
    await misbehave()
    assert read(await fetched(api, EMPTY))[1].opening_vnd == busy.closing_vnd
    for day in (BUSY, EMPTY):
        await api.post(f"{STATEMENTS}/{day}/reissue")
        assert read(await fetched(api, day))[1].closing_vnd == sum(five)


async def test_a_wrong_opening_ties_and_breaks_the_chain_only_there(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int]
) -> None:
    await misbehave(wrong_opening=True, when={"wrong_opening": {"next": 2}})  # of the first day and the busy one
    for form in BALANCED:
        _, verdict = read(await fetched(api, form=form), form)
        assert verdict.opening_vnd is not None and verdict.opening_vnd > 0
        assert (code(verdict), verdict.difference_vnd) == (None, 0), form
    assert sums(read(await fetched(api, EMPTY))[1]) == (sum(five), 0, 0, sum(five))


async def test_a_text_with_a_wrong_character_stays_what_the_list_told_elsewhere(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int]
) -> None:
    await misbehave(change_statement_text=True)
    told = {one["bank_ref"]: " ".join(one["text"].split()) for one in await listed(api)}
    for form in FORMS:
        entries, verdict = read(await fetched(api, form=form), form)
        (changed,) = [entry for entry in entries if entry.text != told[entry.bank_ref]]
        pairs = zip(changed.text, told[changed.bank_ref], strict=True)
        assert (code(verdict), sum(one != other for one, other in pairs)) == (None, 1), form


@pytest.mark.parametrize(("how", "parts"), [("details", 5), ("no_details", 1), ("wrong_details", 1)])
async def test_payments_come_as_one_entry(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int], how: str, parts: int
) -> None:
    await misbehave(batch_credits=how)
    for form in FORMS:
        entries, verdict = read(await fetched(api, form=form), form)
        is_split = form.startswith("camt") and parts == 5
        amounts_vnd = five if is_split else [sum(five)]
        assert ([entry.amount_vnd for entry in entries], code(verdict)) == (amounts_vnd, None), form
        not_split = ["batch_not_split"] if form.startswith("camt") and how == "wrong_details" else []
        assert [remark.code for remark in verdict.remarks] == not_split, form
        if is_split:
            assert [entry.part for entry in entries] == [1, 2, 3, 4, 5]
            assert {entry.bank_ref for entry in entries} == {one["bank_ref"] for one in await listed(api)}


async def test_a_statement_that_is_held_back_leaves_its_number_out_until_it_is_issued_anew(
    api: httpx.AsyncClient, misbehave: Misbehave, five: Sequence[int]
) -> None:
    await fetched(api, OPENED)
    await misbehave(withhold_statement=True, when={"withhold_statement": {"next": 1}})
    answer = await api.get(f"{STATEMENTS}/{BUSY}")
    assert (answer.status_code, answer.json()["code"]) == (404, "statement_withheld")
    assert [one["number"] for one in (await api.get(STATEMENTS)).json()["items"]] == [1, 3]
    assert read(await fetched(api, EMPTY))[1].opening_vnd == sum(five)
    await api.post(f"{STATEMENTS}/{BUSY}/reissue")
    assert [one["number"] for one in (await api.get(STATEMENTS)).json()["items"]] == [1, 2, 3]
    assert sums(read(await fetched(api))[1]) == (0, sum(five), 0, sum(five))


# Who asks


async def test_the_gateway_lists_the_days_and_streams_a_file(
    app: FastAPI, misbehave: Misbehave, five: Sequence[int]
) -> None:
    gateway = Bank("http://bank", "a key for tests", httpx.ASGITransport(app))
    days = await gateway.statement_days(BIN, ACCOUNT)
    assert [(one.day, one.number) for one in days] == [(OPENED, 1), (BUSY, 2), (EMPTY, 3)]
    assert await gateway.statement_days(BIN, ACCOUNT, after=BUSY) == days[2:]
    into = io.BytesIO()
    assert await gateway.fetch_statement(BIN, ACCOUNT, BUSY, "mt940", into)
    assert [entry.amount_vnd for entry in read(into.getvalue(), "mt940")[0]] == five
    nothing = io.BytesIO()
    assert not await gateway.fetch_statement(BIN, ACCOUNT, TODAY, "mt940", nothing)
    assert nothing.getvalue() == b""
    with pytest.raises(StatementFileTooLarge):
        await gateway.fetch_statement(BIN, ACCOUNT, BUSY, "mt940", io.BytesIO(), most=100)
    await misbehave(answers="error_503")
    with pytest.raises(GatewaySilent):
        await gateway.statement_days(BIN, ACCOUNT)
    with pytest.raises(GatewaySilent):
        await gateway.fetch_statement(BIN, ACCOUNT, BUSY, "mt940", io.BytesIO())
    await misbehave()
    with pytest.raises(GatewaySilent):
        await gateway.fetch_statement(BIN, "404", BUSY, "mt940", io.BytesIO())
    await gateway.close()


async def test_the_owner_downloads_a_statement_from_a_page_and_has_it_issued_anew(
    phone: httpx.AsyncClient, api: httpx.AsyncClient, five: Sequence[int]
) -> None:
    page = (await phone.get("/app/statements")).text
    assert all(f'value="{form}"' in page for form in FORMS)
    assert 'max="2027-01-01" value="2027-01-01"' in page and "TRUNG TAM VAN MIEU" in page
    asked = {"account": f"{BIN}/{ACCOUNT}", "day": str(BUSY), "format": "csv.example-signed"}
    got = await phone.get("/app/statements/file", params=asked)
    assert got.headers["content-disposition"] == f'attachment; filename="{ACCOUNT}-20261231.csv"'
    assert got.content == await fetched(api, form="csv.example-signed")
    anew = await phone.post("/app/statements/reissue", data=asked, follow_redirects=True)
    assert "Issued anew as SK2636500002-2" in anew.text and 'value="2026-12-31"' in anew.text
    for wrong, why in (
        ({"day": str(TODAY)}, "There is no statement of 2027-01-02"),
        ({"day": "x"}, "cannot be read"),
        ({"format": "pdf"}, "cannot be read"),
        ({"account": "1/2"}, "knows no account"),
    ):
        for answer in (
            await phone.get("/app/statements/file", params={**asked, **wrong}),
            *([await phone.post("/app/statements/reissue", data={**asked, **wrong})] if "format" not in wrong else []),
        ):
            assert answer.status_code >= 400 and why in answer.text
    vietnamese = await phone.get("/app/statements/file", params={**asked, "day": str(TODAY), "lang": "vi"})
    assert "Không có sao kê của ngày 02/01/2027" in vietnamese.text


async def test_whoever_asked_may_be_gone_when_the_file_comes(
    app: FastAPI, api: httpx.AsyncClient, account: str
) -> None:
    await it_is(api, BUSY)
    path, said = f"{STATEMENTS}/{OPENED}", list[Message]()
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path}
    scope |= {
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", KEY["authorization"].encode())],
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    assert said[0]["status"] == 200
