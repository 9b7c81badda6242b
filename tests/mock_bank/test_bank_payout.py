"""Payout files: each is taken on once, whatever is lost, and each of its transfers is paid once or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from iso20022 import schema

from mock_bank.settings import Settings
from tests.mock_bank.receiving import ACCOUNT, BIN, KEY, BankProcess, Misbehave, Pay, Receiver

FILES = "/api/v1/payout-files"
HandIn = Callable[..., Awaitable[httpx.Response]]


def file(*amounts: int, **but: Any) -> bytes:
    """A payout file of these amounts, but for what the test says."""
    ids = but.get("ids", [f"{but.get('id', 'B7')}-{number}" for number in range(1, len(amounts) + 1)])
    said: dict[str, Any] = {
        "number": len(amounts),
        "total": sum(amounts),
        "day": "2020-01-01",
        "account": ACCOUNT,
        **but,
    }
    transfers = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>{id}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{said.get("currency", "VND")}">{amount}</InstdAmt></Amt>'
        "<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>970422</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>"
        "<Cdtr><Nm>CONG TY CON</Nm></Cdtr><CdtrAcct><Id><Othr><Id>55501234</Id></Othr></Id></CdtrAcct>"
        f"<RmtInf><Ustrd>{said.get('text', 'B7 CHI TRA')}</Ustrd></RmtInf></CdtTrfTxInf>"
        for id, amount in zip(ids, amounts, strict=True)
    )
    sums = f"<NbOfTxs>{said['number']}</NbOfTxs><CtrlSum>{said['total']}</CtrlSum>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn>'
        f"<GrpHdr><MsgId>{said.get('id', 'B7')}</MsgId><CreDtTm>2026-11-20T09:00:00+07:00</CreDtTm>{sums}"
        "<InitgPty><Nm>VAN MIEU</Nm></InitgPty></GrpHdr>"
        f"<PmtInf><PmtInfId>P1</PmtInfId><PmtMtd>TRF</PmtMtd>{sums}<ReqdExctnDt>{said['day']}</ReqdExctnDt>"
        f"<Dbtr><Nm>VAN MIEU</Nm></Dbtr><DbtrAcct><Id><Othr><Id>{said['account']}</Id></Othr></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><ClrSysMmbId><MmbId>{BIN}</MmbId></ClrSysMmbId></FinInstnId></DbtrAgt>{transfers}"
        "</PmtInf></CstmrCdtTrfInitn></Document>"
    ).encode()


@pytest.fixture
async def hand_in(api: httpx.AsyncClient, pay: Pay) -> HandIn:
    """Hand a file in; the account holds 70,000 đồng."""
    await pay()

    async def hand_in(body: bytes) -> httpx.Response:
        return await api.post(FILES, content=body, headers={"content-type": "application/xml"})

    return hand_in


def said(answer: httpx.Response) -> dict[str, Any]:
    """The report, valid by the published schema: status of the group, of the payment, and of each transfer named."""
    answer.raise_for_status()
    assert answer.headers["content-type"].startswith("application/xml")
    message: Any = schema("pain.002.001.03").to_dict(answer.text)
    message = message["CstmrPmtStsRpt"]
    group, (payment,) = message["OrgnlGrpInfAndSts"], message["OrgnlPmtInfAndSts"]
    assert (group["OrgnlMsgNmId"], payment["OrgnlPmtInfId"]) == ("pain.001.001.03", "P1")
    named = {
        one["OrgnlEndToEndId"]: (one["TxSts"], *(why["Rsn"]["Cd"] for why in one.get("StsRsnInf", [])))
        for one in payment.get("TxInfAndSts", [])
    }
    return {"file": group["OrgnlMsgId"], "group": group["GrpSts"], "payment": payment["PmtInfSts"], **named}


async def told(api: httpx.AsyncClient, id: str = "B7") -> dict[str, Any]:
    return said(await api.get(f"{FILES}/{id}"))


async def becomes(api: httpx.AsyncClient, group: str, id: str = "B7") -> dict[str, Any]:
    """The report, as soon as the whole file stands there."""
    async with asyncio.timeout(5):
        while (await told(api, id))["group"] != group:
            await asyncio.sleep(0.02)
    return await told(api, id)


async def listed(api: httpx.AsyncClient, **facts: Any) -> list[dict[str, Any]]:
    query = {"bin": BIN, "account": ACCOUNT, "limit": "500"}
    items = (await api.get("/api/v1/transactions", params=query)).raise_for_status().json()["items"]
    return [item for item in items if all(item.get(name) == fact for name, fact in facts.items())]


async def balance_vnd(api: httpx.AsyncClient) -> int:
    return int((await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}")).raise_for_status().json()["balance_vnd"])


# What is paid


async def test_a_file_is_taken_on_and_every_transfer_is_debited_and_settled(
    api: httpx.AsyncClient, hand_in: HandIn, receiver: Receiver
) -> None:
    body = file(30_000, 25_000)
    schema("pain.001.001.03").validate(body.decode())
    answer = await hand_in(body)
    assert answer.status_code == 201
    accepted = {"file": "B7", "group": "ACCP", "payment": "ACCP", "B7-1": ("ACCP",), "B7-2": ("ACCP",)}
    assert said(answer) == accepted
    assert (await becomes(api, "ACSC"))["B7-2"] == ("ACSC",)
    debits = await listed(api, direction="debit")
    assert [(one["kind"], one["payout_id"], one["amount_vnd"], one["text"]) for one in debits] == [
        ("payout", "B7-1", 30_000, "B7 CHI TRA"),
        ("payout", "B7-2", 25_000, "B7 CHI TRA"),
    ]
    assert {(one["payee_bin"], one["payee_account"], one["payee_name"]) for one in debits} == {
        ("970422", "55501234", "CONG TY CON")
    }
    assert await balance_vnd(api) == 15_000
    await receiver.has(3)
    told = [one for one in receiver.told if one["direction"] == "debit"]  # in whatever order they come
    assert sorted(told, key=lambda one: str(one["payout_id"])) == debits
    day = (await api.get(f"/api/v1/accounts/{BIN}/{ACCOUNT}/balance")).json()
    assert (day["debits"], day["debits_vnd"], day["closing_vnd"]) == (2, 55_000, 15_000)


async def test_a_file_waits_for_its_day_and_takes_its_time(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave
) -> None:
    await api.put("/clock", json={"at": "2026-11-21T10:00:00+07:00", "rate": 0})
    await misbehave(payout_seconds=3600, return_payouts=True)
    await hand_in(file(30_000, day="2026-11-23"))
    steps = (
        ("2026-11-21T10:00:00", "ACCP", 70_000),
        ("2026-11-22T23:59:59", "ACCP", 70_000),
        ("2026-11-23T00:00:00", "ACSP", 40_000),
        ("2026-11-23T00:59:59", "ACSP", 40_000),
        ("2026-11-23T01:00:00", "ACSC", 40_000),
        ("2026-11-23T01:59:59", "ACSC", 40_000),
        ("2026-11-23T02:00:00", "ACSC", 70_000),
    )
    for at, status, left_vnd in steps:
        await api.put("/clock", json={"at": f"{at}+07:00", "rate": 0})
        await becomes(api, status)
        async with asyncio.timeout(5):
            while await balance_vnd(api) != left_vnd:
                await asyncio.sleep(0.02)


async def test_what_the_receiving_bank_returns_comes_back_as_a_credit_and_the_report_stays(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(return_payouts=True, when={"return_payouts": {"next": 1}})
    await hand_in(file(30_000, 25_000))
    await receiver.has(4)
    (debit, _), (back,) = await listed(api, kind="payout"), await listed(api, kind="payout_return")
    assert (back["direction"], back["amount_vnd"], back["payout_id"]) == ("credit", 30_000, "B7-1")
    assert (back["relates_to"], back["payer_account"]) == (debit["bank_ref"], "55501234")
    assert back in receiver.told
    assert (await becomes(api, "ACSC"))["B7-1"] == ("ACSC",)
    assert await balance_vnd(api) == 45_000


async def test_a_transfer_may_be_rejected_on_its_day_and_is_never_debited(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave
) -> None:
    await misbehave(reject_payouts=True, when={"reject_payouts": {"next": 1}})
    assert said(await hand_in(file(30_000, 25_000)))["group"] == "ACCP"
    async with asyncio.timeout(5):
        while (now := await told(api)) != {**now, "B7-1": ("RJCT", "AC03"), "B7-2": ("ACSC",), "group": "PART"}:
            await asyncio.sleep(0.02)
    assert [one["payout_id"] for one in await listed(api, direction="debit")] == ["B7-2"]
    assert await balance_vnd(api) == 45_000


async def test_a_transfer_may_be_booked_as_two_debits_and_comes_back_as_one(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(split_payouts=True, return_payouts=True)
    await hand_in(file(30_001, 1))
    await receiver.has(6)
    assert [(one["payout_id"], one["amount_vnd"]) for one in await listed(api, kind="payout")] == [
        ("B7-1", 15_000),
        ("B7-1", 15_001),
        ("B7-2", 1),
    ]
    assert [one["amount_vnd"] for one in await listed(api, kind="payout_return")] == [30_001, 1]


async def test_a_report_may_leave_transfers_out_and_then_says_nothing_of_all(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave
) -> None:
    await misbehave(omit_payout_statuses=True, when={"omit_payout_statuses": {"next": 1}})
    assert said(await hand_in(file(30_000, 25_000))) == {
        "file": "B7",
        "group": "PART",
        "payment": "PART",
        "B7-2": ("ACCP",),
    }
    await misbehave()
    assert (await becomes(api, "ACSC"))["B7-1"] == ("ACSC",)


# Once


async def test_a_file_handed_in_again_is_taken_on_once_and_answered_alike(
    api: httpx.AsyncClient, hand_in: HandIn
) -> None:
    answers = await asyncio.gather(*(hand_in(file(30_000, 25_000)) for _ in range(8)))
    await becomes(api, "ACSC")
    answers.append(await hand_in(file(30_000, 25_000)))
    assert [answer.status_code for answer in answers] == [201] * 9
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == 8
    assert await balance_vnd(api) == 15_000


async def test_other_bytes_under_the_same_message_id_are_refused(api: httpx.AsyncClient, hand_in: HandIn) -> None:
    await hand_in(file(30_000))
    for other in (file(30_001), file(30_000) + b"\n"):
        refused = await hand_in(other)
        assert (refused.status_code, refused.json()["code"]) == (422, "other_file")
    await becomes(api, "ACSC")
    assert await balance_vnd(api) == 40_000


async def test_an_answer_is_lost_and_the_report_is_there(
    wire: httpx.AsyncClient, api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave
) -> None:
    assert (await api.get(f"{FILES}/B7")).json()["code"] == "unknown_file"
    await misbehave(lose_payout_answers=True)
    with pytest.raises(httpx.TransportError):
        await wire.post(FILES, content=file(30_000))
    await becomes(api, "ACSC")
    await misbehave()
    assert (await hand_in(file(30_000))).headers["idempotent-replayed"] == "true"
    assert await balance_vnd(api) == 40_000


async def test_a_bank_that_is_away_takes_nothing_on(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave
) -> None:
    await misbehave(answers="error_503")
    assert (await hand_in(file(30_000))).status_code == 503
    await misbehave()
    assert (await api.get(f"{FILES}/B7")).status_code == 404


async def test_an_id_that_was_paid_once_is_not_paid_by_another_file(api: httpx.AsyncClient, hand_in: HandIn) -> None:
    await hand_in(file(30_000))
    assert said(await hand_in(file(30_000, 5_000, id="B8", ids=["B7-1", "B8-2"]))) == {
        "file": "B8",
        "group": "PART",
        "payment": "PART",
        "B7-1": ("RJCT", "DU04"),
        "B8-2": ("ACCP",),
    }
    await becomes(api, "ACSC")
    async with asyncio.timeout(5):
        while await balance_vnd(api) != 35_000:
            await asyncio.sleep(0.02)


# What is not taken on


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"account": "NOBODY1"}, "AC02"), ({"total": 54_999}, "AM10"), ({"number": 3}, "AM18")],
)
async def test_of_a_wrong_file_every_transfer_is_rejected(
    api: httpx.AsyncClient, hand_in: HandIn, wrong: dict[str, Any], reason: str
) -> None:
    body = file(30_000, 25_000, **wrong)
    rejected = {"group": "RJCT", "payment": "RJCT", "B7-1": ("RJCT", reason), "B7-2": ("RJCT", reason)}
    assert said(await hand_in(body)) == {"file": "B7", **rejected} == await told(api)
    assert await balance_vnd(api) == 70_000
    assert await listed(api, direction="debit") == []


async def test_what_the_balance_does_not_cover_is_rejected_transfer_by_transfer(
    api: httpx.AsyncClient, hand_in: HandIn
) -> None:
    later = file(30_000, 50_000, 40_000, id="B8", day="2099-01-01")
    assert said(await hand_in(later)) == {
        "file": "B8",
        "group": "PART",
        "payment": "PART",
        "B8-1": ("ACCP",),
        "B8-2": ("RJCT", "AM04"),
        "B8-3": ("ACCP",),
    }
    assert said(await hand_in(file(1)))["B7-1"] == ("RJCT", "AM04"), "what is promised counts as gone"
    assert await balance_vnd(api) == 70_000


async def test_money_that_is_gone_by_the_day_is_not_sent(
    api: httpx.AsyncClient, hand_in: HandIn, misbehave: Misbehave, pay: Pay
) -> None:
    await api.put("/clock", json={"at": "2026-11-21T10:00:00+07:00", "rate": 0})
    await hand_in(file(70_000, day="2026-11-22"))
    (payment,) = await listed(api)
    at = {"bin": BIN, "account": ACCOUNT, "bank_ref": payment["bank_ref"], "text": "A"}
    await api.post("/api/v1/refunds", json={**at, "id": str(uuid4()), "amount_vnd": 1})
    await api.put("/clock", json={"at": "2026-11-22T00:00:00+07:00", "rate": 0})
    assert (await becomes(api, "RJCT"))["B7-1"] == ("RJCT", "AM04")
    assert await balance_vnd(api) == 69_999


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<Document/>",
        file(1)[:-9],
        file(1).replace(b"pain.001.001.03", b"pain.001.001.09"),
        file(1).replace(b"<Document", b"<!DOCTYPE Document><Document", 1),
        file(1).replace(b"<Document", b'<!DOCTYPE d [<!ENTITY a "B7">]><Document', 1).replace(b"B7-1", b"&a;"),
        file(1).replace(b"VAN MIEU", b"<a>" * 30 + b"</a>" * 30),
        file(1).replace(b"<PmtInf>", b"<PmtInf/><PmtInf>", 1),
        file(1).replace(b"TRF", b"CHK"),
        file(1).replace(b"<PmtMtd>TRF</PmtMtd>", b"<PmtMtd>TRF</PmtMtd><BtchBookg>true</BtchBookg>"),
        file(),
        file(0),
        file(500_000_000_001),
        file(1, currency="USD"),
        file(1, total="1.5"),
        file(1, number="one"),
        file(1, day="22/11/2026"),
        file(1, ids=["A B"]),
        file(1, ids=["A" * 36]),
        file(1, 1, ids=["A", "A"]),
        file(1, account="55 01"),
        file(1, text="A" * 141),
        file(150_000).replace(b">150000</InstdAmt>", b">1500.50</InstdAmt>"),
    ],
)
async def test_what_is_no_file_that_the_bank_takes_is_refused_and_nothing_is_kept(
    api: httpx.AsyncClient, hand_in: HandIn, body: bytes
) -> None:
    refused = await hand_in(body)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_payload")
    assert (await api.get(f"{FILES}/B7")).status_code == 404


async def test_a_file_is_bounded_and_needs_the_key(
    api: httpx.AsyncClient, phone: httpx.AsyncClient, hand_in: HandIn
) -> None:
    assert (await hand_in(file(1) + b" " * 2 * 1024 * 1024)).json()["code"] == "too_large"
    for answer in (await phone.post(FILES, content=file(1)), await phone.get(f"{FILES}/B7")):
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authorised")


async def test_a_large_file_is_taken_on(api: httpx.AsyncClient, hand_in: HandIn) -> None:
    body = file(*([1] * 300))
    assert len(body) > 64 * 1024
    assert said(await hand_in(body))["B7-300"] == ("ACCP",)


async def test_a_customer_who_is_paid_sees_it_in_his_history(
    phone: httpx.AsyncClient, api: httpx.AsyncClient, hand_in: HandIn
) -> None:
    mine = file(30_000).replace(b"970422", b"970436").replace(b"55501234", b"0011009998887")
    await hand_in(mine)
    await becomes(api, "ACSC")
    for tongue, sum in (("vi", "+30.000 ₫"), ("en", "+30,000 ₫")):
        page = (await phone.get(f"/app/history?lang={tongue}")).text
        assert sum in page and "B7 CHI TRA" in page


# Whatever happens


async def test_a_bank_killed_in_the_middle_of_payouts_pays_each_once(
    settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    process = BankProcess(settings, tmp_path, port=41_000 + os.getpid() % 15_000)
    async with httpx.AsyncClient(base_url=process.url, headers=KEY, trust_env=False) as api:
        bank = await process.started(api)
        try:
            opened = {"owner_name": "A", "webhook_url": receiver.url}
            (await api.put(f"/api/v1/accounts/{BIN}/{ACCOUNT}", json=opened)).raise_for_status()
            (await api.put("/api/v1/faults", json={"split_payouts": True})).raise_for_status()
            at = {"bin": BIN, "account": ACCOUNT, "text": "A"}
            await api.post("/api/v1/payments", json={**at, "id": str(uuid4()), "amount_vnd": 1_000})
            files = {f"F{number}": file(*([10] * 5), id=f"F{number}") for number in range(8)}
            asking = [asyncio.create_task(api.post(FILES, content=body)) for body in files.values()]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            bank.send_signal(signal.SIGKILL)
            await bank.wait()
            await asyncio.gather(*asking, return_exceptions=True)
            bank = await process.started(api)
            for id, body in files.items():  # whoever does not know asks by the id, or hands the same bytes in again
                if (await api.get(f"{FILES}/{id}")).status_code == 404:
                    assert (await api.post(FILES, content=body)).status_code == 201
            for id in files:
                await becomes(api, "ACSC", id)
            assert await balance_vnd(api) == 600
            debits = await listed(api, kind="payout")
            assert len(debits) == 80
            assert len({one["payout_id"] for one in debits}) == 40
        finally:
            bank.terminate()
            await bank.wait()


async def test_many_files_at_once_never_pay_more_than_there_is(
    api: httpx.AsyncClient, hand_in: HandIn, db: asyncpg.Pool[Any]
) -> None:
    answers = await asyncio.gather(*(hand_in(file(9_000, 8_000, id=f"F{number}")) for number in range(12)))
    assert [answer.status_code for answer in answers] == [201] * 12
    async with asyncio.timeout(5):
        while await db.fetchval("SELECT EXISTS (SELECT FROM mock_bank.payout WHERE due_at IS NOT NULL)"):
            await asyncio.sleep(0.02)
    paid_vnd = await db.fetchval("SELECT sum(amount_vnd) FROM mock_bank.payout WHERE state = 'settled'")
    assert 70_000 - 8_000 < paid_vnd <= 70_000
    assert await balance_vnd(api) == 70_000 - paid_vnd
    assert sum(one["amount_vnd"] for one in await listed(api, kind="payout")) == paid_vnd
