"""Payouts: files of transfers that the account's owner hands in, each taken on once per message id.

Per transfer: accepted → booked → settled (→ returned); or rejected, at once or on its day. A file is answered by a
report on what was taken on; how far it has come since, a report tells whenever it is asked for. What a receiving bank
returns comes back as a credit of its own, and no report tells of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Path, Request, Response

from mock_bank import failpoint, faults, language, pain
from mock_bank.database import Database
from mock_bank.later import Clerk
from mock_bank.refusal import Refusal
from mock_bank.web import PAYOUTS_PATH, ApiKey, StrictRoute

XML = "application/xml"


class OtherFile(Refusal):
    """Another file was already taken on under this message id; this one was not. Hand it in with a new id."""

    status = 422


class UnknownFile(Refusal):
    """No file was ever taken on under this message id, so nothing was done."""

    status = 404


async def take_on(db: asyncpg.Pool[Any], body: bytes) -> tuple[str, bool]:
    """Take the file on once; the report on that, and True if it had been before. Raises BadPayload, OtherFile."""
    file = pain.read(body)
    asked = file.model_dump(mode="json") | {"refusal": file.refusal}
    failpoint.here("bank.payout.before")
    async with db.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            "SELECT outcome, answer FROM mock_bank.take_on($1, $2, $3)",
            file.message_id,
            hashlib.sha256(body).hexdigest(),
            json.dumps(asked),
        )
        assert row is not None
        if row["outcome"] == "other_file":
            raise OtherFile
        answer: str | None = row["answer"]
        if answer is None:
            answer = await _report(connection, file.message_id)
            await connection.execute(
                "UPDATE mock_bank.payout_file SET answer = $2 WHERE message_id = $1", file.message_id, answer
            )
    failpoint.here("bank.payout.after")
    return answer, row["outcome"] == "replayed"


async def _report(db: Any, message_id: str) -> str:
    """What became of the file until now, or UnknownFile."""
    file = await db.fetchrow(
        "SELECT payment_id, number, total_vnd, refusal, mock_bank.now() AS at FROM mock_bank.payout_file"
        " WHERE message_id = $1",
        message_id,
    )
    if file is None:
        raise UnknownFile
    said = await db.fetch(
        """SELECT id, status, reason, mock_bank.struck('omit_payout_statuses') IS NOT NULL AS omitted
             FROM (SELECT p.*, mock_bank.status(p) FROM mock_bank.payout p WHERE message_id = $1 ORDER BY position) p""",
        message_id,
    )
    return pain.report(
        message_id=message_id,
        payment_id=file["payment_id"],
        number=file["number"],
        total_vnd=file["total_vnd"],
        why=file["refusal"],
        at=file["at"].astimezone(language.HANOI),
        said=[pain.Said(one["id"], one["status"], one["reason"], one["omitted"]) for one in said],
    )


router = APIRouter(prefix=PAYOUTS_PATH, tags=["payouts"], route_class=StrictRoute, dependencies=[faults.Behaving])
A_REPORT: dict[str, Any] = {"content": {XML: {"schema": {"type": "string"}}}, "description": pain.REPORT}


@router.post(
    "",
    status_code=201,
    response_class=Response,
    responses={
        201: A_REPORT,
        422: {"description": "bad_payload, or other_file: the message id was used for another file"},
    },
    openapi_extra={"requestBody": {"required": True, "content": {XML: {"schema": {"type": "string"}}}}},
)
async def hand_in(request: Request, db: Database, clerk: Clerk, key: ApiKey) -> Response:
    """Hand in a file (pain.001.001.03). The same bytes: the same answer again; other bytes under its MsgId: 422."""
    answer, replayed = await take_on(db, await request.body())
    clerk.wake()
    await faults.lose_answer(db, "lose_payout_answers")
    headers = {"idempotent-replayed": "true"} if replayed else {}
    return Response(answer, 201, headers, XML)


@router.get(
    "/{message_id}",
    response_class=Response,
    responses={200: A_REPORT, 404: {"description": "unknown_file: nothing was done under this message id"}},
)
async def see_report(message_id: Annotated[str, Path(max_length=35)], db: Database, key: ApiKey) -> Response:
    """What became of a file until now. After a lost answer this, or the same bytes again, is the way to know."""
    return Response(await _report(db, message_id), media_type=XML)
