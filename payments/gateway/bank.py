"""The bank gateway's language: what it tells us in a notice or a list, read into a `Credit`; its HTTP interface.

The only room that knows the field names of the (mock) bank. Nothing of it is believed before the signature holds.
"""

from __future__ import annotations

import json
import logging
from datetime import date, datetime
from functools import cached_property
from typing import IO, Any, Literal, get_args
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from foundation.clock import Instant
from foundation.errors import BadPayload
from foundation.money import TRANSFER_MAX_VND
from foundation.settings import Settings
from foundation.strict_json import explain, parse
from payments.gateway import (
    Done,
    GatewaySilent,
    Gone,
    News,
    NoticeForged,
    PayoutFileRefused,
    PayoutLine,
    PayoutReport,
    RefundAnswer,
    RefundFate,
    RefundLine,
    RefundOrder,
    Told,
    pain,
)
from payments.receipt import Credit
from payments.statement import StatementFileTooLarge

log = logging.getLogger("motcham.bank")
ACCOUNT_PATH = "/api/v1/accounts/{bin}/{account}"
MERCHANT_PATH = "/api/v1/merchants/{code}"
TRANSACTIONS_PATH = "/api/v1/transactions"
REFUNDS_PATH = "/api/v1/refunds"
PAYOUT_FILES_PATH = "/api/v1/payout-files"
STATEMENTS_PATH = "/api/v1/accounts/{bin}/{account}/statements"
STATEMENT_MAX_BYTES = 512 << 20
STATEMENT_TIMEOUT = httpx.Timeout(60, connect=2)
"""A statement is drawn up when it is first asked for."""

NO_STATEMENT = frozenset({"no_statement", "statement_withheld"})
CREDITED = "transaction.booked"
FINAL = frozenset({"unknown_account", "unknown_original", "more_than_left", "insufficient_balance", "cannot_send_back"})
"""The bank's refusals of a refund that stay: nothing left, and nothing will under that id."""
NOT_TAKEN_ON = frozenset({"bad_payload", "other_file", "too_large"})
"""The bank's refusals of a payout file: nothing of these bytes was taken on, nor will be."""
FATES: dict[str, RefundFate] = {fate: fate for fate in get_args(RefundFate) if fate != "unknown"}
"""The bank's words for what becomes of a refund are ours."""


StatementForm = Literal[
    "camt.053.001.02",
    "camt.053.001.08",
    "camt.054.001.02",
    "camt.054.001.08",
    "mt940",
    "csv.example-two-columns",
    "csv.example-signed",
    "xlsx.example-two-columns",
    "xlsx.example-signed",
]
"""The formats of the bank's statements; behind the point of a table stands its layout (`statement.profile`)."""

Line = tuple[str, str, int, str]
"""What tells one line of a list from another: (account, bank_ref, amount_vnd, direction)."""


class StatementDay(BaseModel):
    """A statement that the bank has issued. `number` counts the account's days; one that was corrected has another `id`."""

    model_config = ConfigDict(extra="ignore", strict=True)
    day: date = Field(strict=False)
    number: int
    id: str = Field(max_length=64)


class Transaction(BaseModel):
    """A booked transaction as the bank describes it. Further fields of the bank are allowed and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)
    bank_ref: str = Field(max_length=64)
    bin: str = Field(max_length=6)
    account: str = Field(max_length=19)
    direction: str
    amount_vnd: int = Field(ge=1, le=TRANSFER_MAX_VND)
    text: str = Field(max_length=2000)
    booked_at: Instant = Field(strict=False)
    payer_name: str | None = Field(None, max_length=200)
    payer_bin: str | None = Field(None, max_length=20)
    payer_account: str | None = Field(None, max_length=40)
    kind: str | None = Field(None, max_length=40)
    relates_to: str | None = Field(None, max_length=64)
    refund_id: str | None = Field(None, max_length=64)
    payout_id: str | None = Field(None, max_length=64)

    def refund(self) -> RefundLine | None:
        """The line of a refund, or None for any other line."""
        if self.kind not in ("refund", "refund_return") or self.refund_id is None:
            return None
        try:
            refund_id = UUID(self.refund_id)
        except ValueError:
            return None
        account, returns = f"{self.bin}/{self.account}", self.direction == "credit"
        return RefundLine(refund_id, account, self.bank_ref, self.amount_vnd, returns, self.booked_at)

    def payout(self) -> PayoutLine | None:
        """The line of a transfer of a payout file, or None for any other line."""
        if self.kind not in ("payout", "payout_return") or self.payout_id is None:
            return None
        try:
            payout_id = UUID(self.payout_id)
        except ValueError:
            return None
        account, returns = f"{self.bin}/{self.account}", self.direction == "credit"
        return PayoutLine(payout_id, account, self.bank_ref, self.amount_vnd, returns, self.booked_at)

    @property
    def line(self) -> Line:
        return f"{self.bin}/{self.account}", self.bank_ref, self.amount_vnd, self.direction

    def gone(self) -> Gone:
        """A debit, in the words that are kept of it."""
        account = f"{self.bin}/{self.account}"
        return Gone(account, self.bank_ref, self.amount_vnd, self.booked_at, self.kind or "", self.relates_to or "")

    def credit(self) -> Credit | None:
        """The credit, or None for money that left the account."""
        if self.direction != "credit":
            return None
        payer = f"{self.payer_name or ''} {self.payer_bin or ''}/{self.payer_account or ''}"
        returns = self.refund_id or self.payout_id or self.relates_to or ""
        facts = {"returns": returns} if self.kind in ("refund_return", "payout_return") else {}
        return Credit(
            self.bin, self.account, self.bank_ref, self.amount_vnd, self.text, self.booked_at, payer, facts=facts
        )


def verify(secrets: str, headers: dict[str, str], body: bytes) -> str:
    """Checks a notice over its raw bytes against any of our secrets (Standard Webhooks, ±5 min). The event id."""
    for secret in secrets.split(","):
        try:
            Webhook(secret.strip()).verify(body, headers)
            return headers["webhook-id"]
        except (json.JSONDecodeError, RecursionError):
            # The signature held; the library then reads the body, which is ours to refuse by name.
            return headers["webhook-id"]
        except (WebhookVerificationError, ValueError):
            continue
    raise NoticeForged()


def read_transaction(value: Any) -> Transaction:
    """One transaction from parsed JSON. Raises BadPayload."""
    try:
        return Transaction.model_validate(value)
    except ValidationError as error:
        raise BadPayload(reason=explain(error.errors(include_url=False, include_input=False))) from error


class Bank:
    """The bank as a gateway. Every call may raise GatewaySilent; none is made inside a transaction of ours."""

    name = "bank"
    a_second_apart = False

    def __init__(
        self, url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None, *, secrets: str = ""
    ) -> None:
        self._url, self._api_key, self._transport, self._secrets = url, api_key, transport, secrets

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        # Made when it is needed: who only hears notices makes none.
        return httpx.AsyncClient(
            transport=self._transport,
            base_url=self._url,
            headers={"authorization": f"Bearer {self._api_key}"},
            timeout=httpx.Timeout(5, connect=2),
        )

    @classmethod
    def of(cls, settings: Settings) -> Bank:
        return cls(
            settings.bank_url,
            settings.bank_api_key.get_secret_value(),
            secrets=settings.bank_webhook_secret.get_secret_value(),
        )

    async def close(self) -> None:
        if "_http" in self.__dict__:
            await self._http.aclose()

    def hear(self, told: Told) -> News | None:
        """A booked credit, or a line of a refund or payout; None for what we do not need. Raises NoticeForged, BadPayload."""
        event_id = verify(self._secrets, dict(told.headers), told.body)
        notice = parse(told.body)
        if not isinstance(notice, dict) or notice.get("type") != CREDITED:
            return None
        transaction = read_transaction(notice.get("data"))
        credit, refund, payout = transaction.credit(), transaction.refund(), transaction.payout()
        if credit is None and refund is None and payout is None:
            return None
        return News(f"{transaction.bin}/{transaction.account}", event_id, credit, refund=refund, payout=payout)

    def answer(self, done: Done | Exception) -> tuple[int, dict[str, object]]:
        """2xx means: booked (or known already). A refusal is a problem document, as everywhere."""
        if isinstance(done, Exception):
            raise done
        return (200, {"accepted": False}) if done == "ignored" else (202, {"accepted": True, "new": done == "booked"})

    async def register(self, *, bin: str, account: str, owner_name: str, webhook_url: str) -> None:
        """Opens (or updates) a collection account at the mock bank; the real one is opened on paper."""
        await self._call(
            "PUT",
            ACCOUNT_PATH.format(bin=bin, account=account),
            json={"owner_name": owner_name, "webhook_url": webhook_url},
        )

    async def transactions(
        self, *, bin: str, account: str, after: str | None, since: datetime | None = None
    ) -> tuple[list[Any], str | None]:
        """A page of what was booked after a cursor, oldest first and not read yet, and the cursor behind it.

        `since` leaves out what was booked before. A bank may list a line late, behind a cursor that was given out.
        """
        params = {"bin": bin, "account": account, "limit": "200"}
        params |= {"after": after} if after else {}
        params |= {"since": since.isoformat()} if since else {}
        page = await self._call("GET", TRANSACTIONS_PATH, params=params)
        return page["items"], page["next_cursor"]

    async def send_back(self, order: RefundOrder) -> RefundAnswer:
        """Asks for a refund (`Refunding`). The bank makes it once per id, whatever is asked again."""
        bin, _, account = order.account.partition("/")
        to = order.to and {"bin": order.to.bin, "account": order.to.account, "name": order.to.name}
        asked = {
            "id": str(order.id),
            "bin": bin,
            "account": account,
            "bank_ref": order.original_ref,
            "amount_vnd": order.amount_vnd,
            "text": order.text,
            "to": to,
        }
        answer = await self._ask("POST", REFUNDS_PATH, json=asked)
        if answer.status_code == 201:
            return RefundAnswer("accepted", at=datetime.fromisoformat(_told(answer)["accepted_at"]))
        code = _told(answer).get("code")
        if code in FINAL:
            return RefundAnswer("refused", why=code)
        raise GatewaySilent()

    async def fate_of(self, order: RefundOrder) -> RefundAnswer:
        """What became of a refund (`Refunding`)."""
        answer = await self._ask("GET", f"{REFUNDS_PATH}/{order.id}")
        told = _told(answer)
        if answer.status_code == 404 and told.get("code") == "unknown_refund":
            return RefundAnswer("unknown")
        fate = FATES.get(str(told.get("state")))
        if answer.status_code != 200 or fate is None:
            raise GatewaySilent()
        if told.get("amount_vnd") != order.amount_vnd or told.get("bank_ref") != order.original_ref:
            raise ValueError(f"the bank knows another refund as {order.id}")
        at = told.get("ended_at") or told.get("asked_at")
        why = (told.get("refusal") or {}).get("code")
        return RefundAnswer(fate, why, told.get("debit_bank_ref"), datetime.fromisoformat(at) if at else None)

    async def pay_out(self, file: bytes) -> PayoutReport:
        """Hands a payout file in (`Paying`). The bank takes it on once per message id, and these bytes only."""
        pain.instructed(file)  # what is none of ours is not sent
        headers = {"content-type": "application/xml"}
        answer = await self._ask("POST", PAYOUT_FILES_PATH, content=file, headers=headers)
        if answer.status_code == 201:
            return _reported(answer, file)
        code = _told(answer).get("code")
        if code in NOT_TAKEN_ON:
            raise PayoutFileRefused(why=code)
        raise GatewaySilent()

    async def payout_report(self, file: bytes) -> PayoutReport | None:
        """What became of a payout file (`Paying`)."""
        answer = await self._ask("GET", f"{PAYOUT_FILES_PATH}/{pain.instructed(file).message_id.hex}")
        if answer.status_code == 200:
            return _reported(answer, file)
        if answer.status_code == 404 and _told(answer).get("code") == "unknown_file":
            return None
        raise GatewaySilent()

    async def statement_days(self, bin: str, account: str, *, after: date = date.min) -> list[StatementDay]:
        """The days after that one of which there is a statement, oldest first. A number that is left out was held back."""
        found: list[StatementDay] = []
        while True:
            params = {"after": after.isoformat(), "limit": "500"}
            path = STATEMENTS_PATH.format(bin=bin, account=account)
            page = await self._call("GET", path, params=params, timeout=STATEMENT_TIMEOUT)
            try:
                found += [StatementDay.model_validate(item) for item in page["items"]]
                has_more = page["has_more"] and found[-1].day > after
            except (ValidationError, KeyError, IndexError, TypeError) as error:
                raise GatewaySilent() from error
            if not has_more:
                return found
            after = found[-1].day

    async def fetch_statement(
        self,
        bin: str,
        account: str,
        day: date,
        form: StatementForm,
        into: IO[bytes],
        *,
        most: int = STATEMENT_MAX_BYTES,
    ) -> bool:
        """Writes a day's statement into a file as it comes; False: there is none, and nothing was written.

        Raises GatewaySilent, StatementFileTooLarge; what was written then is only a part.
        """
        path = f"{STATEMENTS_PATH.format(bin=bin, account=account)}/{day}"
        try:
            async with self._http.stream("GET", path, params={"format": form}, timeout=STATEMENT_TIMEOUT) as answer:
                if answer.status_code == 200:
                    written = 0
                    async for octets in answer.aiter_bytes():
                        written += len(octets)
                        if written > most:
                            raise StatementFileTooLarge(file=f"{account} {day} {form}", most_bytes=most)
                        into.write(octets)
                    return True
                await answer.aread()
        except httpx.HTTPError as error:
            raise GatewaySilent() from error
        if answer.status_code == 404 and _told(answer).get("code") in NO_STATEMENT:
            return False
        raise GatewaySilent()

    async def register_merchant(self, *, code: str, owner_name: str, secret: str, ipn_url: str) -> None:
        """Opens (or updates) a merchant of the mock bank's hosted page; the real one is opened on paper."""
        wanted = {"owner_name": owner_name, "secret": secret, "ipn_url": ipn_url}
        await self._call("PUT", MERCHANT_PATH.format(code=code), json=wanted)

    async def set_clock(self, *, at: datetime, rate: float) -> None:
        """Moves the mock bank's clock together with ours (demo and test)."""
        await self._call("PUT", "/clock", json={"at": at.isoformat(), "rate": rate})

    async def _ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise GatewaySilent() from error

    async def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **kwargs)
            answer.raise_for_status()
            return answer.json() if answer.content else None
        except (httpx.HTTPError, ValueError) as error:
            raise GatewaySilent() from error


def _told(answer: httpx.Response) -> dict[str, Any]:
    """The object that an answer holds; what is none was not said by the bank."""
    try:
        told = answer.json()
    except ValueError as error:
        raise GatewaySilent() from error
    if not isinstance(told, dict):
        raise GatewaySilent()
    return told


def _reported(answer: httpx.Response, file: bytes) -> PayoutReport:
    """The report that an answer holds. One that cannot be believed tells nothing: the outcome stays unknown."""
    try:
        return pain.read(answer.content, file)
    except BadPayload as error:
        log.warning("the bank's report on a payout file was not believed: %s", error)
        raise GatewaySilent() from error
