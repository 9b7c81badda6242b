"""When the bank misbehaves: notices and texts, whom a fault strikes, and the page with the knobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from mock_bank import faults, language, memo, misbehaviour
from mock_bank.app import create_app
from mock_bank.settings import Settings
from tests.mock_bank.receiving import BIN, KEY, SECRETS, Misbehave, Pay, Receiver

REFERENCE = "MCTKA8B4C6D2"


async def listed(api: httpx.AsyncClient, account: str) -> list[dict[str, Any]]:
    query = {"bin": BIN, "account": account, "limit": "500"}
    return list((await api.get("/api/v1/transactions", params=query)).raise_for_status().json()["items"])


def holds(headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(SECRETS[0]).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


# Notices


async def test_one_booking_is_announced_under_two_event_ids(pay: Pay, misbehave: Misbehave, receiver: Receiver) -> None:
    await misbehave(two_event_ids=True)
    paid = (await pay()).json()
    await receiver.has(2)
    assert len(set(receiver.event_ids)) == 2
    assert [one["bank_ref"] for one in receiver.told] == [paid["bank_ref"]] * 2


async def test_a_notice_whose_receipt_got_lost_comes_again(pay: Pay, misbehave: Misbehave, receiver: Receiver) -> None:
    await misbehave(lose_notice_answers=True)
    await pay()
    await receiver.has(2)
    assert len(set(receiver.event_ids)) == 1
    await asyncio.sleep(0.1)
    assert len(receiver.got) == 2


async def test_a_wrong_signature_comes_once_and_then_a_right_one(
    pay: Pay, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(wrong_signature=True)
    receiver.answers = [401]
    await pay()
    await receiver.has(2)
    assert [holds(headers, body) for headers, body in receiver.got] == [False, True]


async def test_a_stale_notice_is_signed_for_an_hour_ago(pay: Pay, misbehave: Misbehave, receiver: Receiver) -> None:
    await misbehave(stale_timestamp=True)
    receiver.answers = [401]
    await pay()
    await receiver.has(2)
    (stale, body), (fresh, _) = receiver.got
    assert not holds(stale, body)
    at = int(stale["webhook-timestamp"])
    assert at == pytest.approx(datetime.now(UTC).timestamp() - 3600, abs=5)
    signature = Webhook(SECRETS[0]).sign(stale["webhook-id"], datetime.fromtimestamp(at, UTC), body.decode())
    assert signature in stale["webhook-signature"], "it is the age that is wrong, not the signature"
    assert holds(fresh, body)


async def test_every_defect_of_one_notice_has_its_turn(pay: Pay, misbehave: Misbehave, receiver: Receiver) -> None:
    await misbehave(wrong_signature=True, stale_timestamp=True, lose_notice_answers=True, repeat_notices=2)
    receiver.answers = [401, 401]
    await pay()
    await receiver.has(5)
    assert [holds(headers, body) for headers, body in receiver.got] == [False, False, True, True, True]


async def test_later_notices_overtake_earlier_ones_and_all_arrive(
    pay: Pay, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(shuffle_seconds=1, seed=1)
    for amount_vnd in range(1, 9):
        await pay(amount_vnd=amount_vnd)
    await receiver.has(8)
    came = [one["amount_vnd"] for one in receiver.told]
    assert sorted(came) == list(range(1, 9)) != came


async def test_a_notice_comes_again_days_later_by_the_banks_time(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, receiver: Receiver
) -> None:
    await misbehave(repeat_after_days=3, repeat_notices=2)
    await pay()
    await receiver.has(2)
    await asyncio.sleep(0.1)
    assert len(receiver.got) == 2
    later = datetime.now(UTC) + timedelta(days=3, seconds=1)
    await api.put("/clock", json={"at": later.isoformat()})
    await receiver.has(3)
    assert len(set(receiver.event_ids)) == 1
    assert all(holds(headers, body) for headers, body in receiver.got), "signed afresh each time"
    await asyncio.sleep(0.1)
    assert len(receiver.got) == 3


# Texts


@pytest.mark.parametrize(
    ("style", "arrives"),
    [
        ("clean", r"vé Văn Miếu MCTKA8B4C6D2"),
        ("squeezed", r"VEVANMIEUMCTKA8B4C6D2"),
        ("cut", r"ve Van Mieu MCTKA8B"),
        ("glued", r"VEVANMIEUMCTKA8B4C6D2[0-9]{8}"),
        ("surrounded", r"IBFT 0011009998887 LE THI TAP SU \. vé Văn Miếu MCTKA8B4C6D2 \. FT[0-9]{10} TOI 1234567890"),
        ("dirty", r".*MCTKA8B4C6D2.*"),
    ],
)
async def test_the_banks_deliver_the_text_in_their_own_way(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str, style: str, arrives: str
) -> None:
    await misbehave(text_style=style)
    await pay(text=f"vé Văn Miếu {REFERENCE}")
    assert re.fullmatch(arrives, (await listed(api, account))[0]["text"])


def test_every_way_of_the_banks_is_tried_above() -> None:
    assert set(get_args(memo.TextStyle)) == {"clean", "squeezed", "cut", "glued", "surrounded", "dirty"}


async def test_the_payer_gets_one_character_of_the_reference_wrong(pay: Pay, misbehave: Misbehave) -> None:
    await misbehave(payer_text="edited", text_style="clean")
    for _ in range(10):
        text = (await pay(text=f"ve {REFERENCE}")).json()["text"]
        assert text.startswith("ve ") and len(text) == len(f"ve {REFERENCE}")
        assert sum(ours != theirs for ours, theirs in zip(f"ve {REFERENCE}", text, strict=True)) == 1


async def test_the_payer_leaves_the_reference_out(pay: Pay, misbehave: Misbehave) -> None:
    await misbehave(payer_text="missing", text_style="clean")
    assert (await pay(text=REFERENCE)).json()["text"] == "LE THI TAP SU chuyen tien"


async def test_what_the_payer_did_and_what_the_banks_did_come_together(pay: Pay, misbehave: Misbehave) -> None:
    await misbehave(payer_text="missing", text_style="squeezed")
    assert (await pay(text=REFERENCE)).json()["text"] == "LETHITAPSUCHUYENTIEN"


@pytest.mark.parametrize(("how", "told"), [("absent", "left out"), ("null", None), ("empty", "")])
@pytest.mark.parametrize(
    ("fault", "names"), [("payer", ["payer_name", "payer_bin", "payer_account"]), ("bank_ref", ["bank_ref"])]
)
async def test_the_owner_is_not_told_who_paid_or_under_which_reference(
    api: httpx.AsyncClient,
    pay: Pay,
    misbehave: Misbehave,
    receiver: Receiver,
    account: str,
    fault: str,
    names: list[str],
    how: str,
    told: str | None,
) -> None:
    await misbehave(**{fault: how})
    paid = (await pay()).json()
    await receiver.has(1)
    for item in (receiver.told[0], (await listed(api, account))[0]):
        assert [item.get(name, "left out") for name in names] == [told] * len(names)
        assert {name: item[name] for name in item if name not in names} == {
            name: paid[name] for name in paid if name not in (*names, "id")
        }
    assert all(paid[name] for name in names), "the payer's own bank tells the payer everything"


# Whom a fault strikes


async def pattern(api: httpx.AsyncClient, pay: Pay, account: str, count: int) -> list[bool]:
    """Of the next payments, which ones arrive without their reference?"""
    before = len(await listed(api, account))
    for _ in range(count):
        await pay(text=REFERENCE)
    return [REFERENCE not in item["text"] for item in (await listed(api, account))[before:]]


async def test_a_fault_strikes_the_next_so_many_and_then_no_more(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str
) -> None:
    await misbehave(payer_text="missing", when={"payer_text": {"next": 2}})
    assert await pattern(api, pay, account, 4) == [True, True, False, False]
    now = (await api.get("/api/v1/faults")).json()
    assert (now["payer_text"], now["when"]["payer_text"]["next"]) == ("missing", 0)


async def test_a_fault_strikes_a_share_and_the_same_seed_strikes_the_same(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str
) -> None:
    async def run(seed: int) -> list[bool]:
        await misbehave(payer_text="missing", seed=seed, when={"payer_text": {"share": 0.5}})
        return await pattern(api, pay, account, 24)

    first = await run(1)
    assert 4 <= sum(first) <= 20
    assert await run(1) == first
    assert await run(2) != first


async def test_a_fault_can_strike_the_first_so_many_of_a_share(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str
) -> None:
    await misbehave(payer_text="missing", seed=3, when={"payer_text": {"share": 0.5, "next": 2}})
    struck = await pattern(api, pay, account, 16)
    assert sum(struck) == 2


async def test_a_payment_sent_again_uses_no_fault_up(
    api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str
) -> None:
    await misbehave(payer_text="missing", when={"payer_text": {"next": 2}})
    again = "5f0c1a52-0d7b-4d53-9d53-5a54a1d9b111"
    for _ in range(3):
        await pay(id=again, text=REFERENCE)
    await pay(account="404404")
    assert await pattern(api, pay, account, 2) == [True, False]


async def test_two_faults_are_aimed_each_by_itself(pay: Pay, misbehave: Misbehave, receiver: Receiver) -> None:
    await misbehave(
        lose_notices=True, repeat_notices=2, when={"lose_notices": {"next": 1}, "repeat_notices": {"next": 2}}
    )
    for amount_vnd in (1, 2, 3):
        await pay(amount_vnd=amount_vnd)
    await receiver.has(3)
    await asyncio.sleep(0.1)
    assert sorted(one["amount_vnd"] for one in receiver.told) == [2, 2, 3]


async def test_faults_and_what_is_left_of_them_outlive_the_bank(
    settings: Settings, app: FastAPI, api: httpx.AsyncClient, pay: Pay, misbehave: Misbehave, account: str
) -> None:
    await misbehave(payer_text="missing", seed=9, when={"payer_text": {"next": 2}})
    assert await pattern(api, pay, account, 1) == [True]
    before = (await api.get("/api/v1/faults")).json()
    again = create_app(settings)
    async with (
        again.router.lifespan_context(again),
        httpx.AsyncClient(transport=httpx.ASGITransport(again), base_url="http://bank", headers=KEY) as other,
    ):
        assert (await other.get("/api/v1/faults")).json() == before


@pytest.mark.parametrize(
    "body",
    [
        {"when": {"odd": {"next": 1}}},
        {"when": {"seed": {"next": 1}}},
        {"when": {"lose_notices": {"next": -1}}},
        {"when": {"lose_notices": {"share": 1.5}}},
        {"when": {"lose_notices": {"often": 1}}},
        {"shuffle_seconds": 3601},
        {"repeat_after_days": 31},
        {"payer_text": "odd"},
        {"payer": "hidden"},
        {"answers": "error_418"},
        {"answer_delay_ms": 30_001},
        {"list_late_seconds": 3601},
        {"list_overlap": 101},
        {"reverse_after_seconds": -1},
        {"seed": -1},
    ],
)
async def test_faults_beyond_reason_are_refused_and_nothing_changes(
    api: httpx.AsyncClient, misbehave: Misbehave, body: dict[str, object]
) -> None:
    wanted = await misbehave(lose_notices=True)
    refused = await api.put("/api/v1/faults", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_payload")
    assert (await api.get("/api/v1/faults")).json() == wanted


async def test_what_the_bank_says_of_its_faults_can_be_sent_back(api: httpx.AsyncClient, misbehave: Misbehave) -> None:
    await misbehave(answers="error_502", reverse_after_seconds=60, when={"answers": {"share": 0.25, "next": 9}})
    said = (await api.get("/api/v1/faults")).json()
    assert await misbehave(**said) == said == (await api.get("/api/v1/faults")).json()


async def test_by_default_nothing_goes_wrong_but_the_texts(api: httpx.AsyncClient, account: str) -> None:
    usual = (await api.get("/api/v1/faults")).json()
    assert usual == faults.Faults().model_dump()
    assert usual["text_style"] == "dirty"


async def test_the_interface_describes_every_fault(api: httpx.AsyncClient) -> None:
    described = (await api.get("/openapi.json")).json()
    assert set(described["components"]["schemas"]["Faults"]["properties"]) == {*faults.FAULTS, "seed", "when"}
    assert {"/api/v1/faults", "/api/v1/refunds", "/api/v1/refunds/{refund_id}", "/api/v1/transactions"} <= set(
        described["paths"]
    )


# A bank that was there before


async def test_a_bank_of_the_first_days_keeps_its_money_and_its_faults(
    settings: Settings, first_schema: Callable[[], Awaitable[None]]
) -> None:
    await first_schema()
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        db: asyncpg.Pool[Any] = app.state.pool
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bank", headers=KEY) as api:
            now = (await api.get("/api/v1/faults")).json()
            assert now == {**faults.Faults().model_dump(), "lose_notices": True, "delay_seconds": 7}
            assert (await listed(api, "OLD1"))[0]["amount_vnd"] == 5_000
            body = {"id": "5f0c1a52-0d7b-4d53-9d53-5a54a1d9b222", "bin": BIN, "account": "OLD1", "amount_vnd": 1}
            assert (await api.post("/api/v1/payments", json=body)).status_code == 201
            assert (await api.get(f"/api/v1/accounts/{BIN}/OLD1")).json()["balance_vnd"] == 5_001
        assert await db.fetchval("SELECT count(*) FROM pg_proc WHERE proname = 'book'") == 1


# The page


def fields(page: str) -> dict[str, str]:
    """What the page's first form would send."""
    form = page[page.index("<form") : page.index("</form>")]
    values = {}
    for tag in re.findall(r"<input [^>]*>", form):
        given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if given["type"] != "checkbox" or " checked" in tag:
            values[given["name"]] = given["value"]
    for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="(\w+)" selected', options) or re.search(r'value="(\w+)"', options)
        assert chosen is not None
        values[name] = chosen[1]
    return values


async def test_the_bank_can_be_made_to_misbehave_from_the_page(
    phone: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    wanted = {"lose_notices": "yes", "repeat_notices": "3", "delay_seconds": "60", "text_style": "clean"}
    page = await phone.post("/app/faults", data=wanted, follow_redirects=True)
    assert "Saved." in page.text
    now = (await api.get("/api/v1/faults")).json()
    turned = {"lose_notices": True, "repeat_notices": 3, "delay_seconds": 60, "text_style": "clean"}
    assert now == {**faults.Faults().model_dump(), **turned}
    refused = await phone.post("/app/faults", data={**wanted, "repeat_notices": "9"})
    assert (refused.status_code, "Not saved" in refused.text) == (400, True)
    assert (await api.get("/api/v1/faults")).json() == now


async def test_every_fault_stands_on_the_page_and_saving_it_unchanged_changes_nothing(
    phone: httpx.AsyncClient, api: httpx.AsyncClient, misbehave: Misbehave
) -> None:
    assert {name for names in misbehaviour.GROUPS.values() for name in names} == set(faults.FAULTS)
    aim = {"next": 4, "share": None}
    wanted = await misbehave(
        lose_notices=True,
        answers="closed",
        reverse_after_seconds=0,
        seed=5,
        when={"lose_notices": aim, "answers": aim, "reverse_after_seconds": aim},
    )
    for tongue in language.LANGUAGES:
        page = (await phone.get(f"/app/faults?lang={tongue}")).text
        for name in faults.FAULTS:
            assert f'name="{name}"' in page
        await phone.post("/app/faults", data=fields(page))
        assert (await api.get("/api/v1/faults")).json() == wanted


async def test_the_page_says_by_chance_and_with_which_seed(phone: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    data = {"return_refunds": "yes", "aim": "share", "percent": "30", "seed": "12"}
    await phone.post("/app/faults", data=data)
    now = (await api.get("/api/v1/faults")).json()
    assert (now["seed"], now["when"]) == (12, {"return_refunds": {"next": None, "share": 0.3}})


async def test_one_button_makes_the_bank_behave_again_and_the_front_page_tells_if_it_does_not(
    phone: httpx.AsyncClient, api: httpx.AsyncClient, misbehave: Misbehave
) -> None:
    await misbehave(answers="closed")
    assert "misbehaves at present" in (await phone.get("/app")).text
    await phone.post("/app/faults")
    assert (await api.get("/api/v1/faults")).json() == faults.Faults().model_dump()
    assert "misbehaves at present" not in (await phone.get("/app")).text


async def test_the_page_tells_when_a_program_aimed_each_fault_by_itself(
    phone: httpx.AsyncClient, misbehave: Misbehave
) -> None:
    await misbehave(lose_notices=True, two_event_ids=True, when={"lose_notices": {"next": 4}})
    assert "A program has set this for each fault" in (await phone.get("/app/faults")).text
    await misbehave(lose_notices=True, two_event_ids=True)
    assert "A program has set this for each fault" not in (await phone.get("/app/faults")).text
