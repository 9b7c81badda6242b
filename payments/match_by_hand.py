"""What people say of open items: that they are one, what a difference is, that a line comes into the books, why something
stays open. What a person did is undone as a whole, by its reversal; both stay in the history. Runs, acts and the close of a
day follow each other (`matching`): what a close has looked at does not change under it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from foundation import audit, clock
from foundation.database import Database, Tx
from foundation.errors import NotFound, Refusal
from foundation.seal import Sealer
from foundation.tables import new_id
from payments.claim import (
    MATCH_OF,
    Act,
    Books,
    Difference,
    Matched,
    Moved,
    book_line,
    claim_items,
    open_items_of,
    post,
    remember,
    sums_of,
)
from payments.held import reason_of
from payments.refund import within_limit

NAMED_MAX = 20
"""So many lines of a bulk are named in its event; all of them are in its claims."""
ACCOUNTS: Mapping[Difference, str] = {
    "fee": "bank_charges",
    "rounding": "rounding",
    "shortage": "losses",
    "interest": "bank_interest",
}
"""Where a difference between the bank's word and ours is booked, by its reason. `interest` is what the bank added by itself."""
LESS: frozenset[Difference] = frozenset({"fee", "rounding", "shortage"})
MORE: frozenset[Difference] = frozenset({"rounding", "interest"})
Name = Literal["bank_asked", "payer_asked", "dispute", "next_statement", "other"]
"""What a person knows of an item that stays open: with a name it no longer holds up the close of its day."""


class NoSuchItem(NotFound):
    """There is no such open item."""


class NoSuchMatch(NotFound):
    """There is no such match."""


class TakenMeanwhile(Refusal):
    """{who} has matched it meanwhile; nothing was changed."""


class NothingChosen(Refusal):
    """Choose what belongs together first."""


class FilterChanged(Refusal):
    """It is something else by now: {count} of {sum_vnd} đồng in all. Look again; nothing was changed."""


class SumsDiffer(Refusal):
    """What you chose differs by {difference_vnd} đồng: say what the difference is, or choose otherwise."""


class DirectionsMixed(Refusal):
    """Money that came in and money that left are not one: each is matched, or taken into the books, by itself."""


class UndoneByAnother(Refusal):
    """This match was made by somebody else, on an earlier day or by two people: who may agree to such acts has to undo it."""

    status = 403


class DifferenceUnfit(Refusal):
    """A difference of {difference_vnd} đồng cannot be that."""


class SuggestionUnsure(Refusal):
    """Something else fits as well, or the sums differ: such a suggestion is decided one by one."""


class LoadedByYourself(Refusal):
    """You have given this statement in yourself; somebody else has to book what only it tells of."""

    status = 403


class InTheBooks(Refusal):
    """This is a movement of the books; only a line of a statement can be booked."""


class MatchClosed(Refusal):
    """This match is in the books of {day}, which are closed: reopen the day first."""


class AskedByYourself(Refusal):
    """You have asked for this yourself; somebody else has to agree."""

    status = 403


class AskDecided(Refusal):
    """That was decided before."""


async def accept(tx: Tx, suggestions: Sequence[UUID], *, staff_id: UUID, seen: str, now: datetime) -> tuple[int, int]:
    """Accepts suggestions as they are: each alone fits its items, and to the đồng. `seen`: the digest of what the person
    was shown (`digest_of`); anything else by now, and nothing is done. Returns how many lines, and their sum.

    Raises NothingChosen, FilterChanged, SuggestionUnsure, TakenMeanwhile.
    """
    if not suggestions:
        raise NothingChosen()
    await tx.one_at_a_time("matching")
    rows = await tx.rows(
        "select s.id, s.rule, s.ambiguous, s.difference_vnd, array_agg(i.item_id) as items from payments.suggestion s"
        " join payments.suggestion_item i on i.operator_id = s.operator_id and i.suggestion_id = s.id"
        " where s.operator_id = $1 and s.id = any($2) group by s.operator_id, s.id order by s.id",
        tx.operator_id,
        list(suggestions),
    )
    items = await open_items_of(tx, [item for row in rows for item in row["items"]])
    chosen = [row for row in rows if all(item in items for item in row["items"])]
    lines = [items[item] for row in chosen for item in row["items"] if items[item]["side"] == "line"]
    if digest_of(row["id"] for row in chosen) != seen:
        raise FilterChanged(count=len(lines), sum_vnd=sum(line["amount_vnd"] for line in lines))
    if any(row["ambiguous"] or row["difference_vnd"] for row in chosen):
        raise SuggestionUnsure()
    books, event_id, moved = await Books.of(tx), new_id(), list[Moved]()
    taken: set[UUID] = set()
    for row in chosen:
        if taken & set(row["items"]):
            raise SuggestionUnsure()
        taken |= set(row["items"])
        moved += await claim_items(tx, [items[item] for item in row["items"]], event_id, books, match_id=row["id"])
    sum_vnd = sum(line["amount_vnd"] for line in lines)
    tx.step("matching.accepted")
    rules = sorted({row["rule"] for row in chosen})
    await remember(
        tx,
        event_id,
        "accepted",
        now=now,
        staff_id=staff_id,
        lines=len(lines),
        sum_vnd=sum_vnd,
        facts={"rules": rules, "items": [_told(line) for line in lines[:NAMED_MAX]]},
    )
    await post(tx, event_id, books, sums_of(moved))
    after = {"lines": len(lines), "sum_vnd": sum_vnd}
    await audit.note(tx, staff_id, "matching.accepted", f"matching {event_id}", after=after, now=now)
    return len(lines), sum_vnd


def digest_of(ids: Iterable[UUID]) -> str:
    """What a set of suggestions, or of open items, is told by: a page shows it, an act asks for it again."""
    return hashlib.sha256("".join(sorted(id.hex for id in ids)).encode()).hexdigest()[:32]


async def match(
    tx: Tx,
    ids: Sequence[UUID],
    *,
    difference: Difference | None = None,
    reason: str = "",
    staff_id: UUID,
    limit_vnd: int,
    now: datetime,
) -> UUID | None:
    """A person says that these items are one: one line and one movement, a split, a group; the sums agree, or he says what
    the difference is. A line alone with a `difference` is that as a whole (the bank's fee, its interest).

    Above what he may write off alone on a day it waits for a second person: then what he asks is returned. Raises
    NothingChosen, TakenMeanwhile, AccountsMixed, SumsDiffer, DifferenceUnfit, ReasonMissing.
    """
    items, difference_vnd = await _chosen(tx, ids)
    if len({item["amount_vnd"] > 0 for item in items}) > 1:
        raise DirectionsMixed()
    if not difference:
        if difference_vnd or len({item["side"] for item in items}) < 2:
            raise SumsDiffer(difference_vnd=difference_vnd)
        await _match(tx, items, None, 0, reason="", staff_id=staff_id, now=now)
        return None
    _check_difference(difference, difference_vnd)
    reason = reason.strip()[:300] or difference  # what it is has been said; more words are a help
    if await within_limit(tx, staff_id, abs(difference_vnd), limit_vnd, now):
        await _match(tx, items, difference, difference_vnd, reason=reason, staff_id=staff_id, now=now)
        return None
    return await _ask(tx, items, difference_vnd, difference=difference, reason=reason, staff_id=staff_id, now=now)


async def name(
    tx: Tx, ids: Sequence[UUID], said: Name, *, note: str, staff_id: UUID, limit_vnd: int, now: datetime
) -> UUID | None:
    """A person says why items stay open: they no longer hold up the close of a day. Above what he may decide alone on a day
    it waits for a second person, and until then they do: then what he asks is returned. Raises TakenMeanwhile, ReasonMissing."""
    items, _ = await _chosen(tx, ids)
    note = reason_of(note) if said in ("other", "dispute") else note.strip()[:300]
    if await within_limit(tx, staff_id, _size_of(items), limit_vnd, now):
        await _name(tx, items, said, note=note, staff_id=staff_id, now=now)
        return None
    return await _ask(tx, items, _size_of(items), name=said, reason=note, staff_id=staff_id, now=now)


async def decide_ask(tx: Tx, id: UUID, *, agree: bool, staff_id: UUID, now: datetime) -> None:
    """A second person agrees to what was asked for, or refuses; he who asked may only take it back.

    Raises AskDecided, AskedByYourself, TakenMeanwhile.
    """
    ask = await tx.row(
        "select * from payments.matching_ask where operator_id = $1 and id = $2 for update", tx.operator_id, id
    )
    if ask is None or ask["decided_at"] is not None:
        raise AskDecided()
    if agree and ask["asked_by"] == staff_id:
        raise AskedByYourself()
    await tx.execute(
        "update payments.matching_ask set decided_by = $3, decided_at = $4, agreed = $5"
        " where operator_id = $1 and id = $2",
        tx.operator_id,
        id,
        staff_id,
        now,
        agree,
    )
    if not agree:
        await audit.note(tx, staff_id, "matching.refused", f"matching {id}", now=now)
        return
    items, difference_vnd = await _chosen(tx, [UUID(each) for each in json.loads(ask["items"])])
    asker, reason = ask["asked_by"], ask["reason"]
    if ask["name"]:
        await _name(tx, items, ask["name"], note=reason, staff_id=asker, agreed_by=staff_id, now=now)
        return
    if difference_vnd != ask["amount_vnd"]:
        raise SumsDiffer(difference_vnd=difference_vnd)
    await _match(
        tx, items, ask["difference"], difference_vnd, reason=reason, staff_id=asker, agreed_by=staff_id, now=now
    )


async def book(tx: Tx, database: Database, sealer: Sealer, id: UUID, *, staff_id: UUID, now: datetime) -> None:
    """A line that the books know nothing of comes into them: a credit as a receipt like any other, a debit into suspense.

    Not by whoever gave the statement in: a file can be written by anybody. Raises TakenMeanwhile, InTheBooks,
    LoadedByYourself, DifferenceUnfit if the books know its reference with another amount.
    """
    items, _ = await _chosen(tx, [id])
    (item,) = items
    if item["side"] != "line":
        raise InTheBooks()
    if item["loaded_by"] == staff_id:
        raise LoadedByYourself()
    books, event_id = await Books.of(tx), new_id()
    moved = await book_line(tx, database, sealer, item, event_id, books)
    if not moved:
        raise DifferenceUnfit(difference_vnd=item["amount_vnd"])
    tx.step("matching.booked")
    facts = {"items": [_told(item)]}
    await remember(tx, event_id, "booked", now=now, staff_id=staff_id, lines=1, sum_vnd=item["amount_vnd"], facts=facts)
    await post(tx, event_id, books, sums_of(moved))
    await audit.note(
        tx, staff_id, "matching.booked", f"matching {event_id}", after={"amount_vnd": item["amount_vnd"]}, now=now
    )


async def undo(tx: Tx, matched: Matched, *, staff_id: UUID, may_approve: bool, reason: str, now: datetime) -> None:
    """Takes back the match that a line or a movement is in, as a whole, by its reversal: its items are open again. Another's
    match, one of an earlier day, or one that two agreed to, takes somebody who `may_approve` (money.md R42).

    Raises NoSuchMatch, MatchClosed, UndoneByAnother, ReasonMissing.
    """
    reason = reason_of(reason)
    await tx.one_at_a_time("matching")
    books = await Books.of(tx)
    rows = await tx.rows(
        f"with of as ({MATCH_OF}) delete from payments.claim c using of where c.operator_id = $1"
        " and (c.match_id = of.match_id or c.kind = of.kind and c.movement_id = of.movement_id) returning c.*",
        tx.operator_id,
        *matched,
    )
    if not rows:
        raise NoSuchMatch()
    day = max(row["effective_day"] for row in rows)
    if day <= books.closed:
        raise MatchClosed(day=day)
    made = await tx.row(
        "select * from payments.matching_event where operator_id = $1 and id = $2", tx.operator_id, rows[0]["event_id"]
    )
    of_today = clock.hanoi_day(made["at"]) == clock.hanoi_day(now)
    if (made["agreed_by"] or made["staff_id"] not in (None, staff_id) or not of_today) and not may_approve:
        raise UndoneByAnother()
    event_id = new_id()
    moved = [(row["bank_account"], row["effective_day"], row["line_vnd"]) for row in rows if row["line_vnd"]]
    difference_vnd = sum(row["line_vnd"] - row["moved_vnd"] for row in rows)
    difference = json.loads(made["facts"]).get("difference")
    account = (ACCOUNTS[difference], difference_vnd, day) if difference else None
    tx.step("matching.undone")
    claims = [
        {
            name: str(row[name]) if row[name] is not None else None
            for name in ("kind", "movement_id", "statement_id", "position", "event_id", "line_vnd", "moved_vnd")
        }
        for row in rows
    ]
    await _reopen(tx, rows, now)
    lines, sum_vnd = len(moved), sum(vnd for _, _, vnd in moved)
    facts = {"claims": claims, "made_by": made["act"]}
    await remember(
        tx, event_id, "undone", now=now, staff_id=staff_id, reason=reason, lines=lines, sum_vnd=sum_vnd, facts=facts
    )
    await post(tx, event_id, books, sums_of(moved, difference=account, back=True))
    before = {"event": rows[0]["event_id"], "act": made["act"], "by": made["staff_id"]}
    await audit.note(
        tx,
        staff_id,
        "matching.undone",
        f"matching {event_id}",
        reason=reason,
        before=before,
        after={"sum_vnd": sum_vnd},
        now=now,
    )


async def _chosen(tx: Tx, ids: Sequence[UUID]) -> tuple[list[Any], int]:
    """Open items that a person has chosen, locked, and by how much lines and movements differ.

    Raises NothingChosen, TakenMeanwhile (naming who has one of them).
    """
    if not ids:
        raise NothingChosen()
    await tx.one_at_a_time("matching")
    items = await open_items_of(tx, list(ids))
    if len(items) < len(set(ids)):
        who = await tx.value(
            "select coalesce(s.name, e.act) from payments.matching_event e"
            " left join foundation.staff s on s.operator_id = e.operator_id and s.id = e.staff_id"
            " where e.operator_id = $1 order by e.at desc, e.id desc limit 1",
            tx.operator_id,
        )
        raise TakenMeanwhile(who=who or "?")
    lines_vnd, movements_vnd = (
        sum(item["amount_vnd"] for item in items.values() if item["side"] == side) for side in ("line", "movement")
    )
    return list(items.values()), lines_vnd - movements_vnd


def _check_difference(difference: Difference, difference_vnd: int) -> None:
    if not difference_vnd or difference not in (LESS if difference_vnd < 0 else MORE):
        raise DifferenceUnfit(difference_vnd=difference_vnd)


async def _match(
    tx: Tx,
    items: Sequence[Any],
    difference: Difference | None,
    difference_vnd: int,
    *,
    reason: str,
    staff_id: UUID,
    agreed_by: UUID | None = None,
    now: datetime,
) -> None:
    books, event_id = await Books.of(tx), new_id()
    lines = [item for item in items if item["side"] == "line"]
    moved = await claim_items(tx, items, event_id, books)
    day = books.day(*(item["day"] for item in items))
    account = (ACCOUNTS[difference], difference_vnd, day) if difference else None
    tx.step("matching.matched")
    sum_vnd = sum(line["amount_vnd"] for line in lines)
    facts = {"difference": difference, "difference_vnd": difference_vnd} if difference else {}
    act: Act = "written_off" if difference else "matched"
    await remember(
        tx,
        event_id,
        act,
        now=now,
        staff_id=staff_id,
        agreed_by=agreed_by,
        reason=reason,
        lines=len(lines),
        sum_vnd=sum_vnd,
        facts={**facts, "items": [_told(item) for item in items]},
    )
    await post(tx, event_id, books, sums_of(moved, difference=account))
    after = {"items": len(items), "sum_vnd": sum_vnd, **facts}
    await audit.note(
        tx, agreed_by or staff_id, f"matching.{act}", f"matching {event_id}", reason=reason, after=after, now=now
    )


async def _name(
    tx: Tx,
    items: Sequence[Any],
    said: Name,
    *,
    note: str,
    staff_id: UUID,
    agreed_by: UUID | None = None,
    now: datetime,
) -> None:
    await tx.execute(
        "update payments.open_item set name = $3, note = $4, named_by = $5, named_at = $6"
        " where operator_id = $1 and id = any($2)",
        tx.operator_id,
        [item["id"] for item in items],
        said,
        note,
        staff_id,
        now,
    )
    event_id, sum_vnd = new_id(), sum(item["amount_vnd"] for item in items)
    await remember(
        tx,
        event_id,
        "named",
        now=now,
        staff_id=staff_id,
        agreed_by=agreed_by,
        reason=note,
        lines=len(items),
        sum_vnd=sum_vnd,
        facts={"name": said, "items": [_told(item) for item in items]},
    )
    after = {"name": said, "items": len(items), "sum_vnd": sum_vnd}
    await audit.note(
        tx, agreed_by or staff_id, "matching.named", f"matching {event_id}", reason=note, after=after, now=now
    )


async def _ask(
    tx: Tx,
    items: Sequence[Any],
    amount_vnd: int,
    *,
    difference: Difference | None = None,
    name: Name | None = None,
    reason: str,
    staff_id: UUID,
    now: datetime,
) -> UUID:
    """Writes down what a second person is asked; nothing else happens yet."""
    id = new_id()
    await tx.execute(
        "insert into payments.matching_ask (operator_id, id, items, difference, name, amount_vnd, reason, asked_by, asked_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.operator_id,
        id,
        json.dumps(sorted(str(item["id"]) for item in items)),
        difference,
        name,
        amount_vnd,
        reason,
        staff_id,
        now,
    )
    after = {"difference": difference} if difference else {"name": name}
    await audit.note(
        tx,
        staff_id,
        "matching.asked",
        f"matching {id}",
        reason=reason,
        after=after | {"items": len(items), "amount_vnd": amount_vnd},
        now=now,
    )
    return id


def _size_of(items: Iterable[Any]) -> int:
    """How much money items are about, whichever way it went."""
    return sum(abs(item["amount_vnd"]) for item in items)


def _told(item: Any) -> dict[str, object]:
    """An item as the history keeps it."""
    which = ("statement_id", "position") if item["side"] == "line" else ("kind", "movement_id")
    return {**{name: str(item[name]) for name in which}, "amount_vnd": item["amount_vnd"]}


async def _reopen(tx: Tx, claims: Sequence[Any], now: datetime) -> None:
    """What claims held is open again, under the ids that it had."""
    for claim in claims:
        if claim["position"] is not None:
            await tx.execute(
                "insert into payments.open_item (operator_id, id, side, statement_id, position, bank_account, bank_ref,"
                " amount_vnd, day, since) select $1, payments.line_item(statement_id, position), 'line', statement_id, position,"
                " bank_account, bank_ref, amount_vnd, day, $4 from payments.statement_line"
                " where operator_id = $1 and statement_id = $2 and position = $3",
                tx.operator_id,
                claim["statement_id"],
                claim["position"],
                now,
            )
        if claim["kind"] != "none":
            await tx.execute(
                "insert into payments.open_item (operator_id, id, side, kind, movement_id, bank_account, bank_ref,"
                " amount_vnd, day, since) select $1, payments.movement_item(kind, id), 'movement', kind, id, bank_account,"
                " coalesce(bank_ref, ''), amount_vnd, payments.day_in_books($1, kind, id, at), $4 from payments.movements($1)"
                " where kind = $2 and id = $3",
                tx.operator_id,
                claim["kind"],
                claim["movement_id"],
                now,
            )
