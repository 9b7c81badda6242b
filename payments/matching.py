"""Matching: which line of the bank's statement is which movement in the books, and what is neither, as work for a person.

A run matches what leaves no doubt, set by set, and keeps the rest as open items with suggestions (`reconciliation` decides).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from foundation import clock
from foundation.database import Database, Tx
from foundation.seal import Sealer
from foundation.tables import new_id
from payments import bank_statement, payout, reconciliation, reference, refund
from payments.bank_statement import LONGEST_S, Progress, noted
from payments.claim import Books, book_line, claim_items, noon, open_items_of, post, remember, sides, sums_of
from payments.gateway import PayoutLine, RefundLine
from payments.reconciliation import Match

COMMITS_WITHIN = timedelta(minutes=10)
"""Real time: what was written down so long before a run can be seen by it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did: lines matched and their sum, items left open, suggestions made."""

    event_id: UUID
    matched: int
    sum_vnd: int
    open: int
    suggestions: int
    digest: bytes


async def run(database: Database, sealer: Sealer, operator_id: UUID, progress: Progress = noted) -> Ran:
    """Matches what leaves no doubt, of every statement that no run has seen and of what is still open; books it; makes
    suggestions for the rest. Done again with nothing new it changes nothing and decides the same, to the bit."""
    await _tell(database, operator_id)
    async with database.transaction(operator_id) as tx:
        # Of a million lines it takes a while to decide what is left.
        await tx.execute(
            f"set local statement_timeout = '{LONGEST_S}s'; set local idle_in_transaction_session_timeout = '1min'"
        )
        await tx.one_at_a_time("matching")
        books, event_id = await Books.of(tx), new_id()
        await sealer.ready(books.now)
        unseen = [
            row["id"] for row in await tx.rows("select id from payments.unseen_statements($1) u (id)", operator_id)
        ]
        # Of the account that lags behind most: what came to it was expected on no statement yet.
        seen: date = await tx.value(
            "select coalesce(min(day), '2000-01-01') from (select coalesce(max(s.day) filter (where m.statement_id is not null),"
            "   '2000-01-01') as day from payments.standing_statements($1) s"
            "   left join payments.matched_statement m on m.operator_id = s.operator_id and m.statement_id = s.id"
            "   where s.state = 'accepted' group by s.bank_account) account",
            operator_id,
        )
        exact = await tx.connection.fetch(
            "select * from payments.match_exactly($1, $2, $3, $4)",
            *(operator_id, event_id, books.closed, books.open_day),
            timeout=LONGEST_S,
        )
        await tx.connection.execute(
            "select payments.keep_open_items($1, $2, $3, $4, $5)",
            *(operator_id, clock.start_of_day(seen), await seen_before(tx), books.closed, books.now),
            timeout=LONGEST_S,
        )
        matched, sum_vnd = sum(row["lines"] for row in exact), sum(row["amount_vnd"] for row in exact)
        moved = [(row["bank_account"], row["effective_day"], row["amount_vnd"]) for row in exact]
        progress("matched", matched)
        await _keep_lines(tx, sealer, books.now)
        items = await open_items_of(tx)
        lines, movements = sides(items.values())
        decided = reconciliation.decide(lines, movements)
        suggestions = []
        for match in decided:
            if not match.automatic:
                suggestions.append(match)
                continue
            claimed = await claim_items(
                tx, [items[UUID(key)] for key in (*match.lines, *match.movements)], event_id, books
            )
            moved += claimed
            matched, sum_vnd = matched + 1, sum_vnd + claimed[0][2]
        taken = {key for match in decided if match.automatic for key in (*match.lines, *match.movements)}
        batches = reconciliation.batches(lines, [each for each in movements if each.key not in taken])
        spoken_for = taken | batches | {key for match in suggestions for key in match.lines}
        for item in items.values():
            if item["fetched"] and item["bank_ref"] and str(item["id"]) not in spoken_for:
                # The bank itself was asked, and its statement is the last word: what it tells of is in the books from now.
                booked = await book_line(tx, database, sealer, item, event_id, books)
                moved += booked
                matched, sum_vnd = matched + len(booked), sum_vnd + sum(vnd for _, _, vnd in booked)
        await _suggest(tx, suggestions)
        digest = hashlib.sha256(json.dumps([_as_text(match) for match in decided]).encode()).digest()
        tx.step("matching.ran")
        await remember(tx, event_id, "run", now=books.now, lines=matched, sum_vnd=sum_vnd, digest=digest)
        await post(tx, event_id, books, sums_of(moved))
        await tx.execute(
            "insert into payments.matched_statement (operator_id, statement_id, event_id) select $1, unnest($2::uuid[]), $3",
            operator_id,
            unseen,
            event_id,
        )
        left = await tx.value("select count(*) from payments.open_item where operator_id = $1", operator_id)
        return Ran(event_id, matched, sum_vnd, left, len(suggestions), digest)


async def seen_before(tx: Tx) -> UUID:
    """An id (UUIDv7) before which the last run has seen every receipt that there is."""
    last: UUID | None = await tx.value(
        "select id from payments.matching_event where operator_id = $1 and act = 'run' order by id desc limit 1",
        tx.operator_id,
    )
    milliseconds = ((last.int >> 80) if last else 0) - int(COMMITS_WITHIN.total_seconds() * 1000)
    return UUID(int=max(milliseconds, 0) << 80)


async def _tell(database: Database, operator_id: UUID) -> None:
    """Lines that carry the number of a payout or refund of ours, which the bank's list has not told of yet: told now. Only of
    files that the bank itself was asked for: anybody can write one."""
    async with database.transaction(operator_id) as tx:
        rows = await tx.rows(
            "select l.bank_account, l.bank_ref, l.amount_vnd, l.booked_day, l.end_to_end_id from payments.statement_line l"
            " join payments.bank_statement s on s.operator_id = l.operator_id and s.id = l.statement_id"
            " join payments.statement_file f on f.operator_id = s.operator_id and f.id = s.file_id and f.loaded_by is null"
            " where l.operator_id = $1 and l.end_to_end_id <> '' and l.bank_ref <> ''"
            "   and l.statement_id in (select payments.unseen_statements($1))",
            operator_id,
        )
        now = await clock.now(tx)
    for row in rows:
        try:
            id = UUID(row["end_to_end_id"])
        except ValueError:
            continue
        said = (row["bank_account"], row["bank_ref"], abs(row["amount_vnd"]), row["amount_vnd"] > 0)
        at = noon(row["booked_day"], now)
        if not await payout.told(database, operator_id, PayoutLine(id, *said, at)):
            await refund.told(database, operator_id, RefundLine(id, *said, at))


async def _keep_lines(tx: Tx, sealer: Sealer, now: datetime) -> None:
    """New lines that nothing claims are open items, and such that are open again: with what is sensitive in them, sealed line
    by line, and our references in it."""
    await tx.execute(
        "insert into left_line select statement_id, position, bank_account, bank_ref, amount_vnd, day from payments.open_item"
        " where operator_id = $1 and side = 'line' and sealed is null for update",
        tx.operator_id,
    )
    rows = await tx.rows("select statement_id, position from left_line order by 1, 2")
    lines = [(row["statement_id"], row["position"]) for row in rows]
    if not lines:
        return
    month = await sealer.ready(now)
    found = await bank_statement.texts(tx, sealer, lines)
    await tx.execute(
        "insert into payments.open_item (operator_id, id, side, statement_id, position, bank_account, bank_ref, amount_vnd,"
        "   day, since, sealed, codes)"
        " select $1, payments.line_item(l.statement_id, l.position), 'line', l.statement_id, l.position, l.bank_account,"
        "   l.bank_ref, l.amount_vnd, l.day, $6, t.sealed, t.codes::jsonb"
        " from unnest($2::uuid[], $3::int[], $4::bytea[], $5::text[]) t (statement_id, position, sealed, codes)"
        " join left_line l on l.statement_id = t.statement_id and l.position = t.position"
        " on conflict (operator_id, id) do update set sealed = excluded.sealed, codes = excluded.codes",
        tx.operator_id,
        [statement_id for statement_id, _ in lines],
        [position for _, position in lines],
        [
            sealer.seal(json.dumps(found[line], ensure_ascii=False), month=month, context=bank_statement.TEXT)
            for line in lines
        ],
        [json.dumps(reference.find(found[line][0])) for line in lines],
        now,
    )


async def _suggest(tx: Tx, suggestions: Sequence[Match]) -> None:
    """The suggestions of the last run, in the place of those before, and what each line's best one is."""
    await tx.execute("delete from payments.suggestion_item where operator_id = $1", tx.operator_id)
    await tx.execute("delete from payments.suggestion where operator_id = $1", tx.operator_id)
    ids = [new_id() for _ in suggestions]
    best: dict[str, Match] = {}
    for match in suggestions:
        for key in (*match.lines, *match.movements):
            best.setdefault(key, match)  # they come best first
    await tx.execute(
        "insert into payments.suggestion (operator_id, id, rule, score, days, difference_vnd, ambiguous)"
        " select $1, * from unnest($2::uuid[], $3::text[], $4::int[], $5::int[], $6::bigint[], $7::bool[])",
        tx.operator_id,
        ids,
        [match.rule for match in suggestions],
        [match.score for match in suggestions],
        [match.days for match in suggestions],
        [match.difference_vnd for match in suggestions],
        [match.ambiguous for match in suggestions],
    )
    of = [(id, key) for id, match in zip(ids, suggestions, strict=True) for key in (*match.lines, *match.movements)]
    await tx.execute(
        "insert into payments.suggestion_item (operator_id, suggestion_id, item_id)"
        " select $1, * from unnest($2::uuid[], $3::text[]::uuid[])",
        tx.operator_id,
        [id for id, _ in of],
        [key for _, key in of],
    )
    await tx.execute(
        "update payments.open_item o set state = coalesce(b.state, 'unmatched'), score = coalesce(b.score, 0)"
        " from payments.open_item i left join unnest($2::text[]::uuid[], $3::text[], $4::int[]) b (id, state, score) on b.id = i.id"
        " where o.operator_id = $1 and i.operator_id = $1 and i.id = o.id"
        " and (o.state, o.score) is distinct from (coalesce(b.state, 'unmatched'), coalesce(b.score, 0))",
        tx.operator_id,
        list(best),
        [_state(match) for match in best.values()],
        [match.score for match in best.values()],
    )


def _state(match: Match) -> str:
    if match.ambiguous:
        return "ambiguous"
    return "differs" if match.difference_vnd else "suggested"


def _as_text(match: Match) -> list[object]:
    """A decision as it is hashed. Open items have the same keys whenever they are found."""
    return [match.rule, match.lines, match.movements, match.score, match.difference_vnd, match.days, match.ambiguous]
