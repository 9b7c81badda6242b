"""One search for everything in an operator's books: what somebody typed is read as all that it may be.

A reference, a payout's number, a day are looked up and nothing else. An amount, a bank's reference are looked for among the
newest rows. Tickets and plates are found by the services that know them. What the bank wrote and who paid is sealed: it is
opened newest first, within a bound of time and number, and the answer says how far back it looked.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from foundation.database import Database, Tx
from foundation.money import TRANSFER_MAX_VND
from foundation.seal import Erased, Sealer
from foundation.texts import fold
from payments import bank_statement, explain, reference
from payments.explain import Explanation
from payments.statement.rows import BLOCK

LATEST = 50_000
"""So many of the newest rows of each kind are looked at for what no index knows."""
FOUND_MAX = 20
TEXTS_MAX = 50_000
SECONDS = 1.5
"""What opening sealed texts may take: so many of them, and so long."""
_AT_ONCE = 500

_RUN = re.compile(r"MC(\d{6})")
_DAY = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](20\d\d)")
_ISO_DAY = re.compile(r"(20\d\d)-(\d\d)-(\d\d)")
_AMOUNT = re.compile(r"\d+|\d{1,3}(?:[., \u00a0]\d{3})+")
_CURRENCY = re.compile(r"\s*(?:₫|đ|đồng|vnd|vnđ)$", re.IGNORECASE)
_BANK_REF = re.compile(r"(?=.*\d)[0-9A-Za-z./_-]{4,64}")

Kind = Literal["payment", "receipt", "line", "payout", "run", "bag", "debit", "refund", "day", "thing", "text"]


@dataclass(frozen=True, slots=True)
class Typed:
    """All that a text may be. `words`: what is looked for in the bank's texts, folded; "" for what is surely something else."""

    text: str
    reference: str | None = None
    run: int | None = None
    day: date | None = None
    amount_vnd: int | None = None
    bank_ref: str | None = None
    words: str = ""

    @property
    def exact(self) -> bool:
        """It can only be one thing, and names no person."""
        return self.reference is not None or self.run is not None or self.day is not None


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found. `path`: its page under `/finance/`, empty if it has none; `what`: what it was, by its service."""

    kind: Kind
    name: str
    path: str
    amount_vnd: int | None = None
    at: datetime | date | None = None
    state: str = ""
    what: Explanation | None = None
    text: str = ""


@dataclass
class Looked:
    """Among how many sealed texts of a kind was looked, and back to which day; `whole`: among all there are."""

    count: int = 0
    back_to: date | None = None
    whole: bool = False


@dataclass
class Texts:
    """What was found in sealed texts; `read`: what the trail says of those that are shown, act and subject."""

    hits: list[Hit] = field(default_factory=list)
    receipts: Looked = field(default_factory=Looked)
    lines: Looked = field(default_factory=Looked)
    read: list[tuple[str, str]] = field(default_factory=list)


def read(text: str) -> Typed:
    """What a text may be. Pure."""
    text = " ".join(text.split())
    bare = re.sub(r"[\s.-]", "", text).upper()
    if found := reference.find(text):
        return Typed(text, reference=found[0])
    if run := _RUN.fullmatch(bare):
        return Typed(text, run=int(run[1]))
    if (day := _day_of(text)) is not None:
        return Typed(text, day=day)
    digits = _CURRENCY.sub("", text)
    amount_vnd = int(re.sub(r"\D", "", digits)) if digits.isascii() and _AMOUNT.fullmatch(digits) else 0
    bank_ref = text if _BANK_REF.fullmatch(text) else None
    words = fold(text)
    # So long a number is an account; a shorter one is an amount, or the end of a plate.
    tells = sum(map(str.isalpha, words)) >= 3 or sum(map(str.isdigit, words)) >= 9
    return Typed(
        text,
        amount_vnd=amount_vnd if 1 <= amount_vnd <= TRANSFER_MAX_VND else None,
        bank_ref=bank_ref,
        words=words if tells else "",
    )


async def find(tx: Tx, sealer: Sealer, typed: Typed) -> list[Hit]:
    """Everything that is found without opening what is sealed, group by group, the newest of each first."""
    hits: list[Hit] = []
    if typed.day is not None:
        hits += [Hit("day", "", f"{page}?day={typed.day.isoformat()}", at=typed.day, state=page) for page in DAY_PAGES]
    if typed.run is not None:
        hits += await _runs(tx, "r.number = $2", typed.run)
    if typed.reference is not None:
        hits += await _charges(tx, "c.reference = $2", typed.reference)
        hits += await _bags(tx, typed.reference)
    if typed.exact:
        return hits
    if typed.amount_vnd is not None:
        hits += await _charges(tx, "c.amount_vnd = $2", typed.amount_vnd, among=LATEST)
        hits += await _receipts(tx, "r.amount_vnd = $2", typed.amount_vnd)
        hits += await _lines(tx, "abs(l.amount_vnd) = $2", typed.amount_vnd, among=LATEST)
        hits += await _payouts(tx, "p.amount_vnd = $2", typed.amount_vnd)
    if typed.bank_ref is not None:
        refs = list({typed.bank_ref, typed.bank_ref.upper()})
        hits += await _receipts(tx, "r.bank_ref = any($2)", refs)
        hits += await _lines(tx, "l.bank_ref = any($2) and l.bank_ref <> ''", refs)
        hits += await _others(tx, refs)
    things = await explain.search(tx, sealer, typed.text)
    return hits + await _things(tx, things)


DAY_PAGES = ("day", "days", "journal")
"""What a day is looked at as: its payments, its close, its journal."""


def _day_of(text: str) -> date | None:
    try:
        if found := _DAY.fullmatch(text):
            return date(int(found[3]), int(found[2]), int(found[1]))
        if found := _ISO_DAY.fullmatch(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        pass
    return None


# --- what is not sealed ------------------------------------------------------------------------------------------------


async def _charges(tx: Tx, which: str, value: object, *, among: int | None = None) -> list[Hit]:
    source = f"(select * from payments.charge where operator_id = $1 order by id desc limit {among})" if among else ""
    rows = await tx.rows(
        "select c.reference, c.amount_vnd, c.state, c.created_at, l.purpose, l.reference as thing"
        f" from {source or 'payments.charge'} c"
        " left join payments.charge_line l on l.operator_id = c.operator_id and l.charge_id = c.id and l.line_no = 1"
        f" where c.operator_id = $1 and {which} order by c.id desc limit {FOUND_MAX}",
        tx.operator_id,
        value,
    )
    known = await explain.explain(tx, [(row["purpose"], row["thing"]) for row in rows if row["thing"]])
    return [
        Hit(
            "payment",
            row["reference"],
            f"charges/{row['reference']}",
            row["amount_vnd"],
            row["created_at"],
            row["state"],
            known.get((row["purpose"], row["thing"])),
        )
        for row in rows
    ]


async def _receipts(tx: Tx, which: str, value: object) -> list[Hit]:
    rows = await tx.rows(
        "select r.id, r.bank_ref, r.amount_vnd, r.paid_at, c.reference, h.receipt_id is not null as queued"
        f" from (select * from payments.receipt where operator_id = $1 order by id desc limit {LATEST}) r"
        + _WHERE_IT_IS
        + f" where {which} order by r.id desc limit {FOUND_MAX}",
        tx.operator_id,
        value,
    )
    return [
        Hit(
            "receipt", row["bank_ref"], _page_of_receipt(row), row["amount_vnd"], row["paid_at"], row["reference"] or ""
        )
        for row in rows
    ]


_WHERE_IT_IS = (
    " left join payments.receipt_outcome o on o.operator_id = r.operator_id and o.receipt_id = r.id"
    " left join payments.charge c on c.operator_id = r.operator_id and c.id = o.charge_id"
    " left join payments.held h on h.operator_id = r.operator_id and h.receipt_id = r.id"
)


def _page_of_receipt(row: Any) -> str:
    """Where a receipt is seen: in the queue if it ever waited, else at what it paid, else among what is not looked at yet."""
    if row["queued"]:
        return f"queue/{row['id']}"
    return f"charges/{row['reference']}" if row["reference"] else "day#unapplied"


def _subject_of_receipt(row: Any) -> str:
    """What the trail calls it when its text is read: what its page calls it."""
    return f"receipt {row['id']}" if row["queued"] or row["charge_id"] is None else f"charge {row['charge_id']}"


async def _lines(tx: Tx, which: str, value: object, *, among: int | None = None) -> list[Hit]:
    lines = "select * from payments.statement_line where operator_id = $1"
    if among:
        lines += f" order by statement_id desc, position desc limit {among}"
    rows = await tx.rows(
        "select l.statement_id, l.position, l.bank_ref, l.amount_vnd, l.day, o.id is not null as open,"
        " exists (select from payments.statement_withdrawal w"
        "   where w.operator_id = l.operator_id and w.statement_id = l.statement_id) as withdrawn"
        f" from ({lines}) l"
        " left join payments.open_item o on o.operator_id = l.operator_id and o.statement_id = l.statement_id"
        "   and o.position = l.position"
        f" where {which} order by l.statement_id desc, l.position desc limit {FOUND_MAX}",
        tx.operator_id,
        value,
    )
    return [_line(row) for row in rows]


def _line(row: Any, text: str = "") -> Hit:
    state = "withdrawn" if row["withdrawn"] else "open" if row["open"] else "matched"
    path = f"lines/{row['statement_id']}/{row['position']}"
    return Hit("text" if text else "line", row["bank_ref"], path, row["amount_vnd"], row["day"], state, text=text)


async def _payouts(tx: Tx, which: str, value: object) -> list[Hit]:
    rows = await tx.rows(
        "select r.id, r.number, p.amount_vnd, r.made_at, p.state from payments.payout p"
        " join payments.payout_run r on r.operator_id = p.operator_id and r.id = p.run_id"
        f" where p.operator_id = $1 and {which} order by p.id desc limit {FOUND_MAX}",
        tx.operator_id,
        value,
    )
    return [
        Hit("payout", f"MC{row['number']:06}", f"payouts/{row['id']}", row["amount_vnd"], row["made_at"], row["state"])
        for row in rows
    ]


async def _runs(tx: Tx, which: str, value: object) -> list[Hit]:
    rows = await tx.rows(
        "select r.id, r.number, r.made_at, (select sum(p.amount_vnd)::bigint from payments.payout p"
        "   where p.operator_id = r.operator_id and p.run_id = r.id) as amount_vnd"
        f" from payments.payout_run r where r.operator_id = $1 and {which}",
        tx.operator_id,
        value,
    )
    return [
        Hit("run", f"MC{row['number']:06}", f"payouts/{row['id']}", row["amount_vnd"], row["made_at"]) for row in rows
    ]


async def _bags(tx: Tx, drawn: str) -> list[Hit]:
    """Bags of notes, and what attendants transfer for guests, have references of the same kind."""
    rows = await tx.rows(
        "select 'bag' as kind, reference, 'deposits' as path, amount_vnd, made_at as at from payments.deposit"
        " where operator_id = $1 and reference = $2"
        " union all"
        " select 'payment', t.reference, 'charges/' || c.reference, t.amount_vnd, t.asked_at from payments.proxy_transfer t"
        " join payments.cash_receipt k on k.operator_id = t.operator_id and k.shift_id = t.shift_id"
        "   and k.number = t.receipt_number"
        " join payments.charge c on c.operator_id = k.operator_id and c.id = k.charge_id"
        " where t.operator_id = $1 and t.reference = $2",
        tx.operator_id,
        drawn,
    )
    return [Hit(row["kind"], row["reference"], row["path"], row["amount_vnd"], row["at"]) for row in rows]


async def _others(tx: Tx, refs: Sequence[str]) -> list[Hit]:
    """Money that left and money that went back, by the bank's reference."""
    rows = await tx.rows(
        "select 'debit' as kind, bank_ref as name, 'debits/' || id as path, amount_vnd, left_at as at, '' as state"
        " from payments.debit where operator_id = $1 and bank_ref = any($2)"
        " union all"
        " select 'refund', coalesce(return_ref, debit_ref), 'refunds/' || id, amount_vnd, accepted_at, state"
        " from payments.refund where operator_id = $1 and (debit_ref = any($2) or return_ref = any($2))"
        " union all"
        " select 'payout', e.bank_ref, 'payouts/' || p.run_id, e.amount_vnd, e.at, p.state from payments.payout_entry e"
        " join payments.payout p on p.operator_id = e.operator_id and p.id = e.payout_id"
        f" where e.operator_id = $1 and e.bank_ref = any($2) order by at desc limit {FOUND_MAX}",
        tx.operator_id,
        refs,
    )
    return [Hit(**row) for row in rows]


async def _things(tx: Tx, things: Sequence[tuple[str, str]]) -> list[Hit]:
    """What services found, with the payments for it; what was free has none."""
    rows = await tx.rows(
        "select t.purpose, t.thing, c.reference, c.amount_vnd, c.state, c.created_at"
        " from unnest($2::text[], $3::text[]) with ordinality t (purpose, thing, place)"
        " left join payments.charge_line l on l.operator_id = $1 and l.purpose = t.purpose and l.reference = t.thing"
        " left join payments.charge c on c.operator_id = $1 and c.id = l.charge_id order by t.place, c.id desc",
        tx.operator_id,
        [purpose for purpose, _ in things],
        [thing for _, thing in things],
    )
    known = await explain.explain(tx, things)
    return [
        Hit(
            "thing",
            row["reference"] or "",
            f"charges/{row['reference']}" if row["reference"] else "",
            row["amount_vnd"],
            row["created_at"],
            row["state"] or "",
            known.get((row["purpose"], row["thing"])),
        )
        for row in rows
    ]


# --- what is sealed ------------------------------------------------------------------------------------------------------


async def find_texts(database: Database, sealer: Sealer, operator_id: UUID, words: str) -> Texts:
    """Who and what the bank named, newest first. No connection is held while texts are opened; a month that was erased tells
    nothing. That somebody looks is for the caller to write down, before."""
    found = Texts()
    ends = time.monotonic() + SECONDS
    await _look(_of_receipts(database, sealer, operator_id), words, found, found.receipts, ends - SECONDS / 2)
    await _look(_of_lines(database, sealer, operator_id), words, found, found.lines, ends)
    return found


async def _look(batches: AsyncIterator[Sequence[_Told]], words: str, found: Texts, looked: Looked, ends: float) -> None:
    """Looks through batches of clear texts until time, number or what fits on a page is reached."""
    hits = 0
    async for batch in batches:
        for told in batch:
            if hits < FOUND_MAX and words in fold(told.hit.text):
                hits += 1
                found.hits.append(told.hit)
                found.read.append(told.trace)
        looked.count += len(batch)
        looked.back_to = batch[-1].day if batch else looked.back_to
        await asyncio.sleep(0)  # others have waited for so many texts
        if looked.count >= TEXTS_MAX or time.monotonic() > ends or hits >= FOUND_MAX:
            return
    looked.whole = True


@dataclass(frozen=True, slots=True)
class _Told:
    """A text in clear, as it would be shown; what the trail says of it then, act and subject; of which day it is."""

    hit: Hit
    trace: tuple[str, str]
    day: date


async def _of_receipts(database: Database, sealer: Sealer, operator_id: UUID) -> AsyncIterator[list[_Told]]:
    before: UUID | None = None
    while True:
        async with database.transaction(operator_id) as tx:
            rows = await tx.rows(
                "select r.id, r.bank_ref, r.amount_vnd, r.paid_at, foundation.hanoi_day(r.paid_at) as day, r.text_sealed,"
                " r.payer_sealed, c.id as charge_id, c.reference, h.receipt_id is not null as queued from payments.receipt r"
                + _WHERE_IT_IS
                + " where r.operator_id = $1 and ($2::uuid is null or r.id < $2) order by r.id desc limit $3",
                operator_id,
                before,
                _AT_ONCE,
            )
        if not rows:
            return
        batch = []
        for row in rows:
            said = [
                await _clear(sealer, row["text_sealed"], "receipt.text"),
                await _clear(sealer, row["payer_sealed"], "receipt.payer"),
            ]
            page, text = _page_of_receipt(row), " · ".join(filter(None, said))
            hit = Hit(
                "text", row["bank_ref"], page, row["amount_vnd"], row["paid_at"], row["reference"] or "", text=text
            )
            batch.append(_Told(hit, ("receipt.read", _subject_of_receipt(row)), row["day"]))
        yield batch
        before = rows[-1]["id"]


async def _of_lines(database: Database, sealer: Sealer, operator_id: UUID) -> AsyncIterator[list[_Told]]:
    """Of lines that are not the same money as a receipt, whose text was looked at as the receipt's."""
    before: tuple[UUID | None, int] = (None, 0)
    while True:
        async with database.transaction(operator_id) as tx:
            blocks = await tx.rows(
                "select statement_id, block, sealed from payments.statement_text where operator_id = $1"
                " and ($2::uuid is null or (statement_id, block) < ($2, $3)) order by statement_id desc, block desc limit 4",
                operator_id,
                *before,
            )
            rows = await tx.rows(
                "select l.statement_id, l.position, l.bank_ref, l.amount_vnd, l.day, o.id is not null as open,"
                " exists (select from payments.statement_withdrawal w"
                "   where w.operator_id = l.operator_id and w.statement_id = l.statement_id) as withdrawn"
                f" from unnest($2::uuid[], $3::int[]) b (statement_id, block) join payments.statement_line l"
                "   on l.operator_id = $1 and l.statement_id = b.statement_id"
                f"  and l.position >= b.block * {BLOCK} and l.position < (b.block + 1) * {BLOCK}"
                " left join payments.claim c on c.operator_id = l.operator_id and c.statement_id = l.statement_id"
                "   and c.position = l.position"
                " left join payments.open_item o on o.operator_id = l.operator_id and o.statement_id = l.statement_id"
                "   and o.position = l.position"
                " where c.kind is distinct from 'receipt' order by l.statement_id desc, l.position desc",
                operator_id,
                [block["statement_id"] for block in blocks],
                [block["block"] for block in blocks],
            )
        if not blocks:
            return
        wanted = {(row["statement_id"], row["position"] // BLOCK) for row in rows}
        opened = {
            key: json.loads(await _clear(sealer, block["sealed"], bank_statement.TEXT) or "null")
            for block in blocks
            if (key := (block["statement_id"], block["block"])) in wanted
        }
        batch = []
        for row in rows:
            texts = opened[row["statement_id"], row["position"] // BLOCK]
            if texts is not None:
                hit = _line(row, " · ".join(filter(None, texts[row["position"] % BLOCK])))
                batch.append(
                    _Told(hit, ("statement.read", f"statement {row['statement_id']} {row['position']}"), row["day"])
                )
        yield batch
        before = (blocks[-1]["statement_id"], blocks[-1]["block"])


async def _clear(sealer: Sealer, sealed: bytes, context: str) -> str:
    try:
        return await sealer.open(sealed, context=context)
    except Erased:
        return ""
