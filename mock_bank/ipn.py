"""The gateway's notices (IPN): a signed GET to the merchant, until it answers that the payment is confirmed."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
from fastapi import Depends, Request

from mock_bank import failpoint
from mock_bank.notice import LEASE_SECONDS, NoticeSender

CONFIRMED = ("00", "02")


class IpnSender(NoticeSender):
    """The sender of notices with another outbox and another language."""

    outbox = "mock_bank.ipn"

    async def _claim(self, limit: int) -> list[Any]:
        return await self._db.fetch(
            """UPDATE mock_bank.ipn n SET due_at = clock_timestamp() + make_interval(secs => $2), sends = sends + 1
                 FROM mock_bank.merchant m
                WHERE n.id IN (SELECT id FROM mock_bank.ipn WHERE state = 'waiting' AND due_at <= clock_timestamp()
                                  AND (not_before IS NULL OR not_before <= mock_bank.now())
                                ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                  AND m.code = n.merchant
               RETURNING n.id, n.query, n.sends, n.failures, n.defects[n.sends] AS defect, m.ipn_url""",
            limit,
            LEASE_SECONDS,
        )

    async def _tell(self, http: httpx.AsyncClient, notice: Any) -> bool:
        query: str = notice["query"]
        if notice["defect"] == "wrong_signature":
            query = query[:-1] + ("0" if query[-1] != "0" else "1")
        answer = await http.get(f"{notice['ipn_url']}?{query}")
        failpoint.here("bank.ipn.sent")
        try:
            return answer.is_success and answer.json().get("RspCode") in CONFIRMED
        except (ValueError, AttributeError):
            return False


def _sender(request: Request) -> IpnSender:
    sender: IpnSender = request.app.state.ipn
    return sender


IpnSent = Annotated[IpnSender, Depends(_sender)]
